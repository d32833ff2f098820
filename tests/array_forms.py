"""The forms in which an array may come: some say the same as the plain array, others are no arrays of numbers."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

Array = npt.NDArray[Any]
Form = Callable[[Array], Any]


def _strided(array: Array) -> Array:
    wide = np.repeat(array, 2, axis=-1)
    return wide[..., ::2]


def _read_only(array: Array) -> Array:
    locked = array.copy()
    locked.flags.writeable = False
    return locked


def _mapped(array: Array) -> Array:
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "array.npy", array)
        return np.load(Path(folder) / "array.npy", mmap_mode="r")


def _pandas(array: Array) -> Any:
    return pd.Series(array) if array.ndim == 1 else pd.DataFrame(array) if array.ndim == 2 else _refused()


def _nullable(array: Array) -> Any:
    kinds = {"i": "Int64", "f": "Float64", "b": "boolean", "U": "string"}
    return pd.Series(array, dtype=kinds[array.dtype.kind]) if array.ndim == 1 else _refused()


def _masked(array: Array, hidden: int) -> Any:
    mask = np.zeros(array.size, dtype=bool)
    mask[:hidden] = True
    return np.ma.masked_array(array, mask.reshape(array.shape))


def _tensor(array: Array) -> torch.Tensor:
    return torch.from_numpy(array.copy()) if array.dtype.kind in "bif" else _refused()


def _with(value: float) -> Form:
    def form(array: Array) -> Array:
        if array.dtype.kind != "f":
            _refused()
        changed = array.copy()
        changed[(0,) * array.ndim] = value
        return changed

    return form


def _with_id(value: int, dtype: npt.DTypeLike = np.int64) -> Form:
    def form(array: Array) -> Array:
        if array.dtype.kind != "i":
            _refused()
        changed = array.astype(dtype)
        changed[(0,) * array.ndim] = value
        return changed

    return form


def _ragged(array: Array) -> list[Any]:
    rows = array.tolist()
    return [*rows[:-1], [rows[-1], rows[-1]]] if array.ndim == 1 else [*rows[:-1], rows[-1][:-1]]


def _float_tensor(array: Array, **options: Any) -> torch.Tensor:
    return torch.tensor(array, **options) if array.dtype.kind == "f" else _refused()


class NotApplicable(Exception):
    """This kind of array has no such form."""


def _refused() -> Any:
    raise NotApplicable


SAME: dict[str, Form] = {
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(a.tolist()),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "Fortran": np.asfortranarray,
    "strided": _strided,
    "reversed twice": lambda a: a[::-1].copy()[::-1],
    "read-only": _read_only,
    "mapped": _mapped,
    "pandas": _pandas,
    "nullable": _nullable,
    "unmasked": lambda a: _masked(a, 0),
    "tensor": _tensor,
    "float32": lambda a: a.astype(np.float32) if a.dtype.kind == "f" else _refused(),
    "int32": lambda a: a.astype(np.int32) if a.dtype.kind == "i" else _refused(),
    "uint64": lambda a: a.astype(np.uint64) if a.dtype.kind == "i" and a.min() >= 0 else _refused(),
    "long double": lambda a: a.astype(np.longdouble) if a.dtype.kind == "f" else _refused(),
    "texts as objects": lambda a: a.astype(object) if a.dtype.kind == "U" else _refused(),
}
"""Forms of the same numbers: the answer is the same, or there is an error."""

REFUSED: dict[str, Form] = {
    "masked": lambda a: _masked(a, 1),
    "all masked": lambda a: _masked(a, a.size),
    "objects": lambda a: np.array([{}] * a.size + [None], dtype=object)[:-1].reshape(a.shape),
    "complex": lambda a: a.astype(complex) if a.dtype.kind != "U" else _refused(),
    "bytes": lambda a: a.astype("S"),
    "dates": lambda a: a.astype("M8[s]") if a.dtype.kind == "i" else _refused(),
    "records": lambda a: np.zeros(a.shape, [("a", float)]),
    "ragged": _ragged,
    "with a gradient": lambda a: _float_tensor(a, requires_grad=True),
    "bfloat16": lambda a: _float_tensor(a, dtype=torch.bfloat16),
    "sparse": lambda a: _float_tensor(a).to_sparse(),
    "a missing value": lambda a: [None, *a.tolist()[1:]],
    "a set": lambda a: set(a.ravel().tolist()),
    "a function": lambda a: a.sum,
}
"""Forms that must always be refused."""

OTHER: dict[str, Form] = {
    "text": lambda a: a.astype(str) if a.dtype.kind != "U" else _refused(),
    "nan": _with(np.nan),
    "infinity": _with(np.inf),
    "1e308": _with(1e308),
    "1e-320": _with(1e-320),
    "empty": lambda a: a[:0],
    "an axis more": lambda a: a[None],
    "no axis": lambda a: a.ravel()[0],
    "too long": lambda a: np.concatenate([a, a]),
    "too short": lambda a: a[:-1],
    "huge id": _with_id(2**62),
    "negative id": _with_id(-1),
    "id that wraps": _with_id(2**64 - 1, np.uint64),
    "fractions": lambda a: a + 0.5 if a.dtype.kind == "i" else _refused(),
}
"""Other numbers: an answer or an error."""


def copied(value: Any) -> Any:
    """Return a copy of an argument, to compare it with later."""
    if callable(value):
        return value
    return value.detach().clone() if isinstance(value, torch.Tensor) else copy.deepcopy(value)


def unchanged(value: Any, before: Any) -> bool:
    """Say whether an argument is still what its copy is."""
    if isinstance(value, torch.Tensor):
        now, then = (tensor.detach().to_dense().double().numpy() for tensor in (value, before))
        return bool(np.array_equal(now, then, equal_nan=True))
    if isinstance(value, np.ma.MaskedArray):
        return unchanged(value.data, before.data) and unchanged(value.mask, before.mask)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.dtype == before.dtype and value.tobytes() == before.tobytes()
    return callable(value) or (value == before if isinstance(value, set) else repr(value) == repr(before))
