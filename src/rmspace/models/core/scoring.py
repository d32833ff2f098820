"""Scores of many items, block by block, and how well scores order comparisons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rmspace._checks import as_numbers
from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.data.arrays import to_float32
from rmspace.data.mapped import blocks
from rmspace.models.io.tensors import fill

_BLOCK_NUMBERS = 1 << 22  # numbers of a block

Buffers = dict[tuple[torch.dtype, torch.device], Tensor]


class Block:
    """Some rows of items, converted at most once to each form that a model asks for."""

    def __init__(self, rows: FloatArray, ids: IntArray, buffers: Buffers) -> None:
        self._rows, self._ids, self._buffers = rows, ids, buffers
        self._array: FloatArray | None = None
        self._tensors: Buffers = {}

    def array(self) -> FloatArray:
        """Return the rows as float32 (n_rows, dim); ValueError where they are not finite."""
        if self._array is None:
            self._array = to_float32("items", self._rows, self._ids)
        return self._array

    def tensor(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return the rows as a tensor, valid until the next block; ValueError where they are not finite."""
        key = dtype, device
        if key not in self._tensors:
            if key not in self._buffers:  # the first block is the largest
                self._buffers[key] = torch.empty(self._rows.shape, dtype=dtype, device=device)
            self._tensors[key] = self._buffers[key][: len(self._rows)]
            fill(self._tensors[key], self._rows, self._ids)
        return self._tensors[key]


Scorer = Callable[[Block], FloatArray]  # rows (n_rows, dim) -> scores (..., n_rows)


def score_blocks(items: FloatArray, score: Scorer) -> Float64Array:
    """Score items (n_items, dim) block by block -> (..., n_items); each block is read and converted once.

    Raises:
        ValueError: items that are not finite.
        FloatingPointError: scores that are not finite.
    """
    size = max(1, _BLOCK_NUMBERS // items.shape[1])
    buffers: Buffers = {}
    found = [
        finite_scores(score(Block(rows, np.arange(part.start, part.stop), buffers)))
        for part, rows in blocks(items, size=size)
    ]
    return np.concatenate(found, axis=-1) if found else np.empty(0)


def finite_scores(scores: npt.ArrayLike) -> Float64Array:
    """Return scores as float64; FloatingPointError where they are not finite."""
    array = as_numbers("scores", scores)
    if not np.isfinite(array).all():
        raise FloatingPointError("the scores overflow; scale the items as they were in the fit")
    return array


def share_in_order(winner: Any, loser: Any, weights: Any = None, tie: Any = None) -> float:
    """Weighted share of comparisons whose winner has the higher score; equal scores and ties count half.

    >>> share_in_order(np.array([1.0, 2.0, 0.0]), np.array([0.0, 2.0, 3.0]))
    0.5
    """
    right = np.where(winner == loser, 0.5, np.asarray(winner > loser, dtype=np.float64))
    if tie is not None:
        right = np.where(tie, 0.5, right)
    return float(np.average(right, weights=weights))
