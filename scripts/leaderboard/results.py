"""The results of the studies as one table, and what is missing in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

import rmspace as rm
from leaderboard.rows import Sheet
from leaderboard.studies import Setup, grid_of, sections_of
from rmspace.study.store import FILE

KEYS = ["world", "beta", "seed", "row"]
_NAMES = {"data.world": "world", "data.beta": "beta", "models": "row"}  # of the axes, in short


class Results(NamedTuple):
    """The cells of the leaderboard that may be compared, and in words those that are missing.

    Attributes:
        table: section, world, beta, seed, row, skill, calibration, seconds: one line per cell, only of seeds for which
            all cells of the section are done.
        seeds: of each section, how many are complete.
        missing: one line for each section with missing cells, and for each row that failed.
        n_done, core_hours: of all cells that are done.
    """

    table: pd.DataFrame
    seeds: Mapping[str, int]
    missing: list[str]
    n_done: int
    core_hours: float


def read_results(setup: Setup, sheet: Sheet) -> Results:
    """Read the studies. Nothing is averaged over fewer seeds in one row than in another."""
    parts, seeds, missing, count, hours = [], {}, [], 0, 0.0
    for section in sections_of(setup, sheet):
        done, failed, spent = _done(setup.out / "studies" / section)
        count, hours = count + len(done), hours + spent
        missing += [f"{section}: {row} is left out, because a cell failed: {error}" for row, error in failed.items()]
        wanted = _wanted(setup, sheet, section)
        both = wanted[~wanted.row.isin(list(failed))].merge(done, on=KEYS, how="left")
        lacks = both.skill.isna().groupby(both.seed).sum()
        complete = lacks.index[lacks == 0]
        seeds[section] = len(complete)
        if len(complete) < len(lacks):
            missing.append(
                f"{section}: {int(lacks.sum())} of {len(both)} cells are not done; {len(complete)} of {len(lacks)} "
                "seeds are complete, and only these count"
            )
        parts.append(both[both.seed.isin(complete)].assign(section=section))
    return Results(pd.concat(parts, ignore_index=True), seeds, missing, count, hours)


def _wanted(setup: Setup, sheet: Sheet, section: str) -> pd.DataFrame:
    """Return the cells that a section must have."""
    grid = grid_of(setup, sheet, section)
    cells = pd.DataFrame([cell.labels for cell in grid.cells()], columns=grid.columns).rename(columns=_NAMES)
    return cells[KEYS].astype({"beta": float})


def _done(folder: Path) -> tuple[pd.DataFrame, dict[str, str], float]:
    """Return the measures of the cells that are done, the rows of which a cell failed, and the core-hours."""
    nothing = pd.DataFrame({name: pd.Series(dtype=float) for name in [*KEYS, "skill", "calibration", "seconds"]})
    nothing = nothing.astype({"world": object, "row": object, "seed": int})
    if not (folder / FILE).exists():
        return nothing, {}, 0.0
    study = rm.Study.open(folder)
    cells, results = study.cells(), study.results().rename(columns=_NAMES)
    wrong = cells[cells.status.notna() & (cells.status != "done")]
    failed = dict(zip(wrong.models.astype(str), wrong.error.astype(str), strict=True))
    if results.empty:
        return nothing, failed, 0.0
    measures = {metric: part.set_index(KEYS).value for metric, part in results.groupby("metric")}
    seconds = results.drop_duplicates(KEYS).set_index(KEYS).fit_seconds
    table = pd.DataFrame({**measures, "seconds": seconds}).reset_index()
    return table.astype({"beta": float}), failed, float(cells.seconds.sum()) / 3600
