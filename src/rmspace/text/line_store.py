"""JSON Lines in a folder that only grows: a step of a build, one line per prompt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmspace.data.array_files import read_head
from rmspace.data.files import FolderKind
from rmspace.text.shards import ShardFolder

Line = dict[str, Any]
_JSON = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class LineShard:
    """Lines that were committed together, by file."""

    n: tuple[int, ...]
    sizes: tuple[int, ...]
    sha256: tuple[str, ...]


class LineStore:
    """The files of one step. What the manifest lists is committed; the rest is the end of a run that was stopped.

    Args:
        folder: the folder; `start` makes it.
        files: names of its files; the first one holds the results.
        about: what the lines depend on, which the manifest records; where there is a manifest, its own is kept.

    Raises:
        FileExistsError: the folder holds other things.
        ValueError: a file is damaged, cut short, or of another version.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = LineStore(Path(folder, "step"), ("lines.jsonl",), {"seed": 0})
    ...     store.start()
    ...     store.append([[{"id": "a"}, {"id": "b"}]])
    ...     store.finish()
    ...     again = LineStore(Path(folder, "step"), ("lines.jsonl",), {"seed": 0})
    ...     again.complete, again.n, [line["id"] for line in again.lines()]
    (True, 2, ['a', 'b'])
    """

    def __init__(self, folder: Path, files: tuple[str, ...], about: Mapping[str, Any]) -> None:
        self.folder, self.about = folder, dict(about)
        self.shards: tuple[LineShard, ...] = ()
        self.complete = False
        self._kind = ShardFolder(
            FolderKind("rmspace-lines", "manifest.json", ""), 1, files, "lines", "prompts", "run the same again"
        )
        if not (folder / self._kind.kind.marker).exists():
            self._kind.check_ours(folder)
            return
        self._read()

    @property
    def n(self) -> int:
        """Number of committed lines of the first file."""
        return self.count(0)

    def count(self, file: int) -> int:
        """Return the number of committed lines of a file."""
        return sum(shard.n[file] for shard in self.shards)

    def size(self, file: int) -> int:
        """Return the committed bytes of a file."""
        return sum(shard.sizes[file] for shard in self.shards)

    def start(self) -> None:
        """Make the folder, and drop what is not committed; the caller holds a lock."""
        with self._kind.clear_when_full(self.folder, self.n):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._kind.drop_unfinished(self.folder, [self.size(k) for k in range(len(self._kind.files))])

    def append(self, parts: Sequence[Sequence[Mapping[str, Any]]]) -> None:
        """Commit a shard, given as the lines of each file: after that, no stop of the process loses it.

        Raises:
            OSError: the disk is full, or cannot be written; what was committed stays.
        """
        data = [json_lines(part) for part in parts]
        with self._kind.clear_when_full(self.folder, self.n):
            hashes = self._kind.append(self.folder, data)
            shard = LineShard(tuple(map(len, parts)), tuple(map(len, data)), tuple(hashes))
            self._write((*self.shards, shard), complete=False)

    def finish(self) -> None:
        """Note that no line will follow; a store that is complete stays as it is."""
        if self.complete:
            return
        with self._kind.clear_when_full(self.folder, self.n):
            self._write(self.shards, complete=True)

    def fingerprint(self) -> str:
        """Return a SHA-256 of everything that is committed."""
        return hashlib.sha256(_JSON.encode([shard.sha256 for shard in self.shards]).encode()).hexdigest()

    def lines(self, file: int = 0) -> Iterator[Line]:
        """Yield the committed lines of a file, one at a time."""
        for part in self.parts(file):
            yield from part

    def parts(self, file: int = 0, *, start: int = 0) -> Iterator[list[Line]]:
        """Yield the lines of each shard that has lines in a file, from the `start`-th such shard on."""
        path = self.folder / self._kind.files[file]
        filled = [shard.sizes[file] for shard in self.shards if shard.n[file]]
        if start >= len(filled):
            return
        with path.open("rb") as opened:
            opened.seek(sum(filled[:start]))
            for size in filled[start:]:
                yield [json.loads(line) for line in opened.read(size).splitlines()]

    def _read(self) -> None:
        head = read_head(
            self.folder, self._kind.kind, self._kind.version, {"about": dict, "shards": list, "complete": bool}
        )
        try:
            fields = ("n", "sizes", "sha256")
            self.shards = tuple(LineShard(*(tuple(shard[name]) for name in fields)) for shard in head["shards"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"{self.folder} has a damaged manifest ({error}); {self._kind.advice}") from error
        self.about, self.complete = head["about"], head["complete"]
        for k, name in enumerate(self._kind.files):
            self._kind.check_hashes(self.folder / name, [(shard.sizes[k], shard.sha256[k]) for shard in self.shards])

    def _write(self, shards: tuple[LineShard, ...], *, complete: bool) -> None:
        content = {"about": self.about, "lines": sum(shard.n[0] for shard in shards), "complete": complete}
        self._kind.write_manifest(self.folder, content | {"shards": [vars(shard) for shard in shards]})
        self.shards, self.complete = shards, complete


def json_lines(lines: Iterable[Mapping[str, Any]]) -> bytes:
    """Return lines as a file has them.

    >>> json_lines([{"id": "a"}])
    b'{"id":"a"}\\n'
    """
    return "".join(f"{_JSON.encode(line)}\n" for line in lines).encode()
