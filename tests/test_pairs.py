from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

import rmspace as rm
from conftest import make_bank

sizes = st.integers(1, 9)


@given(sizes, st.integers(2, 6), st.data())
@settings(max_examples=150, deadline=None)
def test_same_prompt_shares_fairly_and_repeats_last(n_prompts: int, n_responses: int, data: st.DataObject) -> None:
    bank = make_bank(n_prompts, n_responses)
    distinct = n_responses * (n_responses - 1) // 2
    n_pairs = data.draw(st.integers(1, 3 * n_prompts * distinct))
    seed = data.draw(st.integers(0, 999))
    pairs = rm.same_prompt(bank, n_pairs, np.random.default_rng(seed), repeats=True)
    assert pairs.shape == (n_pairs, 2)
    assert pairs.dtype == np.int64
    prompts = bank.groups[pairs]
    assert (prompts[:, 0] == prompts[:, 1]).all()
    assert (pairs[:, 0] != pairs[:, 1]).all()
    per_prompt = np.bincount(prompts[:, 0], minlength=n_prompts)
    assert np.ptp(per_prompt) <= 1
    for prompt in range(n_prompts):
        own = np.sort(pairs[prompts[:, 0] == prompt], axis=1)
        for start in range(0, len(own), distinct):  # the pairs as drawn: no cycle repeats a pair
            cycle = own[start : start + distinct]
            assert len(np.unique(cycle, axis=0)) == len(cycle)


@given(st.integers(2, 9), st.integers(1, 5), st.data())
@settings(max_examples=150, deadline=None)
def test_cross_prompt_shares_fairly(n_prompts: int, n_responses: int, data: st.DataObject) -> None:
    bank = make_bank(n_prompts, n_responses)
    limit = n_prompts * (n_prompts - 1) // 2 * n_responses**2
    n_pairs = data.draw(st.integers(1, min(limit, 60)))
    pairs = rm.cross_prompt(bank, n_pairs, np.random.default_rng(data.draw(st.integers(0, 999))))
    prompts = bank.groups[pairs]
    assert pairs.shape == (n_pairs, 2)
    assert (prompts[:, 0] != prompts[:, 1]).all()
    assert np.ptp(np.bincount(prompts.ravel(), minlength=n_prompts)) <= 1


@pytest.mark.parametrize("n_responses", [4, 40])  # the two algorithms: permutation, and rejection
def test_same_prompt_is_uniform_over_ordered_pairs(n_responses: int) -> None:
    bank = make_bank(400, n_responses)
    counts: Counter[tuple[int, ...]] = Counter()
    for seed in range(60):
        for pair in rm.same_prompt(bank, 1200, np.random.default_rng(seed)) % n_responses:
            counts[tuple(pair)] += 1
    observed = [counts[i, j] for i in range(n_responses) for j in range(n_responses) if i != j]
    assert chisquare(observed).pvalue > 1e-4


def test_cross_prompt_is_uniform_over_prompts_met() -> None:
    bank = make_bank(5, 2)
    met = Counter(
        tuple(pair)
        for seed in range(400)
        for pair in bank.groups[rm.cross_prompt(bank, 10, np.random.default_rng(seed))]
    )
    observed = [met[i, j] for i in range(5) for j in range(5) if i != j]
    assert chisquare(observed).pvalue > 1e-4


def test_candidates_take_the_ranks_of_the_reference(rng: np.random.Generator) -> None:
    bank = make_bank(30, 10)
    ranks = bank.rewards.argsort(axis=1).argsort(axis=1)
    for candidates, expected in ((rm.similar, {4, 5}), (rm.diversified, {0, 9})):
        pairs = rm.same_prompt(bank, 30, rng, candidates=candidates)
        assert all(set(ranks.ravel()[pair]) == expected for pair in pairs)
        crossed = rm.cross_prompt(bank, 50, rng, candidates=candidates)
        assert set(ranks.ravel()[crossed.ravel()]) <= expected


def test_own_candidates(rng: np.random.Generator) -> None:
    bank = make_bank(3, 5)
    pairs = rm.same_prompt(bank, 3, rng, candidates=lambda bank: np.tile([1, 3], (bank.n_prompts, 1)))
    assert set((pairs % 5).ravel()) == {1, 3}


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda rng: rm.same_prompt(make_bank(3, 1), 2, rng),
            "needs a prompt with two candidates; the largest number is 1",
        ),
        (lambda rng: rm.same_prompt(make_bank(3, 3), 10, rng), "at most the 9 distinct pairs.*repeats=True"),
        (lambda rng: rm.cross_prompt(make_bank(1, 3), 2, rng), "needs two prompts"),
        (lambda rng: rm.cross_prompt(make_bank(2, 2), 5, rng), "at most the 4 distinct"),
        (lambda rng: rm.same_prompt(make_bank(3, 3), 0, rng), "n_pairs must be at least 1"),
        (lambda rng: rm.similar(make_bank(3, 1)), "needs a prompt with two rated responses"),
        (lambda rng: rm.same_prompt(make_bank(2, 3), 1, rng, candidates=lambda b: np.zeros((2, 2), int)), "none twice"),
        (
            lambda rng: rm.same_prompt(make_bank(2, 3), 1, rng, candidates=lambda b: np.ones(2)),  # type: ignore[arg-type]
            "candidates must return",
        ),
        (
            lambda rng: rm.same_prompt(make_bank(2, 3), 1, rng, candidates=lambda b: np.array([[0, 3], [0, 1]])),
            r"in \[0, 3\)",
        ),
    ],
)
def test_bad_input(act: Callable[..., Any], message: str, rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=message):
        act(rng)


def test_a_seed_is_no_generator() -> None:
    for strategy in (rm.same_prompt, rm.cross_prompt):
        with pytest.raises(TypeError, match=r"rng must be a numpy\.random\.Generator; got 0; use"):
            strategy(make_bank(3, 3), 2, 0)  # type: ignore[arg-type]


def test_a_count_must_be_whole(rng: np.random.Generator) -> None:
    with pytest.raises(TypeError, match=r"n_pairs must be an integer; got 2\.5"):
        rm.same_prompt(make_bank(3, 3), 2.5, rng)  # type: ignore[arg-type]
