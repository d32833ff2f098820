"""How much of the possible gain each model reaches."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmspace.plots.one_run import interval_words, models_of, one_axes, rows_of, set_labels
from rmspace.plots.style import axis_name, bar_style, plain_style, plain_text, wrapped

__all__ = ["gain_bars"]


@plain_style
def gain_bars(
    table: pd.DataFrame, *, metric: str = "normalized_gain", confidence: float = 0.95, ax: Axes | None = None
) -> Figure:
    """Draw each model's normalised gain at the largest n as a bar with its interval: 0 = random, 1 = best response.

    The bars of the metric "accuracy" begin at 1/2, which chance reaches.

    A notebook shows the figure that a cell ends with. Only where you give `ax` do you show the figure yourself.

    Args:
        table: as in `best_of_n_curve`.
        metric: the metric to draw.
        confidence: level of the intervals, for the label of the axis.
        ax: axes to draw into; a new figure when None.

    Returns:
        The figure that holds the axes.

    Raises:
        ValueError: a missing column; no such metric; two values of one model at one n.

    >>> rows = [("BT", "normalized_gain", 10, 0.5, 0.4, 0.6)]
    >>> table = pd.DataFrame(rows, columns=["model", "metric", "n", "value", "low", "high"])
    >>> gain_bars(table).axes[0].get_yticklabels()[0].get_text()
    'BT'
    """
    rows = rows_of(table, metric)
    size = rows.n.max()
    rows = rows[(rows.n == size) | pd.isna(size)]
    models = models_of(rows)
    rows = rows.set_index("model").loc[models]
    labels = [wrapped(plain_text(name), 32) for name in models]
    figure, axes = one_axes(ax, height=0.9 + 0.32 * len(rows) + 0.14 * sum(label.count("\n") for label in labels))
    places = np.arange(len(rows))
    start = 0.5 if metric == "accuracy" else 0.0
    for k, value in enumerate(rows.value.astype(float)):
        axes.barh(k, value - start, left=start, height=0.65, **bar_style(k))
    errors = np.stack([rows.value - rows.low, rows.high - rows.value]).astype(float).clip(min=0)
    axes.errorbar(rows.value.astype(float), places, xerr=errors, fmt="none", capsize=3, linewidth=1, ecolor="0.15")
    axes.set_yticks(places, labels)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.axvline(start, color="0.2", linewidth=0.8)
    axes.grid(axis="y", visible=False)
    at = "" if pd.isna(size) else f" at N = {size}"
    scale = " (0.5 by chance)" if start else ""
    if metric == "normalized_gain":
        axes.set_xlim(min(0.0, float(rows.low.min()) - 0.05), 1.0)
        scale = " (0 random, 1 best response)"
    set_labels(figure, axes, f"{axis_name(metric)}{at}{scale}\n{interval_words(rows, confidence)}")
    return figure
