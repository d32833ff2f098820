"""Columns of comparisons (margin, tie, annotator, ...), and how an objective receives those that it names."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rmspace._typing import IntArray
from rmspace.kinds import Objective

Columns = Mapping[str, npt.NDArray[Any]]


def objective_name(objective: Any) -> str:
    """Return the name of an objective, also where `functools.partial` binds its options."""
    while isinstance(objective, partial):
        objective = objective.func
    return getattr(objective, "__name__", repr(objective))


def column_names(objective: Any, available: Columns) -> tuple[str, ...]:
    """Return the names of the columns that an objective receives: its parameters after the two scores.

    A parameter that `functools.partial` binds keeps the bound value. A parameter with a default keeps the default when
    there is no column of its name.

    Raises:
        ValueError: a parameter without default that names no column.

    >>> column_names(lambda winner, loser, margin, scale=1.0: ..., {"margin": np.ones(3), "tie": np.zeros(3)})
    ('margin',)
    """
    names = []
    for name, parameter in _free_parameters(objective).items():
        if name in available:
            names.append(name)
        elif parameter.default is inspect.Parameter.empty:
            there = f"there are {', '.join(sorted(available))}" if available else "there are none"
            raise ValueError(
                f"objective {objective_name(objective)} needs the column {name!r}, which these comparisons do not "
                f"have ({there}); give it in Preferences or columns=, or bind a value with functools.partial"
            )
    return tuple(names)


def asks_for(objective: Any, name: str) -> bool:
    """Say whether an objective has a free parameter of this name."""
    return name in _free_parameters(objective)


def check_values(objective: Any, name: str, column: npt.NDArray[Any], rows: IntArray) -> None:
    """Raise ValueError where a column that an objective asks for is not finite; `rows` are the comparisons' numbers."""
    if column.dtype.kind == "f" and not (finite := np.isfinite(column)).all():
        first = int(np.argmin(finite))
        raise ValueError(
            f"column {name!r}, which objective {objective_name(objective)} asks for, must be finite; comparison "
            f"{rows[first]} has {column[first]}; leave such comparisons out, or fill them"
        )


def text_codes(column: npt.NDArray[Any], *others: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Number the texts of some columns from 0, in alphabetical order; other kinds of columns stay as they are.

    >>> [codes.tolist() for codes in text_codes(np.array(["b", "a"]), np.array(["c", "b"]))]
    [[1, 0], [2, 1]]
    """
    columns = [column, *others]
    if not any(array.dtype.kind == "U" for array in columns):
        return columns
    texts = [array.astype(str) for array in columns]
    codes = np.unique(np.concatenate(texts), return_inverse=True)[1].reshape(-1).astype(np.int64)
    return np.split(codes, np.cumsum([len(array) for array in texts])[:-1])


def to_tensors(columns: Columns, dtype: torch.dtype, device: torch.device | None = None) -> dict[str, Tensor]:
    """Return columns as tensors: fractions as `dtype`, the precision of the scores; integers as int64; bool as bool."""
    kinds = {"f": dtype, "b": torch.bool}
    return {
        name: torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="))).to(
            device, kinds.get(array.dtype.kind, torch.int64)
        )
        for name, array in columns.items()
    }


def bind(objective: Objective, columns: Mapping[str, Tensor]) -> Objective:
    """Give an objective the columns that it asks for, and the objective inside it those that this one asks for."""
    if not columns:
        return objective
    inner = _inner(objective)
    if inner is None:
        return partial(objective, **columns)
    own = {name: column for name, column in columns.items() if name in _own_parameters(objective)}
    asked = {name: column for name, column in columns.items() if name in _free_parameters(inner)}
    return partial(objective, **own, **{"objective": bind(inner, asked)})


def _inner(objective: Any) -> Any:
    """Return the objective that another one has as its parameter `objective`, as in `label_smoothed`; or None."""
    try:
        parameter = inspect.signature(objective).parameters.get("objective")
    except (TypeError, ValueError):
        return None
    default = None if parameter is None else parameter.default
    return default if callable(default) and default is not inspect.Parameter.empty else None


def _free_parameters(objective: Any) -> dict[str, inspect.Parameter]:
    """Return the parameters that take a column, those of an objective inside this one included."""
    inner = _inner(objective)
    if inner is None:
        return _own_parameters(objective)
    own = {name: each for name, each in _own_parameters(objective).items() if name != "objective"}
    return {**_free_parameters(inner), **own}


def _own_parameters(objective: Any) -> dict[str, inspect.Parameter]:
    """Return the parameters of an objective that take a column: all except the two scores and what is bound."""
    bound: set[str] = set()
    function = objective
    while isinstance(function, partial):
        bound |= set(function.keywords)
        function = function.func
    try:
        parameters = inspect.signature(objective).parameters
    except (TypeError, ValueError):  # not a function, or one without signature
        return {}
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    scores = list(parameters)[:2]
    return {
        name: parameter
        for name, parameter in parameters.items()
        if name not in bound and name not in scores and parameter.kind in named
    }
