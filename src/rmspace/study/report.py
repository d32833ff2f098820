"""A study on one page: what was run, on what, what came out, and how to do it again."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from rmspace._typing import PathLike
from rmspace.data.files import write_whole
from rmspace.plots.choose import drawn, figures_of, main_metric
from rmspace.plots.one_run import write_svg
from rmspace.results.compare import compare_models
from rmspace.results.summarize import data_seeds, one_measure, seed_means
from rmspace.study.results import Study

_MOST_FIGURES = 40
_MOST_CELLS = 20  # named of those that failed alike
_BAD = ("failed", "crashed", "timeout")


def write_report(study: Study, path: PathLike) -> None:
    """Write a study as one HTML page that needs no network: tables that sort, figures, failed cells, the grid.

    Raises:
        ValueError: no cell was run yet.
    """
    results, cells = study.results(), study.cells()
    if cells.status.isna().all():
        raise ValueError(f"the study at {study.path} has no results yet; run it first")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rmspace.study", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("report.html").render(
        name=study.path.resolve().name,
        counts=study.counts(),
        n_cells=len(cells),
        hours=cells.seconds.sum() * study.threads / 3600,
        ended=cells.ended.dropna().max(),
        axes=[(name, cells[name].drop_duplicates().tolist()) for name in study.columns],
        threads=study.threads,
        environments=[_environment(each) for each in study.environments()],
        banks=_banks(cells, study.columns),
        grid=study.grid,
        bad=_bad_cells(cells, study.columns),
        **_findings(results),
    )
    write_whole(Path(path), page)


def _findings(results: pd.DataFrame) -> dict[str, Any]:
    """Return the tables and figures of the results, empty where no cell is done."""
    nothing: dict[str, Any] = {"metric": "", "means": _table([], []), "differences": _table([], []), "figures": []}
    if results.empty:
        return {**nothing, "left_out": 0, "n": None, "seeds": "", "over": [], "data_seeds": ""}
    metric = main_metric(results)
    rows = one_measure(results, metric, None)
    means = seed_means(rows)
    differences = compare_models(results, metric=metric)
    drawings = figures_of(results)
    figures = []
    for name, draw in drawings[:_MOST_FIGURES]:
        figure = drawn(name, draw)
        if figure is not None:
            text = io.StringIO()
            write_svg(figure, text)
            data = base64.b64encode(text.getvalue().encode()).decode()
            figures.append((name.replace("__", ", ").replace("_", " "), data))
    seeds = sorted(means.seeds.unique())
    return {
        "metric": metric,
        "n": int(rows.n.iloc[0]) if rows.n.notna().any() else None,
        "means": _as_table(means.drop(columns=["metric", "n"])),
        "differences": _as_table(differences),
        "figures": figures,
        "left_out": max(0, len(drawings) - _MOST_FIGURES),
        "seeds": f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0]),
        "over": sorted(means.over.unique()),
        "data_seeds": ", ".join(data_seeds(results)),
    }


def _as_table(frame: pd.DataFrame) -> dict[str, Any]:
    return _table(list(frame.columns), frame.to_numpy(dtype=object).tolist())


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return what the template shows as a table: each cell as (text, what to sort by)."""
    return {"columns": list(columns), "rows": [[_shown(value) for value in row] for row in rows]}


def _shown(value: Any) -> tuple[str, str]:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "", ""
    if isinstance(value, float):
        return f"{value:.4g}", repr(float(value)).replace("inf", "Infinity")
    return str(value), str(value)


def _environment(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "cells": found["cells"],
        "machine": f"{found['machine']['platform']}, {found['machine']['cores']} cores",
        "versions": ", ".join(f"{name} {version}" for name, version in found["versions"].items()),
    }


def _banks(cells: pd.DataFrame, columns: list[str]) -> dict[str, Any]:
    """Return each pair of banks, with the axes of the data that name it."""
    names = [name for name in columns if name.startswith("data")]
    known = cells[[*names, "train", "test"]].dropna(subset=["train", "test"]).drop_duplicates()
    return _as_table(known)


def _bad_cells(cells: pd.DataFrame, columns: list[str]) -> list[dict[str, Any]]:
    """Return failures that are alike as one, with the first cells of each."""
    bad = cells[cells.status.isin(_BAD)]
    alike: dict[tuple[str, str], list[int]] = {}
    for place, (status, error) in enumerate(zip(bad.status, bad.error, strict=True)):
        alike.setdefault((status, error), []).append(place)
    found = []
    for (status, error), places in alike.items():
        first = bad.iloc[places[0]]
        named = [", ".join(f"{c}={bad.iloc[k][c]}" for c in columns) for k in places[:_MOST_CELLS]]
        found.append(
            {
                "status": status,
                "error": error,
                "count": len(places),
                "cells": named,
                "more": len(places) - len(named),
                "attempts": int(first.attempts),
                "traceback": first.traceback if isinstance(first.traceback, str) else "",
            }
        )
    return found
