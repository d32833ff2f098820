"""From texts to embeddings: each text once, and in a folder that a stopped run goes on with."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from tqdm import tqdm

from rmspace._checks import check_int
from rmspace._typing import FloatArray, IntArray, PathLike
from rmspace.data.mapped import choose
from rmspace.data.preferences import Preferences
from rmspace.kinds import Encoder
from rmspace.text._bad_item import BadItem
from rmspace.text.descriptions import check_same
from rmspace.text.file_items import FileItems, key_of
from rmspace.text.folder_lock import folder_lock
from rmspace.text.notes import count_notes, say_notes
from rmspace.text.preferences import TextPreferences
from rmspace.text.records import TextItem
from rmspace.text.vector_store import Committed, Writer, map_rows, read_committed, read_index, stored_as

__all__ = ["embed"]


@overload
def embed(
    data: TextPreferences,
    encoder: Encoder,
    *,
    out: PathLike | None = ...,
    dtype: Literal["float32", "float16"] = ...,
    shard: int = ...,
    progress: bool | None = ...,
) -> Preferences: ...
@overload
def embed(
    data: Sequence[TextItem],
    encoder: Encoder,
    *,
    out: PathLike | None = ...,
    dtype: Literal["float32", "float16"] = ...,
    shard: int = ...,
    progress: bool | None = ...,
) -> FloatArray: ...
def embed(
    data: TextPreferences | Sequence[TextItem],
    encoder: Encoder,
    *,
    out: PathLike | None = None,
    dtype: Literal["float32", "float16"] = "float32",
    shard: int = 1024,
    progress: bool | None = True,
) -> Preferences | FloatArray:
    """Embed texts: preferences become `Preferences`, and a list of items an array (n_items, dim).

    Equal texts are embedded once. With `out`, the embeddings are in a folder, and memory-mapped. A run that was stopped
    at any moment goes on there, and loses at most the shard in hand. Texts that the folder holds already are not
    embedded again, so more data can be added. What was cut or replaced is counted, in a warning and in
    `metadata["embedding"]`.

    Args:
        data: what `read_preferences` returns, or items.
        encoder: `describe` says what the embeddings depend on, and `encode` makes them.
        out: the folder; None keeps the embeddings in memory.
        dtype: of the embeddings.
        shard: number of texts that are committed together.
        progress: show a bar with the rate and the time left; None shows it on a terminal only.

    Raises:
        ValueError: the folder was made by another encoder, or is damaged; embeddings that are not finite (n, dim);
            preferences without a comparison.
        BlockingIOError: another process writes to the folder.
        FileExistsError: `out` holds something else.
        OSError: the disk is full; what was committed stays.

    >>> from rmspace.text import FunctionEncoder, records
    >>> items = records.items_of("Name a fruit.", ["apple", "fig", "apple"])
    >>> lengths = FunctionEncoder(lambda texts: np.array([[len(text)] for text in texts]), name="length")
    >>> embed(items, lengths, progress=False).ravel().tolist()
    [20.0, 18.0, 20.0]
    """
    if not isinstance(data, TextPreferences):
        return embed_items(data, encoder, out=out, dtype=dtype, shard=shard, progress=progress)[0]
    data.check_comparisons()
    embeddings, about = embed_items(data.items, encoder, out=out, dtype=dtype, shard=shard, progress=progress)
    found = data.with_embeddings(embeddings)
    found.metadata |= about
    return found


def embed_items(
    items: Sequence[TextItem],
    encoder: Encoder,
    *,
    out: PathLike | None,
    dtype: Literal["float32", "float16"],
    shard: int = 1024,
    progress: bool | None = None,
) -> tuple[FloatArray, dict[str, Any]]:
    """Return the embeddings of items (n, dim), and what metadata says of them; the arguments are those of `embed`."""
    check_int("shard", shard, low=1)
    if dtype not in ("float32", "float16"):
        raise ValueError(f"dtype must be 'float32' or 'float16'; got {dtype!r}")
    if not len(items):
        raise ValueError("there must be at least one text to embed; got none")
    keys = list(items.keys if isinstance(items, FileItems) else map(key_of, items))
    job = _Job(items, keys, encoder, dict(encoder.describe()), np.dtype(dtype), shard, progress)
    embeddings, notes = _in_memory(job) if out is None else _in_folder(job, Path(out))
    if said := say_notes(notes):
        warnings.warn(said, stacklevel=3)
    return embeddings, {"encoder": job.description, "embedding": count_notes(notes)}


class _Job(NamedTuple):
    items: Sequence[TextItem]
    keys: list[bytes]
    encoder: Encoder
    description: Mapping[str, Any]
    dtype: np.dtype[Any]
    shard: int
    progress: bool | None


def _in_memory(job: _Job) -> tuple[FloatArray, IntArray]:
    """Return the embeddings (n, dim) and notes (n,) of all items."""
    parts = list(_encode(job, known={}))
    embeddings = np.concatenate([stored_as(rows, job.dtype) for _, rows, _ in parts])
    notes = np.concatenate([notes for *_, notes in parts])
    places = {key: k for k, key in enumerate(key for keys, *_ in parts for key in keys)}
    ids = np.array([places[key] for key in job.keys])
    return embeddings[ids], notes[ids]


def _in_folder(job: _Job, folder: Path) -> tuple[FloatArray, IntArray]:
    """Return the embeddings (n, dim), mapped, and the notes (n,) of all items; embed those that are missing."""
    found = _open(job, folder)
    if found is None or not set(job.keys) <= found[1].keys():
        folder.mkdir(parents=True, exist_ok=True)
        with folder_lock(folder):
            found = _open(job, folder)  # another process may have written since
            writer = Writer(folder, job.description, job.dtype, found and found[0])
            for keys, rows, notes in _encode(job, known=found[1] if found else {}):
                writer.append(keys, rows, notes)
        assert writer.committed is not None
        found = writer.committed, *read_index(folder, writer.committed)
    committed, places, notes = found
    ids = np.array([places[key] for key in job.keys])
    return choose(map_rows(folder, committed), ids), notes[ids]


def _open(job: _Job, folder: Path) -> tuple[Committed, dict[bytes, int], IntArray] | None:
    """Return what a folder holds; None where it holds nothing yet."""
    committed = read_committed(folder)
    if committed is None:
        return None
    check_same(str(folder), committed.encoder, job.description)
    if committed.dtype != job.dtype:
        raise ValueError(f"{folder} holds {committed.dtype} and not {job.dtype}; use dtype={committed.dtype.name!r}")
    return committed, *read_index(folder, committed)


def _encode(job: _Job, known: Mapping[bytes, int]) -> Iterator[tuple[list[bytes], FloatArray, IntArray]]:
    """Yield (keys, rows, notes) of the texts that are not known, one shard at a time, each text once."""
    missing = {key: k for k, key in reversed(list(enumerate(job.keys))) if key not in known}
    chosen = sorted(missing.values())
    wanted, dim = set(chosen), None
    items = (item for k, item in enumerate(job.items) if k in wanted)
    with _bar(len(chosen), job.progress) as done:
        for start in range(0, len(chosen), job.shard):
            part = chosen[start : start + job.shard]
            rows, notes = encode_shard(job.encoder, list(islice(items, len(part))), part, done)
            if dim not in (None, rows.shape[1]):
                raise ValueError(f"the encoder gave {rows.shape[1]} numbers per text, and {dim} before")
            dim = rows.shape[1]
            yield [job.keys[k] for k in part], rows, notes


def encode_shard(
    encoder: Encoder, items: list[TextItem], places: list[int], done: Callable[[int], object]
) -> tuple[FloatArray, IntArray]:
    """Return the embeddings (n, dim) and the notes (n,) of some items; `places` are their numbers in messages.

    Raises:
        ValueError: an item that cannot be embedded, or embeddings that are not finite (n, dim).
    """
    noted = getattr(encoder, "encode_noted", None)
    try:
        if noted is not None:
            rows, notes = noted(items, done)
        else:
            rows, notes = np.asarray(encoder.encode(items)), np.zeros(len(items), dtype=np.int64)
            done(len(items))
    except BadItem as error:
        raise BadItem(places[error.place], error.rule) from error
    if rows.ndim != 2 or len(rows) != len(items) or rows.shape[1] == 0 or rows.dtype.kind not in "fiu":
        raise ValueError(f"an encoder must return numbers ({len(items)}, dim); got {rows.dtype} of shape {rows.shape}")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise ValueError(f"embeddings must be finite; those of item {places[bad[0]]} are not ({len(bad)} in the shard)")
    return rows, notes


@contextmanager
def _bar(n: int, progress: bool | None) -> Iterator[Callable[[int], object]]:
    shown = progress if n else False
    with tqdm(total=n, desc="embed", unit=" texts", disable=None if shown is None else not shown) as bar:
        yield bar.update
