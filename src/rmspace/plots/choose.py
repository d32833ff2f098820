"""Every figure that a study's axes allow."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import zip_longest
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from rmspace.plots.one_run import save_figure
from rmspace.plots.over_seeds import goes_along, study_bars, study_contrast, study_curves, study_scatter
from rmspace.plots.panels import equal
from rmspace.results.summarize import MODELS, SEED, axes_of
from rmspace.study.results import Study

_PREFERRED = ("gain", "normalized_gain", "best_of_n", "spearman")
_LONGEST = 150  # letters of a file's name


def draw_study(study: Study, out: Path) -> list[Path]:
    """Draw the figures of a study as PNG and SVG, and return their paths; warn of one that cannot be drawn.

    Raises:
        ValueError: no cell is done.
    """
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in figures_of(study.results()):
        figure = drawn(name, draw)
        paths += save_figure(figure, out / name) if figure is not None else []
    return paths


def drawn(name: str, draw: Callable[[], Figure]) -> Figure | None:
    """Draw a figure, or warn why it cannot be: the others are worth having."""
    try:
        return draw()
    except ValueError as error:
        warnings.warn(f"{name} was not drawn: {error}", stacklevel=2)
        return None


def figures_of(table: pd.DataFrame) -> list[tuple[str, Callable[[], Figure]]]:
    """Return the name of each figure and what draws it, forms in turn.

    An axis of annotators or of numbers gives curves, one of two pair strategies bars side by side and the scatter, and
    others bars; there is a figure for each combination of the axes that it cannot show.

    Raises:
        ValueError: an empty table.
    """
    if table.empty:
        raise ValueError("the study has no results yet; run it first")
    metric = main_metric(table)
    rows = table[table.metric == metric]
    varying = _varying(rows)
    curves = [name for name in varying if _gives_a_curve(rows, name)]
    contrast = _contrast(rows, varying)
    data = [name for name in varying if name.startswith("data")]
    groups = data or [name for name in varying if name not in curves and name != contrast]
    x, panel = groups[0] if groups else None, data[1] if len(data) > 1 else None
    forms: list[Iterable[tuple[str, Callable[[], Figure]]]] = []
    if contrast is not None:
        pooled = [name for name in varying if name.startswith("annotator") or name == "n_pairs"]
        scatter = partial(study_scatter, contrast=contrast, panel=panel, metric=metric)
        forms.append(_each(table, rows, "scatter", pooled, contrast, scatter))
        fixed = [name for name in varying if name not in (x, panel, contrast)]
        bars = partial(study_contrast, contrast=contrast, x=x, panel=panel, metric=metric)
        forms.append(_each(table, rows, "contrast", fixed, contrast, bars))
    for axis in curves:
        over = "error_rate" if axis.startswith("annotator") else axis.rpartition(".")[2]
        fixed = [name for name in varying if name not in (x, axis)]
        line = partial(study_curves, x=axis, panel=x, metric=metric)
        forms.append(_each(table, rows, f"curve_{over}", fixed, axis, line))
    if x is not None or not forms:
        fixed = [name for name in varying if name not in (x, panel)]
        forms.append(_each(table, rows, "bars", fixed, None, partial(study_bars, x=x, panel=panel, metric=metric)))
    return [figure for turn in zip_longest(*forms) for figure in turn if figure is not None]


def main_metric(table: pd.DataFrame) -> str:
    """Return the metric that figures and comparisons are about."""
    names = list(table.metric.unique())
    return next((name for name in _PREFERRED if name in names), str(names[0]))


def _gives_a_curve(rows: pd.DataFrame, axis: str) -> bool:
    numbers = pd.api.types.is_numeric_dtype(rows[axis]) and not pd.api.types.is_bool_dtype(rows[axis])
    known = rows[axis].notna().all() and (not axis.startswith("annotator") or rows.error_rate.notna().all())
    return bool(numbers and known and not axis.startswith("data"))


def _contrast(rows: pd.DataFrame, varying: list[str]) -> str | None:
    """Return the axis of pair strategies, where it has two."""
    pairs = [name for name in varying if name.startswith("pairs") and len(rows[name].unique()) == 2]
    return min(pairs, key=len, default=None)  # `pairs` itself before what stands in it


def _each(
    table: pd.DataFrame,
    rows: pd.DataFrame,
    form: str,
    fixed: list[str],
    needed: str | None,
    draw: Callable[..., Figure],
) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Yield a figure for each combination of the fixed axes in which some setting has two values of the needed one."""
    combinations = rows[fixed].drop_duplicates().itertuples(index=False, name=None) if fixed else [()]
    for values in combinations:
        chosen = pd.Series(True, index=table.index)
        for column, value in zip(fixed, values, strict=True):
            chosen &= equal(table[column], value)
        part = table[chosen]
        if needed is None or _varies_within(part, needed):
            words = [f"{column.rpartition('.')[2]}-{value}" for column, value in zip(fixed, values, strict=True)]
            yield _file_name("__".join([form, *words])), partial(draw, part)


def _varies_within(part: pd.DataFrame, needed: str) -> bool:
    others = [name for name in axes_of(part) if name not in (needed, SEED) and not goes_along(part, name, needed)]
    counts = part.groupby([*others, "model"], dropna=False, observed=True)[needed].nunique(dropna=False)
    return bool(counts.max() > 1)


def _file_name(text: str) -> str:
    """Return a name that any file system takes, and that no other text gives."""
    name = re.sub(r"[^\w.+-]", "_", text)
    if name == text and len(name) <= _LONGEST:
        return name
    return f"{name[:_LONGEST]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _varying(rows: pd.DataFrame) -> list[str]:
    """Return the axes with several values, but for seeds, models, and axes that only go along with another."""
    several = [name for name in axes_of(rows) if name not in (SEED, MODELS) and len(rows[name].unique()) > 1]
    found: list[str] = []
    for name in several:
        leading = [other for other in several if other != name and goes_along(rows, name, other)]
        if not any(other in found or not goes_along(rows, other, name) for other in leading):
            found.append(name)
    return found
