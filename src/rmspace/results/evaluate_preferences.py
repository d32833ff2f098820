"""Tables: scores measured against comparisons, with intervals."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmspace._checks import as_array, as_numbers, check_names, describe
from rmspace._typing import Float64Array, IntArray
from rmspace.data.arrays import check_finite, check_weights
from rmspace.data.preferences import Preferences, check_preferences
from rmspace.kinds import PreferenceMetric
from rmspace.metrics.preference import accuracy, log_loss
from rmspace.results.evaluate import named
from rmspace.results.intervals import mean_interval
from rmspace.results.schema import MEASURES, RESERVED, table_of
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
        scores: (n_items,) a score for each item of the preferences, as `model.predict(preferences.items)` gives; or a
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
    if metrics is not None:
        check_names("metrics", metrics)
    measured = [
        (name, metric, _measure(metric, function, array, preferences))
        for name, array in named(scores).items()
        for metric, function in ({"accuracy": accuracy, "log_loss": log_loss} if metrics is None else metrics).items()
    ]
    labels, rows = [], []
    for label, part in _parts(preferences, by):
        for name, metric, values in measured:
            used = part & ~np.isnan(values) & (weight > 0)
            interval = mean_interval(values[used], groups=prompts[used], weights=weight[used], confidence=confidence)
            rows.append((name, metric, None, *interval, len(np.unique(prompts[used]))))
            labels.append(label)
    table = table_of(rows, MEASURES)
    if by is not None:
        table.insert(0, by, labels)
    return table


def sides_of(scores: npt.ArrayLike, preferences: Preferences) -> tuple[Float64Array, Float64Array]:
    """Return the scores of the winners and of the losers."""
    array = as_array("scores", scores)
    if array.shape != (preferences.n_items,) or array.dtype.kind not in "biuf":
        raise ValueError(f"scores must be one number per item, ({preferences.n_items},); got {describe(array)}")
    pairs = array.astype(np.float64)[preferences.comparisons]
    check_finite("scores of comparisons", pairs)
    return pairs[:, 0], pairs[:, 1]


def prompts_of(preferences: Preferences) -> IntArray:
    """Return the number of each comparison's prompt, or of both its prompts where some comparison has two."""
    numbers = np.unique(preferences.groups, return_inverse=True)[1][preferences.comparisons]
    return numbers[:, 0] if (numbers[:, 0] == numbers[:, 1]).all() else numbers


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


def _parts(preferences: Preferences, by: str | None) -> list[tuple[Any, npt.NDArray[np.bool_]]]:
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
