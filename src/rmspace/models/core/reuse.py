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
    items: Any  # kept, so that no other array gets its address
    place: Hashable
    content: str
    rows: IntArray
    value: Any


class _Kept(threading.local):
    """The values that the current thread keeps. No other thread may use them: LightGBM's bins hold labels, too."""

    entries: dict[str, _Entry] | None = None


_kept = _Kept()


@contextmanager
def reuse_items() -> Iterator[None]:
    """Let the fits inside the block share items, so that these are read, converted and binned only once.

    An `MLPReward` keeps the rows of its comparisons, and a `LightGBMReward` its binned features, for the next fit on
    the same items. Other labels, weights, seeds or objectives then need no reading and no binning. Only the latest rows
    and bins are kept, only in the thread of the block, and only until the block ends. Results do not change.
    `EnsembleReward`, `search`, `cross_validate` and `run` do this by themselves.

    >>> from rmspace import MLPReward, make_synthetic_banks, same_prompt, annotate, oracle
    >>> train, _ = make_synthetic_banks(50, 10, 4, 16, seed=0)
    >>> rng = np.random.default_rng(0)
    >>> comparisons = annotate(same_prompt(train, 100, rng), train.rewards, oracle, rng=rng)
    >>> with reuse_items():
    ...     models = [MLPReward(hidden_sizes=(8,), random_state=seed) for seed in range(3)]
    ...     models = [model.fit(train.items, comparisons, groups=train.groups) for model in models]
    """
    if _kept.entries is not None:  # an inner block uses the values of the outer one
        yield
        return
    entries: dict[str, _Entry] = {}
    _kept.entries = entries
    try:
        yield
    finally:
        entries.clear()
        _kept.entries = None


def reused(
    kind: str,
    options: Hashable,
    items: FloatArray,
    rows: IntArray,
    make: Callable[[IntArray], T],
    *,
    all_rows: IntArray | None = None,
) -> tuple[T, IntArray]:
    """Return `make(rows)` and the rows it was made of; inside `reuse_items`, reuse a value that an earlier fit made.

    Args:
        kind: the kind of value; the latest value of each kind is kept.
        options: everything else that the value depends on.
        items: (n_items, dim).
        rows: of `items`. They are ascending where `all_rows` is given.
        make: makes the value from some rows.
        all_rows: more rows, ascending, which include `rows`. The value is then made of all of them, so that it serves
            later fits as well, and any kept value whose rows include `rows` is taken.
    """
    entries = _kept.entries
    if entries is None:
        return make(rows), rows
    known = entries.get(kind)
    if known is not None:
        if _serves(known, (_place(items), options), items, rows, exactly=all_rows is None):
            return known.value, known.rows
        del entries[kind], known  # first, so that the old and the new are never held together
    chosen = rows if all_rows is None else all_rows
    try:
        value = make(chosen)
    except ValueError:  # perhaps because of a row that no comparison of this fit needs
        if chosen is rows:
            raise
        return make(rows), rows
    entries[kind] = _Entry(items, (_place(items), options), _content(items, chosen), chosen, value)
    return value, chosen


def _serves(known: _Entry, place: Hashable, items: FloatArray, rows: IntArray, *, exactly: bool) -> bool:
    """Say whether a kept value was made of these rows (or of more), and whether they still hold the same numbers."""
    has_rows = np.array_equal(rows, known.rows) if exactly else np.isin(rows, known.rows, assume_unique=True).all()
    return bool(has_rows) and known.place == place and known.content == _content(items, known.rows)


def _place(items: FloatArray) -> Hashable:
    """Return a key of the memory or the mapped file that holds the items."""
    table, ids = (items.table, items.ids.tobytes()) if isinstance(items, Rows) else (items, b"")
    return table.ctypes.data, table.shape, table.strides, table.dtype.str, hashlib.sha256(ids).hexdigest()


def _content(items: FloatArray, rows: IntArray) -> str:
    """Return a hash of the rows, which may change between two fits; `check_unchanged` watches files instead."""
    if check_unchanged(items):
        return "file"
    digest = hashlib.sha256()
    for _, block in blocks(items, rows):
        digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()
