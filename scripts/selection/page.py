"""The page of the study: a figure of curves, tables of differences, and what the tests say of D-optimal design."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from findings.page import as_markdown, difference
from selection.figure import draw_curves
from selection.paired import AREA, END, SETTING, annotations_needed, compare_rules, median_interval
from selection.study import RANDOM

DESIGNS = ("D-optimal", "past-aware D-optimal")


def blocks(table: pd.DataFrame, command: str) -> dict[str, str | Figure]:
    """Return the blocks of docs/active.md."""
    tests, needed = compare_rules(table), annotations_needed(table)
    return {
        "sizes": _sizes(table, command),
        "verdict": _verdict(tests),
        "curves": draw_curves(table),
        "end-of-study": as_markdown(_differences(tests[tests.measure == END], table)),
        "area": as_markdown(_differences(tests[tests.measure == AREA], None)),
        "needed": as_markdown(_needed(needed)),
    }


def _sizes(table: pd.DataFrame, command: str) -> str:
    errors = table[table.model == RANDOM].groupby(SETTING, sort=False).error_rate.mean().reset_index()
    wrong = ", ".join(f"{_setting(each.world, each.pool)} {each.error_rate:.0%}" for each in errors.itertuples())
    seeds = table.groupby("world", sort=False).seed.nunique()
    counted = ", ".join(f"{world} {n}" for world, n in seeds.items())
    return f"`{command}`. Seeds: {counted}. Wrong labels of random pairs: {wrong}."


def _setting(world: Any, pool: Any) -> str:
    return f"{world}, {pool}"


def _differences(tests: pd.DataFrame, table: pd.DataFrame | None) -> list[dict[str, str]]:
    """Return a line per rule and a column per setting; the line of random has its gain, where a table is given."""
    lines: dict[str, dict[str, str]] = {}
    if table is not None:
        last = table[table.n_pairs == table.groupby(SETTING).n_pairs.transform("max")]
        gains = last[last.model == RANDOM].groupby(SETTING, sort=False).value.mean().reset_index()
        for gain in gains.itertuples():
            lines.setdefault(RANDOM, {"rule": RANDOM})[_setting(gain.world, gain.pool)] = f"{gain.value:.3f}"
    for test in tests.itertuples():
        line = lines.setdefault(str(test.model), {"rule": str(test.model)})
        line[_setting(test.world, test.pool)] = difference(test)
    return list(lines.values())


def _needed(needed: pd.DataFrame) -> list[dict[str, str]]:
    lines: dict[str, dict[str, str]] = {}
    for (world, pool, model), part in needed.groupby([*SETTING, "model"], sort=False):
        middle, low, high = median_interval(part.needed)
        line = lines.setdefault(str(model), {"rule": str(model)})
        line[_setting(world, pool)] = f"{_count(middle)} ({_count(low)} to {_count(high)})"
    return list(lines.values())


def _count(value: float) -> str:
    return "?" if np.isnan(value) else f"{value:.0f}" if np.isfinite(value) else "never"


def _verdict(tests: pd.DataFrame) -> str:
    """Return, for each design, in which settings the corrected tests are sure of the sign of its difference."""
    return "\n".join(
        f"- **{rule}**, {measure}: {_counted(tests[(tests.model == rule) & (tests.measure == measure)])}."
        for rule in DESIGNS
        for measure in (END, AREA)
    )


def _counted(tests: pd.DataFrame) -> str:
    sure = tests[tests.p_corrected < 0.05]
    better, worse = sure[sure.difference > 0], sure[sure.difference < 0]
    return (
        f"surely better than random in {_listed(better)}, surely worse in {_listed(worse)}, not told apart in "
        f"{len(tests) - len(sure)}"
    )


def _listed(tests: pd.DataFrame) -> str:
    """Return how many settings there are, and which."""
    names = "; ".join(_setting(test.world, test.pool) for test in tests.itertuples())
    return f"{len(tests)} ({names})" if names else "0"
