"""Best-of-N: what is gained by taking the response that scores highest among N."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from rmspace._checks import check_int
from rmspace._typing import Float64Array
from rmspace.data.arrays import check_scores

__all__ = ["best_of_n", "gain", "normalized_gain", "quantile_of_chosen", "regret"]

_CACHED = 1 << 15  # numbers sorted together: what fits the processor's cache takes half the time


def best_of_n(scores: npt.ArrayLike, rewards: npt.ArrayLike, *, n: int | Sequence[int]) -> Float64Array:
    """Expected gold reward of the highest-scored of n responses, for each prompt, exactly.

    The n are drawn without replacement from the R of the prompt. With the scores in ascending order, the i-th
    (1-based) is the highest of the n with probability C(i-1, n-1) / C(R, n); responses with equal scores share
    theirs equally. Constant scores therefore give the mean reward, what a random response is worth.

    Args:
        scores: finite (n_prompts, n_responses), or flat (n_items,): any number per item can stand as a score.
        rewards: gold rewards (n_prompts, n_responses).
        n: one number of responses, or several, each in [1, n_responses].

    Returns:
        (n_prompts,) for one n, (n_prompts, len(n)) for several; `.mean(axis=0)` is the figure that is reported.

    Raises:
        ValueError: n larger than n_responses, shapes that do not fit, values that are not finite.

    Source: Stiennon et al., "Learning to summarize" (arXiv 2009.01325), for Best-of-N; the weights are the
    distribution of the largest rank in a sample without replacement.

    >>> rewards = np.array([[0.0, 3.0, 1.0]])
    >>> best_of_n(rewards, rewards, n=[1, 2, 3]).round(4).tolist()
    [[1.3333, 2.3333, 3.0]]
    >>> best_of_n(np.zeros((1, 3)), rewards, n=3).round(4).tolist()
    [1.3333]
    """
    score, gold = check_scores(scores, rewards)
    weights = np.stack([_weights(size, gold.shape[1]) for size in as_sizes(n)], axis=1)
    values = np.empty((len(gold), weights.shape[1]))
    step = max(1, _CACHED // gold.shape[1])
    for start in range(0, len(gold), step):
        part = slice(start, start + step)
        values[part] = _by_score(score[part], gold[part]) @ weights
    return values[:, 0] if np.ndim(n) == 0 else values


def gain(scores: npt.ArrayLike, rewards: npt.ArrayLike, *, n: int | Sequence[int]) -> Float64Array:
    """Golden reward improvement: what Best-of-n reaches above the mean gold reward, for each prompt.

        gain = best_of_n(scores, rewards, n) - mean of the prompt's rewards

    Args:
        scores, rewards, n: as in `best_of_n`.

    Returns:
        (n_prompts,) or (n_prompts, len(n)), in units of reward; 0, but for rounding, for constant scores or n = 1.

    Raises:
        ValueError: as `best_of_n`.

    Source: the measure of figures 1 to 6 of arXiv 2411.04991.

    >>> gain(np.array([[0.0, 2.0, 1.0]]), np.array([[5.0, 9.0, 7.0]]), n=[1, 3]).tolist()
    [[0.0, 2.0]]
    """
    score, gold = check_scores(scores, rewards)
    several = bool(np.ndim(n))
    reached = best_of_n(score, gold, n=n)
    mean = best_of_n(score, gold, n=1)
    return reached - (mean[:, None] if several else mean)


def normalized_gain(
    scores: npt.ArrayLike, rewards: npt.ArrayLike, *, n: int | Sequence[int] | None = None
) -> Float64Array:
    """Share of the possible gain that Best-of-n makes, for each prompt: 0 = a random response, 1 = the best one.

    (best_of_n(scores) - mean reward) / (best_of_n(rewards) - mean reward); negative where the scores mislead. It is
    `nan` where nothing can be gained: equal rewards, or n = 1.

    Args:
        scores, rewards: as in `best_of_n`.
        n: as in `best_of_n`; all responses when None.

    Returns:
        (n_prompts,) or (n_prompts, len(n)).

    Raises:
        ValueError: as `best_of_n`.

    >>> rewards = np.array([[0.0, 3.0, 1.0], [2.0, 2.0, 2.0]])
    >>> normalized_gain(rewards, rewards).tolist(), normalized_gain(np.zeros((2, 3)), rewards).tolist()
    ([1.0, nan], [0.0, nan])
    """
    score, gold = check_scores(scores, rewards)
    sizes = gold.shape[1] if n is None else n
    reached, best = best_of_n(score, gold, n=sizes), best_of_n(gold, gold, n=sizes)
    random = gold.mean(axis=1)
    random = random[:, None] if reached.ndim == 2 else random
    rounding = 1e-12 * np.abs(gold).max(axis=1).reshape(random.shape)
    possible = best - random
    gain = np.where(np.abs(reached - random) > rounding, reached - random, 0.0)
    return np.divide(gain, possible, out=np.full(best.shape, np.nan), where=possible > rounding)


def regret(scores: npt.ArrayLike, rewards: npt.ArrayLike, *, n: int | Sequence[int] | None = None) -> Float64Array:
    """Gold reward that Best-of-n leaves on the table, for each prompt: best_of_n(rewards) - best_of_n(scores).

    Args:
        scores, rewards: as in `best_of_n`.
        n: as in `best_of_n`; all responses when None.

    Returns:
        (n_prompts,) or (n_prompts, len(n)), at least 0, in units of reward.

    Raises:
        ValueError: as `best_of_n`.

    >>> regret(np.array([[1.0, 0.0]]), np.array([[2.0, 5.0]])).tolist()
    [3.0]
    """
    score, gold = check_scores(scores, rewards)
    sizes = gold.shape[1] if n is None else n
    return np.maximum(best_of_n(gold, gold, n=sizes) - best_of_n(score, gold, n=sizes), 0.0)


def quantile_of_chosen(
    scores: npt.ArrayLike, rewards: npt.ArrayLike, *, n: int | Sequence[int] | None = None
) -> Float64Array:
    """Expected quantile, among its prompt's gold rewards, of the response that Best-of-n takes, for each prompt.

    The quantile of the k-th smallest of R rewards is (k - 1) / (R - 1), ties share their mean: 0 is the worst, 1 the
    best, 1/2 a random response.

    Args:
        scores, rewards: as in `best_of_n`.
        n: as in `best_of_n`; all responses when None.

    Returns:
        (n_prompts,) or (n_prompts, len(n)).

    Raises:
        ValueError: as `best_of_n`; one response a prompt.

    >>> quantile_of_chosen(np.array([[0.0, 2.0, 1.0]]), np.array([[5.0, 6.0, 9.0]])).tolist()
    [0.5]
    """
    score, gold = check_scores(scores, rewards)
    if gold.shape[1] < 2:
        raise ValueError("a quantile needs two responses a prompt; got 1")
    quantiles = (rankdata(gold, axis=1) - 1) / (gold.shape[1] - 1)
    return best_of_n(score, quantiles, n=gold.shape[1] if n is None else n)


def as_sizes(n: int | Sequence[int]) -> list[int]:
    """Return one n, or several, as a list of integers of at least 1."""
    sizes = list(n) if isinstance(n, Sequence | np.ndarray) and np.ndim(n) else [n]
    if not sizes:
        raise ValueError("n must name at least one number of responses; got none")
    return [check_int("n", size, low=1) for size in sizes]


def _weights(n: int, n_responses: int) -> Float64Array:
    """Return C(i-1, n-1) / C(R, n) for i = 1 ... R: n / R at the top, then times (i - n + 1) / i going down."""
    if n > n_responses:
        raise ValueError(f"n must be at most n_responses = {n_responses}; got {n}; draws are without replacement")
    i = np.arange(n_responses - 1, 0, -1)
    ratios = np.maximum(i - n + 1, 0) / i
    return np.concatenate([[n / n_responses], n / n_responses * np.cumprod(ratios)])[::-1]


def _by_score(scores: Float64Array, rewards: Float64Array) -> Float64Array:
    """Return each prompt's rewards in ascending order of score, averaged among equal scores."""
    order = np.argsort(scores, axis=1)
    order += np.arange(0, scores.size, scores.shape[1])[:, None]  # places in the flat arrays, which are quicker to take
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
