"""The fourth step of a build: embeddings of the responses, one row each, in their order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rmspace._typing import FloatArray, IntArray
from rmspace.data.files import clear_when_full
from rmspace.data.progress import progress
from rmspace.kinds import Encoder
from rmspace.text.embedding import encode_shard
from rmspace.text.line_store import LineStore
from rmspace.text.notes import count_notes, say_notes
from rmspace.text.pipeline.earlier import EarlierEmbeddings
from rmspace.text.pipeline.responses import groups_of
from rmspace.text.pipeline.step import Say, step_folder
from rmspace.text.records import TextItem, digest
from rmspace.text.vector_store import Writer, map_rows, read_committed, read_notes


class Embedded(NamedTuple):
    """The rows of all responses, mapped, and how many texts were cut or changed."""

    rows: FloatArray
    notes: Mapping[str, int]


def embeddings_step(
    out: Path,
    responses: LineStore,
    encoder: Encoder,
    dtype: str,
    sources: Mapping[str, str],
    say: Say,
    show: bool | None,
) -> Embedded:
    """Embed the responses, with the very texts that the golds got; one shard for each shard of responses.

    Embeddings of the same texts that an earlier build made in the same folder are taken over.

    Raises:
        ValueError: an item that cannot be embedded, or embeddings that are not finite (n, dim).
        OSError: the disk is full; what was committed stays.
    """
    description = {**encoder.describe(), **({"sources": dict(sources)} if sources else {})}
    options = {"input": responses.fingerprint(), "encoder": description, "dtype": dtype}
    writer = _writer(step_folder(out, "embed", options, say), description, dtype)
    done = 0 if writer.committed is None else len(writer.committed.shards)
    all_done = done == sum(shard.n[0] > 0 for shard in responses.shards)
    earlier = None if all_done else EarlierEmbeddings(writer.folder, description, dtype)
    for part in progress(responses.parts(start=done), "embeddings", show=show):
        items = [item for group in groups_of(part) for item in group]
        start = 0 if writer.committed is None else writer.committed.n
        writer.append(*_embedded(encoder, items, start, earlier))
    assert writer.committed is not None
    notes = read_notes(writer.folder, writer.committed)
    said = say_notes(notes)
    say(f"embed: {writer.committed.n:,} responses, {writer.committed.dim} numbers each" + (f"; {said}" if said else ""))
    return Embedded(map_rows(writer.folder, writer.committed), count_notes(notes))


def _writer(folder: Path, description: Mapping[str, Any], dtype: str) -> Writer:
    committed = read_committed(folder)
    with clear_when_full(folder, "what the steps committed stays"):
        folder.mkdir(parents=True, exist_ok=True)
        return Writer(folder, description, np.dtype(dtype), committed)


def _embedded(
    encoder: Encoder, items: list[TextItem], start: int, earlier: EarlierEmbeddings | None
) -> tuple[list[bytes], FloatArray, IntArray]:
    """Return the hash, the embedding and the notes of each item; `start` is the number of the first in messages."""
    keys = [bytes.fromhex(digest(item)) for item in items]
    first = {key: k for k, key in reversed(list(enumerate(keys)))}
    found = {} if earlier is None else earlier.find(list(first))
    if new := sorted(k for key, k in first.items() if key not in found):
        rows, notes = encode_shard(encoder, [items[k] for k in new], [start + k for k in new], lambda _: None)
        found |= {keys[k]: (row, int(note)) for k, row, note in zip(new, rows, notes, strict=True)}
    if len(sizes := {row.size for row, _ in found.values()}) > 1:
        raise ValueError(f"the encoder gave {min(sizes)} numbers for some texts, and {max(sizes)} for others")
    return keys, np.stack([found[key][0] for key in keys]), np.array([found[key][1] for key in keys])
