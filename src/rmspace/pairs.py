"""Pair strategies: which items are compared, before anyone judges them.

A strategy is any function (bank, n_pairs, rng) -> int64 (n_pairs, 2) item ids. Its `candidates` is any function of
the kind in `rmspace.candidates`; the default leaves out responses that nobody rated.
"""

from __future__ import annotations

import math

import numpy as np

from rmspace._checks import check_bool, check_int, check_rng
from rmspace._typing import IntArray
from rmspace.candidates import all_responses, by_prompt, candidate_items
from rmspace.data.arrays import swap_rows
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
    """Pair responses of the same prompt: in shuffled rounds over the prompts, each prompt gives one new pair per round.

    Where all prompts have the same number of candidates, each prompt gets floor or ceil of n_pairs / n_prompts. A
    prompt drops out once all of its pairs are used; prompts with fewer than two candidates get none. With `repeats` no
    prompt drops out. Every pair of a prompt is used once before any is used again. Which pairs come first, and which
    item stands first in a pair, is uniformly random.

    Args:
        bank: whose items are paired.
        n_pairs: the number of pairs.
        rng: where the randomness comes from.
        candidates: the responses that may be compared.
        repeats: allow more pairs than there are distinct ones; a pair is then judged several times.

    Returns:
        int64 (n_pairs, 2) item ids.

    Raises:
        ValueError: no prompt with two candidates; more pairs than there are, without `repeats`.

    >>> bank = ResponseBank(np.zeros((3, 4, 2), np.float32))
    >>> pairs = same_prompt(bank, n_pairs=18, rng=np.random.default_rng(0))
    >>> len({tuple(sorted(pair)) for pair in pairs.tolist()}), bool((np.diff(bank.groups[pairs]) == 0).all())
    (18, True)
    """
    n_pairs, rng, repeats = check_int("n_pairs", n_pairs, low=1), check_rng(rng), check_bool("repeats", repeats)
    chosen = candidate_items(candidates, bank)
    usable = _at_least(2, chosen.counts)
    if len(usable) == 0:
        raise ValueError(
            f"same_prompt needs a prompt with two candidates; the largest number is {chosen.counts.max()}; use "
            "cross_prompt"
        )
    widths = chosen.counts if len(usable) == bank.n_prompts else chosen.counts[usable]
    distinct = widths * (widths - 1) // 2
    if n_pairs > (limit := int(distinct.sum())) and not repeats:
        raise ValueError(
            f"n_pairs must be at most the {limit} distinct pairs of {len(usable)} prompts; got {n_pairs}; ask for "
            "fewer, or pass repeats=True to have pairs judged more than once"
        )
    turns = np.full(len(usable), math.ceil(n_pairs / len(usable))) if repeats else distinct
    prompts, rounds = _turns(turns, n_pairs, rng)
    first, second = _distinct_pairs(prompts, rounds, widths, rng)
    flip = rng.random(n_pairs) < 0.5
    prompts = prompts if len(usable) == bank.n_prompts else usable[prompts]
    return swap_rows(chosen.items(prompts, first), chosen.items(prompts, second), flip)


def cross_prompt(
    bank: ResponseBank, n_pairs: int, rng: np.random.Generator, *, candidates: Candidates = all_responses
) -> IntArray:
    """Pair items of two different prompts: prompts in shuffled rounds, each side a random candidate of its prompt.

    Each prompt that has a candidate gets floor or ceil of 2 n_pairs / n_prompts of the 2 n_pairs sides. Items are drawn
    independently, so a pair may come twice by chance where few more pairs exist than are asked for. Rows of a
    bank that share a prompt id are one prompt.

    Args:
        bank: whose items are paired.
        n_pairs: the number of pairs.
        rng: where the randomness comes from.
        candidates: the responses that may be compared; each side draws from the candidates of its own prompt.

    Returns:
        int64 (n_pairs, 2) item ids.

    Raises:
        ValueError: fewer than two prompts with candidates, or more pairs than there are.

    >>> bank = ResponseBank(np.zeros((5, 4, 2), np.float32))
    >>> pairs = cross_prompt(bank, n_pairs=10, rng=np.random.default_rng(0))
    >>> np.bincount(bank.groups[pairs].ravel()).tolist()
    [4, 4, 4, 4, 4]
    """
    n_pairs, rng = check_int("n_pairs", n_pairs, low=1), check_rng(rng)
    chosen = by_prompt(candidate_items(candidates, bank))
    usable = _at_least(1, chosen.counts)
    n_prompts = len(usable)
    widths = chosen.counts if n_prompts == len(chosen.counts) else chosen.counts[usable]
    if n_prompts < 2:
        raise ValueError(f"cross_prompt needs two prompts with candidates; got {n_prompts}; use same_prompt")
    if n_pairs > (limit := (int(widths.sum()) ** 2 - int(widths @ widths)) // 2):
        raise ValueError(f"n_pairs must be at most the {limit} distinct cross-prompt pairs; got {n_pairs}")
    prompts = _rounds(n_prompts, 2 * n_pairs, rng)
    if n_prompts % 2:
        # The last prompt of a round and the first of the next make a pair: where both are one prompt, the next round
        # swaps its first two.
        ends = np.arange(n_prompts, 2 * n_pairs, 2 * n_prompts)
        ends = ends[prompts[ends] == prompts[ends - 1]]
        prompts[ends], prompts[ends + 1] = prompts[ends + 1], prompts[ends]
    prompts = prompts[: 2 * n_pairs]
    width: int | IntArray = int(widths[0]) if len(_different(widths)) == 1 else widths[prompts]
    places = rng.integers(width, size=len(prompts))
    prompts = prompts if n_prompts == len(chosen.counts) else usable[prompts]
    return chosen.items(prompts, places).reshape(n_pairs, 2)


def _turns(limits: IntArray, n_pairs: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Return the prompt of each turn and its round, in shuffled rounds; a prompt leaves after its last turn.

    Args:
        limits: (n_prompts,) the most turns of each prompt; their sum is at least n_pairs.
        n_pairs: the number of all turns.
        rng: shuffles each round.
    """
    prompts: list[IntArray] = []
    rounds: list[IntArray] = []
    done = start = 0
    for limit in _different(limits):
        active = _at_least(limit, limits)
        size = min((limit - start) * len(active), n_pairs - done)
        if size:
            order = _rounds(len(active), size, rng)[:size]
            prompts.append(order if len(active) == len(limits) else active[order])
            rounds.append(np.arange(start, start + math.ceil(size / len(active))).repeat(len(active))[:size])
        done, start = done + size, limit
    return np.concatenate(prompts), np.concatenate(rounds)


def _distinct_pairs(
    prompts: IntArray, rounds: IntArray, widths: IntArray, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Return, for each turn, the places of two candidates of its prompt: a pair that the prompt did not have before."""
    kinds = _different(widths)
    if len(kinds) == 1:
        return _pairs_of_width(kinds[0], len(widths), prompts, rounds, rng)
    first, second = np.empty((2, len(prompts)), dtype=np.int64)
    for width in kinds:
        members = np.flatnonzero(widths == width)
        here = np.flatnonzero(widths[prompts] == width)
        if len(here):
            rows = np.searchsorted(members, prompts[here])
            first[here], second[here] = _pairs_of_width(width, len(members), rows, rounds[here], rng)
    return first, second


def _pairs_of_width(
    width: int, n_prompts: int, prompts: IntArray, rounds: IntArray, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Return the same for prompts that all have `width` candidates."""
    first, second = np.triu_indices(width, 1)
    n_rounds = int(rounds.max()) + 1
    drawn = _distinct_in_rows(n_prompts, n_rounds, len(first), rng).take(prompts * n_rounds + rounds)
    return first.take(drawn), second.take(drawn)


def _at_least(least: int, values: IntArray) -> IntArray:
    """Return where values are at least `least`, ascending; most often that is everywhere."""
    return np.arange(len(values)) if values.min() >= least else np.flatnonzero(values >= least)


def _different(values: IntArray) -> list[int]:
    """Return the different values, ascending."""
    low, high = int(values.min()), int(values.max())
    return [low] if low == high else np.unique(values).tolist()  # most banks are rectangular, and sorting is slow


def _rounds(n_prompts: int, at_least: int, rng: np.random.Generator) -> IntArray:
    """Return shuffled rounds of 0 ... n_prompts - 1, one after the other, as many whole ones as `at_least` needs."""
    rounds = np.tile(np.arange(n_prompts), (math.ceil(at_least / n_prompts), 1))
    return rng.permuted(rounds, axis=1, out=rounds).ravel()


def _distinct_in_rows(n_rows: int, n_draws: int, size: int, rng: np.random.Generator) -> IntArray:
    """Return (n_rows, n_draws) uniform draws from 0 ... size - 1; a row repeats no value before it has them all."""
    if 4 * n_draws >= size:
        cycles = [rng.permuted(np.tile(np.arange(size), (n_rows, 1)), axis=1) for _ in range(math.ceil(n_draws / size))]
        return np.concatenate(cycles, axis=1)[:, :n_draws]
    # Few of many: draw all, then redraw values that repeat an earlier column. The rule treats all values alike, so
    # every sequence of distinct values is equally likely, and no row needs a permutation of all values.
    drawn = rng.integers(size, size=(n_rows, n_draws))
    repeated = n_draws > 1
    while repeated:
        order = np.argsort(drawn, axis=1, kind="stable")
        ordered = np.take_along_axis(drawn, order, axis=1)
        row, place = np.nonzero(ordered[:, 1:] == ordered[:, :-1])
        drawn[row, order[row, place + 1]] = rng.integers(size, size=len(row))
        repeated = len(row) > 0
    return drawn
