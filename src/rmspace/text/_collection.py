"""Records put together as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rmspace._typing import Float64Array
from rmspace.text._columns import GrowingColumns, column_of, means_by_item
from rmspace.text._groups import PromptGroups, keys_of
from rmspace.text.records import Record, TextItem

_DEFAULTS: Mapping[str, Any] = {"weight": 1.0, "tie": False}  # of comparisons that lack these columns


class Collection:
    """Items without repeats, their groups and scores, and the comparisons, of records that are added one by one."""

    def __init__(self) -> None:
        self._places: dict[TextItem, int] = {}
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
        number = self._groups.add(keys_of(record, self._names[-1]))
        ids = [self._places.setdefault(item, len(self._places)) for item in record.items]
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

    def arrays(self) -> dict[str, Any]:
        """Return the arguments of `TextPreferences`."""
        return {
            "items": list(self._places),
            "comparisons": np.array(self._pairs, dtype=np.int64).reshape(-1, 2),
            "groups": [self._names[self._groups.first_of(number)] for number in self._first],
            "columns": {n: column_of(self._columns[n], default=_DEFAULTS.get(n)) for n in self._columns},
            "features": {name: self._means(name) for name in self._scores},
            "subsets": self._subsets,
        }

    def _means(self, name: str) -> Float64Array:
        values = np.array(self._scores[name], dtype=np.float64)
        return means_by_item(np.array(self._rated, dtype=np.int64), values, len(self._places))
