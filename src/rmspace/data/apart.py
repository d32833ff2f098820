"""The check that no prompt of the test data is in the training data."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rmspace._typing import IntArray
from rmspace.data.arrays import number_ids
from rmspace.data.bank import ResponseBank
from rmspace.data.equal_rows import row_hashes
from rmspace.data.mapped import blocks
from rmspace.data.preferences import Preferences

Data = ResponseBank | Preferences


class _Items(NamedTuple):
    """Some items of one side."""

    hashes: npt.NDArray[np.uint64]  # of the embeddings, rounded to float16
    prompts: IntArray
    sizes: IntArray  # number of items of each prompt, including those that are not among these items


def check_apart(train: Data, test: Data) -> None:
    """Raise ValueError where the sides differ in dim, or a test prompt is in training.

    Prompts are compared by id where the ids are text, and where both sides are selections of one bank. Integer ids of
    two separate data sets say nothing, so values are compared, too: a prompt is on both sides where all items of one
    side are among the items of one prompt of the other side. Items are equal where their embeddings are equal after
    rounding to float16 and, in two banks, their rewards after rounding to float32; items that nobody rated do not
    count. Other responses to the same prompt cannot be found by their values: split by prompt.

    >>> bank = ResponseBank(np.eye(6, dtype=np.float32).reshape(3, 2, 6))
    >>> check_apart(bank[:2], bank[2:])
    >>> check_apart(bank[:2], bank[1:])
    Traceback (most recent call last):
    ...
    ValueError: train and test must have no prompt in common; 1 prompt ids are on both sides, the first is 1; ...
    """
    if train.dim != test.dim:
        raise ValueError(f"train and test must have embeddings of one length; got {train.dim} and {test.dim}")
    if ids := _ids_in_common(train, test):
        raise ValueError(
            f"train and test must have no prompt in common; {len(ids)} prompt ids are on both sides, the first is "
            f"{min(ids)!r}; split with split_prompts, which goes by id"
        )
    shared = _prompts_in_common(train, test)
    if len(shared):
        raise ValueError(
            f"train and test must have no prompt in common; {len(shared)} of {_n_prompts(test)} test prompts (the "
            f"first is number {shared[0]}) have the same items as a training prompt; give equal prompts one id and "
            "split with split_prompts, which goes by id"
        )


def _ids_in_common(train: Data, test: Data) -> set[Any]:
    """Return the prompt ids on both sides, where equal ids mean one prompt."""
    sides = [data.prompt_ids if isinstance(data, ResponseBank) else data.groups for data in (train, test)]
    of_one_bank = isinstance(train, ResponseBank) and isinstance(test, ResponseBank) and train.has_the_origin_of(test)
    if of_one_bank or all(ids.dtype.kind == "U" for ids in sides):
        return set(sides[0].tolist()) & set(sides[1].tolist())
    return set()


def _n_prompts(data: Data) -> int:
    return len(np.unique(data.groups))


def _prompts_in_common(train: Data, test: Data) -> IntArray:
    """Return the numbers of the test prompts whose values are those of a training prompt."""
    rewarded = all(isinstance(data, ResponseBank) and data.has_rewards for data in (train, test))
    if rewarded and not (_any_prompt_known(train, test) or _any_prompt_known(test, train)):
        return np.empty(0, np.int64)
    counted = _rated(train), _rated(test)
    ids = _with_common_rewards(train, test, counted) if rewarded else counted
    sides = [_items(data, chosen, rated) for data, chosen, rated in zip((train, test), ids, counted, strict=True)]
    if not all(len(side.hashes) for side in sides):
        return np.empty(0, np.int64)
    contained, _ = _contained(sides[1], sides[0])
    _, containing = _contained(sides[0], sides[1])
    return np.union1d(contained, containing)


def _any_prompt_known(inner: Any, outer: Any) -> bool:
    """Return whether all rewards of some prompt of `inner` are in `outer`: a quick test before embeddings are read."""
    rewards = inner.item_rewards.astype(np.float32)
    known = np.sort(outer.item_rewards.astype(np.float32))
    starts = inner.offsets[:-1]
    rows = np.flatnonzero(_found(rewards[starts], known))  # most rows end here, at their first reward
    ids = [np.arange(starts[row], inner.offsets[row + 1]) for row in rows]
    return any(_found(rewards[row], known).all() for row in ids)


def _found(rewards: npt.NDArray[np.float32], known: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Return which rewards are in `known`, which is sorted; a missing reward counts as found."""
    place = np.searchsorted(known, rewards).clip(max=len(known) - 1)
    return np.asarray((known[place] == rewards) | np.isnan(rewards))


def _rated(data: Data) -> IntArray:
    """Return the items that count: all, or those with a reward."""
    if isinstance(data, ResponseBank) and data.has_rewards:
        return np.flatnonzero(~np.isnan(data.item_rewards))
    return np.arange(data.n_items)


def _with_common_rewards(train: Any, test: Any, counted: tuple[IntArray, IntArray]) -> tuple[IntArray, IntArray]:
    """Return the items whose reward is on both sides; only these can be equal, and only these are read."""
    a, b = (data.item_rewards[ids].astype(np.float32) for data, ids in zip((train, test), counted, strict=True))
    return counted[0][np.isin(a, b)], counted[1][np.isin(b, a)]


def _items(data: Data, ids: IntArray, counted: IntArray) -> _Items:
    prompts = number_ids(data.groups)
    with np.errstate(over="ignore"):  # beyond float16 all numbers are infinite
        hashes = [row_hashes(np.asarray(block, dtype=np.float16)) for _, block in blocks(data.items, ids)]
    return _Items(np.concatenate([np.empty(0, np.uint64), *hashes]), prompts[ids], np.bincount(prompts[counted]))


def _contained(inner: _Items, outer: _Items) -> tuple[IntArray, IntArray]:
    """Return the prompts of `inner` whose items are all in one prompt of `outer`, and which prompt that is."""
    order = np.argsort(outer.hashes, kind="stable")
    place = np.searchsorted(outer.hashes, inner.hashes, sorter=order).clip(max=len(order) - 1)
    found = outer.hashes[order[place]] == inner.hashes
    prompts, where = inner.prompts[found], outer.prompts[order[place]][found]
    if not len(prompts):
        return prompts, where
    by_prompt = np.argsort(prompts, kind="stable")
    present, starts, counts = np.unique(prompts[by_prompt], return_index=True, return_counts=True)
    first, last = (ufunc.reduceat(where[by_prompt], starts) for ufunc in (np.minimum, np.maximum))
    whole = (counts == inner.sizes[present]) & (first == last)
    return present[whole], first[whole]
