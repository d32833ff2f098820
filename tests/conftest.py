"""Banks that many tests share."""

import os
from pathlib import Path

import numpy as np
import pytest

import rmspace as rm

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # these are the CPU's numbers; test_device.py is about other devices

ALPACAEVAL = Path(__file__).parents[2] / "shared" / "data" / "alpacaeval"


@pytest.fixture(scope="session")
def world():
    return rm.make_synthetic_banks(120, 60, 6, 32, noise_std=0.2, seed=0)


@pytest.fixture(scope="session")
def comparisons(world):
    train, _ = world
    rng = np.random.default_rng(0)
    return rm.annotate(rm.same_prompt(train, 1000, rng), train.rewards, rm.oracle, rng=rng)


@pytest.fixture(scope="session")
def alpacaeval():
    if not (ALPACAEVAL / "meta.json").is_file():
        pytest.skip(f"the AlpacaEval bank is not there: {ALPACAEVAL}")
    return rm.open_generators(str(ALPACAEVAL))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def make_bank(n_prompts, n_responses, dim=4, seed=0):
    rng = np.random.default_rng(seed)
    return rm.ResponseBank(
        rng.normal(size=(n_prompts, n_responses, dim)).astype(np.float32), rng.normal(size=(n_prompts, n_responses))
    )
