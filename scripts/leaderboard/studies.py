"""The studies of the leaderboard: one per section, each a grid of seeds, worlds and rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

import rmspace as rm
from leaderboard.rows import COIN, MAIN, Row, Sheet, as_override, data_of
from rmspace.config.node import read_config
from rmspace.study.estimate import estimate
from rmspace.study.plan.grid import Grid, read_grid

SEEDS, WORLDS = "data.seed, seed", "data.world, data.beta"
OWN = (
    "base.data.folder",
    "base.data.use",
    "base.data.feedback",
    f"grid.{WORLDS}",
    "grid.models",
)  # set for each section
BYTES = 3000  # of a cell in the file of a study, measured


class Setup(NamedTuple):
    """Where the configs, the data and the results are, and what a quick run changes."""

    configs: Path
    out: Path
    worlds: list[list[Any]]  # each with its noise level, None where people judged
    changes: tuple[str, ...] = ()  # overrides of all studies

    @property
    def data(self) -> Path:
        return self.out / "data"


def worlds_of(configs: Path) -> list[list[Any]]:
    """Return the worlds and noise levels that study.yaml names."""
    return read_config(configs / "study.yaml").plain()["grid"][WORLDS]


def overrides(setup: Setup, sheet: Sheet, section: str, rows: Sequence[Row] = ()) -> list[str]:
    """Return the overrides of study.yaml that make the study of a section."""
    feedback, worlds = data_of(section, setup.worlds)
    models = {row.name: row.model for row in rows or sheet.of(section)}
    return [
        as_override("base.data.folder", str(setup.data.resolve())),
        as_override("base.data.feedback", feedback),
        *([as_override("base.data.use", "coin.tossed")] if section == COIN else []),
        *setup.changes,
        as_override(f"grid.{WORLDS}", worlds),
        as_override("grid.models", models),
    ]


def sections_of(setup: Setup, sheet: Sheet) -> list[str]:
    """Return the sections that any of the worlds has judgements for."""
    return [section for section in sheet.sections if data_of(section, setup.worlds)[1]]


def grid_of(setup: Setup, sheet: Sheet, section: str, *, changes: Sequence[str] = (), rows: Sequence[Row] = ()) -> Grid:
    """Return the grid of a section."""
    return read_grid(setup.configs / "study.yaml", [*overrides(setup, sheet, section, rows), *changes])


def share_of_test(setup: Setup, sheet: Sheet) -> float:
    """Return the share of the prompts that is held out."""
    return float(grid_of(setup, sheet, MAIN).base["data"].get("test_share"))


def run_studies(setup: Setup, sheet: Sheet, *, workers: int = 0) -> None:
    """Run the cells that are missing, section by section; a stopped call goes on where it was."""
    for section in sections_of(setup, sheet):
        changes = overrides(setup, sheet, section)
        rm.run_study(setup.configs / "study.yaml", setup.out / "studies" / section, overrides=changes, workers=workers)


class Cost(NamedTuple):
    """What the studies cost before they run."""

    fits: int
    cells: int
    core_hours: float
    megabytes: float
    seconds: "pd.Series[float]"  # of a cell, by row

    def __str__(self) -> str:
        slow = self.seconds.sort_values(ascending=False).head(5)
        return (
            f"{self.cells} cells, {self.fits} fits, about {self.core_hours:.2g} core-hours, {self.megabytes:.0f} MB\n"
            f"slowest, seconds per cell: {', '.join(f'{name} {value:.2g}' for name, value in slow.items())}"
        )


def cost(setup: Setup, sheet: Sheet, *, timed: int) -> Cost:
    """Count the fits, and time each row in `timed` of its worlds, with the first seed."""
    times: dict[str, float] = {}
    cells, hours = 0, 0.0
    for section in sections_of(setup, sheet):
        grid = grid_of(setup, sheet, section)
        worlds = data_of(section, setup.worlds)[1]
        cells += len(grid)
        for k, row in enumerate(sheet.of(section)):
            chosen = [worlds[(k + j * len(worlds) // timed) % len(worlds)] for j in range(min(timed, len(worlds)))]
            few = [as_override(f"grid.{WORLDS}", chosen), as_override(f"grid.{SEEDS}", [[0, 0]])]
            found = estimate(grid_of(setup, sheet, section, changes=few, rows=[row]), timed=len(chosen))
            times[f"{section}: {row.name}"] = found.core_hours * 3600 / len(chosen)
            hours += found.core_hours / len(chosen) * len(grid) / len(sheet.of(section))
    fits = cells * (sheet.trials * sheet.folds + 1)
    return Cost(fits, cells, hours, cells * BYTES / 1e6, pd.Series(times))
