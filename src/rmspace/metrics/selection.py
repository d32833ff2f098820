"""Best-of-N: the gold reward that one gets by taking the response with the highest score of N."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from rmspace._typing import Float64Array
from rmspace.metrics._by_count import as_sizes as as_sizes
from rmspace.metrics._by_count import measure_by_n

__all__ = ["best_of_n", "gain", "normalized_gain", "quantile_of_chosen", "regret"]

_CACHED = 1 << 15  # numbers sorted at a time; so many fit the processor's cache, which halves the time


def best_of_n(scores: npt.ArrayLike, rewards: npt.ArrayLike, *, n: int | Sequence[int] | None) -> Float64Array:
    """Expected gold reward of the highest-scored of n responses, for each prompt, exactly.

    The n are drawn without replacement from the R rated responses of the prompt. With the scores in ascending order,
    the i-th (1-based) is the highest of the n with probability C(i-1, n-1) / C(R, n). Responses with equal scores share
    their probability equally. Constant scores therefore give the mean reward, the expected reward of a random response.

    Args:
        scores: (n_prompts, n_responses), or flat (n_items,) of a rectangular bank; any number per item is a score.
            Scores of a ragged bank fit after `bank.padded`. They are finite where the reward is rated.
        rewards: gold rewards (n_prompts, n_responses); NaN where there is no response or nobody rated it.
        n: one number of responses, or several, each at least 1; None means all rated responses of each prompt.

    Returns:
        (n_prompts,) for one n, (n_prompts, len(n)) for several; `nan` where a prompt has fewer than n rated responses.

    Raises:
        ValueError: an n that no prompt has responses for, shapes that do not fit, infinite values, scores that are
            missing where the reward is rated.

    Source: Stiennon et al., "Learning to summarize" (arXiv 2009.01325), for Best-of-N; the weights are the
    distribution of the largest rank in a sample without replacement.

    >>> rewards = np.array([[0.0, 3.0, 1.0]])
    >>> best_of_n(rewards, rewards, n=[1, 2, 3]).round(4).tolist()
    [[1.3333, 2.3333, 3.0]]
    >>> best_of_n(np.zeros((1, 3)), rewards, n=3).round(4).tolist()
    [1.3333]
    >>> ragged = np.array([[0.0, 3.0, 1.0], [5.0, np.nan, np.nan]])
    >>> best_of_n(ragged, ragged, n=[1, 3]).round(4).tolist()
    [[1.3333, 3.0], [5.0, nan]]
    """
    return measure_by_n(scores, rewards, n, _best_of)


def gain(scores: npt.ArrayLike, rewards: npt.ArrayLike, *, n: int | Sequence[int] | None) -> Float64Array:
    """Golden reward improvement: the expected reward of Best-of-n minus the mean gold reward, for each prompt.

        gain = best_of_n(scores, rewards, n) - mean of the prompt's rewards

    Args:
        scores, rewards, n: as in `best_of_n`.

    Returns:
        (n_prompts,) or (n_prompts, len(n)), in units of reward; 0, up to rounding, for constant scores or n = 1;
        `nan` where a prompt has fewer than n rated responses.

    Raises:
        ValueError: as `best_of_n`.

    Source: the measure of figures 1 to 6 of arXiv 2411.04991.

    >>> gain(np.array([[0.0, 2.0, 1.0]]), np.array([[5.0, 9.0, 7.0]]), n=[1, 3]).round(12).tolist()
    [[0.0, 2.0]]
    """
    return measure_by_n(scores, rewards, n, _gain)


def normalized_gain(
    scores: npt.ArrayLike, rewards: npt.ArrayLike, *, n: int | Sequence[int] | None = None
) -> Float64Array:
    """Share of the possible gain that Best-of-n makes, for each prompt: 0 = a random response, 1 = the best one.

        normalized_gain = (best_of_n(scores) - mean reward) / (best_of_n(rewards) - mean reward)

    It is negative where the scores mislead.

    Args:
        scores, rewards: as in `best_of_n`.
        n: as in `best_of_n`; all rated responses when None.

    Returns:
        (n_prompts,) or (n_prompts, len(n)); `nan` where nothing can be gained (equal rewards, or n = 1) and where a
        prompt has fewer than n rated responses.

    Raises:
        ValueError: as `best_of_n`.

    >>> rewards = np.array([[0.0, 3.0, 1.0], [2.0, 2.0, 2.0]])
    >>> normalized_gain(rewards, rewards).tolist(), normalized_gain(np.zeros((2, 3)), rewards).tolist()
    ([1.0, nan], [0.0, nan])
    """
    return measure_by_n(scores, rewards, n, _normalized)


def regret(scores: npt.ArrayLike, rewards: npt.ArrayLike, *, n: int | Sequence[int] | None = None) -> Float64Array:
    """Gold reward that Best-of-n misses, for each prompt: best_of_n(rewards) - best_of_n(scores).

    Args:
        scores, rewards: as in `best_of_n`.
        n: as in `best_of_n`; all rated responses when None.

    Returns:
        (n_prompts,) or (n_prompts, len(n)), at least 0, in units of reward; `nan` where a prompt has fewer than n
        rated responses.

    Raises:
        ValueError: as `best_of_n`.

    >>> regret(np.array([[1.0, 0.0]]), np.array([[2.0, 5.0]])).tolist()
    [3.0]
    """
    return measure_by_n(scores, rewards, n, _regret)


def quantile_of_chosen(
    scores: npt.ArrayLike, rewards: npt.ArrayLike, *, n: int | Sequence[int] | None = None
) -> Float64Array:
    """Expected quantile, among its prompt's gold rewards, of the response that Best-of-n takes, for each prompt.

    The quantile of the k-th smallest of R rewards is (k - 1) / (R - 1); equal rewards share the mean of theirs. The
    worst response has 0, the best 1, and a random one 1/2 on average.

    Args:
        scores, rewards: as in `best_of_n`.
        n: as in `best_of_n`; all rated responses when None.

    Returns:
        (n_prompts,) or (n_prompts, len(n)); `nan` where a prompt has fewer than n rated responses, or one alone.

    Raises:
        ValueError: as `best_of_n`; no prompt has two rated responses.

    >>> quantile_of_chosen(np.array([[0.0, 2.0, 1.0]]), np.array([[5.0, 6.0, 9.0]])).tolist()
    [0.5]
    """
    return measure_by_n(scores, rewards, n, _quantile, least=2)


def _best_of(scores: Float64Array, rewards: Float64Array, sizes: list[int]) -> Float64Array:
    """Return the expected reward (n_prompts, len(sizes)) of a complete table."""
    weights = np.stack([_weights(size, rewards.shape[1]) for size in sizes], axis=1)
    values = np.empty((len(rewards), weights.shape[1]))
    step = max(1, _CACHED // rewards.shape[1])
    for start in range(0, len(rewards), step):
        part = slice(start, start + step)
        values[part] = _by_score(scores[part], rewards[part]) @ weights
    return values


def _gain(scores: Float64Array, rewards: Float64Array, sizes: list[int]) -> Float64Array:
    return _best_of(scores, rewards, sizes) - _best_of(scores, rewards, [1])


def _normalized(scores: Float64Array, rewards: Float64Array, sizes: list[int]) -> Float64Array:
    reached, best = _best_of(scores, rewards, sizes), _best_of(rewards, rewards, sizes)
    random = rewards.mean(axis=1)[:, None]
    rounding = 1e-12 * np.abs(rewards).max(axis=1)[:, None]
    possible = best - random
    gain = np.where(np.abs(reached - random) > rounding, reached - random, 0.0)
    return np.divide(gain, possible, out=np.full(best.shape, np.nan), where=possible > rounding)


def _regret(scores: Float64Array, rewards: Float64Array, sizes: list[int]) -> Float64Array:
    return np.maximum(_best_of(rewards, rewards, sizes) - _best_of(scores, rewards, sizes), 0.0)


def _quantile(scores: Float64Array, rewards: Float64Array, sizes: list[int]) -> Float64Array:
    return _best_of(scores, (rankdata(rewards, axis=1) - 1) / (rewards.shape[1] - 1), sizes)


def _weights(n: int, n_responses: int) -> Float64Array:
    """Return C(i-1, n-1) / C(R, n) for i = 1 ... R: n / R for the last i, times (i - n + 1) / i for each i before."""
    i = np.arange(n_responses - 1, 0, -1)
    ratios = np.maximum(i - n + 1, 0) / i
    return np.concatenate([[n / n_responses], n / n_responses * np.cumprod(ratios)])[::-1]


def _by_score(scores: Float64Array, rewards: Float64Array) -> Float64Array:
    """Return each prompt's rewards in ascending order of score, averaged among equal scores."""
    order = np.argsort(scores, axis=1)
    order += np.arange(0, scores.size, scores.shape[1])[:, None]  # taking from flat arrays is quicker
    ordered, gold = scores.ravel().take(order), rewards.ravel().take(order)
    tied = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
    if len(tied):
        gold[tied] = _average_ties(ordered[tied], gold[tied])
    return gold


def _average_ties(ordered: Float64Array, gold: Float64Array) -> Float64Array:
    """Return gold averaged over each run of equal scores of a row."""
    new = np.ones(gold.shape, dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    starts = np.flatnonzero(new)
    lengths = np.diff(np.append(starts, gold.size))
    means = np.add.reduceat(gold.ravel(), starts) / lengths
    return np.repeat(means, lengths).reshape(gold.shape)
