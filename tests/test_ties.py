"""Objectives that know ties: their probabilities, their best scores, and Bradley-Terry's half wins."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import wilcoxon

import rmspace as rm
from rmspace._typing import FloatArray
from rmspace.objectives.ties import davidson, rao_kupper

WITH_TIES: dict[str, tuple[Callable[..., Any], str, float, float]] = {  # objective, option, a value, Bradley-Terry's
    "rao_kupper": (rao_kupper, "theta", 1.7, 1.0),
    "davidson": (davidson, "nu", 0.6, 0.0),
}
TIE, WIN = torch.tensor([True]), torch.tensor([False])


def chances(name: str, gap: float, value: float) -> list[float]:
    """Return the probabilities of (first wins, tie, second wins) of an objective."""
    objective = partial(WITH_TIES[name][0], **{WITH_TIES[name][1]: value})
    first, second = torch.tensor([gap], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    losses = objective(first, second, tie=WIN), objective(first, second, tie=TIE), objective(second, first, tie=WIN)
    return [float(torch.exp(-loss)) for loss in losses]


def textbook(name: str, gap: float, value: float) -> list[float]:
    """Return the same, from strengths pi = exp(score), as in the papers."""
    p, q, v = math.exp(gap), 1.0, value
    if name == "rao_kupper":
        return [p / (p + v * q), (v**2 - 1) * p * q / ((p + v * q) * (v * p + q)), q / (q + v * p)]
    total = p + q + v * math.sqrt(p * q)
    return [p / total, v * math.sqrt(p * q) / total, q / total]


@pytest.mark.parametrize("name", WITH_TIES)
@pytest.mark.parametrize("gap", [-40.0, -3.0, -0.1, 0.0, 0.7, 5.0, 30.0])
def test_the_three_probabilities_are_those_of_the_papers(name: str, gap: float) -> None:
    found = chances(name, gap, WITH_TIES[name][2])
    assert sum(found) == pytest.approx(1.0, abs=1e-12)
    assert found == pytest.approx(textbook(name, gap, WITH_TIES[name][2]), rel=1e-9)


@pytest.mark.parametrize("name", WITH_TIES)
def test_without_ties_they_can_be_bradley_terry(name: str) -> None:
    objective, option, _, none = WITH_TIES[name]
    winner, loser = torch.randn(2, 50, dtype=torch.float64) * 5
    expected = rm.bradley_terry(winner, loser)
    torch.testing.assert_close(objective(winner, loser, **{option: none}), expected)
    torch.testing.assert_close(
        objective(winner, loser, tie=torch.zeros(50, dtype=torch.bool), **{option: none}), expected
    )


@pytest.mark.parametrize("name", WITH_TIES)
def test_the_order_of_a_tie_does_not_matter_and_marks_may_be_numbers(name: str) -> None:
    objective = WITH_TIES[name][0]
    winner, loser, tie = torch.randn(20), torch.randn(20), torch.arange(20) % 2
    one, other = objective(winner, loser, tie=tie), objective(loser, winner, tie=tie.double())
    torch.testing.assert_close(one[tie == 1], other[tie == 1])
    torch.testing.assert_close(one, objective(winner, loser, tie=tie.bool()))


def best_scores(name: str, outcomes: FloatArray, value: float) -> FloatArray:
    """Maximise the textbook likelihood of three items by brute force; outcomes are (first, second, verdict) rows."""

    def loss(free: FloatArray) -> float:
        scores = np.append(free, -free.sum())
        total = 0.0
        for i, j, verdict in outcomes:
            total -= np.log(textbook(name, scores[int(i)] - scores[int(j)], value)[int(verdict)])
        return total

    found = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10}).x
    return np.append(found, -found.sum())


@pytest.mark.parametrize("name", WITH_TIES)
def test_the_best_scores_of_three_items_are_those_of_brute_force(name: str) -> None:
    objective, option, value, _ = WITH_TIES[name]
    outcomes = np.array([[0, 1, 0], [0, 1, 1], [1, 0, 0], [1, 2, 0], [1, 2, 1], [0, 2, 0], [0, 2, 0], [2, 0, 1]])
    comparisons, tie = outcomes[:, :2], outcomes[:, 2] == 1
    model = rm.LinearReward(partial(objective, **{option: value}), alpha=0.0, tol=1e-9)
    scores = model.fit(np.eye(3), comparisons, columns={"tie": tie}).predict(np.eye(3))
    np.testing.assert_allclose(scores - scores.mean(), best_scores(name, outcomes, value), atol=1e-4)


def test_half_wins_stay_half_wins() -> None:
    """An objective that knows no ties keeps counting a tie as half a win of each order, in and around others."""
    items = np.random.default_rng(0).normal(size=(20, 4))
    pairs, tie = np.random.default_rng(1).permutation(20).reshape(10, 2), np.arange(10) < 4
    twice = np.concatenate([pairs, pairs[tie][:, ::-1]])
    weights = np.concatenate([np.where(tie, 0.5, 1.0), np.full(4, 0.5)])
    for objective in (rm.bradley_terry, rm.thurstone, rm.objectives.forward_corrected):
        marked = rm.LinearReward(objective, alpha=0.1).fit(items, pairs, columns={"tie": tie})
        by_hand = rm.LinearReward(objective, alpha=0.1).fit(items, twice, weights)
        np.testing.assert_allclose(marked.predict(items), by_hand.predict(items), atol=1e-4)


@pytest.mark.parametrize(
    ("objective", "options", "message"),
    [
        (rao_kupper, {"theta": 0.9}, "theta must be at least 1.0; got 0.9"),
        (rao_kupper, {"theta": 1.0, "tie": TIE}, "theta must be above 1 where there are ties"),
        (davidson, {"nu": -1.0}, "nu must be at least 0.0; got -1"),
        (davidson, {"nu": 0.0, "tie": TIE}, "nu must be above 0 where there are ties"),
        (davidson, {"tie": torch.tensor([0.5])}, r"tie must be True or False for each pair; got \[0.5\]"),
        (rao_kupper, {"tie": torch.zeros(3)}, r"tie must be one number per pair, \(1,\); got shape \(3,\)"),
    ],
)
def test_bad_input(objective: Callable[..., Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        objective(torch.zeros(1), torch.zeros(1), **options)


@pytest.mark.parametrize("name", WITH_TIES)
def test_ties_help_where_a_tie_says_that_two_items_are_close(name: str) -> None:
    """On data drawn from the model itself, ties make the weights better; half wins do so too, but in a wrong unit.

    docs/known-truth.md measures it in more worlds, with intervals.
    """
    objective, option, _, _ = WITH_TIES[name]
    value, rng = {"theta": 6.0, "nu": 4.0}[option], np.random.default_rng(0)
    cosines, sizes = [], []
    for _world in range(40):
        items, truth = rng.normal(size=(300, 6)), rng.normal(size=6)
        pairs, gold = np.arange(300).reshape(150, 2), items @ truth
        chance = np.array([textbook(name, gold[i] - gold[j], value) for i, j in pairs])
        verdicts = (rng.random(150)[:, None] > chance.cumsum(axis=1)[:, :2]).sum(axis=1)
        comparisons = np.where((verdicts == 2)[:, None], pairs[:, ::-1], pairs)
        tie = verdicts == 1
        found = [
            rm.LinearReward(each, alpha=1e-3).fit(items, comparisons[rows], columns={"tie": tie[rows]}).coef_
            for each, rows in (
                (partial(objective, **{option: value}), tie | ~tie),
                (rm.bradley_terry, tie | ~tie),
                (rm.bradley_terry, ~tie),
            )
        ]
        cosines.append([coef @ truth / np.linalg.norm(coef) / np.linalg.norm(truth) for coef in found])
        sizes.append([np.linalg.norm(coef) / np.linalg.norm(truth) for coef in found])
    known, halves, left_out = np.transpose(cosines)
    assert wilcoxon(known, left_out, alternative="greater").pvalue < 1e-3
    assert abs(np.mean(known - halves)) < 0.01
    assert abs(np.mean(sizes, axis=0)[0] - 1) < 0.2
    assert np.mean(sizes, axis=0)[1] < 0.7
