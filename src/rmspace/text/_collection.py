"""Records put together as arrays."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np

from rmspace._typing import Float64Array
from rmspace.text._columns import GrowingColumns, column_of, means_by_item
from rmspace.text._groups import PromptGroups, keys_of
from rmspace.text.records import Record, TextItem

_DEFAULTS: Mapping[str, Any] = {"weight": 1.0, "tie": False}  # of comparisons that lack these columns


class Collection:
    """Items without repeats, their groups and scores, and the comparisons, of records that are added one by one.

    Args:
        key: what is kept of an item or a prompt, such as a hash; equal ones have equal keys. None keeps the text.
    """

    def __init__(self, key: Callable[[Any], Hashable] | None = None) -> None:
        self._key = key
        self._places: dict[Any, int] = {}
        self._lengths: list[int] = []
        self._groups = PromptGroups()
        self._names: list[str] = []  # the id of the prompt of each record
        self._first: list[int] = []  # the first record with each item
        self._subsets: list[str] = []  # of that record
        self._pairs: list[tuple[int, int]] = []
        self._columns = GrowingColumns()
        self._rated: list[int] = []  # the item of each row of scores
        self._scores = GrowingColumns()

    def add(self, record: Record) -> None:
        """Add one record."""
        self._names.append(record.group_id)
        shared = keys_of(record, self._names[-1])
        number = self._groups.add(shared if self._key is None else map(self._key, shared))
        ids = [self._place(item) for item in record.items]
        n_new = len(self._places) - len(self._first)
        self._first += [number] * n_new
        self._subsets += [record.subset or ""] * n_new
        if record.scores:
            self._rated += ids
            for j in range(len(ids)):
                self._scores.add({name: float(values[j]) for name, values in record.scores.items()})
        subset = {} if record.subset is None else {"subset": record.subset}
        for pair in record.comparisons:
            self._pairs.append((ids[pair.winner], ids[pair.loser]))
            self._columns.add({**subset, **record.columns, **pair.columns})

    @property
    def keys(self) -> list[Any]:
        """The items, or their keys."""
        return list(self._places)

    def arrays(self) -> dict[str, Any]:
        """Return the arguments of `TextPreferences`, without the items."""
        lengths = {"length": np.array(self._lengths, dtype=np.int64)}
        return {
            "comparisons": np.array(self._pairs, dtype=np.int64).reshape(-1, 2),
            "groups": [self._names[self._groups.first_of(number)] for number in self._first],
            "columns": {n: column_of(self._columns[n], default=_DEFAULTS.get(n)) for n in self._columns},
            "features": lengths | {name: self._means(name) for name in self._scores},
            "subsets": self._subsets,
        }

    def _place(self, item: TextItem) -> int:
        key = item if self._key is None else self._key(item)
        place = self._places.setdefault(key, len(self._places))
        if place == len(self._lengths):
            self._lengths.append(len(item.response))
        return place

    def _means(self, name: str) -> Float64Array:
        values = np.array(self._scores[name], dtype=np.float64)
        return means_by_item(np.array(self._rated, dtype=np.int64), values, len(self._places))
