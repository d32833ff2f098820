"""Checks of single values: each error says the rule, what came, and what to do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt


def describe(array: npt.NDArray[Any]) -> str:
    """Return 'float32 of shape (3, 4)', the way every message names an array."""
    return f"{array.dtype} of shape {array.shape}"


def check_int(name: str, value: object, *, low: int | None = None, high: int | None = None) -> int:
    """Return `value` as an int in [low, high]; a bool or a float is not one."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer; got {value!r} ({type(value).__name__})")
    _check_range(name, float(value), low, high)
    return int(value)


def check_number(
    name: str, value: object, *, low: float | None = None, high: float | None = None, finite: bool = True
) -> float:
    """Return `value` as a float in [low, high]; a bool is not a number."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} must be a number; got {value!r} ({type(value).__name__})")
    if math.isnan(value) or (finite and math.isinf(value)):
        raise ValueError(f"{name} must be {'finite' if finite else 'a number'}; got {value!r}")
    _check_range(name, float(value), low, high)
    return float(value)


def _check_range(name: str, value: float, low: float | None, high: float | None) -> None:
    if (low is not None and value < low) or (high is not None and value > high):
        rule = f"at least {low}" if high is None else f"at most {high}" if low is None else f"in [{low}, {high}]"
        raise ValueError(f"{name} must be {rule}; got {value:g}")


def check_rng(rng: object) -> np.random.Generator:
    """Return `rng` if it is a numpy Generator; a seed is not one."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator; got {rng!r}; use np.random.default_rng(seed)")
    return rng
