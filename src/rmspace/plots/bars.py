"""Bars of each model over the values of an axis."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from rmspace.plots.over_seeds import add_study_caption, means_of
from rmspace.plots.panels import (
    Facets,
    add_legend,
    bars_layout,
    draw_bars,
    facet_names,
    limit_values,
    make_panels,
    one_per_group,
    set_groups,
    set_values,
)
from rmspace.plots.style import axis_name, bar_style, plain_style, plain_text
from rmspace.results.tables import values_of

__all__ = ["study_bars"]


@plain_style
def study_bars(
    table: pd.DataFrame,
    *,
    x: str | None = None,
    panel: Facets = None,
    metric: str = "gain",
    n: int | None = None,
    overlap: float = 0.0,
    confidence: float = 0.95,
    ax: Axes | None = None,
) -> Figure:
    """Draw a bar for each model at each value of an axis, with intervals over seeds: the form of figure 1.

    Args:
        table: as `Study.results` returns, or any table with axes, then model, metric, n, value, low, high, error_rate
            and mean_abs_gap.
        x: axis whose values stand side by side; one group for all when None.
        panel: axis with a panel for each value, or a list of two: rows and columns. Panels share their axes.
        metric: the metric to draw.
        n: at which n; the largest n that all settings have when None.
        overlap: of the intervals; see `seed_means`.
        confidence: of the intervals; see `seed_means`.
        ax: axes to draw into, where the figure has one panel; a new figure when None.

    Returns:
        The figure that holds the panels. A notebook shows the figure that a cell ends with.

    Raises:
        ValueError: no such axis or metric; an axis varies that the figure does not show, so that a mean over it would
            be drawn; `ax` and several panels; more panels than fit a page; more than 16 models.

    >>> rows = [(b, s, "BT", "gain", 9, v + s, 0, 1, 0.1, 1) for b, v in (("Gemma", 1), ("LLaMA", 2)) for s in (0, 1)]
    >>> names = ["data.base_model", "seed", "model", "metric", "n", "value", "low", "high"]
    >>> table = pd.DataFrame(rows, columns=[*names, "error_rate", "mean_abs_gap"])
    >>> figure = study_bars(table, x="data.base_model")
    >>> [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    ['Gemma', 'LLaMA']
    """
    shown = [*facet_names(panel), *([] if x is None else [x])]
    means = means_of(table, metric, n, shown, overlap, confidence)
    models, groups = list(means.model.unique()), values_of(means, x)
    labels = [plain_text(model) for model in models]
    panels = make_panels(means, panel, bars_layout(groups, len(models)), labels=labels, ax=ax, value="value")
    width = min(0.3, 0.8 / len(models))
    for part in panels.parts:
        for k, model in enumerate(models):
            rows = one_per_group(part.rows[part.rows.model == model], x, groups)
            places = np.arange(len(groups)) + (k - (len(models) - 1) / 2) * width
            draw_bars(part.axes, places, rows, width, **bar_style(k))
    set_groups(panels, groups, x)
    set_values(panels, axis_name(metric))
    cut = limit_values(panels)
    add_legend(panels, [Patch(label=label, **bar_style(k)) for k, label in enumerate(labels)])
    add_study_caption(panels, means, metric, confidence, cut=cut)
    return panels.figure
