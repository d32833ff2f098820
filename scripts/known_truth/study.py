"""A study is one kind of world, drawn many times, and the ways to learn from it; its table has paired differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

import rmspace as rm
from findings.page import as_markdown, number

Measures = Mapping[str, float]  # measure -> value, in one world
Ways = Mapping[str, Measures]  # way to learn -> measures


class Study(NamedTuple):
    """One kind of world: `run` draws that of a seed and measures each way in it."""

    name: str
    run: Callable[[int], Ways]
    against: str | None = None  # the way that the others are compared with; None: no differences
    worlds: int = 50
    alone: tuple[str, ...] = ()  # measures that are shown with their own interval, not as differences


def as_table(study: Study, worlds: Sequence[Ways]) -> str:
    """Return one line per way: the mean of each measure, with its difference from the base or its own interval."""
    measures = list(dict.fromkeys(measure for way in worlds[0].values() for measure in way))
    return as_markdown(
        {"way": way} | {k: v for m in measures for k, v in _cells(study, worlds, way, m).items()} for way in worlds[0]
    )


def _cells(study: Study, worlds: Sequence[Ways], way: str, measure: str) -> dict[str, str]:
    if measure not in worlds[0][way]:
        return {}
    values = np.array([world[way][measure] for world in worlds])
    base_way = study.against
    if base_way is None or measure in study.alone or measure not in worlds[0][base_way]:
        return {measure: _with_interval(values)}
    base = np.array([world[base_way][measure] for world in worlds])
    difference = "" if way == base_way else _difference(values - base)
    return {measure: f"{values.mean():.3f}", f"difference in {measure}": difference}


def _with_interval(values: np.ndarray) -> str:
    mean, low, high = rm.mean_interval(values)
    return f"{mean:.3f} ({low:.3f} to {high:.3f})"


def _difference(values: np.ndarray) -> str:
    """Return a paired difference with its interval, bold where the interval does not hold 0."""
    mean, low, high = rm.mean_interval(values, binary=False)
    text = f"{number(mean)} ({number(low)} to {number(high)})"
    return f"**{text}**" if low > 0 or high < 0 else text
