"""Columns of values of which some may be missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rmspace._typing import Float64Array, IntArray


class GrowingColumns:
    """Columns that grow row by row; a row that lacks a name has None there.

    >>> columns = GrowingColumns()
    >>> columns.add({"margin": 1.0})
    >>> columns.add({"subset": "math"})
    >>> dict(columns)
    {'margin': [1.0, None], 'subset': [None, 'math']}
    """

    def __init__(self) -> None:
        self.n_rows = 0
        self._lists: dict[str, list[Any]] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Add one row."""
        for name, value in row.items():
            column = self._lists.setdefault(name, [])
            column += [None] * (self.n_rows - len(column))
            column.append(value)
        self.n_rows += 1

    def keys(self) -> list[str]:
        """Return the names."""
        return list(self._lists)

    def __getitem__(self, name: str) -> list[Any]:
        return self._lists[name] + [None] * (self.n_rows - len(self._lists[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._lists)


def column_of(values: Sequence[Any], *, default: Any = None) -> npt.NDArray[Any]:
    """Return values as numbers or text; None becomes `default`, or NaN among numbers and "" among texts.

    Numbers beside texts become text, and so do whole numbers beyond int64.

    >>> column_of([1.5, None]).tolist(), column_of(["a", None]).tolist()
    ([1.5, nan], ['a', ''])
    >>> column_of([True, None], default=False).tolist()
    [True, False]
    """
    filled = values if default is None else [default if value is None else value for value in values]
    known = [value for value in filled if value is not None]
    if not all(isinstance(value, int | float | np.number | np.bool_) for value in known) or _is_huge(known):
        return np.array(["" if value is None else str(value) for value in filled], dtype=str)
    if len(known) < len(filled):
        return np.array([np.nan if value is None else value for value in filled], dtype=np.float64)
    return np.array(filled)


def means_by_item(items: IntArray, values: Float64Array, n_items: int) -> Float64Array:
    """Return the mean of the values of each item, NaN where it has none.

    >>> means_by_item(np.array([0, 0, 1]), np.array([1.0, 2.0, np.nan]), 3).tolist()
    [1.5, nan, nan]
    """
    known = ~np.isnan(values)
    total = np.bincount(items[known], weights=values[known], minlength=n_items)
    count = np.bincount(items[known], minlength=n_items)
    return np.divide(total, count, out=np.full(n_items, np.nan), where=count > 0)


def _is_huge(values: Sequence[Any]) -> bool:
    return any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in values)
