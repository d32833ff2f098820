"""Pair strategies: which items are compared, before anyone judges them.

A strategy is any function (bank, n_pairs, rng) -> int64 (n_pairs, 2) item ids; `candidates` is any function
bank -> int64 (n_prompts, n_candidates) response columns.
"""

from __future__ import annotations

import math

import numpy as np

from rmspace._checks import check_int, check_rng
from rmspace._typing import IntArray
from rmspace.candidates import all_responses, check_candidates, of_prompts
from rmspace.data.bank import ResponseBank
from rmspace.kinds import Candidates

__all__ = ["cross_prompt", "same_prompt"]


def same_prompt(
    bank: ResponseBank,
    n_pairs: int,
    rng: np.random.Generator,
    *,
    candidates: Candidates = all_responses,
    repeats: bool = False,
) -> IntArray:
    """Pair responses of one prompt: every prompt in turn, in shuffled rounds, each time with a new pair.

    After n_pairs draws each prompt has floor or ceil of n_pairs / n_prompts. Within a prompt every pair is used once
    before any is used again; which come first, and which item stands first in a pair, is uniformly random.

    Args:
        bank: whose items are paired.
        n_pairs: how many.
        rng: where the randomness comes from.
        candidates: the responses that may be compared.
        repeats: allow more pairs than distinct ones exist (a pair is then judged several times).

    Returns:
        int64 (n_pairs, 2) item ids.

    Raises:
        ValueError: fewer than two candidates a prompt; more pairs than exist, without `repeats`.

    >>> bank = ResponseBank(np.zeros((3, 4, 2), np.float32))
    >>> pairs = same_prompt(bank, n_pairs=18, rng=np.random.default_rng(0))
    >>> len({tuple(sorted(pair)) for pair in pairs.tolist()}), bool((np.diff(bank.groups[pairs]) == 0).all())
    (18, True)
    """
    n_pairs, rng = check_int("n_pairs", n_pairs, low=1), check_rng(rng)
    columns = check_candidates(candidates, bank)
    n_prompts, width = bank.n_prompts, columns.shape[1]
    if width < 2:
        raise ValueError(f"same_prompt needs two responses a prompt; got {width}; use cross_prompt")
    first, second = np.triu_indices(width, 1)
    if n_pairs > (limit := n_prompts * len(first)) and not repeats:
        raise ValueError(
            f"n_pairs must be at most the {limit} distinct pairs ({n_prompts} prompts x {len(first)}); "
            f"got {n_pairs}; ask for fewer, or pass repeats=True to have pairs judged more than once"
        )
    prompts = _rounds(n_prompts, n_pairs, rng)[:n_pairs]
    n_rounds = math.ceil(n_pairs / n_prompts)
    drawn = _distinct_in_rows(n_prompts, n_rounds, len(first), rng)
    rounds = np.arange(n_rounds).repeat(n_prompts)[:n_pairs]
    chosen = drawn.take(prompts * n_rounds + rounds)  # in each round a prompt's next pair
    flip = rng.random(n_pairs) < 0.5
    first, second = first.take(chosen), second.take(chosen)
    sides = np.where(flip, second, first), np.where(flip, first, second)
    return np.stack([prompts * bank.n_responses + of_prompts(columns, prompts, side) for side in sides], axis=1)


def cross_prompt(
    bank: ResponseBank, n_pairs: int, rng: np.random.Generator, *, candidates: Candidates = all_responses
) -> IntArray:
    """Pair items of two different prompts: prompts in shuffled rounds, each side a random candidate of its prompt.

    Each prompt fills floor or ceil of 2 n_pairs / n_prompts of the 2 n_pairs places. Items are drawn independently, so
    a pair may come twice by chance, where there are not many more pairs than asked for.

    Args:
        bank: whose items are paired.
        n_pairs: how many.
        rng: where the randomness comes from.
        candidates: the responses that may be compared; each side draws from its own prompt's.

    Returns:
        int64 (n_pairs, 2) item ids.

    Raises:
        ValueError: one prompt, or more pairs than exist.

    >>> bank = ResponseBank(np.zeros((5, 4, 2), np.float32))
    >>> pairs = cross_prompt(bank, n_pairs=10, rng=np.random.default_rng(0))
    >>> np.bincount(bank.groups[pairs].ravel()).tolist()
    [4, 4, 4, 4, 4]
    """
    n_pairs, rng = check_int("n_pairs", n_pairs, low=1), check_rng(rng)
    columns = check_candidates(candidates, bank)
    n_prompts, width = bank.n_prompts, columns.shape[1]
    if n_prompts < 2:
        raise ValueError("cross_prompt needs two prompts; got 1; use same_prompt")
    if n_pairs > (limit := math.comb(n_prompts, 2) * width**2):
        raise ValueError(f"n_pairs must be at most the {limit} distinct cross-prompt pairs; got {n_pairs}")
    prompts = _rounds(n_prompts, 2 * n_pairs, rng)
    if n_prompts % 2:
        # A pair that straddles two rounds may meet one prompt twice: the second round then starts one later.
        ends = np.arange(n_prompts, 2 * n_pairs, 2 * n_prompts)
        ends = ends[prompts[ends] == prompts[ends - 1]]
        prompts[ends], prompts[ends + 1] = prompts[ends + 1], prompts[ends]
    places = prompts[: 2 * n_pairs]
    chosen = of_prompts(columns, places, rng.integers(width, size=len(places)))
    return (places * bank.n_responses + chosen).reshape(n_pairs, 2)


def _rounds(n_prompts: int, at_least: int, rng: np.random.Generator) -> IntArray:
    """Return whole shuffled rounds of 0 ... n_prompts - 1, one after the other."""
    rounds = np.tile(np.arange(n_prompts), (math.ceil(at_least / n_prompts), 1))
    return rng.permuted(rounds, axis=1, out=rounds).ravel()


def _distinct_in_rows(n_rows: int, n_draws: int, size: int, rng: np.random.Generator) -> IntArray:
    """Return (n_rows, n_draws) uniform draws from 0 ... size - 1, none twice in a row before all came once."""
    if 4 * n_draws >= size:
        cycles = [rng.permuted(np.tile(np.arange(size), (n_rows, 1)), axis=1) for _ in range(math.ceil(n_draws / size))]
        return np.concatenate(cycles, axis=1)[:, :n_draws]
    # Few of many: draw all and redraw what repeats an earlier column. The rule treats all values alike, so every
    # sequence of distinct values is equally likely, and no row is ever laid out in full.
    drawn = rng.integers(size, size=(n_rows, n_draws))
    repeated = n_draws > 1
    while repeated:
        order = np.argsort(drawn, axis=1, kind="stable")
        ordered = np.take_along_axis(drawn, order, axis=1)
        row, place = np.nonzero(ordered[:, 1:] == ordered[:, :-1])
        drawn[row, order[row, place + 1]] = rng.integers(size, size=len(row))
        repeated = len(row) > 0
    return drawn
