"""Tables: scores measured against comparisons, with intervals."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from rmspace._checks import as_array, as_numbers, check_names, describe
from rmspace._typing import Float64Array, IntArray
from rmspace.data.arrays import check_finite, check_weights
from rmspace.data.preferences import Preferences, check_preferences
from rmspace.kinds import PreferenceMetric
from rmspace.metrics.preference import accuracy, log_loss
from rmspace.results.evaluate import named
from rmspace.results.intervals import mean_interval, sign_flip_test
from rmspace.results.schema import MEASURES, PAIRED, RESERVED, table_of
from rmspace.results.tables import equal

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def evaluate_preferences(
    scores: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    preferences: Preferences,
    *,
    by: str | None = None,
    metrics: Mapping[str, PreferenceMetric] | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Measure scores against comparisons: one row per model and metric, with the mean and an interval over prompts.

    Comparisons are weighted by the column `weight`, where there is one. Comparisons that have a prompt in common are
    not independent, and the interval takes account of this. So a pair that several annotators judged may be several
    rows.

    Args:
        scores: (n_items,) a score for each item of the preferences, as `model.predict(preferences.items)` gives;
            (n_comparisons, 2) scores of the winner and the loser of each comparison, for a judge that sees both; or a
            mapping of names to such arrays.
        preferences: the comparisons.
        by: a column, such as "subset" or "annotator", each value of which gets its own rows; None for all in one.
        metrics: name -> function of (winner scores, loser scores) with one value per comparison, `nan` where it is
            undefined; `accuracy` and `log_loss` when None. A metric that has a parameter with the name of a column of
            the preferences, such as `tie` or `margin`, gets that column.
        confidence: of the intervals, in (0, 1); see `mean_interval`.

    Returns:
        Column `by`, if it is given, then model ("scores" for an array without a name), metric, n (missing), value, low,
        high, n_prompts (the number of prompts that have a comparison in the mean).

    Raises:
        ValueError: scores that do not fit the items, or are not finite where an item is compared; no such column; a
            metric that does not return one value per comparison, or needs a column that the preferences do not have.

    >>> items = np.eye(4, dtype=np.float32)
    >>> data = Preferences(items, [[0, 1], [3, 2]], groups=["a", "a", "b", "b"], subset=["chat", "code"])
    >>> table = evaluate_preferences({"BT": [1.0, 0.0, 2.0, 1.0]}, data, by="subset")
    >>> table[table.metric == "accuracy"][["subset", "model", "value"]].values.tolist()
    [['chat', 'BT', 1.0], ['code', 'BT', 0.0]]
    """
    check_preferences("preferences", preferences)
    prompts, weight = prompts_of(preferences), check_weights(preferences.weight, len(preferences))
    measured = [
        (name, metric, _measure(metric, function, array, preferences))
        for name, array in named(scores).items()
        for metric, function in _metrics(metrics).items()
    ]
    labels, rows = [], []
    for label, part in parts_of(preferences, by):
        for name, metric, values in measured:
            used = part & ~np.isnan(values) & (weight > 0)
            interval = mean_interval(values[used], groups=prompts[used], weights=weight[used], confidence=confidence)
            rows.append((name, metric, None, *interval, len(np.unique(prompts[used]))))
            labels.append(label)
    table = table_of(rows, MEASURES)
    if by is not None:
        table.insert(0, by, labels)
    return table


def compare_preferences(
    scores: npt.ArrayLike,
    others: npt.ArrayLike,
    preferences: Preferences,
    *,
    metrics: Mapping[str, PreferenceMetric] | None = None,
    confidence: float = 0.95,
    n_resamples: int = 4999,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare two models on the same comparisons: paired differences, with an interval and a test over prompts.

    Both models judge the same comparisons, so the difficulty that they share cancels.

    Args:
        scores, others: scores of the two models; see `evaluate_preferences`.
        preferences, metrics, confidence: as in `evaluate_preferences`.
        n_resamples, seed: of the sign-flip test, which flips all comparisons of a prompt together. Prompts that are
            compared with one another are flipped together.

    Returns:
        Columns metric, n (missing), difference (positive where the first model has the larger value), low, high,
        p_value (not corrected), n_prompts.

    Raises:
        ValueError: as `evaluate_preferences`.

    >>> items = np.eye(4, dtype=np.float32)
    >>> data = Preferences(items, [[0, 1], [3, 2]], groups=["a", "a", "b", "b"])
    >>> table = compare_preferences([1, 0, 0, 1], [0, 1, 0, 1], data)
    >>> table[["metric", "difference", "n_prompts"]].round(3).values.tolist()
    [['accuracy', 0.5, 2], ['log_loss', -0.5, 2]]
    """
    prompts, weight = prompts_of(preferences), check_weights(preferences.weight, len(preferences))
    blocks = _linked(prompts)
    rows = []
    for metric, function in _metrics(metrics).items():
        first, second = (_measure(metric, function, side, preferences) for side in (scores, others))
        difference = np.where(np.isclose(first, second, rtol=1e-12, atol=0), 0.0, first - second)
        used = ~np.isnan(difference) & (weight > 0)
        options: dict[str, Any] = {"weights": weight[used], "confidence": confidence, "binary": False}
        interval = mean_interval(difference[used], groups=prompts[used], **options)
        p_value = sign_flip_test((difference * weight)[used], groups=blocks[used], n_resamples=n_resamples, seed=seed)
        rows.append((metric, None, *interval, p_value, len(np.unique(prompts[used]))))
    return table_of(rows, PAIRED)


def _metrics(metrics: Mapping[str, PreferenceMetric] | None) -> Mapping[str, PreferenceMetric]:
    if metrics is None:
        return {"accuracy": accuracy, "log_loss": log_loss}
    check_names("metrics", metrics)
    return metrics


def _linked(prompts: IntArray) -> IntArray:
    """Return a number for each comparison, equal where prompts are linked by comparisons."""
    if prompts.ndim == 1:
        return prompts
    size = int(prompts.max()) + 1
    links = coo_array((np.ones(len(prompts)), (prompts[:, 0], prompts[:, 1])), shape=(size, size))
    return connected_components(links, directed=False)[1][prompts[:, 0]].astype(np.int64)


def sides_of(scores: npt.ArrayLike, preferences: Preferences) -> tuple[Float64Array, Float64Array]:
    """Return the scores of the winners and of the losers, from scores of items or of the sides of comparisons."""
    array = as_array("scores", scores)
    of_items, of_sides = (preferences.n_items,), (len(preferences), 2)
    if array.shape not in (of_items, of_sides) or array.dtype.kind not in "biuf":
        raise ValueError(
            f"scores must be one number per item, {of_items}, or one per side of a comparison, {of_sides}; got "
            f"{describe(array)}"
        )
    numbers = array.astype(np.float64)
    pairs = numbers if array.ndim == 2 else numbers[preferences.comparisons]
    check_finite("scores of comparisons", pairs)
    return pairs[:, 0], pairs[:, 1]


def prompts_of(preferences: Preferences) -> IntArray:
    """Return the number of each comparison's prompt, or of both its prompts where some comparison has two."""
    numbers = np.unique(preferences.groups, return_inverse=True)[1][preferences.comparisons]
    return numbers[:, 0] if (numbers[:, 0] == numbers[:, 1]).all() else numbers


def parts_of(preferences: Preferences, by: str | None) -> list[tuple[Any, npt.NDArray[np.bool_]]]:
    """Return each value of a column, with the comparisons that have it."""
    if by is None:
        return [(None, np.ones(len(preferences), dtype=bool))]
    if by not in preferences.columns or by in RESERVED:
        raise ValueError(
            f"by must be a column of the preferences, {sorted(preferences.columns)}, and not have the name of a column "
            f"of results; got {by!r}"
        )
    column = pd.Series(preferences.columns[by])
    return [(value, equal(column, value).to_numpy()) for value in column.unique()]


def _measure(metric: str, function: PreferenceMetric, scores: npt.ArrayLike, preferences: Preferences) -> Float64Array:
    """Return one value per comparison by a metric, which gets the columns that it has parameters for."""
    if not callable(function):
        raise TypeError(f"metric {metric!r} must be a function of winner and loser scores; got {function!r}")
    parameters = inspect.signature(function).parameters
    columns = {name: value for name, value in preferences.columns.items() if name in parameters}
    needed = [name for name, each in list(parameters.items())[2:] if each.default is each.empty and each.kind in _NAMED]
    if missing := [name for name in needed if name not in columns]:
        raise ValueError(
            f"metric {metric!r} needs the column {missing[0]!r}; the preferences have {sorted(preferences.columns)}"
        )
    winner, loser = sides_of(scores, preferences)
    values = as_numbers(f"the values of metric {metric!r}", function(winner, loser, **columns))
    if values.shape != winner.shape:
        raise ValueError(
            f"metric {metric!r} must return one value per comparison, {winner.shape}; got {describe(values)}"
        )
    return values
