"""The gain of one kind of pairs over another, against the gold gap inside the pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import stats

from rmspace.plots.over_seeds import add_study_caption, measured, two_values
from rmspace.plots.panels import Facets, Layout, add_legend, facet_names, make_panels, set_values, set_x_label
from rmspace.plots.style import NORMAL, SMALL, axis_name, letters, plain_style, plain_text, point_style, wrapped
from rmspace.results.schema import SEED
from rmspace.results.summarize import axes_of
from rmspace.results.tables import equal

__all__ = ["study_scatter"]

LAYOUT = Layout(columns=2, height=2.4, alone=2.4)
_MOST_NAMED = 4  # models whose r has room in a title


@plain_style
def study_scatter(
    table: pd.DataFrame,
    *,
    contrast: str = "pairs",
    gap_of: Literal["first", "second"] = "second",
    panel: Facets = None,
    metric: str = "gain",
    n: int | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the gain of an axis' second value over its first, against the gold gap of the pairs: the form of figure 6.

    Each setting and model is a point: the mean, over the seeds that both sides have, of second minus first. Each panel
    gives Pearson's r of each model, or its range where there are more than four models. It has no interval: the points
    of a study share banks and pairs, so they are not independent.

    Args:
        table: as in `study_bars`; so are panel, metric, n and ax. Every axis except those of `panel` is pooled: each
            of its settings is a point.
        contrast: axis with two values, such as same- and cross-prompt pairs. The first value is the first in the table.
        gap_of: the side whose pairs give the gap on the x axis. The paper does not say which, and the sign of r can
            depend on it.

    Returns:
        The figure that holds the panels.

    Raises:
        ValueError: as `study_bars`; a `contrast` that has another number of values than two; no setting that has both.

    >>> sides = [("same", b, 1) for b in "abcd"] + [("cross", b, ord(b)) for b in "abcd"]
    >>> rows = [(p, b, 0, "BT", "gain", 9, v, 0, 1, 0.1, v) for p, b, v in sides]
    >>> names = ["pairs", "data.base_model", "seed", "model", "metric", "n", "value", "low", "high"]
    >>> figure = study_scatter(pd.DataFrame(rows, columns=[*names, "error_rate", "mean_abs_gap"]))
    >>> figure.axes[0].get_title()
    '4 settings; r: BT 1.00'
    """
    if gap_of not in ("first", "second"):
        raise ValueError(f"gap_of must be 'first' or 'second'; got {gap_of!r}")
    rows = measured(table, metric, n, [*facet_names(panel), contrast])
    first, second = two_values(rows, contrast)
    points = scatter_points(rows, contrast, gap_of)
    models = list(points.model.unique())
    handles = [
        Line2D([], [], linestyle="", markersize=4, label=plain_text(model), **point_style(k))
        for k, model in enumerate(models)
    ]
    labels = [str(handle.get_label()) for handle in handles]
    panels = make_panels(points, panel, LAYOUT, labels=labels, ax=ax, value="difference")
    named = plain_text({"first": first, "second": second}[gap_of])
    for part in panels.parts:
        for k, model in enumerate(models):
            some = part.rows[part.rows.model == model]
            part.axes.plot(some.gap.astype(float), some.difference, linestyle="", markersize=4, **point_style(k))
        part.axes.axhline(0, color="0.2", linewidth=0.8)
        if part.bottom:
            set_x_label(panels, part.axes, f"mean gold gap inside {named} pairs\n(units of gold reward)")
        _add_title(part.axes, _correlations(part.rows, models, contrast), panels.width)
    set_values(panels, f"{axis_name(metric)},\n{plain_text(second)} minus {plain_text(first)}")
    add_legend(panels, handles)
    add_study_caption(panels, points, metric, None)
    return panels.figure


def scatter_points(rows: pd.DataFrame, contrast: str, gap_of: str) -> pd.DataFrame:
    """Return a row for each setting and model: the difference of the two sides, their gap, and the number of seeds.

    Raises:
        ValueError: no setting that has both sides.
    """
    first, second = two_values(rows, contrast)
    by = [*(name for name in axes_of(rows) if name != contrast), "model"]
    sides = [rows[equal(rows[contrast], label)][[*by, "n", "value", "mean_abs_gap"]] for label in (first, second)]
    both = sides[0].merge(sides[1], on=[*by, "n"], suffixes=("_first", "_second"))  # seed by seed
    if both.empty:
        raise ValueError(f"no setting has both {first} and {second} of {contrast}")
    both["difference"] = both.value_second - both.value_first
    settings = [*(name for name in by if name != SEED), "n"]
    points = both.groupby(settings, dropna=False, sort=False, observed=True).agg(
        difference=("difference", "mean"), gap=(f"mean_abs_gap_{gap_of}", "mean"), seeds=("difference", "count")
    )
    return points.reset_index().dropna(subset=["difference"])


def _correlations(points: pd.DataFrame, models: Sequence[str], contrast: str) -> str:
    """Return the number of settings and r of each model, for a title."""
    settings = [name for name in axes_of(points) if name not in (contrast, "difference", "gap", "seeds")]
    count = len(points[settings].drop_duplicates()) if settings else int(len(points) > 0)
    found = {plain_text(model): _r(points[points.model == model]) for model in models}
    known = [r for r in found.values() if r is not None]
    if len(models) > _MOST_NAMED and known:
        return f"{count} settings; r from {min(known):.2f} to {max(known):.2f}"
    words = ", ".join(f"{name} {'-' if r is None else f'{r:.2f}'}" for name, r in found.items())
    return f"{count} settings; r: {words}"


def _r(points: pd.DataFrame) -> float | None:
    """Return Pearson's r, or None where fewer than three points or equal values leave it undefined."""
    x, y = points.gap.to_numpy(dtype=float), points.difference.to_numpy(dtype=float)
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(stats.pearsonr(x, y).statistic)


def _add_title(axes: Axes, text: str, width: float) -> None:
    lines = wrapped(text, 72 * width / letters("m"))
    title: Any = axes.get_title()
    axes.set_title("\n".join(filter(None, [title, lines])), fontsize=SMALL if title else NORMAL)
