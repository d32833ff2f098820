"""What an objective with columns costs beside Bradley-Terry, in the same fit."""

import functools
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.exceptions import ConvergenceWarning

import rmspace as rm
from benchmarks.banks import compare_items, make_bank, open_bank
from rmspace import objectives
from rmspace.models.core.columns import asks_for

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
    noise. The ratio of an objective is the median over rounds of its seconds to the mean of these two. Fits may take
    different numbers of evaluations, and noise hides what an objective itself adds. So the note also has the
    evaluations, and the time of the objective alone with its gradient, as a share of an evaluation of Bradley-Terry.
    """
    dim, n = 2048, 4_000 if quick else 40_000
    bank = open_bank(make_bank(folder, 100_000 if quick else 1_000_000, dim))
    comparisons = compare_items(bank, n)
    rng = np.random.default_rng(0)
    names = [REFERENCE, AGAIN, *WITH_COLUMNS]
    rounds, calls = [], dict[str, int]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # all stop after the same number of iterations
        for _ in range(ROUNDS):
            found: dict[str, float] = {}
            for name in rng.permutation(names).tolist():
                counted = _Counted(name)
                given = _columns(name, n)
                start = time.process_time()
                MODELS[kind](counted.objective).fit(bank.items, comparisons, groups=bank.groups, columns=given)
                found[name], calls[name] = time.process_time() - start, counted.calls
            rounds.append([found[name] for name in names])
    seconds = np.array(rounds)
    ratios = seconds / seconds[:, :2].mean(axis=1, keepdims=True)
    alone = np.array([_alone(name, n) for name in names])
    share = alone * calls[REFERENCE] / np.median(seconds[:, 0]) if kind == "linear" else np.full(len(names), np.nan)
    return [
        {
            "stage": f"{kind} fit with {name}",
            "size": f"{n:,} x {dim:,}, {ROUNDS} rounds",
            "seconds": np.median(seconds[:, k]),
            "ratio": np.median(ratios[:, k]),
            "target": "" if name in (REFERENCE, AGAIN) else "1.05 of Bradley-Terry",
            "share": share[k],
            "note": f"{ratios[:, k].min():.2f} to {ratios[:, k].max():.2f}; {calls[name]} evaluations",
        }
        for k, name in enumerate(names)
    ]


class _Counted:
    """An objective that counts its calls."""

    def __init__(self, name: str) -> None:
        objective, self.calls = getattr(objectives, REFERENCE if name == AGAIN else name), 0

        @functools.wraps(objective)
        def counted(*scores: Any, **columns: Any) -> Any:
            self.calls += 1
            return objective(*scores, **columns)

        self.objective = counted


def _alone(name: str, n: int) -> float:
    """Return the least CPU-seconds of an objective and its gradient for n comparisons."""
    counted = _Counted(name)
    given = {key: torch.from_numpy(np.asarray(value)) for key, value in _columns(name, n).items()}
    asked = {key: value for key, value in given.items() if asks_for(counted.objective, key)}
    winner, loser = torch.linspace(-2, 2, 2 * n, dtype=torch.float64).reshape(2, n).requires_grad_()
    seconds = []
    for _ in range(20):
        start = time.process_time()
        counted.objective(winner, loser, **asked).sum().backward()
        seconds.append(time.process_time() - start)
    return min(seconds)


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
