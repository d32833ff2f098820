"""Comparisons from scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rmspace._typing import Float64Array, IntArray
from rmspace.text.records import TextItem


def pairs_by_score(items: Sequence[TextItem], scores: Float64Array, *, ties: bool) -> tuple[IntArray, Float64Array]:
    """Return comparisons of the items of one prompt, the higher score first, and the differences.

    Items with the score NaN are in none. With equal scores, which `ties` keeps, the earlier item is first.

    >>> from rmspace.text.records import items_of
    >>> pairs_by_score(items_of("2 + 2?", ["4", "5"]), np.array([0.0, 2.0]), ties=False)
    (array([[1, 0]]), array([2.]))
    """
    by_prompt: dict[object, list[int]] = {}
    for place in np.flatnonzero(~np.isnan(scores)).tolist():
        by_prompt.setdefault(items[place].prompt, []).append(place)
    parts = [_all_pairs(np.array(places)) for prompt, places in by_prompt.items() if prompt and len(places) > 1]
    pairs = np.concatenate([np.empty((0, 2), dtype=np.int64), *parts])
    gap = scores[pairs[:, 0]] - scores[pairs[:, 1]]
    pairs = np.where((gap < 0)[:, None], pairs[:, ::-1], pairs)
    kept = np.full(len(gap), True) if ties else gap != 0
    return pairs[kept], np.abs(gap[kept])


def _all_pairs(places: IntArray) -> IntArray:
    first, second = np.triu_indices(len(places), k=1)
    return np.column_stack([places[first], places[second]])
