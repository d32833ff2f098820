"""What a table of many seeds says: means with intervals over seeds, and corrected comparisons of models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from rmspace._validation import check_number

SEED, MODELS = "seed", "models"


_NO_AXES = (  # what a table of results has besides its axes
    *("model", "metric", "n", "value", "low", "high"),
    *("label_error", "mean_abs_gap", "fit_seconds", "precision", "device"),
)


def axes_of(table: pd.DataFrame) -> list[str]:
    """Return the columns of the axes: all but those of measures and facts.

    >>> axes_of(pd.DataFrame(columns=["n_pairs", "seed", "model", "metric", "value"]))
    ['n_pairs', 'seed']
    """
    columns = [str(name) for name in table.columns]
    if "model" not in columns:
        raise ValueError(f"a table of results must have a column model; got {columns}")
    return [name for name in columns if name not in _NO_AXES]


def seed_means(table: pd.DataFrame, *, confidence: float = 0.95) -> pd.DataFrame:
    """Average a tidy table over seeds: mean and t-interval of each setting, model, metric and n.

        mean -+ t(1 - (1 - confidence) / 2, k - 1) * s / sqrt(k),  s the standard deviation of the k seeds

    A seed draws pairs, annotations and models anew, so this interval covers the luck of training; the test prompts are
    the same in each, and their luck is in the intervals of the single runs. With one seed the interval is that of the
    run, at the run's own confidence.

    Args:
        table: model, metric, n, value, low, high, label_error, mean_abs_gap, and the axes; as `Study.results` gives.
        confidence: of the intervals over seeds, in (0, 1).

    Returns:
        The axes but for seed, model, metric, n, value, low, high, seeds (their number), over ("seeds" or "prompts",
        what the interval covers), and the means of label_error and mean_abs_gap.

    Raises:
        ValueError: a seed that stands twice in a setting, so that other runs would be averaged with it.

    >>> rows = [(seed, "BT", "gain", 10, value, 0.0, 1.0, 0.1, 2.0) for seed, value in enumerate([0.4, 0.5, 0.6])]
    >>> names = ["seed", "model", "metric", "n", "value", "low", "high", "label_error", "mean_abs_gap"]
    >>> seed_means(pd.DataFrame(rows, columns=names))[["value", "low", "high", "seeds"]].round(3).values.tolist()
    [[0.5, 0.252, 0.748, 3.0]]
    """
    _check_confidence(confidence)
    axes = axes_of(table)
    by = [*(name for name in axes if name != SEED), "model", "metric", "n"]
    _check_seeds(table, by)
    table = table.assign(low=table.low.where(table.value.notna()), high=table.high.where(table.value.notna()))
    groups = table.groupby(by, dropna=False, sort=False, observed=True)
    found = groups.agg(
        value=("value", "mean"),
        spread=("value", "std"),
        low=("low", "first"),
        high=("high", "first"),
        seeds=("value", "count"),
        label_error=("label_error", "mean"),
        mean_abs_gap=("mean_abs_gap", "mean"),
    ).reset_index()
    several = found.seeds > 1
    t = stats.t.ppf((1 + confidence) / 2, (found.seeds - 1).clip(lower=1))
    half = t * found.spread / np.sqrt(found.seeds.clip(lower=1))
    found["low"] = np.where(several, found.value - half, found.low)
    found["high"] = np.where(several, found.value + half, found.high)
    found["over"] = np.where(several, "seeds", "prompts")
    facts = ["value", "low", "high", "seeds", "over", "label_error", "mean_abs_gap"]
    return found[[*by, *facts]]


def compare_models(table: pd.DataFrame, *, metric: str, n: int | None = None, confidence: float = 0.95) -> pd.DataFrame:
    """Compare each two models in each setting, paired by seed, with p-values corrected for the number of comparisons.

    Models of one seed are trained on the same comparisons, so what made these lucky cancels. The interval and p-value
    are those of the paired t-test; p_corrected is Holm's, over all rows that are returned: at most a share alpha of
    such tables has any true zero difference with p_corrected < alpha. Differences that are the same for every seed have
    no p-value, since their spread is not known.

    Args:
        table: as in `seed_means`.
        metric, n: what is compared; the largest n when None.
        confidence: of the intervals, which are not corrected.

    Returns:
        The axes but for seed and models, model, other, difference (positive speaks for `model`), low, high, seeds,
        p_value, p_corrected. Settings in which two models have fewer than two seeds in common are left out.

    Raises:
        ValueError: no such metric, or no n that all settings have.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979).

    >>> values = {"BT": [0.4, 0.5, 0.6], "CLF": [0.1, 0.2, 0.4]}
    >>> rows = [(k, name, "gain", 9, v, 0, 1, 0, 1) for name, some in values.items() for k, v in enumerate(some)]
    >>> names = ["seed", "model", "metric", "n", "value", "low", "high", "label_error", "mean_abs_gap"]
    >>> compare_models(pd.DataFrame(rows, columns=names), metric="gain").round(3).values.tolist()
    [['BT', 'CLF', 0.267, 0.123, 0.41, 3, 0.015, 0.015]]
    """
    _check_confidence(confidence)
    rows = without_models_axis(one_measure(table, metric, n))
    if SEED not in rows.columns:
        rows = rows.assign(**{SEED: 0})
    settings = [name for name in axes_of(rows) if name != SEED]
    _check_seeds(rows, [*settings, "model"])
    models = list(rows.model.unique())
    groups: Iterable[Any] = [((), rows)]
    if settings:
        groups = rows.groupby(settings, dropna=False, sort=False, observed=True)
    found = []
    for setting, part in groups:
        values = {model: part[part.model == model].set_index(SEED).value for model in part.model.unique()}
        for first, second in combinations([model for model in models if model in values], 2):
            both = pd.concat([values[first], values[second]], axis=1, join="inner").dropna().to_numpy(dtype=float)
            if len(both) > 1:
                found.append((*setting, first, second, *_paired(both[:, 0], both[:, 1], confidence)))
    names = [*settings, "model", "other", "difference", "low", "high", "seeds", "p_value"]
    result = pd.DataFrame(found, columns=names)
    return result.assign(p_corrected=holm(result.p_value.to_numpy(dtype=float)))


def one_measure(table: pd.DataFrame, metric: str, n: int | None) -> pd.DataFrame:
    """Return the rows of one metric at one n; the largest that all settings and models have when None.

    Raises:
        ValueError: no such metric or n; settings that have no n in common.
    """
    rows = table[table.metric == metric]
    if rows.empty:
        raise ValueError(f"the table has no metric {metric!r}; it has {sorted(set(table.metric))}")
    sized = rows[rows.n.notna()]
    if sized.empty:
        if n is not None:
            raise ValueError(f"{metric} has no n; got {n}")
        return rows
    sizes = sorted(map(int, sized.n.unique()))
    if n is None:
        groups = sized.groupby([*axes_of(table), "model"], dropna=False, observed=True).n
        settings = groups.ngroups
        common = [size for size in sizes if (sized.n == size).sum() == settings]
        if not common:
            raise ValueError(f"{metric} has no n that all settings have; choose one of {sizes}")
        n = max(common)
    if n not in sizes:
        raise ValueError(f"the table has {metric} at n = {sizes}; got {n}")
    return rows[rows.n == n]


def without_models_axis(table: pd.DataFrame) -> pd.DataFrame:
    """Drop the axis `models` where `model` says the same; where it does not, put its labels before the models' names.

    Baselines, which every cell of such an axis measures anew, are kept once.
    """
    if MODELS not in table.columns:
        return table
    rest = [name for name in axes_of(table) if name != MODELS]
    dropped = table.drop_duplicates([*rest, "model", "metric", "n", "value"]).drop(columns=MODELS)
    if not dropped.duplicated([*rest, "model", "metric", "n"]).any():
        return dropped
    named = (
        table[MODELS]
        .astype(str)
        .where(table[MODELS].astype(str) == table.model, table[MODELS].astype(str) + " " + table.model)
    )
    return table.assign(model=named).drop(columns=MODELS)


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


def _check_seeds(table: pd.DataFrame, by: Sequence[str]) -> None:
    """Raise ValueError where rows could be averaged, or paired, that are not one setting's seeds."""
    within = [*by, SEED] if SEED in table.columns else [*by]
    if table.duplicated(within).any():
        raise ValueError("a setting has a seed twice; results of several studies need a column that tells them apart")


def _check_confidence(confidence: float) -> None:
    if not 0 < check_number("confidence", confidence) < 1:
        raise ValueError(f"confidence must be in (0, 1); got {confidence}")


def _paired(first: np.ndarray, second: np.ndarray, confidence: float) -> tuple[float, float, float, int, float]:
    """Return mean, low, high, number and p-value of paired differences."""
    difference = first - second
    count, mean = len(difference), float(difference.mean())
    rounding = 1e-12 * max(np.abs(first).max(), np.abs(second).max())
    error = float(difference.std(ddof=1) / np.sqrt(count))
    if error <= rounding:
        equal = abs(mean) <= rounding
        return (0.0, 0.0, 0.0, count, 1.0) if equal else (mean, np.nan, np.nan, count, np.nan)
    half = float(stats.t.ppf((1 + confidence) / 2, count - 1)) * error
    return mean, mean - half, mean + half, count, float(2 * stats.t.sf(abs(mean) / error, count - 1))
