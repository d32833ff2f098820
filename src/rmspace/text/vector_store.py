"""Embeddings in a folder that only grows: rows, what each row is of, and a manifest that says what is committed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rmspace._typing import FloatArray, IntArray
from rmspace.data.array_files import read_head
from rmspace.data.files import FolderKind
from rmspace.text.shards import ShardFolder

ROWS, INDEX = "embeddings.bin", "index.bin"
_FOLDER = ShardFolder(
    FolderKind("rmspace-embeddings", "manifest.json", ""), 1, (ROWS, INDEX), "embeddings", "texts", "embed again"
)
_ENTRY = np.dtype([("key", "S32"), ("notes", "u1")])  # the SHA-256 of an item, and its notes


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
    if not (folder / _FOLDER.kind.marker).exists():
        _FOLDER.check_ours(folder)
        return None
    head = read_head(folder, _FOLDER.kind, _FOLDER.version, {"encoder": dict, "dim": int, "dtype": str, "shards": list})
    try:
        shards = tuple(Shard(**shard) for shard in head["shards"])
        found = Committed(head["encoder"], head["dim"], np.dtype(head["dtype"]), shards)
        _FOLDER.check_hashes(folder / ROWS, [(shard.n * found.row_bytes, shard.rows_sha256) for shard in shards])
        _FOLDER.check_hashes(folder / INDEX, [(shard.n * _ENTRY.itemsize, shard.index_sha256) for shard in shards])
    except TypeError as error:
        raise ValueError(f"{folder / _FOLDER.kind.marker} is damaged ({error}); {_FOLDER.advice}") from error
    return found


def read_index(folder: Path, committed: Committed) -> tuple[dict[bytes, int], IntArray]:
    """Return the row of each key, and the notes of each row."""
    index = read_entries(folder, committed)
    keys = index["key"].tobytes()
    places = {keys[32 * row : 32 * row + 32]: row for row in range(committed.n)}
    return places, index["notes"].astype(np.int64)


def read_notes(folder: Path, committed: Committed) -> IntArray:
    """Return the notes of each row."""
    return read_entries(folder, committed)["notes"].astype(np.int64)


def read_entries(folder: Path, committed: Committed) -> npt.NDArray[Any]:
    """Return the "key" and the "notes" of each row."""
    return np.fromfile(folder / INDEX, dtype=_ENTRY, count=committed.n)


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
        _FOLDER.drop_unfinished(folder, sizes)

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
        with _FOLDER.clear_when_full(self.folder, before.n):
            hashes = _FOLDER.append(self.folder, [stored.tobytes(), index.tobytes()])
            after = Committed(before.encoder, before.dim, before.dtype, (*before.shards, Shard(len(keys), *hashes)))
            _write_manifest(self.folder, after)
        self.committed = after


def stored_as(rows: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
    """Return rows in another dtype; OverflowError where a number does not fit."""
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(rows, dtype=dtype)
    if not np.isfinite(stored).all():
        raise OverflowError(
            f"embeddings must fit {dtype}; the largest is {np.abs(rows).max():g}: store them as float32"
        )
    return stored


def _write_manifest(folder: Path, committed: Committed) -> None:
    content = {
        "encoder": committed.encoder,
        "dim": committed.dim,
        "dtype": committed.dtype.name,
        "rows": committed.n,
        "shards": [vars(shard) for shard in committed.shards],
    }
    _FOLDER.write_manifest(folder, content)
