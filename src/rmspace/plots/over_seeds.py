"""The forms of the paper's figures, each a function of a tidy table: axes, model, metric, n, value, and facts."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy import stats

from rmspace.plots.one_run import COLOURS, MARKERS, plain_style, plain_text
from rmspace.plots.panels import (
    add_legend,
    aligned,
    axis_name,
    bar_style,
    colour,
    draw_bars,
    equal,
    explain,
    line_style,
    make_panels,
    set_groups,
    set_numbers,
    set_values,
    shown,
    values_of,
)
from rmspace.results.summarize import SEED, axes_of, one_measure, seed_means, without_models_axis

__all__ = ["study_bars", "study_contrast", "study_curves", "study_scatter"]


@plain_style
def study_bars(
    table: pd.DataFrame,
    *,
    x: str | None = None,
    panel: str | None = None,
    metric: str = "gain",
    n: int | None = None,
    overlap: float = 0.0,
    confidence: float = 0.95,
) -> Figure:
    """Draw a bar for each model at each value of an axis, with intervals over seeds: the form of figure 1.

    Args:
        table: as `Study.results` gives, or any with the axes, then model, metric, n, value, low, high, error_rate
            and mean_abs_gap.
        x: axis whose values stand side by side; all in one group when None.
        panel: axis with a panel for each value.
        metric, n: what is drawn; the largest n when None.
        overlap, confidence: of the intervals; see `seed_means`.

    Raises:
        ValueError: no such column or metric; an axis varies that the figure does not show, so that a mean over it
            would be drawn: choose one of its values.

    >>> rows = [(b, s, "BT", "gain", 9, v + s, 0, 1, 0.1, 1) for b, v in (("Gemma", 1), ("LLaMA", 2)) for s in (0, 1)]
    >>> names = ["data.base_model", "seed", "model", "metric", "n", "value", "low", "high"]
    >>> table = pd.DataFrame(rows, columns=[*names, "error_rate", "mean_abs_gap"])
    >>> figure = study_bars(table, x="data.base_model")
    >>> [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    ['Gemma', 'LLaMA']
    """
    means = _means(table, metric, n, [x, panel], overlap, confidence)
    models = list(means.model.unique())
    figure, panels = make_panels(means, panel, columns=1, height=1.9)
    width = 0.8 / len(models)
    groups = values_of(means, x)
    for axes, part in panels:
        for k, model in enumerate(models):
            rows = aligned(part[part.model == model], x, groups)
            places = np.arange(len(groups)) + (k - (len(models) - 1) / 2) * width
            draw_bars(axes, places, rows, width, **bar_style(k))
        set_groups(axes, groups, x)
        set_values(axes, metric)
    add_legend(figure, [Patch(label=plain_text(model), **bar_style(k)) for k, model in enumerate(models)])
    return explain(figure, means, metric, n, table, confidence)


@plain_style
def study_curves(
    table: pd.DataFrame,
    *,
    x: str,
    panel: str | None = None,
    metric: str = "gain",
    n: int | None = None,
    overlap: float = 0.0,
    confidence: float = 0.95,
) -> Figure:
    """Draw each model's curve over an axis, with intervals over seeds: the form of figures 2 and 3.

    Args:
        table, panel, metric, n, overlap, confidence: as in `study_bars`.
        x: the axis. One of an annotator, as `annotator.beta`, is drawn over the share of wrong labels that it gave.

    Raises:
        ValueError: as `study_bars`; an axis whose values are not numbers.

    >>> rows = [(k, s, "BT", "gain", 9, k + s, 0, 1, 0.1, 1) for k in (100, 200) for s in (0, 1)]
    >>> names = ["n_pairs", "seed", "model", "metric", "n", "value", "low", "high", "error_rate", "mean_abs_gap"]
    >>> study_curves(pd.DataFrame(rows, columns=names), x="n_pairs").axes[0].get_xlabel()
    'annotations'
    """
    means = _means(table, metric, n, [x, panel], overlap, confidence)
    over_error = x.startswith("annotator")
    place = "error_rate" if over_error else x
    if not _numbers(means[x]) or means[place].isna().any():
        raise ValueError(
            f"a curve needs an axis of numbers, and error rates that are known; {x} has {values_of(means, x)}"
        )
    figure, panels = make_panels(means, panel, columns=3, height=1.75)
    models = list(means.model.unique())
    for axes, part in panels:
        for k, model in enumerate(models):
            rows = part[part.model == model].sort_values(place)
            places = rows[place].astype(float)
            axes.fill_between(places, rows.low, rows.high, color=colour(k), alpha=0.15, linewidth=0)
            axes.plot(places, rows.value, markersize=3, **line_style(k))
        set_numbers(axes, part[place].astype(float), percent=over_error)
        axes.set_xlabel(axis_name(place))
        set_values(axes, metric)
    add_legend(
        figure, [Line2D([], [], markersize=3, label=plain_text(m), **line_style(k)) for k, m in enumerate(models)]
    )
    return explain(figure, means, metric, n, table, confidence)


@plain_style
def study_contrast(
    table: pd.DataFrame,
    *,
    contrast: str = "pairs",
    x: str | None = None,
    panel: str | None = None,
    metric: str = "gain",
    n: int | None = None,
    overlap: float = 0.0,
    confidence: float = 0.95,
) -> Figure:
    """Draw two bars a model, plain for the first value of an axis and shaded for the second: figures 4 and 5.

    Args:
        table, x, panel, metric, n, overlap, confidence: as in `study_bars`.
        contrast: axis with two values, as same- and cross-prompt pairs; the first is the one that the table has first.

    Raises:
        ValueError: as `study_bars`; an axis with other than two values; more than eight models.

    >>> rows = [(p, s, "BT", "gain", 9, 1 + s, 0, 1, 0.1, 1) for p in ("same", "cross") for s in (0, 1)]
    >>> names = ["pairs", "seed", "model", "metric", "n", "value", "low", "high", "error_rate", "mean_abs_gap"]
    >>> len(study_contrast(pd.DataFrame(rows, columns=names)).axes[0].patches)
    2
    """
    means = _means(table, metric, n, [x, panel, contrast], overlap, confidence)
    first, second = _two(means, contrast)
    models = _few(means)
    figure, panels = make_panels(means, panel, columns=1, height=1.9)
    width = 0.86 / (2 * len(models))
    groups = values_of(means, x)
    for axes, part in panels:
        for k, model in enumerate(models):
            for side, label in enumerate((first, second)):
                rows = aligned(part[(part.model == model) & equal(part[contrast], label)], x, groups)
                places = np.arange(len(groups)) + (2 * k + side - len(models) + 0.5) * width
                shade: dict[str, Any] = {"hatch": "////", "alpha": 0.6, "edgecolor": "0.15"} if side else {}
                draw_bars(axes, places, rows, width, facecolor=colour(k), **shade)
        set_groups(axes, groups, x)
        set_values(axes, metric)
    handles = [Patch(color=colour(k), label=plain_text(model)) for k, model in enumerate(models)]
    handles += [
        Patch(facecolor="0.75", edgecolor="0.2", hatch="////" if side else "", label=shown(label))
        for side, label in enumerate((first, second))
    ]
    add_legend(figure, handles)
    return explain(figure, means, metric, n, table, confidence)


@plain_style
def study_scatter(
    table: pd.DataFrame,
    *,
    contrast: str = "pairs",
    gap_of: Literal["first", "second"] = "second",
    panel: str | None = None,
    metric: str = "gain",
    n: int | None = None,
) -> Figure:
    """Draw what the second value of an axis gains over the first, against the gold gap of its pairs: figure 6.

    One point a setting and model: the mean over the seeds that both sides have of second minus first. Each panel gives
    Pearson's r of each model, without an interval: the points of a study share banks and pairs, so that none is
    independent of the others.

    Args:
        table, panel, metric, n: as in `study_bars`. All axes but the panel's are pooled: each setting is a point.
        contrast: axis with two values, as same- and cross-prompt pairs; the first is the one that the table has first.
        gap_of: whose pairs the gap on x is of. The paper does not say; the sign of r can depend on it.

    Raises:
        ValueError: no such column or metric, an axis with other than two values, no setting that has both; more than
            eight models.

    >>> sides = [("same", b, 1) for b in "abcd"] + [("cross", b, ord(b)) for b in "abcd"]
    >>> rows = [(p, b, 0, "BT", "gain", 9, v, 0, 1, 0.1, v) for p, b, v in sides]
    >>> names = ["pairs", "data.base_model", "seed", "model", "metric", "n", "value", "low", "high"]
    >>> figure = study_scatter(pd.DataFrame(rows, columns=[*names, "error_rate", "mean_abs_gap"]))
    >>> figure.axes[0].get_title()
    '4 settings; r: BT 1.00'
    """
    if gap_of not in ("first", "second"):
        raise ValueError(f"gap_of must be 'first' or 'second'; got {gap_of!r}")
    _check_columns(table, [contrast, panel])
    rows = without_models_axis(one_measure(table, metric, n))
    first, second = _two(rows, contrast)
    by = [*(name for name in axes_of(rows) if name != contrast), "model"]
    sides = [rows[equal(rows[contrast], label)][[*by, "value", "mean_abs_gap"]] for label in (first, second)]
    both = sides[0].merge(sides[1], on=by, suffixes=("_first", "_second"))  # seed by seed
    if both.empty:
        raise ValueError(f"no setting has both {first} and {second} of {contrast}")
    both["difference"] = both.value_second - both.value_first
    settings = [name for name in by if name != SEED]
    points = both.groupby(settings, dropna=False, sort=False, observed=True).agg(
        difference=("difference", "mean"), gap=(f"mean_abs_gap_{gap_of}", "mean"), seeds=("difference", "count")
    )
    points = points.reset_index().dropna(subset=["difference"])
    models = _few(points)
    figure, panels = make_panels(points, panel, columns=2, height=2.4)
    named = plain_text({"first": first, "second": second}[gap_of])
    for axes, part in panels:
        for k, model in enumerate(models):
            some = part[part.model == model]
            axes.scatter(some.gap, some.difference, s=14, color=colour(k), marker=MARKERS[k])
        axes.axhline(0, color="0.2", linewidth=0.8)
        axes.set_xlabel(f"gold gap inside {named} pairs\n(mean absolute, units of gold reward)")
        axes.set_ylabel(f"{axis_name(metric)},\n{plain_text(second)} minus {plain_text(first)}")
        found = [f"{plain_text(model)} {_r(part[part.model == model])}" for model in models]
        count = part[[name for name in settings if name != "model"]].drop_duplicates().shape[0]
        lines = textwrap.wrap(f"{count} settings; r: {', '.join(found)}", 38)
        title = [shown(part[panel].iloc[0])] if panel else []
        axes.set_title("\n".join([*title, *lines]), fontsize=8)
    handles = [
        Line2D([], [], color=colour(k), marker=MARKERS[k], linestyle="", markersize=4, label=plain_text(model))
        for k, model in enumerate(models)
    ]
    add_legend(figure, handles)
    return explain(figure, points, metric, n, table, None)


def _means(
    table: pd.DataFrame, metric: str, n: int | None, shown: Sequence[str | None], overlap: float, confidence: float
) -> pd.DataFrame:
    """Return means over seeds, after seeing that no mean over another axis is drawn."""
    _check_columns(table, shown)
    rows = without_models_axis(one_measure(table, metric, n))
    used = [name for name in shown if name is not None]
    others = [name for name in axes_of(rows) if name not in (*used, SEED)]
    for name in others:
        if len(rows[name].unique()) > 1 and not any(goes_along(rows, name, other) for other in used):
            raise ValueError(
                f"the table varies in {name} too, which this figure does not show; choose one of its values, "
                f"as table[table[{name!r}] == {rows[name].iloc[0]!r}]"
            )
    return seed_means(rows.drop(columns=others), overlap=overlap, confidence=confidence)


def goes_along(rows: pd.DataFrame, name: str, other: str) -> bool:
    """Say whether each value of one axis has a single value of another, which need not be shown then."""
    return bool(rows.groupby(other, dropna=False, observed=True)[name].nunique(dropna=False).max() == 1)


def _check_columns(table: pd.DataFrame, shown: Sequence[str | None]) -> None:
    for name in shown:
        if name is not None and name not in axes_of(table):
            raise ValueError(f"the table has no axis {name!r}; it has {', '.join(axes_of(table))}")


def _two(means: pd.DataFrame, contrast: str) -> tuple[Any, Any]:
    labels = values_of(means, contrast)
    if len(labels) != 2:
        raise ValueError(f"a contrast is of two values; {contrast} has {labels}")
    return labels[0], labels[1]


def _few(rows: pd.DataFrame) -> list[str]:
    models = list(rows.model.unique())
    if len(models) > len(COLOURS):
        raise ValueError(f"this figure can tell {len(COLOURS)} models apart; got {len(models)}; choose some")
    return models


def _numbers(column: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column) and not column.isna().any()


def _r(points: pd.DataFrame) -> str:
    x, y = points.gap.to_numpy(dtype=float), points.difference.to_numpy(dtype=float)
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return "-"
    return f"{stats.pearsonr(x, y).statistic:.2f}"
