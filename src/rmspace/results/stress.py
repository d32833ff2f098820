"""Stress of scores: what Best-of-N loses where a bank has responses that mislead them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmspace._checks import as_numbers, check_int, check_number, describe
from rmspace._typing import Float64Array, IntArray
from rmspace.data.arrays import check_finite
from rmspace.data.bank import ResponseBank, check_bank
from rmspace.metrics._by_count import as_sizes
from rmspace.metrics.selection import best_of_n
from rmspace.results.evaluate import named, rated_of
from rmspace.results.intervals import mean_interval
from rmspace.results.schema import STRESS, table_of


def stress_table(
    scores: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    rewards: npt.ArrayLike | ResponseBank,
    stress: npt.ArrayLike,
    *,
    n: Sequence[int],
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Measure the gold reward of Best-of-N without and with the stressing responses, and how often one is taken.

    The n responses are drawn from those that do not stress, or from all. A larger n draws more of the stressing ones,
    so scores that like them lose more. `overoptimisation_table` shows the whole curves: give it the rewards with NaN at
    the stressing responses, and then all rewards.

    Args:
        scores, rewards, confidence: as in `evaluate`.
        stress: True for the responses that stress: of the shape of the rewards, or (n_items,) of a bank.
            `add_off_topic` makes some; the longest responses of a bank are others.
        n: sizes of Best-of-N. The prompts are those with at least max(n) rated responses that do not stress.

    Returns:
        Columns model, n, without, without_low, without_high, with_stress, with_low, with_high, loss, loss_low,
        loss_high (without - with), taken, taken_low, taken_high (share of draws in which a stressing response is
        taken), n_prompts.

    Raises:
        ValueError: as `evaluate`; marks that are not True or False; no prompt with enough responses.

    >>> quality = np.random.default_rng(0).normal(size=(200, 8))
    >>> stress = np.arange(8) > 5  # two bad responses of each prompt
    >>> rewards, marks = quality - 9 * stress, np.tile(stress, (200, 1))
    >>> table = stress_table({"fooled": quality + 9 * stress, "sound": rewards}, rewards, marks, n=[2])
    >>> table[["model", "taken"]].round(2).values.tolist()
    [['fooled', 0.46], ['sound', 0.04]]
    """
    sizes, rows = as_sizes(list(n)), []
    marks = as_numbers("stress", stress)
    if not np.isin(marks, (0.0, 1.0)).all():
        raise ValueError(f"stress must be True or False for each response; got {np.unique(marks)[:5].tolist()}")
    for name, array in named(scores).items():
        score, gold, ids = rated_of(array, rewards)
        bad = rated_of(marks, rewards)[0] == 1
        plain = np.where(bad, np.nan, gold)
        used = np.count_nonzero(~np.isnan(plain), axis=1) >= max(sizes)
        if not used.any():
            raise ValueError(f"no prompt has max(n) = {max(sizes)} rated responses that do not stress; lower n")
        prompts = np.flatnonzero(used) if ids is None else ids[used]
        score, gold, plain, bad = (each[used] for each in (score, gold, plain, bad))
        without, stressed = (best_of_n(score, side, n=sizes) for side in (plain, gold))
        taken = best_of_n(score, np.where(np.isnan(gold), np.nan, bad), n=sizes)
        for k, size in enumerate(sizes):
            columns = (without[:, k], stressed[:, k], without[:, k] - stressed[:, k], taken[:, k])
            ends = [mean_interval(each, groups=prompts, confidence=confidence, binary=False) for each in columns]
            rows.append((name, size, *(end for each in ends for end in each), len(np.unique(prompts))))
    return table_of(rows, STRESS)


def add_off_topic(
    bank: ResponseBank, scores: npt.ArrayLike, n: int, *, reward: float | Literal["lowest"] = "lowest"
) -> tuple[ResponseBank, npt.NDArray[np.bool_]]:
    """Give each prompt the responses of other prompts with the highest scores, which answer another question.

    Such a response is no answer, so its gold reward is not measured but given. A judge of text can rate
    such pairs; then give the bank those rewards.

    Args:
        bank: with gold rewards.
        scores: (n_items,) of the scores that are stressed; each model gets the responses that are worst for it.
        n: responses to add to each prompt.
        reward: the gold reward of an added response, or "lowest": that of the worst rated response of its prompt.

    Returns:
        The bank in memory, float32, with the new responses after those of the prompt, which keep the features that they
        had; and (n_items,) True for the new ones.

    Raises:
        ValueError: not one finite score per item; more responses than other prompts have.

    >>> bank = ResponseBank(np.arange(8.0).reshape(2, 2, 2), np.array([[3.0, 1.0], [0.0, 2.0]]))
    >>> stressed, marks = add_off_topic(bank, [0.1, 0.9, 0.5, 0.2], 1)
    >>> stressed.embeddings[0].tolist(), stressed.rewards.tolist(), marks.tolist()
    ([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], [[3.0, 1.0, 1.0], [0.0, 2.0, 0.0]], [False, False, True, False, False, True])
    """
    check_bank("bank", bank)
    flat = as_numbers("scores", scores).reshape(-1)
    if flat.shape != (bank.n_items,):
        raise ValueError(f"scores must be one number per item, ({bank.n_items},); got {describe(flat)}")
    check_finite("scores", flat)
    added = _foreign(bank, flat, check_int("n", n, low=1))
    rewards = bank.item_rewards.astype(np.float64)
    if reward == "lowest":
        worst = np.fmin.reduceat(rewards, bank.offsets[:-1])
    else:
        worst = np.full(bank.n_prompts, check_number("reward", reward))
    order = np.concatenate([np.append(np.arange(a, b), new) for a, b, new in _parts(bank, added)])
    marks = np.concatenate([np.arange(b - a + n) >= b - a for a, b, _ in _parts(bank, added)])
    gold = np.where(marks, np.repeat(worst, bank.counts + n), rewards[order])
    shape = (bank.n_prompts, -1) if bank.is_rectangular else (-1,)
    stressed = ResponseBank(
        np.asarray(bank.items, dtype=np.float32)[order].reshape(*shape, bank.dim),
        gold.reshape(shape),
        offsets=None if bank.is_rectangular else np.concatenate([[0], np.cumsum(bank.counts + n)]),
        features={name: value.reshape(-1)[order].reshape(shape) for name, value in bank.features.items()},
        prompt_ids=bank.prompt_ids,
        metadata=bank.metadata,
    )
    return stressed, marks


def _foreign(bank: ResponseBank, scores: Float64Array, n: int) -> IntArray:
    """Return the items with the highest scores of other prompts, (n_prompts, n)."""
    groups = bank.groups
    order = np.argsort(-scores, kind="stable")
    order = order[: n + int(np.bincount(groups).max())]  # more than any prompt has itself
    found = [order[groups[order] != group][:n] for group in groups[bank.offsets[:-1]]]
    if min(map(len, found)) < n:
        raise ValueError(f"n must be at most the number of responses of other prompts, {min(map(len, found))}; got {n}")
    return np.stack(found)


def _parts(bank: ResponseBank, added: IntArray) -> list[tuple[int, int, IntArray]]:
    """Return the first item of each prompt, the end of its items, and the items that it gets."""
    return list(zip(bank.offsets[:-1].tolist(), bank.offsets[1:].tolist(), added, strict=True))
