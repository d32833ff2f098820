"""Which banks a study's data are: their fingerprints, and whether the files behind them are still the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rmspace.data.bank import ResponseBank

_DEEPEST = 8


class Banks(NamedTuple):
    """Fingerprints of the train and test bank that a `data` block gives, and the signature of its files."""

    train: str
    test: str
    signature: str | None  # None where a function makes the banks, so that only calling it tells


def fingerprint(train: ResponseBank, test: ResponseBank, signature: str | None) -> Banks:
    """Read both banks whole and return what they are."""
    return Banks(train.fingerprint(), test.fingerprint(), signature)


def file_signature(data: Mapping[str, Any]) -> str | None:
    """Return a hash of the name, size and time of every file that a resolved `data` block names.

    None where rmspace's own readers are not what reads them: a function of the user's may look elsewhere.
    """
    files = sorted(_files(data))
    if not files or "." in data["use"]:
        return None
    digest = hashlib.sha256()
    for path in files:
        state = path.stat()
        digest.update(f"{path} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def check_banks(train: ResponseBank, test: ResponseBank, known: Banks, signature: str | None) -> None:
    """Raise ValueError where banks are no longer those that the study was planned with."""
    if known.signature is not None and signature == known.signature:
        return
    found = fingerprint(train, test, signature)
    sides = [side for side in ("train", "test") if getattr(found, side) != getattr(known, side)]
    if sides:
        raise ValueError(
            f"the {' and '.join(sides)} bank changed while the study ran, or its function gives another one each time; "
            "run the study again: the cells of the changed bank are then new cells"
        )


def _files(value: Any) -> Iterator[Path]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _files(inner)
    elif isinstance(value, str) and (path := Path(value)).is_absolute() and path.exists():
        if path.is_file():
            yield path
        for folder, folders, files in os.walk(path, followlinks=True):
            if len(Path(folder).relative_to(path).parts) > _DEEPEST:  # a link to a folder above itself
                folders.clear()
            yield from (Path(folder, file) for file in files)
