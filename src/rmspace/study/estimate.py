"""The cost of a study before it runs: its size, and the time of a few of its cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from rmspace._checks import check_int
from rmspace.data.progress import progress
from rmspace.models.core.precision import fixed_threads
from rmspace.study.engine.cell import CellRunner
from rmspace.study.engine.task import DONE, Task
from rmspace.study.plan.axes import Label
from rmspace.study.plan.grid import Cell, Grid
from rmspace.study.tasks import make_tasks

_COSTLY = ("models", "n_pairs", "data")  # keys of the config that time depends on most


class Estimate(NamedTuple):
    """Core-hours of a grid with so many `kinds` of cells, from `timed` of its cells, and the least and largest time."""

    core_hours: float
    timed: int
    kinds: int
    quickest: float  # seconds
    slowest: float


def describe(grid: Grid) -> str:
    """Return the number of cells, and a line per axis."""
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
    """Estimate the core-hours of a grid from a few of its cells, whose results are thrown away.

    Cells that agree in models, n_pairs and data are assumed to cost the same: they are one kind. The middle cell of
    each kind is timed. Where there are more than `timed` kinds, the timed ones are spread evenly over the grid. The
    data are opened before the time starts, since nearly all cells find them open:

        core-hours = threads * cells * mean seconds / 3600.

    Args:
        grid: the grid.
        timed: the most cells to time.
        threads: of each cell.
        on_cell: called with (labels, seconds) after each timed cell.

    Raises:
        RuntimeError: a timed cell fails.
    """
    check_int("timed", timed, low=1)
    check_int("threads", threads, low=1)
    kinds = _kinds(grid)
    step = max(1.0, len(kinds) / timed)
    chosen = [kinds[int(k * step)] for k in range(min(timed, len(kinds)))]
    seconds = []
    with fixed_threads(threads), closing(CellRunner()) as runner:
        for cells in progress(chosen, "cells"):
            ((task,), _) = make_tasks(grid, [cells[len(cells) // 2]], grid.columns, {})
            seconds.append(_seconds(runner, task))
            if on_cell is not None:
                on_cell(task.labels, seconds[-1])
    counts = [len(cells) for cells in chosen]
    mean = sum(time * count for time, count in zip(seconds, counts, strict=True)) / sum(counts)
    return Estimate(threads * len(grid) * mean / 3600, len(chosen), len(kinds), min(seconds), max(seconds))


def _kinds(grid: Grid) -> list[list[Cell]]:
    """Return the cells of the grid by kind: cells of one kind are assumed to cost the same."""
    costly = [k for axis in grid.axes if axis.tops & set(_COSTLY) for k in _places(grid, axis.columns)]
    kinds: dict[tuple[Label, ...], list[Cell]] = {}
    for cell in grid.cells():
        kinds.setdefault(tuple(cell.labels[k] for k in costly), []).append(cell)
    return list(kinds.values())


def _places(grid: Grid, columns: Sequence[str]) -> list[int]:
    return [grid.columns.index(column) for column in columns]


def _seconds(runner: CellRunner, task: Task) -> float:
    """Return the time of one cell, after its data are open."""
    runner.prepare(task)
    outcome = runner.run(task)
    if outcome.status != DONE:
        raise RuntimeError(f"a cell fails, [{task.labels}]: {outcome.error}")
    return outcome.seconds
