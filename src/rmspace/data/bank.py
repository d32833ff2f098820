"""The bank: embedded responses of many prompts, with their gold rewards."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from rmspace._checks import describe
from rmspace._typing import FloatArray, IntArray, PathLike
from rmspace.data.arrays import check_embeddings, check_rewards
from rmspace.data.bank_files import read_bank, write_bank
from rmspace.data.mapped import blocks, choose, mapped

if TYPE_CHECKING:
    import pandas as pd


class ResponseBank:
    """Embeddings of `n_responses` responses to each of `n_prompts` prompts, with gold rewards or none.

    An item is one prompt-response pair, one row of `items`; its id is `prompt * n_responses + response`, within
    its own bank. The arrays are kept as they come, memory-mapped ones included, and are not read until they are
    used; values are therefore checked where they are used, and all at once by `health()`.

    Args:
        embeddings: float16 or float32 (n_prompts, n_responses, dim); float64 is converted to float32.
        rewards: gold rewards (n_prompts, n_responses), or None.
        features: other numbers per item by name, each (n_prompts, n_responses), such as response lengths.
        prompt_ids: (n_prompts,) integers that name the prompts through selections; 0, 1, ... when None.
        metadata: anything JSON can hold: source, licence, names of the generators.

    Raises:
        ValueError: a shape that does not fit the embeddings'.
        TypeError: a dtype that is not one of those above.

    >>> bank = ResponseBank(np.zeros((3, 2, 4), np.float32), rewards=np.arange(6.0).reshape(3, 2))
    >>> bank
    ResponseBank(n_prompts=3, n_responses=2, dim=4, dtype=float32, rewards=True)
    >>> bank.items.shape, bank.groups.tolist()
    ((6, 4), [0, 0, 1, 1, 2, 2])
    >>> bank[[2, 0]].rewards.tolist(), bank[1:].prompt_ids.tolist()
    ([[4.0, 5.0], [0.0, 1.0]], [1, 2])
    """

    def __init__(
        self,
        embeddings: npt.ArrayLike,
        rewards: npt.ArrayLike | None = None,
        *,
        features: Mapping[str, npt.ArrayLike] | None = None,
        prompt_ids: npt.ArrayLike | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self._source = check_embeddings(embeddings)
        self._selected: IntArray | None = None  # prompts of `_source` that are still to be taken
        shape = (self._source.shape[0], self._source.shape[1])
        self._rewards = None if rewards is None else check_rewards(rewards, shape)
        self._features = {name: _check_feature(name, value, shape) for name, value in (features or {}).items()}
        self.prompt_ids = _check_prompt_ids(prompt_ids, shape[0])
        self.metadata = dict(metadata or {})

    def __repr__(self) -> str:
        return (
            f"ResponseBank(n_prompts={self.n_prompts}, n_responses={self.n_responses}, dim={self.dim}, "
            f"dtype={self.dtype}, rewards={self._rewards is not None})"
        )

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return len(self.prompt_ids)

    @property
    def n_responses(self) -> int:
        """Number of responses a prompt."""
        return int(self._source.shape[1])

    @property
    def dim(self) -> int:
        """Length of one embedding."""
        return int(self._source.shape[2])

    @property
    def n_items(self) -> int:
        """Number of prompt-response pairs, `n_prompts * n_responses`."""
        return self.n_prompts * self.n_responses

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the embeddings, float16 or float32."""
        return self._source.dtype

    @cached_property
    def embeddings(self) -> FloatArray:
        """Embeddings (n_prompts, n_responses, dim).

        A selection of prompts from a file is not read here but where it is used: it comes as an object that is
        indexed like an array and, for anything else, turns itself into one (`numpy.asarray`).
        """
        if self._selected is None:
            return self._source
        return choose(self._source, self._selected)

    @cached_property
    def items(self) -> FloatArray:
        """Embeddings as rows (n_items, dim), in the order of the item ids; read as `embeddings` are."""
        n_prompts, n_responses, dim = self._source.shape
        swapped = self._source.swapaxes(0, 1)
        if self._view or not mapped(self._source):
            return self.embeddings.reshape(-1, dim)
        prompts = np.arange(n_prompts) if self._selected is None else self._selected
        if self._source.flags.c_contiguous:
            ids = prompts[:, None] * n_responses + np.arange(n_responses)
            return choose(self._source.reshape(-1, dim), ids.ravel())
        if swapped.flags.c_contiguous:  # the file has the responses first
            ids = prompts[:, None] + np.arange(n_responses) * n_prompts
            return choose(swapped.reshape(-1, dim), ids.ravel())
        return np.asarray(self.embeddings).reshape(-1, dim)

    @property
    def groups(self) -> IntArray:
        """The prompt of each item, int64 (n_items,)."""
        return np.repeat(np.arange(self.n_prompts), self.n_responses)

    @property
    def rewards(self) -> FloatArray:
        """Gold rewards (n_prompts, n_responses).

        Raises:
            ValueError: the bank has none; `has_rewards` tells.
        """
        if self._rewards is None:
            raise ValueError("this bank has no gold rewards; give rewards= when it is made")
        return self._rewards

    @property
    def has_rewards(self) -> bool:
        """Whether gold rewards are there."""
        return self._rewards is not None

    @property
    def features(self) -> Mapping[str, npt.NDArray[Any]]:
        """Other numbers per item, by name, each (n_prompts, n_responses)."""
        return MappingProxyType(self._features)

    def __getitem__(self, prompts: int | slice | npt.ArrayLike) -> ResponseBank:
        """Return the bank of some prompts: one id, a slice, ids in any order, or a mask (n_prompts,)."""
        rows = _check_selection(prompts, self.n_prompts)
        bank = object.__new__(ResponseBank)
        if isinstance(prompts, slice) and prompts.step in (None, 1) and self._view:
            bank._source, bank._selected = self._source[prompts], None
        else:
            bank._source = self._source
            bank._selected = rows if self._selected is None else self._selected[rows]
        bank._rewards = None if self._rewards is None else self._rewards[rows]
        bank._features = {name: value[rows] for name, value in self._features.items()}
        bank.prompt_ids = self.prompt_ids[rows]
        bank.metadata = dict(self.metadata)
        return bank

    @property
    def _view(self) -> bool:
        """Whether a range of prompts is a range of `_source`, in the order of the file."""
        return self._selected is None and self._source.flags.c_contiguous

    def health(self) -> pd.DataFrame:
        """Return a table of findings about the values, empty when all is well; see `rmspace.health`."""
        from rmspace.data.health import findings

        return findings(self)

    def fingerprint(self) -> str:
        """Return the SHA-256 of everything a result can depend on: shapes, dtypes, embeddings, rewards, features.

        >>> bank = ResponseBank(np.ones((2, 2, 3), np.float32))
        >>> bank.fingerprint() == ResponseBank(np.ones((2, 2, 3), np.float32)).fingerprint()
        True
        """
        digest = hashlib.sha256()
        arrays = {"embeddings": self.embeddings, "prompt_ids": self.prompt_ids}
        if self._rewards is not None:
            arrays["rewards"] = self._rewards
        for name, array in {
            **arrays,
            **{f"feature:{k}": v for k, v in sorted(self._features.items())},
        }.items():
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            for _, block in blocks(array):
                digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()

    def save(
        self, folder: PathLike, *, dtype: Literal["float16", "float32"] | None = None, overwrite: bool = False
    ) -> None:
        """Write the bank as `.npy` files and one `bank.json`; the folder appears whole or not at all.

        Args:
            folder: where; `ResponseBank.open` reads it back.
            dtype: precision of the stored embeddings; as they are when None.
            overwrite: replace a bank that stands there.

        Raises:
            FileExistsError: the folder exists and is not to be, or is no bank to be, replaced.
            OverflowError: an embedding too large for float16.
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
        """Open a saved bank, its arrays memory-mapped: nothing is read until it is used.

        Raises:
            FileNotFoundError: there is no bank at `folder`.
            ValueError: a file is damaged, cut short, of another shape, or of a newer version.
        """
        return cls(**read_bank(Path(folder)))


def _check_feature(name: str, value: npt.ArrayLike, shape: tuple[int, int]) -> npt.NDArray[Any]:
    array = np.asanyarray(value)
    if array.shape != shape or array.dtype.kind not in "iufb":
        raise ValueError(f"feature {name!r} must be numbers (n_prompts, n_responses) = {shape}; got {describe(array)}")
    return array


def _check_prompt_ids(prompt_ids: npt.ArrayLike | None, n_prompts: int) -> IntArray:
    if prompt_ids is None:
        return np.arange(n_prompts)
    array = np.asarray(prompt_ids)
    if array.shape != (n_prompts,) or array.dtype.kind not in "iu":
        raise ValueError(f"prompt_ids must be integers ({n_prompts},); got {describe(array)}")
    return array.astype(np.int64)


def _check_selection(prompts: int | slice | npt.ArrayLike, n_prompts: int) -> IntArray:
    if isinstance(prompts, tuple):
        raise TypeError("a bank is indexed by prompts alone; for items use bank.embeddings[prompt, response]")
    if isinstance(prompts, slice):
        rows = np.arange(n_prompts)[prompts]
    else:
        ids = np.atleast_1d(np.asarray(prompts))
        ids = ids.astype(int) if ids.size == 0 else ids
        mask = ids.dtype == bool
        if ids.ndim != 1 or (mask and len(ids) != n_prompts) or (not mask and ids.dtype.kind not in "iu"):
            raise TypeError(
                f"a bank is indexed by a slice, by prompt ids, or by a mask ({n_prompts},); got {describe(ids)}"
            )
        if not mask and len(ids) and (ids.min() < -n_prompts or ids.max() >= n_prompts):
            raise IndexError(f"prompt ids must be in [0, {n_prompts}); got {ids.min()} to {ids.max()}")
        rows = np.arange(n_prompts)[ids]
    if len(rows) == 0:
        raise ValueError("a bank has at least one prompt; the selection has none")
    return rows
