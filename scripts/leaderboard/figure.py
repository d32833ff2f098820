"""The figure of the leaderboard: average ranks with their critical difference, beside differences with intervals."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leaderboard.ranks import Ranks
from rmspace.plots.style import NORMAL, SMALL, NotebookFigure, colour, plain_style, plain_text


@plain_style
def draw_leaderboard(ranks: Ranks, pooled: pd.DataFrame, reference: str) -> Figure:
    """Draw each row of the leaderboard, best rank first.

    At the left, two rows whose bars do not overlap differ by Nemenyi's test. At the right, a point is filled where the
    corrected test is sure of the sign.
    """
    names = list(ranks.ranks.index)
    figure = NotebookFigure(figsize=(7.0, 1.2 + 0.2 * len(names)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    y = np.arange(len(names))
    left.errorbar(ranks.ranks, y, xerr=ranks.critical / 2, color=colour(0), marker="o", markersize=4, linestyle="")
    left.set_xlabel(
        f"average rank over {ranks.n_settings} settings\nbar: half the critical difference", fontsize=NORMAL
    )
    _draw_differences(right, pooled.set_index("row").reindex(names), y)
    right.set_xlabel(f"difference in skill from {plain_text(reference)}", fontsize=NORMAL)
    for axes in (left, right):
        axes.grid(visible=True, color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=SMALL)
    left.set_yticks(y, [plain_text(name) for name in names])
    left.set_ylim(len(names) - 0.4, -0.6)
    return figure


def _draw_differences(axes: Axes, tests: pd.DataFrame, y: np.ndarray) -> None:
    known = tests.difference.notna().to_numpy()
    errors = np.stack([tests.difference - tests.low, tests.high - tests.difference]).astype(float)
    style: dict[str, Any] = {"color": colour(1), "linestyle": ""}
    axes.errorbar(tests.difference[known], y[known], xerr=errors[:, known], **style)
    sure = (tests.p_corrected < 0.05).to_numpy()
    for chosen, face in ((known & ~sure, "white"), (known & sure, colour(1))):
        axes.plot(tests.difference[chosen], y[chosen], marker="s", mfc=face, markersize=4, **style)
    axes.axvline(0, color="0.2", linewidth=0.8)
