"""Named arrays in a safetensors file, which holds numbers and nothing that could run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save


def write_tensors(path: Path, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays by name."""
    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in tensors.items()}))


def read_tensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read arrays by name; ValueError where the file is damaged."""
    try:
        return dict(load(path.read_bytes()))
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error})") from error
