"""The forms of the paper's figures, each a function of a tidy table: axes, model, metric, n, value, and facts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy import stats

from rmspace.figures import COLOURS, MARKERS, plain_text
from rmspace.study.summary import MODELS, SEED, axes_of, one_measure, seed_means

_WIDTH = 5.5  # inches, a column of most papers
_NAMES = {
    "gain": "golden reward improvement",
    "best_of_n": "gold reward of the choice",
    "normalized_gain": "normalised gain",
    "n_pairs": "annotations",
    "label_error": "annotation error rate",
    "pairs.candidates": "responses",
}


def study_bars(
    table: pd.DataFrame,
    *,
    x: str | None = None,
    panel: str | None = None,
    metric: str = "gain",
    n: int | None = None,
    confidence: float = 0.95,
) -> Figure:
    """Draw a bar for each model at each value of an axis, with intervals over seeds: the form of figure 1.

    Args:
        table: as `Study.results` gives, or any with the axes, then model, metric, n, value, low, high, label_error
            and mean_abs_gap.
        x: axis whose values stand side by side; all in one group when None.
        panel: axis with a panel for each value.
        metric, n: what is drawn; the largest n when None.
        confidence: of the intervals.

    Raises:
        ValueError: no such column or metric; an axis varies that the figure does not show, so that a mean over it
            would be drawn: choose one of its values.

    >>> rows = [(b, s, "BT", "gain", 9, v + s, 0, 1, 0.1, 1) for b, v in (("Gemma", 1), ("LLaMA", 2)) for s in (0, 1)]
    >>> names = ["data.base_model", "seed", "model", "metric", "n", "value", "low", "high"]
    >>> table = pd.DataFrame(rows, columns=[*names, "label_error", "mean_abs_gap"])
    >>> figure = study_bars(table, x="data.base_model")
    >>> [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    ['Gemma', 'LLaMA']
    """
    means = _means(table, metric, n, [x, panel], confidence)
    models = list(means.model.unique())
    figure, panels = _panels(means, panel, columns=1, height=1.9)
    width = 0.8 / len(models)
    for axes, part in panels:
        groups = _values(part, x)
        for k, model in enumerate(models):
            rows = _aligned(part[part.model == model], x, groups)
            places = np.arange(len(groups)) + (k - (len(models) - 1) / 2) * width
            _bars(axes, places, rows, width, COLOURS[k % len(COLOURS)])
        _group_axis(axes, groups, x)
        _value_axis(axes, metric)
    _legend(figure, [Patch(color=COLOURS[k % len(COLOURS)], label=plain_text(m)) for k, m in enumerate(models)])
    return _explained(figure, means, metric, n, table, confidence)


def study_curves(
    table: pd.DataFrame,
    *,
    x: str,
    panel: str | None = None,
    metric: str = "gain",
    n: int | None = None,
    confidence: float = 0.95,
) -> Figure:
    """Draw each model's curve over an axis, with intervals over seeds: the form of figures 2 and 3.

    Args:
        table, panel, metric, n, confidence: as in `study_bars`.
        x: the axis. One of an annotator, as `annotator.beta`, is drawn over the share of wrong labels that it gave.

    Raises:
        ValueError: as `study_bars`; an axis whose values are not numbers.

    >>> rows = [(k, s, "BT", "gain", 9, k + s, 0, 1, 0.1, 1) for k in (100, 200) for s in (0, 1)]
    >>> names = ["n_pairs", "seed", "model", "metric", "n", "value", "low", "high", "label_error", "mean_abs_gap"]
    >>> study_curves(pd.DataFrame(rows, columns=names), x="n_pairs").axes[0].get_xlabel()
    'annotations'
    """
    means = _means(table, metric, n, [x, panel], confidence)
    over_error = x.startswith("annotator")
    place = "label_error" if over_error else x
    if not pd.api.types.is_numeric_dtype(means[place]):
        raise ValueError(f"a curve needs an axis of numbers; {x} has {_values(means, x)}")
    figure, panels = _panels(means, panel, columns=3, height=1.75)
    models = list(means.model.unique())
    for axes, part in panels:
        for k, model in enumerate(models):
            rows = part[part.model == model].sort_values(place)
            places = rows[place].astype(float)
            axes.fill_between(places, rows.low, rows.high, color=COLOURS[k % len(COLOURS)], alpha=0.15, linewidth=0)
            axes.plot(
                places, rows.value, color=COLOURS[k % len(COLOURS)], marker=MARKERS[k % len(MARKERS)], markersize=3
            )
        _number_axis(axes, part[place].astype(float), percent=over_error)
        axes.set_xlabel(_named(place))
        _value_axis(axes, metric)
    lines = [
        Line2D(
            [], [], color=COLOURS[k % len(COLOURS)], marker=MARKERS[k % len(MARKERS)], markersize=3, label=plain_text(m)
        )
        for k, m in enumerate(models)
    ]
    _legend(figure, lines)
    return _explained(figure, means, metric, n, table, confidence)


def study_contrast(
    table: pd.DataFrame,
    *,
    contrast: str = "pairs",
    x: str | None = None,
    panel: str | None = None,
    metric: str = "gain",
    n: int | None = None,
    confidence: float = 0.95,
) -> Figure:
    """Draw two bars a model, plain for the first value of an axis and shaded for the second: figures 4 and 5.

    Args:
        table, x, panel, metric, n, confidence: as in `study_bars`.
        contrast: axis with two values, as same- and cross-prompt pairs.

    Raises:
        ValueError: as `study_bars`; an axis with other than two values.

    >>> rows = [(p, s, "BT", "gain", 9, 1 + s, 0, 1, 0.1, 1) for p in ("same", "cross") for s in (0, 1)]
    >>> names = ["pairs", "seed", "model", "metric", "n", "value", "low", "high", "label_error", "mean_abs_gap"]
    >>> len(study_contrast(pd.DataFrame(rows, columns=names)).axes[0].patches)
    2
    """
    means = _means(table, metric, n, [x, panel, contrast], confidence)
    first, second = _two(means, contrast)
    models = list(means.model.unique())
    figure, panels = _panels(means, panel, columns=1, height=1.9)
    width = 0.86 / (2 * len(models))
    for axes, part in panels:
        groups = _values(part, x)
        for k, model in enumerate(models):
            for side, label in enumerate((first, second)):
                rows = _aligned(part[(part.model == model) & (part[contrast] == label)], x, groups)
                places = np.arange(len(groups)) + (2 * k + side - len(models) + 0.5) * width
                _bars(axes, places, rows, width, COLOURS[k % len(COLOURS)], shaded=bool(side))
        _group_axis(axes, groups, x)
        _value_axis(axes, metric)
    handles = [Patch(color=COLOURS[k % len(COLOURS)], label=plain_text(m)) for k, m in enumerate(models)]
    handles += [
        Patch(facecolor="0.75", edgecolor="0.2", hatch="////" if side else "", label=plain_text(label))
        for side, label in enumerate((first, second))
    ]
    _legend(figure, handles)
    return _explained(figure, means, metric, n, table, confidence)


def study_scatter(
    table: pd.DataFrame,
    *,
    contrast: str = "pairs",
    panel: str | None = None,
    metric: str = "gain",
    n: int | None = None,
) -> Figure:
    """Draw what the second value of an axis gains over the first, against the gold gap of its pairs: figure 6.

    One point a setting and model, means over seeds. x is the mean absolute gold gap inside the pairs that the second
    value annotated. Pearson's r, with its interval by Fisher's transformation, stands in each panel.

    Args:
        table, panel, metric, n: as in `study_bars`. All axes but the panel's are pooled: each setting is a point.
        contrast: axis with two values, as same- and cross-prompt pairs.

    Raises:
        ValueError: no such column or metric, an axis with other than two values, no setting that has both.

    >>> sides = [("same", b, 1) for b in "abcd"] + [("cross", b, ord(b)) for b in "abcd"]
    >>> rows = [(p, b, 0, "BT", "gain", 9, v, 0, 1, 0.1, v) for p, b, v in sides]
    >>> names = ["pairs", "data.base_model", "seed", "model", "metric", "n", "value", "low", "high"]
    >>> figure = study_scatter(pd.DataFrame(rows, columns=[*names, "label_error", "mean_abs_gap"]))
    >>> figure.axes[0].get_title()
    'r = 1.00, 4 points'
    """
    means = seed_means(one_measure(table, metric, n))
    _check_columns(table, [contrast, panel])
    first, second = _two(means, contrast)
    settings = [name for name in axes_of(means) if name != contrast] + ["model"]
    sides = [means[means[contrast] == label].set_index(settings) for label in (first, second)]
    points = sides[1][["value", "mean_abs_gap"]].join(sides[0].value.rename("before"), how="inner").reset_index()
    if points.empty:
        raise ValueError(f"no setting has both {first} and {second}")
    points["difference"] = points.value - points.before
    models = list(means.model.unique())
    figure, panels = _panels(points, panel, columns=2, height=2.4)
    for axes, part in panels:
        for k, model in enumerate(models):
            rows = part[part.model == model]
            axes.scatter(rows.mean_abs_gap, rows.difference, s=14, color=COLOURS[k % len(COLOURS)], marker=MARKERS[k])
        axes.axhline(0, color="0.2", linewidth=0.8)
        axes.set_xlabel(f"gold gap inside {second} pairs\n(mean absolute, units of gold reward)")
        axes.set_ylabel(f"{_named(metric)},\n{second} minus {first}")
        title = _correlation(part.mean_abs_gap.to_numpy(float), part.difference.to_numpy(float))
        axes.set_title(f"{axes.get_title()}\n{title}" if panel else title, fontsize=8)
    handles = [
        Line2D(
            [], [], color=COLOURS[k % len(COLOURS)], marker=MARKERS[k], linestyle="", markersize=4, label=plain_text(m)
        )
        for k, m in enumerate(models)
    ]
    _legend(figure, handles)
    return _explained(figure, means, metric, n, table, None)


def _means(
    table: pd.DataFrame, metric: str, n: int | None, shown: Sequence[str | None], confidence: float
) -> pd.DataFrame:
    """Return means over seeds, after seeing that no mean over another axis is drawn."""
    _check_columns(table, shown)
    rows = one_measure(table, metric, n)
    used = [name for name in shown if name is not None]
    others = [name for name in axes_of(table) if name not in (*used, SEED, MODELS)]
    for name in others:
        inside = rows.groupby([*used, "model"], dropna=False, observed=True)[name].nunique(dropna=False)
        if (inside > 1).any():
            raise ValueError(
                f"the table varies in {name} too, which this figure does not show; choose one of its values, "
                f"as table[table[{name!r}] == {rows[name].iloc[0]!r}]"
            )
    return seed_means(
        rows.drop(columns=others + [name for name in axes_of(table) if name == MODELS]), confidence=confidence
    )


def _check_columns(table: pd.DataFrame, shown: Sequence[str | None]) -> None:
    for name in shown:
        if name is not None and name not in axes_of(table):
            raise ValueError(f"the table has no axis {name!r}; it has {', '.join(axes_of(table))}")


def _two(means: pd.DataFrame, contrast: str) -> tuple[Any, Any]:
    labels = _values(means, contrast)
    if len(labels) != 2:
        raise ValueError(f"a contrast is of two values; {contrast} has {labels}")
    return labels[0], labels[1]


def _values(rows: pd.DataFrame, column: str | None) -> list[Any]:
    return [""] if column is None else list(rows[column].unique())


def _aligned(rows: pd.DataFrame, x: str | None, groups: list[Any]) -> pd.DataFrame:
    """Return one row a group, missing where there is none."""
    return rows.set_index(pd.Index([""] * len(rows)) if x is None else x).reindex(groups)


def _bars(
    axes: Axes, places: np.ndarray, rows: pd.DataFrame, width: float, colour: str, *, shaded: bool = False
) -> None:
    errors = np.stack([rows.value - rows.low, rows.high - rows.value]).astype(float).clip(min=0)
    style: dict[str, Any] = {"hatch": "////", "alpha": 0.6, "edgecolor": "0.15"} if shaded else {}
    axes.bar(
        places, rows.value.astype(float), width, yerr=np.nan_to_num(errors), color=colour, **style,
        error_kw={"capsize": 1.5, "linewidth": 0.8, "ecolor": "0.15"},
    )  # fmt: skip


def _panels(
    rows: pd.DataFrame, panel: str | None, *, columns: int, height: float
) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    values = _values(rows, panel)
    across = min(columns, len(values))
    down = math.ceil(len(values) / across)
    figure = Figure(figsize=(_WIDTH, height * down + 0.75), layout="constrained")
    drawn = []
    for k, value in enumerate(values):
        axes = figure.add_subplot(down, across, k + 1)
        axes.grid(visible=True, color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=7)
        axes.xaxis.label.set_fontsize(8)
        axes.yaxis.label.set_fontsize(8)
        if panel is not None:
            axes.set_title(plain_text(value), fontsize=8)
        drawn.append((axes, rows if panel is None else rows[rows[panel] == value]))
    return figure, drawn


def _group_axis(axes: Axes, groups: list[Any], x: str | None) -> None:
    axes.set_xticks(range(len(groups)), [plain_text(group) for group in groups])
    axes.grid(axis="x", visible=False)
    axes.axhline(0, color="0.2", linewidth=0.8)
    if x is not None:
        axes.set_xlabel(_named(x))


def _number_axis(axes: Axes, places: pd.Series[float], *, percent: bool) -> None:
    ticks = sorted(places.unique())
    if percent:
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    elif len(ticks) <= 8 and min(ticks) > 0 and max(ticks) / min(ticks) >= 4:
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:g}" if tick < 1000 else f"{tick / 1000:g}k" for tick in ticks])
        axes.minorticks_off()


def _value_axis(axes: Axes, metric: str) -> None:
    place = axes.get_subplotspec()
    if place is None or place.is_first_col():
        axes.set_ylabel("\n".join(_wrapped(_named(metric))))


def _wrapped(text: str) -> list[str]:
    first, _, rest = text.rpartition(" ")
    return [first, rest] if len(text) > 18 and first else [text]


def _legend(figure: Figure, handles: list[Any]) -> None:
    figure.legend(handles=handles, loc="outside upper center", ncols=min(5, len(handles)), frameon=False, fontsize=8)


def _explained(
    figure: Figure, means: pd.DataFrame, metric: str, n: int | None, table: pd.DataFrame, confidence: float | None
) -> Figure:
    """Say below the figure what a point is."""
    sizes = one_measure(table, metric, n).n.dropna().unique()
    at = f" at N = {int(sizes[0])}" if len(sizes) else ""
    units = " (units of gold reward)" if metric in ("gain", "best_of_n", "regret") else ""
    seeds = sorted(means.seeds.unique())
    count = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    words = f"mean of {count} seeds" if seeds[-1] > 1 else "one seed"
    over = " and ".join(sorted(means.over.unique()))
    interval = f", {confidence:.0%} interval over {over}" if confidence else ""
    figure.supxlabel(f"{_named(metric)}{at}{units}; {words}{interval}", fontsize=7, color="0.3")
    return figure


def _named(column: str) -> str:
    return _NAMES.get(column, column.rpartition(".")[2].replace("_", " "))


def _correlation(x: np.ndarray, y: np.ndarray) -> str:
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return f"{len(x)} points"
    result = stats.pearsonr(x, y)
    if len(x) < 4 or abs(result.statistic) > 1 - 1e-12:
        return f"r = {result.statistic:.2f}, {len(x)} points"
    low, high = result.confidence_interval(0.95)
    return f"r = {result.statistic:.2f} [{low:.2f}, {high:.2f}], {len(x)} points"
