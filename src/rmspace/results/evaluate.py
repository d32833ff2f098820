"""Tables: what scores are worth, and which of two sets of scores is worth more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmspace._checks import describe
from rmspace._typing import Float64Array
from rmspace.data.arrays import check_scores
from rmspace.kinds import Metric
from rmspace.metrics.ranking import kendall, pairwise_accuracy, spearman
from rmspace.metrics.selection import as_sizes, best_of_n, normalized_gain, quantile_of_chosen, regret
from rmspace.results.intervals import bootstrap_interval, sign_flip_test

_LADDER = (1, 2, 5, 10, 30, 50, 100, 300, 500)


def evaluate(
    scores: npt.ArrayLike,
    rewards: npt.ArrayLike,
    *,
    n: int | Sequence[int] | None = None,
    metrics: Mapping[str, Metric] | None = None,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure scores against gold rewards: one row a metric and n, its mean over prompts, a bootstrap interval.

    Without `metrics` the table has `best_of_n` and `normalized_gain` at each n, and `quantile_of_chosen`, `regret`
    (both of all responses), `spearman`, `kendall` and `pairwise_accuracy`.

    Args:
        scores: (n_prompts, n_responses) or flat (n_items,); a model's, or any number per item.
        rewards: gold rewards (n_prompts, n_responses).
        n: values of Best-of-N; those of 1, 2, 5, 10, 30, 50, 100, 300, 500 that the responses allow, and all of
            them, when None.
        metrics: name -> function of (scores, rewards) with one value a prompt, instead of all the above; bind their n.
        confidence, n_resamples, seed: of the intervals; see `bootstrap_interval`.

    Returns:
        Columns metric, n (missing where a metric has none), value, low, high.

    Raises:
        ValueError: n larger than n_responses, shapes that do not fit, values that are not finite, a metric that does
            not return one value a prompt.

    >>> rewards = np.random.default_rng(0).normal(size=(50, 8))
    >>> table = evaluate(rewards, rewards, n=[1, 8])
    >>> table[table.metric == "normalized_gain"][["n", "value", "low", "high"]].values.tolist()
    [[8, 1.0, 1.0, 1.0]]
    """
    score, gold = check_scores(scores, rewards)
    rows = []
    for metric, size, values in _measure(score, gold, n, metrics):
        value, low, high = bootstrap_interval(values, confidence=confidence, n_resamples=n_resamples, seed=seed)
        rows.append((metric, size, value, low, high))
    return _table(rows, ["metric", "n", "value", "low", "high"])


def compare(
    scores: npt.ArrayLike,
    others: npt.ArrayLike,
    rewards: npt.ArrayLike,
    *,
    n: int | Sequence[int] | None = None,
    metrics: Mapping[str, Metric] | None = None,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare two sets of scores on the same prompts: mean paired difference, interval and p-value for each metric.

    The difference is taken prompt by prompt, so what makes a prompt easy for both cancels; the interval is a bootstrap
    over prompts and the p-value a sign-flip test. p-values are not corrected for the number of metrics.

    Args:
        scores, others: (n_prompts, n_responses) or flat; positive differences speak for `scores` (but for `regret`).
        rewards, n, metrics, confidence, n_resamples, seed: as in `evaluate`.

    Returns:
        Columns metric, n, difference, low, high, p_value.

    Raises:
        ValueError: as `evaluate`.

    >>> rng = np.random.default_rng(0)
    >>> rewards = rng.normal(size=(50, 8))
    >>> table = compare(rewards, rng.normal(size=(50, 8)), rewards, n=8)
    >>> bool((table.set_index("metric").low["best_of_n"] > 0).all())
    True
    """
    score, gold = check_scores(scores, rewards)
    other, _ = check_scores(others, rewards)
    rows = []
    measured = zip(_measure(score, gold, n, metrics), _measure(other, gold, n, metrics), strict=True)
    for (metric, size, a), (_, _, b) in measured:
        rounding = 1e-12 * np.maximum(np.abs(a), np.abs(b))
        difference = np.where(np.abs(a - b) <= rounding, 0.0, a - b)
        value, low, high = bootstrap_interval(difference, confidence=confidence, n_resamples=n_resamples, seed=seed)
        rows.append((metric, size, value, low, high, sign_flip_test(difference, seed=seed)))
    return _table(rows, ["metric", "n", "difference", "low", "high", "p_value"])


def _measure(
    scores: Float64Array,
    rewards: Float64Array,
    n: int | Sequence[int] | None,
    metrics: Mapping[str, Metric] | None,
) -> Iterator[tuple[str, int | None, Float64Array]]:
    """Yield (metric, n, one value a prompt)."""
    if metrics is not None:
        if n is not None:
            raise ValueError(
                "n is for the built-in table; with metrics, bind it: functools.partial(best_of_n, n=[2, 5])"
            )
        for name, metric in metrics.items():
            yield from _measure_own(name, metric, scores, rewards)
        return
    width = rewards.shape[1]
    if n is None:
        n = sorted({size for size in _LADDER if size < width} | {width})
    sizes = as_sizes(n)
    for name, by_n in (("best_of_n", best_of_n), ("normalized_gain", normalized_gain)):
        for size, values in zip(sizes, by_n(scores, rewards, n=sizes).T, strict=True):
            if name == "best_of_n" or size > 1:
                yield name, size, values
    if width > 1:
        yield "quantile_of_chosen", width, quantile_of_chosen(scores, rewards)
    yield "regret", width, regret(scores, rewards)
    for name, rank in (
        ("spearman", spearman),
        ("kendall", kendall),
        ("pairwise_accuracy", pairwise_accuracy),
    ):
        yield name, None, rank(scores, rewards)


def _measure_own(
    name: str, metric: Metric, scores: Float64Array, rewards: Float64Array
) -> Iterator[tuple[str, int | None, Float64Array]]:
    values = np.asarray(metric(scores.copy(), rewards.copy()), dtype=np.float64)  # it may sort them in place
    bound: Any = getattr(metric, "keywords", {}).get("n")  # functools.partial(best_of_n, n=[...])
    if values.ndim == 2 and values.shape == (len(rewards), np.size(bound)) and bound is not None:
        yield from ((name, int(size), column) for size, column in zip(bound, values.T, strict=True))
    elif values.shape == (len(rewards),):
        yield name, bound, values
    else:
        raise ValueError(f"metric {name!r} must return one value a prompt, ({len(rewards)},); got {describe(values)}")


def _table(rows: Sequence[tuple[Any, ...]], columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns).astype({"n": "Int64"})
