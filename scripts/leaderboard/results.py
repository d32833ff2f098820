"""The results of the studies as one table, and what is missing in it."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

import rmspace as rm
from leaderboard.rows import Sheet
from leaderboard.studies import Setup, grid_of, sections_of
from rmspace.study.store import FILE

WORLD, BETA, SEED, ROW = "data.world", "data.beta", "seed", "models"
KEYS = [WORLD, BETA, SEED, ROW]


class Results(NamedTuple):
    """The cells of the leaderboard that may be compared, and in words those that are missing.

    Attributes:
        table: section, data.world, data.beta, seed, models, skill, calibration, seconds: one row per cell, only of
            seeds for which all cells of the section are done.
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
        grid = grid_of(setup, sheet, section)
        wanted = pd.DataFrame([cell.labels for cell in grid.cells()], columns=grid.columns)[KEYS]
        done, failed, spent = _done(setup, section)
        count, hours = count + len(done), hours + spent
        for row, error in failed.items():
            missing.append(f"{section}: {row} is left out, because a cell failed: {error}")
        wanted = wanted[~wanted[ROW].isin(list(failed))]
        both = wanted.merge(done, on=KEYS, how="left")
        lacks = both.skill.isna().groupby(both[SEED]).sum()
        complete = lacks.index[lacks == 0]
        seeds[section] = len(complete)
        if len(complete) < len(lacks):
            missing.append(
                f"{section}: {int(lacks.sum())} of {len(wanted)} cells are not done; {len(complete)} of {len(lacks)} "
                "seeds are complete, and only these count"
            )
        parts.append(both[both[SEED].isin(complete)].assign(section=section))
    return Results(pd.concat(parts, ignore_index=True), seeds, missing, count, hours)


def _done(setup: Setup, section: str) -> tuple[pd.DataFrame, dict[str, str], float]:
    """Return the measures of the cells that are done, the rows of which a cell failed, and the core-hours."""
    folder = setup.out / "studies" / section
    columns = [*KEYS, "skill", "calibration", "seconds"]
    if not (folder / FILE).exists():
        return pd.DataFrame(columns=columns), {}, 0.0
    study = rm.Study.open(folder)
    cells, results = study.cells(), study.results()
    wrong = cells[cells.status.notna() & (cells.status != "done")]
    failed = {str(row[ROW]): str(row["error"]) for _, row in wrong.iterrows()}
    if results.empty:
        return pd.DataFrame(columns=columns), failed, 0.0
    wide = results.pivot_table(
        index=KEYS, columns="metric", values="value", dropna=False, observed=True, sort=False
    ).dropna(subset=["skill"])
    facts = results.drop_duplicates(KEYS).set_index(KEYS).fit_seconds.rename("seconds")
    return wide.join(facts).reset_index()[columns], failed, float(cells.seconds.sum()) / 3600
