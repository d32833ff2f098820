"""Candidates: which responses of a prompt may be compared.

A function of this kind takes a bank and returns integer response columns (n_prompts, n_candidates), each column at most
once per prompt, and -1 where a prompt has fewer candidates than others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rmspace._checks import as_array, check_bool, check_function, describe
from rmspace._typing import IntArray
from rmspace.data.arrays import check_gold
from rmspace.data.bank import ResponseBank, check_bank
from rmspace.kinds import Candidates

__all__ = ["all_responses", "diversified", "similar"]


def all_responses(bank: ResponseBank, *, unrated: bool = False) -> IntArray:
    """Let every response be compared; in a bank with rewards, leave out those that nobody rated.

    Args:
        bank: whose responses are chosen.
        unrated: choose the responses without a reward too, for pairs that a person will judge.

    >>> all_responses(ResponseBank(np.zeros((2, 3, 4), np.float32))).tolist()
    [[0, 1, 2], [0, 1, 2]]
    >>> rewards = np.array([[1.0, np.nan, 2.0], [1.0, 2.0, 3.0]])
    >>> all_responses(ResponseBank(np.zeros((2, 3, 4), np.float32), rewards)).tolist()
    [[0, 2, -1], [0, 1, 2]]
    """
    check_bank("bank", bank)
    check_bool("unrated", unrated)
    width = int(bank.counts.max())
    every = np.broadcast_to(np.arange(width), (bank.n_prompts, width))
    if bank.has_rewards and not unrated and np.isnan(bank.item_rewards.min()):
        return _packed(every, ~np.isnan(bank.rewards))
    return every if bank.is_rectangular else _packed(every, every < bank.counts[:, None])


def similar(bank: ResponseBank) -> IntArray:
    """Let only the two middle-ranked responses by gold reward be compared (of ten: 0-based ranks 4 and 5).

    Prompts with fewer than two rated responses have no candidates.

    Raises:
        ValueError: no prompt has two rated responses; the bank has no rewards, or infinite ones.

    >>> similar(ResponseBank(np.zeros((1, 4, 2), np.float32), np.array([[3.0, 0.0, 2.0, 1.0]]))).tolist()
    [[3, 2]]
    """
    return _by_rank(bank, lambda n_rated: (n_rated // 2 - 1, n_rated // 2))


def diversified(bank: ResponseBank) -> IntArray:
    """Let only the worst and the best response by gold reward be compared.

    Prompts with fewer than two rated responses have no candidates.

    Raises:
        ValueError: no prompt has two rated responses; the bank has no rewards, or infinite ones.

    >>> diversified(ResponseBank(np.zeros((1, 4, 2), np.float32), np.array([[3.0, 0.0, 2.0, 1.0]]))).tolist()
    [[1, 0]]
    """
    return _by_rank(bank, lambda n_rated: (0 * n_rated, n_rated - 1))


def _by_rank(bank: ResponseBank, ranks_of: Callable[[IntArray], tuple[IntArray, IntArray]]) -> IntArray:
    """Return the responses at two ranks of each prompt, -1 where it has fewer than two rated responses.

    Args:
        bank: whose responses are chosen.
        ranks_of: function that gives two 0-based ranks from the number of rated responses.
    """
    check_bank("bank", bank)
    gold = check_gold(bank.rewards, complete=False)
    n_rated = gold.shape[1] - np.count_nonzero(np.isnan(gold), axis=1)
    enough = n_rated >= 2
    if not enough.any():
        raise ValueError("choosing responses by rank needs a prompt with two rated responses; there is none")
    ranks = np.where(enough[:, None], np.stack(ranks_of(n_rated), axis=1), 0)
    order = np.argsort(gold, axis=1, kind="stable")  # NaN is last
    return np.where(enough[:, None], np.take_along_axis(order, ranks, axis=1), -1)


def _packed(columns: IntArray, chosen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> IntArray:
    """Return the chosen columns of each row first, then -1."""
    order = np.argsort(~chosen, axis=1, kind="stable")[:, : max(1, int(chosen.sum(axis=1).max()))]
    return np.where(np.take_along_axis(chosen, order, axis=1), np.take_along_axis(columns, order, axis=1), -1)


class CandidateItems(NamedTuple):
    """The candidates of every prompt: `columns` (n_prompts, width), or (1, width) where all rows are alike.

    `counts` (n_prompts,) says how many of a prompt's columns, the first ones, are candidates.
    """

    columns: IntArray
    counts: IntArray
    bank: ResponseBank

    def items(self, prompts: IntArray, places: IntArray) -> IntArray:
        """Return the ids of the items at some places among the candidates of some prompts."""
        bank = self.bank
        first = prompts * bank.n_responses if bank.is_rectangular else bank.offsets[prompts]
        return first + of_prompts(self.columns, prompts, places)


class PromptItems(NamedTuple):
    """The candidates of every prompt id: item `ids`, prompt after prompt, from `starts`, `counts` of each."""

    ids: IntArray
    starts: IntArray
    counts: IntArray

    def items(self, prompts: IntArray, places: IntArray) -> IntArray:
        """Return the ids of the items at some places among the candidates of some prompts."""
        return self.ids[self.starts[prompts] + places]


def by_prompt(chosen: CandidateItems) -> CandidateItems | PromptItems:
    """Return the candidates by prompt id: those of rows with the same id together."""
    bank = chosen.bank
    if not bank.has_repeated_ids:
        return chosen
    rows = np.repeat(np.arange(bank.n_prompts), chosen.counts)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(chosen.counts) - chosen.counts, chosen.counts)
    ids = chosen.items(rows, places)
    groups = bank.groups
    counts = np.bincount(groups[ids], minlength=int(groups.max()) + 1)
    return PromptItems(ids[np.argsort(groups[ids], kind="stable")], np.cumsum(counts) - counts, counts)


def candidate_items(candidates: Candidates, bank: ResponseBank) -> CandidateItems:
    """Return the checked candidates of every prompt."""
    check_bank("bank", bank)
    check_function("candidates", candidates, "of a bank")
    columns = as_array("candidates", candidates(bank))
    rule = f"candidates must return integer response columns ({bank.n_prompts}, k), k at least 1"
    if columns.ndim != 2 or len(columns) != bank.n_prompts or columns.shape[1] == 0 or columns.dtype.kind not in "iu":
        raise ValueError(f"{rule}; got {describe(columns)}")
    if columns.strides[0] == 0:
        columns = columns[:1]
    limits = bank.counts[: len(columns), None]
    if len(columns) == 1:
        limits = bank.counts.min(keepdims=True)[:, None]
    if (columns < -1).any() or (columns >= limits).any():
        row = int(np.argmax(((columns < -1) | (columns >= limits)).any(axis=1)))
        raise ValueError(
            f"{rule}, each in [0, {int(limits[row, 0])}), or -1 for none; got {columns[row].min()} to "
            f"{columns[row].max()} for prompt {row}"
        )
    ordered = np.sort(columns, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise ValueError(f"{rule}, none twice for one prompt")
    counts = np.asarray((columns >= 0).sum(axis=1))
    if counts.min() < columns.shape[1]:
        columns = _packed(columns, columns >= 0)
    return CandidateItems(columns.astype(np.int64, copy=False), np.broadcast_to(counts, (bank.n_prompts,)), bank)


def of_prompts(columns: IntArray, prompts: IntArray, places: IntArray) -> IntArray:
    """Return the response columns at some places among the candidates of some prompts."""
    return columns[0].take(places) if len(columns) == 1 else columns[prompts, places]


def check_candidates(candidates: Candidates, bank: ResponseBank) -> IntArray:
    """Return the columns that may be compared, (n_prompts, k), or (1, k) where all rows are equal.

    Raises:
        ValueError: prompts with different numbers of candidates, or columns that break the rule of this kind.
    """
    chosen = candidate_items(candidates, bank)
    if (chosen.counts != chosen.columns.shape[1]).any():
        raise ValueError(
            f"every prompt must have the same number of candidates here; got {chosen.counts.min()} to "
            f"{chosen.counts.max()}; use same_prompt or cross_prompt, or a complete bank"
        )
    return chosen.columns
