"""Checks of single values: each error says the rule, what came, and what to do."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt


def describe(array: npt.NDArray[Any]) -> str:
    """Return 'float32 of shape (3, 4)', the way every message names an array."""
    return f"{array.dtype} of shape {array.shape}"


def printable(text: str) -> str:
    """Return a text that UTF-8 can hold: a lone surrogate becomes its escape.

    >>> printable("bad \\ud800")
    'bad \\\\ud800'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


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


def check_function(name: str, value: object, rule: str) -> None:
    """Raise TypeError where `value` is no function, or has options without a default that nobody bound.

    >>> check_function("annotator", "oracle", "of gaps")
    Traceback (most recent call last):
    TypeError: annotator must be a function of gaps; got 'oracle'; use rmspace.oracle
    """
    if not callable(value):
        advice = f"; use rmspace.{value}" if isinstance(value, str) and value.isidentifier() else ""
        raise TypeError(f"{name} must be a function {rule}; got {value!r}{advice}")
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):  # a function without a signature
        return
    if missing := [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]:
        own = getattr(value, "__name__", name)
        bound = ", ".join(f"{option}=..." for option in missing)
        raise TypeError(f"{own} needs {' and '.join(missing)}; bind it: functools.partial({own}, {bound})")


def check_names(name: str, value: object) -> None:
    """Raise TypeError where `value` does not map names to something."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must map names to what they name, {{'a': ...}}; got {type(value).__name__}")
