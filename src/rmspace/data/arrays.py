"""Checks of arrays: each error says the rule, what came, and what to do."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from rmspace._checks import describe
from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.data.mapped import Rows

_CHUNK = 1 << 22  # numbers looked at together, so that a memory-mapped array is never copied whole


def check_embeddings(embeddings: npt.ArrayLike) -> FloatArray:
    """Return embeddings as (n_prompts, n_responses, dim) float16 or float32, without reading them."""
    array = np.asanyarray(embeddings)
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(f"embeddings must be (n_prompts, n_responses, dim), none of them 0; got {describe(array)}")
    if array.dtype == np.float64:
        return array.astype(np.float32)
    if array.dtype not in (np.float16, np.float32):
        raise TypeError(f"embeddings must be float16 or float32; got {describe(array)}; convert with .astype")
    return array


def check_rewards(rewards: npt.ArrayLike, shape: tuple[int, int]) -> FloatArray:
    """Return gold rewards as float (n_prompts, n_responses)."""
    array = np.asanyarray(rewards)
    if array.shape != shape:
        raise ValueError(
            f"rewards must have the shape (n_prompts, n_responses) = {shape} of the embeddings; got {describe(array)}"
        )
    if array.dtype not in (np.float16, np.float32, np.float64):
        raise TypeError(f"rewards must be floating-point numbers; got {describe(array)}; convert with .astype")
    return array


def check_finite(name: str, array: npt.NDArray[Any], ids: IntArray | None = None) -> None:
    """Raise where a number is nan or infinite, naming the first row that has one, by its id where `ids` gives them."""
    rows = array.reshape(len(array), -1)
    step = max(1, _CHUNK // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        finite = np.isfinite(rows[start : start + step]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            first = row if ids is None else int(ids[row])
            raise ValueError(f"{name} must be finite; row {first} has nan or infinity; see bank.health()")


def to_float32(name: str, array: npt.NDArray[Any], ids: IntArray | None = None) -> npt.NDArray[np.float32]:
    """Return a copy in float32; ValueError where numbers are not finite, or not in float32."""
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


def check_items(items: npt.ArrayLike) -> FloatArray:
    """Return items as a floating-point (n_items, dim) array, without reading them."""
    array = cast(FloatArray, items) if isinstance(items, Rows) else np.asanyarray(items)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"items must be (n_items, dim); got {describe(array)}; use bank.items")
    if not np.issubdtype(array.dtype, np.floating):
        raise TypeError(f"items must be floating-point numbers; got {describe(array)}; convert with .astype")
    return array


def check_pairs(name: str, pairs: npt.ArrayLike, n_items: int) -> IntArray:
    """Return pairs or comparisons as int64 (n_pairs, 2) ids in [0, n_items), no item against itself."""
    array = np.asanyarray(pairs)
    if array.ndim != 2 or array.shape[1] != 2 or len(array) == 0:
        raise ValueError(f"{name} must be item ids of shape (n, 2), n at least 1; got {describe(array)}")
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"{name} must be integer item ids; got {describe(array)}; convert with .astype(int)")
    if array.min() < 0 or array.max() >= n_items:
        wrong = int(array.max() if array.max() >= n_items else array.min())
        raise ValueError(f"{name} must hold item ids in [0, {n_items}); got {wrong}; ids count within one bank")
    same = array[:, 0] == array[:, 1]
    if same.any():
        row = int(np.argmax(same))
        raise ValueError(f"{name} must compare two different items; row {row} has item {array[row, 0]} twice")
    return array.astype(np.int64, copy=False)


def check_weights(sample_weight: npt.ArrayLike | None, n: int) -> Float64Array:
    """Return one weight a comparison, finite, not negative, not all zero; ones when None."""
    if sample_weight is None:
        return np.ones(n)
    array = np.asarray(sample_weight, dtype=np.float64)
    if array.shape != (n,):
        raise ValueError(f"sample_weight must be one number a comparison, ({n},); got {describe(array)}")
    if not np.isfinite(array).all() or array.min() < 0 or array.max() == 0:
        raise ValueError("sample_weight must be finite, not negative, and not zero everywhere")
    return array


def check_groups(groups: npt.ArrayLike, n_items: int) -> npt.NDArray[Any]:
    """Return one group (prompt) an item."""
    array = np.asarray(groups)
    if array.shape != (n_items,):
        raise ValueError(f"groups must be one prompt an item, ({n_items},); got {describe(array)}; use bank.groups")
    return array


def check_gold(rewards: npt.ArrayLike) -> Float64Array:
    """Return finite gold rewards as float64 (n_prompts, n_responses)."""
    array = np.asarray(rewards)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"rewards must be (n_prompts, n_responses); got {describe(array)}")
    check_finite("rewards", array)
    return array.astype(np.float64, copy=False)


def check_scores(scores: npt.ArrayLike, rewards: npt.ArrayLike) -> tuple[Float64Array, Float64Array]:
    """Return (scores, rewards) as finite float64 (n_prompts, n_responses); flat scores are reshaped."""
    gold = check_gold(rewards)
    array = np.asarray(scores)
    if array.shape != gold.shape and array.shape != (gold.size,):
        raise ValueError(f"scores must be one number a reward, {gold.shape} or ({gold.size},); got {describe(array)}")
    array = array.astype(np.float64, copy=False).reshape(gold.shape)
    check_finite("scores", array)
    return array, gold


def number_ids(ids: npt.ArrayLike) -> IntArray:
    """Number ids 0, 1, ... by first appearance: equal ids get equal numbers.

    >>> number_ids(["b", "a", "b"]).tolist()
    [0, 1, 0]
    """
    _, first, inverse = np.unique(np.asarray(ids), return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
