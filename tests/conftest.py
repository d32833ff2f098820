"""Settings of all tests (one thread per process, the CPU, fixed draws), and banks that many tests share."""

import os
from pathlib import Path

# Libraries read these when they are imported, and the processes that a test starts inherit them.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the expected numbers are the CPU's; test_device.py tests other devices

import hypothesis
import numpy as np
import pytest

import rmspace as rm
from rmspace._typing import IntArray

# The same examples on every machine, and no time limit: a busy machine is not a defect.
# HYPOTHESIS_PROFILE=explore draws new examples.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

Banks = tuple[rm.ResponseBank, rm.ResponseBank]  # (train, test)
BanksAndComparisons = tuple[rm.ResponseBank, rm.ResponseBank, IntArray]

ALPACAEVAL = Path(__file__).parents[2] / "shared" / "data" / "alpacaeval"


@pytest.fixture(scope="session")
def banks() -> Banks:
    return rm.make_synthetic_banks(120, 60, 6, 32, noise_std=0.2, seed=0)


@pytest.fixture(scope="session")
def comparisons(banks: Banks) -> IntArray:
    train, _ = banks
    rng = np.random.default_rng(0)
    return rm.annotate(rm.same_prompt(train, 1000, rng), train.rewards, rm.oracle, rng=rng)


@pytest.fixture(scope="session")
def alpacaeval() -> Banks:
    if not (ALPACAEVAL / "meta.json").is_file():
        pytest.skip(f"the AlpacaEval bank is not there: {ALPACAEVAL}")
    return rm.open_generators(str(ALPACAEVAL))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def make_bank(n_prompts: int, n_responses: int, dim: int = 4, seed: int = 0) -> rm.ResponseBank:
    rng = np.random.default_rng(seed)
    return rm.ResponseBank(
        rng.normal(size=(n_prompts, n_responses, dim)).astype(np.float32), rng.normal(size=(n_prompts, n_responses))
    )
