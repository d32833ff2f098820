"""Preferences as text: items, and comparisons of them, before anything is embedded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmspace._checks import describe
from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.data.arrays import check_groups, check_pairs, check_selection
from rmspace.data.preferences import Preferences
from rmspace.text._collection import Collection
from rmspace.text._score_pairs import pairs_by_score
from rmspace.text.file_items import FileItems, key_of, take
from rmspace.text.records import Record, TextItem

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
        subsets: (n_items,) the part of the source of each item as text, "" where it has none.
        metadata: anything that JSON can hold: source, licence.
        left_out: what was not read, and why: columns file, line, reason.

    Raises:
        ValueError: no item; comparisons that are not of two different items; arrays of another length.

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
        subsets: npt.ArrayLike | None = None,
        left_out: pd.DataFrame | None = None,
    ) -> None:
        self.items: Sequence[TextItem] = items if isinstance(items, FileItems) else tuple(items)
        if not len(self.items):
            raise ValueError("preferences must have at least one item; got none")
        pairs = np.asarray(comparisons)
        self.comparisons: IntArray = (
            check_pairs("comparisons", pairs, len(self.items)) if pairs.size else np.empty((0, 2), dtype=np.int64)
        )
        self.groups = check_groups(groups, len(self.items))
        self.columns = _checked("column", columns, len(self.comparisons))
        lengths = {} if "length" in (features or {}) else {"length": [len(item.response) for item in self.items]}
        self.features = _checked("feature", {**lengths, **(features or {})}, len(self.items))
        self.subsets = np.asarray([""] * len(self.items) if subsets is None else subsets, dtype=str)
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
            take(self.items, ids),
            local.reshape(-1, 2),
            self.groups[ids],
            columns={name: value[rows] for name, value in self.columns.items()},
            features={name: value[ids] for name, value in self.features.items()},
            subsets=self.subsets[ids],
            metadata=self.metadata,
            left_out=self.left_out,
        )

    def compare_scores(self, name: str, *, ties: bool = False) -> TextPreferences:
        """Return the same items with other comparisons: all pairs of responses to one prompt whose scores differ.

        The higher score wins, and the column margin has the difference. Unrated responses (NaN) are in no comparison.
        A prompt with n rated responses gives up to n (n - 1) / 2 comparisons.

        Args:
            name: one of the features, such as a rating; all but "length" come from the source.
            ties: also keep pairs with equal scores, marked in the column tie.

        Raises:
            ValueError: no such feature; no pair.

        >>> from rmspace.text.records import items_of
        >>> rated = Record(items_of("2 + 2?", ["4", "5", "four"]), scores={"right": [1.0, 0.0, 1.0]})
        >>> data = TextPreferences.from_records([rated]).compare_scores("right")
        >>> data.comparisons.tolist(), data.columns["margin"].tolist()
        ([[0, 1], [2, 1]], [1.0, 1.0])
        """
        comparisons, margin = pairs_by_score(self.items, self._feature(name), ties=ties)
        if not len(comparisons):
            raise ValueError(f"no two responses to one prompt have different {name!r}, so there is nothing to compare")
        columns: dict[str, npt.ArrayLike] = {"margin": margin} | ({"tie": margin == 0} if ties else {})
        if (self.subsets != "").any():
            columns["subset"] = self.subsets[comparisons[:, 0]]
        return TextPreferences(
            self.items,
            comparisons,
            self.groups,
            columns=columns,
            features=self.features,
            subsets=self.subsets,
            metadata=self.metadata | {"score": name},
            left_out=self.left_out,
        )

    def health(self) -> pd.DataFrame:
        """Return a table of findings about the texts, empty when all is well; see `rmspace.text.text_health`.

        >>> from rmspace.text.records import Comparison, items_of
        >>> items = items_of("2 + 2?", ["4", ""])
        >>> data = TextPreferences.from_records([Record(items, [Comparison(0, 1), Comparison(1, 0)])])
        >>> data.health()[["check", "n_found"]].values.tolist()
        [['contradictions', 2], ['empty_responses', 1]]
        """
        from rmspace.text.text_health import findings

        return findings(self)

    def with_embeddings(self, embeddings: FloatArray) -> Preferences:
        """Return the preferences with one row of `embeddings` (n_items, dim) per item.

        Raises:
            ValueError: no comparisons; `to_bank` and `compare_scores` use texts without any.
        """
        self.check_comparisons()
        return Preferences(
            embeddings,
            self.comparisons,
            self.groups,
            columns=self.columns,
            features=self.features,
            metadata=self.metadata,
        )

    def check_comparisons(self) -> None:
        """Raise ValueError where nobody compared anything; call it before long work that needs comparisons."""
        if not len(self):
            scores = ", ".join(sorted(set(self.features) - {"length"}))
            advice = f"compare_scores(name) makes them from a score: {scores}" if scores else "the source has no scores"
            raise ValueError(f"these preferences have {len(self.items)} items and no comparisons; {advice}")

    def _feature(self, name: str) -> Float64Array:
        if name not in self.features:
            there = ", ".join(sorted(self.features))
            raise ValueError(f"no score {name!r}; the items have {there}")
        return np.asarray(self.features[name], dtype=np.float64)

    @classmethod
    def from_records(
        cls,
        records: Iterable[Record],
        *,
        again: Callable[[], Iterable[Record]] | None = None,
        metadata: Mapping[str, Any] | None = None,
        left_out: pd.DataFrame | None = None,
    ) -> TextPreferences:
        """Collect records, in one pass over them.

        Equal items become one, with the mean of their scores. Equal prompts are one group, and so are the prompts of
        one record, and those with one id. A value that a comparison lacks is NaN among numbers, "" among texts, 1 in
        the column weight and False in the column tie.

        Args:
            records: the records.
            again: reads the same records again. The texts are then not kept, and read where they are used.
            metadata, left_out: as in `TextPreferences`.

        Raises:
            ValueError: no record.
        """
        found = Collection(None if again is None else key_of)
        for record in records:
            found.add(record)
        items = found.keys if again is None else FileItems(again, found.keys)
        return cls(items, **found.arrays(), metadata=metadata, left_out=left_out)


def _checked(noun: str, values: Mapping[str, npt.ArrayLike] | None, n: int) -> dict[str, npt.NDArray[Any]]:
    arrays = {name: np.asarray(value) for name, value in (values or {}).items()}
    for name, array in arrays.items():
        if array.shape != (n,):
            raise ValueError(f"{noun} {name!r} must have {n} values, one each; got {describe(array)}")
    return arrays
