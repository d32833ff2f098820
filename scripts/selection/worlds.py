"""Worlds in which rules choose pairs: AlpacaEval, and two that are made so that the choice of pairs should matter."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import rmspace as rm

Banks = tuple[rm.ResponseBank, rm.ResponseBank]

TOPICS, OWN = 8, 6  # topics, and numbers of an embedding that belong to one topic
DIM = 48
SIZES = ((400, 8), (200, 16))  # prompts and responses, in training and in the test


class World(NamedTuple):
    """How banks are made, how many pairs a rule chooses from, and how many are judged in a round."""

    make: Callable[[int, Path], Banks]  # of a seed and the folder of the shared data
    n_pool: int
    n_per_round: int
    seeds: int
    alpha: float  # of the linear models: the best of 1e-4, 1e-3, 1e-2 and 1e-1 for random pairs, on other seeds


def alpaca_eval(seed: int, data: Path) -> Banks:
    """AlpacaEval with its own split, the same for all seeds."""
    return rm.open_generators(data / "alpacaeval")


def uneven_prompts(seed: int, data: Path) -> Banks:
    """Responses to some prompts hardly differ, and those to others differ much; directions have unequal variances.

    x = D (u + s v), u and v standard normal, u of the prompt, log s standard normal, D^2 = diag(1, 1/2, 1/3, ...). The
    reward is linear, and each direction has the same part in its variance.
    """
    rng = np.random.default_rng([seed, 1])
    scales = np.arange(1, DIM + 1) ** -0.5
    weights = rng.normal(size=DIM) / scales
    banks = []
    for size, width in SIZES:
        spread = np.exp(rng.normal(size=(size, 1, 1)))
        items = scales * (rng.normal(size=(size, 1, DIM)) + spread * rng.normal(size=(size, width, DIM)))
        banks.append((items, items @ weights))
    return _as_banks(banks)


def rare_topics(seed: int, data: Path) -> Banks:
    """Each topic has its own directions; half of the training prompts have one topic, and the test has all alike.

    The share of topic k is proportional to k^-1.5 in training. Responses differ in the directions of their topic, and
    by a tenth in all others. The reward is linear.
    """
    rng = np.random.default_rng([seed, 2])
    share = np.arange(1, TOPICS + 1) ** -1.5
    weights = rng.normal(size=DIM)
    banks = []
    for (size, width), chances in zip(SIZES, (share / share.sum(), np.full(TOPICS, 1 / TOPICS)), strict=True):
        topic = rng.choice(TOPICS, p=chances, size=size)
        scales = np.where(np.arange(DIM) // OWN == topic[:, None], 1.0, 0.1)[:, None]
        items = scales * (rng.normal(size=(size, 1, DIM)) + rng.normal(size=(size, width, DIM)))
        banks.append((items, items @ weights))
    return _as_banks(banks)


WORLDS = {
    "AlpacaEval": World(alpaca_eval, n_pool=5000, n_per_round=100, seeds=20, alpha=1e-2),
    "uneven prompts": World(uneven_prompts, n_pool=3000, n_per_round=40, seeds=20, alpha=1e-4),
    "rare topics": World(rare_topics, n_pool=3000, n_per_round=40, seeds=20, alpha=1e-3),
}


def _as_banks(made: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> Banks:
    train, test = (
        rm.ResponseBank(items.astype(np.float32), rewards, prompt_ids=np.arange(len(items)) + 10_000 * side)
        for side, (items, rewards) in enumerate(made)
    )
    return train, test
