"""Annotation: from pairs and gold rewards to comparisons, and how often an annotator is wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from rmspace._checks import check_number
from rmspace._typing import Float64Array, IntArray
from rmspace.annotators import logistic
from rmspace.data.annotate import Rewards, annotate, probabilities, rewards_by_item, scaled_gaps, unit_of

__all__ = [
    "annotate",
    "beta_for_error",
    "check_unit",
    "error_rate",
    "rewards_by_item",
    "scaled_gaps",
    "unit_of",
    "untied",
]


def error_rate(comparisons: IntArray, rewards: Rewards) -> float:
    """Return the share of comparisons whose winner has the lower gold reward, among those that are not ties.

    Args:
        comparisons: int64 (n_comparisons, 2) of rated items, the winner in column 0.
        rewards: a bank, or gold rewards by item id (n_items,), or the complete table (n_prompts, n_responses).

    Raises:
        ValueError: every comparison is a tie, so that none can be wrong; an item that nobody rated.
        TypeError: rewards that are not numbers.

    >>> error_rate(np.array([[0, 1], [1, 0], [2, 0]]), np.array([[0.0, 1.0, 2.0]]))
    0.3333333333333333
    """
    gap = untied(scaled_gaps(comparisons, rewards, 1.0))
    return float((gap < 0).mean())


def beta_for_error(
    pairs: IntArray,
    rewards: Rewards,
    error_rate: float,
    *,
    annotator: Callable[..., Float64Array] = logistic,
    scale: float | Literal["std"] = 1.0,
) -> float:
    """Find the beta at which an annotator is expected to judge a share `error_rate` of these pairs wrongly.

    Solves mean over untied pairs of annotator(-|gap| / scale, beta=beta) = error_rate. The mean falls from 1/2 at
    beta = 0 to the annotator's floor at infinity (0 for `logistic` and `probit`, rate / 2 for `lapse`).

    Args:
        pairs: int64 (n_pairs, 2) item ids of rated items.
        rewards: a bank, or gold rewards by item id (n_items,), or the complete table (n_prompts, n_responses).
        error_rate: in [0, 0.5].
        annotator: takes `beta`; bind other options with `functools.partial`.
        scale: as in `annotate`, where the same scale must be used.

    Returns:
        beta; infinity where `error_rate` equals the annotator's floor.

    Raises:
        ValueError: a rate outside [0, 0.5] or under the floor; only ties; an item that nobody rated.

    >>> rng = np.random.default_rng(0)
    >>> rewards, pairs = rng.normal(size=(1000, 2)) / np.sqrt(2), np.arange(2000).reshape(1000, 2)
    >>> 0.9 < beta_for_error(pairs, rewards, 0.325) < 1.1  # gap variance 1: 32.5% at beta = 1
    True
    """
    error_rate = check_number("error_rate", error_rate, low=0.0, high=0.5)
    size = np.abs(untied(scaled_gaps(pairs, rewards, scale)))
    check_unit(size)

    def excess(beta: float) -> float:
        return float(probabilities(partial(annotator, beta=beta), -size).mean()) - error_rate

    floor = excess(np.inf)
    if floor > 1e-12:
        raise ValueError(
            f"error_rate must be at least {error_rate + floor:g}, this annotator's floor; got {error_rate}"
        )
    if floor > -1e-12:
        return float(np.inf)
    high = 1 / float(size.max())
    while excess(high) > 0:
        high *= 2
    return float(brentq(excess, 0.0, high, xtol=1e-300, rtol=1e-12))


def check_unit(gap: Float64Array) -> None:
    """Raise ValueError where gaps are so small, or so large, that no beta of float64 fits them."""
    largest = float(np.abs(gap).max())
    if not 1e-300 < largest < 1e300:
        raise ValueError(
            f"the largest gap must be between 1e-300 and 1e300, in units of scale, so that a beta fits float64; got "
            f"{largest:g}; give another scale"
        )


def untied(gap: Float64Array) -> Float64Array:
    """Return the gaps that are not 0; ValueError where all are 0."""
    if not gap.any():
        raise ValueError("an error rate needs pairs whose rewards differ; all of these are ties")
    return gap[gap != 0]
