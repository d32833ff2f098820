"""Ratings: what a gold gives the responses of some prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rmspace._checks import as_numbers, describe, shown
from rmspace._typing import Float64Array, IntArray

__all__ = ["Ratings", "Unread"]


class Unread(NamedTuple):
    """An answer of a judge in which no verdict could be read.

    >>> Unread(3, "Both are good.").place
    3
    """

    place: int
    """The response, by its place among all that were rated together."""
    answer: str
    other: int | None = None
    """The place of the response that it was compared with, where there was one."""


class Ratings(NamedTuple):
    """Rewards by name, one per response in the order of the responses, NaN where a judge could not be read.

    >>> Ratings({"": np.array([0.5, 1.0])}).columns[""].tolist()
    [0.5, 1.0]
    """

    columns: Mapping[str, Float64Array]
    """A gold that gives one number calls it ""."""
    unread: Sequence[Unread] = ()
    notes: IntArray | None = None
    """What was cut or changed in each text, a `rmspace.text.Note`; None where it is not known."""


def check_ratings(name: str, found: Any, n: int) -> Ratings:
    """Return what a gold called `name` gave n responses, checked: as many numbers, NaN only where a judge was not read.

    Raises:
        TypeError: something else than ratings.
        ValueError: another number of rewards; NaN or infinity.
    """
    if not isinstance(found, Ratings) or not found.columns:
        raise TypeError(
            f"the gold {name!r} must return rmspace.text.Ratings with at least one column; got {shown(found)}"
        )
    columns = {column: _checked(f"{name} {column}".strip(), values, n) for column, values in found.columns.items()}
    unread = {place for each in found.unread for place in (each.place, each.other)}
    for column, values in columns.items():
        bad = [k for k in np.flatnonzero(~np.isfinite(values)).tolist() if not (np.isnan(values[k]) and k in unread)]
        if bad:
            raise ValueError(
                f"gold rewards must be finite; the gold {f'{name} {column}'.strip()!r} gave {values[bad[0]]} for "
                f"{len(bad)} of {n} responses, first for number {bad[0]} of the shard; correct it, and run again"
            )
    return Ratings(columns, list(found.unread), found.notes)


def _checked(name: str, values: Any, n: int) -> Float64Array:
    numbers = as_numbers(f"the rewards of the gold {name!r}", values)
    if numbers.shape != (n,):
        raise ValueError(f"the gold {name!r} must give one number per response, ({n},); got {describe(numbers)}")
    return numbers
