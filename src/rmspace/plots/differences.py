"""The figure of a table of comparisons: each difference with its interval, filled where the corrected test is sure."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rmspace._checks import check_number
from rmspace.plots.one_run import MARKERS, plain_style, plain_text
from rmspace.plots.panels import add_legend, axis_name, colour, equal, make_panels, shown, values_of

__all__ = ["study_differences"]

_NEEDED = ("other", "difference", "low", "high", "seeds", "p_value", "p_corrected")


@plain_style
def study_differences(
    comparison: pd.DataFrame,
    *,
    panel: str | None = None,
    hue: str | None = None,
    metric: str = "gain",
    alpha: float = 0.05,
) -> Figure:
    """Draw what `compare_models` found: a point with its interval for each difference, a row for each setting.

    A point is filled where the p-value, corrected over the whole table, is under `alpha`, and hollow otherwise.

    Args:
        comparison: as `compare_models` returns, or part of it.
        panel: column with a panel for each value.
        hue: column that is told by colour and has its points side by side in a row.
        metric: name of what differs, for the axis.
        alpha: level of the corrected test, in (0, 1).

    Raises:
        ValueError: an empty table, one that is no comparison, no such column, alpha out of its range.

    >>> rows = [("BT", "CLF", 0.2, 0.1, 0.3, 5, 0.01, 0.02), ("BT", "LGB", 0.1, -0.1, 0.3, 5, 0.3, 0.3)]
    >>> table = pd.DataFrame(rows, columns=["model", *_NEEDED])
    >>> [label.get_text() for label in study_differences(table).axes[0].get_yticklabels()]
    ['BT $-$ CLF', 'BT $-$ LGB']
    """
    if not 0 < check_number("alpha", alpha) < 1:
        raise ValueError(f"alpha must be in (0, 1); got {alpha}")
    if missing := [name for name in _NEEDED if name not in comparison.columns]:
        raise ValueError(f"comparison must be a table of compare_models; it has no {', '.join(missing)}")
    if comparison.empty:
        raise ValueError("comparison has no rows: no setting has two seeds in common")
    columns = [str(name) for name in comparison.columns if name not in _NEEDED]
    for name in (panel, hue):
        if name is not None and name not in columns:
            raise ValueError(f"the comparison has no column {name!r}; it has {', '.join(columns)}")
    compared = columns[-1]  # what compare_models puts before `other`
    couples = comparison[[compared, "other"]].drop_duplicates()
    one = len(couples) == 1 and len(comparison) > 1
    settings = [name for name in columns if name not in (panel, hue, compared)]
    rows = comparison.assign(row=_labels(comparison, settings, None if one else compared))
    hues = values_of(rows, hue)
    tallest = max(part.row.nunique() for _, part in (rows.groupby(panel) if panel else [("", rows)]))
    height = 0.35 + tallest * max(0.2, 0.11 * len(hues))
    figure, panels = make_panels(rows, panel, columns=1, height=height)
    ends = comparison[["low", "difference", "high"]].to_numpy(dtype=float)
    left, right = min(0.0, float(np.nanmin(ends))), max(0.0, float(np.nanmax(ends)))
    for axes, part in panels:
        places = {label: k for k, label in enumerate(part.row.unique())}
        for k, value in enumerate(hues):
            some = part if hue is None else part[equal(part[hue], value)]
            y = some.row.map(places).to_numpy(float) + (k - (len(hues) - 1) / 2) * 0.7 / len(hues)
            errors = np.stack([some.difference - some.low, some.high - some.difference]).astype(float)
            style: dict[str, Any] = {"color": colour(k), "linestyle": ""}
            axes.errorbar(some.difference, y, xerr=errors, linewidth=1, elinewidth=1, **style)
            for sure in (False, True):
                chosen = ((some.p_corrected < alpha) == sure).to_numpy()
                face = colour(k) if sure else "white"
                marker = MARKERS[k % len(MARKERS)]
                axes.plot(some.difference[chosen], y[chosen], marker=marker, mfc=face, markersize=4, **style)
        axes.axvline(0, color="0.2", linewidth=0.8)
        axes.set_yticks(list(places.values()), list(places))
        axes.set_ylim(len(places) - 0.4, -0.6)
        axes.set_xlim(left - 0.05 * (right - left), right + 0.05 * (right - left))
    what = f", {_couple(*couples.iloc[0])}" if one else ""
    panels[-1][0].set_xlabel(f"difference in {axis_name(metric)}{what}")
    if hue is not None:
        handles = [
            Line2D([], [], color=colour(k), marker=MARKERS[k % len(MARKERS)], linestyle="", label=shown(value))
            for k, value in enumerate(hues)
        ]
        add_legend(figure, handles)
    low, high = comparison.seeds.min(), comparison.seeds.max()
    words = f"{low if low == high else f'{low} to {high}'} seeds, paired; interval uncorrected; filled: corrected p"
    figure.supxlabel("\n".join(textwrap.wrap(f"{words} < {alpha:g}", 100)), fontsize=7, color="0.3")
    return figure


def _labels(comparison: pd.DataFrame, settings: list[str], compared: str | None) -> list[str]:
    """Name each row by the settings that vary between the rows, and by what is compared where that varies."""
    varying = [name for name in settings if len(comparison[name].unique()) > 1]
    labels = []
    for _, row in comparison.iterrows():
        words = [f"{axis_name(name)} {row[name]:g}" if _number(row[name]) else shown(row[name]) for name in varying]
        couple = "" if compared is None else _couple(row[compared], row.other)
        labels.append(": ".join(part for part in (", ".join(words), couple) if part))
    return labels


def _couple(first: object, second: object) -> str:
    return rf"{plain_text(first)} $-$ {plain_text(second)}"


def _number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
