"""A bank on disk: memory-mapped `.npy` files and one JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rmspace._checks import describe
from rmspace._typing import PathLike
from rmspace.data.files import FolderKind, new_folder
from rmspace.data.mapped import blocks, map_array

if TYPE_CHECKING:
    from rmspace.data.bank import ResponseBank

_FORMAT, _VERSION, _MARKER = "rmspace-bank", 1, "bank.json"
_KIND = FolderKind(_FORMAT, _MARKER, r"bank\.json|(?:embeddings|rewards|prompt_ids|feature_\d+)\.npy")
_TYPES = {"shape": list, "dtype": str, "rewards": bool, "features": list, "metadata": dict}


def write_bank(bank: ResponseBank, folder: PathLike, *, dtype: str | None, overwrite: bool) -> None:
    """Write a bank; see `ResponseBank.save`."""
    if dtype not in (None, "float16", "float32"):
        raise ValueError(f"dtype must be 'float16' or 'float32'; got {dtype!r}")
    stored = np.dtype(dtype or bank.dtype)
    try:
        metadata = json.dumps(bank.metadata)
    except (TypeError, ValueError) as error:
        raise TypeError(f"metadata must be what JSON can hold ({error}); convert numpy values") from error
    with new_folder(folder, _KIND, overwrite=overwrite) as staged:
        _write_embeddings(staged / "embeddings.npy", bank, stored)
        np.save(staged / "prompt_ids.npy", bank.prompt_ids, allow_pickle=False)
        if bank.has_rewards:
            np.save(staged / "rewards.npy", bank.rewards, allow_pickle=False)
        names = sorted(bank.features)
        for k, name in enumerate(names):
            np.save(staged / f"feature_{k}.npy", bank.features[name], allow_pickle=False)
        head = {
            "format": _FORMAT,
            "version": _VERSION,
            "shape": [bank.n_prompts, bank.n_responses, bank.dim],
            "dtype": stored.name,
            "rewards": bank.has_rewards,
            "features": names,
            "metadata": json.loads(metadata),
        }
        (staged / _MARKER).write_text(json.dumps(head, indent=1), encoding="utf-8")


def read_bank(path: Path) -> dict[str, Any]:
    """Open a bank's arrays, as the arguments of `ResponseBank`; see `ResponseBank.open`."""
    head = _read_head(path)
    features = {name: load_array(path / f"feature_{k}.npy") for k, name in enumerate(head["features"])}
    embeddings = load_array(path / "embeddings.npy")
    if list(embeddings.shape) != head["shape"] or embeddings.dtype.name != head["dtype"]:
        raise ValueError(
            f"{path / 'embeddings.npy'} must be {head['dtype']} of shape {tuple(head['shape'])}, as {_MARKER} "
            f"says; got {describe(embeddings)}; the folder mixes two banks"
        )
    return {
        "embeddings": embeddings,
        "rewards": load_array(path / "rewards.npy") if head["rewards"] else None,
        "features": features,
        "prompt_ids": load_array(path / "prompt_ids.npy"),
        "metadata": head["metadata"],
    }


def load_array(path: Path) -> npt.NDArray[Any]:
    """Memory-map one `.npy` file; a missing, damaged or truncated one is a clear error."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there")
    try:
        return map_array(path)
    except Exception as error:  # numpy lets the errors of its header's parser through, tokenizer errors among them
        raise ValueError(f"{path} is not a whole .npy file of plain numbers ({error}); write it again") from error


def _read_head(path: Path) -> dict[str, Any]:
    if not (path / _MARKER).is_file():
        raise FileNotFoundError(f"{path} is not a saved bank: it has no {_MARKER}")
    try:
        head = json.loads((path / _MARKER).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path / _MARKER} is damaged ({error})") from error
    if not isinstance(head, dict) or head.get("format") != _FORMAT:
        raise ValueError(f"{path / _MARKER} does not describe a bank")
    if head.get("version") != _VERSION:
        raise ValueError(f"{path} is a bank of version {head.get('version')!r}; this rmspace reads {_VERSION}; upgrade")
    if wrong := [name for name, kind in _TYPES.items() if not isinstance(head.get(name), kind)]:
        raise ValueError(f"{path / _MARKER} is damaged: {', '.join(wrong)} is missing or not what it must be")
    return head


def _write_embeddings(path: Path, bank: ResponseBank, dtype: np.dtype[Any]) -> None:
    """Write block by block; plain writes, since a memory map dies of a full disk without an exception."""
    shape = (bank.n_prompts, bank.n_responses, bank.dim)
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, header)
        for part, block in blocks(bank.embeddings):
            with np.errstate(over="ignore"):
                stored = np.ascontiguousarray(block, dtype=dtype)
            if stored.dtype != block.dtype and (new := np.isinf(stored) & np.isfinite(block)).any():
                prompt = int(np.argmax(new.any(axis=(1, 2))))
                raise OverflowError(
                    f"embeddings must fit {dtype} (at most {np.finfo(dtype).max:g}); prompt {part.start + prompt} has "
                    f"{np.abs(block[prompt]).max():g}; save as float32, or scale the bank"
                )
            file.write(stored.data)
