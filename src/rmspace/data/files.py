"""Folders that appear whole or not at all, and hashes that tell whether a file has changed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmspace._typing import PathLike


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder that this library writes; only a folder of the same kind is ever replaced."""

    format: str  # the value of "format" in the marker
    marker: str  # the JSON file that every folder of the kind has
    files: str  # pattern of everything directly in it


@contextmanager
def new_folder(
    path: PathLike, kind: FolderKind, *, overwrite: bool = False, keep: Sequence[str] = ()
) -> Iterator[Path]:
    """Yield an empty folder beside `path`, which takes the place of `path` when the block ends without an error.

    Until then `path` stays as it was. It also stays so when the block raises, for example because the disk is full. If
    the block wrote something named in `keep` before it raised, that folder stays beside `path`, and the error names it.

    Raises:
        FileExistsError: `path` exists, or came to exist while the block ran, and `overwrite` is not set or it is not a
            folder of this kind.
    """
    target = Path(path).absolute().resolve()
    check_target(target, kind, overwrite=overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        staged.chmod(0o777 & ~_umask())
        yield staged
        for file in staged.rglob("*"):
            _sync(file)
        _sync(staged)
        check_target(target, kind, overwrite=overwrite)
        _replace(staged, target)
        _sync(target.parent)
    except BaseException as error:
        if any((staged / name).exists() for name in keep):
            kept = staged.rename(target.with_name(f"{target.name}.unfinished{staged.name[len(target.name) + 1 :]}"))
            error.add_note(f"what was finished is kept in {kept}")
        shutil.rmtree(staged, ignore_errors=True)
        raise


def remove_folder(path: Path, kind: FolderKind) -> None:
    """Remove a folder of this kind, where there is one; it disappears at once, as it appeared.

    Raises:
        FileExistsError: it is not a folder of this kind.
    """
    target = path.absolute().resolve()
    check_target(target, kind, overwrite=True)
    if target.exists():
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        target.rename(aside / target.name)
        shutil.rmtree(aside, ignore_errors=True)


def left_behind(path: PathLike) -> list[Path]:
    """Return the hidden folders beside `path` of writers that were killed, or that still run; see `new_folder`."""
    target = Path(path).absolute().resolve()
    pattern = rf"\.{re.escape(target.name)}\.[a-z0-9_]{{8}}(\.old)?"
    beside = target.parent.iterdir() if target.parent.is_dir() else iter(())
    return sorted(folder for folder in beside if re.fullmatch(pattern, folder.name) and folder.is_dir())


def check_target(target: Path, kind: FolderKind, *, overwrite: bool) -> None:
    """Raise FileExistsError unless a folder of this kind may be written at `target`."""
    if not target.exists() and not target.is_symlink():
        return
    if not overwrite:
        raise FileExistsError(f"{target} exists already; choose another folder, or ask to overwrite it")
    if not target.is_dir():
        raise FileExistsError(f"{target} is not a folder, so it is not overwritten; remove it")
    present = sorted(path.name for path in target.iterdir())
    if not present:
        return
    head = _head_of(target / kind.marker)
    if head.get("format") != kind.format:
        raise FileExistsError(
            f"{target} has no {kind.marker} of rmspace's, so it is not overwritten; choose another folder"
        )
    ours = {"__pycache__", *head.get("modules", ())}  # copies of the user's modules, and what Python made of them
    if foreign := [name for name in present if name not in ours and not re.fullmatch(kind.files, name)]:
        raise FileExistsError(
            f"{target} also holds {', '.join(foreign)}, which rmspace did not write, so it is not overwritten; "
            "move that elsewhere"
        )


@contextmanager
def clear_when_full(place: Path, stays: str) -> Iterator[None]:
    """Let an error of the disk name the place, and say what is not lost and what to do."""
    try:
        yield
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError as error:
        number = error.errno or errno.ENOSPC  # numpy tells no number where a part of an array is written
        full = number in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
        reason = "the disk is full, or the limit of a file's size is reached" if full else error.strerror
        raise OSError(
            number,
            f"{place} could not be written: {reason}; {stays}: free space, or correct the permissions, and run the "
            "same again",
        ) from error


def check_new_file(path: Path) -> None:
    """Raise an OSError where no file can be written, before the work that it is for.

    Raises:
        IsADirectoryError: `path` is a folder.
        FileNotFoundError: there is no folder for it.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}; make it first")


def write_whole(path: Path, text: str) -> None:
    """Write a text file whole or not at all, also when the disk is full or somebody reads it meanwhile.

    Raises:
        IsADirectoryError, FileNotFoundError: as `check_new_file`.
    """
    check_new_file(path)
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def file_hash(path: PathLike) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _head_of(marker: Path) -> dict[str, Any]:
    try:
        content = json.loads(marker.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _replace(staged: Path, target: Path) -> None:
    """Put `staged` at `target`; a folder that was there is renamed first and removed last."""
    if not target.exists():
        staged.rename(target)
        return
    aside = staged.with_name(staged.name + ".old")
    target.rename(aside)
    try:
        staged.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _sync(path: Path) -> None:
    """Have a file or a folder written to the disk; only POSIX systems can do so through a handle for reading."""
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
