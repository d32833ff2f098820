"""Pairs, ratings and labels as one set of preferences, for the objective `mixture`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rmspace.data.preferences import Preferences, check_preferences

_SIDES = tuple(f"{side}_{name}" for side in ("winner", "loser") for name in ("rating", "label"))
_NEEDED = {"pairs": (), "ratings": ("winner_rating", "loser_rating"), "labels": ("winner_label", "loser_label")}


def mix(
    pairs: Preferences | None = None, ratings: Preferences | None = None, labels: Preferences | None = None
) -> Preferences:
    """Return comparisons, rated items and labelled items as one set of preferences, for the objective `mixture`.

    Args:
        pairs: comparisons, with weights and ties or without.
        ratings: as `pair_up(items, ratings, groups)` makes them.
        labels: as `pair_up(items, labels, groups, name="label")` makes them.

    Returns:
        Preferences in memory with the columns source (0, 1, 2), weight, tie, winner_rating, loser_rating, winner_label
        and loser_label. The groups stay, so a prompt of the same name in two of the parts is one prompt. Other columns,
        features and metadata are left out.

    Raises:
        ValueError: no part; parts of different dims, or with groups of integers and of text; ratings or labels without
            their columns.

    >>> from rmspace.data.pointwise import pair_up
    >>> items = np.eye(2)
    >>> rated = pair_up(items, [4.0, 1.0], groups=["b", "b"])
    >>> data = mix(pairs=Preferences(items, [[1, 0]], groups=["a", "a"]), ratings=rated)
    >>> data.comparisons.tolist(), data.columns["source"].tolist(), data.columns["winner_rating"].tolist()
    ([[1, 0], [2, 3]], [0, 1], [0.0, 4.0])
    """
    given = {"pairs": pairs, "ratings": ratings, "labels": labels}
    parts = [(k, name, part) for k, (name, part) in enumerate(given.items()) if part is not None]
    if not parts:
        raise ValueError("mix needs at least one of pairs, ratings and labels; got none")
    for _, name, part in parts:
        check_preferences(name, part)
        if missing := [column for column in _NEEDED[name] if column not in part.columns]:
            raise ValueError(f"{name} must have the column {missing[0]!r}; it has {sorted(part.columns) or 'none'}")
    _check_alike([(name, part) for _, name, part in parts])
    starts = np.cumsum([0, *(part.n_items for _, _, part in parts)])
    columns: dict[str, list[npt.NDArray[Any]]] = {}
    for k, name, part in parts:
        for column, values in _columns(k, name, part).items():
            columns.setdefault(column, []).append(values)
    return Preferences(
        np.concatenate([np.asarray(part.items) for _, _, part in parts]),
        np.concatenate([part.comparisons + start for start, (_, _, part) in zip(starts[:-1], parts, strict=True)]),
        np.concatenate([part.groups for _, _, part in parts]),
        columns={column: np.concatenate(values) for column, values in columns.items()},
    )


def _check_alike(parts: list[tuple[str, Preferences]]) -> None:
    first, known = parts[0]
    for name, part in parts[1:]:
        if part.dim != known.dim:
            raise ValueError(f"{name} must have items of the dim {known.dim} of {first}; got {part.dim}")
        if part.groups.dtype.kind != known.groups.dtype.kind:
            raise ValueError(f"{name} and {first} must both have groups of integers, or both of text; got one of each")


def _columns(source: int, name: str, part: Preferences) -> dict[str, npt.NDArray[Any]]:
    n = len(part)
    known = {side: np.asarray(part.columns[side], dtype=np.float64) for side in _NEEDED[name]}
    return {
        "source": np.full(n, source),
        "weight": np.ones(n) if part.weight is None else np.asarray(part.weight, dtype=np.float64),
        "tie": np.asarray(part.columns.get("tie", np.zeros(n)), dtype=bool),
        **{side: known.get(side, np.zeros(n)) for side in _SIDES},
    }
