"""The tests of the claims: paired differences, corrected once over all tests of a claim.

Each claim has one family of detailed tests, one test per setting. Every table and every figure of the claim takes its
differences from that family, so a difference that is bold in a table is filled in the figure. The few tests of means
over settings, which answer the claim, are a second family.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import rmspace as rm
from findings.page import Block, difference
from rmspace.results.compare import holm

METRIC = "normalized_gain"
REAL, OVERLAP = "AlpacaEval", 197 / 600  # test prompts per training prompt, in each random split
FAMILIES = (
    "**Bold** is a difference whose sign is sure at 5% after Holm's correction. Each claim has two families of tests: "
    "those of means over settings (the first table), and those of single settings, which all other tables and the "
    "figures of the claim share."
)


def compared(table: pd.DataFrame, *, real: Callable[[str], bool] = lambda name: name == REAL, **options: Any) -> Any:
    """Compare in each bank; intervals on a real bank allow for overlapping splits. Correct over all banks."""
    parts = [
        rm.compare_models(part, metric=METRIC, overlap=OVERLAP if real(str(name)) else 0.0, **options)
        for name, part in table.groupby("data", sort=False)
    ]
    return correct([pd.concat(parts, ignore_index=True)])[0]


def correct(tables: Sequence[pd.DataFrame]) -> list[Any]:
    """Return the tables with `p_corrected` by Holm over all their rows: they are one family of tests."""
    p_values = np.concatenate([table.p_value.to_numpy(dtype=float) for table in tables])
    parts = np.split(holm(p_values), np.cumsum([len(table) for table in tables])[:-1])
    return [table.assign(p_corrected=part) for table, part in zip(tables, parts, strict=True)]


def draw(drawn: pd.DataFrame, *others: pd.DataFrame, **options: Any) -> Figure:
    """Draw some tests of a family; the caption then has the number of tests of the whole family."""
    family = pd.concat([drawn, *(other.reindex(columns=drawn.columns) for other in others)], ignore_index=True)
    return rm.study_differences(family, where=pd.Series(np.arange(len(family)) < len(drawn)), metric=METRIC, **options)


def at_largest_n(table: pd.DataFrame) -> Any:
    """Return the rows of the measure that the claims are tested on."""
    n = table.n[table.metric == METRIC].max()
    return table[(table.metric == METRIC) & (table.n == n)]


def pooled(rows: pd.DataFrame, *, by: Sequence[str] = (), axis: str = "model", against: str) -> Any:
    """Test once per kind of bank: the values of a seed are first averaged over its settings, so few tests are made."""
    kinds = rows.assign(data=np.where(rows.data == REAL, REAL, "synthetic"))
    table = kinds.groupby(["data", *by, axis, "seed"], sort=False).value.mean().reset_index()
    if axis != "model":
        table = table.assign(model="mean")
    table = table.assign(metric=METRIC, n=1, low=0.0, high=0.0, error_rate=0.0, mean_abs_gap=0.0)
    return compared(table, axis=axis, against=against)


def primary_lines(found: pd.DataFrame, *, by: Sequence[str] = (), axis: str = "model") -> list[dict[str, str]]:
    """Return the lines of the table of the tests that `pooled` made."""
    return [
        {
            "banks": row["data"],
            **{name.rpartition(".")[2]: row[name] for name in by},
            "difference": f"{row[axis]} - {row['other']}",
            "mean (95% interval)": difference(row),
            "corrected p": f"{row['p_corrected']:.4f}",
        }
        for _, row in found.iterrows()
    ]


def by_overlap(name: str, rows: pd.DataFrame, draw: Callable[..., Figure], **options: Any) -> dict[str, Block]:
    """Draw the real bank and the synthetic banks in two figures: only the splits of the real one overlap."""
    real = rows.data == REAL
    figures: dict[str, Block] = {f"{name}-real": draw(rows[real], metric=METRIC, overlap=OVERLAP, **options)}
    if not real.all():  # a quick run of claim 1 has the real bank alone
        figures[f"{name}-synthetic"] = draw(rows[~real], metric=METRIC, **options)
    return figures
