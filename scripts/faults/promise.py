"""What is promised, and what an attack on it found."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd


class Found(NamedTuple):
    """What an attack found."""

    times: int
    """How many times it was made."""
    refused: int
    """How many times an error of one line said that something is wrong."""
    lost: int
    """How many times something was lost, doubled or silently different: none, if the promise holds."""

    def __add__(self, other: object) -> Found:
        if not isinstance(other, Found):
            return NotImplemented
        return Found(self.times + other.times, self.refused + other.refused, self.lost + other.lost)


@dataclass(frozen=True, eq=False)
class Promise:
    """A promise, and the attack on it."""

    name: str
    promise: str
    attack: str
    run: Callable[[int, Path, random.Random], Found]
    """(number of times, an empty folder, random numbers) -> what was found."""


def same(one: Any, other: Any) -> bool:
    """Return whether two readings are the same, to the last bit; `nan` is equal to `nan`.

    >>> same([1, np.array([np.nan])], [1, np.array([np.nan])]), same([1], [2])
    (True, False)
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, pd.DataFrame):
        return one.equals(other) and list(one.columns) == list(other.columns)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
