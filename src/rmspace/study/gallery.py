"""Every figure that a study's axes allow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from rmspace.figures import save_figure
from rmspace.study.figures import study_bars, study_contrast, study_curves, study_scatter
from rmspace.study.results import Study
from rmspace.study.summary import MODELS, SEED, axes_of

_PREFERRED = ("gain", "normalized_gain", "best_of_n", "spearman")


def draw_study(study: Study, out: Path) -> list[Path]:
    """Draw the figures of a study as PNG and SVG, and return their paths.

    Raises:
        ValueError: no cell is done.
    """
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in figures_of(study.results()):
        paths += save_figure(draw(), out / name)
    return paths


def figures_of(table: pd.DataFrame) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Yield the name of each figure and what draws it.

    An axis of annotators or of numbers gives curves, one of two pair strategies bars side by side and the scatter, and
    any study bars; there is a figure for each combination of the axes that it cannot show.

    Raises:
        ValueError: an empty table.
    """
    if table.empty:
        raise ValueError("the study has no results yet; run it first")
    metric = main_metric(table)
    rows = table[table.metric == metric]
    varying = _varying(rows)
    data = [name for name in varying if name.startswith("data")]
    x, panel = data[0] if data else None, data[1] if len(data) > 1 else None
    contrast = next((name for name in varying if name.startswith("pairs") and rows[name].nunique() == 2), None)
    if contrast is not None:
        pooled = [name for name in varying if name.startswith("annotator") or name == "n_pairs"]
        scatter = partial(study_scatter, contrast=contrast, panel=panel, metric=metric)
        yield from _each(table, rows, "scatter", pooled, contrast, scatter)
        fixed = [name for name in varying if name not in (x, panel, contrast)]
        drawn = partial(study_contrast, contrast=contrast, x=x, panel=panel, metric=metric)
        yield from _each(table, rows, "contrast", fixed, contrast, drawn)
    for axis in varying:
        if _gives_a_curve(rows, axis):
            over = "error_rate" if axis.startswith("annotator") else axis.rpartition(".")[2]
            fixed = [name for name in varying if name not in (x, axis)]
            drawn = partial(study_curves, x=axis, panel=x, metric=metric)
            yield from _each(table, rows, f"curve_{over}", fixed, axis, drawn)
    fixed = [name for name in varying if name not in (x, panel)]
    yield from _each(table, rows, "bars", fixed, None, partial(study_bars, x=x, panel=panel, metric=metric))


def main_metric(table: pd.DataFrame) -> str:
    """Return the metric that figures and comparisons are about."""
    names = list(table.metric.unique())
    return next((name for name in _PREFERRED if name in names), str(names[0]))


def _gives_a_curve(rows: pd.DataFrame, axis: str) -> bool:
    if axis.startswith("annotator"):
        return bool(rows.label_error.notna().all())
    numbers = pd.api.types.is_numeric_dtype(rows[axis]) and not pd.api.types.is_bool_dtype(rows[axis])
    return numbers and not axis.startswith("data")


def _each(
    table: pd.DataFrame,
    rows: pd.DataFrame,
    form: str,
    fixed: list[str],
    needed: str | None,
    draw: Callable[..., Figure],
) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Yield a figure for each combination of the fixed axes in which the needed one has two values."""
    combinations = rows[fixed].drop_duplicates().itertuples(index=False, name=None) if fixed else [()]
    for values in combinations:
        chosen = pd.Series(True, index=table.index)
        for column, value in zip(fixed, values, strict=True):
            chosen &= table[column] == value
        part = table[chosen]
        if needed is not None and part[needed].nunique() < 2:
            continue
        words = [f"{column.rpartition('.')[2]}-{value}" for column, value in zip(fixed, values, strict=True)]
        yield re.sub(r"[^\w.+-]", "_", "__".join([form, *words])), partial(draw, part)


def _varying(rows: pd.DataFrame) -> list[str]:
    """Return the axes with several values, but for seeds, models, and axes that only go along with another."""
    found: list[str] = []
    for name in axes_of(rows):
        if name in (SEED, MODELS) or rows[name].nunique(dropna=False) < 2:
            continue
        if not any(_goes_along(rows, name, other) for other in found):
            found.append(name)
    return found


def _goes_along(rows: pd.DataFrame, name: str, other: str) -> bool:
    pairs: Any = rows[[name, other]].drop_duplicates()
    return bool(pairs[name].is_unique and pairs[other].is_unique)
