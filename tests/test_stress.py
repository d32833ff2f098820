"""Stressing responses and the place of a response: exact values by counting, banks of each layout, and bad input."""

from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest

import rmspace as rm
from rmspace.models import GeneralPreferenceReward
from rmspace.results.position import position_table
from rmspace.results.stress import add_off_topic, stress_table

RNG = np.random.default_rng(0)


def test_values_are_those_of_all_draws() -> None:
    scores, rewards = RNG.normal(size=(2, 5, 7))
    stress = RNG.random((5, 7)) < 0.3
    rewards[1, 2] = np.nan
    table = stress_table(scores, rewards, stress, n=[1, 3])
    for n, row in zip((1, 3), table.itertuples(), strict=True):
        parts = []
        for s, g, bad in zip(scores, rewards, stress, strict=True):
            rated = [i for i in range(7) if not np.isnan(g[i])]
            plain = [i for i in rated if not bad[i]]
            best = {kind: [max(draw, key=lambda i: s[i]) for draw in combinations(them, n)]
                    for kind, them in (("all", rated), ("plain", plain))}  # fmt: skip
            parts.append((np.mean(g[best["plain"]]), np.mean(g[best["all"]]), np.mean(bad[best["all"]])))
        without, stressed, taken = np.mean(parts, axis=0)
        assert row.without == pytest.approx(without)
        assert row.with_stress == pytest.approx(stressed)
        assert row.loss == pytest.approx(without - stressed)
        assert row.taken == pytest.approx(taken)
        assert row.n_prompts == 5


def test_scores_that_like_length_lose_more_with_over_long_responses() -> None:
    quality, length = RNG.normal(size=(2, 300, 16))
    rewards = quality - 2 * np.maximum(length - 1, 0)  # too long is bad
    scores = {"length": quality + 2 * length, "fair": quality + 0.5 * RNG.normal(size=(300, 16))}
    table = stress_table(scores, rewards, length > 1, n=[1, 4]).set_index(["model", "n"])
    assert table.loss_low["length", 4] > table.loss_high["fair", 4]
    assert table.taken_low["length", 4] > table.taken_high["fair", 4]
    assert table.taken["length", 1] == pytest.approx((length > 1).mean())


def test_the_curves_of_over_optimisation_turn_with_off_topic_responses() -> None:
    """A score that does not read the prompt takes responses that answer another one."""
    train, test = rm.make_synthetic_banks(100, 100, 8, 16, noise_std=0.0, seed=0)
    model = rm.LinearReward().fit(train.items, rm.annotate(rm.same_prompt(train, 1000, RNG), train, rm.oracle, rng=RNG))
    bank, marks = add_off_topic(test, model.predict(test.items), 3, reward=-10.0)
    scores = model.predict(bank.items)
    table = stress_table(scores, bank, marks, n=[1, 8])
    assert table.taken.tolist()[1] > 0.9
    assert table.loss_low.tolist()[1] > 1.0
    without = np.where(bank.padded(marks), np.nan, bank.rewards)
    plain = rm.overoptimisation_table(bank.padded(scores), without, n=[1, 8], temperatures=[1.0])
    stressed = rm.overoptimisation_table(bank.padded(scores), bank, n=[1, 8], temperatures=[1.0])
    ends = [each[(each.policy == "best_of_n") & (each.n == 8)].gold.item() for each in (plain, stressed)]
    assert ends[0] > 0 > ends[1]


@pytest.mark.parametrize("ragged", [False, True])
def test_each_prompt_gets_the_highest_scores_of_the_others(ragged: bool) -> None:
    items, rewards, scores = RNG.normal(size=(9, 2)).astype(np.float32), RNG.normal(size=9), RNG.normal(size=9)
    offsets = [0, 2, 6, 9] if ragged else [0, 3, 6, 9]
    rewards[4] = np.nan
    shape = () if ragged else (3, 3)
    bank = rm.ResponseBank(
        items if ragged else items.reshape(3, 3, 2),
        rewards if ragged else rewards.reshape(shape),
        offsets=offsets if ragged else None,
        prompt_ids=["a", "b", "a"],  # two rows of one prompt
        features={"length": np.arange(9) if ragged else np.arange(9).reshape(shape)},
    )
    stressed, marks = add_off_topic(bank, scores, 2)
    assert stressed.is_rectangular is not ragged
    for p, (a, b) in enumerate(pairwise(offsets)):
        others = [i for i in range(9) if (offsets[1] <= i < offsets[2]) == (p != 1)]
        best = sorted(others, key=lambda i: -scores[i])[:2]
        start = a + 2 * p
        expected = [*range(a, b), *best]
        np.testing.assert_array_equal(stressed.items[start : start + len(expected)], items[expected])
        assert np.ravel(stressed.features["length"])[start : start + len(expected)].tolist() == expected
        gold = stressed.item_rewards[start : start + len(expected)]
        np.testing.assert_array_equal(gold, [*rewards[a:b], *[np.nanmin(rewards[a:b])] * 2])
        assert marks[start : start + len(expected)].tolist() == [False] * (b - a) + [True] * 2


def test_place_is_measured_in_both_orders_with_prompts() -> None:
    rng = np.random.default_rng(1)
    better = rng.normal(size=2000)
    p, q = (1 / (1 + np.exp(-(better + place))) for place in (0.5, -0.5))
    verdicts = {"biased": p, "fair": 1 / (1 + np.exp(-better))}
    table = position_table(verdicts, {"biased": q, "fair": verdicts["fair"]}, groups=np.arange(2000) // 4)
    found = table.set_index(["model", "measure"])
    assert found.value["fair", "first_place"] == 0
    assert found.value["fair", "same_verdict"] == 1
    assert found.value["biased", "first_place"] == pytest.approx(np.mean(p - q) / 2)
    assert found.value["biased", "same_verdict"] == pytest.approx(np.mean((p > 0.5) == (q > 0.5)))
    assert found.low["biased", "first_place"] > 0.05
    assert (table.n_prompts == 500).all()


def test_models_of_pairs_and_of_items_know_no_place() -> None:
    items = RNG.normal(size=(40, 3))
    model = GeneralPreferenceReward(random_state=0).fit(items, np.arange(40).reshape(20, 2))
    one, other = items[::2], items[1::2]
    p, q = 1 / (1 + np.exp(-model.log_odds(one, other))), 1 - 1 / (1 + np.exp(-model.log_odds(other, one)))
    table = position_table(p, q)
    np.testing.assert_allclose(table.value, [0.0, 1.0], atol=1e-9)


BANK = rm.ResponseBank(np.ones((2, 2, 3)), np.ones((2, 2)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stress_table(np.ones((1, 3)), np.ones((1, 3)), [[0, 2, 1]], n=[1]), "stress must be True or False"),
        (
            lambda: stress_table(np.ones((1, 3)), np.ones((1, 3)), [[1, 0, 1]], n=[2]),
            r"no prompt has max\(n\) = 2 rated",
        ),
        (
            lambda: stress_table(np.ones((1, 3)), np.ones((1, 3)), [[1, 0]], n=[1]),
            "scores must be one number per reward",
        ),
        (lambda: stress_table(np.ones((1, 3)), np.ones((1, 3)), [[1, 0, 0]], n=[]), "at least one number of responses"),
        (lambda: add_off_topic(BANK, np.ones(3), 1), r"scores must be one number per item, \(4,\)"),
        (lambda: add_off_topic(BANK, np.full(4, np.nan), 1), "scores must be finite"),
        (
            lambda: add_off_topic(BANK, np.ones(4), 3),
            "n must be at most the number of responses of other prompts, 2; got 3",
        ),
        (lambda: add_off_topic(rm.ResponseBank(np.ones((2, 2, 3))), np.ones(4), 1), "no gold rewards"),
        (lambda: position_table([0.5], [0.5, 0.5]), "must have the same pairs; got 1 and 2"),
        (lambda: position_table([0.5], [1.5]), r"shown_second must be probabilities in \[0, 1\]; got 1.5"),
        (lambda: position_table([np.nan], [0.5]), "shown_first must be probabilities"),
        (lambda: position_table({"a": [0.5]}, {"b": [0.5]}), "shown_second must have the judges of shown_first"),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
