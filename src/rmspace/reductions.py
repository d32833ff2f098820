"""Reductions: how an ensemble makes one score per item from the scores of its members."""

from __future__ import annotations

import numpy as np

from rmspace._checks import as_numbers, check_number, describe
from rmspace._typing import Float64Array

__all__ = ["lower_confidence", "mean", "minimum"]


def mean(scores: Float64Array) -> Float64Array:
    """Combine members by their mean score, (n_members, n_items) -> (n_items,).

    >>> mean(np.array([[1.0, 2.0], [3.0, 0.0]])).tolist()
    [2.0, 1.0]
    """
    return np.asarray(_members(scores).mean(axis=0))


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
    table = _members(scores)
    if len(table) < 2:
        raise ValueError("lower_confidence needs two members; got 1")
    return np.asarray(table.mean(axis=0) - check_number("k", k, low=0.0) * table.std(axis=0, ddof=1))


def _members(scores: Float64Array) -> Float64Array:
    table = as_numbers("scores", scores)
    if table.ndim != 2 or len(table) == 0:
        raise ValueError(f"scores must be (n_members, n_items), of one member at least; got {describe(table)}")
    return table
