"""The settings that all cells of a study share. The first cell fixes them, and another grid must agree with them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rmspace._checks import check_int
from rmspace.study.plan.grid import Grid
from rmspace.study.store import Store


class Settings(NamedTuple):
    """The settings that all cells of a study share."""

    columns: list[str]  # the axes, in the order of the labels in the file
    base: dict[str, Any]  # the config, without the keys that the axes set
    threads: int  # of each cell
    grid: str  # YAML of the grid that was run last


def settle(store: Store, grid: Grid, threads: int | None) -> Settings:
    """Return the settings of a study, which its first cell fixes.

    Raises:
        ValueError: the study in the file was begun with other axes, another base or other threads.
    """
    given = check_int("threads", 1 if threads is None else threads, low=1)
    base = base_settings(grid)
    if not store.statuses():
        return Settings(grid.columns, base, given, grid.text)
    before = Settings(store.meta("columns"), store.meta("base"), int(store.meta("threads")), grid.text)
    _check_axes(store.path, before.columns, grid.columns)
    _check_base(store.path, before.base, base)
    if threads not in (None, before.threads):
        raise ValueError(
            f"{store.path} was begun with {before.threads} threads per cell, and another number of threads may change "
            "the last bits of the results; leave threads out, or choose another folder"
        )
    return before


def base_settings(grid: Grid) -> dict[str, Any]:
    """Return the base without the keys that the axes set, and without its data, which have fingerprints instead."""
    base = grid.base.without(("data",))
    for axis in grid.axes:
        for setting in axis.values[0].settings:
            base = base.without(setting.key)
    return json.loads(json.dumps(base.plain()))


def check_threads(threads: int, workers: int) -> None:
    """Raise ValueError where the processes would compute with more threads than this process has cores.

    Only Linux tells which cores a process may use. On macOS and Windows all cores of the machine count.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads > 1 and max(workers, 1) * threads > cores:
        raise ValueError(
            f"{max(workers, 1)} processes of {threads} threads would share {cores} cores, which is many times slower "
            "than fewer threads; use fewer workers or threads"
        )


def _check_axes(path: Path, before: Sequence[str], now: Sequence[str]) -> None:
    words = [f"it lacks {name}" for name in before if name not in now]
    words += [f"it also has {name}" for name in now if name not in before]
    if words:
        raise ValueError(
            f"{path} holds the study of another grid, with the axes {', '.join(before)}; this one differs: "
            f"{', '.join(words)}; choose another folder"
        )


def _check_base(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if changed:
        words = [f"{name} was {before.get(name)!r} and is {now.get(name)!r}" for name in changed]
        raise ValueError(
            f"{path} holds a study with another base: {'; '.join(words)}; choose another folder, or make an axis of "
            "the key that changes"
        )
