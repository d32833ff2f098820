"""Arrays in files: mapped for reading, read in blocks where they are used, and released afterwards."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

from rmspace._typing import FloatArray, IntArray

_BLOCK_BYTES = 1 << 24
_PAGE, _PAGES = 1 << 21, 16  # the system may map 2 MB around a row that is read; a block spans at most 16 such pages
_READ_ONLY = "these rows lie in a file and cannot be written to; numpy.asarray(rows) is a copy that can"


class MappedFile(mmap.mmap):
    """A file mapped for reading that remembers the state of the file at its opening."""

    _path: Path
    _was: tuple[int, int, int]

    def __new__(cls, path: Path) -> MappedFile:
        """Map the whole file."""
        with path.open("rb") as file:
            mapping = super().__new__(cls, file.fileno(), 0, access=mmap.ACCESS_READ)
            found = os.fstat(file.fileno())
        mapping._path, mapping._was = path.absolute(), (found.st_ino, found.st_size, found.st_mtime_ns)
        return mapping

    def check(self) -> None:
        """Raise RuntimeError where the file has changed: a read past the end of a shortened file kills the process.

        Where another file took the place of this one, nothing has changed: the old file is still mapped.
        """
        inode, size, _ = self._was
        found = self._path.stat() if self._path.exists() else None
        now = (inode, self.size(), found.st_mtime_ns if found and found.st_ino == inode else self._was[2])
        if now != self._was:
            raise RuntimeError(
                f"{self._path} changed after it was opened ({size:,} bytes then, {now[1]:,} now, time of change "
                f"{self._was[2]} and {now[2]}); what was read may come from two banks: open it again"
            )


def map_array(path: Path) -> npt.NDArray[Any]:
    """Map a `.npy` file of plain numbers as a read-only `numpy.memmap`; the errors are numpy's own."""
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    mapping = MappedFile(path)
    array: Any = np.ndarray.__new__(np.memmap, found.shape, found.dtype, mapping, found.offset, found.strides)
    array._mmap, array.filename, array.offset, array.mode = mapping, found.filename, found.offset, "r"
    return array


class Rows(NDArrayOperatorsMixin):
    """Some rows of an array in a file; each is read only when it is used.

    `rows[...]` with an integer, a slice, a mask or ids reads these rows and returns a numpy array.
    `numpy.asarray(rows)` reads all rows. Every other attribute, method and operator is that of the whole array.

    Args:
        table: (n, ...), mapped.
        ids: (n_rows,) rows of `table`.
    """

    def __init__(self, table: FloatArray, ids: IntArray) -> None:
        self.table, self.ids = table, ids
        self.shape = (len(ids), *table.shape[1:])
        self.dtype, self.ndim = table.dtype, table.ndim
        self.size = int(np.prod(self.shape))
        self.nbytes = self.size * table.itemsize

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Rows(shape={self.shape}, dtype={self.dtype})"

    def __getitem__(self, key: Any) -> Any:
        first, *rest = key if isinstance(key, tuple) and key else (key,)
        if first is Ellipsis or first is None or np.ndim(first) > 1:
            return np.asarray(self)[key]
        if isinstance(first, slice) and rest:
            return self.table[self.ids[first]][(slice(None), *rest)]
        return self.table[(self.ids[first], *rest)]

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError(_READ_ONLY)

    def __iter__(self) -> Iterator[FloatArray]:
        for _, block in blocks(self):
            yield from np.array(block)

    def __contains__(self, value: Any) -> bool:
        return value in np.asarray(self)

    def __bool__(self) -> bool:
        return bool(np.asarray(self))

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("these rows lie in a file, so an array of them is always a copy; leave out copy=False")
        whole = np.empty(self.shape, self.dtype if dtype is None else dtype)
        for part, block in blocks(self):
            whole[part] = block
        return whole

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if any(isinstance(value, Rows) for value in options.get("out", ())):
            raise TypeError(_READ_ONLY)
        arrays = [np.asarray(value) if isinstance(value, Rows) else value for value in inputs]
        return getattr(ufunc, method)(*arrays, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"Rows, like arrays, have no {name}")
        return getattr(np.asarray(self), name)

    def __reduce__(self) -> Any:
        return np.asarray, (np.asarray(self),)


def blocks(array: Any, ids: IntArray | None = None, *, size: int | None = None) -> Iterator[tuple[slice, FloatArray]]:
    """Yield (part, rows) for an array, `Rows`, or a choice `ids` of either, one block at a time.

    Of a mapped array only the pages of these rows are read. The pages of the next block are read while the caller uses
    this one. The process releases the pages of each block after its use, so that its memory does not grow. A block of a
    slice is a view: copy the rows that you keep.

    Args:
        array: (n, ...).
        ids: rows to read; all when None.
        size: the most rows in a block; None makes blocks of 16 MB. Rows that lie far apart come in smaller blocks.

    Raises:
        RuntimeError: the file changed since it was opened.
    """
    if isinstance(array, Rows):
        array, ids = array.table, array.ids if ids is None else array.ids[ids]
    size = size or max(1, _BLOCK_BYTES // max(1, array[:1].nbytes))
    mapping, address = _mapping_of(array)
    parts = _parts(array, ids, size, apart=mapping is not None)
    ahead = _prefetch(mapping, array, address, parts[0], ids) if parts else []
    for part, following in zip_longest(parts, parts[1:]):
        now, ahead = ahead, [] if following is None else _prefetch(mapping, array, address, following, ids)
        yield part, array[part] if ids is None else array[ids[part]]
        _release(mapping, now)


def _parts(array: npt.NDArray[Any], ids: IntArray | None, size: int, *, apart: bool) -> list[slice]:
    """Cut a choice of rows into blocks of at most `size` rows; with `apart`, a block spans at most 16 large pages."""
    n = len(array) if ids is None else len(ids)
    if ids is None or not apart:
        return [slice(start, min(start + size, n)) for start in range(0, n, size)]
    pages = ids * array.strides[0] // _PAGE
    entered = np.cumsum(np.append(0, pages[1:] != pages[:-1]))[:n]  # how often the page has changed up to each row
    parts, start = [], 0
    while start < n:
        stop = min(start + size, int(np.searchsorted(entered, entered[start] + _PAGES)))
        parts.append(slice(start, stop))
        start = stop
    return parts


def choose(array: FloatArray, ids: IntArray) -> FloatArray:
    """Return some rows: of an array in memory a copy, of an array in a file `Rows`, which can be used like an array."""
    if isinstance(array, Rows):
        array, ids = array.table, array.ids[ids]
    return cast(FloatArray, Rows(array, ids)) if mapped(array) else array[ids]


def mapped(array: Any) -> bool:
    """Say whether an array's numbers lie in a file that was mapped for reading."""
    return isinstance(array, Rows) or _mapping_of(array)[0] is not None


def check_unchanged(array: Any) -> bool:
    """Say whether an array lies in a file that this library mapped; RuntimeError where that file has changed."""
    mapping, _ = _mapping_of(array.table if isinstance(array, Rows) else array)
    if not isinstance(mapping, MappedFile):
        return False
    mapping.check()
    return True


def _mapping_of(array: npt.NDArray[Any]) -> tuple[mmap.mmap | None, int]:
    """Return the read-only file mapping that holds an array's numbers, and its address; None and 0 without one.

    Only this library's mappings and `numpy.memmap(mode="r")` count: these are known to be read-only and of a file. To
    release a page of any other mapping may lose what was written to it.
    """
    base: Any = array
    read_only = False
    while isinstance(base, np.ndarray):
        read_only |= isinstance(base, np.memmap) and base.mode == "r" and isinstance(base.base, mmap.mmap)
        base = base.base
    if not (isinstance(base, MappedFile) or (read_only and isinstance(base, mmap.mmap))):
        return None, 0
    return (base, int(np.frombuffer(base, np.uint8).ctypes.data)) if hasattr(base, "madvise") else (None, 0)


def _prefetch(
    mapping: mmap.mmap | None, array: npt.NDArray[Any], address: int, part: slice, ids: IntArray | None
) -> list[tuple[int, int]]:
    """Ask the system to read the pages of some rows in the background; return them as (start, length)."""
    if mapping is None:
        return []
    if isinstance(mapping, MappedFile):
        mapping.check()
    if not array[:1].flags.c_contiguous or array.strides[0] <= 0:  # interleaved rows: the system guesses better
        return [(0, len(mapping))]
    row, stride = array[:1].nbytes, array.strides[0]
    rows = np.arange(part.start, part.stop) if ids is None else np.unique(ids[part] % len(array))
    starts = array.ctypes.data - address + rows * stride
    starts, ends = starts // mmap.PAGESIZE, -(-(starts + row) // mmap.PAGESIZE)
    first = np.flatnonzero(np.append(True, starts[1:] > ends[:-1]))
    starts, ends = starts[first], ends[np.append(first[1:], len(ends)) - 1]
    spans = list(zip((starts * mmap.PAGESIZE).tolist(), ((ends - starts) * mmap.PAGESIZE).tolist(), strict=True))
    _advise(mapping, "MADV_WILLNEED", spans)
    return spans


def _release(mapping: mmap.mmap | None, spans: list[tuple[int, int]]) -> None:
    """Release pages, and those between them, from the process; the system may keep them. Then check the file."""
    if mapping is not None:
        start, end = spans[0][0], sum(spans[-1])
        _advise(mapping, "MADV_DONTNEED", [(start, end - start)])
        if isinstance(mapping, MappedFile):
            mapping.check()


def _advise(mapping: mmap.mmap, advice: str, spans: list[tuple[int, int]]) -> None:
    if hasattr(mmap, advice):
        for start, length in spans:
            mapping.madvise(getattr(mmap, advice), start, min(length, len(mapping) - start))
