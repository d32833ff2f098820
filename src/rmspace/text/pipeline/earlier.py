"""What earlier builds in the same folder made of the same input, so that only what is new costs time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rmspace._typing import FloatArray, IntArray
from rmspace.text.line_store import Line, LineStore
from rmspace.text.pipeline.step import other_folders, without_about
from rmspace.text.records import digest
from rmspace.text.vector_store import map_rows, read_committed, read_entries

_LISTS = ("responses", "seeds", "finish", "tokens")


class EarlierResponses:
    """The responses in the other folders of a step, found by the id of their prompt; only their places are in memory.

    A response depends on the generator, the seed of the build, its prompt and its number. So it may be taken whatever
    other prompts there were, and however many responses.

    Args:
        own: folder of the new step, which is left out.
        files: names of the files of the step.
        options: what the new step depends on.
    """

    def __init__(self, own: Path, files: tuple[str, ...], options: Mapping[str, Any]) -> None:
        self._places: dict[str, tuple[Path, int, int]] = {}  # file, its first byte, number of responses
        for store in _stores(own, files, options, ("generator", "sources", "seed")):
            path = store.folder / files[0]
            for start, line in _lines(store, path):
                n = len(line["responses"])
                if n > self._places.get(line["id"], (path, 0, -1))[2]:
                    self._places[line["id"]] = (path, start, n)

    def find(self, prompt_id: str, n: int) -> Line | None:
        """Return the first `n` responses to a prompt, with their seeds; None where there are fewer."""
        path, start, found = self._places.get(prompt_id, (Path(), 0, -1))
        if found < n:
            return None
        line = _line_at(path, start)
        return {name: line[name][:n] for name in _LISTS}


class EarlierRewards:
    """The rewards in the other folders of a step, found by the prompt and all its responses.

    They may be taken whatever other prompts there were. The responses to a prompt must be the same ones, because a gold
    may compare them. Where an answer could not be read, the prompt is rated again.

    Args:
        own, files, options: as in `EarlierResponses`.
    """

    def __init__(self, own: Path, files: tuple[str, ...], options: Mapping[str, Any]) -> None:
        self._places: dict[str, tuple[Path, int]] = {}
        for store in _stores(own, files, options, ("gold", "sources")):
            unread = {line["id"] for line in store.lines(1)}
            for start, line in _lines(store, store.folder / files[0]):
                if line["id"] not in unread:
                    self._places[line["id"] + line.get("rated", "")] = (store.folder / files[0], start)

    def find(self, line: Line) -> Line | None:
        """Return the line of the rewards of the responses to a prompt; None where there is none."""
        place = self._places.get(line["id"] + hash_of(line["responses"]))
        return None if place is None else _line_at(*place)


def hash_of(responses: Sequence[str]) -> str:
    """Return the hash by which a line of rewards names the responses that it rates."""
    return digest(list(responses))[:32]


class EarlierEmbeddings:
    """The embeddings in the other folders of a step, found by the hash of their text; only the hashes are in memory.

    Args:
        own: folder of the new step, which is left out.
        encoder: its description.
        dtype: of the embeddings.
    """

    def __init__(self, own: Path, encoder: Mapping[str, Any], dtype: str) -> None:
        self._known: list[_Known] = []
        wanted = dtype, without_about(encoder)
        for folder in other_folders(own):
            found = read_committed(folder)
            if found is not None and (found.dtype.name, without_about(found.encoder)) == wanted:
                entries = read_entries(folder, found)
                order = np.argsort(entries["key"])
                self._known.append(_Known(entries["key"][order], order, map_rows(folder, found), entries["notes"]))

    def find(self, keys: Sequence[bytes]) -> dict[bytes, tuple[FloatArray, int]]:
        """Return the row and the notes of each text that is known, by its hash."""
        wanted, found = np.array(keys, dtype="S32"), dict[bytes, tuple[FloatArray, int]]()
        for known in self._known:
            places = np.searchsorted(known.keys, wanted).clip(max=len(known.keys) - 1)
            for k in np.flatnonzero(known.keys[places] == wanted).tolist():
                row = int(known.order[places[k]])
                found[keys[k]] = known.rows[row], int(known.notes[row])
        return found


class _Known(NamedTuple):
    keys: Any
    """Sorted."""
    order: IntArray
    """The row of each key."""
    rows: FloatArray
    notes: IntArray


def _stores(
    own: Path, files: tuple[str, ...], options: Mapping[str, Any], must_match: Sequence[str]
) -> Iterator[LineStore]:
    """Yield the other folders of a step that depended on the same things, except the input."""
    for folder in other_folders(own):
        about = json.loads((folder / "manifest.json").read_text(encoding="utf-8")).get("about", {})
        if all(without_about(about.get(name)) == without_about(options[name]) for name in must_match):
            yield LineStore(folder, files, {})


def _lines(store: LineStore, path: Path) -> Iterator[tuple[int, Line]]:
    """Yield the committed lines of a file, each with its first byte."""
    start = 0
    with path.open("rb") as file:
        for _ in range(store.n):
            data = file.readline()
            yield start, json.loads(data)
            start += len(data)


def _line_at(path: Path, start: int) -> Line:
    with path.open("rb") as file:
        file.seek(start)
        line: Line = json.loads(file.readline())
    return line
