"""The questions that the axes of a study allow, each with one picture of small multiples.

A new form needs only a new file in this folder. List it here too only if it answers a question of every study.
"""

from __future__ import annotations

import hashlib
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from rmspace.plots import curves, scatter
from rmspace.plots.bars import study_bars
from rmspace.plots.contrast import study_contrast
from rmspace.plots.curves import study_curves
from rmspace.plots.differences import labelled, row_height, study_differences
from rmspace.plots.panels import TALLEST, Layout, arrange, bars_layout, is_setting, leading_axes, rows_that_fit
from rmspace.plots.scatter import scatter_points, study_scatter
from rmspace.plots.style import COLOURS, MODELS_TOLD_APART, NORMAL, axis_name, named_value, plain_text, save_figure
from rmspace.results.schema import MODELS, SEED
from rmspace.results.summarize import axes_of, one_measure, without_models_axis
from rmspace.results.tables import determined_by, values_of

_PREFERRED = ("gain", "normalized_gain", "best_of_n", "spearman", "accuracy")
_LONGEST = 150  # letters of a file's name
_ROOM_FOR_ROWS = TALLEST - 1.5  # inches of a page, for rows of differences
_MOST_PAGES = 2  # of differences


@dataclass(frozen=True)
class Picture:
    """The picture that answers one question, a sentence that says what it shows, and its pages by file name."""

    question: str
    says: str
    pages: dict[str, Callable[[], Figure]]


@dataclass(frozen=True)
class Pictures:
    """The pictures of a study, at most one for each question, and a sentence for each picture that is not drawn."""

    drawn: list[Picture] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def save_figures(table: pd.DataFrame, out: Path) -> list[Path]:
    """Draw the pictures of a study's results as PNG and SVG, and return their paths; warn of each that is left out.

    Raises:
        ValueError: an empty table.
    """
    found = pictures_of(table)
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for picture in found.drawn:
        for name, draw in picture.pages.items():
            figure = drawn(name, draw)
            paths += save_figure(figure, out / name) if figure is not None else []
    for sentence in found.left_out:
        warnings.warn(sentence, stacklevel=2)
    return paths


def drawn(name: str, draw: Callable[[], Figure]) -> Figure | None:
    """Draw a figure, or warn why it cannot be drawn, so that the other figures are still drawn."""
    try:
        return draw()
    except ValueError as error:
        warnings.warn(f"{name} was not drawn: {error}", stacklevel=2)
        return None


def main_metric(table: pd.DataFrame) -> str:
    """Return the metric of the figures and the comparisons."""
    names = list(table.metric.unique())
    return next((name for name in _PREFERRED if name in names), str(names[0]))


def pictures_of(table: pd.DataFrame, comparison: pd.DataFrame | None = None) -> Pictures:
    """Return the picture of each question that the axes of a table allow.

    - two kinds of pairs: which of them gains more, and whether the difference changes with the gold gap inside the
      pairs;
    - an axis of numbers, such as n_pairs: how the gain changes with it; for an axis of the annotator, how the gain
      changes with the share of wrong labels;
    - other axes, or none: the gain of each model;
    - a comparison: which differences are significant.

    No picture shows a mean over an axis: each further axis has panels, or pages where a page cannot hold them.

    Args:
        table: as `Study.results` returns.
        comparison: as `compare_models` returns, for the metric of `main_metric`.

    Raises:
        ValueError: an empty table.
    """
    if table.empty:
        raise ValueError("the study has no results yet; run it first")
    metric = main_metric(table)
    rows = without_models_axis(one_measure(table, metric, None))
    if (count := rows.model.nunique()) > MODELS_TOLD_APART:
        return Pictures(
            [], [f"No picture is drawn: they tell {MODELS_TOLD_APART} models apart, and there are {count}."]
        )
    found, shown = Pictures(), pd.Series(False, index=rows.index)
    contrast = _two_kinds_of_pairs(rows)
    if contrast is not None:
        shown |= _add_contrast(found, rows, contrast, metric)
        _add_scatter(found, rows, contrast, metric)
    numbers = [name for name in varying_axes(rows) if _gives_a_curve(rows, name)]
    for name in numbers:
        shown |= _add_curves(found, rows, name, metric)
    others = [name for name in varying_axes(rows) if name not in numbers]
    if (others and contrast is None) or not shown.all():
        _add_bars(found, rows, metric)
    if comparison is not None:
        _add_differences(found, comparison, metric)
    return found


def varying_axes(rows: pd.DataFrame) -> list[str]:
    """Return the axes with several values, except seeds, models, and axes that another one determines."""
    return leading_axes(rows, [name for name in axes_of(rows) if name not in (SEED, MODELS)])


def _add_contrast(found: Pictures, rows: pd.DataFrame, contrast: str, metric: str) -> pd.Series[bool]:
    some = _varies_in_its_setting(rows, contrast)
    part = rows[some]
    rest = [name for name in varying_axes(part) if name != contrast]
    x, facets = _groups_first(part, rest)
    first, second = values_of(rows, contrast)
    question = f"Does {second} gain more than {first}?"
    says = f"Bars of each model: plain for {first}, striped for {second}{_over(x)}{_panels(facets)}."
    layout = bars_layout(values_of(part, x), 2 * part.model.nunique())
    draw = partial(study_contrast, contrast=contrast, x=x, metric=metric)
    labels = [*part.model.unique(), first, second]
    found.drawn.append(Picture(question, says, _pages("contrast", part, facets, layout, labels, draw)))
    return some


def _add_scatter(found: Pictures, rows: pd.DataFrame, contrast: str, metric: str) -> None:
    part = rows[_varies_in_its_setting(rows, contrast)]
    # The annotator and the number of pairs do not change the gap inside the pairs: each has panels.
    varying = [name for name in varying_axes(part) if name != contrast]
    facets = [name for name in varying if name.startswith("annotator") or name == "n_pairs"]
    points = scatter_points(part, contrast, "second")
    if points.groupby([*facets, "model"], dropna=False).gap.nunique().max() < 2:
        found.left_out.append("The gain is not drawn against the gold gap inside the pairs: no panel has two gaps.")
        return
    first, second = values_of(rows, contrast)
    says = (
        f"Each setting and model is a point: the gain of {second} over {first}, against the gold gap inside {second} "
        f"pairs{_panels(facets)}."
    )
    draw = partial(study_scatter, contrast=contrast, metric=metric)
    pages = _pages("scatter", part, facets, scatter.LAYOUT, list(part.model.unique()), draw)
    found.drawn.append(Picture("Does the difference change with the gold gap inside the pairs?", says, pages))


def _add_curves(found: Pictures, rows: pd.DataFrame, axis: str, metric: str) -> pd.Series[bool]:
    some = _varies_in_its_setting(rows, axis)
    part = rows[some]
    facets = [name for name in varying_axes(part) if name != axis]
    over = "error_rate" if axis.startswith("annotator") else axis
    question = f"How does the gain change with {axis_name(over)}?"
    says = f"A line for each model{_over(over)}{_panels(facets)}."
    draw = partial(study_curves, x=axis, metric=metric)
    name = f"curve_{over.rpartition('.')[2]}"
    pages = _pages(name, part, facets, curves.LAYOUT, list(part.model.unique()), draw)
    found.drawn.append(Picture(question, says, pages))
    return some


def _add_bars(found: Pictures, rows: pd.DataFrame, metric: str) -> None:
    x, facets = _groups_first(rows, varying_axes(rows))
    says = f"Bars of each model{_over(x)}{_panels(facets)}."
    layout = bars_layout(values_of(rows, x), rows.model.nunique())
    draw = partial(study_bars, x=x, metric=metric)
    pages = _pages("bars", rows, facets, layout, list(rows.model.unique()), draw)
    found.drawn.append(Picture("What does each model gain?", says, pages))


def _add_differences(found: Pictures, comparison: pd.DataFrame, metric: str) -> None:
    if comparison.empty:
        return
    pairs = labelled(comparison, []).pair
    hue = "pair" if 1 < pairs.nunique() <= len(COLOURS) and pairs.nunique() < len(comparison) else None
    table = comparison if hue is None else pd.concat([pairs.rename(hue), comparison], axis=1)
    rows = labelled(table, [] if hue is None else [hue])
    names = list(rows.row.unique())
    per_page = int(_ROOM_FOR_ROWS / row_height(rows, pairs.nunique() if hue else 1))
    if len(names) > _MOST_PAGES * per_page:
        found.left_out.append(f"The {len(comparison)} differences are not drawn, since they fill too many pages.")
        return
    pages: dict[str, Callable[[], Figure]] = {}
    for k, start in enumerate(range(0, len(names), per_page)):
        draw = partial(study_differences, table, where=rows.row.isin(names[start : start + per_page]), hue=hue)
        pages[_file_name(f"differences{f'__page-{k + 1}' if len(names) > per_page else ''}")] = partial(
            draw, metric=metric
        )
    says = (
        "Each point is a mean difference, paired by seed; it is filled where p_corrected < 0.05 in the table of "
        "comparisons."
    )
    found.drawn.append(Picture("Which differences are significant?", says, pages))


def _two_kinds_of_pairs(rows: pd.DataFrame) -> str | None:
    """Return the axis of pairs that has two values, if some setting has both of them; None otherwise."""
    pairs = [name for name in axes_of(rows) if name.startswith("pairs") and len(rows[name].unique()) == 2]
    name = min(pairs, key=len, default=None)  # `pairs` itself before its keys
    return name if name is not None and _varies_in_its_setting(rows, name).any() else None


def _gives_a_curve(rows: pd.DataFrame, axis: str) -> bool:
    is_number = pd.api.types.is_numeric_dtype(rows[axis]) and not pd.api.types.is_bool_dtype(rows[axis])
    known = rows[axis].notna().all() and (not axis.startswith("annotator") or rows.error_rate.notna().all())
    return bool(is_number and known and not axis.startswith("data") and _varies_in_its_setting(rows, axis).any())


def _varies_in_its_setting(rows: pd.DataFrame, axis: str) -> pd.Series[bool]:
    """Return which rows belong to a setting that has several values of an axis, while all other axes are equal."""
    others = [name for name in axes_of(rows) if name not in (axis, SEED) and not determined_by(rows, name, axis)]
    groups = rows.groupby([*others, "model"], dropna=False, observed=True)
    return groups[axis].transform(lambda values: values.nunique(dropna=False)) > 1


def _groups_first(rows: pd.DataFrame, axes: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the axis whose values stand side by side, preferably one of the data, and the axes that have panels."""
    x = min(
        axes, key=lambda name: (not name.startswith("data"), pd.api.types.is_numeric_dtype(rows[name])), default=None
    )
    return x, [name for name in axes if name != x]


def _over(axis: str | None) -> str:
    return "" if axis is None else f", over {axis_name(axis)}"


def _panels(facets: Sequence[str]) -> str:
    return f"; panels for {' and '.join(axis_name(name) for name in facets)}" if facets else ""


def _pages(
    form: str,
    rows: pd.DataFrame,
    axes: Sequence[str],
    layout: Layout,
    labels: Sequence[object],
    draw: Callable[..., Figure],
) -> dict[str, Callable[[], Figure]]:
    """Return the function that draws each page of a picture, by file name."""
    panel, fixed = _panels_and_pages(rows, axes)
    pages: dict[str, Callable[[], Figure]] = {}
    most = rows_that_fit(layout, [plain_text(label) for label in labels])
    for setting in arrange(rows, fixed, layout).settings:
        part = rows[is_setting(rows, fixed, setting)]
        placed = arrange(part, panel, layout)
        per_page = most * placed.across
        count = math.ceil(len(placed.settings) / per_page)
        for k in range(count):
            chosen = placed.settings[k * per_page : (k + 1) * per_page]
            here = part if count == 1 else part[_any_setting(part, panel, chosen)]
            words = [f"{name.rpartition('.')[2]}-{value}" for name, value in zip(fixed, setting, strict=True)]
            titles = [named_value(name, value) for name, value in zip(fixed, setting, strict=True)]
            if count > 1:
                words.append(f"page-{k + 1}")
                titles.append(f"page {k + 1} of {count}")
            pages[_file_name("__".join([form, *words]))] = partial(_titled, partial(draw, here, panel=panel), titles)
    return pages


def _panels_and_pages(rows: pd.DataFrame, axes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the axes that have panels, and those that have a page for each value.

    The two axes with most values make rows and columns. Where few of the combinations occur, as in a grid that changes
    one thing at a time, each combination is a panel.
    """
    sizes = {name: len(rows[name].unique()) for name in axes}
    if len(axes) > 2:
        present = len(rows[list(axes)].drop_duplicates())
        if 2 * present < math.prod(sizes.values()):
            return list(axes), []
    by_size = sorted(axes, key=lambda name: -sizes[name])
    return by_size[:2], [name for name in axes if name in by_size[2:]]


def _any_setting(rows: pd.DataFrame, facets: Sequence[str], settings: Sequence[tuple[object, ...]]) -> pd.Series[bool]:
    chosen = pd.Series(False, index=rows.index)
    for setting in settings:
        chosen |= is_setting(rows, facets, setting)
    return chosen


def _titled(draw: Callable[[], Figure], titles: Sequence[str]) -> Figure:
    figure = draw()
    if titles:
        figure.legends[0].set_title(", ".join(titles), FontProperties(size=NORMAL))
    return figure


def _file_name(text: str) -> str:
    """Return a name that any file system accepts and that no other text gets."""
    name = re.sub(r"[^\w.+-]", "_", text)
    if name == text and len(name) <= _LONGEST:
        return name
    return f"{name[:_LONGEST]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
