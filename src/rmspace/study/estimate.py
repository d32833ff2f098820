"""What a study would take: its size, and the time of a few of its cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tqdm import tqdm

from rmspace._checks import check_int
from rmspace.models.core.precision import fixed_threads
from rmspace.study.engine.cell import DONE, Computer
from rmspace.study.plan.axes import Label
from rmspace.study.plan.grid import Cell, Grid
from rmspace.study.run import make_tasks

_COSTLY = ("models", "n_pairs", "data")  # keys of the config that time depends on most


class Estimate(NamedTuple):
    """Core-hours of a whole grid, from `timed` cells of its `kinds` of cells, and the quickest and slowest of them."""

    core_hours: float
    timed: int
    kinds: int
    quickest: float  # seconds
    slowest: float


def describe(grid: Grid) -> str:
    """Return the number of cells and the axes, a line each."""
    lines = [f"{len(grid)} cells"]
    for axis in grid.axes:
        for column in axis.columns:
            labels = axis.labels(column)
            lines.append(f"  {column}: {len(labels)} ({', '.join(map(str, labels))})")
    rules = [f"{len(grid.exclude)} rules exclude", f"{len(grid.include)} include"]
    return "\n".join([*lines, *([f"  {', '.join(rules)}"] if grid.exclude or grid.include else [])])


def estimate(
    grid: Grid, *, timed: int = 8, threads: int = 1, on_cell: Callable[[str, float], Any] | None = None
) -> Estimate:
    """Estimate the core-hours of a grid from a few of its cells, which are run and thrown away.

    Cells that agree in models, n_pairs and data are taken to cost the same. The middle cell of each such kind is timed,
    of kinds spread evenly where there are more than `timed`, each after its banks are open, as nearly all find them:

        core-hours = threads * cells * mean seconds / 3600.

    Raises:
        RuntimeError: a timed cell fails.
    """
    check_int("timed", timed, low=1)
    check_int("threads", threads, low=1)
    kinds: dict[tuple[Label, ...], list[Cell]] = {}
    costly = [k for axis in grid.axes if axis.tops & set(_COSTLY) for k in _places(grid, axis.columns)]
    for cell in grid.cells():
        kinds.setdefault(tuple(cell.labels[k] for k in costly), []).append(cell)
    chosen = list(kinds.values())
    step = max(1.0, len(chosen) / timed)
    chosen = [chosen[int(k * step)] for k in range(min(timed, len(chosen)))]
    seconds = []
    computer = Computer()
    with fixed_threads(threads):
        for cells in tqdm(chosen, desc="timing", unit="cell", leave=False, disable=None):
            task = make_tasks(grid, [cells[len(cells) // 2]], grid.columns, {})[0]
            computer.open(task)
            outcome = computer(task)
            if outcome.status != DONE:
                raise RuntimeError(f"a cell fails, [{task.labels}]: {outcome.error}")
            seconds.append((outcome.seconds, len(cells)))
            if on_cell is not None:
                on_cell(task.labels, outcome.seconds)
    computer.close()
    mean = sum(time * count for time, count in seconds) / sum(count for _, count in seconds)
    times = [time for time, _ in seconds]
    return Estimate(threads * len(grid) * mean / 3600, len(chosen), len(kinds), min(times), max(times))


def _places(grid: Grid, columns: Sequence[str]) -> list[int]:
    return [grid.columns.index(column) for column in columns]
