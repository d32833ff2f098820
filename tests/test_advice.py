"""Advice against simulated rewards whose truth is known, and against the estimates of scikit-learn and scipy."""

from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

import rmspace as rm
from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.paper.theory import annotation_quality


def bank_of(rewards: FloatArray | list[Any]) -> rm.ResponseBank:
    return rm.ResponseBank(np.zeros((*np.shape(rewards), 2), np.float32), np.asarray(rewards, dtype=np.float64))


def judged(
    beta: float, n_pairs: int, seed: int, repeats: int = 1, annotator: Callable[..., Float64Array] = rm.logistic
) -> tuple[IntArray, FloatArray]:
    rng = np.random.default_rng(seed)
    rewards = rng.normal(size=(n_pairs, 2))
    pairs = np.arange(2 * n_pairs).reshape(n_pairs, 2).repeat(repeats, axis=0)
    return rm.annotate(pairs, rewards, partial(annotator, beta=beta), rng=rng), rewards


@pytest.mark.parametrize(("beta", "repeats"), [(0.3, 1), (1.0, 1), (1.0, 5), (5.0, 1)])
def test_beta_is_recovered_inside_its_interval(beta: float, repeats: int) -> None:
    inside = 0
    for seed in range(100):
        comparisons, rewards = judged(beta, 300, seed, repeats)
        value, low, high = rm.estimate_beta(comparisons, rewards)
        assert 0 <= low <= value <= high < np.inf
        inside += low <= beta <= high
    assert inside >= 89  # of 100 at 95%: 1 in 100 such tests has fewer


def test_beta_is_that_of_a_logistic_regression_on_gaps() -> None:
    comparisons, rewards = judged(1.5, 2000, 0)
    flat = rewards.ravel()
    first, second = comparisons.min(axis=1), comparisons.max(axis=1)
    regression = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10)
    regression.fit((flat[first] - flat[second])[:, None], comparisons[:, 0] == first)
    value, low, high = rm.estimate_beta(comparisons, rewards)
    assert value == pytest.approx(regression.coef_[0, 0], rel=1e-5)
    information = np.sum(
        (gaps := flat[first] - flat[second]) ** 2 * expit(value * gaps) * expit(-value * gaps)
    )  # Wald's interval is the profile's in large samples
    half = 1.96 / np.sqrt(information)
    assert (low, high) == pytest.approx((value - half, value + half), abs=0.02 * half + 0.01)


def test_beta_follows_the_unit_and_ignores_ties_and_a_hostile_annotator_has_none() -> None:
    comparisons, rewards = judged(1.0, 500, 1)
    estimate = np.array(rm.estimate_beta(comparisons, rewards))
    np.testing.assert_allclose(rm.estimate_beta(comparisons, 1e6 * rewards), estimate / 1e6, rtol=1e-6)
    np.testing.assert_allclose(rm.estimate_beta(comparisons, rewards, scale=6.0), 6 * estimate, rtol=1e-6)
    tied = np.append(rewards, [[2.0, 2.0]], axis=0)
    with_tie = np.append(comparisons, [[1000, 1001]], axis=0)
    np.testing.assert_allclose(rm.estimate_beta(with_tie, tied), estimate, rtol=1e-9)
    value, low, _ = rm.estimate_beta(comparisons[:, ::-1], rewards)
    assert (value, low) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: rm.estimate_beta(np.array([[1, 0]]), np.array([[0.0, 1.0]])), "labels of both kinds.*1 agree"),
        (lambda: rm.estimate_beta(np.array([[0, 1]]), np.array([[0.0, 1.0]])), "labels of both kinds.*0 agree"),
        (lambda: rm.estimate_beta(np.array([[0, 1]]), np.array([[1.0, 1.0]])), "ties"),
        (lambda: rm.annotation_plan(bank_of([[0.0, 1.0]]), beta=1.0, budget=1), "three prompts and two responses"),
        (lambda: rm.annotation_plan(bank_of([[0.0], [1], [2]]), beta=1.0, budget=1), "two responses"),
        (lambda: rm.annotation_plan(bank_of(np.ones((5, 3))), beta=1.0, budget=1), "rewards that differ"),
        (lambda: rm.annotation_plan(bank_of(np.eye(5)), beta=-1.0, budget=1), "beta must be at least 0"),
        (lambda: rm.annotation_plan(bank_of(np.eye(5)), beta=1.0, budget=0), "budget must be at least 1"),
        (lambda: rm.annotation_plan(bank_of(np.eye(5)), beta=1.0, budget=1, scale=0.0), "scale must be above 0"),
        (lambda: rm.annotation_plan(bank_of(np.eye(5)), beta=1.0, budget=1, confidence=1.0), "confidence must lie"),
        (lambda: rm.annotation_plan(rm.ResponseBank(np.zeros((4, 2, 2), np.float32)), beta=1.0, budget=1), "reward"),
        (
            lambda: rm.annotation_plan(bank_of([[0.0, np.nan], [1, 2], [3, 4], [5, 9]]), beta=1.0, budget=1),
            r"1 of 8 are missing \(NaN\), and 3 of 4 prompts have all; plan for these: bank\[",
        ),
        (
            lambda: rm.annotation_plan(
                rm.ResponseBank(np.zeros((6, 2), np.float32), np.arange(6.0), offsets=[0, 1, 3, 6]), beta=1.0, budget=1
            ),
            "the same number of responses for every prompt; this bank has 1 to 3",
        ),
        (lambda: rm.annotation_plan(bank_of([[0.0, np.inf], [1, 2], [3, 4]]), beta=1.0, budget=1), "row 0 has inf"),
    ],
)
def test_bad_input_is_named(call: Callable[..., Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.parametrize("between_std", [0.0, 0.1, 0.3, 1.5])
def test_known_spreads_are_inside_their_intervals(between_std: float) -> None:
    inside = np.zeros(2)
    truth = np.array([between_std, np.sqrt(1 + 0.5**2)])
    for seed in range(100):
        rng = np.random.default_rng(seed)
        rewards = between_std * rng.normal(size=(200, 1)) + truth[1] * rng.normal(size=(200, 10))
        spreads = rm.annotation_plan(bank_of(rewards), beta=1.0, budget=100).spreads
        inside += (spreads.low.to_numpy() <= truth) & (truth <= spreads.high.to_numpy())
    assert (inside >= 90).all(), inside


@pytest.mark.parametrize("shape", [(5, 10), (20, 2), (300, 6)])
def test_no_spread_between_prompts_is_found_where_there_is_none(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    banks = [bank_of(rng.normal(size=shape)) for _ in range(60 if shape[0] < 300 else 30)]
    spreads = [rm.annotation_plan(bank, beta=1.0, budget=10).spreads for bank in banks]
    assert np.mean([found.low["between"] == 0 for found in spreads]) >= 0.9  # 95% intervals
    if shape == (300, 6):
        assert max(found.high["between"] for found in spreads) < 0.4


def test_qualities_are_inside_their_intervals_and_near_the_gaussian_ones() -> None:
    inside = np.zeros(3)
    within, between = 1.0, 1.5
    truth = annotation_quality(1.2, reward_std=within), annotation_quality(1.2, reward_std=np.hypot(within, between))
    for seed in range(100):
        rng = np.random.default_rng(seed)
        plan = rm.annotation_plan(
            bank_of(between * rng.normal(size=(200, 1)) + within * rng.normal(size=(200, 5))), beta=1.2, budget=10
        )
        for k, name in enumerate(("same", "cross")):
            row = plan.designs.loc[name]
            inside[k] += row.low <= truth[k] <= row.high
            assert row.gaussian_quality == pytest.approx(truth[k], abs=0.03)
        inside[2] += plan.difference.low <= truth[1] - truth[0] <= plan.difference.high
    assert (inside >= 89).all(), inside


def test_small_banks_agree_with_brute_force() -> None:
    rng = np.random.default_rng(5)
    rewards = rng.integers(0, 3, size=(6, 4)).astype(float)
    same: list[float] = []
    cross: list[float] = []
    for p, q in combinations(range(24), 2):
        (same if p // 4 == q // 4 else cross).append(abs(rewards.flat[p] - rewards.flat[q]))
    plan = rm.annotation_plan(bank_of(rewards), beta=0.8, budget=1000)
    assert plan.designs.tie_rate.tolist() == pytest.approx([np.mean(np.equal(g, 0)) for g in (same, cross)])
    assert plan.designs.distinct_pairs.tolist() == [len(same), len(cross)]
    assert plan.designs.quality["same"] == pytest.approx(np.mean(expit(0.8 * np.array(same))))
    assert plan.designs.quality["cross"] == pytest.approx(np.mean(expit(0.8 * np.array(cross))), abs=0.02)
    assert "Only 36 distinct same-prompt pairs" in plan.advice
    table = np.var(rewards, axis=1, ddof=1).mean()
    anova = stats.f_oneway(*rewards)
    between = max(table * (anova.statistic - 1) / 4, 0)  # F = MSB / MSW, and MSB = within + 4 between
    assert plan.spreads.value.tolist() == pytest.approx([np.sqrt(between), np.sqrt(table)])


def test_advice_names_the_design_and_its_limits() -> None:
    rng = np.random.default_rng(6)
    apart = rm.annotation_plan(bank_of(3 * rng.normal(size=(100, 1)) + rng.normal(size=(100, 6))), beta=1.0, budget=9)
    alike = rm.annotation_plan(bank_of(rng.normal(size=(100, 6))), beta=1.0, budget=9)
    assert apart.advice.startswith("Cross-prompt pairs have the better labels")
    assert alike.advice.startswith("Neither design")
    assert "not yet a better reward model" in str(alike)
    guess = rm.annotation_plan(bank_of(rng.normal(size=(100, 6))), beta=0.0, budget=9)
    assert guess.designs.quality.tolist() == [0.5, 0.5]
    perfect = rm.annotation_plan(bank_of(rng.normal(size=(100, 6))), beta=np.inf, budget=9)
    assert perfect.designs.right_labels.tolist() == [9, 9]
