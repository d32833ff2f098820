"""The curve of each model over an axis of numbers."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rmspace.plots.over_seeds import add_study_caption, means_of
from rmspace.plots.panels import (
    Facets,
    Layout,
    add_legend,
    facet_names,
    limit_values,
    make_panels,
    set_numbers,
    set_values,
)
from rmspace.plots.style import axis_name, line_style, plain_style, plain_text
from rmspace.results.tables import values_of

__all__ = ["study_curves"]

LAYOUT = Layout(columns=4, height=1.3)


@plain_style
def study_curves(
    table: pd.DataFrame,
    *,
    x: str,
    panel: Facets = None,
    metric: str = "gain",
    n: int | None = None,
    overlap: float = 0.0,
    confidence: float = 0.95,
    ax: Axes | None = None,
) -> Figure:
    """Draw each model's curve over an axis, with intervals over seeds: the form of figures 2 and 3.

    Args:
        table: as in `study_bars`; so are panel, metric, n, overlap, confidence and ax.
        x: the axis. For one of the annotator, such as `annotator.beta`, the x axis is the share of wrong labels.

    Returns:
        The figure that holds the panels.

    Raises:
        ValueError: as `study_bars`; an axis whose values are not numbers; an axis of annotators whose error rates are
            not known.

    >>> rows = [(k, s, "BT", "gain", 9, k + s, 0, 1, 0.1, 1) for k in (100, 200) for s in (0, 1)]
    >>> names = ["n_pairs", "seed", "model", "metric", "n", "value", "low", "high", "error_rate", "mean_abs_gap"]
    >>> study_curves(pd.DataFrame(rows, columns=names), x="n_pairs").axes[0].get_xlabel()
    'annotations'
    """
    means = means_of(table, metric, n, [*facet_names(panel), x], overlap, confidence)
    over_errors = x.startswith("annotator")
    place = "error_rate" if over_errors else x
    if not _are_numbers(means[x]) or means[place].isna().any():
        raise ValueError(
            f"a curve needs an axis of numbers, and error rates that are known; {x} has {values_of(means, x)}"
        )
    models = list(means.model.unique())
    shade = 0.15 if len(models) <= 4 else 0.07  # of the intervals, which lie over each other
    labels = [plain_text(model) for model in models]
    panels = make_panels(means, panel, LAYOUT, labels=labels, ax=ax, value="value")
    for part in panels.parts:
        for k, model in enumerate(models):
            rows = part.rows[part.rows.model == model].sort_values(place)
            places, style = rows[place].astype(float), line_style(k)
            part.axes.fill_between(places, rows.low, rows.high, color=style["color"], alpha=shade, linewidth=0)
            part.axes.plot(places, rows.value, markersize=3, **style)
    set_numbers(panels, means[place].astype(float), place, percent=over_errors)
    set_values(panels, axis_name(metric))
    cut = limit_values(panels)
    add_legend(panels, [Line2D([], [], markersize=3, label=label, **line_style(k)) for k, label in enumerate(labels)])
    add_study_caption(panels, means, metric, confidence, cut=cut)
    return panels.figure


def _are_numbers(column: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column) and not column.isna().any()
