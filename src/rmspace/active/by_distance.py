"""A rule that spreads pairs over the space of features."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rmspace._typing import Float64Array, IntArray
from rmspace.active._greedy import lazy_greedy
from rmspace.active._pool import check_pool

__all__ = ["coreset"]

_CENTRES = 256  # that are compared with all rows at a time


def coreset(
    differences: npt.ArrayLike, gaps: npt.ArrayLike, chosen: npt.ArrayLike, n: int, rng: np.random.Generator
) -> IntArray:
    """Choose pairs that leave no candidate far from a chosen one: each is the farthest from all chosen before it.

    The distance is min(|z - c|, |z + c|), because a pair and its two items in the other order are the same question.
    The pairs that were judged before count as chosen. Where there are none, the first is drawn. The largest distance of
    a candidate from a chosen one is at most twice that of the best possible choice.

    Args:
        differences, gaps, chosen, n, rng: as in `SelectionRule`; gaps are not used.

    Returns:
        int64 (n,) rows of candidates, in the order in which they were taken.

    Raises:
        ValueError: as `at_random`.

    Source: Sener and Savarese, "Active learning for convolutional neural networks: a core-set approach" (arXiv
    1708.00489), k-center greedy; T. Gonzalez, Theoretical Computer Science 38 (1985), for the factor of 2.

    >>> differences = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 5.0], [0.1, -5.0]])
    >>> coreset(differences, np.zeros(4), [0], 2, np.random.default_rng(0)).tolist()
    [3, 1]
    """
    pool = check_pool(differences, gaps, chosen, n, rng)
    rows = pool.vectors()
    rows /= float(np.abs(rows).max()) or 1.0  # squares of large values would overflow
    centres, rows = rows[pool.chosen], rows[pool.left]
    distance = _Distance(rows, pool.n)
    nearest = np.full(len(rows), np.finfo(np.float64).max)
    for start in range(0, len(centres), _CENTRES):
        nearest = np.minimum(nearest, distance.to(np.arange(len(rows)), centres[start : start + _CENTRES]).min(axis=1))
    if len(centres) == 0:
        nearest[pool.rng.integers(len(rows))] = np.inf
    return pool.left[lazy_greedy(nearest, distance, pool.n)]


class _Distance:
    """The squared distance of each row to the nearest of the rows that were taken."""

    def __init__(self, rows: Float64Array, n: int) -> None:
        self._rows, self._squares = rows, np.einsum("ij,ij->i", rows, rows)
        self._centres, self._taken = np.empty((n, rows.shape[1])), 0

    def since(self, rows: IntArray, steps: IntArray, gains: Float64Array) -> Float64Array:
        """Return the squared distances of rows now, from those at earlier steps."""
        first = int(steps.min())
        squares = self.to(rows, self._centres[first : self._taken])
        squares[np.arange(first, self._taken) < steps[:, None]] = np.inf
        return np.minimum(gains, squares.min(axis=1))

    def take(self, row: int, gain: float) -> None:  # noqa: ARG002
        """Add a row to the centres."""
        self._centres[self._taken] = self._rows[row]
        self._taken += 1

    def to(self, rows: IntArray, centres: Float64Array) -> Float64Array:
        """Return the squared distances (n_rows, n_centres), at least 0."""
        squares = self._squares[rows, None] + np.einsum("ij,ij->i", centres, centres)
        return np.maximum(squares - 2 * np.abs(self._rows[rows] @ centres.T), 0.0)
