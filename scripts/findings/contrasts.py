"""Corrected comparisons of the studies' tables, with what is known of their banks."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import rmspace as rm
from claims.page import Block, difference
from rmspace.results.compare import holm

METRIC = "normalized_gain"
REAL, OVERLAP = "AlpacaEval", 197 / 600  # test prompts for each training prompt, in each random split


def compared(table: pd.DataFrame, *, real: Callable[[str], bool] = lambda name: name == REAL, **options: Any) -> Any:
    """Compare in each bank, real ones with overlapping splits; correct over all of them together."""
    parts = [
        rm.compare_models(part, metric=METRIC, overlap=OVERLAP if real(str(name)) else 0.0, **options)
        for name, part in table.groupby("data", sort=False)
    ]
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(p_corrected=holm(rows.p_value.to_numpy(dtype=float)))


def at_largest_n(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[table.metric == METRIC]
    return rows[rows.n == rows.n.max()]


def pooled(rows: pd.DataFrame, *, by: Sequence[str] = (), axis: str = "model", against: str) -> list[dict[str, str]]:
    """Test once for each kind of bank: values are averaged over a seed's settings first, so that few tests are made."""
    kinds = rows.assign(data=np.where(rows.data == REAL, REAL, "worlds"))
    table = kinds.groupby(["data", *by, axis, "seed"], sort=False).value.mean().reset_index()
    fixed = {"metric": METRIC, "n": 1, "low": 0.0, "high": 0.0, "error_rate": 0.0, "mean_abs_gap": 0.0}
    table = table.assign(**({"model": "mean"} | fixed if axis != "model" else fixed))
    found = compared(table, axis=axis, against=against)
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
    """Draw the real bank, whose seeds are overlapping splits, and the worlds apart: both intervals are right then."""
    real = rows.data == REAL
    figures: dict[str, Block] = {f"{name}-real": draw(rows[real], metric=METRIC, overlap=OVERLAP, **options)}
    if not real.all():  # a quick look at claim 1 has the real bank alone
        figures[f"{name}-worlds"] = draw(rows[~real], metric=METRIC, **options)
    return figures
