"""Rules that ask where the members of an ensemble disagree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit, xlog1py, xlogy

from rmspace._typing import Float64Array, IntArray
from rmspace.active._pool import Pool, check_pool
from rmspace.active.by_gap import highest

__all__ = ["bald", "gap_variance"]


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
