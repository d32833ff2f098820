"""Splits by prompt: no prompt is ever on both sides."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

from rmspace._checks import check_int
from rmspace._typing import IntArray
from rmspace.data.arrays import number_ids
from rmspace.data.bank import ResponseBank
from rmspace.data.preferences import Preferences, check_preferences

Mask = npt.NDArray[np.bool_]
Data = TypeVar("Data", ResponseBank, Preferences)


def split_prompts(data: Data, test_size: int | float, seed: int) -> tuple[Data, Data]:
    """Split a bank or preferences into (train, test) by prompt id, so that no prompt is on both sides.

    Rows of a bank that share a prompt id stay together. Comparisons that join a training prompt and a test prompt are
    left out of both sides; a warning says how many.

    Args:
        data: the bank or the preferences to split.
        test_size: the number of test prompts, or their share in (0, 1) (rounded, at least 1 prompt).
        seed: seed of the shuffle.

    Raises:
        ValueError: a side would have no prompt, or no comparison.

    >>> bank = ResponseBank(np.zeros((10, 2, 4), np.float32))
    >>> train, test = split_prompts(bank, test_size=0.3, seed=0)
    >>> train.n_prompts, test.n_prompts, set(train.prompt_ids) & set(test.prompt_ids)
    (7, 3, set())
    """
    check_data("data", data)
    seed = check_int("seed", seed, low=0)
    prompts = _prompts(data)
    n_prompts = int(prompts.max()) + 1
    n_test = count_of_test(test_size, n_prompts)
    order = np.random.default_rng(seed).permutation(n_prompts)
    held_out = np.isin(prompts, order[:n_test])
    if isinstance(data, ResponseBank):
        return data[~held_out], data[held_out]
    train, test, dropped = _sides(held_out, "split_prompts")
    _warn_of_dropped(dropped, data.n_comparisons)
    return data[train], data[test]


def prompt_folds(
    preferences: Preferences, n_splits: int = 5, seed: int = 0
) -> Iterator[tuple[Preferences, Preferences]]:
    """Yield (train, test) for each of `n_splits` folds: every prompt is in the test side of exactly one fold.

    Comparisons that join a training prompt and a test prompt of a fold are left out of that fold; a warning says how
    many such comparisons there were.

    Args:
        preferences: the preferences to split.
        n_splits: the number of folds, from 2 to the number of prompts that were compared.
        seed: seed of the shuffle of the prompts.

    Raises:
        ValueError: too few or too many folds; a side of a fold that has no comparison.

    >>> items, groups = np.eye(6, dtype=np.float32), ["a", "a", "b", "b", "c", "c"]
    >>> data = Preferences(items, np.array([[0, 1], [3, 2], [4, 5]]), groups)
    >>> folds = list(prompt_folds(data, n_splits=3, seed=0))
    >>> sorted(test.groups[0] for _, test in folds) == ["a", "b", "c"], [len(train) for train, _ in folds]
    (True, [2, 2, 2])
    """
    check_preferences("preferences", preferences)
    seed = check_int("seed", seed, low=0)
    prompts = _prompts(preferences)
    n_prompts = int(prompts.max()) + 1
    n_splits = check_int("n_splits", n_splits, low=2)
    if n_splits > n_prompts:
        raise ValueError(f"n_splits must be at most the {n_prompts} prompts that were compared; got {n_splits}")
    order = np.random.default_rng(seed).permutation(n_prompts)
    folds = [
        _sides(np.isin(prompts, part), f"fold {number}")
        for number, part in enumerate(np.array_split(order, n_splits), start=1)
    ]
    _warn_of_dropped(max(dropped for _, _, dropped in folds), preferences.n_comparisons)
    return ((preferences[train], preferences[test]) for train, test, _ in folds)


def _prompts(data: ResponseBank | Preferences) -> IntArray:
    """Return the number of the prompt of each row of a bank, or of both sides of each comparison."""
    if isinstance(data, ResponseBank):
        return number_ids(data.prompt_ids)
    return number_ids(data.groups[data.comparisons].ravel()).reshape(-1, 2)


def count_of_test(test_size: int | float, n_prompts: int) -> int:
    """Return how many of the prompts are for the test, of a number or a share of them.

    >>> count_of_test(0.25, 10), count_of_test(3, 10)
    (2, 3)
    """
    if isinstance(test_size, float):
        if not 0 < test_size < 1:
            raise ValueError(f"test_size must be a number of prompts or a share in (0, 1); got {test_size!r}")
        n_test = max(1, round(test_size * n_prompts))
    else:
        n_test = check_int("test_size", test_size, low=1)
    if n_test >= n_prompts:
        raise ValueError(f"test_size must leave a training prompt; got {n_test} of {n_prompts} prompts")
    return n_test


def _sides(held_out: Mask, what: str) -> tuple[Mask, Mask, int]:
    """Return the masks of training and test comparisons, and how many comparisons belong to neither."""
    test, train = np.asarray(held_out.all(axis=1)), np.asarray(~held_out.any(axis=1))
    if not train.any() or not test.any():
        raise ValueError(
            f"{what} must leave comparisons on both sides; got {train.sum()} for training and {test.sum()} for the "
            f"test, and {len(held_out) - train.sum() - test.sum()} that join the two sides; give more comparisons "
            "within prompts, or fewer or other test prompts"
        )
    return train, test, int(len(held_out) - train.sum() - test.sum())


def _warn_of_dropped(dropped: int, n_comparisons: int) -> None:
    if dropped:
        message = (
            f"{dropped} of {n_comparisons} comparisons join a training prompt and a test prompt; they are left out"
        )
        warnings.warn(message, stacklevel=3)


def split_comparisons(
    pairs: IntArray, groups: npt.NDArray[Any], share: float, rng: np.random.Generator
) -> tuple[Mask, Mask]:
    """Return (training, validation) masks over comparisons, for a `share` of the groups held out.

    A comparison of a held-out group with another group belongs to neither mask: it would show training an item that
    validation is about. Same-prompt comparisons have no such case, and their held-out groups are random. With
    cross-prompt comparisons, random groups would leave share^2 of them for validation and (1 - share)^2 for training.
    Therefore groups that were compared with one another are held out together: they are neighbours in a Cuthill-McKee
    order of the graph of comparisons. With one comparison per prompt almost nothing is lost. Where every prompt is
    compared with many others, much is lost in any order.

    Args:
        pairs: int64 (n_comparisons, 2).
        groups: (n_items,) prompts, integers or text.
        share: the share of the groups to hold out, in (0, 1); at least one group is held out.
        rng: draws the groups.

    Raises:
        ValueError: no comparison is left for training or for validation.
    """
    present, sides = np.unique(groups[pairs], return_inverse=True)
    sides = rng.permutation(len(present))[sides.reshape(pairs.shape)]
    graph = coo_array((np.ones(len(pairs)), (sides[:, 0], sides[:, 1])), shape=(len(present),) * 2).tocsr()
    order = reverse_cuthill_mckee(graph + graph.T, symmetric_mode=True)
    n_held_out = max(1, round(share * len(present)))
    inside = np.isin(sides, order[:n_held_out])
    training, validation = np.asarray(~inside.any(axis=1)), np.asarray(inside.all(axis=1))
    if not training.any() or not validation.any():
        raise ValueError(
            f"validation needs comparisons inside held-out prompts and outside them; of {len(pairs)} comparisons of "
            f"{len(present)} prompts, {validation.sum()} were inside {n_held_out} held-out prompts and "
            f"{training.sum()} outside; give more comparisons, a larger validation_fraction, or "
            "validation_fraction=0 to train for max_epochs"
        )
    return training, validation


def check_data(name: str, value: object) -> None:
    """Raise TypeError where `value` is neither a bank nor preferences."""
    if not isinstance(value, ResponseBank | Preferences):
        raise TypeError(f"{name} must be a ResponseBank or Preferences; got {type(value).__name__}")
