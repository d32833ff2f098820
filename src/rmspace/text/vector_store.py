"""Embeddings in a folder that only grows: rows, what each row is of, and a manifest that says what is committed."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rmspace._typing import FloatArray, IntArray
from rmspace.data.array_files import head_text, read_head
from rmspace.data.files import FolderKind
from rmspace.text import folder_lock

KIND = FolderKind("rmspace-embeddings", "manifest.json", "")
VERSION = 1
ROWS, INDEX = "embeddings.bin", "index.bin"
_ENTRY = np.dtype([("key", "S32"), ("notes", "u1")])  # the SHA-256 of an item, and its notes
_BLOCK = 1 << 24


@dataclass(frozen=True)
class Shard:
    """Rows that were committed together."""

    n: int
    rows_sha256: str
    index_sha256: str


@dataclass(frozen=True)
class Committed:
    """What the manifest says: everything else in the folder is the unfinished end of a run that was stopped."""

    encoder: Mapping[str, Any]
    dim: int
    dtype: np.dtype[Any]
    shards: tuple[Shard, ...] = ()

    @property
    def n(self) -> int:
        """Number of rows."""
        return sum(shard.n for shard in self.shards)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.dim * self.dtype.itemsize


def read_committed(folder: Path) -> Committed | None:
    """Read the manifest, and check the committed rows against its hashes; None where nothing is committed yet.

    Raises:
        FileExistsError: the folder holds other things.
        ValueError: a file is damaged, cut short, or of another version.
    """
    if not (folder / KIND.marker).exists():
        _check_ours(folder)
        return None
    head = read_head(folder, KIND, VERSION, {"encoder": dict, "dim": int, "dtype": str, "shards": list})
    try:
        shards = tuple(Shard(**shard) for shard in head["shards"])
        found = Committed(head["encoder"], head["dim"], np.dtype(head["dtype"]), shards)
        _check_hashes(folder / ROWS, [(shard.n * found.row_bytes, shard.rows_sha256) for shard in shards])
        _check_hashes(folder / INDEX, [(shard.n * _ENTRY.itemsize, shard.index_sha256) for shard in shards])
    except TypeError as error:
        raise ValueError(f"{folder / KIND.marker} is damaged ({error}); {_ADVICE}") from error
    return found


def read_index(folder: Path, committed: Committed) -> tuple[dict[bytes, int], IntArray]:
    """Return the row of each key, and the notes of each row."""
    index = np.fromfile(folder / INDEX, dtype=_ENTRY, count=committed.n)
    keys = index["key"].tobytes()
    places = {keys[32 * row : 32 * row + 32]: row for row in range(committed.n)}
    return places, index["notes"].astype(np.int64)


def map_rows(folder: Path, committed: Committed) -> FloatArray:
    """Map the committed rows (n, dim) for reading; rows that are added later do not change them."""
    return np.memmap(folder / ROWS, dtype=committed.dtype, mode="r", shape=(committed.n, committed.dim))


class Writer:
    """Appends shards to a folder, whose lock the caller holds.

    Args:
        folder: the folder.
        encoder: the description of the encoder.
        dtype: of the rows.
        committed: what `read_committed` found.
    """

    def __init__(
        self, folder: Path, encoder: Mapping[str, Any], dtype: np.dtype[Any], committed: Committed | None
    ) -> None:
        self.folder, self.committed = folder, committed
        self._encoder, self._dtype = encoder, dtype
        sizes = (0, 0) if committed is None else (committed.n * committed.row_bytes, committed.n * _ENTRY.itemsize)
        for name, size in zip((ROWS, INDEX), sizes, strict=True):
            with (folder / name).open("ab") as file:
                file.truncate(size)

    def append(self, keys: list[bytes], rows: FloatArray, notes: IntArray) -> None:
        """Commit a shard: after that, no stop of the process or the machine loses it.

        Raises:
            ValueError: rows of another length than those before.
            OverflowError: a number that does not fit the dtype.
            OSError: the disk is full, or cannot be written; what was committed stays.
        """
        stored = stored_as(rows, self._dtype)
        before = self.committed or Committed(self._encoder, rows.shape[1], self._dtype)
        if rows.shape[1] != before.dim:
            raise ValueError(f"the encoder gave {rows.shape[1]} numbers per text, and {before.dim} before")
        index = np.empty(len(keys), dtype=_ENTRY)
        index["key"], index["notes"] = keys, notes
        with _clear_when_full(self.folder, before.n):
            hashes = [
                _append(self.folder / n, data) for n, data in ((ROWS, stored.tobytes()), (INDEX, index.tobytes()))
            ]
            after = Committed(before.encoder, before.dim, before.dtype, (*before.shards, Shard(len(keys), *hashes)))
            _write_manifest(self.folder, after)
        self.committed = after


_ADVICE = "what it holds cannot be trusted: remove the folder, and embed again"


def stored_as(rows: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
    """Return rows in another dtype; OverflowError where a number does not fit."""
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(rows, dtype=dtype)
    if not np.isfinite(stored).all():
        raise OverflowError(
            f"embeddings must fit {dtype}; the largest is {np.abs(rows).max():g}: store them as float32"
        )
    return stored


def _append(path: Path, data: bytes) -> str:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(data).hexdigest()


def _write_manifest(folder: Path, committed: Committed) -> None:
    content = {
        "encoder": committed.encoder,
        "dim": committed.dim,
        "dtype": committed.dtype.name,
        "rows": committed.n,
        "shards": [vars(shard) for shard in committed.shards],
    }
    part = folder / "manifest.json.part"
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(head_text(KIND, VERSION, content))
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / KIND.marker)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _clear_when_full(folder: Path, n: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
        reason = "the disk is full, or the limit of a file's size is reached" if full else str(error.strerror)
        raise OSError(
            error.errno,
            f"{folder} could not be written: {reason}; {n:,} texts are committed and stay: free space, or correct the "
            "permissions, and run the same again",
        ) from error


def _check_ours(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is not a folder; choose another place for the embeddings")
    if foreign := sorted(names - {ROWS, INDEX, folder_lock.NAME, KIND.marker + ".part"}):
        raise FileExistsError(
            f"{folder} holds {', '.join(foreign[:3])} and no {KIND.marker}, so it is not a folder of embeddings; "
            "choose another one"
        )


def _check_hashes(path: Path, shards: list[tuple[int, str]]) -> None:
    needed, size = sum(n for n, _ in shards), path.stat().st_size if path.is_file() else 0
    if size < needed:
        raise ValueError(f"{path} is cut short ({size:,} bytes; {needed:,} are committed); {_ADVICE}")
    if not shards:
        return
    with path.open("rb") as file:
        for number, (n, expected) in enumerate(shards):
            if _hash_of(file, n) != expected:
                raise ValueError(f"{path} is damaged: shard {number} is not what was written; {_ADVICE}")


def _hash_of(file: Any, n: int) -> str:
    digest = hashlib.sha256()
    while n > 0 and (block := file.read(min(n, _BLOCK))):
        digest.update(block)
        n -= len(block)
    return digest.hexdigest()
