"""Comparisons from scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rmspace._typing import Float64Array, IntArray
from rmspace.text.records import TextItem, digest


def pairs_by_score(items: Sequence[TextItem], scores: Float64Array, *, ties: bool) -> tuple[IntArray, Float64Array]:
    """Return comparisons of the items of one prompt, the higher score first, and the differences.

    Items with the score NaN are in none. With equal scores, which `ties` keeps, the earlier item is first.

    >>> from rmspace.text.records import items_of
    >>> pairs_by_score(items_of("2 + 2?", ["4", "5"]), np.array([0.0, 2.0]), ties=False)
    (array([[1, 0]]), array([2.]))
    """
    rated = ~np.isnan(scores)
    by_prompt: dict[str, list[int]] = {}  # by hashes, because the items may be too many to hold their texts
    for place, item in enumerate(items):
        if rated[place] and item.prompt:
            by_prompt.setdefault(digest(item.prompt), []).append(place)
    parts = [_all_pairs(np.array(places)) for places in by_prompt.values() if len(places) > 1]
    pairs = np.concatenate([np.empty((0, 2), dtype=np.int64), *parts])
    gap = scores[pairs[:, 0]] - scores[pairs[:, 1]]
    pairs = np.where((gap < 0)[:, None], pairs[:, ::-1], pairs)
    kept = np.full(len(gap), True) if ties else gap != 0
    return pairs[kept], np.abs(gap[kept])


def _all_pairs(places: IntArray) -> IntArray:
    first, second = np.triu_indices(len(places), k=1)
    return np.column_stack([places[first], places[second]])
