"""Figures of one run, each a function of the tidy table that `rmspace.run` returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ParamSpec, TypeVar

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["best_of_n_curve", "gain_bars"]

P = ParamSpec("P")
T = TypeVar("T")

RANDOM, BEST = "random response", "best response"
# Okabe and Ito's palette, which colour-blind readers can tell apart; its black is grey, to leave error bars visible.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C", "#F0E442")
MARKERS = "osD^vPX*"


def plain_style(draw: Callable[P, T]) -> Callable[P, T]:
    """Let a function draw with matplotlib's own settings, whatever the user's are."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        with matplotlib.style.context("default"):
            return draw(*args, **kwargs)

    return drawn


@plain_style
def best_of_n_curve(
    table: pd.DataFrame, *, metric: str = "best_of_n", n_prompts: int | None = None, confidence: float = 0.95
) -> Figure:
    """Draw the gold reward that Best-of-N reaches with each model, with intervals, between random and best response.

    Args:
        table: columns model, metric, n, value, low, high; the models named "random response" and "best response"
            are drawn as the lower and upper line.
        metric: the metric to draw.
        n_prompts, confidence: number of test prompts and level of the intervals, for the label of the axis.

    Raises:
        ValueError: the table has no such metric.

    >>> rows = [("BT", "best_of_n", n, n / 10, n / 10 - 0.1, n / 10 + 0.1) for n in (1, 2, 5)]
    >>> table = pd.DataFrame(rows, columns=["model", "metric", "n", "value", "low", "high"])
    >>> best_of_n_curve(table).axes[0].get_xlabel()
    'N, responses to choose from'
    """
    rows = _rows(table, metric)
    figure, axes = _canvas()
    for name in (BEST, RANDOM):
        line = rows[rows.model == name]
        if len(line):
            dashes = "--" if name == BEST else ":"
            axes.plot(
                line.n.astype(float), line.value, label=plain_text(name), color="0.35", linestyle=dashes, linewidth=1.2
            )
    for k, name in enumerate(_models(rows)):
        line, colour = rows[rows.model == name], COLOURS[k % len(COLOURS)]
        sizes = line.n.astype(float)
        axes.fill_between(sizes, line.low, line.high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(
            sizes, line.value, color=colour, marker=MARKERS[k % len(MARKERS)], markersize=4, label=plain_text(name)
        )
    ticks = spaced(sorted({int(size) for size in rows.n}))
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(size) for size in ticks])
    axes.minorticks_off()
    axes.set_xlabel("N, responses to choose from")
    axes.set_ylabel(f"gold reward of the choice\n(mean over {_prompts(n_prompts)}, {confidence:.0%} interval)")
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


@plain_style
def gain_bars(
    table: pd.DataFrame, *, metric: str = "normalized_gain", n_prompts: int | None = None, confidence: float = 0.95
) -> Figure:
    """Draw each model's normalised gain at the largest n as a bar with its interval: 0 = random, 1 = best response.

    Args:
        table: columns model, metric, n, value, low, high.
        metric: the metric to draw.
        n_prompts, confidence: number of test prompts and level of the intervals, for the label of the axis.

    Raises:
        ValueError: the table has no such metric.

    >>> rows = [("BT", "normalized_gain", 10, 0.5, 0.4, 0.6)]
    >>> table = pd.DataFrame(rows, columns=["model", "metric", "n", "value", "low", "high"])
    >>> gain_bars(table).axes[0].get_yticklabels()[0].get_text()
    'BT'
    """
    rows = _rows(table, metric)
    size = rows.n.max()
    rows = rows[(rows.n == size) | pd.isna(size)].set_index("model").loc[_models(rows)]
    figure, axes = _canvas(height=0.9 + 0.32 * len(rows))
    places = range(len(rows))
    errors = np.stack([rows.value - rows.low, rows.high - rows.value]).clip(min=0)
    colours = [COLOURS[k % len(COLOURS)] for k in places]
    axes.barh(places, rows.value, xerr=errors, color=colours, height=0.65, error_kw={"capsize": 3, "linewidth": 1})
    axes.set_yticks(places, list(rows.label))
    axes.invert_yaxis()
    axes.axvline(0, color="0.2", linewidth=0.8)
    axes.set_xlim(min(0.0, float(rows.low.min()) - 0.05), 1.0)
    scale = f"normalised gain at N = {'all' if pd.isna(size) else size} (0 random, 1 best response)"
    axes.set_xlabel(f"{scale}\nmean over {_prompts(n_prompts)}, {confidence:.0%} interval")
    axes.grid(axis="y", visible=False)
    return figure


@plain_style
def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and SVG, the same bytes each time; return both paths."""
    paths = [path.with_name(f"{path.name}.{kind}") for kind in ("png", "svg")]
    figure.savefig(paths[0], dpi=200, metadata={"Software": None})
    write_svg(figure, paths[1])
    return paths


@plain_style
def write_svg(figure: Figure, file: Path | IO[str]) -> None:
    """Write a figure as SVG, the same bytes each time."""
    with matplotlib.rc_context({"svg.hashsalt": "rmspace"}):
        figure.savefig(file, format="svg", metadata={"Date": None})


def spaced(sizes: Sequence[int]) -> list[int]:
    """Leave out sizes whose labels would run into the next one's on a logarithmic axis."""
    return [size for size, after in zip(sizes, [*sizes[1:], math.inf], strict=True) if after > 1.3 * size]


def _canvas(height: float = 3.6) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.0, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(visible=True, color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    return figure, axes


def _rows(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    rows = table[table.metric == metric].sort_values("n", kind="stable")
    if rows.empty:
        raise ValueError(f"the table has no metric {metric!r}; it has {sorted(set(table.metric))}")
    return rows.assign(label=[plain_text(name) for name in rows.model])


def _models(rows: pd.DataFrame) -> Sequence[Any]:
    order = rows.sort_index().model.unique()
    return [name for name in order if name not in (RANDOM, BEST)]


def plain_text(name: object) -> str:
    """Keep matplotlib from reading a name as mathematics, or hiding it from the legend."""
    text = str(name).replace("$", r"\$")
    return f"\u200b{text}" if text.startswith("_") else text


def _prompts(n_prompts: int | None) -> str:
    return "prompts" if n_prompts is None else f"{n_prompts} test prompts"
