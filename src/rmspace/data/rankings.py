"""Rankings of several items as comparisons: choices of one item from those that are left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rmspace._checks import as_array, as_int64, check_int, describe
from rmspace._typing import IntArray


def choices_of(rankings: Sequence[Sequence[int]], *, top_k: int | None = None) -> tuple[IntArray, dict[str, IntArray]]:
    """Return the choices of rankings as comparisons, for the objective `plackett_luce`.

    A ranking of n items is n - 1 choices: its best item from all n, the next from the other n - 1, and so on. Each
    choice is one comparison of the taken item with each item that was left.

    Args:
        rankings: item ids, best first, at least two in each; they may differ in length.
        top_k: only the order of the first `top_k` items of each ranking counts; the others share the last place.

    Returns:
        Comparisons, int64 (n_comparisons, 2), and the columns `choice` and `n_alternatives`, for `Preferences`.

    Raises:
        ValueError: a ranking with fewer than two items, or with an item twice.

    >>> comparisons, columns = choices_of([[7, 3, 5], [1, 2]])
    >>> comparisons.tolist(), columns["choice"].tolist()
    ([[7, 3], [7, 5], [3, 5], [1, 2]], [0, 0, 1, 2])
    >>> choices_of([[7, 3, 5], [1, 2]], top_k=1)[0].tolist()
    [[7, 3], [7, 5], [1, 2]]
    """
    top = None if top_k is None else check_int("top_k", top_k, low=1)
    parts = [(ranking, place) for ranking in map(_checked, *_numbered(rankings)) for place in _places(ranking, top)]
    sizes = np.array([len(ranking) - 1 - place for ranking, place in parts])
    comparisons = np.concatenate(
        [np.stack([np.full(len(r) - 1 - place, r[place]), r[place + 1 :]], axis=1) for r, place in parts]
    )
    return comparisons, {"choice": np.repeat(np.arange(len(parts)), sizes), "n_alternatives": np.repeat(sizes, sizes)}


def _numbered(rankings: Sequence[Sequence[int]]) -> tuple[Sequence[Sequence[int]], range]:
    if len(rankings) == 0:
        raise ValueError("rankings must hold at least one ranking; got none")
    return rankings, range(len(rankings))


def _places(ranking: IntArray, top: int | None) -> range:
    return range(len(ranking) - 1 if top is None else min(top, len(ranking) - 1))


def _checked(ranking: Sequence[int], number: int) -> IntArray:
    array = as_array(f"ranking {number}", ranking)
    if array.ndim != 1 or len(array) < 2 or array.dtype.kind not in "iu":
        raise ValueError(f"ranking {number} must be at least two item ids, best first; got {describe(array)}")
    if len(np.unique(array)) < len(array):
        raise ValueError(f"ranking {number} must hold each item once; got {array.tolist()}")
    return as_int64(f"ranking {number}", array)
