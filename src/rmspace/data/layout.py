"""How a bank holds its embeddings: a 3-D array where all prompts have equally many responses, flat rows otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rmspace._typing import FloatArray, IntArray
from rmspace.data.mapped import blocks, choose, mapped

Blocks = Iterator[tuple[slice, FloatArray]]


class Rectangular:
    """Some prompts of an array (n_prompts, n_responses, dim); nothing is read or copied until it is used.

    Args:
        source: float16 or float32 (n_prompts, n_responses, dim).
        selected: the prompts of `source` that belong to the bank, in order; all when None.
    """

    def __init__(self, source: FloatArray, selected: IntArray | None = None) -> None:
        self.source, self.selected = source, selected
        self.width, self.dim = int(source.shape[1]), int(source.shape[2])
        n_prompts = len(source) if selected is None else len(selected)
        self.offsets: IntArray = np.arange(n_prompts + 1) * self.width

    @cached_property
    def embeddings(self) -> FloatArray:
        """Embeddings (n_prompts, n_responses, dim)."""
        return self.source if self.selected is None else choose(self.source, self.selected)

    @cached_property
    def items(self) -> FloatArray:
        """Embeddings as rows (n_items, dim)."""
        n_prompts, n_responses, dim = self.source.shape
        swapped = self.source.swapaxes(0, 1)
        if self._in_order or not mapped(self.source):
            return self.embeddings.reshape(-1, dim)
        prompts = np.arange(n_prompts) if self.selected is None else self.selected
        if self.source.flags.c_contiguous:
            ids = prompts[:, None] * n_responses + np.arange(n_responses)
            return choose(self.source.reshape(-1, dim), ids.ravel())
        if swapped.flags.c_contiguous:  # the file has the responses first
            ids = prompts[:, None] + np.arange(n_responses) * n_prompts
            return choose(swapped.reshape(-1, dim), ids.ravel())
        return np.asarray(self.embeddings).reshape(-1, dim)

    def item_blocks(self, size: int | None) -> Blocks:
        """Yield (slice of item ids, rows), whole prompts at a time."""
        n_prompts = None if size is None else max(1, size // self.width)
        for part, block in blocks(self.embeddings, size=n_prompts):
            yield slice(part.start * self.width, part.stop * self.width), block.reshape(-1, self.dim)

    def take(self, values: npt.NDArray[Any], prompts: IntArray) -> npt.NDArray[Any]:
        """Return the values (n_items,) of some prompts, prompt by prompt."""
        return values.reshape(-1, self.width)[prompts].reshape(-1)

    def select(self, prompts: IntArray, *, is_range: bool) -> Rectangular:
        """Return the layout of some prompts; `is_range` says that they follow one another."""
        if is_range and self._in_order:
            return Rectangular(self.source[prompts[0] : prompts[-1] + 1])
        return Rectangular(self.source, prompts if self.selected is None else self.selected[prompts])

    @property
    def _in_order(self) -> bool:
        """Whether a range of prompts is a range of `source`, in the order of the file."""
        return self.selected is None and bool(self.source.flags.c_contiguous)


class Ragged:
    """Some rows of an array (n_rows, dim), cut into prompts by offsets; nothing is read or copied until it is used.

    Args:
        source: float16 or float32 (n_rows, dim).
        offsets: int64 (n_prompts + 1,): prompt p has the items offsets[p] to offsets[p + 1] - 1.
        selected: the rows of `source` that are the items, in order; all when None.
    """

    def __init__(self, source: FloatArray, offsets: IntArray, selected: IntArray | None = None) -> None:
        self.source, self.offsets, self.selected = source, offsets, selected
        self.dim = int(source.shape[1])

    @cached_property
    def embeddings(self) -> FloatArray:
        """Embeddings (n_prompts, n_responses, dim), where all prompts have the same number of responses."""
        counts = np.unique(np.diff(self.offsets))
        if len(counts) > 1:
            raise ValueError(
                f"prompts with different numbers of responses ({counts[0]} to {counts[-1]}) have no array (n_prompts, "
                "n_responses, dim); use bank.items with bank.offsets"
            )
        return np.asarray(self.items).reshape(-1, int(counts[0]), self.dim)

    @cached_property
    def items(self) -> FloatArray:
        """Embeddings as rows (n_items, dim)."""
        return self.source if self.selected is None else choose(self.source, self.selected)

    def item_blocks(self, size: int | None) -> Blocks:
        """Yield (slice of item ids, rows)."""
        return blocks(self.items, size=size)

    def take(self, values: npt.NDArray[Any], prompts: IntArray) -> npt.NDArray[Any]:
        """Return the values (n_items,) of some prompts, prompt by prompt."""
        return values[self._item_ids(prompts)]

    def _item_ids(self, prompts: IntArray) -> IntArray:
        offsets = _offsets_of(self.offsets, prompts)
        shift = self.offsets[prompts] - offsets[:-1]
        return np.repeat(shift, np.diff(offsets)) + np.arange(offsets[-1])

    def select(self, prompts: IntArray, *, is_range: bool) -> Rectangular | Ragged:
        """Return the layout of some prompts; `is_range` says that they follow one another."""
        offsets = _offsets_of(self.offsets, prompts)
        if is_range and self.selected is None:
            return layout_of(self.source[self.offsets[prompts[0]] : self.offsets[prompts[-1] + 1]], offsets)
        ids = self._item_ids(prompts)
        return Ragged(self.source, offsets, ids if self.selected is None else self.selected[ids])


def layout_of(items: FloatArray, offsets: IntArray) -> Rectangular | Ragged:
    """Return the layout of flat items: rectangular where all prompts have the same number of responses."""
    counts = np.diff(offsets)
    if (counts == counts[0]).all():
        return Rectangular(items.reshape(len(counts), int(counts[0]), items.shape[1]))
    return Ragged(items, offsets)


def _offsets_of(offsets: IntArray, prompts: IntArray) -> IntArray:
    return np.concatenate([[0], np.cumsum(np.diff(offsets)[prompts])]).astype(np.int64)
