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


def axes_of(table: pd.DataFrame) -> list[str]:
    """Return the columns of the axes: those before `model`.

    >>> axes_of(pd.DataFrame(columns=["n_pairs", "seed", "model", "metric", "value"]))
    ['n_pairs', 'seed']
    """
    columns = [str(name) for name in table.columns]
    if "model" not in columns:
        raise ValueError(f"a table of results must have a column model, after those of the axes; got {columns}")
    return columns[: columns.index("model")]


def seed_means(table: pd.DataFrame, *, confidence: float = 0.95) -> pd.DataFrame:
    """Average a tidy table over seeds: mean and t-interval of each setting, model, metric and n.

        mean -+ t(1 - (1 - confidence) / 2, k - 1) * s / sqrt(k),  s the standard deviation of the k seeds

    A seed draws pairs, annotations and models anew, so this interval covers the luck of training; the test prompts are
    the same in each, and their luck is in the intervals of the single runs. With one seed those are what is given.

    Args:
        table: axes, then model, metric, n, value, low, high, label_error, mean_abs_gap; as `Study.results` gives.
        confidence: of the intervals, in (0, 1).

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
    if not 0 < check_number("confidence", confidence) < 1:
        raise ValueError(f"confidence must be in (0, 1); got {confidence}")
    axes = axes_of(table)
    by = [*(name for name in axes if name != SEED), "model", "metric", "n"]
    _check_seeds(table, by)
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
    such tables has any true zero difference with p_corrected < alpha.

    Args:
        table: as in `seed_means`.
        metric, n: what is compared; the largest n when None.
        confidence: of the intervals, which are not corrected.

    Returns:
        The axes but for seed and models, model, other, difference (positive speaks for `model`), low, high, seeds,
        p_value, p_corrected. Settings in which two models have fewer than two seeds in common are left out.

    Raises:
        ValueError: no such metric.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979).

    >>> values = {"BT": [0.4, 0.5, 0.6], "CLF": [0.1, 0.2, 0.4]}
    >>> rows = [(k, name, "gain", 9, v, 0, 1, 0, 1) for name, some in values.items() for k, v in enumerate(some)]
    >>> names = ["seed", "model", "metric", "n", "value", "low", "high", "label_error", "mean_abs_gap"]
    >>> compare_models(pd.DataFrame(rows, columns=names), metric="gain").round(3).values.tolist()
    [['BT', 'CLF', 0.267, 0.123, 0.41, 3, 0.015, 0.015]]
    """
    rows = one_measure(table, metric, n)
    if SEED not in rows.columns:
        rows = rows.assign(**{SEED: 0})
    settings = [name for name in axes_of(table) if name not in (SEED, MODELS)]
    _check_seeds(rows, [*settings, "model"])
    models = list(rows.model.unique())
    groups: Iterable[Any] = [((), rows)]
    if settings:
        groups = rows.groupby(settings, dropna=False, sort=False, observed=True)
    found = []
    for setting, part in groups:
        values = {model: part[part.model == model].set_index(SEED).value for model in part.model.unique()}
        for first, second in combinations([model for model in models if model in values], 2):
            difference = (values[first] - values[second]).dropna().to_numpy()
            if len(difference) > 1:
                found.append((*setting, first, second, *_paired(difference, confidence)))
    names = [*settings, "model", "other", "difference", "low", "high", "seeds", "p_value"]
    result = pd.DataFrame(found, columns=names)
    return result.assign(p_corrected=holm(result.p_value.to_numpy(dtype=float)))


def one_measure(table: pd.DataFrame, metric: str, n: int | None) -> pd.DataFrame:
    """Return the rows of one metric at one n, the largest when None."""
    rows = table[table.metric == metric]
    if rows.empty:
        raise ValueError(f"the table has no metric {metric!r}; it has {sorted(set(table.metric))}")
    sizes = rows.n.dropna().unique()
    if n is None and len(sizes):
        n = int(max(sizes))
    if n is not None and n not in sizes:
        raise ValueError(f"the table has {metric} at n = {sorted(map(int, sizes))}; got {n}")
    return rows if n is None else rows[rows.n == n]


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return Holm's corrected p-values.

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def _check_seeds(table: pd.DataFrame, by: Sequence[str]) -> None:
    """Raise ValueError where rows could be averaged, or paired, that are not one setting's seeds."""
    within = [*by, SEED] if SEED in table.columns else [*by]
    if table.duplicated(within).any():
        raise ValueError("a setting has a seed twice; results of several studies need a column that tells them apart")


def _paired(difference: np.ndarray, confidence: float) -> tuple[float, float, float, int, float]:
    """Return mean, low, high, number and p-value of paired differences."""
    count, mean = len(difference), float(difference.mean())
    error = float(difference.std(ddof=1) / np.sqrt(count))
    if error <= 1e-12 * np.abs(difference).max():  # all alike, but for rounding
        return mean, mean, mean, count, 1.0 if mean == 0 else 0.0
    half = float(stats.t.ppf((1 + confidence) / 2, count - 1)) * error
    return mean, mean - half, mean + half, count, float(2 * stats.t.sf(abs(mean) / error, count - 1))
