"""Numbers of items, such as ratings, collected from the columns of both sides of comparisons."""

from __future__ import annotations

import numpy as np

from rmspace._typing import Float64Array
from rmspace.data.arrays import check_finite
from rmspace.models.core.data import FitData


def item_values(data: FitData, name: str, *, missing: bool = False) -> Float64Array:
    """Return one number per used item, from the columns `winner_<name>` and `loser_<name>`.

    Args:
        data: of the fit.
        name: of the feature.
        missing: whether NaN may mark an item whose number is not known.

    Returns:
        (n_used,), in the order of `data.used_rows`.

    Raises:
        ValueError: columns that are missing or not finite; an item with two different numbers.
        TypeError: columns that are no numbers.
    """
    names = [f"winner_{name}", f"loser_{name}"]
    if absent := [side for side in names if side not in data.columns]:
        raise ValueError(
            f"there is no feature {name!r} of the items, and no column {absent[0]!r}; give Preferences with "
            f"features={{{name!r}: ...}}, or both columns {names[0]} and {names[1]}"
        )
    found = np.full(len(data.used_rows), np.nan)
    for side, column in enumerate(names):
        values = data.columns[column]
        if values.dtype.kind not in "biuf":
            raise TypeError(f"column {column!r} must be numbers; got {values.dtype}")
        known = ~np.isnan(values) if missing and values.dtype.kind == "f" else np.ones(len(values), dtype=bool)
        check_finite(f"column {column!r}", values[known], np.flatnonzero(known))
        found[data.pairs[known, side]] = values[known]
    for side, column in enumerate(names):
        values = np.asarray(data.columns[column], dtype=np.float64)
        differs = (found[data.pairs[:, side]] != values) & ~np.isnan(values)
        if differs.any():
            item = data.comparisons[int(np.argmax(differs)), side]
            raise ValueError(f"an item must have one {name} in all of its comparisons; item {item} has two")
    return found
