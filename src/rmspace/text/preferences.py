"""Preferences as text: items, and comparisons of them, before anything is embedded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmspace._typing import FloatArray, IntArray
from rmspace.data.arrays import check_groups, check_pairs, check_selection
from rmspace.data.preferences import Preferences
from rmspace.text.records import Record, TextItem, digest

__all__ = ["TextPreferences"]


class TextPreferences:
    """Items as text, and comparisons of them: what `read_preferences` returns and `embed` takes.

    It has the columns, features and groups of `Preferences`; only the items are texts instead of embeddings.

    Args:
        items: one `TextItem` per item, without repeats.
        comparisons: int64 (n_comparisons, 2), places in `items`; the item in column 0 won. None may be there.
        groups: (n_items,) the prompt of each item.
        columns: what is known of each comparison by name, each (n_comparisons,).
        features: numbers per item by name, each (n_items,), NaN where unknown; "length", the characters of the
            response, is always there.
        metadata: anything that JSON can hold: source, licence.
        left_out: what was not read, and why: columns file, line, reason.

    >>> from rmspace.text import Comparison, Record, records
    >>> item = records.items_of("2 + 2?", ["4", "5"])
    >>> data = TextPreferences.from_records([Record(item, [Comparison(0, 1)])])
    >>> data
    TextPreferences(n_comparisons=1, n_items=2, n_prompts=1, columns=[], features=['length'])
    >>> data.with_embeddings(np.eye(2, dtype=np.float32)).comparisons.tolist()
    [[0, 1]]
    """

    def __init__(
        self,
        items: Sequence[TextItem],
        comparisons: npt.ArrayLike,
        groups: npt.ArrayLike,
        *,
        columns: Mapping[str, npt.ArrayLike] | None = None,
        features: Mapping[str, npt.ArrayLike] | None = None,
        metadata: Mapping[str, Any] | None = None,
        left_out: pd.DataFrame | None = None,
    ) -> None:
        self.items = tuple(items)
        self.comparisons: IntArray = check_pairs("comparisons", comparisons, len(self.items))
        self.groups = check_groups(groups, len(self.items))
        self.columns = {name: np.asarray(value) for name, value in (columns or {}).items()}
        self.features = {"length": np.array([len(item.response) for item in self.items], dtype=np.int64)}
        self.features |= {name: np.asarray(value) for name, value in (features or {}).items()}
        self.metadata = dict(metadata or {})
        self.left_out = pd.DataFrame(columns=["file", "line", "reason"]) if left_out is None else left_out

    def __repr__(self) -> str:
        return (
            f"TextPreferences(n_comparisons={len(self)}, n_items={len(self.items)}, "
            f"n_prompts={len(np.unique(self.groups))}, columns={sorted(self.columns)}, "
            f"features={sorted(self.features)})"
        )

    def __len__(self) -> int:
        return len(self.comparisons)

    def __getitem__(self, chosen: int | slice | npt.ArrayLike) -> TextPreferences:
        """Return some comparisons, by row, slice, rows or mask, with the items that they need and no others."""
        rows = check_selection(chosen, len(self), "comparison")
        ids, local = np.unique(self.comparisons[rows], return_inverse=True)
        return TextPreferences(
            [self.items[i] for i in ids],
            local.reshape(-1, 2),
            self.groups[ids],
            columns={name: value[rows] for name, value in self.columns.items()},
            features={name: value[ids] for name, value in self.features.items()},
            metadata=self.metadata,
            left_out=self.left_out,
        )

    def with_embeddings(self, embeddings: FloatArray) -> Preferences:
        """Return the preferences with one row of `embeddings` (n_items, dim) per item."""
        return Preferences(
            embeddings,
            self.comparisons,
            self.groups,
            columns=self.columns,
            features=self.features,
            metadata=self.metadata,
        )

    @classmethod
    def from_records(
        cls,
        records: Iterable[Record],
        *,
        metadata: Mapping[str, Any] | None = None,
        left_out: pd.DataFrame | None = None,
    ) -> TextPreferences:
        """Collect records; equal items become one, and equal prompts one group."""
        places: dict[TextItem, int] = {}
        groups: dict[int, str] = {}
        pairs: list[tuple[int, int]] = []
        known: list[dict[str, Any]] = []
        scores: list[tuple[int, Mapping[str, float]]] = []
        prompt_groups: dict[str, str] = {}
        for record in records:
            ids = [places.setdefault(item, len(places)) for item in record.items]
            for place, item in zip(ids, record.items, strict=True):
                groups.setdefault(place, prompt_groups.setdefault(digest(item.prompt), record.group_id))
            scores += [(p, {k: v[j] for k, v in record.scores.items()}) for j, p in enumerate(ids)]
            for comparison in record.comparisons:
                pairs.append((ids[comparison.winner], ids[comparison.loser]))
                subset = {} if record.subset is None else {"subset": record.subset}
                known.append({**subset, **record.columns, **comparison.columns})
        table, rated = pd.DataFrame(known), pd.DataFrame([row for _, row in scores], index=[p for p, _ in scores])
        means = rated.groupby(level=0).mean().reindex(range(len(places)))
        return cls(
            list(places),
            np.array(pairs, dtype=np.int64).reshape(-1, 2),
            [groups[k] for k in range(len(places))],
            columns={str(name): table[name].to_numpy() for name in table},
            features={str(name): means[name].to_numpy() for name in means},
            metadata=metadata,
            left_out=left_out,
        )
