"""Ranking: how well scores order the responses of a prompt."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau, rankdata

from rmspace._typing import Float64Array
from rmspace.metrics._by_count import measure

__all__ = ["kendall", "pairwise_accuracy", "spearman"]


def spearman(scores: npt.ArrayLike, rewards: npt.ArrayLike) -> Float64Array:
    """Spearman's rank correlation of scores and gold rewards, for each prompt: Pearson's of the mid-ranks.

    Args:
        scores, rewards: as in `best_of_n`; unrated responses are left out.

    Returns:
        (n_prompts,) in [-1, 1]; 0 where all scores are equal, `nan` where all rewards are equal or none is rated.

    Raises:
        ValueError: shapes that do not fit, infinite values, scores that are missing where the reward is rated.

    >>> spearman(np.array([[1.0, 2.0, 3.0]]), np.array([[0.1, 0.2, 0.9]])).round(12).tolist()
    [1.0]
    """
    return measure(scores, rewards, _spearman)


def kendall(scores: npt.ArrayLike, rewards: npt.ArrayLike) -> Float64Array:
    """Kendall's rank correlation tau-b of scores and gold rewards, for each prompt.

    Args:
        scores, rewards: as in `best_of_n`; unrated responses are left out.

    Returns:
        (n_prompts,) in [-1, 1]; 0 where all scores are equal, `nan` where all rewards are equal or none is rated.

    Raises:
        ValueError: shapes that do not fit, infinite values, scores that are missing where the reward is rated.

    >>> kendall(np.array([[1.0, 2.0, 3.0]]), np.array([[0.1, 0.9, 0.2]])).round(4).tolist()
    [0.3333]
    """
    return measure(scores, rewards, _kendall)


def pairwise_accuracy(scores: npt.ArrayLike, rewards: npt.ArrayLike) -> Float64Array:
    """Share of a prompt's pairs with different gold rewards that the scores order rightly; tied scores count 1/2.

    Args:
        scores, rewards: as in `best_of_n`; unrated responses are left out.

    Returns:
        (n_prompts,) in [0, 1], 1/2 for constant scores; `nan` where all rewards are equal or none is rated.

    Raises:
        ValueError: shapes that do not fit, infinite values, scores that are missing where the reward is rated.

    >>> pairwise_accuracy(np.array([[1.0, 2.0, 2.0]]), np.array([[0.0, 1.0, 2.0]])).round(4).tolist()
    [0.8333]
    """
    return measure(scores, rewards, _pairwise_accuracy)


def _spearman(score: Float64Array, gold: Float64Array) -> Float64Array:
    a, b = (rankdata(x, axis=1) - (x.shape[1] + 1) / 2 for x in (score, gold))
    spread = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    correlation = np.divide((a * b).sum(axis=1), spread, out=np.zeros(len(a)), where=spread > 0)
    return np.where(_undefined(gold), np.nan, correlation)


def _kendall(score: Float64Array, gold: Float64Array) -> Float64Array:
    flat = (score == score[:, :1]).all(axis=1)
    undefined = _undefined(gold)
    values = np.where(undefined, np.nan, 0.0)
    for row in np.flatnonzero(~flat & ~undefined):
        values[row] = kendalltau(score[row], gold[row]).statistic
    return values


def _pairwise_accuracy(score: Float64Array, gold: Float64Array) -> Float64Array:
    accuracy = np.full(len(gold), np.nan)
    for row in np.flatnonzero(~_undefined(gold)):
        ordered = score[row][np.argsort(gold[row])]
        right = np.sign(ordered[None, :] - ordered[:, None])
        better = np.sort(gold[row])[None, :] > np.sort(gold[row])[:, None]
        accuracy[row] = (1 + right[better].mean()) / 2
    return accuracy


def _undefined(gold: Float64Array) -> npt.NDArray[np.bool_]:
    return np.asarray((gold == gold[:, :1]).all(axis=1))
