"""From pairs and gold rewards to comparisons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rmspace._checks import as_array, as_int64, as_numbers, check_function, check_number, check_rng, describe
from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.data.arrays import check_no_infinity, check_pairs, swap_rows
from rmspace.data.bank import ResponseBank

_ROUNDING = 1e-12  # rewards that differ by less than this share of their size differ by rounding only

Rewards = npt.ArrayLike | ResponseBank


def annotate(
    pairs: IntArray,
    rewards: Rewards,
    annotator: Callable[[Float64Array], Float64Array],
    *,
    rng: np.random.Generator,
    scale: float | Literal["std"] = 1.0,
) -> IntArray:
    """Judge pairs: the first wins with probability annotator((r_first - r_second) / scale).

    Args:
        pairs: int64 (n_pairs, 2) item ids of rated items.
        rewards: a bank, or gold rewards by item id (n_items,), or the complete table (n_prompts, n_responses).
        annotator: function of gaps that gives the probability that the first wins.
        rng: where the randomness comes from.
        scale: gaps are divided by it: a number above 0, or "std", the standard deviation of all rewards.

    Returns:
        Comparisons, int64 (n_pairs, 2), the winner in column 0, in the order of the pairs.

    Raises:
        ValueError: ids out of range, a pair with an item that nobody rated, infinite rewards, rewards that are all
            equal with "std", probabilities outside [0, 1].
        TypeError: ids that are not integers, rewards that are not numbers, an annotator that is not a function.

    >>> pairs = np.array([[0, 1], [2, 1]])
    >>> from rmspace.annotators import oracle
    >>> annotate(pairs, np.array([[0.0, 1.0, 5.0]]), oracle, rng=np.random.default_rng(0)).tolist()
    [[1, 0], [2, 1]]
    """
    gap = scaled_gaps(pairs, rewards, scale)
    first_wins = check_rng(rng).random(len(gap)) < probabilities(annotator, gap)
    first, second = as_int64("pairs", as_array("pairs", pairs)).T
    return swap_rows(first, second, ~first_wins)


def scaled_gaps(pairs: IntArray, rewards: Rewards, scale: float | Literal["std"]) -> Float64Array:
    """Return (r_first - r_second) / scale of each pair, checked."""
    flat = rewards_by_item(rewards)
    ids = check_pairs("pairs", pairs, len(flat))
    unit = unit_of(flat, scale)
    first, second = (flat.take(side).astype(np.float64, copy=False) for side in ids.T)
    gap = first - second
    if np.isnan(gap).any():
        row = int(np.argmax(np.isnan(gap)))
        item = next(int(i) for i in ids[row] if np.isnan(flat[i]))
        raise ValueError(
            f"pairs must be of rated items; row {row} has item {item}, which has no gold reward; all_responses, the "
            "default candidates of same_prompt and cross_prompt, leaves such items out"
        )
    return gap / unit


def rewards_by_item(rewards: Rewards) -> FloatArray:
    """Return gold rewards by item id (n_items,): of a bank, of flat rewards, or of a complete table.

    A table with NaN is refused: it may be the padded table of a ragged bank, where positions are not item ids.
    """
    if isinstance(rewards, ResponseBank):
        rewards = rewards.item_rewards
    rule = "a bank, or numbers (n_items,) or (n_prompts, n_responses)"
    array = as_array("rewards", rewards, rule)
    if array.dtype.kind == "U" or array.ndim == 0:
        raise TypeError(f"rewards must be {rule}; got {_said(rewards, array)}; give the bank or bank.item_rewards")
    flat = array.reshape(-1)
    check_no_infinity(flat)
    if array.ndim > 1 and np.isnan(flat).any():
        raise ValueError(
            f"a table of rewards must be complete, since with NaN its places need not be item ids; "
            f"{int(np.isnan(flat).sum())} of {array.size} rewards are NaN; give the bank or bank.item_rewards instead"
        )
    return flat


def unit_of(rewards: npt.ArrayLike, scale: float | Literal["std"]) -> float:
    """Return the number that divides gaps: a number above 0, or the standard deviation of all rewards except NaN."""
    if isinstance(scale, str) and scale == "std":
        flat = as_numbers("rewards", rewards).reshape(-1)
        low = float(flat.min())
        if np.isnan(low):
            flat = flat[~np.isnan(flat)]
            low = float(flat.min())
        high, mean = float(flat.max()), float(flat.mean())
        size, largest = max(high, -low), max(high - mean, mean - low)
        if largest <= _ROUNDING * size or largest == 0:
            raise ValueError(
                f'scale="std" needs rewards that differ; all are {flat[0]:g}, except for rounding; give a number'
            )
        centred = flat - mean
        if 1e-150 < largest < 1e150:
            return float(np.sqrt(centred @ centred / len(flat)))
        centred = centred / largest  # the squares would vanish or overflow
        return largest * float(np.sqrt(centred @ centred / len(flat)))
    if isinstance(scale, str):
        raise ValueError(f'scale must be a number above 0 or "std"; got {scale!r}')
    unit = check_number("scale", scale, low=0.0)
    if unit == 0:
        raise ValueError("scale must be above 0; got 0")
    return unit


def probabilities(annotator: Callable[[Float64Array], Float64Array], gap: Float64Array) -> Float64Array:
    """Return an annotator's probability for each gap, checked."""
    check_function("annotator", annotator, "of gaps")
    p = as_numbers("an annotator's probabilities", annotator(gap))
    if p.shape != gap.shape:
        raise ValueError(f"an annotator must return one probability per gap, {gap.shape}; got {describe(p)}")
    if not (p.min() >= 0 and p.max() <= 1):
        raise ValueError("an annotator must return probabilities in [0, 1]; some are outside or nan")
    return p


def _said(rewards: Any, array: npt.NDArray[Any]) -> str:
    return repr(rewards) if array.ndim == 0 else describe(array)
