"""The differences that `compare_models` found, each with its interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rmspace._checks import check_number
from rmspace.plots.panels import (
    TALLEST,
    Facets,
    Layout,
    Panels,
    add_caption,
    add_legend,
    facet_names,
    is_setting,
    leading_axes,
    make_panels,
    set_x_label,
)
from rmspace.plots.style import MARKERS, axis_name, colour, named_value, plain_style, plain_text, wrapped
from rmspace.results.tables import determined_by, values_of

__all__ = ["study_differences"]

_NEEDED = ("other", "difference", "low", "high", "seeds", "p_value", "p_corrected")
_MINUS = " \N{MINUS SIGN} "


@plain_style
def study_differences(
    comparison: pd.DataFrame,
    *,
    where: pd.Series[bool] | None = None,
    panel: Facets = None,
    hue: str | None = None,
    metric: str = "gain",
    alpha: float = 0.05,
    ax: Axes | None = None,
) -> Figure:
    """Draw each difference of a comparison as a point with its interval, with a row for each setting.

    A point is filled where `p_corrected < alpha`, and hollow elsewhere. `p_corrected` is read from the table and never
    computed again, so a figure and a table of the same comparison agree. To draw a part, give the whole comparison and
    `where`: the caption then states the number of tests in the correction.

    Args:
        comparison: as `compare_models` returns.
        where: True for each row to draw; all rows when None.
        panel: axis with a panel for each value.
        hue: axis whose values have colours, side by side in a row.
        metric: name of the compared metric, for the label of the axis.
        alpha: level of the corrected test, in (0, 1).
        ax: axes to draw into, where the figure has one panel; a new figure when None.

    Returns:
        The figure that holds the panels.

    Raises:
        ValueError: an empty table; a table of another kind; no such column; `alpha` out of its range; `ax` and several
            panels; more rows than fit a page.

    >>> rows = [("BT", "CLF", 0.2, 0.1, 0.3, 5, 0.01, 0.02), ("BT", "LGB", 0.1, -0.1, 0.3, 5, 0.3, 0.3)]
    >>> table = pd.DataFrame(rows, columns=["model", *_NEEDED])
    >>> [label.get_text() for label in study_differences(table).axes[0].get_yticklabels()]
    ['BT \u2212 CLF', 'BT \u2212 LGB']
    """
    _check(comparison, alpha, [*facet_names(panel), *([] if hue is None else [hue])])
    drawn = comparison if where is None else comparison[where]
    if drawn.empty:
        raise ValueError(
            "comparison has no rows to draw: no setting has two seeds in common, or where is False everywhere"
        )
    rows = labelled(drawn, [*facet_names(panel), *([] if hue is None else [hue])])
    hues = values_of(rows, hue)
    handles = [
        Line2D([], [], color=colour(k), marker=MARKERS[k % len(MARKERS)], linestyle="", label=plain_text(value))
        for k, value in enumerate(hues if hue else [])
    ]
    labels = [str(handle.get_label()) for handle in handles]
    facets = facet_names(panel)
    tallest = max(part.row.nunique() for _, part in (rows.groupby(facets, dropna=False) if facets else [("", rows)]))
    height = 0.35 + tallest * row_height(rows, len(hues))
    if height > TALLEST - 1:
        raise ValueError(
            f"{len(rows)} rows of differences do not fit a page; draw some of them with where, or give a hue"
        )
    layout = Layout(columns=1, height=height, alone=height)
    panels = make_panels(rows, panel, layout, labels=labels, ax=ax)
    for part in panels.parts:
        _draw_rows(part.axes, part.rows, hue, hues, alpha)
        part.axes.locator_params(axis="x", nbins=max(2, min(6, int(panels.width / 0.6))))  # "-0.075" is wide
        if part.bottom:
            what = f",\n{rows.pair.iloc[0]}" if len(rows.pair.unique()) == 1 else ""
            set_x_label(panels, part.axes, f"difference in {axis_name(metric)}{what}")
    _set_limits(panels, rows)
    if handles:
        add_legend(panels, handles)
    add_caption(panels, _caption(drawn, comparison, alpha))
    return panels.figure


def labelled(comparison: pd.DataFrame, shown: list[str]) -> pd.DataFrame:
    """Add the columns `pair`, the two things compared, and `row`, a label without the columns in `shown`."""
    pairs = _pairs_compared(comparison)
    return comparison.assign(pair=pairs, row=_row_labels(comparison, pairs, shown))


def row_height(rows: pd.DataFrame, n_hues: int) -> float:
    """Return the inches that a row needs: for the lines of its label, and for its points side by side."""
    return max(0.2, 0.11 * n_hues, 0.13 * max(label.count("\n") + 1 for label in rows.row))


def _check(comparison: pd.DataFrame, alpha: float, shown: list[str]) -> None:
    if not 0 < check_number("alpha", alpha) < 1:
        raise ValueError(f"alpha must be in (0, 1); got {alpha}")
    if missing := [name for name in _NEEDED if name not in comparison.columns]:
        raise ValueError(f"comparison must be a table of compare_models; it has no {', '.join(missing)}")
    columns = [str(name) for name in comparison.columns if name not in _NEEDED]
    for name in shown:
        if name not in columns:
            raise ValueError(f"the comparison has no column {name!r}; it has {', '.join(columns)}")


def _pairs_compared(rows: pd.DataFrame) -> pd.Series[str]:
    """Return the two things that each row compares, such as 'BT - CLF'."""
    compared = [name for name in rows.columns if name not in _NEEDED][-1]  # the column that stands before `other`
    texts = [plain_text(a) + _MINUS + plain_text(b) for a, b in zip(rows[compared], rows.other, strict=True)]
    return pd.Series(texts, index=rows.index)


def _row_labels(rows: pd.DataFrame, pairs: pd.Series[str], shown: list[str]) -> list[str]:
    """Name each row by the settings that vary and have no panel or colour, and by its pair if the pairs vary."""
    columns = [str(name) for name in rows.columns if name not in _NEEDED]
    settings = [name for name in leading_axes(rows, columns[:-1]) if name not in shown]
    known = any(determined_by(rows.assign(pair=pairs), "pair", name) for name in shown)
    name_pairs = not known and (len(pairs.unique()) > 1 or len(rows) == 1 or not settings)
    labels = []
    for k in range(len(rows)):
        setting = ", ".join(named_value(name, rows[name].iloc[k]) for name in settings)
        labels.append(wrapped(": ".join(filter(None, [setting, pairs.iloc[k] if name_pairs else ""])), 40))
    return labels


def _draw_rows(axes: Axes, rows: pd.DataFrame, hue: str | None, hues: list[Any], alpha: float) -> None:
    places = {label: k for k, label in enumerate(rows.row.unique())}
    for k, value in enumerate(hues):
        some = rows if hue is None else rows[is_setting(rows, [hue], [value])]
        y = some.row.map(places).to_numpy(float) + (k - (len(hues) - 1) / 2) * 0.7 / len(hues)
        errors = np.stack([some.difference - some.low, some.high - some.difference]).astype(float)
        style: dict[str, Any] = {"color": colour(k), "linestyle": ""}
        axes.errorbar(some.difference, y, xerr=errors, linewidth=1, elinewidth=1, **style)
        significant = (some.p_corrected < alpha).to_numpy()
        for chosen, face in ((~significant, "white"), (significant, colour(k))):
            marker = MARKERS[k % len(MARKERS)]
            axes.plot(some.difference[chosen], y[chosen], marker=marker, mfc=face, markersize=4, **style)
    axes.axvline(0, color="0.2", linewidth=0.8)
    axes.set_yticks(list(places.values()), list(places))
    axes.set_ylim(len(places) - 0.4, -0.6)


def _set_limits(panels: Panels, rows: pd.DataFrame) -> None:
    ends = rows[["low", "difference", "high"]].to_numpy(dtype=float)
    left, right = min(0.0, float(np.nanmin(ends))), max(0.0, float(np.nanmax(ends)))
    edge = 0.05 * (right - left) or 1.0
    for part in panels.parts:
        part.axes.set_xlim(left - edge, right + edge)


def _caption(drawn: pd.DataFrame, comparison: pd.DataFrame, alpha: float) -> str:
    low, high = drawn.seeds.min(), drawn.seeds.max()
    tests = int(comparison.p_value.notna().sum())
    corrected = f"corrected for {tests} tests" if tests > 1 else "one test"
    return (
        f"{low if low == high else f'{low} to {high}'} seeds, paired; intervals are not corrected; "
        f"filled: p < {alpha:g}, {corrected}"
    )
