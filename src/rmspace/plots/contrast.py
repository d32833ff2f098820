"""Two bars of each model, for the two values of an axis."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from rmspace.plots.over_seeds import add_study_caption, means_of, two_values
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
from rmspace.results.tables import equal, values_of

__all__ = ["study_contrast"]


@plain_style
def study_contrast(
    table: pd.DataFrame,
    *,
    contrast: str = "pairs",
    x: str | None = None,
    panel: Facets = None,
    metric: str = "gain",
    n: int | None = None,
    overlap: float = 0.0,
    confidence: float = 0.95,
    ax: Axes | None = None,
) -> Figure:
    """Draw two bars for each model, plain for the first value of an axis and striped for the second: figures 4 and 5.

    Args:
        table: as in `study_bars`; so are x, panel, metric, n, overlap, confidence and ax.
        contrast: axis with two values, such as same- and cross-prompt pairs. The first value is the first in the table.

    Returns:
        The figure that holds the panels.

    Raises:
        ValueError: as `study_bars`; a `contrast` that has another number of values than two.

    >>> rows = [(p, s, "BT", "gain", 9, 1 + s, 0, 1, 0.1, 1) for p in ("same", "cross") for s in (0, 1)]
    >>> names = ["pairs", "seed", "model", "metric", "n", "value", "low", "high", "error_rate", "mean_abs_gap"]
    >>> len(study_contrast(pd.DataFrame(rows, columns=names)).axes[0].patches)
    2
    """
    shown = [*facet_names(panel), contrast, *([] if x is None else [x])]
    means = means_of(table, metric, n, shown, overlap, confidence)
    sides = two_values(means, contrast)
    models, groups = list(means.model.unique()), values_of(means, x)
    handles = [Patch(label=plain_text(model), **bar_style(k)) for k, model in enumerate(models)]
    for label, hatch in zip(sides, ("", "////"), strict=True):
        handles.append(Patch(facecolor="0.75", edgecolor="0.2", hatch=hatch, label=plain_text(label)))
    labels = [str(handle.get_label()) for handle in handles]
    panels = make_panels(means, panel, bars_layout(groups, 2 * len(models)), labels=labels, ax=ax, value="value")
    width = min(0.3, 0.86 / (2 * len(models)))
    for part in panels.parts:
        for k, model in enumerate(models):
            for side, label in enumerate(sides):
                chosen = (part.rows.model == model) & equal(part.rows[contrast], label)
                places = np.arange(len(groups)) + (2 * k + side - len(models) + 0.5) * width
                rows = one_per_group(part.rows[chosen], x, groups)
                draw_bars(part.axes, places, rows, width, **bar_style(k, second=bool(side)))
    set_groups(panels, groups, x)
    set_values(panels, axis_name(metric))
    cut = limit_values(panels)
    add_legend(panels, handles)
    add_study_caption(panels, means, metric, confidence, cut=cut)
    return panels.figure
