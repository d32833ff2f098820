"""Parts of the figures of a study: means over seeds of one metric, and the caption that describes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from rmspace.plots.panels import Panels, add_caption
from rmspace.plots.style import MODELS_TOLD_APART, axis_name
from rmspace.results.schema import SEED
from rmspace.results.summarize import axes_of, one_measure, seed_means, without_models_axis
from rmspace.results.tables import determined_by, values_of


def means_of(
    table: pd.DataFrame, metric: str, n: int | None, shown: Sequence[str], overlap: float, confidence: float
) -> pd.DataFrame:
    """Return means over seeds; refuse a table in which they would also be means over another axis.

    Raises:
        ValueError: no such axis or metric; an axis that varies and is not shown; more models than styles.
    """
    rows = measured(table, metric, n, shown)
    others = [name for name in axes_of(rows) if name not in (*shown, SEED)]
    for name in others:
        if len(rows[name].unique()) > 1 and not any(determined_by(rows, name, other) for other in shown):
            raise ValueError(
                f"the table varies in {name} too, which this figure does not show; choose one of its values, "
                f"as table[table[{name!r}] == {rows[name].iloc[0]!r}], or add {name!r} to panel"
            )
    return seed_means(rows.drop(columns=others), overlap=overlap, confidence=confidence)


def measured(table: pd.DataFrame, metric: str, n: int | None, shown: Sequence[str]) -> pd.DataFrame:
    """Return the rows of one metric at one n, after a check that the axes to show are there."""
    for name in shown:
        if name not in axes_of(table):
            raise ValueError(f"the table has no axis {name!r}; it has {', '.join(axes_of(table))}")
    rows = without_models_axis(one_measure(table, metric, n))
    if (count := rows.model.nunique()) > MODELS_TOLD_APART:
        raise ValueError(f"a figure can tell {MODELS_TOLD_APART} models apart; got {count}; choose some")
    return rows


def two_values(rows: pd.DataFrame, contrast: str) -> tuple[Any, Any]:
    """Return the two values of an axis.

    Raises:
        ValueError: it has another number of values.
    """
    labels = values_of(rows, contrast)
    if len(labels) != 2:
        raise ValueError(f"a contrast needs an axis with two values; {contrast} has {labels}; choose two of them")
    return labels[0], labels[1]


def add_study_caption(
    panels: Panels, means: pd.DataFrame, metric: str, confidence: float | None, *, cut: bool = False
) -> None:
    """Add a caption with the metric, its n and unit, the number of seeds, and the kind of interval."""
    sizes = means.n.dropna().unique()
    at = f" at N = {int(sizes[0])}" if len(sizes) else ""
    units = " (units of gold reward)" if metric in ("gain", "best_of_n", "regret") else ""
    seeds = sorted(means.seeds[means.seeds > 0].unique()) or [0]
    count = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    words = [f"{axis_name(metric)}{at}{units}", f"mean of {count} seeds" if seeds[-1] > 1 else "one seed"]
    if confidence is not None and (over := set(means.over[means.low.notna()])):
        kinds = {"seeds": f"{confidence:.0%} interval over seeds", "prompts": "the run's own interval over prompts"}
        words.append(" or, with one seed, ".join(kinds[kind] for kind in ("seeds", "prompts") if kind in over))
    if cut:
        words.append("longer intervals are cut at the edge")
    add_caption(panels, "; ".join(words))
