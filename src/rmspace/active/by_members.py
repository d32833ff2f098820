"""Rules that ask where the members of an ensemble disagree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit, xlog1py, xlogy

from rmspace._checks import check_number
from rmspace._typing import Float64Array, IntArray
from rmspace.active._pool import Pool, check_pool
from rmspace.active.by_gap import highest

__all__ = ["bald", "gap_variance", "level_set"]


def bald(
    differences: npt.ArrayLike, gaps: npt.ArrayLike, chosen: npt.ArrayLike, n: int, rng: np.random.Generator
) -> IntArray:
    """Choose the pairs whose outcome tells most about which member is right (BALD).

        H(mean over members of p_m) - mean over members of H(p_m),   p_m = sigma(gap_m),  H the entropy in nats

    Args:
        differences, gaps, chosen, n, rng: as in `SelectionRule`; gaps are (n_members, n_candidates), at least two
            members. Before the first fit, when all gaps are 0, the pairs are drawn.

    Returns:
        int64 (n,) rows of candidates, the largest information first.

    Raises:
        ValueError: as `at_random`; one member, which knows of no disagreement.

    Source: Houlsby et al., "Bayesian active learning for classification and preference learning" (arXiv 1112.5745).

    >>> bald(np.eye(3), [[2.0, 0.0, 1.0], [2.0, 0.0, -3.0]], [], 1, np.random.default_rng(0)).tolist()
    [2]
    """
    pool = check_pool(differences, gaps, chosen, n, rng)
    p = expit(_several("bald", pool))
    return highest(pool, _entropy(p.mean(axis=0)) - _entropy(p).mean(axis=0))


def gap_variance(
    differences: npt.ArrayLike, gaps: npt.ArrayLike, chosen: npt.ArrayLike, n: int, rng: np.random.Generator
) -> IntArray:
    """Choose the pairs on whose gap the members differ most: the largest variance over members.

    Args:
        differences, gaps, chosen, n, rng: as in `bald`.

    Returns:
        int64 (n,) rows of candidates, the largest variance first.

    Raises:
        ValueError: as `bald`.

    Source: query by committee, Seung, Opper and Sompolinsky (1992), with the variance as disagreement.

    >>> gap_variance(np.eye(3), [[2.0, 0.0, 1.0], [2.0, 0.0, -3.0]], [], 1, np.random.default_rng(0)).tolist()
    [2]
    """
    pool = check_pool(differences, gaps, chosen, n, rng)
    return highest(pool, _several("gap_variance", pool).var(axis=0))


def level_set(
    differences: npt.ArrayLike,
    gaps: npt.ArrayLike,
    chosen: npt.ArrayLike,
    n: int,
    rng: np.random.Generator,
    *,
    k: float = 1.96,
) -> IntArray:
    """Choose the pairs that may be on either side of the level gap = 0: the largest k std - |mean gap| over members.

    A value above 0 says that 0 is inside the interval mean -+ k std of the gap, so that the members do not agree who
    wins. With the gaps of one model, std is 0, and the pairs are those with the smallest |gap|, as in `entropy`.

    Args:
        differences, gaps, chosen, n, rng: as in `SelectionRule`; of equal values, those that are taken are drawn.
        k: at least 0; 0 takes the smallest |mean gap|.

    Returns:
        int64 (n,) rows of candidates, the most ambiguous first.

    Raises:
        ValueError: as `at_random`; a negative k.

    Source: the straddle rule of Bryan et al., "Active learning for identifying function threshold boundaries" (2005),
    as in Gotovos et al., "Active learning for level set estimation" (2013), with the spread of members in place of that
    of a Gaussian process. The rule of that name in the code of arXiv 2502.04354 knows no spread: it is the case of one
    model.

    >>> level_set(np.eye(3), [[2.0, 0.1, 4.0], [2.0, 0.1, -3.0]], [], 2, np.random.default_rng(0)).tolist()
    [2, 1]
    """
    pool = check_pool(differences, gaps, chosen, n, rng)
    k = check_number("k", k, low=0.0)
    members = pool.members[:, pool.left]
    spread = members.std(axis=0, ddof=1) if len(members) > 1 else np.zeros(members.shape[1])
    return highest(pool, k * spread - np.abs(pool.gaps))


def _several(name: str, pool: Pool) -> Float64Array:
    """Return the gaps by member of the rows that are left."""
    if len(pool.members) < 2:
        raise ValueError(
            f"{name} needs gaps of two members, (n_members, n_candidates); got those of one; use EnsembleReward, or "
            "another rule"
        )
    return pool.members[:, pool.left]


def _entropy(p: Float64Array) -> Float64Array:
    return np.asarray(-xlogy(p, p) - xlog1py(1 - p, -p))
