"""Tables: scores measured against gold rewards, and two sets of scores compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmspace._checks import as_array, as_numbers, check_function, check_names, describe
from rmspace._typing import Float64Array, IntArray
from rmspace.data.arrays import check_scores
from rmspace.data.bank import ResponseBank
from rmspace.kinds import Metric
from rmspace.metrics._by_count import as_sizes
from rmspace.metrics.ranking import kendall, pairwise_accuracy, spearman
from rmspace.metrics.selection import best_of_n, gain, normalized_gain, quantile_of_chosen, regret
from rmspace.results.intervals import mean_interval, sign_flip_test
from rmspace.results.schema import MEASURES, PAIRED, table_of

UNNAMED = "scores"
"""The model's name in the table of scores that came without one."""

_LADDER = (1, 2, 5, 10, 30, 50, 100, 300, 500)
_OF_ANY_SIZE = (best_of_n, gain, regret, spearman, kendall)


class Measured(NamedTuple):
    """One metric at one n: a value per prompt, `nan` where it is undefined."""

    metric: str
    n: int | None
    values: Float64Array
    function: Any  # the metric without the options that were bound


def evaluate(
    scores: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    rewards: npt.ArrayLike | ResponseBank,
    *,
    n: int | Sequence[int] | None = None,
    metrics: Mapping[str, Metric] | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Measure scores against gold rewards: one row per model, metric and n, with the mean over prompts and an interval.

    Without `metrics` the table has `best_of_n` and `normalized_gain` at each n, `quantile_of_chosen` and `regret` of
    all responses, and `spearman`, `kendall` and `pairwise_accuracy`.

    Args:
        scores: (n_prompts, n_responses) or flat (n_items,), the scores of a model or any number per item; or a mapping
            of names to such arrays.
        rewards: gold rewards (n_prompts, n_responses), or a bank. A response whose reward is NaN is not rated, and is
            left out; so is a prompt without rated responses. The prompts of a bank go by its prompt ids.
        n: values of Best-of-N. When None: of 1, 2, 5, 10, 30, 50, 100, 300, 500, those below the number of responses,
            and that number. A prompt with fewer than n rated responses is left out of the row of that n.
        metrics: name -> function of (scores, rewards) with one value per prompt, in place of all the above. Bind their
            n. The rewards that they get have NaN where nobody rated.
        confidence: of the intervals, in (0, 1); see `mean_interval`.

    Returns:
        Columns model ("scores" for an array without a name), metric, n (missing where a metric has none), value, low,
        high, n_prompts (the number of prompts that the mean is over).

    Raises:
        ValueError: n larger than the responses of every prompt, shapes that do not fit, rewards that are infinite,
            scores that are not finite where a response is rated, a metric that does not return one value per prompt.

    >>> rewards = np.random.default_rng(0).normal(size=(50, 8))
    >>> table = evaluate({"perfect": rewards, "constant": np.zeros((50, 8))}, rewards, n=[1, 8])
    >>> table[table.metric == "normalized_gain"][["model", "n", "value", "n_prompts"]].values.tolist()
    [['perfect', 8, 1.0, 50], ['constant', 8, 0.0, 50]]
    """
    rows = []
    for name, array in named(scores).items():
        score, gold, prompts = rated_of(array, rewards)
        for metric, size, values, function in _measure(score, gold, n, metrics):
            interval = mean_interval(
                values, groups=prompts, confidence=confidence, binary=_is_outcome(function, values)
            )
            rows.append((name, metric, size, *interval, _count(values, prompts)))
    return table_of(rows, MEASURES)


def compare(
    scores: npt.ArrayLike,
    others: npt.ArrayLike,
    rewards: npt.ArrayLike | ResponseBank,
    *,
    n: int | Sequence[int] | None = None,
    metrics: Mapping[str, Metric] | None = None,
    confidence: float = 0.95,
    n_resamples: int = 4999,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare two sets of scores on the same prompts: mean paired difference, interval and p-value for each metric.

    The difference is taken prompt by prompt, so the difficulty of a prompt, which both share, cancels. The p-value is
    that of a sign-flip test. p-values are not corrected for the number of metrics.

    Args:
        scores, others: (n_prompts, n_responses) or flat (n_items,). A positive difference means that the metric is
            larger with `scores`, which is better for all metrics except `regret`.
        rewards, n, metrics, confidence: as in `evaluate`.
        n_resamples, seed: of the test; see `sign_flip_test`.

    Returns:
        Columns metric, n, difference, low, high, p_value, n_prompts.

    Raises:
        ValueError: as `evaluate`.

    >>> rng = np.random.default_rng(0)
    >>> rewards = rng.normal(size=(50, 8))
    >>> table = compare(rewards, rng.normal(size=(50, 8)), rewards, n=8)
    >>> bool((table.set_index("metric").low["best_of_n"] > 0).all())
    True
    """
    score, gold, prompts = rated_of(scores, rewards)
    other, _, _ = rated_of(others, rewards)
    rows = []
    measured = zip(_measure(score, gold, n, metrics), _measure(other, gold, n, metrics), strict=True)
    for (metric, size, a, _), (_, _, b, _) in measured:
        rounding = 1e-12 * np.maximum(np.abs(a), np.abs(b))
        difference = np.where(np.abs(a - b) <= rounding, 0.0, a - b)
        interval = mean_interval(difference, groups=prompts, confidence=confidence, binary=False)
        p_value = sign_flip_test(difference, groups=prompts, n_resamples=n_resamples, seed=seed)
        rows.append((metric, size, *interval, p_value, _count(difference, prompts)))
    return table_of(rows, PAIRED)


def named(scores: npt.ArrayLike | Mapping[str, npt.ArrayLike]) -> Mapping[str, npt.ArrayLike]:
    """Return scores by the name of their model."""
    if not isinstance(scores, Mapping):
        return {UNNAMED: scores}
    if not scores or not all(isinstance(name, str) for name in scores):
        raise ValueError(f"scores must map at least one name, a text, to an array; got the names {list(scores)}")
    return scores


def rated_of(
    scores: npt.ArrayLike, rewards: npt.ArrayLike | ResponseBank
) -> tuple[Float64Array, Float64Array, IntArray | None]:
    """Return the scores and rewards of the prompts with a rated response, and their numbers where ids may repeat."""
    prompts = None
    if isinstance(rewards, ResponseBank):
        array = as_array("scores", scores)
        scores = rewards.padded(array) if array.shape == (rewards.n_items,) else array
        prompts = rewards.groups[rewards.offsets[:-1]]
        rewards = rewards.rewards
    score, gold = check_scores(scores, rewards)
    rated = ~np.isnan(gold).all(axis=1)
    if rated.all():
        return score, gold, prompts
    return score[rated], gold[rated], None if prompts is None else prompts[rated]


def _count(values: Float64Array, prompts: IntArray | None) -> int:
    """Return the number of prompts with a value."""
    defined = ~np.isnan(values)
    return int(defined.sum()) if prompts is None else len(np.unique(prompts[defined]))


def _measure(
    scores: Float64Array,
    rewards: Float64Array,
    n: int | Sequence[int] | None,
    metrics: Mapping[str, Metric] | None,
) -> Iterator[Measured]:
    if metrics is None:
        yield from _measure_all(scores, rewards, n)
        return
    if n is not None:
        raise ValueError("n is for the built-in table; with metrics, bind it: functools.partial(best_of_n, n=[2, 5])")
    check_names("metrics", metrics)
    for name, metric in metrics.items():
        check_function(f"metric {name!r}", metric, "of scores and rewards")
        yield from _measure_own(name, metric, scores, rewards)


def _measure_all(scores: Float64Array, rewards: Float64Array, n: int | Sequence[int] | None) -> Iterator[Measured]:
    counts = (~np.isnan(rewards)).sum(axis=1)
    most = int(counts.max())
    every = most if (counts == most).all() else None  # the n of a metric of all responses
    sizes = as_sizes(sorted({size for size in _LADDER if size < most} | {most}) if n is None else n)
    for size, values in zip(sizes, best_of_n(scores, rewards, n=sizes).T, strict=True):
        yield Measured("best_of_n", size, values, best_of_n)
    for size, values in zip(sizes, normalized_gain(scores, rewards, n=sizes).T, strict=True):
        if size > 1:
            yield Measured("normalized_gain", size, values, normalized_gain)
    if most > 1:
        yield Measured("quantile_of_chosen", every, quantile_of_chosen(scores, rewards), quantile_of_chosen)
    yield Measured("regret", every, regret(scores, rewards), regret)
    yield Measured("spearman", None, spearman(scores, rewards), spearman)
    yield Measured("kendall", None, kendall(scores, rewards), kendall)
    yield Measured("pairwise_accuracy", None, pairwise_accuracy(scores, rewards), pairwise_accuracy)


def _measure_own(name: str, metric: Metric, scores: Float64Array, rewards: Float64Array) -> Iterator[Measured]:
    values = as_numbers(
        f"the values of metric {name!r}", metric(scores.copy(), rewards.copy())
    )  # it may sort them in place
    function = getattr(metric, "func", metric)
    bound: Any = getattr(metric, "keywords", {}).get("n")  # functools.partial(best_of_n, n=[...])
    if values.ndim == 2 and values.shape == (len(rewards), np.size(bound)) and bound is not None:
        yield from (Measured(name, int(size), column, function) for size, column in zip(bound, values.T, strict=True))
    elif values.shape == (len(rewards),):
        yield Measured(name, bound, values, function)
    else:
        raise ValueError(f"metric {name!r} must return one value per prompt, ({len(rewards)},); got {describe(values)}")


def _is_outcome(metric: Any, values: Float64Array) -> bool:
    """Say whether values that are all 0 or 1 are outcomes, which can be nothing else."""
    if metric is normalized_gain:  # at most 1, and below 0 where scores mislead
        return bool((values[~np.isnan(values)] == 1).all())
    return metric not in _OF_ANY_SIZE
