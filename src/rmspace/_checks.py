"""Checks of single values: each error says the rule, what came, and what to do."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rmspace._typing import Float64Array, IntArray


def describe(array: npt.NDArray[Any]) -> str:
    """Return 'float32 of shape (3, 4)', the way every message names an array."""
    return f"{array.dtype} of shape {array.shape}"


def as_array(name: str, value: object, rule: str = "an array of numbers or text") -> npt.NDArray[Any]:
    """Return an argument as numbers or text in the byte order of the machine; what is mapped stays mapped.

    No copy is made where none is needed. Lists, pandas objects and tensors are accepted; numbers of more than 64 bits
    become float64.

    Raises:
        TypeError: masked entries, objects, complex numbers, a tensor that numpy cannot hold.
        ValueError: lists of different lengths, or of numbers and text.

    >>> as_array("rewards", np.ma.masked_array([1.0, 2.0], [False, True]))
    Traceback (most recent call last):
    TypeError: rewards must have no masked entries; 1 of 2 are masked; leave them out, or fill them: .filled(value)
    """
    _check_masks(name, value)
    _check_tensor(name, value)
    array = _texts_of(_converted(name, value, rule))
    if array.dtype.kind not in "biufU":
        raise TypeError(f"{name} must be {rule}; got {_came(array, value)}")
    if array.dtype.kind == "U" and isinstance(value, list | tuple) and not _all_text(value):
        raise ValueError(f"{name} must be all numbers or all text, since 1 and '1' differ; got both")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            return array.astype(np.float64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def as_numbers(name: str, value: object, rule: str = "an array of numbers") -> Float64Array:
    """Return an argument as float64, of any shape; text is no number.

    >>> as_numbers("gap", ["1.0"])
    Traceback (most recent call last):
    TypeError: gap must be an array of numbers; got text of shape (1,)
    """
    array = as_array(name, value, rule)
    if array.dtype.kind == "U":
        raise TypeError(
            f"{name} must be {rule}; got text{f' of shape {array.shape}' if array.ndim else f', {shown(value)}'}"
        )
    return array.astype(np.float64, copy=False)


def as_int64(name: str, array: npt.NDArray[Any]) -> IntArray:
    """Return integers as int64; ValueError where one would become another number.

    >>> as_int64("groups", np.array([2**64 - 1], np.uint64))
    Traceback (most recent call last):
    ValueError: groups must fit int64; got 18446744073709551615; give such ids as text
    """
    if array.dtype.kind == "u" and array.max(initial=0) > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must fit int64; got {array.max()}; give such ids as text")
    return array.astype(np.int64, copy=False)


def _check_masks(name: str, value: object) -> None:
    parts = [value] if np.ma.isMaskedArray(value) else value if isinstance(value, list | tuple) else []
    masked = [np.ma.getmaskarray(part) for part in parts if np.ma.isMaskedArray(part)]
    if count := sum(int(mask.sum()) for mask in masked):
        size = len(parts) if len(masked) < len(parts) else sum(mask.size for mask in masked)
        raise TypeError(
            f"{name} must have no masked entries; {count} of {size} are masked; leave them out, or fill them: "
            ".filled(value)"
        )


def _check_tensor(name: str, value: Any) -> None:
    """Raise TypeError for a tensor that numpy cannot hold, with the call that makes one that it can."""
    if not hasattr(value, "requires_grad"):
        return
    steps = {
        "detach()": value.requires_grad,
        "to_dense()": "strided" not in str(getattr(value, "layout", "strided")),
        "cpu()": getattr(getattr(value, "device", None), "type", "cpu") != "cpu",
        "float()": str(value.dtype) in ("torch.bfloat16", "torch.float8_e4m3fn", "torch.float8_e5m2"),
    }
    if needed := [step for step, is_needed in steps.items() if is_needed]:
        has = "that needs a gradient" if value.requires_grad else f"of {value.dtype}, {value.layout}, on {value.device}"
        raise TypeError(f"{name} must be what numpy can hold; got a tensor {has}; give tensor.{'.'.join(needed)}")


def _converted(name: str, value: Any, rule: str) -> npt.NDArray[Any]:
    try:
        array = np.asanyarray(value) if isinstance(value, np.memmap) else np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        if "inhomogeneous" in str(error):
            raise ValueError(f"{name} must be {rule}; got lists of different lengths, which are no array") from error
        reason = str(error).partition("\n")[0]
        raise TypeError(f"{name} must be {rule}; got {type(value).__name__}, which is no array ({reason})") from error
    kind = getattr(getattr(value, "dtype", None), "numpy_dtype", None)  # of pandas' own columns without missing values
    is_nullable = array.dtype.kind == "O" and isinstance(kind, np.dtype) and not value.isna().any()
    return array.astype(kind) if is_nullable else array


def _texts_of(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return objects that are all text as text; other arrays as they are."""
    is_text = array.dtype.kind in "OT" and array.size and all(isinstance(each, str) for each in array.ravel())
    return np.array(array.tolist(), dtype=str) if is_text else array


def _all_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list | tuple | np.ndarray) and all(map(_all_text, value)))


def _came(array: npt.NDArray[Any], value: object) -> str:
    if array.dtype.kind == "c":
        return f"{describe(array)}; take the real part: .real"
    if array.dtype.kind != "O":
        return describe(array)
    if array.ndim == 0:
        return "None" if value is None else type(value).__name__
    kinds = sorted({type(each).__name__ for each in array.ravel()})
    return f"{describe(array)}, of {', '.join(kinds[:3]) or 'nothing'}; convert with .astype"


def shown(value: object) -> str:
    """Return what a message says of a value: its `repr`, on one line, cut to 80 characters.

    >>> shown(np.zeros((2, 2)))
    'array([[0., 0.], [0., 0.]])'
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def printable(text: str) -> str:
    """Return a text that UTF-8 can hold: a lone surrogate becomes its escape.

    >>> printable("bad \\ud800")
    'bad \\\\ud800'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def check_int(name: str, value: object, *, low: int | None = None, high: int | None = None) -> int:
    """Return `value` as an int in [low, high]; a bool or a float is not one."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer; got {shown(value)} ({type(value).__name__})")
    _check_range(name, int(value), low, high)
    return int(value)


def check_number(
    name: str, value: object, *, low: float | None = None, high: float | None = None, finite: bool = True
) -> float:
    """Return `value` as a float in [low, high]; a bool is not a number."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} must be a number; got {shown(value)} ({type(value).__name__})")
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError(f"{name} must fit float64; got an integer of {len(str(value))} digits") from error
    if math.isnan(number) or (finite and math.isinf(number)):
        raise ValueError(f"{name} must be {'finite' if finite else 'a number'}; got {shown(value)}")
    _check_range(name, number, low, high)
    return number


def _check_range(name: str, value: int | float, low: float | None, high: float | None) -> None:
    if (low is not None and value < low) or (high is not None and value > high):
        rule = f"at least {low}" if high is None else f"at most {high}" if low is None else f"in [{low}, {high}]"
        raise ValueError(f"{name} must be {rule}; got {value if isinstance(value, int) else f'{value:g}'}")


def check_rng(rng: object) -> np.random.Generator:
    """Return `rng` if it is a numpy Generator; a seed is not one."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator; got {shown(rng)}; use np.random.default_rng(seed)")
    return rng


def check_function(name: str, value: object, rule: str) -> None:
    """Raise TypeError where `value` is no function, or has options without a default that nobody bound.

    >>> check_function("annotator", "oracle", "of gaps")
    Traceback (most recent call last):
    TypeError: annotator must be a function of gaps; got 'oracle'; use rmspace.oracle
    """
    if not callable(value):
        advice = f"; use rmspace.{value}" if isinstance(value, str) and value.isidentifier() else ""
        raise TypeError(f"{name} must be a function {rule}; got {shown(value)}{advice}")
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):  # a function without a signature
        return
    if missing := [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]:
        own = getattr(value, "__name__", name)
        bound = ", ".join(f"{option}=..." for option in missing)
        raise TypeError(f"{own} needs {' and '.join(missing)}; bind it: functools.partial({own}, {bound})")


def check_names(name: str, value: object) -> None:
    """Raise TypeError where `value` does not map names to something."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must map names to what they name, {{'a': ...}}; got {type(value).__name__}")


def check_bool(name: str, value: object) -> bool:
    """Return `value` as a bool; a text or a number is not one, since "no" would count as true."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False; got {shown(value)} ({type(value).__name__})")
    return bool(value)
