"""Ratings, labels and rankings of items: each objective against an independent fit."""

from functools import partial
from itertools import permutations
from typing import Any

import choix
import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, Ridge

import rmspace as rm
from rmspace import objectives
from rmspace._typing import FloatArray, IntArray
from rmspace.data.pointwise import pair_up
from rmspace.data.rankings import choices_of
from rmspace.models.core.columns import bind
from rmspace.models.core.gradients import score_slope

RNG = np.random.default_rng(0)
ITEMS = RNG.normal(size=(60, 4))
SCORES = ITEMS @ np.array([1.0, -0.5, 0.2, 0.0])
RATINGS = np.clip(np.round(SCORES + RNG.normal(size=60) * 0.5), -2, 2) + 3
GROUPS = np.arange(60) // 3
EXACT: dict[str, Any] = {"alpha": 0.0, "tol": 1e-9}


def as_tensors(columns: dict[str, IntArray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(column) for name, column in columns.items()}


@pytest.mark.parametrize("sizes", [[3, 3], [2, 2], [2], [1, 1], [1, 1, 1, 4], [1, 2], [5, 1, 1, 2], [7]])
def test_paired_up_items_count_alike(sizes: list[int]) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    values = np.arange(len(groups)) % 3
    data = pair_up(np.eye(len(groups)), values, groups)
    assert data.weight is not None
    count = np.zeros(len(groups))
    np.add.at(count, data.comparisons, data.weight[:, None])
    assert (count == 2).all()
    for side, name in enumerate(("winner_rating", "loser_rating")):
        np.testing.assert_array_equal(data.columns[name], values[data.comparisons[:, side]])
    assert (data.columns["winner_rating"] >= data.columns["loser_rating"]).all()
    np.testing.assert_array_equal(data.columns["tie"], data.columns["winner_rating"] == data.columns["loser_rating"])


def test_paired_up_prompts_stay_apart_where_they_can() -> None:
    data = pair_up(ITEMS, RATINGS, GROUPS)
    assert (GROUPS[data.comparisons[:, 0]] == GROUPS[data.comparisons[:, 1]]).all()


def test_squared_ratings_are_ridge_regression() -> None:
    alpha = 0.1
    model = rm.LinearReward(objectives.squared_rating, alpha=alpha, tol=1e-10).fit(pair_up(ITEMS, RATINGS, GROUPS))
    spread = ((ITEMS - ITEMS.mean(axis=0)) ** 2).sum(axis=1).mean()  # the unit of alpha
    # the mean over comparisons of the loss of two items is twice the mean loss of an item
    ridge = Ridge(alpha=alpha * spread * len(ITEMS) / 2).fit(ITEMS, RATINGS)
    np.testing.assert_allclose(model.predict(ITEMS), ridge.predict(ITEMS), atol=1e-4)


def test_huber_ratings_are_the_minimum_of_hubers_loss() -> None:
    data = pair_up(ITEMS, RATINGS, GROUPS)
    model = rm.LinearReward(partial(objectives.huber_rating, delta=0.4), **EXACT).fit(data)
    design = np.column_stack([ITEMS, np.ones(60)])

    def loss(w: FloatArray) -> float:
        e = np.abs(design @ w - RATINGS)
        return float(np.where(e <= 0.4, e**2 / 2, 0.4 * (e - 0.2)).sum())

    found = minimize(loss, np.zeros(5), tol=1e-12)
    np.testing.assert_allclose(model.predict(ITEMS), design @ found.x, atol=1e-3)


def test_two_ordinal_categories_are_logistic_regression() -> None:
    high = (RATINGS > 3).astype(float)
    data = pair_up(ITEMS, high, GROUPS)
    model = rm.LinearReward(partial(objectives.ordinal_rating, thresholds=[0.0], lowest=0), **EXACT).fit(data)
    logistic = LogisticRegression(C=1e12, tol=1e-10, max_iter=10_000).fit(ITEMS, high)
    np.testing.assert_allclose(model.predict(ITEMS), logistic.decision_function(ITEMS), rtol=1e-3, atol=1e-3)


def test_ordinal_probabilities_sum_to_one_and_follow_the_thresholds() -> None:
    cuts, score = [-1.0, 0.3, 2.0], torch.tensor([0.4], dtype=torch.float64)
    anchor = (
        float(
            objectives.ordinal_rating(
                score, score, winner_rating=torch.ones(1), loser_rating=torch.ones(1), thresholds=cuts
            )
        )
        / 2
    )
    chances = []
    for rating in range(1, 5):
        both = objectives.ordinal_rating(
            score, score, winner_rating=torch.tensor([rating]), loser_rating=torch.ones(1), thresholds=cuts
        )
        chances.append(np.exp(anchor - float(both)))
    edges = [0.0, *(1 / (1 + np.exp(-(np.array(cuts) - 0.4)))), 1.0]
    assert chances == pytest.approx(np.diff(edges))


def test_good_and_bad_items_are_logistic_regression() -> None:
    good = RATINGS > 3
    data = pair_up(ITEMS, good, GROUPS, name="label")
    model = rm.LinearReward(objectives.good_or_bad, **EXACT).fit(data)
    logistic = LogisticRegression(C=1e12, tol=1e-10, max_iter=10_000).fit(ITEMS, good)
    np.testing.assert_allclose(model.predict(ITEMS), logistic.decision_function(ITEMS), rtol=1e-3, atol=1e-3)


def test_a_good_winner_and_a_bad_loser_are_the_classification_objective() -> None:
    winner, loser = torch.randn(10), torch.randn(10)
    found = objectives.good_or_bad(winner, loser, winner_label=torch.ones(10), loser_label=torch.zeros(10))
    torch.testing.assert_close(found, rm.classification(winner, loser))


def test_kto_learns_which_items_are_good() -> None:
    data = pair_up(ITEMS, SCORES > 0, GROUPS, name="label")
    model = rm.LinearReward(objectives.kahneman_tversky, alpha=1e-2).fit(data)
    assert np.mean((model.predict(ITEMS) > 0) == (SCORES > 0)) > 0.9


RANKINGS = [[0, 1, 2, 3], [1, 0, 3], [3, 2], [2, 0, 1], [0, 3, 2, 1], [1, 2], [3, 1, 0, 2]]


def test_rankings_are_those_of_choix() -> None:
    comparisons, columns = choices_of(RANKINGS)
    model = rm.LinearReward(objectives.plackett_luce, **EXACT).fit(np.eye(4), comparisons, columns=columns)
    expected = choix.opt_rankings(4, [tuple(r) for r in RANKINGS], tol=1e-12)
    scores = model.predict(np.eye(4))
    np.testing.assert_allclose(scores - scores.mean(), expected - np.mean(expected), atol=1e-4)


def test_the_first_choices_alone_are_choixs_top_one() -> None:
    comparisons, columns = choices_of(RANKINGS, top_k=1)
    model = rm.LinearReward(objectives.plackett_luce, **EXACT).fit(np.eye(4), comparisons, columns=columns)
    expected = choix.opt_top1(4, [(r[0], tuple(r[1:])) for r in RANKINGS], tol=1e-12)
    scores = model.predict(np.eye(4))
    np.testing.assert_allclose(scores - scores.mean(), expected - np.mean(expected), atol=1e-4)


def test_the_probabilities_of_all_rankings_sum_to_one() -> None:
    scores = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    total = 0.0
    for ranking in permutations(range(3)):
        comparisons, columns = choices_of([ranking])
        losses = objectives.plackett_luce(scores[comparisons[:, 0]], scores[comparisons[:, 1]], **as_tensors(columns))
        total += float(torch.exp(-losses.sum()))
    assert total == pytest.approx(1.0)


def test_gradient_and_curvature_of_a_choice_are_those_of_the_likelihood() -> None:
    comparisons, columns = choices_of([[0, 1, 2, 3], [4, 2]], top_k=2)
    scores = np.array([0.5, -1.0, 1.5, 0.0, 0.2])
    slope = score_slope(
        bind(objectives.plackett_luce, as_tensors(columns)),
        scores,
        comparisons,
        np.ones(len(comparisons)),
        curvature=True,
    )

    def likelihood(s: torch.Tensor) -> torch.Tensor:
        return -(s[0] - s[:4].logsumexp(0) + s[1] - s[1:4].logsumexp(0) + s[4] - s[[4, 2]].logsumexp(0))

    at = torch.from_numpy(scores)
    assert slope.loss == pytest.approx(float(likelihood(at)))
    gradient = torch.autograd.functional.jacobian(likelihood, at)
    hessian = torch.autograd.functional.hessian(likelihood, at).diagonal()
    np.testing.assert_allclose(slope.gradient, gradient.numpy())
    assert slope.curvature is not None
    for item in (2, 3):  # never taken
        assert slope.curvature[item] == pytest.approx(float(hessian[item]))
    assert (slope.curvature >= hessian.numpy() - 1e-12).all()


def test_one_alternative_is_bradley_terry() -> None:
    winner, loser = torch.randn(8), torch.randn(8)
    found = objectives.plackett_luce(winner, loser, choice=torch.arange(8), n_alternatives=torch.ones(8))
    torch.testing.assert_close(found, rm.bradley_terry(winner, loser))


def test_far_scores_are_safe() -> None:
    comparisons, columns = choices_of([[0, 1, 2]])
    scores = torch.tensor([-1e4, 0.0, 1e4], requires_grad=True)
    losses = objectives.plackett_luce(scores[comparisons[:, 0]], scores[comparisons[:, 1]], **as_tensors(columns))
    losses.sum().backward()
    assert float(losses.detach().sum()) == pytest.approx(3e4)
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()


def test_a_choice_must_come_whole() -> None:
    comparisons, columns = choices_of([[0, 1, 2, 3]])
    message = "all rows of a choice must come together, once; of 3 alternatives 2 came: .*batch_size"
    with pytest.raises(ValueError, match=message):
        rm.LinearReward(objectives.plackett_luce).fit(
            np.eye(4), comparisons[1:], columns={name: column[1:] for name, column in columns.items()}
        )
    with pytest.raises(ValueError, match="a ranking has no ties"):
        rm.LinearReward(objectives.plackett_luce).fit(
            np.eye(4), comparisons, columns={**columns, "tie": np.arange(6) < 1}
        )
    whole = rm.MLPReward(
        objectives.plackett_luce, hidden_sizes=(4,), max_epochs=2, batch_size=6, validation_fraction=0.0, random_state=0
    )
    assert np.isfinite(whole.fit(np.eye(4), comparisons, columns=columns).predict(np.eye(4))).all()
    with pytest.raises(ValueError, match="all rows of a choice must come together"):
        whole.set_params(batch_size=4).fit(np.eye(4), comparisons, columns=columns)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: choices_of([]), "rankings must hold at least one ranking"),
        (lambda: choices_of([[0, 1], [2]]), "ranking 1 must be at least two item ids, best first"),
        (lambda: choices_of([[0, 1, 0]]), r"ranking 0 must hold each item once; got \[0, 1, 0\]"),
        (lambda: choices_of([[0, 1]], top_k=0), "top_k must be at least 1"),
        (lambda: pair_up(np.eye(3), [1.0, 2.0], [0, 0, 0]), r"values must be one number per item, \(3,\)"),
        (lambda: pair_up(np.eye(2), [1.0, np.nan], [0, 0]), "values must be finite"),
    ],
)
def test_bad_data(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("objective", "columns", "message"),
    [
        ("ordinal_rating", {"winner_rating": [6.0], "loser_rating": [1.0]}, "winner_rating must be at most 5; got 6"),
        ("ordinal_rating", {"winner_rating": [5.0], "loser_rating": [0.0]}, "loser_rating must be at least 1; got 0"),
        ("ordinal_rating", {"winner_rating": [2.5], "loser_rating": [1.0]}, "winner_rating must be whole numbers"),
        (
            "squared_rating, of 1 to 5",
            {"winner_rating": [55.0], "loser_rating": [1.0]},
            "winner_rating must be at most 5",
        ),
        ("huber_rating, of 1 to 5", {"winner_rating": [5.0], "loser_rating": [0.0]}, "loser_rating must be at least 1"),
        (
            "quantile_rating, of 1 to 5",
            {"winner_rating": [6.0], "loser_rating": [1.0]},
            "winner_rating must be at most 5",
        ),
        ("good_or_bad", {"winner_label": [3.0], "loser_label": [1.0]}, "winner_label must be True or False"),
        ("squared_rating", {"winner_rating": [3.0]}, "needs the column 'loser_rating'"),
    ],
)
def test_bad_columns(objective: str, columns: dict[str, Any], message: str) -> None:
    name, _, scale = objective.partition(",")
    options = {"lowest": 1, "highest": 5} if scale else {}
    with pytest.raises(ValueError, match=message):
        rm.LinearReward(partial(getattr(objectives, name), **options)).fit(
            np.eye(2), np.array([[0, 1]]), columns=columns
        )


@pytest.mark.parametrize("name", ["squared_rating", "huber_rating", "quantile_rating"])
def test_a_scale_that_holds_all_ratings_changes_nothing_and_one_upside_down_is_refused(name: str) -> None:
    data, objective = pair_up(ITEMS, RATINGS, GROUPS), getattr(objectives, name)
    free, scaled = (
        rm.LinearReward(each, alpha=0.1, max_iter=50, tol=1e-4).fit(data).predict(ITEMS)
        for each in (objective, partial(objective, lowest=1, highest=5))
    )
    np.testing.assert_array_equal(free, scaled)
    with pytest.raises(ValueError, match="lowest must be below highest; got 5 and 1"):
        rm.LinearReward(partial(objective, lowest=5, highest=1)).fit(data)


@pytest.mark.parametrize(
    ("cuts", "message"), [([], "at least one"), ([1.0, 1.0], "must ascend"), ([2.0, 1.0], "must ascend")]
)
def test_bad_thresholds(cuts: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=f"thresholds .*{message}|thresholds {message}"):
        objectives.ordinal_rating(
            torch.zeros(1), torch.zeros(1), winner_rating=torch.ones(1), loser_rating=torch.ones(1), thresholds=cuts
        )
