"""The figure of the study: a panel per setting, in which each rule has its curve."""

from itertools import product

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import rmspace as rm
from rmspace.plots.style import NORMAL, SMALL, NotebookFigure, line_style, plain_style
from selection.study import RANDOM

SHADED = (RANDOM, "D-optimal", "past-aware D-optimal")  # the rules of the question; others have thin bars


@plain_style
def draw_curves(table: pd.DataFrame) -> Figure:
    """Draw the mean gain over seeds against annotations; shades and bars are 95% intervals over seeds.

    Each panel has its own axes, since worlds differ in their gains. Bars of one place stand side by side.
    """
    means = rm.seed_means(table)
    worlds, pools = list(means.world.unique()), list(means.pool.unique())
    models = list(dict.fromkeys([*SHADED, *means.model]))
    figure = NotebookFigure(figsize=(7.0, 0.8 + 2.1 * len(worlds)), layout="constrained")
    axes = figure.subplots(len(worlds), len(pools), squeeze=False)
    for (world, pool), panel in zip(product(worlds, pools), axes.flat, strict=True):
        _draw(panel, means[(means.world == world) & (means.pool == pool)], models)
        panel.set_title(f"{world}, {pool}", fontsize=NORMAL)
    figure.supxlabel("annotations", fontsize=NORMAL)
    figure.supylabel("normalised gain", fontsize=NORMAL)
    known = axes[0, 0].get_legend_handles_labels()
    figure.legend(*known, loc="outside upper center", ncols=5, fontsize=SMALL, frameon=False)
    return figure


def _draw(panel: Axes, means: pd.DataFrame, models: list[str]) -> None:
    step = float(means.n_pairs.min())
    for k, model in enumerate(models):
        rows, style = means[means.model == model].sort_values("n_pairs"), line_style(k)
        places = rows.n_pairs + (k / (len(models) - 1) - 0.5) * 0.3 * step
        if model in SHADED:
            panel.fill_between(places, rows.low, rows.high, color=style["color"], alpha=0.18, linewidth=0)
        else:
            style |= {"linewidth": 0.7}
            panel.vlines(places, rows.low, rows.high, color=style["color"], linewidth=0.6, alpha=0.6)
        panel.plot(places, rows.value, label=model, markersize=3, **style)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.grid(visible=True, color="0.9", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=SMALL)
