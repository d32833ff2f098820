"""Banks whose prompts have different numbers of responses, or responses that nobody rated."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

import rmspace as rm
from conftest import make_bank
from rmspace._typing import Float64Array, IntArray
from rmspace.data.mapped import mapped


def make_ragged(counts: IntArray | list[int], dim: int = 4, seed: int = 0, unrated: float = 0.0) -> rm.ResponseBank:
    rng = np.random.default_rng(seed)
    n = int(np.sum(counts))
    rewards = rng.normal(size=n)
    rewards[rng.random(n) < unrated] = np.nan
    return rm.ResponseBank(
        rng.normal(size=(n, dim)).astype(np.float32),
        rewards,
        offsets=np.append(0, np.cumsum(counts)),
        features={"length": np.arange(1, n + 1)},
    )


counts_of_prompts = st.lists(st.integers(1, 5), min_size=1, max_size=6)


@given(counts_of_prompts, st.data())
@settings(deadline=None)
def test_a_selection_is_the_selection_of_each_prompt(counts: list[int], data: st.DataObject) -> None:
    bank = make_ragged(counts)
    rows = data.draw(st.lists(st.integers(0, len(counts) - 1), min_size=1, max_size=8))
    parts = [slice(bank.offsets[p], bank.offsets[p + 1]) for p in rows]
    for chosen in (bank[rows], bank[:][rows], bank[rows][:]):
        np.testing.assert_array_equal(chosen.items, np.concatenate([bank.items[part] for part in parts]))
        np.testing.assert_array_equal(chosen.item_rewards, np.concatenate([bank.item_rewards[part] for part in parts]))
        np.testing.assert_array_equal(
            chosen.features["length"].ravel(), np.concatenate([np.arange(part.start, part.stop) + 1 for part in parts])
        )
        np.testing.assert_array_equal(chosen.counts, np.array(counts)[rows])
        np.testing.assert_array_equal(chosen.prompt_ids, rows)
        numbers = {prompt: number for number, prompt in enumerate(dict.fromkeys(rows))}
        assert chosen.groups.tolist() == [numbers[p] for p in rows for _ in range(counts[p])]


@given(counts_of_prompts)
@settings(deadline=None)
def test_the_table_has_each_value_in_its_place(counts: list[int]) -> None:
    bank = make_ragged(counts)
    table, filled = bank.rewards, bank.padded(np.arange(bank.n_items), fill=-1)
    assert table.shape == filled.shape == (len(counts), max(counts))
    for prompt, count in enumerate(counts):
        for response in range(max(counts)):
            item = bank.offsets[prompt] + response
            if response < count:
                assert table[prompt, response] == bank.item_rewards[item]
                assert filled[prompt, response] == item
            else:
                assert np.isnan(table[prompt, response])
                assert filled[prompt, response] == -1


def test_offsets_of_equal_steps_make_the_rectangular_bank() -> None:
    whole = make_bank(4, 3)
    flat = rm.ResponseBank(whole.items, whole.item_rewards, offsets=np.arange(0, 13, 3))
    assert flat.is_rectangular
    assert flat.n_responses == 3
    assert flat.fingerprint() == whole.fingerprint()
    np.testing.assert_array_equal(flat.embeddings, whole.embeddings)
    ragged = make_ragged([2, 3, 2])
    assert ragged[[0, 2]].embeddings.shape == (2, 2, 4)
    assert ragged[[0, 2]].fingerprint() != ragged.fingerprint()


@pytest.mark.parametrize("choice", [slice(None), slice(1, 3), [3, 0, 1], slice(None, None, -1)], ids=str)
def test_a_saved_ragged_bank_is_the_same_and_is_read_where_it_is_used(tmp_path: Path, choice: Any) -> None:
    bank = make_ragged([2, 5, 1, 3], unrated=0.2)
    bank.save(tmp_path / "bank")
    stored = rm.ResponseBank.open(tmp_path / "bank")
    assert (tmp_path / "bank" / "items.npy").stat().st_size < 128 + bank.n_items * bank.dim * 4 + 64  # not padded
    chosen = stored[choice]
    assert mapped(chosen.items)
    np.testing.assert_array_equal(chosen.items, bank[choice].items)
    np.testing.assert_array_equal(chosen.item_rewards, bank[choice].item_rewards)
    assert chosen.fingerprint() == bank[choice].fingerprint()
    chosen.save(tmp_path / "again")
    assert rm.ResponseBank.open(tmp_path / "again").fingerprint() == bank[choice].fingerprint()


def test_text_ids_are_kept_and_group_the_items(tmp_path: Path) -> None:
    bank = rm.ResponseBank(
        np.zeros((4, 2), np.float32), offsets=[0, 2, 3, 4], prompt_ids=["why", "a long question", "why"]
    )
    assert bank.groups.tolist() == [0, 0, 1, 0]
    bank.save(tmp_path / "bank")
    stored = rm.ResponseBank.open(tmp_path / "bank")
    assert stored.prompt_ids.tolist() == ["why", "a long question", "why"]
    assert stored.fingerprint() == bank.fingerprint()
    short = rm.ResponseBank(np.zeros((1, 1, 2), np.float32), prompt_ids=["why"])
    cut = rm.ResponseBank(np.zeros((2, 1, 2), np.float32), prompt_ids=["why", "a long question"])[:1]
    assert cut.fingerprint() == short.fingerprint()  # however wide numpy stores the text


ITEMS = np.zeros((5, 2), np.float32)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: rm.ResponseBank(ITEMS, offsets=[0, 3, 2, 5]), ValueError, r"not decrease; offsets\[2\] = 2 follows 3"),
        (lambda: rm.ResponseBank(ITEMS, offsets=[0, 3, 6]), ValueError, "end at the 5 items; got 0 to 6"),
        (lambda: rm.ResponseBank(ITEMS, offsets=[0, 3, 4]), ValueError, "end at the 5 items; got 0 to 4"),
        (lambda: rm.ResponseBank(ITEMS, offsets=[1, 3, 5]), ValueError, "start at 0 and end at the 5 items; got 1"),
        (lambda: rm.ResponseBank(ITEMS, offsets=[0, 3, 3, 5]), ValueError, "prompt 1 has none: leave such prompts out"),
        (lambda: rm.ResponseBank(ITEMS, offsets=[0.0, 5.0]), TypeError, "offsets must be integers"),
        (lambda: rm.ResponseBank(ITEMS, offsets=[5]), ValueError, "at least two"),
        (lambda: rm.ResponseBank(ITEMS), ValueError, r"or \(n_items, dim\) with offsets"),
        (lambda: rm.ResponseBank(ITEMS, np.zeros((2, 3)), offsets=[0, 2, 5]), ValueError, r"shape \(n_items,\) = \(5,"),
        (lambda: make_ragged([2, 1]).n_responses, ValueError, r"\(1 to 2\), so it has no n_responses; use bank.counts"),
        (lambda: make_ragged([2, 1]).embeddings, ValueError, "use bank.items with bank.offsets"),
        (lambda: make_ragged([2, 1]).padded([1, 2]), ValueError, r"one number per item, \(3,\)"),
        (lambda: rm.ResponseBank(ITEMS, offsets=[0, 2, 5], prompt_ids=[0.5, 1.5]), ValueError, "integers or text"),
        (
            lambda: rm.ResponseBank(ITEMS, offsets=[0, 2, 5], prompt_ids=np.array([0, 2**64 - 1], np.uint64)),
            ValueError,
            "must fit int64",
        ),
        (
            lambda: rm.ResponseBank(ITEMS, offsets=[0, 2, 5], prompt_ids=[7, 7], metadata={"prompts": ["Hi", "Why?"]}),
            ValueError,
            "id 7 has 'Hi' and 'Why\\?'; give different prompts different ids",
        ),
    ],
)
def test_bad_input(make: Callable[..., Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_damaged_offsets_in_a_file_are_found(tmp_path: Path) -> None:
    make_ragged([2, 3]).save(tmp_path / "bank")
    np.save(tmp_path / "bank" / "offsets.npy", np.array([0, 2, 9]))
    with pytest.raises(ValueError, match=r"offsets\.npy is damaged: its content is not what was written"):
        rm.ResponseBank.open(tmp_path / "bank")


@given(counts_of_prompts, st.data())
@settings(max_examples=150, deadline=None)
def test_same_prompt_uses_every_pair_before_any_again(counts: list[int], data: st.DataObject) -> None:
    bank = make_ragged(counts)
    distinct = np.array([count * (count - 1) // 2 for count in counts])
    if distinct.sum() == 0:
        with pytest.raises(ValueError, match="needs a prompt with two candidates"):
            rm.same_prompt(bank, 1, np.random.default_rng(0))
        return
    n_pairs = data.draw(st.integers(1, int(distinct.sum())))
    pairs = rm.same_prompt(bank, n_pairs, np.random.default_rng(data.draw(st.integers(0, 99))))
    prompts = bank.groups[pairs]
    assert (prompts[:, 0] == prompts[:, 1]).all()
    assert len({tuple(sorted(pair)) for pair in pairs.tolist()}) == n_pairs  # none twice
    per_prompt = np.bincount(prompts[:, 0], minlength=len(counts))
    level = per_prompt.max()  # every prompt has as many as the others, or one less, or all that it has
    assert (per_prompt >= np.minimum(distinct, level - 1)).all()
    again = rm.same_prompt(bank, 3 * n_pairs, np.random.default_rng(1), repeats=True)
    assert np.ptp(np.bincount(bank.groups[again[:, 0]], minlength=len(counts))[distinct > 0]) <= 1


@given(st.lists(st.integers(1, 5), min_size=2, max_size=6), st.data())
@settings(max_examples=100, deadline=None)
def test_cross_prompt_shares_fairly(counts: list[int], data: st.DataObject) -> None:
    bank = make_ragged(counts)
    limit = (sum(counts) ** 2 - sum(count**2 for count in counts)) // 2
    n_pairs = data.draw(st.integers(1, limit))
    pairs = rm.cross_prompt(bank, n_pairs, np.random.default_rng(data.draw(st.integers(0, 99))))
    prompts = bank.groups[pairs]
    assert (prompts[:, 0] != prompts[:, 1]).all()
    assert np.ptp(np.bincount(prompts.ravel(), minlength=len(counts))) <= 1
    with pytest.raises(ValueError, match=f"at most the {limit} distinct"):
        rm.cross_prompt(bank, limit + 1, np.random.default_rng(0))


def test_pairs_of_ragged_prompts_are_uniform() -> None:
    bank = make_ragged([2, 4, 3])
    same: Counter[tuple[int, ...]] = Counter()
    cross: Counter[int] = Counter()
    for seed in range(1500):
        same.update(map(tuple, rm.same_prompt(bank, 3, np.random.default_rng(seed)).tolist()))
        cross.update(rm.cross_prompt(bank, 3, np.random.default_rng(seed)).ravel().tolist())
    for prompt, count in enumerate(bank.counts):
        items = range(bank.offsets[prompt], bank.offsets[prompt + 1])
        ordered = [same[i, j] for i in items for j in items if i != j]
        assert sum(ordered) == 1500
        assert chisquare(ordered).pvalue > 1e-4
        assert chisquare([cross[i] for i in items]).pvalue > 1e-4
        assert sum(cross[i] for i in items) == 3000
        assert count == len(items)


@pytest.mark.parametrize("strategy", [rm.same_prompt, rm.cross_prompt])
@pytest.mark.parametrize("candidates", [rm.all_responses, rm.similar, rm.diversified])
def test_pairs_leave_out_what_nobody_rated(
    strategy: Callable[..., Any], candidates: Callable[..., Any], rng: np.random.Generator
) -> None:
    for bank in (make_ragged(rng.integers(1, 7, size=60), unrated=0.4), _rectangular_with_gaps(60, 6, 0.4)):
        pairs = strategy(bank, 30, rng, candidates=candidates)
        assert np.isfinite(bank.item_rewards[pairs]).all()
        comparisons = rm.annotate(pairs, bank, rm.oracle, rng=rng)
        assert rm.error_rate(comparisons, bank) == 0.0


def _rectangular_with_gaps(n_prompts: int, n_responses: int, unrated: float) -> rm.ResponseBank:
    whole = make_bank(n_prompts, n_responses)
    rewards = np.where(np.random.default_rng(1).random(whole.rewards.shape) < unrated, np.nan, whole.rewards)
    return rm.ResponseBank(whole.embeddings, rewards)


@given(counts_of_prompts, st.floats(0, 0.8))
@settings(deadline=None)
def test_candidates_by_rank_are_those_of_the_rated_responses(counts: list[int], unrated: float) -> None:
    bank = make_ragged(counts, unrated=unrated)
    rated = [[r for r in range(count) if not np.isnan(bank.rewards[prompt, r])] for prompt, count in enumerate(counts)]
    every = [[c for c in row if c >= 0] for row in rm.all_responses(bank).tolist()]
    assert every == rated
    if max(map(len, rated)) < 2:
        with pytest.raises(ValueError, match=r"needs a prompt with two rated responses|all are NaN"):
            rm.similar(bank)
        return
    for prompt, responses in enumerate(rated):
        ordered = sorted(responses, key=bank.rewards[prompt].__getitem__)
        ends = [ordered[0], ordered[-1]] if len(ordered) > 1 else [-1, -1]
        middle = len(ordered) // 2
        assert rm.diversified(bank)[prompt].tolist() == ends
        assert rm.similar(bank)[prompt].tolist() == (ordered[middle - 1 : middle + 1] if len(ordered) > 1 else [-1, -1])


def test_unrated_responses_can_be_chosen_for_people_to_judge(rng: np.random.Generator) -> None:
    bank = _rectangular_with_gaps(5, 4, 0.5)
    pairs = rm.same_prompt(bank, 30, rng, candidates=partial(rm.all_responses, unrated=True))
    assert set(pairs.ravel()) == set(range(20))
    row = int(np.argmax(np.isnan(bank.item_rewards[pairs]).any(axis=1)))
    with pytest.raises(ValueError, match=f"row {row} has item .*, which has no gold reward; all_responses"):
        rm.annotate(pairs, bank, rm.oracle, rng=rng)


def test_own_candidates_are_held_to_the_counts(rng: np.random.Generator) -> None:
    bank = make_ragged([2, 3])
    own = np.array([[1, 0, -1], [0, -1, 2]])
    pairs = rm.same_prompt(bank, 2, rng, candidates=lambda bank: own)
    assert sorted(map(sorted, pairs.tolist())) == [[0, 1], [2, 4]]
    with pytest.raises(ValueError, match=r"in \[0, 2\), or -1 for none; got 0 to 2 for prompt 0"):
        rm.same_prompt(bank, 2, rng, candidates=lambda bank: np.array([[0, 2], [0, 1]]))


def test_the_padded_table_of_a_ragged_bank_is_not_taken_for_rewards_by_item(rng: np.random.Generator) -> None:
    bank = make_ragged([3, 1, 3])
    pairs = np.array([[4, 5]])
    expected = rm.annotate(pairs, bank, rm.oracle, rng=rng)
    np.testing.assert_array_equal(rm.annotate(pairs, bank.item_rewards, rm.oracle, rng=rng), expected)
    for use in (partial(rm.annotate, annotator=rm.oracle, rng=rng), rm.error_rate):
        with pytest.raises(ValueError, match=r"its places need not be item ids.*bank\.item_rewards"):
            use(pairs, bank.rewards)


def test_the_standard_deviation_is_that_of_the_rated(rng: np.random.Generator) -> None:
    bank = make_ragged([3, 1, 3], unrated=0.3, seed=4)
    rated = bank.item_rewards[~np.isnan(bank.item_rewards)]
    assert len(rated) < bank.n_items
    pairs = rm.same_prompt(bank, 2, rng)
    gaps = []

    def recording(gap: Float64Array) -> Float64Array:
        gaps.append(gap)
        return gap * 0

    rm.annotate(pairs, bank, recording, rng=rng, scale="std")
    first, second = bank.item_rewards[pairs].T
    np.testing.assert_allclose(gaps[0], (first - second) / rated.std())


def test_baselines_fit_the_table_of_rewards() -> None:
    train, test = _rectangular_with_gaps(20, 3, 0.3), make_ragged([2, 1, 4])
    for baseline in (rm.random_response, rm.best_response, partial(rm.feature_score, feature="length")):
        assert np.isfinite(rm.best_of_n(baseline(train, test), test.rewards, n=1)).all()
    np.testing.assert_allclose(rm.position_mean(train, train)[0], np.nanmean(train.rewards, axis=0))
    nobody = rm.ResponseBank(train.embeddings, np.where([False, True, False], np.nan, train.rewards))
    with pytest.raises(ValueError, match="response 1 was never rated"):
        rm.position_mean(nobody, nobody)


def test_health_of_ragged_and_unrated_banks() -> None:
    embeddings = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    embeddings[1] = embeddings[0]
    embeddings[8] = embeddings[2]
    rewards = np.array([1.0, 1.0, np.nan, np.nan, np.nan, 0.0, 1.0, 2.0, 3.0])
    bank = rm.ResponseBank(embeddings, rewards, offsets=[0, 3, 5, 9], prompt_ids=["a", "b", "a"])
    table = bank.health().set_index("check")
    assert table.loc["duplicated_rows", ["n_found", "n_checked"]].to_numpy().tolist() == [2, 9]
    assert "2 of them inside one prompt" in table.detail["duplicated_rows"]  # rows 0 and 2 are one prompt
    assert table.loc["unrated_responses", ["severity", "n_found"]].to_numpy().tolist() == ["note", 3]
    assert table.loc["unrated_prompts", ["severity", "n_found"]].to_numpy().tolist() == ["warning", 1]
    assert table.loc["repeated_prompt_ids", ["severity", "n_found"]].to_numpy().tolist() == ["note", 1]
    assert table.loc["tied_rewards", ["n_found", "n_checked"]].to_numpy().tolist() == [1, 1 + 6]
    assert table.n_found["few_distinct_rewards"] == 1
    assert table.loc["sorted_by_reward", ["n_found", "n_checked"]].to_numpy().tolist() == [1, 1]
    assert make_ragged([2, 3, 1]).health().empty


def test_repeated_ids_with_one_text_are_one_prompt() -> None:
    bank = rm.ResponseBank(ITEMS, offsets=[0, 2, 5], prompt_ids=["x", "x"], metadata={"prompts": ["Hi", "Hi"]})
    assert bank.groups.tolist() == [0] * 5
    with pytest.raises(ValueError, match="prompts with one id must have one text"):
        rm.ResponseBank(ITEMS, offsets=[0, 2, 5], prompt_ids=["x", "x"], metadata={"prompts": ["Hi", "Why?"]})
