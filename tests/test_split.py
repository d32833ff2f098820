"""Splits and folds: no prompt on both sides, whatever its id and however often it comes."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rmspace as rm
from conftest import make_bank
from rmspace._typing import IntArray


def make_preferences(ids: Any, comparisons: IntArray | list[tuple[int, int]], **columns: Any) -> rm.Preferences:
    items = np.random.default_rng(0).normal(size=(len(ids), 3)).astype(np.float32)
    return rm.Preferences(items, np.array(comparisons), ids, **columns)


@given(st.lists(st.integers(0, 8), min_size=3, max_size=30), st.integers(0, 99), st.booleans())
@settings(deadline=None)
def test_rows_of_one_id_are_on_one_side(ids: list[int], seed: int, text: bool) -> None:
    if len(set(ids)) < 2:
        return
    names = [f"prompt {i}" for i in ids] if text else ids
    bank = rm.ResponseBank(np.arange(len(ids) * 2, dtype=np.float32).reshape(-1, 2, 1), prompt_ids=names)
    train, test = rm.split_prompts(bank, 0.3, seed)
    assert not set(train.prompt_ids.tolist()) & set(test.prompt_ids.tolist())
    assert len(set(test.prompt_ids.tolist())) == max(1, round(0.3 * len(set(ids))))
    assert sorted([*train.items[:, 0], *test.items[:, 0]]) == list(range(len(ids) * 2))


def test_a_bank_with_repeated_ids_does_not_leak() -> None:
    rng = np.random.default_rng(0)
    bank = rm.ResponseBank(make_bank(400, 2).embeddings, prompt_ids=rng.integers(150, size=400))
    train, test = rm.split_prompts(bank, 0.3, 0)
    assert not set(train.prompt_ids) & set(test.prompt_ids)


def test_unique_ids_split_as_rows_do() -> None:
    """The split of a seed is the one that studies have used: a permutation of the rows, cut at the test size."""
    order = np.random.default_rng(5).permutation(40)
    train, test = rm.split_prompts(make_bank(40, 2)[::-1], 10, seed=5)
    assert sorted(39 - test.prompt_ids) == sorted(order[:10])
    assert sorted(39 - train.prompt_ids) == sorted(order[10:])


def test_preferences_split_by_prompt_and_keep_their_columns() -> None:
    ids = np.repeat([f"p{k}" for k in range(10)], 3)
    comparisons = [(3 * p + i, 3 * p + (i + 1) % 3) for p in range(10) for i in range(3)]
    data = make_preferences(ids, comparisons, margin=np.arange(30.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is left out
        train, test = rm.split_prompts(data, 3, seed=0)
    assert (train.n_prompts, test.n_prompts) == (7, 3)
    assert not set(train.groups) & set(test.groups)
    for side in (train, test):
        for row, margin in enumerate(side.columns["margin"].astype(int)):
            np.testing.assert_array_equal(side.items[side.comparisons[row]], data.items[data.comparisons[margin]])
    assert sorted([*train.columns["margin"], *test.columns["margin"]]) == list(range(30))


def test_comparisons_that_join_the_sides_are_left_out_with_a_warning() -> None:
    ids = [0, 0, 1, 1, 2, 2]
    data = make_preferences(ids, [(0, 1), (2, 3), (4, 5), (1, 2), (3, 4)])
    with pytest.warns(UserWarning, match="of 5 comparisons join a training prompt and a test prompt") as caught:
        train, test = rm.split_prompts(data, 1, seed=0)
    dropped = int(str(caught[0].message).split()[0])
    assert len(train) + len(test) + dropped == 5
    assert dropped == (2 if test.groups[0] == 1 else 1)


@given(st.integers(2, 7), st.integers(0, 20), st.integers(2, 7))
@settings(deadline=None)
def test_folds_hold_every_prompt_once(n_prompts: int, seed: int, n_splits: int) -> None:
    ids = np.repeat(np.arange(n_prompts) * 10, 2)
    data = make_preferences(ids, np.arange(2 * n_prompts).reshape(-1, 2)[:, ::-1], subset=np.arange(n_prompts))
    if n_splits > n_prompts:
        with pytest.raises(ValueError, match=f"at most the {n_prompts} prompts that were compared; got {n_splits}"):
            rm.prompt_folds(data, n_splits, seed)
        return
    tested = []
    for train, test in rm.prompt_folds(data, n_splits, seed):
        assert sorted([*train.columns["subset"], *test.columns["subset"]]) == list(range(n_prompts))
        assert not set(train.groups) & set(test.groups)
        tested += test.columns["subset"].tolist()
    assert sorted(tested) == list(range(n_prompts))


def test_folds_are_seeded_and_need_comparisons() -> None:
    data = make_preferences(np.repeat(np.arange(8), 2), np.arange(16).reshape(-1, 2))
    folds = [[test.groups.tolist() for _, test in rm.prompt_folds(data, 4, seed)] for seed in (0, 0, 1)]
    assert folds[0] == folds[1] != folds[2]
    crossed = make_preferences([0, 1, 2, 3], [(0, 1), (1, 2), (2, 3), (3, 0)])
    with pytest.raises(ValueError, match="fold 1 must leave comparisons on both sides; got 2 for training and 0"):
        rm.prompt_folds(crossed, 4, seed=0)
    with pytest.raises(ValueError, match="n_splits must be at least 2"):
        rm.prompt_folds(data, 1)


@pytest.mark.parametrize(
    ("size", "message"),
    [(4, "leave a training prompt; got 4 of 4"), (1.5, r"share in \(0, 1\)"), (0, "test_size must be at least 1")],
)
def test_bad_sizes(size: float, message: str) -> None:
    data = make_preferences(np.repeat(np.arange(4), 2), np.arange(8).reshape(-1, 2))
    what: Any
    for what in (data, make_bank(4, 2)):
        with pytest.raises(ValueError, match=message):
            rm.split_prompts(what, size, 0)
