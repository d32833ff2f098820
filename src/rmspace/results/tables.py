"""Small queries of a table of results that several modules need."""

from __future__ import annotations

from typing import Any

import pandas as pd


def equal(column: pd.Series[Any], value: Any) -> pd.Series[bool]:
    """Return where a column has a value; a missing value equals a missing value.

    >>> equal(pd.Series([1.0, None]), None).tolist()
    [False, True]
    """
    return column.isna() if pd.isna(value) else column == value


def determined_by(rows: pd.DataFrame, name: str, other: str) -> bool:
    """Return whether each value of the column `other` has a single value of the column `name`.

    Keys that a grid changes together are such columns: a figure that shows one of them need not show the other.

    >>> rows = pd.DataFrame({"pairs": ["same", "cross", "cross"], "beta": [1, 2, 3]})
    >>> determined_by(rows, "pairs", "beta"), determined_by(rows, "beta", "pairs")
    (True, False)
    """
    return bool(rows.groupby(other, dropna=False, observed=True)[name].nunique(dropna=False).max() == 1)


def values_of(rows: pd.DataFrame, column: str | None) -> list[Any]:
    """Return the different values of a column in order of appearance; one empty value where there is no column.

    >>> values_of(pd.DataFrame({"model": ["CLF", "BT", "CLF"]}), "model")
    ['CLF', 'BT']
    """
    return [""] if column is None else list(rows[column].unique())
