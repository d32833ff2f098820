"""Corrected comparisons of the models, or of the values of another axis, in a table of many seeds."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from rmspace._checks import as_numbers, check_number
from rmspace._typing import Float64Array
from rmspace.results.schema import DIFFERENCES, SEED, names
from rmspace.results.summarize import axes_of, check_confidence, check_seeds, one_measure, without_models_axis
from rmspace.results.tables import determined_by, equal, values_of

_ROUNDING = 1e-12  # numbers that differ by less than this share of their size differ by rounding only


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
    """Compare each two models in each setting, paired by seed, with p-values corrected for the number of tests.

        mean -+ t(1 - (1 - confidence) / 2, k - 1) * s * sqrt(1 / k + overlap)

    s is the standard deviation of the differences of k seeds. Models of one seed are trained on the same comparisons,
    so the luck that they share cancels. The p-value is that of the paired t-test. p_corrected is Holm's p-value over
    all rows of the returned table. If differences are normal, at most a share alpha of such tables has any row with
    p_corrected < alpha whose true difference is zero. Differences that are equal for all seeds have no p-value, since
    their spread is not known.

    Args:
        table: as in `seed_means`.
        metric, n: the metric to compare, and its n; the largest n that all settings have when None.
        axis: "model", or another axis, such as `pairs`, whose values are compared for each model in each setting.
        against: compare with this value alone; fewer tests need a smaller correction. Each two values when None.
        overlap: n_test / n_train where each seed is another random split of one bank. Such splits share prompts, so
            their differences vary less than those of new prompts would. 0 where all seeds have the same test prompts,
            or where each seed has its own data.
        confidence: of the intervals, which are not corrected.

    Returns:
        The settings: the axes except seed, models, `axis` and axes whose value follows from that of `axis`. Then
        `axis`, other, difference (positive where the value of `axis` has the larger metric), low, high, seeds, p_value,
        p_corrected. Settings in which two values have fewer than two seeds in common are left out.

    Raises:
        ValueError: no such metric, axis or value, or no n that all settings have; a negative overlap.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979); for
    `overlap`, C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine Learning 52 (2003).

    >>> values = {"BT": [0.4, 0.5, 0.6], "CLF": [0.1, 0.2, 0.4]}
    >>> rows = [(k, name, "gain", 9, v) for name, some in values.items() for k, v in enumerate(some)]
    >>> table = pd.DataFrame(rows, columns=["seed", "model", "metric", "n", "value"])
    >>> compare_models(table, metric="gain").round(3).values.tolist()
    [['BT', 'CLF', 0.267, 0.123, 0.41, 3, 0.015, 0.015]]
    """
    check_confidence(confidence)
    check_number("overlap", overlap, low=0.0)
    rows = without_models_axis(one_measure(table, metric, n))
    if SEED not in rows.columns:
        rows = rows.assign(**{SEED: 0})
    settings = _settings(rows, axis)
    check_seeds(rows, [*settings, axis])
    couples = _couples(values_of(rows, axis), axis, against)
    groups: Iterable[Any] = (
        rows.groupby(settings, dropna=False, sort=False, observed=True) if settings else [((), rows)]
    )
    found = []
    for setting, part in groups:
        for first, second in couples:
            sides = [part[equal(part[axis], value)].set_index(SEED).value for value in (first, second)]
            both = pd.concat(sides, axis=1, join="inner").dropna().to_numpy(dtype=float)
            if len(both) > 1:
                found.append((*setting, first, second, *_paired(both[:, 0], both[:, 1], overlap, confidence)))
    result = pd.DataFrame(found, columns=[*settings, axis, *names(DIFFERENCES)[:-1]])
    return result.assign(p_corrected=holm(result.p_value.to_numpy(dtype=float)))


def holm(p_values: npt.ArrayLike) -> Float64Array:
    """Return Holm's corrected p-values; a p-value that is nan does not count as a test.

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    p = as_numbers("p_values", p_values)
    corrected = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return corrected


def _settings(rows: pd.DataFrame, axis: str) -> list[str]:
    """Return the columns that are the same on both sides of a comparison."""
    columns = [name for name in (*axes_of(rows), "model") if name != SEED]
    if axis not in columns:
        raise ValueError(f"axis must be one of {', '.join(columns)}; got {axis!r}")
    others = [name for name in columns if name != axis]
    if axis == "model":
        return others
    return [
        name
        for name in others
        if name == "model" or len(rows[name].unique()) == 1 or not determined_by(rows, name, axis)
    ]


def _couples(values: list[Any], axis: str, against: Any) -> list[tuple[Any, Any]]:
    if against is None:
        return list(combinations(values, 2))
    same = equal(pd.Series(values, dtype=object), against)
    if not same.any():
        raise ValueError(f"against must be a value of {axis}, {values}; got {against!r}")
    return [(value, against) for value, equals in zip(values, same, strict=True) if not equals]


def _paired(
    first: np.ndarray, second: np.ndarray, overlap: float, confidence: float
) -> tuple[float, float, float, int, float]:
    """Return mean, low, high, number and p-value of paired differences."""
    difference = first - second
    count, mean = len(difference), float(difference.mean())
    rounding = _ROUNDING * max(np.abs(first).max(), np.abs(second).max())
    error = float(difference.std(ddof=1) * np.sqrt(1 / count + overlap))
    if error <= rounding:
        same = abs(mean) <= rounding
        return (0.0, 0.0, 0.0, count, 1.0) if same else (mean, np.nan, np.nan, count, np.nan)
    half = float(stats.t.ppf((1 + confidence) / 2, count - 1)) * error
    return mean, mean - half, mean + half, count, float(2 * stats.t.sf(abs(mean) / error, count - 1))
