"""Read, convert and bin the same items once for many fits."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import numpy as np

from rmspace._typing import FloatArray, IntArray
from rmspace.data.mapped import Rows, blocks, check_unchanged

T = TypeVar("T")


class _Entry(NamedTuple):
    items: Any  # kept, so that its address is not given to another array
    place: Hashable
    content: str
    ids: IntArray
    value: Any


class _Here(threading.local):
    """What the current thread shares; another thread that fitted to the same labels would change them under us."""

    entries: dict[str, _Entry] | None = None


_here = _Here()


@contextmanager
def reuse_items() -> Iterator[None]:
    """Let the fits inside the block read, convert and bin items that they have in common once.

    An `MLPReward` keeps the rows of its comparisons and a `LightGBMReward` its binned features for the next fit on the
    same items: other labels, weights, seeds or objectives then cost no reading and no binning. What is kept is of the
    latest items alone, in the thread of the block, and is let go at its end. Results do not change. `EnsembleReward`
    and `run` do this by themselves.

    >>> from rmspace import MLPReward, make_synthetic_banks, same_prompt, annotate, oracle
    >>> train, _ = make_synthetic_banks(50, 10, 4, 16, seed=0)
    >>> rng = np.random.default_rng(0)
    >>> comparisons = annotate(same_prompt(train, 100, rng), train.rewards, oracle, rng=rng)
    >>> with reuse_items():
    ...     models = [MLPReward(hidden_sizes=(8,), random_state=seed) for seed in range(3)]
    ...     models = [model.fit(train.items, comparisons, groups=train.groups) for model in models]
    """
    if _here.entries is not None:  # an inner block shares with the outer one
        yield
        return
    entries: dict[str, _Entry] = {}
    _here.entries = entries
    try:
        yield
    finally:
        entries.clear()
        _here.entries = None


def shared(
    kind: str,
    options: Hashable,
    items: FloatArray,
    ids: IntArray,
    make: Callable[[IntArray], T],
    *,
    within: IntArray | None = None,
) -> tuple[T, IntArray]:
    """Return what `make` makes of rows `ids` of `items`, and the ids it was made of; inside `reuse_items`, once.

    Args:
        kind: one value of each kind is kept, the latest.
        options: whatever else the value depends on.
        items: (n_items, dim).
        ids: rows of `items`; ascending, where `within` is given.
        make: makes the value of some rows.
        within: more rows, ascending, that include `ids`. The value is made of them where it is kept, and any kept
            value that includes `ids` will do.
    """
    entries = _here.entries
    if entries is None:
        return make(ids), ids
    known = entries.get(kind)
    if known is not None:
        fits = np.array_equal(ids, known.ids) if within is None else np.isin(ids, known.ids, assume_unique=True).all()
        if fits and known.place == (_place(items), options) and known.content == _content(items, known.ids):
            return known.value, known.ids
        del entries[kind], known  # before the next is made, so that both are never held
    chosen = ids if within is None else within
    try:
        value = make(chosen)
    except ValueError:  # of rows that no comparison needs, perhaps
        if chosen is ids:
            raise
        return make(ids), ids
    entries[kind] = _Entry(items, (_place(items), options), _content(items, chosen), chosen, value)
    return value, chosen


def _place(items: FloatArray) -> Hashable:
    """Name the memory or the mapped file that holds the items."""
    table, ids = (items.table, items.ids.tobytes()) if isinstance(items, Rows) else (items, b"")
    return table.ctypes.data, table.shape, table.strides, table.dtype.str, hashlib.sha256(ids).hexdigest()


def _content(items: FloatArray, ids: IntArray) -> str:
    """Name what rows hold, since they may be written to between two fits; a file that we mapped tells by itself."""
    if check_unchanged(items):
        return "file"
    digest = hashlib.sha256()
    for _, block in blocks(items, ids):
        digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()
