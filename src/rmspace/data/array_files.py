"""Arrays and their description in a folder: `.npy` files, written in blocks and memory-mapped, and one JSON file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rmspace._typing import FloatArray
from rmspace.data.files import FolderKind
from rmspace.data.mapped import map_array


def load_array(path: Path) -> npt.NDArray[Any]:
    """Memory-map one `.npy` file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, cut short, or holds objects.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there")
    try:
        return map_array(path)
    except Exception as error:  # numpy passes on every error of its header parser, tokenizer errors included
        raise ValueError(f"{path} is not a whole .npy file of plain numbers ({error}); write it again") from error


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
    """Write the JSON file that describes the folder."""
    head = {"format": kind.format, "version": version, **content}
    (folder / kind.marker).write_text(json.dumps(head, indent=1), encoding="utf-8")


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
    if wrong := [name for name, expected in types.items() if not isinstance(head.get(name), expected)]:
        raise ValueError(f"{marker} is damaged: {', '.join(wrong)} is missing or not what it must be")
    return head
