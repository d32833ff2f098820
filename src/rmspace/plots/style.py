"""How every figure looks: colours, markers, text that matplotlib leaves as it is, and files of the same bytes."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

import matplotlib
import matplotlib.style
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")

# Okabe and Ito's palette: colour-blind readers can tell it apart. Grey replaces its black, so that error bars show.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C", "#F0E442")
MARKERS = "osD^vPX*"
MODELS_TOLD_APART = 2 * len(COLOURS)
SMALL, NORMAL = 7, 8  # points: tick labels and captions; titles, labels and legends
_NAMES = {
    "gain": "golden reward improvement",
    "best_of_n": "gold reward of the choice",
    "normalized_gain": "normalised gain",
    "n_pairs": "annotations",
    "error_rate": "annotation error rate",
    "pairs.candidates": "responses",
}


class NotebookFigure(Figure):
    """A matplotlib figure that a notebook shows, whether pyplot was imported or not."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=120)
        return file.getvalue()


def figure_of(axes: Axes) -> Figure:
    """Return the whole figure that holds some axes, as those of a subfigure."""
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("ax must belong to a figure; it was removed from its figure")
    return figure


def plain_style(draw: Callable[P, T]) -> Callable[P, T]:
    """Let a function draw with matplotlib's own settings, whatever settings the user has."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        with matplotlib.style.context("default"):
            return draw(*args, **kwargs)

    return drawn


def colour(k: int) -> str:
    """Return the colour of the k-th model."""
    return COLOURS[k % len(COLOURS)]


def bar_style(k: int, *, second: bool = False) -> dict[str, Any]:
    """Return the style of the k-th model's bar: dots mark the second eight models, stripes the second of two bars."""
    hatch = ("...." if k >= len(COLOURS) else "") + ("////" if second else "")
    edge = {"hatch": hatch, "edgecolor": "0.15"} if hatch else {}
    return {"facecolor": colour(k), **edge, **({"alpha": 0.6} if second else {})}


def point_style(k: int) -> dict[str, Any]:
    """Return the style of the k-th model's points: those of the second eight models are hollow."""
    face = "white" if k >= len(COLOURS) else colour(k)
    return {"color": colour(k), "marker": MARKERS[k % len(MARKERS)], "markerfacecolor": face}


def line_style(k: int) -> dict[str, Any]:
    """Return the style of the k-th model's line: those of the second eight models are dashed."""
    return {**point_style(k), "linestyle": "--" if k >= len(COLOURS) else "-"}


def plain_text(value: Any) -> str:
    """Return a value as text that matplotlib shows as it is: no mathematics, and not hidden from the legend."""
    text = "null" if pd.isna(value) else str(value).replace("$", r"\$")
    return f"\u200b{text}" if text.startswith("_") else text


def axis_name(column: str) -> str:
    """Return the name of an axis or a metric in a figure.

    >>> axis_name("data.base_model"), axis_name("n_pairs")
    ('base model', 'annotations')
    """
    return plain_text(_NAMES.get(column, column.rpartition(".")[2].replace("_", " ")))


def named_value(column: str, value: Any) -> str:
    """Return a value as a title: a number or a missing value with the name of its axis.

    >>> named_value("n_pairs", 500), named_value("data.base_model", "Gemma2b")
    ('annotations 500', 'Gemma2b')
    """
    if isinstance(value, str):
        return plain_text(value)
    is_float = isinstance(value, float) and not math.isnan(value)
    return f"{axis_name(column)} {f'{value:g}' if is_float else plain_text(value)}"


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many letters, its middle left out where it is longer."""
    side = (most - 1) // 2
    return text if len(text) <= most else f"{text[:side]}\u2026{text[-side:]}"


def wrapped(text: str, width: float) -> str:
    """Return a text in lines of at most `width` letters."""
    return "\n".join(textwrap.wrap(text, max(4, int(width))))


def spaced_ticks(ticks: Sequence[float], labels: Sequence[str], inches: float) -> list[int]:
    """Return which ticks of a logarithmic axis to keep, from the last one down, so that no two labels meet.

    >>> spaced_ticks([1, 2, 50, 56], ["1", "2", "50", "56"], inches=4)
    [0, 1, 3]
    """
    width = math.log(max(ticks) / min(ticks)) or 1.0
    places = [72 * inches * math.log(tick / min(ticks)) / width for tick in ticks]
    halves = [letters(label) / 2 + 2 for label in labels]
    kept: list[int] = []
    for k in sorted(range(len(ticks)), key=lambda k: -places[k]):
        if not kept or places[k] + halves[k] <= places[kept[0]] - halves[kept[0]]:
            kept.insert(0, k)
    return kept


def letters(text: str, size: float = SMALL) -> float:
    """Return about how many points wide a text is."""
    return 0.62 * size * len(text)


@plain_style
def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and SVG, with the same bytes each time; return both paths."""
    paths = [path.with_name(f"{path.name}.{kind}") for kind in ("png", "svg")]
    figure.savefig(paths[0], dpi=200, metadata={"Software": None})
    write_svg(figure, paths[1])
    return paths


@plain_style
def write_svg(figure: Figure, file: Path | IO[str]) -> None:
    """Write a figure as SVG, with the same bytes each time."""
    with matplotlib.rc_context({"svg.hashsalt": "rmspace"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
