"""What the forms of the figures share: panels, bars, axes, legends and what stands below."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmspace.plots.one_run import COLOURS, MARKERS, plain_text, spaced
from rmspace.results.summarize import one_measure

_WIDTH = 5.5  # inches, the width of the text of a paper with one column
_LETTERS = 88  # of the legend's size that fit it
_NAMES = {
    "gain": "golden reward improvement",
    "best_of_n": "gold reward of the choice",
    "normalized_gain": "normalised gain",
    "n_pairs": "annotations",
    "error_rate": "annotation error rate",
    "pairs.candidates": "responses",
}


def values_of(rows: pd.DataFrame, column: str | None) -> list[Any]:
    """Return the values of a column in order of appearance, or one group for all."""
    return [""] if column is None else list(rows[column].unique())


def equal(column: pd.Series[Any], value: Any) -> pd.Series[bool]:
    """Return where a column has a value, where a missing one is a value, too."""
    return column.isna() if pd.isna(value) else column == value


def aligned(rows: pd.DataFrame, x: str | None, groups: list[Any]) -> pd.DataFrame:
    """Return one row a group, missing where there is none."""
    return rows.set_index(pd.Index([""] * len(rows)) if x is None else x).reindex(groups)


def colour(k: int) -> str:
    """Return the colour of the k-th model."""
    return COLOURS[k % len(COLOURS)]


def bar_style(k: int) -> dict[str, Any]:
    """Return how the bars of the k-th model look: the second eight are dotted."""
    return {"facecolor": colour(k), **({"hatch": "....", "edgecolor": "0.15"} if k >= len(COLOURS) else {})}


def line_style(k: int) -> dict[str, Any]:
    """Return how the line of the k-th model looks: the second eight are dashed."""
    return {"color": colour(k), "marker": MARKERS[k % len(MARKERS)], "linestyle": "--" if k >= len(COLOURS) else "-"}


def draw_bars(axes: Axes, places: np.ndarray, rows: pd.DataFrame, width: float, **style: Any) -> None:
    """Draw bars, with their intervals where these are known."""
    axes.bar(places, rows.value.astype(float), width, **style)
    known = (rows.low.notna() & rows.high.notna()).to_numpy()
    errors = np.stack([rows.value - rows.low, rows.high - rows.value]).astype(float)[:, known].clip(min=0)
    axes.errorbar(
        places[known], rows.value.astype(float)[known], errors, fmt="none", capsize=1.5, linewidth=0.8, ecolor="0.15"
    )


def make_panels(
    rows: pd.DataFrame, panel: str | None, *, columns: int, height: float
) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """Return a figure with a panel for each value of an axis, and the rows of each."""
    values = values_of(rows, panel)
    across = min(columns, len(values))
    down = math.ceil(len(values) / across)
    figure = Figure(figsize=(_WIDTH, height * down + 0.75), layout="constrained")
    drawn = []
    for k, value in enumerate(values):
        axes = figure.add_subplot(down, across, k + 1)
        axes.grid(visible=True, color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=7)
        axes.xaxis.label.set_fontsize(8)
        axes.yaxis.label.set_fontsize(8)
        if panel is not None:
            axes.set_title("\n".join(textwrap.wrap(shown(value), 90 // across)), fontsize=8)
        drawn.append((axes, rows if panel is None else rows[equal(rows[panel], value)]))
    return figure, drawn


def set_groups(axes: Axes, groups: list[Any], x: str | None) -> None:
    """Name the groups of bars; turn the names where they would run into one another."""
    labels = [shown(group) for group in groups]
    crowded = sum(map(len, labels)) + 2 * len(labels) > _LETTERS
    turned: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    axes.set_xticks(range(len(groups)), labels, **turned)
    axes.grid(axis="x", visible=False)
    axes.axhline(0, color="0.2", linewidth=0.8)
    if x is not None:
        axes.set_xlabel(axis_name(x))


def set_numbers(axes: Axes, places: pd.Series[float], *, percent: bool) -> None:
    """Show the places of a curve: as shares, or on a logarithmic axis where they spread."""
    ticks = sorted(places.unique())
    if percent:
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
        axes.locator_params(axis="x", nbins=4)
    elif len(ticks) <= 8 and min(ticks) > 0 and max(ticks) / min(ticks) >= 4:
        axes.set_xscale("log")
        ticks = spaced(ticks)
        axes.set_xticks(ticks, [f"{tick:g}" if tick < 1000 else f"{tick / 1000:g}k" for tick in ticks])
        axes.minorticks_off()


def set_values(axes: Axes, metric: str) -> None:
    """Name the axis of values, at the left of a row of panels alone."""
    place = axes.get_subplotspec()
    if place is None or place.is_first_col():
        axes.set_ylabel("\n".join(_wrapped(axis_name(metric))))


def _wrapped(text: str) -> list[str]:
    first, _, rest = text.rpartition(" ")
    return [first, rest] if len(text) > 18 and first else [text]


def add_legend(figure: Figure, handles: list[Any]) -> None:
    """Put a legend above the panels, in as many columns as fit."""
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = max(1, min(5, len(handles), _LETTERS // (longest + 8)))
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False, fontsize=8)


def explain(
    figure: Figure, means: pd.DataFrame, metric: str, n: int | None, table: pd.DataFrame, confidence: float | None
) -> Figure:
    """Say below the figure what a point is."""
    sizes = one_measure(table, metric, n).n.dropna().unique()
    at = f" at N = {int(sizes[0])}" if len(sizes) else ""
    units = " (units of gold reward)" if metric in ("gain", "best_of_n", "regret") else ""
    seeds = sorted(means.seeds[means.seeds > 0].unique()) or [0]
    count = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    words = [f"{axis_name(metric)}{at}{units}", f"mean of {count} seeds" if seeds[-1] > 1 else "one seed"]
    if confidence is not None and (over := set(means.over[means.low.notna()])):
        kinds = {"seeds": f"{confidence:.0%} interval over seeds", "prompts": "the run's own interval over prompts"}
        words.append(" or, with one seed, ".join(kinds[kind] for kind in ("seeds", "prompts") if kind in over))
    figure.supxlabel("\n".join(textwrap.wrap("; ".join(words), 100)), fontsize=7, color="0.3")
    return figure


def shown(value: Any) -> str:
    """Return a value as text that matplotlib leaves as it is."""
    return "null" if pd.isna(value) else plain_text(value)


def axis_name(column: str) -> str:
    """Return what an axis or a metric is called in a figure."""
    return plain_text(_NAMES.get(column, column.rpartition(".")[2].replace("_", " ")))
