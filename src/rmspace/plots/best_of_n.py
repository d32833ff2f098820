"""The gold reward that Best-of-N reaches, over N."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmspace.plots.one_run import BEST, RANDOM, add_legend, interval_words, models_of, one_axes, rows_of, set_labels
from rmspace.plots.style import line_style, plain_style, plain_text, spaced_ticks

__all__ = ["best_of_n_curve"]


@plain_style
def best_of_n_curve(
    table: pd.DataFrame, *, metric: str = "best_of_n", confidence: float = 0.95, ax: Axes | None = None
) -> Figure:
    """Draw the gold reward that Best-of-N reaches with each model, with intervals, between random and best response.

    A notebook shows the figure that a cell ends with. Only where you give `ax` do you show the figure yourself.

    Args:
        table: columns metric, n, value, low, high, as `evaluate` and `run` return. Each model of the column `model` is
            a line; without that column there is one line. The models "random response" and "best response" are the
            lower and the upper reference line.
        metric: the metric to draw.
        confidence: level of the intervals, for the label of the axis.
        ax: axes to draw into; a new figure when None.

    Returns:
        The figure that holds the axes.

    Raises:
        ValueError: a missing column; no such metric, or one without n; two values of one model at one n.

    >>> rows = [("BT", "best_of_n", n, n / 10, n / 10 - 0.1, n / 10 + 0.1) for n in (1, 2, 5)]
    >>> table = pd.DataFrame(rows, columns=["model", "metric", "n", "value", "low", "high"])
    >>> best_of_n_curve(table).axes[0].get_xlabel()
    'N, responses to choose from'
    """
    rows = rows_of(table, metric).dropna(subset=["n"]).sort_values("n", kind="stable")
    if rows.empty:
        raise ValueError(f"best_of_n_curve draws a metric over n, and {metric} has no n; use gain_bars")
    figure, axes = one_axes(ax, height=3.6)
    for name, dashes in ((BEST, "--"), (RANDOM, ":")):
        line = rows[rows.model == name]
        if len(line):
            axes.plot(line.n.astype(float), line.value, label=name, color="0.35", linestyle=dashes, linewidth=1.2)
    for k, name in enumerate(models_of(rows)):
        line, style = rows[rows.model == name], line_style(k)
        sizes = line.n.astype(float)
        axes.fill_between(sizes, line.low, line.high, color=style["color"], alpha=0.15, linewidth=0)
        axes.plot(sizes, line.value, markersize=4, label=plain_text(name), **style)
    _set_sizes(figure, axes, sorted({int(size) for size in rows.n}))
    values = f"gold reward of the choice\n{interval_words(rows, confidence)}"
    set_labels(figure, axes, "N, responses to choose from", values)
    if list(rows.model.unique()) != [""]:
        add_legend(figure, axes, given=ax is not None)
    return figure


def _set_sizes(figure: Figure, axes: Axes, sizes: list[int]) -> None:
    labels = [str(size) for size in sizes]
    kept = spaced_ticks(sizes, labels, inches=0.8 * axes.get_position().width * figure.get_figwidth())
    axes.set_xscale("log")
    axes.set_xticks([sizes[k] for k in kept], [labels[k] for k in kept])
    axes.minorticks_off()
