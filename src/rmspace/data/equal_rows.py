"""Rows that are one embedding: to the bit, or except for rounding."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rmspace._typing import FloatArray, IntArray

Hashes = np.ndarray[tuple[int, ...], np.dtype[np.uint64]]
Sketches = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

SKETCH = 5  # numbers of a sketch
_TOLERANCE = {"float32": 1e-5, "float16": 2e-4}  # of the length; a batch changes a row by 1e-7, float16 by 1e-4
_SMALLEST = np.float32(1e-30)


def row_hashes(block: FloatArray) -> Hashes:
    """Hash each row's bytes (the last axis) to 64 bits: its 32-bit words, mixed, are summed with fixed odd weights."""
    pad = -(block.shape[-1] * block.itemsize) % 4
    raw = np.ascontiguousarray(block).view(np.uint8)
    words = np.pad(raw, [(0, 0)] * (block.ndim - 1) + [(0, pad)]).view(np.uint32)
    factors = np.random.default_rng(0).integers(2**63, size=words.shape[-1], dtype=np.uint64) * 2 + 1
    mixed = words * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    return np.einsum("...w,w->...", mixed, factors)


def sketches_of(rows: FloatArray) -> Sketches:
    """Return a short form of each row (n, dim) whose differences are those of the rows: float32 (n, 5).

    It is the row at unit length along 4 fixed random directions, and the logarithm of its length. Rows that differ by d
    of their length differ here by about d. Of a row that is not finite the numbers are not finite.

    >>> a, b, c = sketches_of(np.array([[1.0, 2.0], [1.0000001, 2.0], [2.0, 4.0]]))
    >>> bool(np.allclose(a, b, atol=1e-6)), bool(np.allclose(a, c, atol=1e-6))
    (True, False)
    """
    wide = np.asarray(rows, dtype=np.float32)
    directions = np.random.default_rng(0).normal(size=(wide.shape[1], SKETCH - 1)).astype(np.float32)
    with np.errstate(invalid="ignore"):
        largest = np.maximum(np.abs(wide).max(axis=1), _SMALLEST)  # so that no square overflows
        unit = wide / largest[:, None]
        lengths = np.maximum(np.sqrt(np.einsum("ij,ij->i", unit, unit)), _SMALLEST)
        along = (unit / lengths[:, None]) @ directions
        return np.column_stack([along, np.log(largest) + np.log(lengths)]).astype(np.float32)


def join_near(hashes: Hashes, sketches: Sketches, prompts: IntArray, dtype: np.dtype[np.generic]) -> Hashes:
    """Give rows of one prompt that are equal except for rounding the same hash.

    Args:
        hashes: (n,) of the bytes of each row.
        sketches: (n, 5) of each row, see `sketches_of`.
        prompts: (n,) the prompt of each row.
        dtype: of the rows.

    >>> rows = np.array([[1.0, 2.0], [5.0, 1.0], [1.0000001, 2.0]])
    >>> hashes = np.arange(3, dtype=np.uint64)
    >>> join_near(hashes, sketches_of(rows), np.zeros(3, np.int64), np.dtype("float32")).tolist()
    [0, 1, 0]
    """
    order = np.lexsort((sketches.sum(axis=1), prompts))  # a sum of all, so that near rows are neighbours
    with np.errstate(invalid="ignore"):
        steps = np.abs(np.diff(sketches[order], axis=0))
    near = (steps <= 4 * _TOLERANCE[dtype.name]).all(axis=1) & (np.diff(prompts[order]) == 0)
    starts = np.flatnonzero(np.append(True, ~near))
    smallest = np.minimum.reduceat(hashes[order], starts)
    joined = np.empty_like(hashes)
    joined[order] = np.repeat(smallest, np.diff(np.append(starts, len(order))))
    return joined


def count_distinct(values: npt.NDArray[np.generic], prompts: IntArray, n_prompts: int) -> IntArray:
    """Return how many distinct values each prompt has, int64 (n_prompts,).

    >>> count_distinct(np.array([3, 3, 5]), np.array([0, 0, 2]), 3).tolist()
    [1, 0, 1]
    """
    order = np.lexsort((values, prompts))
    other = (values[order][1:] != values[order][:-1]) | (np.diff(prompts[order]) != 0)
    return np.bincount(prompts[order][np.append(True, other)[: len(order)]], minlength=n_prompts)
