"""The bank: embedded responses of many prompts, with their gold rewards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from rmspace._checks import as_array, describe
from rmspace._typing import FloatArray, IntArray, PathLike
from rmspace.data.array_files import SavedFiles
from rmspace.data.arrays import (
    check_embeddings,
    check_feature,
    check_ids,
    check_offsets,
    check_rewards,
    check_selection,
    check_texts,
    number_ids,
)
from rmspace.data.bank_files import read_bank, write_bank
from rmspace.data.layout import Ragged, Rectangular, layout_of
from rmspace.data.mapped import blocks

if TYPE_CHECKING:
    import pandas as pd


class ResponseBank:
    """Embeddings of the responses to each of `n_prompts` prompts, with gold rewards or none.

    An item is one prompt-response pair: one row of `items`. Its id is `offsets[prompt] + response`, and counts within
    its own bank. In a rectangular bank every prompt has the same number of responses. A ragged bank has prompts with
    different numbers of responses; it is made from flat items and `offsets`. No array is padded.

    The bank keeps the arrays that it gets, memory-mapped arrays too. It reads no value before it is used, and checks
    the values that it reads. `health()` checks all values.

    Args:
        embeddings: float16 or float32 (n_prompts, n_responses, dim), or (n_items, dim) with `offsets`; float64 is
            converted to float32.
        rewards: gold rewards (n_prompts, n_responses), or (n_items,) with `offsets`; NaN where nobody rated. None for
            a bank without rewards.
        offsets: integers (n_prompts + 1,) of a ragged bank: prompt p has the items offsets[p] to offsets[p + 1] - 1.
        features: other numbers per item, by name, each of the shape of the rewards, such as response lengths.
        prompt_ids: (n_prompts,) integers or text; 0, 1, ... when None. Prompts with the same id are the same prompt:
            splits, groups and intervals keep them together.
        metadata: anything that JSON can hold: source, licence, names of the generators. Where "prompts" lists a text
            per prompt, prompts with the same id must have the same text.

    Raises:
        ValueError: a shape that does not fit the embeddings; offsets that do not start at 0, decrease, end elsewhere
            than at n_items, or leave a prompt without responses; one prompt id with two texts.
        TypeError: a dtype that is not one of those above.

    >>> bank = ResponseBank(np.zeros((3, 2, 4), np.float32), rewards=np.arange(6.0).reshape(3, 2))
    >>> bank
    ResponseBank(n_prompts=3, n_responses=2, dim=4, dtype=float32, rewards=True)
    >>> bank.items.shape, bank.groups.tolist()
    ((6, 4), [0, 0, 1, 1, 2, 2])
    >>> bank[[2, 0]].rewards.tolist(), bank[1:].prompt_ids.tolist()
    ([[4.0, 5.0], [0.0, 1.0]], [1, 2])
    >>> ragged = ResponseBank(np.zeros((3, 4), np.float32), np.array([1.0, 2.0, 3.0]), offsets=[0, 1, 3])
    >>> ragged.counts.tolist(), ragged.rewards.tolist()
    ([1, 2], [[1.0, nan], [2.0, 3.0]])
    """

    def __init__(
        self,
        embeddings: npt.ArrayLike,
        rewards: npt.ArrayLike | None = None,
        *,
        offsets: npt.ArrayLike | None = None,
        features: Mapping[str, npt.ArrayLike] | None = None,
        prompt_ids: npt.ArrayLike | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        array = check_embeddings(embeddings, flat=offsets is not None)
        shape = array.shape[:-1]
        self._layout: Rectangular | Ragged = (
            Rectangular(array) if offsets is None else layout_of(array, check_offsets(offsets, len(array)))
        )
        self._rewards = None if rewards is None else check_rewards(rewards, shape).reshape(-1)
        self._features = {n: check_feature(n, value, shape).reshape(-1) for n, value in (features or {}).items()}
        n_prompts = len(self._layout.offsets) - 1
        self.prompt_ids = np.arange(n_prompts) if prompt_ids is None else check_ids(prompt_ids, n_prompts)
        self.metadata = dict(metadata or {})
        texts = self.metadata.get("prompts")
        if prompt_ids is not None and isinstance(texts, list) and len(texts) == n_prompts:
            check_texts(self.prompt_ids, texts)
        self._files: SavedFiles | None = None  # of a bank that was opened
        self._origin = object()  # selections keep it, so that their prompt ids can be compared

    def __repr__(self) -> str:
        low, high = self.counts.min(), self.counts.max()
        responses = f"{high}" if self.is_rectangular else f"{low} to {high}"
        return (
            f"ResponseBank(n_prompts={self.n_prompts}, n_responses={responses}, dim={self.dim}, "
            f"dtype={self.dtype}, rewards={self.has_rewards})"
        )

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return len(self.prompt_ids)

    @property
    def n_responses(self) -> int:
        """Number of responses per prompt.

        Raises:
            ValueError: prompts have different numbers of responses; `counts` has them.
        """
        if not self.is_rectangular:
            raise ValueError(
                f"prompts of this bank have different numbers of responses ({self.counts.min()} to "
                f"{self.counts.max()}), so it has no n_responses; use bank.counts"
            )
        return int(self.counts[0])

    @property
    def n_items(self) -> int:
        """Number of prompt-response pairs."""
        return int(self.offsets[-1])

    @property
    def dim(self) -> int:
        """Length of one embedding."""
        return self._layout.dim

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the embeddings, float16 or float32."""
        return self._layout.source.dtype

    @property
    def offsets(self) -> IntArray:
        """First item of each prompt, and the number of items at the end, int64 (n_prompts + 1,)."""
        return self._layout.offsets

    @cached_property
    def counts(self) -> IntArray:
        """Number of responses of each prompt, int64 (n_prompts,)."""
        return np.diff(self.offsets)

    @cached_property
    def is_rectangular(self) -> bool:
        """Whether all prompts have the same number of responses."""
        return isinstance(self._layout, Rectangular) or bool((self.counts == self.counts[0]).all())

    @property
    def embeddings(self) -> FloatArray:
        """Embeddings (n_prompts, n_responses, dim) of a rectangular bank.

        A selection of prompts from a file is read only where it is used. It can be indexed like an array; any other use
        turns it into one (`numpy.asarray`).

        Raises:
            ValueError: prompts have different numbers of responses; `items` has the rows.
        """
        return self._layout.embeddings

    @property
    def items(self) -> FloatArray:
        """Embeddings as rows (n_items, dim), in the order of the item ids; read where they are used."""
        return self._layout.items

    @property
    def groups(self) -> IntArray:
        """The number of the prompt of each item, int64 (n_items,).

        Prompts are numbered by first appearance of their ids, so that prompts with the same id share a number.
        """
        return np.repeat(self._prompt_numbers, self.counts)

    @cached_property
    def has_repeated_ids(self) -> bool:
        """Whether two prompts have the same id, so that they are one prompt."""
        return bool(self._prompt_numbers.max() + 1 < self.n_prompts)

    @cached_property
    def _prompt_numbers(self) -> IntArray:
        return number_ids(self.prompt_ids)

    @cached_property
    def rewards(self) -> FloatArray:
        """Gold rewards as a table (n_prompts, n_responses), NaN where nobody rated.

        A ragged bank has the table (n_prompts, largest count), with NaN also where there is no response.

        Raises:
            ValueError: the bank has no rewards; `has_rewards` tells.
        """
        return self.padded(self.item_rewards)

    @property
    def item_rewards(self) -> FloatArray:
        """Gold rewards by item id (n_items,), NaN where nobody rated.

        Raises:
            ValueError: the bank has no rewards; `has_rewards` tells.
        """
        if self._rewards is None:
            raise ValueError("this bank has no gold rewards; give rewards= when it is made")
        return self._rewards

    @property
    def has_rewards(self) -> bool:
        """Whether the bank has gold rewards."""
        return self._rewards is not None

    @cached_property
    def features(self) -> Mapping[str, npt.NDArray[Any]]:
        """Other numbers per item, by name: (n_prompts, n_responses) each, or (n_items,) of a ragged bank."""
        shape = (self.n_prompts, -1) if self.is_rectangular else (-1,)
        return MappingProxyType({name: value.reshape(shape) for name, value in self._features.items()})

    def padded(self, values: npt.ArrayLike, fill: float = np.nan) -> npt.NDArray[Any]:
        """Return one value per item as a table (n_prompts, largest count), with `fill` where there is no response.

        Scores in this shape fit `rewards`. Of a rectangular bank the table is a view.

        Raises:
            ValueError: not one value per item.

        >>> bank = ResponseBank(np.zeros((3, 4), np.float32), offsets=[0, 1, 3])
        >>> bank.padded([5, 6, 7], fill=-1).tolist()
        [[5, -1], [6, 7]]
        """
        flat = as_array("values", values)
        if flat.shape != (self.n_items,) or flat.dtype.kind == "U":
            raise ValueError(f"values must be one number per item, ({self.n_items},); got {describe(flat)}")
        if self.is_rectangular:
            return flat.reshape(self.n_prompts, -1)
        table = np.full((self.n_prompts, int(self.counts.max())), fill, dtype=np.result_type(flat.dtype, fill))
        table[np.arange(table.shape[1]) < self.counts[:, None]] = flat
        return table

    def item_blocks(self, size: int | None = None) -> Iterator[tuple[slice, FloatArray]]:
        """Yield (slice of item ids, rows), so that a bank in a file is never in memory as a whole.

        Args:
            size: about how many rows a block has; None makes blocks of 16 MB.
        """
        return self._layout.item_blocks(size)

    def __getitem__(self, prompts: int | slice | npt.ArrayLike) -> ResponseBank:
        """Return the bank of some prompts: one row, a slice, rows in any order, or a mask (n_prompts,)."""
        rows = check_selection(prompts, self.n_prompts, "prompt")
        bank = object.__new__(ResponseBank)
        is_range = isinstance(prompts, slice) and prompts.step in (None, 1)
        bank._layout = self._layout.select(rows, is_range=is_range)
        take = self._layout.take
        bank._rewards = None if self._rewards is None else take(self._rewards, rows)
        bank._features = {name: take(value, rows) for name, value in self._features.items()}
        bank.prompt_ids = self.prompt_ids[rows]
        bank.metadata = dict(self.metadata)
        bank._files = None
        bank._origin = self._origin
        return bank

    def has_the_origin_of(self, other: ResponseBank) -> bool:
        """Return whether both are selections of one bank, so that equal prompt ids mean one prompt.

        >>> bank = ResponseBank(np.zeros((3, 2, 4), np.float32))
        >>> bank[:2].has_the_origin_of(bank[2:]), bank.has_the_origin_of(ResponseBank(np.zeros((3, 2, 4), np.float32)))
        (True, False)
        """
        return self._origin is other._origin

    def health(self) -> pd.DataFrame:
        """Return a table of findings about the values, empty when all is well; see `rmspace.data.health.findings`."""
        from rmspace.data.finding import table_of
        from rmspace.data.health import file_findings, findings

        found = file_findings(self._files)
        return findings(self) if found is None else table_of([found])

    def fingerprint(self) -> str:
        """Return the SHA-256 of everything a result can depend on: shapes, dtypes, embeddings, ids, rewards, features.

        >>> bank = ResponseBank(np.ones((2, 2, 3), np.float32))
        >>> bank.fingerprint() == ResponseBank(np.ones((4, 3), np.float32), offsets=[0, 2, 4]).fingerprint()
        True
        """
        shape = (self.n_prompts, self.n_responses, self.dim) if self.is_rectangular else (self.n_items, self.dim)
        digest = hashlib.sha256(f"embeddings {self.dtype.str} {shape}".encode())
        for _, rows in self.item_blocks():
            digest.update(np.ascontiguousarray(rows).data)
        ids = self.prompt_ids
        arrays = {"prompt_ids": ids if ids.dtype.kind == "i" else np.array(ids.tolist())}  # the narrowest text dtype
        if not self.is_rectangular:
            arrays["offsets"] = self.offsets
        if self.has_rewards:
            arrays["rewards"] = self.padded(self.item_rewards) if self.is_rectangular else self.item_rewards
        for name, array in {**arrays, **{f"feature:{k}": v for k, v in sorted(self.features.items())}}.items():
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            for _, block in blocks(array):
                digest.update(np.ascontiguousarray(block).view(np.uint8).data)
        return digest.hexdigest()

    def save(
        self, folder: PathLike, *, dtype: Literal["float16", "float32"] | None = None, overwrite: bool = False
    ) -> None:
        """Write the bank as `.npy` files and one `bank.json`; the folder appears whole or not at all.

        Args:
            folder: where to write; `ResponseBank.open` reads it back.
            dtype: precision of the stored embeddings; theirs when None.
            overwrite: replace a bank that is there already.

        Raises:
            FileExistsError: the folder exists, and `overwrite` is not set or it is no bank.
            OverflowError: an embedding is too large for float16.
            TypeError: metadata that JSON cannot hold.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ResponseBank(np.ones((2, 2, 3), np.float32)).save(folder + "/bank", dtype="float16")
        ...     ResponseBank.open(folder + "/bank")
        ResponseBank(n_prompts=2, n_responses=2, dim=3, dtype=float16, rewards=False)
        """
        write_bank(self, folder, dtype=dtype, overwrite=overwrite)

    @classmethod
    def open(cls, folder: PathLike) -> ResponseBank:
        """Open a saved bank with its embeddings memory-mapped: none of them is read until it is used.

        Rewards, features and ids are read now, and checked against their hashes; `verify` checks the embeddings.

        Raises:
            FileNotFoundError: there is no bank at `folder`.
            ValueError: a file is damaged, cut short, of another shape, or of another version.
        """
        arguments, files = read_bank(Path(folder))
        bank = cls(**arguments)
        bank._files = files
        return bank

    def verify(self) -> None:
        """Check that the files of an opened bank are what was written; a bank that was not opened has none.

        Raises:
            ValueError: a file is not; the error names it.
        """
        if self._files is not None:
            self._files.verify()


def check_bank(name: str, value: object) -> None:
    """Raise TypeError where `value` is no bank."""
    if not isinstance(value, ResponseBank):
        raise TypeError(
            f"{name} must be a ResponseBank; got {type(value).__name__}; make one: ResponseBank(embeddings, rewards)"
        )
