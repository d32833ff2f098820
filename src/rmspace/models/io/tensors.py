"""From arrays to tensors in the precision of the work, and to safetensors files, which hold nothing but numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save

from rmspace._typing import FloatArray, IntArray
from rmspace.data.arrays import to_float32
from rmspace.data.mapped import blocks


def read_rows(items: FloatArray, ids: IntArray, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Read some rows of an array, each once and block by block, straight into a tensor; ValueError if not finite."""
    rows = torch.empty((len(ids), items.shape[1]), dtype=dtype, device=device)
    for part, block in blocks(items, ids):
        fill(rows[part], block, ids[part])
    return rows


def fill(out: torch.Tensor, block: FloatArray, ids: IntArray | None = None) -> None:
    """Copy a block of items into a tensor, in its precision; ValueError where they are not finite there."""
    kind = block.dtype.newbyteorder("=")
    if kind not in (np.float16, np.float32, np.float64):
        kind = np.dtype(np.float32)
    rows = torch.from_numpy(np.require(block, kind, ["C", "W"]))
    if rows.element_size() <= out.element_size():
        rows = rows.to(out.device)  # send the smaller numbers; torch alone would convert them before it sends them
    out.copy_(rows)
    if not np.isfinite(float(out.sum(dtype=torch.float32))):  # nan, infinity, or large numbers: look closer
        to_float32("items", block, ids)


def write_tensors(path: Path, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays by name."""
    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in tensors.items()}))


def read_tensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read arrays by name; ValueError where the file is damaged."""
    try:
        return dict(load(path.read_bytes()))
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error})") from error
