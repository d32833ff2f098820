"""Checks of arrays: each error says the rule, what came, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from rmspace._checks import as_array, as_int64, as_numbers, check_names, describe
from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.data.mapped import Rows

_CHUNK = 1 << 22  # numbers that are checked at a time, so that a memory-mapped array is never copied whole


def check_embeddings(embeddings: npt.ArrayLike, *, flat: bool) -> FloatArray:
    """Return embeddings, `flat` or by prompt, as float16 or float32, without reading them."""
    array = as_array("embeddings", embeddings)
    if array.ndim != (2 if flat else 3) or 0 in array.shape:
        rule = (
            "(n_items, dim) with offsets" if flat else "(n_prompts, n_responses, dim), or (n_items, dim) with offsets"
        )
        raise ValueError(f"embeddings must be {rule}, none of them 0; got {describe(array)}")
    if array.dtype == np.float64:
        return array.astype(np.float32)
    if array.dtype not in (np.float16, np.float32):
        raise TypeError(f"embeddings must be float16 or float32; got {describe(array)}; convert with .astype")
    return array


def check_offsets(offsets: npt.ArrayLike, n_items: int) -> IntArray:
    """Return the offsets of a ragged bank as int64 (n_prompts + 1,), strictly increasing from 0 to n_items."""
    array = as_array("offsets", offsets)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"offsets must be integers (n_prompts + 1,), at least two; got {describe(array)}")
    if array.dtype.kind not in "iu":
        raise TypeError(f"offsets must be integers; got {describe(array)}; convert with .astype(int)")
    array = as_int64("offsets", array)
    steps = np.diff(array)
    if (steps < 0).any():
        row = int(np.argmax(steps < 0))
        raise ValueError(f"offsets must not decrease; offsets[{row + 1}] = {array[row + 1]} follows {array[row]}")
    if array[0] != 0 or array[-1] != n_items:
        raise ValueError(f"offsets must start at 0 and end at the {n_items} items; got {array[0]} to {array[-1]}")
    if (steps == 0).any():
        row = int(np.argmax(steps == 0))
        raise ValueError(f"every prompt must have a response; prompt {row} has none: leave such prompts out")
    return array


def check_ids(ids: npt.ArrayLike, n_prompts: int) -> npt.NDArray[Any]:
    """Return one prompt id per prompt, as int64 or text."""
    return _integers_or_text("prompt_ids", ids, n_prompts, "integers or text")


def check_texts(ids: npt.NDArray[Any], texts: Sequence[str]) -> None:
    """Raise ValueError where one prompt id comes with two different texts.

    >>> check_texts(np.array([7, 8, 7]), ["Hi", "Why?", "Hi"])
    """
    known: dict[object, str] = {}
    for name, text in zip(ids.tolist(), texts, strict=True):
        if known.setdefault(name, text) != text:
            raise ValueError(
                f"prompts with one id must have one text; id {name!r} has {known[name][:60]!r} and {text[:60]!r}; "
                "give different prompts different ids"
            )


def check_rewards(rewards: npt.ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    """Return gold rewards as floating-point numbers of a shape; NaN where nobody rated."""
    array = as_array("rewards", rewards)
    if array.shape != shape:
        raise ValueError(f"rewards must have the shape {_axes(shape)} of the embeddings; got {describe(array)}")
    if array.dtype not in (np.float16, np.float32, np.float64):
        raise TypeError(f"rewards must be floating-point numbers; got {describe(array)}; convert with .astype")
    return array


def check_feature(name: str, value: npt.ArrayLike, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return one number per item, of the shape of the rewards."""
    array = as_array(f"feature {name!r}", value)
    if array.shape != shape or array.dtype.kind not in "iufb":
        raise ValueError(f"feature {name!r} must be numbers {_axes(shape)}; got {describe(array)}")
    return array


def check_columns(columns: Mapping[str, npt.ArrayLike], n: int) -> dict[str, npt.NDArray[Any]]:
    """Return columns as arrays with one value per comparison, numbers or text."""
    check_names("columns", columns)
    found = {name: as_array(f"column {name!r}", value, "numbers or text") for name, value in columns.items()}
    for name, array in found.items():
        if array.shape != (n,):
            raise ValueError(f"column {name!r} must have one value per comparison, ({n},); got {describe(array)}")
        if array.dtype.kind == "u":
            as_int64(f"column {name!r}", array)
    return found


def _axes(shape: tuple[int, ...]) -> str:
    return f"{'(n_items,)' if len(shape) == 1 else '(n_prompts, n_responses)'} = {shape}"


def check_finite(name: str, array: npt.NDArray[Any], ids: IntArray | None = None) -> None:
    """Raise ValueError at the first row with nan or infinity, named by its id where `ids` gives one per row."""
    rows = array.reshape(len(array), -1) if array.size else array[:0]
    step = max(1, _CHUNK // max(1, rows[:1].size))
    for start in range(0, len(rows), step):
        finite = np.isfinite(rows[start : start + step]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            first = row if ids is None else int(ids[row])
            raise ValueError(f"{name} must be finite; row {first} has nan or infinity; see bank.health()")


def to_float32(name: str, array: npt.NDArray[Any], ids: IntArray | None = None) -> npt.NDArray[np.float32]:
    """Return a copy in float32; ValueError where a number is not finite or does not fit float32."""
    check_finite(name, array, ids)
    with np.errstate(over="ignore"):
        stored = np.array(array, dtype=np.float32)
    if array.dtype.itemsize > 4 and not np.isfinite(stored).all():
        row = int(np.argmin(np.isfinite(stored).all(axis=1)))
        raise ValueError(
            f"{name} must fit float32 (at most {np.finfo(np.float32).max:.2g}); row "
            f"{row if ids is None else int(ids[row])} has {np.abs(array[row]).max():.2g}; scale the items"
        )
    return stored


def check_ties(tie: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Return the marks of ties as booleans."""
    array = as_array("column 'tie'", tie)
    if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        raise ValueError(f"column 'tie' must be True or False for each comparison; got {np.unique(array)[:5].tolist()}")
    return array.astype(bool)


def check_items(items: npt.ArrayLike) -> FloatArray:
    """Return items as a floating-point (n_items, dim) array, without reading them."""
    if hasattr(items, "n_items"):
        kind = type(items).__name__
        raise TypeError(f"items must be an array (n_items, dim); got {kind}; give {kind}.items")
    array = cast(FloatArray, items) if isinstance(items, Rows) else as_array("items", items)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"items must be (n_items, dim); got {describe(array)}; use bank.items")
    if not np.issubdtype(array.dtype, np.floating):
        raise TypeError(f"items must be floating-point numbers; got {describe(array)}; convert with .astype")
    return array


def check_pairs(name: str, pairs: npt.ArrayLike, n_items: int, *, self_allowed: bool = False) -> IntArray:
    """Return pairs or comparisons as int64 (n_pairs, 2) ids in [0, n_items), by default no item with itself."""
    array = as_array(name, pairs)
    if array.ndim != 2 or array.shape[1] != 2 or len(array) == 0:
        raise ValueError(f"{name} must be item ids of shape (n, 2), n at least 1; got {describe(array)}")
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"{name} must be integer item ids; got {describe(array)}; convert with .astype(int)")
    if array.min() < 0 or array.max() >= n_items:
        wrong = int(array.max() if array.max() >= n_items else array.min())
        raise ValueError(f"{name} must hold item ids in [0, {n_items}); got {wrong}; ids count within one bank")
    same = array[:, 0] == array[:, 1]
    if same.any() and not self_allowed:
        row = int(np.argmax(same))
        raise ValueError(f"{name} must compare two different items; row {row} has item {array[row, 0]} twice")
    return as_int64(name, array)


def swap_rows(first: IntArray, second: IntArray, swap: npt.NDArray[np.bool_]) -> IntArray:
    """Return the rows (first, second), int64 (n, 2), and (second, first) where `swap`.

    >>> swap_rows(np.array([1, 2]), np.array([3, 4]), np.array([False, True])).tolist()
    [[1, 3], [4, 2]]
    """
    rows = np.empty((len(first), 2), dtype=np.int64)
    step = (second - first) * swap  # a sum takes a fifth of the time of a choice by a random mask
    np.add(first, step, out=rows[:, 0])
    np.subtract(second, step, out=rows[:, 1])
    return rows


def check_weights(sample_weight: npt.ArrayLike | None, n: int) -> Float64Array:
    """Return one weight per comparison, `balanced`, since only their ratios count; ones when None.

    Raises:
        ValueError: weights that are not finite, negative, or zero everywhere.
    """
    if sample_weight is None:
        return np.ones(n)
    array = as_numbers("sample_weight", sample_weight)
    if array.shape != (n,):
        raise ValueError(f"sample_weight must be one number per comparison, ({n},); got {describe(array)}")
    if not np.isfinite(array).all() or array.min() < 0 or array.max() == 0:
        raise ValueError("sample_weight must be finite, not negative, and not zero everywhere")
    return balanced(array)


def balanced(weights: Float64Array) -> Float64Array:
    """Return weights times the power of two that puts the largest in [1, 2), so that their sums keep all digits.

    >>> balanced(np.array([1e308, 1e308])).sum() > 2, balanced(np.array([1.0, 0.5])).tolist()
    (np.True_, [1.0, 0.5])
    """
    exponent = int(np.frexp(weights.max(initial=0.0))[1])
    return np.ldexp(weights, 1 - exponent)


def check_groups(groups: npt.ArrayLike, n_items: int) -> npt.NDArray[Any]:
    """Return one group (prompt) per item."""
    return _integers_or_text("groups", groups, n_items, "one prompt per item, integers or text")


def _integers_or_text(name: str, ids: npt.ArrayLike, n: int, rule: str) -> npt.NDArray[Any]:
    array = as_array(name, ids, f"{rule}, ({n},)")
    if array.shape != (n,) or array.dtype.kind not in "iuU":
        raise ValueError(f"{name} must be {rule}, ({n},); got {describe(array)}")
    return array if array.dtype.kind == "U" else as_int64(name, array)


def check_gold(rewards: npt.ArrayLike, *, complete: bool = True) -> Float64Array:
    """Return gold rewards as float64 (n_prompts, n_responses); unless `complete`, NaN marks an unrated response."""
    array = as_array("rewards", rewards)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "biuf":
        raise ValueError(f"rewards must be numbers (n_prompts, n_responses); got {describe(array)}")
    if complete:
        check_finite("rewards", array)
    elif not np.isfinite(array).all():
        check_no_infinity(array)
    return array.astype(np.float64, copy=False)


def check_no_infinity(rewards: FloatArray) -> None:
    """Raise ValueError where a gold reward is infinite, or where all are NaN."""
    if rewards.size and np.isfinite(rewards.min()) and np.isfinite(rewards.max()):
        return
    if np.isinf(rewards).any():
        row = int(np.argmax(np.isinf(rewards).reshape(len(rewards), -1).any(axis=1)))
        raise ValueError(f"rewards must be finite, or NaN where nobody rated; row {row} has infinity")
    if np.isnan(rewards).all():
        raise ValueError("rewards must have a number somewhere; all are NaN, so nothing is rated")


def check_scores(
    scores: npt.ArrayLike, rewards: npt.ArrayLike, *, complete: bool = False
) -> tuple[Float64Array, Float64Array]:
    """Return (scores, rewards) as float64 (n_prompts, width); flat scores are reshaped.

    Rewards are finite, or NaN where nobody rated, unless they must be `complete`. Scores are finite where rewards are.
    """
    gold = check_gold(rewards, complete=complete)
    array = as_array("scores", scores)
    if (array.shape != gold.shape and array.shape != (gold.size,)) or array.dtype.kind not in "biuf":
        raise ValueError(
            f"scores must be one number per reward, {gold.shape} or ({gold.size},); got {describe(array)}; scores of "
            "the items of a ragged bank go through bank.padded"
        )
    array = array.astype(np.float64, copy=False).reshape(gold.shape)
    unrated = np.isnan(gold)
    check_finite("scores", np.where(unrated, 0.0, array) if unrated.any() else array)
    return array, gold


def number_ids(ids: npt.ArrayLike) -> IntArray:
    """Number ids 0, 1, ... by first appearance: equal ids get equal numbers.

    >>> number_ids(["b", "a", "b"]).tolist()
    [0, 1, 0]
    """
    array = as_array("ids", ids)
    if array.dtype.kind in "iu" and (array[1:] > array[:-1]).all():
        return np.arange(len(array))
    _, first, inverse = np.unique(array, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def check_selection(chosen: int | slice | npt.ArrayLike, n: int, noun: str) -> IntArray:
    """Return the row numbers that a selection chooses: one row, a slice, rows in any order, or a mask (n,)."""
    rule = f"a selection is a slice, rows of {noun}s, or a mask ({n},)"
    if isinstance(chosen, tuple):
        raise TypeError(f"{rule}; got a tuple; for one response use bank.embeddings[prompt, response]")
    if isinstance(chosen, slice):
        rows = np.arange(n)[chosen]
    else:
        ids = np.atleast_1d(as_array("a selection", chosen, rule.removeprefix("a selection is ")))
        ids = ids.astype(int) if ids.size == 0 else ids
        mask = ids.dtype == bool
        if ids.ndim != 1 or (mask and len(ids) != n) or (not mask and ids.dtype.kind not in "iu"):
            raise TypeError(
                f"{rule}; got {describe(ids)}; to choose by ids make a mask: numpy.isin(bank.prompt_ids, ids)"
            )
        if not mask and len(ids) and (ids.min() < -n or ids.max() >= n):
            raise IndexError(f"rows of {noun}s must be in [0, {n}); got {ids.min()} to {ids.max()}")
        rows = np.arange(n)[ids]
    if len(rows) == 0:
        raise ValueError(f"a selection must have at least one {noun}; this one has none")
    return rows
