"""The report of a study on one page: the grid, the data, the results, and how to run it again."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from rmspace._typing import PathLike
from rmspace.data.files import check_new_file, write_whole
from rmspace.plots.choose import drawn, main_metric, pictures_of
from rmspace.plots.style import svg_text
from rmspace.results.compare import compare_models
from rmspace.results.summarize import data_seeds, one_measure, seed_means
from rmspace.study.results import Study

_MOST_FIGURES = 40
_MOST_CELLS = 20  # cells that are named for one error
_BAD = ("failed", "crashed", "timeout", "changed", "damaged")


def write_report(study: Study, path: PathLike) -> None:
    """Write a study as one HTML page that needs no network: tables that sort, figures, failed cells, the grid.

    Raises:
        ValueError: no cell has run yet.
        IsADirectoryError, FileNotFoundError: `path` is a folder, or its folder is missing.
    """
    check_new_file(Path(path))
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
        allow=study.allow,
        environments=[_environment(each) for each in study.environments()],
        banks=_banks(cells, study.columns),
        grid=study.grid,
        bad=_bad_cells(cells, study.columns),
        **_findings(results),
    )
    write_whole(Path(path), page)


def _findings(results: pd.DataFrame) -> dict[str, Any]:
    """Return the tables and figures of the results, empty where no cell is done."""
    if results.empty:
        nothing = {"metric": "", "means": _table([], []), "differences": _table([], []), "pictures": [], "left_out": []}
        return {**nothing, "n": None, "n_prompts": "", "seeds": "", "over": [], "data_seeds": ""}
    metric = main_metric(results)
    rows = one_measure(results, metric, None)
    means = seed_means(rows)
    differences = compare_models(results, metric=metric)
    pictures, left_out = _pictures(results, differences)
    return {
        "metric": metric,
        "n": int(rows.n.iloc[0]) if rows.n.notna().any() else None,
        "n_prompts": _range(rows.n_prompts.dropna()) if "n_prompts" in rows else "",
        "means": _as_table(means.drop(columns=["metric", "n"])),
        "differences": _as_table(differences),
        "pictures": pictures,
        "left_out": left_out,
        "seeds": _range(means.seeds),
        "over": sorted(means.over.unique()),
        "data_seeds": ", ".join(data_seeds(results)),
    }


def _pictures(results: pd.DataFrame, differences: pd.DataFrame) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the pictures by question, their pages as SVG, and a sentence for each picture or page that is left out.

    The figure of differences draws the table of comparisons as it is, so that both mark the same rows.
    """
    found = pictures_of(results, differences)
    pictures, left_out, room = [], list(found.left_out), _MOST_FIGURES
    for picture in found.drawn:
        figures = [(name, drawn(name, draw)) for name, draw in list(picture.pages.items())[:room]]
        pages = [(name, _as_data(svg_text(figure))) for name, figure in figures if figure is not None]
        if len(figures) < len(picture.pages):
            missing = len(picture.pages) - len(figures)
            left_out.append(f"{picture.question} {missing} more pages are drawn by `rmspace figures`.")
        room -= len(figures)
        if pages:
            pictures.append({"question": picture.question, "says": picture.says, "pages": pages})
    return pictures, left_out


def _as_data(svg: str) -> str:
    """Return a figure as the page has it, in base 64."""
    return base64.b64encode(svg.encode()).decode()


def _range(numbers: pd.Series[Any]) -> str:
    """Return the least and the greatest number, as '3 to 5', or the one number."""
    if numbers.empty:
        return ""
    low, high = int(numbers.min()), int(numbers.max())
    return str(low) if low == high else f"{low} to {high}"


def _as_table(frame: pd.DataFrame) -> dict[str, Any]:
    return _table(list(frame.columns), frame.to_numpy(dtype=object).tolist())


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return a table for the template: each cell is its text and the value to sort by."""
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
    """Return each pair of banks, training and test, with the axes of the data that name it."""
    names = [name for name in columns if name.startswith("data")]
    known = cells[[*names, "train", "test"]].dropna(subset=["train", "test"]).drop_duplicates()
    return _as_table(known)


def _bad_cells(cells: pd.DataFrame, columns: list[str]) -> list[dict[str, Any]]:
    """Return one entry for all failures with the same error, with the first cells of each."""
    bad = cells[cells.status.isin(_BAD)]
    same: dict[tuple[str, str], list[int]] = {}
    for place, (status, error) in enumerate(zip(bad.status, bad.error, strict=True)):
        same.setdefault((status, error), []).append(place)
    found = []
    for (status, error), places in same.items():
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
