"""Seconds in which each rule of active selection chooses pairs."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Peak, least_seconds
from rmspace import active

Row = dict[str, Any]
MEMBERS, REPEATS = 10, 3
LIMITED = ("d_optimal", "past_aware_d_optimal")
RULES = (
    "at_random",
    "entropy",
    "largest_gap",
    "level_set",
    "bald",
    "gap_variance",
    "coreset",
    *LIMITED,
)


def selection(folder: Path, quick: bool) -> list[Row]:
    """Choose 500 of 50,000 candidates, 500 of which were judged; features are normal, with equal variances.

    Gains that are nearly alike are the hardest case for the lazy steps of the greedy rules.
    """
    size, dim, n = (5_000, 64, 50) if quick else (50_000, 384, 500)
    rng = np.random.default_rng(0)
    differences = rng.standard_normal((size, dim), dtype=np.float32)
    gaps, chosen = rng.normal(size=(MEMBERS, size)), rng.permutation(size)[:n]
    rows = []
    for name in RULES:
        rule = getattr(active, name)
        start = time.process_time()
        with Peak() as peak:
            seconds = least_seconds(partial(rule, differences, gaps, chosen, n, np.random.default_rng(0)), REPEATS)
        note = f"{(time.process_time() - start) / REPEATS:.2g} CPU-seconds in the mean"
        target = "10 s" if name in LIMITED else ""
        row = {"stage": f"active: {name}", "size": f"{n} of {size:,} x {dim}", "seconds": seconds, "target": target}
        rows.append({**row, "peak MB": peak.megabytes, "note": note})
    return rows
