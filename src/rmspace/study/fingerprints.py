"""The identity of a study's data: hashes of its content, and a check that its files are still the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

_DEEPEST = 8  # levels of folders that are searched, since a link may lead to a folder above itself


class DataChanged(ValueError):
    """The data are no longer those that the study was planned with."""


class Data(Protocol):
    """A `ResponseBank` or `Preferences`: data with a hash of its content."""

    def fingerprint(self) -> str:
        """Return a hash of everything in the data."""
        ...


class Fingerprints(NamedTuple):
    """Hashes of the training and the test data of a `data` block, and of the state of their files."""

    train: str
    test: str
    signature: str | None  # see `file_signature`


def take_fingerprints(train: Data, test: Data, signature: str | None) -> Fingerprints:
    """Read training and test data whole and return their hashes."""
    return Fingerprints(train.fingerprint(), test.fingerprint(), signature)


def check_unchanged(train: Data, test: Data, known: Fingerprints, signature: str | None) -> None:
    """Check that the data are still those that the study was planned with.

    Data whose files have the same signature as before are not read.

    Raises:
        DataChanged: they are not.
    """
    if known.signature is not None and signature == known.signature:
        return
    found = take_fingerprints(train, test, signature)
    sides = [side for side in ("train", "test") if getattr(found, side) != getattr(known, side)]
    if sides:
        raise DataChanged(
            f"the {' and '.join(sides)} data changed while the study ran, or their function returns other data at "
            "each call; run the study again: cells of changed data are new cells"
        )


def file_signature(data: Mapping[str, Any]) -> str | None:
    """Return a hash of the name, size and time of every file that a resolved `data` block names.

    None where it names no file, or where the user's own function reads them, since that function may also read other
    files. The data are then known only after a call.
    """
    files = sorted(_files(data))
    if not files or not _is_of_rmspace(data["use"]):
        return None
    digest = hashlib.sha256()
    for path in files:
        state = path.stat()
        digest.update(f"{path} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _is_of_rmspace(name: str) -> bool:
    return "." not in name or name.startswith("rmspace.")


def _files(value: Any) -> Iterator[Path]:
    """Yield the files that a value names, and all files in the folders that it names."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _files(inner)
    elif isinstance(value, str) and (path := Path(value)).is_absolute() and path.exists():
        if path.is_file():
            yield path
        for folder, folders, files in os.walk(path, followlinks=True):
            if len(Path(folder).relative_to(path).parts) > _DEEPEST:
                folders.clear()
            yield from (Path(folder, file) for file in files)
