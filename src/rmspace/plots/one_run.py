"""Parts of the figures of one run: the rows of a metric, one pair of axes, and the words for the intervals."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmspace.plots.style import NORMAL, NotebookFigure, figure_of, letters, wrapped

RANDOM, BEST = "random response", "best response"
_NEEDED = ("metric", "n", "value", "low", "high")


def rows_of(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the rows of a metric, with an unnamed model where the table has no column `model`.

    Raises:
        ValueError: a missing column; no such metric; two values of one model at one n, as several seeds give.
    """
    if missing := [name for name in _NEEDED if name not in table.columns]:
        raise ValueError(f"the table needs the columns {', '.join(_NEEDED)}; it lacks {', '.join(missing)}")
    rows = table[table.metric == metric]
    if rows.empty:
        raise ValueError(f"the table has no metric {metric!r}; it has {sorted(set(table.metric))}")
    if "model" not in rows.columns:
        rows = rows.assign(model="")
    if (again := rows.duplicated(["model", "n"])).any():
        first = rows[again].iloc[0]
        raise ValueError(
            f"this figure draws one value for each model and n; the table has several of {metric} for model "
            f"{first.model!r} at n = {first.n}. Choose one setting and seed, or draw means over seeds with study_curves"
        )
    return rows


def models_of(rows: pd.DataFrame) -> list[str]:
    """Return the models in the order of the table, without the two reference lines."""
    return [name for name in rows.sort_index().model.unique() if name not in (RANDOM, BEST)]


def interval_words(rows: pd.DataFrame, confidence: float) -> str:
    """Describe a value and its interval in words.

    >>> interval_words(pd.DataFrame({"n_prompts": [40, 38]}), 0.95)
    'mean over 38 to 40 prompts, 95% interval'
    """
    prompts = "prompts"
    if "n_prompts" in rows.columns and rows.n_prompts.notna().any():
        low, high = int(rows.n_prompts.min()), int(rows.n_prompts.max())
        prompts = f"{low if low == high else f'{low} to {high}'} prompts"
    return f"mean over {prompts}, {confidence:.0%} interval"


def one_axes(ax: Axes | None, *, height: float) -> tuple[Figure, Axes]:
    """Return the axes that the caller gave and their figure, or new ones."""
    if ax is None:
        figure: Figure = NotebookFigure(figsize=(6.0, height), layout="constrained")
        axes = figure.add_subplot()
    else:
        figure, axes = figure_of(ax), ax
    axes.tick_params(labelsize=NORMAL)
    axes.grid(visible=True, color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def set_labels(figure: Figure, axes: Axes, x: str, y: str = "") -> None:
    """Name both axes, each in as many lines as its length needs."""
    place = axes.get_position()
    axes.set_xlabel(_in_lines(x, place.width * figure.get_figwidth()), fontsize=NORMAL)
    axes.set_ylabel(_in_lines(y, place.height * figure.get_figheight()), fontsize=NORMAL)


def add_legend(figure: Figure, axes: Axes, *, given: bool) -> None:
    """Put the legend beside new axes, or inside axes that the caller gave."""
    handles, labels = axes.get_legend_handles_labels()
    labels = [wrapped(label, 60) for label in labels]
    style: dict[str, Any] = {"frameon": False, "fontsize": NORMAL}
    if given:
        axes.legend(handles, labels, **style)
    elif max(map(len, labels)) <= 24:
        figure.legend(handles, labels, loc="outside right upper", **style)
    else:
        figure.legend(handles, labels, loc="outside upper left", **style)


def _in_lines(text: str, inches: float) -> str:
    return "\n".join(wrapped(line, 72 * inches / letters("m", NORMAL)) for line in text.split("\n"))
