"""From pairs and gold rewards to comparisons, and how often an annotator is wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from rmspace._checks import check_number, check_rng, describe
from rmspace._typing import Float64Array, IntArray
from rmspace.annotators import logistic
from rmspace.data.arrays import check_finite, check_pairs
from rmspace.kinds import Annotator


def annotate(
    pairs: IntArray,
    rewards: npt.ArrayLike,
    annotator: Annotator,
    *,
    rng: np.random.Generator,
    scale: float | Literal["std"] = 1.0,
) -> IntArray:
    """Judge pairs: the first wins with probability annotator((r_first - r_second) / scale).

    Args:
        pairs: int64 (n_pairs, 2) item ids.
        rewards: gold rewards (n_prompts, n_responses), or flat (n_items,).
        annotator: gap -> probability that the first wins.
        rng: where the randomness comes from.
        scale: what a gap is divided by: a number above 0, or "std", the standard deviation of all rewards.

    Returns:
        Comparisons, int64 (n_pairs, 2), the winner in column 0, in the order of the pairs.

    Raises:
        ValueError: ids out of range, rewards not finite or all equal with "std", probabilities outside [0, 1].
        TypeError: ids that are not integers.

    >>> pairs = np.array([[0, 1], [2, 1]])
    >>> from rmspace.annotators import oracle
    >>> annotate(pairs, np.array([[0.0, 1.0, 5.0]]), oracle, rng=np.random.default_rng(0)).tolist()
    [[1, 0], [2, 1]]
    """
    gap = scaled_gaps(pairs, rewards, scale)
    first_wins = check_rng(rng).random(len(gap)) < _probabilities(annotator, gap)
    first, second = np.asarray(pairs, dtype=np.int64).T
    return np.stack([np.where(first_wins, first, second), np.where(first_wins, second, first)], axis=1)


def error_rate(comparisons: IntArray, rewards: npt.ArrayLike) -> float:
    """Return the share of comparisons whose winner has the lower gold reward, among those that are not ties.

    Args:
        comparisons: int64 (n_comparisons, 2), the winner in column 0.
        rewards: gold rewards (n_prompts, n_responses), or flat (n_items,).

    Raises:
        ValueError: every comparison is a tie, so that none can be wrong.

    >>> error_rate(np.array([[0, 1], [1, 0], [2, 0]]), np.array([[0.0, 1.0, 2.0]]))
    0.3333333333333333
    """
    gap = untied(scaled_gaps(comparisons, rewards, 1.0))
    return float((gap < 0).mean())


def beta_for_error(
    pairs: IntArray,
    rewards: npt.ArrayLike,
    error_rate: float,
    *,
    annotator: Callable[..., Float64Array] = logistic,
    scale: float | Literal["std"] = 1.0,
) -> float:
    """Find the beta at which an annotator is expected to judge a share `error_rate` of these pairs wrongly.

    Solves mean over untied pairs of annotator(-|gap| / scale, beta=beta) = error_rate, which falls from 1/2 at
    beta = 0 to the annotator's floor at infinity (0 for `logistic` and `probit`, rate / 2 for `lapse`).

    Args:
        pairs: int64 (n_pairs, 2) item ids.
        rewards: gold rewards (n_prompts, n_responses), or flat (n_items,).
        error_rate: in [0, 0.5].
        annotator: takes `beta`; bind other options with `functools.partial`.
        scale: as in `annotate`, where the same one must be used.

    Returns:
        beta, possibly infinity when the floor itself is asked for.

    Raises:
        ValueError: a rate outside [0, 0.5] or under the floor; only ties.

    >>> rng = np.random.default_rng(0)
    >>> rewards, pairs = rng.normal(size=(1000, 2)) / np.sqrt(2), np.arange(2000).reshape(1000, 2)
    >>> 0.9 < beta_for_error(pairs, rewards, 0.325) < 1.1  # gap variance 1: 32.5% at beta = 1
    True
    """
    error_rate = check_number("error_rate", error_rate, low=0.0, high=0.5)
    size = np.abs(untied(scaled_gaps(pairs, rewards, scale)))

    def excess(beta: float) -> float:
        return float(_probabilities(partial(annotator, beta=beta), -size).mean()) - error_rate

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


def scaled_gaps(pairs: IntArray, rewards: npt.ArrayLike, scale: float | Literal["std"]) -> Float64Array:
    """Return (r_first - r_second) / scale of each pair, checked."""
    flat = np.asarray(rewards).reshape(-1)
    check_finite("rewards", flat)
    ids = check_pairs("pairs", pairs, len(flat))
    unit = unit_of(flat, scale)
    first, second = (flat.take(side).astype(np.float64, copy=False) for side in ids.T)
    return (first - second) / unit


def untied(gap: Float64Array) -> Float64Array:
    """Return the gaps that are not 0; ValueError where all are."""
    if not gap.any():
        raise ValueError("an error rate needs pairs whose rewards differ; all of these are ties")
    return gap[gap != 0]


def _probabilities(annotator: Annotator, gap: Float64Array) -> Float64Array:
    p = np.asarray(annotator(gap), dtype=np.float64)
    if p.shape != gap.shape:
        raise ValueError(f"an annotator must return one probability a gap, {gap.shape}; got {describe(p)}")
    if not (p.min() >= 0 and p.max() <= 1):
        raise ValueError("an annotator must return probabilities in [0, 1]; some are outside or nan")
    return p


def unit_of(rewards: npt.ArrayLike, scale: float | Literal["std"]) -> float:
    """Return what gaps are divided by: a number above 0, or the standard deviation of all rewards."""
    if scale == "std":
        flat = np.asarray(rewards).reshape(-1)
        centred = flat - flat.mean(dtype=np.float64)
        unit = float(np.sqrt(centred @ centred / len(flat)))
        if unit == 0:
            raise ValueError('scale="std" needs rewards that differ; all are equal; give a number')
        return unit
    if isinstance(scale, str):
        raise ValueError(f'scale must be a number above 0 or "std"; got {scale!r}')
    unit = check_number("scale", scale, low=0.0)
    if unit == 0:
        raise ValueError("scale must be above 0; got 0")
    return unit
