"""Candidates: which responses of a prompt may be compared."""

from __future__ import annotations

import numpy as np

from rmspace._checks import describe
from rmspace._typing import IntArray
from rmspace.data.arrays import check_finite
from rmspace.data.bank import ResponseBank
from rmspace.kinds import Candidates

__all__ = ["all_responses", "diversified", "similar"]


def all_responses(bank: ResponseBank) -> IntArray:
    """Let every response be compared: columns 0 ... n_responses - 1 for each prompt.

    >>> all_responses(ResponseBank(np.zeros((2, 3, 4), np.float32))).tolist()
    [[0, 1, 2], [0, 1, 2]]
    """
    return np.broadcast_to(np.arange(bank.n_responses), (bank.n_prompts, bank.n_responses))


def similar(bank: ResponseBank) -> IntArray:
    """Let only the two middle-ranked responses by gold reward be compared (of ten: 0-based ranks 4 and 5).

    Raises:
        ValueError: one response a prompt, or rewards that are missing or not finite.

    >>> similar(ResponseBank(np.zeros((1, 4, 2), np.float32), np.array([[3.0, 0.0, 2.0, 1.0]]))).tolist()
    [[3, 2]]
    """
    middle = bank.n_responses // 2
    return _by_rank(bank, [middle - 1, middle])


def diversified(bank: ResponseBank) -> IntArray:
    """Let only the worst and the best response by gold reward be compared.

    Raises:
        ValueError: one response a prompt, or rewards that are missing or not finite.

    >>> diversified(ResponseBank(np.zeros((1, 4, 2), np.float32), np.array([[3.0, 0.0, 2.0, 1.0]]))).tolist()
    [[1, 0]]
    """
    return _by_rank(bank, [0, bank.n_responses - 1])


def _by_rank(bank: ResponseBank, ranks: list[int]) -> IntArray:
    if bank.n_responses < 2:
        raise ValueError("choosing responses by rank needs two a prompt; got 1")
    check_finite("rewards", bank.rewards)
    return np.argsort(bank.rewards, axis=1, kind="stable")[:, ranks]


def of_prompts(columns: IntArray, prompts: IntArray, places: IntArray) -> IntArray:
    """Return the response columns at some places of some prompts' candidates."""
    return columns[0].take(places) if len(columns) == 1 else columns[prompts, places]


def check_candidates(candidates: Candidates, bank: ResponseBank) -> IntArray:
    """Return the columns that may be compared, (n_prompts, k), or (1, k) where one row stands for all."""
    columns = np.asarray(candidates(bank))
    rule = f"candidates must return integer response columns ({bank.n_prompts}, k), k at least 1"
    if columns.ndim != 2 or len(columns) != bank.n_prompts or columns.shape[1] == 0 or columns.dtype.kind not in "iu":
        raise ValueError(f"{rule}; got {describe(columns)}")
    if columns.strides[0] == 0:
        columns = columns[:1]
    if columns.min() < 0 or columns.max() >= bank.n_responses:
        raise ValueError(f"{rule}, each in [0, {bank.n_responses}); got {columns.min()} to {columns.max()}")
    ordered = np.sort(columns, axis=1)
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        raise ValueError(f"{rule}, none twice for one prompt")
    return columns.astype(np.int64, copy=False)
