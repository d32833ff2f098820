"""Rules of optimal design: the pairs that make the estimate of a linear reward most certain."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular
from scipy.special import expit

from rmspace._checks import check_number
from rmspace._typing import Float64Array, IntArray
from rmspace.active._greedy import lazy_greedy
from rmspace.active._pool import Pool, check_pool

__all__ = ["d_optimal", "past_aware_d_optimal"]

_SMALLEST = 1e-9  # below it, rounding would decide which row is taken


def d_optimal(
    differences: npt.ArrayLike,
    gaps: npt.ArrayLike,
    chosen: npt.ArrayLike,
    n: int,
    rng: np.random.Generator,
    *,
    ridge: float = 1e-3,
) -> IntArray:
    """Choose pairs that together tell most about a linear reward: those with the largest determinant, greedily.

        log det(ridge t I + sum_k p_k (1 - p_k) z_k z_k^T),   p_k = sigma(gap_k)

    The sum is over the new pairs: it is the Fisher information of their Bradley-Terry likelihood. z are the
    differences, and t is the mean information of a candidate per direction, so the unit of the features has no effect.
    Each step takes the candidate that adds most to it, p (1 - p) z^T A^-1 z, where A is the matrix so far. Gaps must be
    log-odds, as models of Bradley-Terry give them.

    Args:
        differences, gaps, chosen, n, rng: as in `SelectionRule`; nothing is drawn at random.
        ridge: information that is known beforehand, at least 1e-9; without it, no matrix of fewer than dim pairs has
            an inverse.

    Returns:
        int64 (n,) rows of candidates, in the order in which they were taken.

    Raises:
        ValueError: as `at_random`; a ridge below 1e-9; no candidate that tells anything, since all
            differences are 0 or all gaps so large that their outcome is certain.

    Source: Shen, Sun and Ton, "Reviving the classics: active reward modeling in large language model alignment" (arXiv
    2502.04354), D-opt; the greedy steps are rank-one updates by Sherman and Morrison (1950).

    >>> differences = np.array([[3.0, 0.0], [2.9, 0.1], [0.0, 1.0]])
    >>> d_optimal(differences, np.zeros(3), [], 2, np.random.default_rng(0)).tolist()
    [0, 2]
    """
    pool = check_pool(differences, gaps, chosen, n, rng)
    rows, unit = _informed(pool, ridge)
    candidates = rows[pool.left]
    candidates /= np.sqrt(unit)
    return _greedy(pool, candidates)


def past_aware_d_optimal(
    differences: npt.ArrayLike,
    gaps: npt.ArrayLike,
    chosen: npt.ArrayLike,
    n: int,
    rng: np.random.Generator,
    *,
    ridge: float = 1e-3,
) -> IntArray:
    """Choose pairs as `d_optimal`, but count what the pairs that were judged before tell already.

    The sum in the determinant is over the judged pairs, at their current gaps, and the new ones.

    Args:
        differences, gaps, chosen, n, rng, ridge: as in `d_optimal`.

    Returns:
        int64 (n,) rows of candidates, in the order in which they were taken.

    Raises:
        ValueError: as `d_optimal`.

    Source: as `d_optimal`; PA D-opt.

    >>> differences = np.array([[3.0, 0.0], [2.9, 0.1], [0.0, 1.0]])
    >>> past_aware_d_optimal(differences, np.zeros(3), [0], 1, np.random.default_rng(0)).tolist()
    [2]
    """
    pool = check_pool(differences, gaps, chosen, n, rng)
    rows, unit = _informed(pool, ridge)
    past = rows[pool.chosen]
    factor = cholesky(past.T @ past + unit * np.eye(rows.shape[1]), lower=True)
    return _greedy(pool, np.ascontiguousarray(solve_triangular(factor, rows[pool.left].T, lower=True).T))


def _informed(pool: Pool, ridge: float) -> tuple[Float64Array, float]:
    """Return sqrt(p (1 - p)) z of each candidate, and the information that is known beforehand in each direction."""
    ridge = check_number("ridge", ridge, low=_SMALLEST)
    p = expit(pool.members.mean(axis=0))
    rows = pool.vectors()  # a copy, changed in place: a pool may be large
    rows *= np.sqrt(p * (1 - p))[:, None]
    largest = float(max(rows.max(), -rows.min()))
    if largest == 0:
        raise ValueError("no candidate tells anything: each has a difference of 0 or an outcome that is certain")
    rows /= largest
    return rows, ridge * float(np.einsum("ij,ij->", rows, rows)) / rows.size


class _Determinant:
    """How much each row y adds to a determinant: y^T A^-1 y, with A = I + the sum of y y^T over the rows taken.

    A^-1 is kept as I - sum v v^T, one v per row taken.
    """

    def __init__(self, rows: Float64Array, n: int) -> None:
        self._rows, self._directions, self._taken = rows, np.empty((n, rows.shape[1])), 0

    def since(self, rows: IntArray, steps: IntArray, gains: Float64Array) -> Float64Array:
        """Return the gains of rows now, from their gains at earlier steps."""
        first = int(steps.min())
        parts = self._rows[rows] @ self._directions[first : self._taken].T
        parts[np.arange(first, self._taken) < steps[:, None]] = 0.0
        return np.maximum(gains - np.einsum("ij,ij->i", parts, parts), 0.0)

    def take(self, row: int, gain: float) -> None:
        """Add a row to the matrix."""
        y, before = self._rows[row], self._directions[: self._taken]
        self._directions[self._taken] = (y - before.T @ (before @ y)) / np.sqrt(1 + gain)
        self._taken += 1


def _greedy(pool: Pool, rows: Float64Array) -> IntArray:
    return pool.left[lazy_greedy(np.einsum("ij,ij->i", rows, rows), _Determinant(rows, pool.n), pool.n)]
