"""A bank on disk: flat items, offsets and numbers per item as `.npy` files, and one `bank.json`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rmspace._checks import describe
from rmspace._typing import PathLike
from rmspace.data.array_files import SavedFiles, check_json, read_head, write_head, write_rows
from rmspace.data.files import FolderKind, clear_when_full, new_folder, remove_folder

if TYPE_CHECKING:
    from rmspace.data.bank import ResponseBank

_VERSION = 3
_KIND = FolderKind("rmspace-bank", "bank.json", r"bank\.json|(?:items|offsets|rewards|prompt_ids|feature_\d+)\.npy")
_TYPES = {"shape": list, "dtype": str, "rewards": bool, "features": list, "metadata": dict, "hashes": dict}


def write_bank(bank: ResponseBank, folder: PathLike, *, dtype: str | None, overwrite: bool) -> None:
    """Write a bank; see `ResponseBank.save`."""
    with (
        clear_when_full(Path(folder), "what was there before stays"),
        new_folder(folder, _KIND, overwrite=overwrite) as staged,
    ):
        _fill(staged, bank, dtype)


def write_together(banks: Mapping[str, ResponseBank], folder: Path) -> None:
    """Replace several banks in a folder, so that no stop of the process leaves banks of two calls beside each other.

    The old ones stay until all new ones are written. Then they are removed, and the new ones take their places one by
    one. So a stop in between leaves fewer banks.

    Raises:
        FileExistsError: something else stands where a bank would.
        OSError: the disk is full; the old banks stay.
    """
    with clear_when_full(folder, "what was there before stays"), ExitStack() as stack:
        for name, bank in banks.items():
            _fill(stack.enter_context(new_folder(folder / name, _KIND, overwrite=True)), bank, None)
        for name in banks:
            remove_folder(folder / name, _KIND)


def _fill(staged: Path, bank: ResponseBank, dtype: str | None) -> None:
    if dtype not in (None, "float16", "float32"):
        raise ValueError(f"dtype must be 'float16' or 'float32'; got {dtype!r}")
    stored, shape = np.dtype(dtype or bank.dtype), (bank.n_items, bank.dim)
    names = sorted(bank.features)
    head = {
        "shape": list(shape),
        "dtype": stored.name,
        "rewards": bank.has_rewards,
        "features": names,
        "metadata": check_json(bank.metadata),
    }
    arrays = {"offsets": bank.offsets, "prompt_ids": bank.prompt_ids}
    if bank.has_rewards:
        arrays["rewards"] = bank.item_rewards
    arrays |= {f"feature_{k}": bank.features[name].reshape(-1) for k, name in enumerate(names)}
    write_rows(staged / "items.npy", bank.item_blocks(), shape, stored, lambda item: _prompt_of(bank, item))
    for name, array in arrays.items():
        np.save(staged / f"{name}.npy", array, allow_pickle=False)
    write_head(staged, _KIND, _VERSION, head)


def read_bank(path: Path) -> tuple[dict[str, Any], SavedFiles]:
    """Open a bank's arrays, as the arguments of `ResponseBank`; see `ResponseBank.open`. Only the items are mapped."""
    head = read_head(path, _KIND, _VERSION, _TYPES)
    files = SavedFiles(path, head["hashes"])
    items = files.map("items")
    if list(items.shape) != head["shape"] or items.dtype.name != head["dtype"]:
        raise ValueError(
            f"{path / 'items.npy'} must be {head['dtype']} of shape {tuple(head['shape'])}, as {_KIND.marker} says; "
            f"got {describe(items)}; the folder mixes two banks"
        )
    arguments = {
        "embeddings": items,
        "offsets": files.read("offsets"),
        "rewards": files.read("rewards") if head["rewards"] else None,
        "features": {name: files.read(f"feature_{k}") for k, name in enumerate(head["features"])},
        "prompt_ids": files.read("prompt_ids"),
        "metadata": head["metadata"],
    }
    return arguments, files


def _prompt_of(bank: ResponseBank, item: int) -> str:
    return f"prompt {int(np.searchsorted(bank.offsets, item, side='right')) - 1}"
