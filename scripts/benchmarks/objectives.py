"""What an objective with columns costs beside Bradley-Terry, in the same fit."""

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

import rmspace as rm
from benchmarks.banks import compare_items, make_bank, open_bank
from rmspace import objectives

Row = dict[str, Any]
REFERENCE, AGAIN, ROUNDS = "bradley_terry", "bradley_terry again", 5
WITH_COLUMNS = (
    "margin_bradley_terry",
    "soft_labelled",
    "scaled",
    "rao_kupper",
    "davidson",
    "forward_corrected",
    "backward_corrected",
    "class_corrected",
    "squared_rating",
    "huber_rating",
)
MODELS: dict[str, Callable[[Any], Any]] = {
    "MLP": lambda objective: rm.MLPReward(objective, max_epochs=1, random_state=0),
    "linear": lambda objective: rm.LinearReward(objective, max_iter=8, tol=0.0),
}


def costs(folder: Path, quick: bool, kind: str) -> list[Row]:
    """CPU-seconds of a fit with each objective: an epoch of an MLP, or eight iterations of a linear model.

    Each round fits all objectives in another order, and Bradley-Terry twice: the ratio of its second fit shows the
    noise. The ratio of an objective is the median over rounds of its seconds to the mean of these two.
    """
    dim, n = 2048, 4_000 if quick else 40_000
    bank = open_bank(make_bank(folder, 100_000 if quick else 1_000_000, dim))
    comparisons = compare_items(bank, n)
    rng = np.random.default_rng(0)
    names = [REFERENCE, AGAIN, *WITH_COLUMNS]
    rounds = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # all stop after the same number of iterations
        for _ in range(ROUNDS):
            found = {}
            for name in rng.permutation(names).tolist():
                objective = getattr(objectives, REFERENCE if name == AGAIN else name)
                given = _columns(name, n)
                start = time.process_time()
                MODELS[kind](objective).fit(bank.items, comparisons, groups=bank.groups, columns=given)
                found[name] = time.process_time() - start
            rounds.append([found[name] for name in names])
    seconds = np.array(rounds)
    ratios = seconds / seconds[:, :2].mean(axis=1, keepdims=True)
    return [
        {
            "stage": f"{kind} fit with {name}",
            "size": f"{n:,} x {dim:,}, {ROUNDS} rounds",
            "seconds": np.median(seconds[:, k]),
            "ratio": np.median(ratios[:, k]),
            "target": "" if name in (REFERENCE, AGAIN) else "1.05 of Bradley-Terry",
            "note": f"{ratios[:, k].min():.2f} to {ratios[:, k].max():.2f}",
        }
        for k, name in enumerate(names)
    ]


def _columns(name: str, n: int) -> dict[str, npt.NDArray[Any]]:
    rng = np.random.default_rng(1)
    columns = {
        "margin": rng.random(n),
        "probability": 0.5 + rng.random(n) / 2,
        "beta": 0.5 + rng.random(n),
        "rate": 0.4 * rng.random(n),
        "winner_class": rng.integers(2, size=n),
        "winner_rating": 3 + rng.random(n),
        "loser_rating": 2 + rng.random(n),
    }
    return {**columns, "tie": rng.random(n) < 0.1} if name in ("rao_kupper", "davidson") else columns
