"""The fourth step of a build: embeddings of the responses, one row each, in their order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rmspace._typing import FloatArray
from rmspace.data.progress import progress
from rmspace.kinds import Encoder
from rmspace.text.embedding import encode_shard
from rmspace.text.line_store import LineStore
from rmspace.text.notes import count_notes, say_notes
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

    Raises:
        ValueError: an item that cannot be embedded, or embeddings that are not finite (n, dim).
    """
    description = dict(encoder.describe())
    options = {"input": responses.fingerprint(), "encoder": description, "dtype": dtype, "sources": dict(sources)}
    folder = step_folder(out, "embed", options, say)
    committed = read_committed(folder)
    done = 0 if committed is None else len(committed.shards)
    folder.mkdir(parents=True, exist_ok=True)
    writer = Writer(folder, description, np.dtype(dtype), committed)
    for part in progress(responses.parts(start=done), "embeddings", show=show):
        items = [item for group in groups_of(part) for item in group]
        start = 0 if writer.committed is None else writer.committed.n
        first: dict[TextItem, int] = {}
        for k, item in enumerate(items, start):
            first.setdefault(item, k)
        rows, notes = encode_shard(encoder, list(first), list(first.values()), lambda _: None)
        numbers = {item: k for k, item in enumerate(first)}
        ids = np.array([numbers[item] for item in items])
        writer.append([bytes.fromhex(digest(item)) for item in items], rows[ids], np.asarray(notes)[ids])
    assert writer.committed is not None
    notes = read_notes(folder, writer.committed)
    said = say_notes(notes)
    say(f"embed: {writer.committed.n:,} responses, {writer.committed.dim} numbers each" + (f"; {said}" if said else ""))
    return Embedded(map_rows(folder, writer.committed), count_notes(notes))
