"""The cells of a grid as tasks: the fingerprints of their data, the order in which they run, a sample of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

from rmspace._checks import check_int
from rmspace.study.engine.task import Source, Task
from rmspace.study.fingerprints import Fingerprints, file_signature, take_fingerprints
from rmspace.study.plan.grid import Cell, Grid, same_cells


def make_tasks(
    grid: Grid, cells: Iterable[Cell], columns: Sequence[str], known: Mapping[str, Fingerprints]
) -> tuple[list[Task], dict[str, Fingerprints]]:
    """Make cells into tasks; data are read for their fingerprints, unless the files are the same as before.

    Args:
        grid: the grid of the cells.
        cells: the cells.
        columns: order of the labels in a task.
        known: `data` block as text -> fingerprints that were taken before.

    Returns:
        The tasks, and the fingerprints by `data` block.

    Raises:
        ConfigError: data that cannot be read; two cells that are the same because their data hold the same values.
    """
    order = [grid.columns.index(column) for column in columns]
    source = Source(grid.path.resolve(), tuple(grid.folders), tuple(grid.allow))
    found: dict[str, Fingerprints] = {}
    cell_of: dict[str, Cell] = {}
    tasks = []
    for cell in cells:
        block = cell.texts["data"]
        if block not in found:
            found[block] = _fingerprints(cell, known.get(block))
        data = found[block]
        key = cell.key(data.train, data.test)
        if key in cell_of:
            raise grid.document["grid"].error(same_cells(grid.columns, cell_of[key].labels, cell.labels))
        cell_of[key] = cell
        labels = json.dumps([cell.labels[k] for k in order])
        tasks.append(Task(key, labels, cell.config, source, data, cell.modules, cell.group))
    return tasks, found


def group_tasks(tasks: Iterable[Task]) -> list[list[Task]]:
    """Return the tasks in groups that compare the same items; groups with the same data stand one after the other."""
    groups: dict[str, list[Task]] = {}
    first: dict[Fingerprints, int] = {}
    for task in tasks:
        first.setdefault(task.data, len(first))
        groups.setdefault(task.group, []).append(task)
    return sorted(groups.values(), key=lambda group: first[group[0].data])


def sample_tasks(tasks: Sequence[Task], size: int | None) -> list[Task]:
    """Return some tasks that are spread over the grid, the same ones each time; all tasks where `size` is None.

    A larger sample holds the smaller ones.

    Raises:
        ValueError: there are fewer tasks than `size`.
    """
    if size is None:
        return list(tasks)
    if check_int("sample", size, low=1) > len(tasks):
        raise ValueError(f"sample must be at most the grid's {len(tasks)} cells; got {size}")
    shuffled = sorted(tasks, key=lambda task: hashlib.sha256(task.labels.encode()).digest())
    chosen = {task.key for task in shuffled[:size]}
    return [task for task in tasks if task.key in chosen]


def _fingerprints(cell: Cell, before: Fingerprints | None) -> Fingerprints:
    """Return the fingerprints of a cell's data: those from before, where the files are still the same."""
    signature = file_signature(cell.config["data"])
    if before is not None and signature is not None and before.signature == signature:
        return before
    return take_fingerprints(*cell.data(), signature)
