"""Over-optimisation: proxy and gold reward over the KL divergence."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmspace.plots.one_run import add_legend, interval_words, one_axes, set_labels
from rmspace.plots.style import COLOURS, colour, line_style, plain_style, plain_text
from rmspace.results.schema import OVEROPTIMISATION, OVEROPTIMISATION_FIT, names
from rmspace.results.turning import fitted_gain

__all__ = ["overoptimisation"]

_WORDS = {"best_of_n": "Best-of-N: log n - (n - 1) / n", "tilting": "tilting: mean over prompts"}


@plain_style
def overoptimisation(
    table: pd.DataFrame,
    *,
    fit: pd.DataFrame | None = None,
    policy: Literal["best_of_n", "tilting"] = "best_of_n",
    confidence: float = 0.95,
    ax: Axes | None = None,
) -> Figure:
    """Draw gold reward (solid) and proxy score (dashed) over the KL divergence, with intervals.

    Where the solid line falls while the dashed line rises, the scores are over-optimised.

    Args:
        table: as `overoptimisation_table` returns it.
        fit: as `overoptimisation_fit` returns it: its curve is a thin line of dots, and a triangle stands where it
            turns down. None for no fit.
        policy: the policy to draw.
        confidence: level of the intervals, for the label of the axis.
        ax: axes to draw into; a new figure when None.

    Returns:
        The figure that holds the axes.

    Raises:
        ValueError: a missing column; no such policy in the table or the fit; more than 8 models.

    >>> from rmspace.results.overoptimisation import overoptimisation_table
    >>> rng = np.random.default_rng(0)
    >>> rewards = rng.normal(size=(50, 8))
    >>> table = overoptimisation_table({"BT": rewards + rng.normal(size=rewards.shape)}, rewards)
    >>> overoptimisation(table).axes[0].get_xlabel()
    'KL divergence in nats (Best-of-N: log n - (n - 1) / n)'
    """
    rows = _rows_of(table, names(OVEROPTIMISATION), "overoptimisation_table", policy).sort_values("kl", kind="stable")
    if (count := rows.model.nunique()) > len(COLOURS):
        raise ValueError(f"this figure can tell {len(COLOURS)} models apart; got {count}; choose some")
    fits = None if fit is None else _rows_of(fit, names(OVEROPTIMISATION_FIT), "overoptimisation_fit", policy)
    figure, axes = one_axes(ax, height=3.8)
    axes.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    for k, name in enumerate(rows.sort_index().model.unique()):
        line, style = rows[rows.model == name], line_style(k)
        words = "" if name == "scores" else f"{plain_text(name)}, "
        axes.fill_between(line.kl, line.gold_low, line.gold_high, color=colour(k), alpha=0.15, linewidth=0)
        axes.plot(line.kl, line.gold, markersize=4, label=f"{words}gold", **style)
        axes.plot(line.kl, line.proxy, color=colour(k), linestyle="--", linewidth=1.2, label=f"{words}proxy")
        if fits is not None:
            _add_fit(axes, fits[fits.model == name], k)
    axes.set_xlim(left=0.0)
    axes.axhline(0.0, color="0.2", linewidth=0.8)
    gains = f"gain over a random response\n{interval_words(rows, confidence)}"
    legend = "" if fits is None else "\ndots: fit; triangle: where it turns down"
    set_labels(figure, axes, f"KL divergence in nats ({_WORDS[policy]}){legend}", gains)
    add_legend(figure, axes, given=ax is not None)
    return figure


def _rows_of(table: pd.DataFrame, columns: list[str], source: str, policy: str) -> pd.DataFrame:
    if missing := [name for name in columns if name not in table.columns]:
        raise ValueError(f"the table must be one of {source}; it lacks {', '.join(missing)}")
    rows = table[table.policy == policy]
    if rows.empty:
        raise ValueError(f"the table of {source} has no policy {policy!r}; it has {sorted(set(table.policy))}")
    return rows


def _add_fit(axes: Axes, rows: pd.DataFrame, k: int) -> None:
    """Draw the fitted curve of one model, and the place where it turns down."""
    for row in rows.to_dict("records"):
        policy, alpha, beta, turn = row["policy"], row["alpha"], row["beta"], row["turn"]
        kl = np.linspace(0.0, np.sqrt(row["range"]), 200) ** 2
        axes.plot(kl, fitted_gain(policy, kl, alpha, beta), color=colour(k), linestyle=":", linewidth=1.2)
        if not np.isnan(turn):
            height = float(fitted_gain(policy, turn, alpha, beta))
            axes.plot([turn], [height], color=colour(k), marker="v", markersize=8, markeredgecolor="0.15")
