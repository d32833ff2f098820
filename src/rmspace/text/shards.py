"""Files that only grow: shards are appended, and a manifest that is written last says what is committed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rmspace.data.array_files import head_text
from rmspace.data.files import FolderKind, clear_when_full
from rmspace.text.folder_lock import NAME as LOCK

_BLOCK = 1 << 24


@dataclass(frozen=True)
class ShardFolder:
    """A kind of folder whose files only grow; its lock is held by the one process that writes."""

    kind: FolderKind
    version: int
    files: tuple[str, ...]
    what: str
    """What the folder holds, in the plural, as messages call it."""
    unit: str
    """What is counted in it, in the plural."""
    again: str
    """How it is made again, as an imperative."""

    @property
    def advice(self) -> str:
        """What to do with a damaged folder."""
        return f"what it holds cannot be trusted: remove the folder, and {self.again}"

    def check_ours(self, folder: Path) -> None:
        """Raise FileExistsError where a folder without a manifest holds other things."""
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        if folder.exists() and not folder.is_dir():
            raise FileExistsError(f"{folder} is not a folder; choose another place for the {self.what}")
        if foreign := sorted(names - {*self.files, LOCK, _part(self.kind)}):
            raise FileExistsError(
                f"{folder} holds {', '.join(foreign[:3])} and no {self.kind.marker}, so it is not a folder of "
                f"{self.what}; choose another one"
            )

    def check_hashes(self, path: Path, shards: Sequence[tuple[int, str]]) -> None:
        """Raise ValueError unless a file begins with shards of these (bytes, SHA-256)."""
        needed, size = sum(n for n, _ in shards), path.stat().st_size if path.is_file() else 0
        if size < needed:
            raise ValueError(f"{path} is cut short ({size:,} bytes; {needed:,} are committed); {self.advice}")
        if not shards:
            return
        with path.open("rb") as file:
            for number, (n, expected) in enumerate(shards):
                if _hash_of(file, n) != expected:
                    raise ValueError(f"{path} is damaged: shard {number} is not what was written; {self.advice}")

    def drop_unfinished(self, folder: Path, sizes: Sequence[int]) -> None:
        """Make the files, and cut off what is not committed: the end of a run that was stopped."""
        for name, size in zip(self.files, sizes, strict=True):
            with (folder / name).open("ab") as file:
                file.truncate(size)

    def append(self, folder: Path, data: Sequence[bytes]) -> list[str]:
        """Append a shard to the files, one part each, and return the SHA-256 of the parts."""
        return [_append(folder / name, part) for name, part in zip(self.files, data, strict=True)]

    def write_manifest(self, folder: Path, content: Mapping[str, Any]) -> None:
        """Write the manifest whole or not at all: after that, no stop of the process or the machine loses a shard."""
        part = folder / _part(self.kind)
        try:
            with part.open("w", encoding="utf-8") as file:
                file.write(head_text(self.kind, self.version, content))
                file.flush()
                os.fsync(file.fileno())
            part.replace(folder / self.kind.marker)
        finally:
            part.unlink(missing_ok=True)

    def clear_when_full(self, folder: Path, n: int) -> AbstractContextManager[None]:
        """Let an error of the disk say what happened to the `n` units that are committed."""
        return clear_when_full(folder, f"{n:,} {self.unit} are committed and stay")


def _part(kind: FolderKind) -> str:
    return f"{kind.marker}.part"


def _append(path: Path, data: bytes) -> str:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(data).hexdigest()


def _hash_of(file: IO[bytes], n: int) -> str:
    digest = hashlib.sha256()
    while n > 0 and (block := file.read(min(n, _BLOCK))):
        digest.update(block)
        n -= len(block)
    return digest.hexdigest()
