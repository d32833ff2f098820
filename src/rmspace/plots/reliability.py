"""Whether the probabilities of models agree with the observed shares."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmspace.plots.one_run import add_legend, one_axes, set_labels
from rmspace.plots.style import line_style, plain_style, plain_text
from rmspace.results.schema import CALIBRATION, names

__all__ = ["reliability_curve"]


@plain_style
def reliability_curve(table: pd.DataFrame, *, confidence: float = 0.95, ax: Axes | None = None) -> Figure:
    """Draw the share of a model's choices that won over the probability that it gave them, with intervals.

    A calibrated model lies on the dashed line; below it, its probabilities are too high. The grey bars show how the
    comparisons are spread over the bins, as a mean over the models.

    Args:
        table: as `calibration_table` returns it.
        confidence: level of the intervals, for the label of the axis.
        ax: axes to draw into; a new figure when None.

    Returns:
        The figure that holds the axes.

    Raises:
        ValueError: a missing column, a table without rows, or one with several parts, as `by` gives.

    >>> rows = [("BT", 0.5, 0.75, 0.6, 0.55, 0.5, 0.6, 0.7, 70), ("BT", 0.75, 1.0, 0.9, 0.8, 0.7, 0.9, 0.3, 30)]
    >>> table = pd.DataFrame(rows, columns=names(CALIBRATION))
    >>> reliability_curve(table).axes[0].get_xlabel()
    'probability that the model gives to its choice'
    """
    if missing := [name for name in names(CALIBRATION) if name not in table.columns]:
        raise ValueError(f"the table must be one of calibration_table; it lacks {', '.join(missing)}")
    if table.empty:
        raise ValueError("the table must have a bin with a comparison; it has no rows")
    if table.duplicated(["model", "bin_low"]).any():
        raise ValueError("this figure draws one bin of a model once; this table has several parts; choose one of them")
    figure, axes = one_axes(ax, height=3.8)
    models = list(table.model.unique())
    bins = table.groupby(["bin_low", "bin_high"], as_index=False).share.sum()
    widths, heights = bins.bin_high - bins.bin_low, bins.share / len(models)
    axes.bar(bins.bin_low, heights, width=widths, align="edge", color="0.9", edgecolor="white", zorder=0)
    axes.plot([0.5, 1], [0.5, 1], color="0.35", linestyle="--", linewidth=1.2, label="calibrated")
    for k, name in enumerate(models):
        part, style = table[table.model == name], line_style(k)
        errors = np.stack([part.observed - part.low, part.high - part.observed]).astype(float).clip(min=0)
        shift = 0.004 * (k - (len(models) - 1) / 2)  # so that the intervals of two models do not hide each other
        at = part.predicted.astype(float) + shift
        axes.errorbar(at, part.observed.astype(float), yerr=errors, fmt="none", ecolor=style["color"], linewidth=1)
        axes.plot(at, part.observed.astype(float), markersize=5, label=plain_text(name), **style)
    axes.set_xlim(0.49, 1.01)
    axes.set_ylim(0.0, 1.02)
    share = f"share that won, {confidence:.0%} interval\n(grey: share of the comparisons)"
    set_labels(figure, axes, "probability that the model gives to its choice", share)
    add_legend(figure, axes, given=ax is not None)
    return figure
