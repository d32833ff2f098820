"""What an objective with columns costs beside Bradley-Terry, in the same fit."""

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

import rmspace as rm
from benchmarks.banks import compare_items, make_bank, open_bank
from rmspace import objectives

Row = dict[str, Any]
REFERENCE, ROUNDS = "bradley_terry", 4
WITH_COLUMNS = (
    "margin_bradley_terry",
    "soft_labelled",
    "scaled",
    "rao_kupper",
    "davidson",
    "forward_corrected",
    "backward_corrected",
    "class_corrected",
)
MODELS: dict[str, Callable[[Any], Any]] = {
    "MLP": lambda objective: rm.MLPReward(objective, max_epochs=1, random_state=0),
    "linear": lambda objective: rm.LinearReward(objective, max_iter=8, tol=0.0),
}


def costs(folder: Path, quick: bool, kind: str) -> list[Row]:
    """CPU-seconds of a fit with each objective, by turns: an epoch of an MLP, or eight iterations of a linear model."""
    dim, n = 2048, 4_000 if quick else 40_000
    bank = open_bank(make_bank(folder, 100_000 if quick else 1_000_000, dim))
    comparisons = compare_items(bank, n)
    rng = np.random.default_rng(0)
    columns = {
        "margin": rng.random(n),
        "probability": 0.5 + rng.random(n) / 2,
        "beta": 0.5 + rng.random(n),
        "rate": 0.4 * rng.random(n),
        "winner_class": rng.integers(2, size=n),
    }
    ties = {"tie": rng.random(n) < 0.1}
    seconds: dict[str, float] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # all stop after the same number of iterations
        for _ in range(ROUNDS):
            for name in (REFERENCE, *WITH_COLUMNS):
                given = {**columns, **ties} if name in ("rao_kupper", "davidson") else columns
                start = time.process_time()
                MODELS[kind](getattr(objectives, name)).fit(bank.items, comparisons, groups=bank.groups, columns=given)
                seconds[name] = min(seconds.get(name, np.inf), time.process_time() - start)
    return [
        {
            "stage": f"{kind} fit with {name}",
            "size": f"{n:,} x {dim:,}",
            "seconds": found,
            "ratio": found / seconds[REFERENCE],
            "target": "" if name == REFERENCE else "1.05 of Bradley-Terry",
        }
        for name, found in seconds.items()
    ]
