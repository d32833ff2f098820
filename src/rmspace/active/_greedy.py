"""Greedy choice of rows whose gains only fall as more are chosen."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from rmspace._typing import Float64Array, IntArray

_FIRST = 256  # rows that are computed again at first


class Gains(Protocol):
    """The gains of rows, which change as rows are taken."""

    def since(self, rows: IntArray, steps: IntArray, gains: Float64Array) -> Float64Array:
        """Return the gains of rows now, from those that they had when `steps` rows were taken, each."""
        ...

    def take(self, row: int, gain: float) -> None:
        """Take one more row."""
        ...


def lazy_greedy(start: Float64Array, gains: Gains, n: int) -> IntArray:
    """Take n rows, each time the one with the largest gain, the first of equal ones.

    A gain that was computed earlier is at least as large as the gain now. So where the largest of the known gains is up
    to date, it is the largest of all, and the other gains need not be computed.

    Args:
        start: (n_rows,) the gains before any row is taken.
        gains: brings gains up to date, and learns which rows are taken.
        n: at most n_rows.

    Source: M. Minoux, "Accelerated greedy algorithms for maximizing submodular set functions" (1978).
    """
    known, steps = start.copy(), np.zeros(len(start), dtype=np.int64)
    taken = np.empty(n, dtype=np.int64)
    for step in range(n):
        size = _FIRST
        while steps[best := int(np.argmax(known))] < step:
            size = min(size, len(known))
            rows = np.argpartition(known, len(known) - size)[len(known) - size :]
            rows = rows[(steps[rows] < step) & (known[rows] > -np.inf)]
            known[rows] = gains.since(rows, steps[rows], known[rows])
            steps[rows] = step
            size *= 2
        taken[step] = best
        gains.take(best, float(known[best]))
        known[best] = -np.inf
    return taken
