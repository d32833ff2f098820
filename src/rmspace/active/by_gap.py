"""Rules that look at each pair alone: its current gap, or nothing at all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rmspace._typing import Float64Array, IntArray
from rmspace.active._pool import Pool, check_pool

__all__ = ["at_random", "entropy", "largest_gap"]


def at_random(
    differences: npt.ArrayLike, gaps: npt.ArrayLike, chosen: npt.ArrayLike, n: int, rng: np.random.Generator
) -> IntArray:
    """Choose pairs at random: the rule that others must beat.

    Args:
        differences, gaps, chosen, n, rng: as in `SelectionRule`.

    Returns:
        int64 (n,) rows of candidates, none of them in `chosen`.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, rows that are no candidates, or fewer than n
            candidates that are left.

    >>> at_random(np.eye(3), np.zeros(3), [0], 2, np.random.default_rng(0)).tolist()
    [1, 2]
    """
    pool = check_pool(differences, gaps, chosen, n, rng)
    return pool.rng.permutation(pool.left)[: pool.n]


def entropy(
    differences: npt.ArrayLike, gaps: npt.ArrayLike, chosen: npt.ArrayLike, n: int, rng: np.random.Generator
) -> IntArray:
    """Choose the pairs whose outcome is least certain: the largest entropy of sigma(gap), so the smallest |gap|.

    Args:
        differences, gaps, chosen, n, rng: as in `SelectionRule`; of equal gaps, those that are taken are drawn.

    Returns:
        int64 (n,) rows of candidates, the least certain first.

    Raises:
        ValueError: as `at_random`.

    Source: as the maximum entropy of arXiv 2502.04354; Lewis and Gale, "A sequential algorithm for training text
    classifiers" (1994), for uncertainty sampling.

    >>> entropy(np.eye(3), [2.0, -0.1, 1.0], [], 2, np.random.default_rng(0)).tolist()
    [1, 2]
    """
    pool = check_pool(differences, gaps, chosen, n, rng)
    return highest(pool, -np.abs(pool.gaps))


def largest_gap(
    differences: npt.ArrayLike, gaps: npt.ArrayLike, chosen: npt.ArrayLike, n: int, rng: np.random.Generator
) -> IntArray:
    """Choose the pairs with the largest |gap|, whose outcome is most certain.

    Args:
        differences, gaps, chosen, n, rng: as in `SelectionRule`; of equal gaps, those that are taken are drawn.

    Returns:
        int64 (n,) rows of candidates, the largest gap first.

    Raises:
        ValueError: as `at_random`.

    Source: the maximum difference of arXiv 2502.04354.

    >>> largest_gap(np.eye(3), [2.0, -0.1, 1.0], [], 2, np.random.default_rng(0)).tolist()
    [0, 2]
    """
    pool = check_pool(differences, gaps, chosen, n, rng)
    return highest(pool, np.abs(pool.gaps))


def highest(pool: Pool, values: Float64Array) -> IntArray:
    """Return the rows of a pool with the highest values, one value per row that is left; equal values are drawn."""
    order = np.lexsort((pool.rng.random(len(values)), -values))
    return pool.left[order[: pool.n]]
