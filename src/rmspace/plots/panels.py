"""Small multiples: panels that share axes, labels at the outer edges, a legend above, a caption below."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmspace.plots.style import (
    NORMAL,
    SMALL,
    NotebookFigure,
    axis_name,
    figure_of,
    letters,
    named_value,
    plain_text,
    shortened,
    spaced_ticks,
    wrapped,
)
from rmspace.results.tables import determined_by, equal

WIDTH, TALLEST = 5.5, 9.0  # inches: the text of a page with one column
_LINE = 0.155  # inches, of text of the normal size
_LEGEND_WIDTH = 74  # letters of the normal size that fit the width

Facets = str | Sequence[str] | None
"""The axes that have a panel for each value: none, one, or several."""


Sharing = Literal["all", "col", "row", "none"]


class Layout(NamedTuple):
    """How the panels of a form are laid out; heights are in inches."""

    columns: int  # most panels side by side
    height: float  # of a panel
    alone: float = 2.0  # height of the only panel
    foot: float = 0.0  # space for turned tick labels below the panels


class Arrangement(NamedTuple):
    """The settings of the panels in reading order, how many stand side by side, and whether they are a full grid."""

    settings: list[tuple[Any, ...]]
    across: int
    is_grid: bool

    @property
    def down(self) -> int:
        """Number of rows of panels."""
        return math.ceil(len(self.settings) / self.across)


class Panel(NamedTuple):
    """One panel, its rows of the table, and whether it stands at the left edge and at the lower edge."""

    axes: Axes
    rows: pd.DataFrame
    left: bool
    bottom: bool


class Panels(NamedTuple):
    """The panels of a figure; `given` says that the caller gave the axes, and `width` is that of a panel in inches."""

    figure: Figure
    parts: list[Panel]
    given: bool
    width: float


def facet_names(panel: Facets) -> list[str]:
    """Return the axes that have panels, as a list."""
    return [] if panel is None else [panel] if isinstance(panel, str) else list(panel)


def ordered_values(column: pd.Series[Any]) -> list[Any]:
    """Return the different values: numbers by size, others in order of appearance."""
    values = column.drop_duplicates().tolist()
    is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    return sorted(values, key=lambda value: (pd.isna(value), value)) if is_number else values


def arrange(rows: pd.DataFrame, facets: Sequence[str], layout: Layout) -> Arrangement:
    """Place the panels: two axes make rows and columns where all their combinations occur; other panels are wrapped.

    >>> table = pd.DataFrame([(b, k) for b in "xyz" for k in (10, 5)], columns=["bank", "n_pairs"])
    >>> arrange(table, ["bank", "n_pairs"], Layout(columns=4, height=1.5))
    Arrangement(settings=[('x', 5), ('x', 10), ('y', 5), ('y', 10), ('z', 5), ('z', 10)], across=2, is_grid=True)
    """
    if not facets:
        return Arrangement([()], 1, False)
    values = [ordered_values(rows[name]) for name in facets]
    present = set(_keys(rows, facets))
    settings = [setting for setting in product(*values) if _key(setting) in present]
    if len(facets) == 2 and len(settings) == len(values[0]) * len(values[1]) and len(values[1]) <= layout.columns:
        return Arrangement(settings, len(values[1]), True)
    return Arrangement(settings, min(layout.columns, len(settings)), False)


def is_setting(rows: pd.DataFrame, facets: Sequence[str], setting: Sequence[Any]) -> pd.Series[bool]:
    """Return which rows have the values of a setting."""
    chosen = pd.Series(True, index=rows.index)
    for name, value in zip(facets, setting, strict=True):
        chosen &= equal(rows[name], value)
    return chosen


def sharing(rows: pd.DataFrame, facets: Sequence[str], placed: Arrangement, value: str | None) -> Sharing:
    """Return which panels share the y axis: those whose largest values are alike, within a factor of four.

    Rewards of different data have different units. On one axis, the panels of the smaller unit would be flat.
    """
    if value is None:
        return "none"
    sizes = np.array([rows.loc[is_setting(rows, facets, setting), value].abs().max() for setting in placed.settings])
    if _alike(sizes):
        return "all"
    if placed.is_grid:
        grid = sizes.reshape(placed.down, placed.across)
        if all(_alike(column) for column in grid.T):
            return "col"
        if all(_alike(row) for row in grid):
            return "row"
    return "none"


def _alike(sizes: np.ndarray) -> bool:
    known = sizes[~np.isnan(sizes)].astype(float)
    return bool(len(known) == 0 or known.max() <= 4 * known.min())


def limit_values(panels: Panels) -> bool:
    """Cut very long intervals at the edge of the axis, and return whether any was cut.

    Beyond the values and zero, the axis reaches at most as far again as they spread. Longer intervals would make all
    values look equal.
    """
    cut = False
    for part in panels.parts:
        shared = part.axes.get_shared_y_axes().get_siblings(part.axes)
        values = pd.concat([other.rows.value for other in panels.parts if other.axes in shared])
        least, most = min(0.0, float(values.min())), max(0.0, float(values.max()))
        low, high = part.axes.get_ylim()
        lowest, highest = least - (most - least), most + (most - least)
        if most > least and (low < lowest or high > highest):
            cut = True
            part.axes.set_ylim(max(low, lowest), min(high, highest))
    return cut


def leading_axes(rows: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Return the columns with several values, except those that another one of them determines."""
    several = [name for name in names if len(rows[name].unique()) > 1]
    found: list[str] = []
    for name in several:
        leading = [other for other in several if other != name and determined_by(rows, name, other)]
        if not any(other in found or not determined_by(rows, other, name) for other in leading):
            found.append(name)
    return found


def rows_that_fit(layout: Layout, labels: Sequence[str]) -> int:
    """Return how many rows of panels fit a page, below a legend of these labels."""
    return max(1, int((TALLEST - _rest(layout, labels)) / layout.height))


def make_panels(
    rows: pd.DataFrame,
    panel: Facets,
    layout: Layout,
    *,
    labels: Sequence[str],
    ax: Axes | None = None,
    value: str | None = None,
) -> Panels:
    """Return a figure with a panel for each setting of the axes of `panel`, or with `ax` as its one panel.

    Args:
        rows: the rows to draw.
        panel: one axis: its panels are wrapped; two: rows and columns.
        layout: of the form.
        labels: of the legend; the figure grows by its height.
        ax: axes that the caller gave.
        value: column on the y axis; panels whose values have similar sizes share this axis. When None, no panels share
            it. The x axis is always shared.

    Raises:
        ValueError: `ax` and several panels; more panels than fit a page.
    """
    facets = facet_names(panel)
    placed = arrange(rows, facets, layout)
    if ax is not None:
        if len(placed.settings) > 1:
            raise ValueError(
                f"ax is one pair of axes, and {', '.join(facets)} would need {len(placed.settings)} panels; "
                f"leave out ax or panel"
            )
        _dress(ax)
        figure = figure_of(ax)
        width = ax.get_position().width * figure.get_figwidth()
        return Panels(figure, [Panel(ax, rows, True, True)], True, width)
    if placed.down > (most := rows_that_fit(layout, labels)):
        raise ValueError(
            f"{len(placed.settings)} panels of {', '.join(facets)} do not fit a page, which holds "
            f"{most * placed.across}; choose some of the values, or let rmspace.plots.choose.pictures_of make pages"
        )
    return _draw_panels(rows, facets, placed, layout, labels, sharing(rows, facets, placed, value))


def _draw_panels(
    rows: pd.DataFrame, facets: list[str], placed: Arrangement, layout: Layout, labels: Sequence[str], share: Sharing
) -> Panels:
    each = layout.height if len(placed.settings) > 1 else layout.alone
    height = min(TALLEST, each * placed.down + _rest(layout, labels))
    figure = NotebookFigure(figsize=(WIDTH, height), layout="constrained")
    grid = figure.subplots(placed.down, placed.across, sharex=True, sharey=share, squeeze=False)
    width = (WIDTH - 0.8) / placed.across
    count = len(placed.settings)
    parts = []
    for k, (axes, setting) in enumerate(zip(grid.flat, placed.settings, strict=False)):
        _dress(axes)
        left, bottom = k % placed.across == 0, k + placed.across >= count
        axes.tick_params(labelbottom=bottom, labelleft=left or share in ("col", "none"))
        parts.append(Panel(axes, rows[is_setting(rows, facets, setting)], left, bottom))
        names = [named_value(name, value) for name, value in zip(facets, setting, strict=True)]
        if placed.is_grid:
            if k < placed.across:
                axes.set_title(_in_three_lines(names[1], width), fontsize=NORMAL)
            if (k + 1) % placed.across == 0:
                _title_at_the_right(axes, _in_three_lines(names[0], layout.height))
        elif names:
            axes.set_title(_in_three_lines(", ".join(names), width), fontsize=NORMAL)
    for axes in grid.flat[count:]:
        axes.remove()
    return Panels(figure, parts, False, width)


def _in_three_lines(text: str, inches: float) -> str:
    per_line = 72 * inches / letters("m", NORMAL)
    return wrapped(shortened(text, int(2.5 * per_line)), per_line)


def _title_at_the_right(axes: Axes, text: str) -> None:
    place: dict[str, Any] = {"rotation": 270, "ha": "left", "va": "center", "transform": axes.transAxes}
    axes.text(1.03, 0.5, text, fontsize=NORMAL, **place)


def _dress(axes: Axes) -> None:
    axes.grid(visible=True, color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL)


def _rest(layout: Layout, labels: Sequence[str]) -> float:
    """Return the inches of a page that are not panels: the legend, the labels of the x axis, the caption."""
    lines, columns = _legend_shape(labels)
    return 0.75 + layout.foot + _LINE * lines * math.ceil(len(labels) / columns)


def _legend_shape(labels: Sequence[str]) -> tuple[int, int]:
    """Return the lines of the longest label of a legend, and how many labels stand side by side."""
    lines = max((len(textwrap.wrap(label, _LEGEND_WIDTH)) for label in labels), default=1)
    longest = max((min(len(label), _LEGEND_WIDTH) for label in labels), default=1)
    return max(1, lines), max(1, min(5, len(labels), _LEGEND_WIDTH // (longest + 7)))


def set_groups(panels: Panels, groups: Sequence[Any], x: str | None) -> None:
    """Name the groups of bars at the lower edge; turn the names where they would run into one another."""
    labels = short_labels(groups)
    turn = turned(labels, panels.width)
    style: dict[str, Any] = {"rotation": turn, "ha": "right", "rotation_mode": "anchor"} if turn else {}
    if turn == 90:
        style["va"] = "center"
    for axes, _, _, bottom in panels.parts:
        axes.set_xticks(range(len(groups)), labels, **(style if bottom else {}))
        axes.set_xlim(-0.6, len(groups) - 0.4)
        axes.grid(axis="x", visible=False)
        axes.axhline(0, color="0.2", linewidth=0.8)
        if x is not None and bottom:
            set_x_label(panels, axes, axis_name(x))


def turned(labels: Sequence[str], width: float) -> int:
    """Return by how many degrees labels must be turned so that they do not meet in so many inches."""
    available = 72 * width / max(1, len(labels))  # points per label
    longest = max((letters(label) for label in labels), default=0)
    if longest + 4 <= available:
        return 0
    fits_at_the_left = longest * math.cos(math.radians(30)) <= available / 2 + 40
    return 30 if available >= 2.5 * SMALL and fits_at_the_left else 90


def foot_of(groups: Sequence[object], width: float) -> float:
    """Return the inches that turned labels need below the panels."""
    labels = short_labels(groups)
    longest = max((letters(label) for label in labels), default=0.0)
    return longest * math.sin(math.radians(turned(labels, width))) / 72


def short_labels(values: Sequence[object]) -> list[str]:
    """Return values as text; the middle of long ones is left out where they can still be told apart.

    >>> short_labels(["Gemma2b", "a model with a rather long name"])
    ['Gemma2b', 'a model wit…r long name']
    """
    texts = [plain_text(value) for value in values]
    short = [text if len(text) <= 24 else f"{text[:11]}…{text[-11:]}" for text in texts]
    return short if len(set(short)) == len(set(texts)) else texts


def set_numbers(panels: Panels, places: pd.Series[Any], x: str, *, percent: bool) -> None:
    """Show the places of a curve: as shares, or on a logarithmic axis where they spread."""
    ticks = sorted(places.unique())
    logarithmic = len(ticks) <= 8 and min(ticks) > 0 and max(ticks) / min(ticks) >= 4
    labels = [f"{tick:g}" if tick < 1000 else f"{tick / 1000:g}k" for tick in ticks]
    for axes, _, _, bottom in panels.parts:
        if percent:
            axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
            axes.locator_params(axis="x", nbins=max(2, min(5, int(panels.width / 0.45))))
        elif logarithmic:
            kept = spaced_ticks(ticks, labels, panels.width)
            axes.set_xscale("log")
            axes.set_xticks([ticks[k] for k in kept], [labels[k] for k in kept])
            axes.minorticks_off()
        else:
            axes.locator_params(axis="x", nbins=max(2, min(6, int(panels.width / 0.45))))
        if bottom:
            set_x_label(panels, axes, axis_name(x))


def set_x_label(panels: Panels, axes: Axes, text: str) -> None:
    """Name the x axis, in as many lines as the width of a panel needs."""
    lines = "\n".join(wrapped(line, 72 * panels.width / letters("m", NORMAL)) for line in text.split("\n"))
    axes.set_xlabel(lines, fontsize=NORMAL)


def set_values(panels: Panels, name: str) -> None:
    """Name the axis of values: once for the figure where it has several panels."""
    if len(panels.parts) > 1:
        panels.figure.supylabel(name, fontsize=NORMAL)
    else:
        axes = panels.parts[0].axes
        axes.set_ylabel("\n".join(wrapped(line, 24) for line in name.split("\n")), fontsize=NORMAL)


def one_per_group(rows: pd.DataFrame, x: str | None, groups: list[Any]) -> pd.DataFrame:
    """Return one row for each group of bars, missing where the group has none."""
    return rows.set_index(pd.Index([""] * len(rows)) if x is None else x).reindex(groups)


def draw_bars(axes: Axes, places: np.ndarray, rows: pd.DataFrame, width: float, **style: Any) -> None:
    """Draw bars, with their intervals where these are known."""
    axes.bar(places, rows.value.astype(float), width, **style)
    known = (rows.low.notna() & rows.high.notna()).to_numpy()
    errors = np.stack([rows.value - rows.low, rows.high - rows.value]).astype(float)[:, known].clip(min=0)
    axes.errorbar(
        places[known], rows.value.astype(float)[known], errors, fmt="none", capsize=1.5, linewidth=0.8, ecolor="0.15"
    )


def bars_layout(groups: Sequence[object], bars: int) -> Layout:
    """Return the layout of panels with so many bars in each group; where possible a bar is 4 points wide or more."""
    columns = max(1, min(3, int(72 * (WIDTH - 0.8) / (4 * max(1, bars * len(groups))))))
    return Layout(columns, 1.6 if columns == 1 else 1.25, foot=foot_of(groups, (WIDTH - 0.8) / columns))


def add_legend(panels: Panels, handles: Sequence[Any]) -> None:
    """Put a legend above the panels, in as many columns as fit, or into the axes that the caller gave."""
    if panels.given:
        panels.parts[0].axes.legend(handles=handles, frameon=False, fontsize=SMALL)
        return
    _, columns = _legend_shape([str(handle.get_label()) for handle in handles])
    for handle in handles:
        handle.set_label("\n".join(textwrap.wrap(str(handle.get_label()), _LEGEND_WIDTH)))
    panels.figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False, fontsize=NORMAL)


def add_caption(panels: Panels, text: str) -> None:
    """Write a caption below the figure, or below the label of the axes that the caller gave."""
    if panels.given:
        axes = panels.parts[0].axes
        lines = wrapped(text, 72 * panels.width / letters("m"))
        axes.set_xlabel("\n".join(filter(None, [axes.get_xlabel(), lines])), fontsize=SMALL)
    else:
        panels.figure.supxlabel("\n".join(textwrap.wrap(text, 104)), fontsize=SMALL, color="0.3")


def _key(setting: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(None if pd.isna(value) else value for value in setting)


def _keys(rows: pd.DataFrame, facets: Sequence[str]) -> list[tuple[Any, ...]]:
    return [_key(setting) for setting in rows[list(facets)].drop_duplicates().itertuples(index=False, name=None)]
