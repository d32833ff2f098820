"""Read, convert and bin the same items once for many fits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

import numpy as np

from rmspace._mapped import Rows, blocks, mapped
from rmspace._typing import FloatArray, IntArray

T = TypeVar("T")


class _Entry(NamedTuple):
    items: Any  # kept, so that its address is not given to another array
    place: Hashable
    content: str
    ids: IntArray
    value: Any


_entries: ContextVar[dict[str, _Entry] | None] = ContextVar("shared_items", default=None)


@contextmanager
def share_items() -> Iterator[None]:
    """Let the fits inside the block read, convert and bin items that they have in common once.

    An `MLPReward` keeps the rows of its comparisons and a `LightGBMReward` its binned features for the next fit on the
    same items: other labels, weights, seeds or objectives then cost no reading and no binning. What is kept is of the
    latest items alone, and is let go at the end of the block. Results do not change. `EnsembleReward` and `run` do
    this by themselves.

    >>> from rmspace import MLPReward, make_reward_world, same_prompt, annotate, oracle
    >>> train, _ = make_reward_world(50, 10, 4, 16, seed=0)
    >>> rng = np.random.default_rng(0)
    >>> comparisons = annotate(same_prompt(train, 100, rng), train.rewards, oracle, rng=rng)
    >>> with share_items():
    ...     models = [MLPReward(hidden_sizes=(8,), random_state=seed) for seed in range(3)]
    ...     models = [model.fit(train.items, comparisons, groups=train.groups) for model in models]
    """
    if _entries.get() is not None:  # an inner block shares with the outer one
        yield
        return
    token = _entries.set({})
    try:
        yield
    finally:
        _entries.reset(token)


def shared(
    kind: str,
    options: Hashable,
    items: FloatArray,
    ids: IntArray,
    make: Callable[[IntArray], T],
    *,
    within: IntArray | None = None,
) -> tuple[T, IntArray]:
    """Return what `make` makes of rows `ids` of `items`, and the ids it was made of; inside `share_items`, once.

    Args:
        kind: one value of each kind is kept, the latest.
        options: whatever else the value depends on.
        items: (n_items, dim).
        ids: rows of `items`; ascending, where `within` is given.
        make: makes the value of some rows.
        within: more rows, ascending, that include `ids`. The value is made of them where it is kept, and any kept
            value that includes `ids` will do.
    """
    entries = _entries.get()
    if entries is None:
        return make(ids), ids
    known = entries.get(kind)
    if known is not None:
        fits = np.array_equal(ids, known.ids) if within is None else np.isin(ids, known.ids, assume_unique=True).all()
        if fits and known.place == (_place(items), options) and known.content == _content(items, known.ids):
            return known.value, known.ids
        del entries[kind], known  # before the next is made, so that both are never held
    chosen = ids if within is None else within
    entries[kind] = _Entry(items, (_place(items), options), _content(items, chosen), chosen, make(chosen))
    return entries[kind].value, chosen


def _place(items: FloatArray) -> Hashable:
    """Name the memory or the mapped file that holds the items."""
    table, ids = (items.table, items.ids.tobytes()) if isinstance(items, Rows) else (items, b"")
    return table.ctypes.data, table.shape, table.strides, table.dtype.str, hashlib.sha256(ids).hexdigest()


def _content(items: FloatArray, ids: IntArray) -> str:
    """Name what rows in memory hold, since they may be written to between two fits; a mapped file may not."""
    digest = hashlib.sha256()
    if not mapped(items):
        for _, block in blocks(items, ids):
            digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()
