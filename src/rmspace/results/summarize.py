"""Summaries of a table of many seeds: its axes, the rows of one measure, and means with intervals over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from rmspace._checks import check_number
from rmspace.results.schema import FACTS, MEASURES, MODELS, SEED, SELECTION, SUMMARY, names


def axes_of(table: pd.DataFrame) -> list[str]:
    """Return the columns that are axes: all columns except measures and facts of a fit.

    A seed of the data that belongs one to one to `seed` is a part of it (see `data_seeds`), and not another axis.

    >>> axes_of(pd.DataFrame(columns=["n_pairs", "seed", "model", "metric", "value"]))
    ['n_pairs', 'seed']
    """
    columns = [str(name) for name in table.columns]
    if "model" not in columns:
        raise ValueError(f"a table of results must have a column model; got {columns}")
    others = {*names(MEASURES), *names(FACTS), *names(SELECTION), *data_seeds(table)}
    return [name for name in columns if name not in others]


def data_seeds(table: pd.DataFrame) -> list[str]:
    """Return columns such as `data.seed` that belong one to one to `seed`: each seed then has its own data.

    >>> data_seeds(pd.DataFrame({"data.seed": [10, 11], "seed": [0, 1]}))
    ['data.seed']
    """
    if SEED not in table.columns:
        return []
    return [str(name) for name in table.columns if str(name).endswith(".seed") and _one_to_one(table, str(name))]


def seed_means(table: pd.DataFrame, *, overlap: float = 0.0, confidence: float = 0.95) -> pd.DataFrame:
    """Average a tidy table over seeds: mean and t-interval of each setting, model, metric and n.

        mean -+ t(1 - (1 - confidence) / 2, k - 1) * s * sqrt(1 / k + overlap),  s the standard deviation of k seeds

    Each seed draws new pairs, annotations and models, so this interval covers the luck of training. Where all seeds
    have the same test prompts, it does not cover the luck of the test prompts; the intervals of the single runs do.
    With one seed the interval is that of the run, at the run's own confidence.

    Args:
        table: the columns model, metric, n, value, low and high, and the axes; as `Study.results` gives it, or several
            tables of `run` or `evaluate`, each with its seed, in one.
        overlap: n_test / n_train where each seed is another random split of one bank; see `compare_models`.
        confidence: of the intervals over seeds, in (0, 1).

    Returns:
        The axes except seed; model, metric, n, value, low, high, n_prompts (the smallest of the seeds), seeds (their
        number), over (whether the interval covers "seeds" or "prompts"), and the means of error_rate and mean_abs_gap.
        n_prompts, error_rate and mean_abs_gap are there if the table has them.

    Raises:
        ValueError: a setting has a seed twice, so that different runs would be averaged; a negative overlap.

    >>> rows = [(seed, "BT", "gain", 10, value, 0.0, 1.0) for seed, value in enumerate([0.4, 0.5, 0.6])]
    >>> table = pd.DataFrame(rows, columns=["seed", "model", "metric", "n", "value", "low", "high"])
    >>> seed_means(table)[["value", "low", "high", "seeds"]].round(3).values.tolist()
    [[0.5, 0.252, 0.748, 3.0]]
    """
    check_confidence(confidence)
    check_number("overlap", overlap, low=0.0)
    by = [*(name for name in axes_of(table) if name != SEED), "model", "metric", "n"]
    check_seeds(table, by)
    table = table.assign(low=table.low.where(table.value.notna()), high=table.high.where(table.value.notna()))
    rules = {"n_prompts": "min", "error_rate": "mean", "mean_abs_gap": "mean"}
    known = {name: (name, rule) for name, rule in rules.items() if name in table.columns}
    found = (
        table.groupby(by, dropna=False, sort=False, observed=True)
        .agg(
            value=("value", "mean"),
            spread=("value", "std"),
            low=("low", "first"),
            high=("high", "first"),
            seeds=("value", "count"),
            **known,
        )
        .reset_index()
    )
    several = found.seeds > 1
    t = stats.t.ppf((1 + confidence) / 2, (found.seeds - 1).clip(lower=1))
    half = t * found.spread * np.sqrt(1 / found.seeds.clip(lower=1) + overlap)
    found["low"] = np.where(several, found.value - half, found.low)
    found["high"] = np.where(several, found.value + half, found.high)
    found["over"] = np.where(several, "seeds", "prompts")
    return found[[*by, *(name for name in names(SUMMARY) if name in found.columns)]]


def one_measure(table: pd.DataFrame, metric: str, n: int | None) -> pd.DataFrame:
    """Return the rows of one metric at one n; when None, at the largest n that all settings and models have.

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
        settings = sized.groupby([*axes_of(table), "model"], dropna=False, observed=True).ngroups
        common = [size for size in sizes if (sized.n == size).sum() == settings]
        if not common:
            raise ValueError(f"{metric} has no n that all settings have; choose one of {sizes}")
        n = max(common)
    if n not in sizes:
        raise ValueError(f"the table has {metric} at n = {sizes}; got {n}")
    return rows[rows.n == n]


def without_models_axis(table: pd.DataFrame) -> pd.DataFrame:
    """Drop the axis `models` where `model` says the same; otherwise put its labels before the names of the models.

    Every cell of such an axis measures the baselines again; they are kept once.
    """
    if MODELS not in table.columns:
        return table
    rest = [name for name in axes_of(table) if name != MODELS]
    dropped = table.drop_duplicates([*rest, "model", "metric", "n", "value"]).drop(columns=MODELS)
    if not dropped.duplicated([*rest, "model", "metric", "n"]).any():
        return dropped
    label = table[MODELS].astype(str)
    return table.assign(model=label.where(label == table.model, label + " " + table.model)).drop(columns=MODELS)


def check_seeds(table: pd.DataFrame, by: Sequence[str]) -> None:
    """Raise ValueError where a setting has a seed twice, so that rows would be averaged or paired wrongly."""
    keys = [*by, SEED] if SEED in table.columns else [*by]
    if table.duplicated(keys).any():
        raise ValueError("a setting has a seed twice; results of several studies need a column that tells them apart")


def check_confidence(confidence: float) -> None:
    """Raise ValueError where it is not in (0, 1)."""
    if not 0 < check_number("confidence", confidence) < 1:
        raise ValueError(f"confidence must be in (0, 1); got {confidence}")


def _one_to_one(table: pd.DataFrame, name: str) -> bool:
    """Return whether each seed has one value of a column, and each value one seed."""
    seeds = table[[SEED, name]].drop_duplicates()
    return len(seeds) > 1 and seeds[SEED].is_unique and seeds[name].is_unique
