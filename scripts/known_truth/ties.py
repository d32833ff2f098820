"""Ties: a likelihood of three outcomes against half wins, and against leaving ties out."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit, log_expit

import rmspace as rm
from known_truth.study import Study, Ways
from known_truth.worlds import divergence, draw, gaps_of, measured
from rmspace.objectives import davidson, rao_kupper

N, NU, THETA, AT_RANDOM = 200, 4.0, 6.0, 0.6
DECIDED = "excess log-loss of decided pairs"


def _run(kind: str, seed: int) -> Ways:
    world = draw(seed, N)
    win, lose = _chances(kind, world.gap)
    drawn = world.rng.random(N)
    tie = (drawn >= win) & (drawn < 1 - lose)
    data = world.judged(drawn < win, tie=tie)
    ways = {"half wins": (rm.bradley_terry, data, 1.0), "ties left out": (rm.bradley_terry, data[~tie], 1.0)}
    nu = rm.estimate_option(davidson, "nu", data, low=0.001, high=60.0, alpha=1e-3).value
    theta = rm.estimate_option(rao_kupper, "theta", data, low=1.001, high=60.0, alpha=1e-3).value
    for name, each in {"known": (NU, THETA), "estimated": (nu, theta)}.items():
        if kind == "Davidson" or name == "estimated":
            ways[f"Davidson, nu {name}"] = (partial(davidson, nu=each[0]), data, 1.0)
        if kind == "Rao-Kupper" or name == "estimated":
            ways[f"Rao-Kupper, theta {name}"] = (partial(rao_kupper, theta=each[1]), data, each[1])
    true = expit(_decided(gaps_of(world.test_gold), THETA if kind == "Rao-Kupper" else 1.0))
    found = {}
    for way, (objective, given, threshold) in ways.items():
        scores = rm.LinearReward(objective, alpha=1e-3).fit(given).predict(world.test)
        found[way] = measured(world, scores) | {DECIDED: divergence(true, _decided(gaps_of(scores), threshold))}
    return found


def _chances(kind: str, gap: np.ndarray) -> tuple[Any, Any]:
    """Return the probabilities that the first item wins, and that the second does."""
    if kind == "Davidson":
        total = np.exp(gap / 2) + NU + np.exp(-gap / 2)
        return np.exp(gap / 2) / total, np.exp(-gap / 2) / total
    if kind == "Rao-Kupper":
        return expit(gap - np.log(THETA)), expit(-gap - np.log(THETA))
    return (1 - AT_RANDOM) * expit(gap), (1 - AT_RANDOM) * expit(-gap)


def _decided(gap: np.ndarray, theta: float) -> np.ndarray:
    """Return the log-odds that the first item wins where one of them does; theta = 1 is Davidson and Bradley-Terry."""
    return np.asarray(log_expit(gap - np.log(theta)) - log_expit(-gap - np.log(theta)))


STUDIES = (
    Study("ties-davidson", partial(_run, "Davidson"), "half wins"),
    Study("ties-rao-kupper", partial(_run, "Rao-Kupper"), "half wins"),
    Study("ties-at-random", partial(_run, "at random"), "half wins"),
)
