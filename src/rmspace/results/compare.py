"""Corrected comparisons of the models, or of the values of another axis, in a table of many seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from rmspace._checks import check_number
from rmspace.results.summarize import SEED, axes_of, check_confidence, check_seeds, one_measure, without_models_axis


def compare_models(
    table: pd.DataFrame,
    *,
    metric: str,
    n: int | None = None,
    axis: str = "model",
    against: Any = None,
    overlap: float = 0.0,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Compare each two models in each setting, paired by seed, with p-values corrected for the number of comparisons.

        mean -+ t(1 - (1 - confidence) / 2, k - 1) * s * sqrt(1 / k + overlap)

    with s the standard deviation of the differences of k seeds. Models of one seed are trained on the same comparisons,
    so what made these lucky cancels. The p-value is that of the same paired t-test; p_corrected is Holm's over all rows
    that are returned: if differences are normal, at most a share alpha of such tables has any true zero difference with
    p_corrected < alpha. Differences that are the same for every seed have no p-value, since their spread is not known.

    Args:
        table: as in `seed_means`.
        metric, n: what is compared; the largest n when None.
        axis: "model", or the axis whose values are compared, as `pairs`, within each model and other setting.
        against: compare with this value alone, which gives fewer and so sharper tests; each two values when None.
            Axes that only change along with `axis` are no settings.
        overlap: n_test / n_train where each seed is another random split of one bank: such splits share prompts, so
            their differences vary less than those of new prompts would. 0 where seeds share the test prompts or are
            worlds of their own.
        confidence: of the intervals, which are not corrected.

    Returns:
        The axes but for seed, models and `axis`; `axis`, other, difference (positive speaks for the value of `axis`),
        low, high, seeds, p_value, p_corrected. Settings in which two have fewer than two seeds in common are left out.

    Raises:
        ValueError: no such metric, axis or value, or no n that all settings have; a negative overlap.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979); for
    `overlap`, C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine Learning 52 (2003).

    >>> values = {"BT": [0.4, 0.5, 0.6], "CLF": [0.1, 0.2, 0.4]}
    >>> rows = [(k, name, "gain", 9, v, 0, 1, 0, 1) for name, some in values.items() for k, v in enumerate(some)]
    >>> names = ["seed", "model", "metric", "n", "value", "low", "high", "error_rate", "mean_abs_gap"]
    >>> compare_models(pd.DataFrame(rows, columns=names), metric="gain").round(3).values.tolist()
    [['BT', 'CLF', 0.267, 0.123, 0.41, 3, 0.015, 0.015]]
    """
    check_confidence(confidence)
    check_number("overlap", overlap, low=0.0)
    rows = without_models_axis(one_measure(table, metric, n))
    if SEED not in rows.columns:
        rows = rows.assign(**{SEED: 0})
    names = [*axes_of(rows), "model"]
    if axis not in names or axis == SEED:
        raise ValueError(f"axis must be one of {', '.join(name for name in names if name != SEED)}; got {axis!r}")
    along = [name for name in names if axis != "model" and name != "model" and _goes_along(rows, name, axis)]
    settings = [name for name in names if name not in (SEED, axis, *along)]
    check_seeds(rows, [*settings, axis])
    order = list(rows[axis].unique())
    if against is not None and not any(_same(value, against) for value in order):
        raise ValueError(f"against must be a value of {axis}, {order}; got {against!r}")
    groups: Iterable[Any] = [((), rows)]
    if settings:
        groups = rows.groupby(settings, dropna=False, sort=False, observed=True)
    found = []
    for setting, part in groups:
        for first, second in _couples(order, against):
            sides = [_equal(part, axis, value).set_index(SEED).value for value in (first, second)]
            both = pd.concat(sides, axis=1, join="inner").dropna().to_numpy(dtype=float)
            if len(both) > 1:
                found.append((*setting, first, second, *_paired(both[:, 0], both[:, 1], overlap, confidence)))
    columns = [*settings, axis, "other", "difference", "low", "high", "seeds", "p_value"]
    result = pd.DataFrame(found, columns=columns)
    return result.assign(p_corrected=holm(result.p_value.to_numpy(dtype=float)))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return Holm's corrected p-values; those that are nan are not counted.

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    corrected = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return corrected


def _couples(values: Sequence[Any], against: Any) -> list[tuple[Any, Any]]:
    if against is None:
        return list(combinations(values, 2))
    return [(value, against) for value in values if not _same(value, against)]


def _same(value: Any, other: Any) -> bool:
    return bool(pd.isna(value) and pd.isna(other)) or bool(pd.notna(value) and pd.notna(other) and value == other)


def _goes_along(rows: pd.DataFrame, name: str, axis: str) -> bool:
    """Say whether another axis changes with this one, as keys that a grid changes together do."""
    values = rows[[axis, name]].drop_duplicates()
    return bool(name != axis and name != SEED and len(values[name].unique()) > 1 and values[axis].is_unique)


def _equal(rows: pd.DataFrame, column: str, value: Any) -> pd.DataFrame:
    return rows[rows[column].isna() if pd.isna(value) else rows[column] == value]


def _paired(
    first: np.ndarray, second: np.ndarray, overlap: float, confidence: float
) -> tuple[float, float, float, int, float]:
    """Return mean, low, high, number and p-value of paired differences."""
    difference = first - second
    count, mean = len(difference), float(difference.mean())
    rounding = 1e-12 * max(np.abs(first).max(), np.abs(second).max())
    error = float(difference.std(ddof=1) * np.sqrt(1 / count + overlap))
    if error <= rounding:
        equal = abs(mean) <= rounding
        return (0.0, 0.0, 0.0, count, 1.0) if equal else (mean, np.nan, np.nan, count, np.nan)
    half = float(stats.t.ppf((1 + confidence) / 2, count - 1)) * error
    return mean, mean - half, mean + half, count, float(2 * stats.t.sf(abs(mean) / error, count - 1))
