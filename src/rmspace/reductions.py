"""Reductions: how an ensemble makes one score per item from the scores of its members."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from rmspace._checks import as_numbers, check_number, describe
from rmspace._typing import Float64Array

__all__ = ["lower_confidence", "mean", "median", "minimum", "rank_mean", "uncertainty_weighted"]


def mean(scores: Float64Array) -> Float64Array:
    """Combine members by their mean score, (n_members, n_items) -> (n_items,).

    >>> mean(np.array([[1.0, 2.0], [3.0, 0.0]])).tolist()
    [2.0, 1.0]
    """
    return np.asarray(_members(scores).mean(axis=0))


def median(scores: Float64Array) -> Float64Array:
    """Combine members by the median score, (n_members, n_items) -> (n_items,).

    >>> median(np.array([[1.0, 2.0], [3.0, 0.0], [9.0, 1.0]])).tolist()
    [3.0, 1.0]
    """
    return np.asarray(np.median(_members(scores), axis=0))


def minimum(scores: Float64Array) -> Float64Array:
    """Combine members by the lowest score, (n_members, n_items) -> (n_items,).

    Source: Coste et al., "Reward model ensembles help mitigate overoptimization" (arXiv 2310.02743), worst-case.

    >>> minimum(np.array([[1.0, 2.0], [3.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    return np.asarray(_members(scores).min(axis=0))


def lower_confidence(scores: Float64Array, *, k: float = 1.0) -> Float64Array:
    """Combine members by mean - k standard deviations (of a sample), (n_members, n_items) -> (n_items,).

    Raises:
        ValueError: one member, or a negative k.

    Source: Coste et al., "Reward model ensembles help mitigate overoptimization" (arXiv 2310.02743), where the
    uncertainty-weighted objective subtracts the variance. The standard deviation keeps the unit of the score.

    >>> lower_confidence(np.array([[1.0, 2.0], [3.0, 2.0]]), k=0.5).round(4).tolist()
    [1.2929, 2.0]
    """
    table = _several("lower_confidence", scores)
    return np.asarray(table.mean(axis=0) - check_number("k", k, low=0.0) * table.std(axis=0, ddof=1))


def uncertainty_weighted(scores: Float64Array, *, k: float = 1.0) -> Float64Array:
    """Combine members by mean - k variance (of the members), (n_members, n_items) -> (n_items,).

    The variance has the unit of the squared score, so k has the unit of 1 / score.

    Raises:
        ValueError: one member, or a negative k.

    Source: Coste et al., "Reward model ensembles help mitigate overoptimization" (arXiv 2310.02743), the
    uncertainty-weighted objective (UWO).

    >>> uncertainty_weighted(np.array([[1.0, 2.0], [3.0, 2.0]]), k=0.5).tolist()
    [1.5, 2.0]
    """
    table = _several("uncertainty_weighted", scores)
    return np.asarray(table.mean(axis=0) - check_number("k", k, low=0.0) * table.var(axis=0))


def rank_mean(scores: Float64Array) -> Float64Array:
    """Combine members by the mean of their ranks, (n_members, n_items) -> (n_items,).

        rank of the i-th smallest of n scores = i / n; equal scores share the mean of theirs

    A member's unit, and any other increasing function of its scores, has no effect. The ranks are those among the items
    of one call, so scores of two calls cannot be compared with each other: score all items in one call of `predict`.

    Source: J.-C. de Borda (1781), as the mean of ranks.

    >>> rank_mean(np.array([[1.0, 2.0], [30.0, 0.0], [5.0, 6.0]])).round(4).tolist()
    [0.6667, 0.8333]
    """
    table = _members(scores)
    return np.asarray(rankdata(table, axis=1).mean(axis=0) / max(1, table.shape[1]))


def _several(name: str, scores: Float64Array) -> Float64Array:
    table = _members(scores)
    if len(table) < 2:
        raise ValueError(f"{name} needs two members; got 1")
    return table


def _members(scores: Float64Array) -> Float64Array:
    table = as_numbers("scores", scores)
    if table.ndim != 2 or len(table) == 0:
        raise ValueError(f"scores must be (n_members, n_items), of one member at least; got {describe(table)}")
    return table
