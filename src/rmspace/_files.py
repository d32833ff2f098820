"""Folders that appear whole or not at all, and the hashes that tell whether a file is still itself."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rmspace._typing import PathLike


@contextmanager
def new_folder(path: PathLike, *, marker: str, overwrite: bool = False, keep: str | None = None) -> Iterator[Path]:
    """Yield an empty folder beside `path` that takes its place, whole, when the block ends well.

    Until then, and for good when the block raises (a full disk, say), what stood at `path` stays as it was.
    `marker` names the file that tells a folder of this kind, the only kind that is ever replaced. Where the block
    raises after it wrote a file named `keep`, what it wrote stays beside `path`, and the error says where.

    Raises: FileExistsError if `path` exists and is not to be, or must not be, replaced.
    """
    target = Path(path).absolute()
    check_target(target, marker=marker, overwrite=overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        staged.chmod(0o777 & ~_umask())
        yield staged
        for file in staged.rglob("*"):
            _sync(file)
        _sync(staged)
        _replace(staged, target)
        _sync(target.parent)
    except BaseException as error:
        if keep is not None and (staged / keep).exists():
            kept = staged.rename(target.with_name(f"{target.name}.unfinished{staged.name[len(target.name) + 1 :]}"))
            error.add_note(f"what was finished is kept in {kept}")
        shutil.rmtree(staged, ignore_errors=True)
        raise


def check_target(path: PathLike, *, marker: str, overwrite: bool) -> None:
    """Raise FileExistsError unless a folder may be written at `path`."""
    target = Path(path)
    if not target.exists():
        return
    if not overwrite:
        raise FileExistsError(f"{target} exists already; choose another folder, or ask to overwrite it")
    replaceable = target.is_dir() and ((target / marker).exists() or not any(target.iterdir()))
    if not replaceable:
        raise FileExistsError(f"{target} is not a folder with a {marker}, so it is not overwritten; remove it")


def file_hash(path: PathLike) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _replace(staged: Path, target: Path) -> None:
    """Put `staged` at `target`; a folder that stood there is set aside first and removed last."""
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
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
