"""Arrays and their description in a folder: `.npy` files, written in blocks and memory-mapped, and one JSON file."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rmspace._typing import FloatArray
from rmspace.data.files import FolderKind, file_hash
from rmspace.data.mapped import map_array


@dataclass(frozen=True)
class SavedFiles:
    """The array files of a saved folder, and the SHA-256 of each when it was written."""

    folder: Path
    hashes: Mapping[str, str]

    @classmethod
    def written(cls, folder: Path) -> SavedFiles:
        """Hash the array files of a folder."""
        return cls(folder, {path.name: file_hash(path) for path in sorted(folder.glob("*.npy"))})

    def map(self, name: str) -> npt.NDArray[Any]:
        """Memory-map an array; its length is checked, and its values are not read: see `damaged`."""
        return load_array(self.folder / f"{name}.npy")

    def read(self, name: str) -> npt.NDArray[Any]:
        """Read an array into memory, so that a later change of the file changes nothing.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is not what was written.
        """
        path = self.folder / f"{name}.npy"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.hashes.get(path.name):
            raise ValueError(f"{path} is damaged: its content is not what was written; {_RESTORE}")
        return np.load(io.BytesIO(content), allow_pickle=False)

    def damaged(self) -> list[str]:
        """Return the names of the files that are not what was written; every file is read."""
        return [
            name
            for name, known in self.hashes.items()
            if not (self.folder / name).is_file() or file_hash(self.folder / name) != known
        ]

    def verify(self) -> None:
        """Raise ValueError where a file is not what was written."""
        if damaged := self.damaged():
            raise ValueError(f"{self.folder} is damaged: {', '.join(damaged)} is not what was written; {_RESTORE}")


_RESTORE = "copy the folder again, or write it again"


def load_array(path: Path) -> npt.NDArray[Any]:
    """Memory-map one `.npy` file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, cut short, longer than its array, or holds objects.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there")
    try:
        array: Any = map_array(path)
    except Exception as error:  # numpy passes on every error of its header parser, tokenizer errors included
        raise ValueError(f"{path} is not a whole .npy file of plain numbers ({error}); write it again") from error
    if more := path.stat().st_size - array.offset - array.nbytes:
        raise ValueError(f"{path} is damaged: {more} bytes follow its array; {_RESTORE}")
    return array


def write_rows(
    path: Path,
    blocks: Iterable[tuple[slice, FloatArray]],
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    name_row: Callable[[int], str],
) -> None:
    """Write a table (n_rows, dim) to a `.npy` file, block by block.

    It uses plain writes: on a full disk, a process that writes to a memory map is killed without an exception.

    Raises:
        OverflowError: a finite number that does not fit `dtype`; `name_row` gives the name of its row.
    """
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, header)
        for part, block in blocks:
            with np.errstate(over="ignore"):
                stored = np.ascontiguousarray(block, dtype=dtype)
            if stored.dtype != block.dtype and (new := np.isinf(stored) & np.isfinite(block)).any():
                row = int(np.argmax(new.any(axis=1)))
                raise OverflowError(
                    f"embeddings must fit {dtype} (at most {np.finfo(dtype).max:g}); {name_row(part.start + row)} has "
                    f"{np.abs(block[row]).max():g}; save as float32, or scale the bank"
                )
            file.write(stored.data)


def check_json(metadata: Mapping[str, Any]) -> Any:
    """Return metadata as JSON gives it back; TypeError where JSON cannot hold it."""
    try:
        return json.loads(json.dumps(metadata))
    except (TypeError, ValueError) as error:
        raise TypeError(f"metadata must be what JSON can hold ({error}); convert numpy values") from error


def write_head(folder: Path, kind: FolderKind, version: int, content: Mapping[str, Any]) -> None:
    """Write the JSON file that describes the folder, with the hashes of the array files that are there."""
    hashes = dict(SavedFiles.written(folder).hashes)
    (folder / kind.marker).write_text(head_text(kind, version, {**content, "hashes": hashes}), encoding="utf-8")


def head_text(kind: FolderKind, version: int, content: Mapping[str, Any]) -> str:
    """Return the text of a JSON file that describes a folder, with its own checksum."""
    head = json.loads(json.dumps({"format": kind.format, "version": version, **content}))  # as it will be read
    return json.dumps({**head, "checksum": _checksum(head)}, indent=1)


def read_head(path: Path, kind: FolderKind, version: int, types: Mapping[str, type]) -> dict[str, Any]:
    """Read the JSON file that describes a folder; `types` are its keys and the type of each.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the file is damaged, or of another version.
    """
    what, marker = kind.format.removeprefix("rmspace-"), path / kind.marker
    if not marker.is_file():
        raise FileNotFoundError(f"{path} is not a saved {what}: it has no {kind.marker}")
    try:
        head = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{marker} is damaged ({error})") from error
    if not isinstance(head, dict) or head.get("format") != kind.format:
        raise ValueError(f"{marker} does not describe a {what}")
    if (found := head.get("version")) != version:
        newer = isinstance(found, int) and found > version
        advice = "upgrade rmspace" if newer else "write it again with this rmspace"
        raise ValueError(f"{path} is a {what} of version {found!r}; this rmspace reads {version}; {advice}")
    expected = {**types, "checksum": str}
    if wrong := [name for name, each in expected.items() if not isinstance(head.get(name), each)]:
        raise ValueError(f"{marker} is damaged: {', '.join(wrong)} is missing or not what it must be")
    if head.pop("checksum") != _checksum(head):
        raise ValueError(f"{marker} is damaged: its content is not what was written; {_RESTORE}")
    return head


def _checksum(head: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()
