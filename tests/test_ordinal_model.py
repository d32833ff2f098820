"""Ordinal ratings with learned thresholds: known truths, logistic regression, and the objective with fixed ones."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

import rmspace as rm
from rmspace._typing import Float64Array
from rmspace.models import OrdinalReward

COEF, CUTS = np.array([1.0, -0.5, 0.0]), np.array([-2.0, -0.5, 0.2, 3.0])


def rated(n: int, rng: np.random.Generator) -> tuple[Float64Array, Float64Array, rm.Preferences]:
    items = rng.normal(size=(n, 3))
    ratings = 1.0 + np.searchsorted(CUTS, items @ COEF + rng.logistic(size=n))
    return items, ratings, rm.pair_up(items, ratings, np.arange(n) // 4)


def test_unequal_thresholds_are_found_within_their_standard_errors() -> None:
    away = []
    for seed in range(10):
        _, _, data = rated(2000, np.random.default_rng(seed))
        model = OrdinalReward(alpha=0.0).fit(data)
        away.append(np.append(model.thresholds_ + model.mean_ @ COEF - CUTS, model.coef_ - COEF))
    error = np.std(away, axis=0, ddof=1)
    assert (np.abs(np.mean(away, axis=0)) < 4 * error / np.sqrt(10)).all()
    assert error.max() < 0.25


def test_the_minimum_is_that_of_the_stated_likelihood() -> None:
    items, ratings, data = rated(150, np.random.default_rng(1))
    model = OrdinalReward(alpha=0.02, tol=1e-8).fit(data)
    rows, k = items - items.mean(axis=0), ratings.astype(int) - 1
    size = (rows**2).sum(axis=1).mean()

    def loss(both: Float64Array) -> float:
        cuts = np.concatenate([[-np.inf], both[3:], [np.inf]])
        s = rows @ both[:3]
        p = expit(cuts[k + 1] - s) - expit(cuts[k] - s)
        return float(-np.log(np.maximum(p, 1e-300)).mean() + 0.01 * size * both[:3] @ both[:3])

    found = minimize(loss, np.concatenate([np.zeros(3), CUTS]), tol=1e-10)
    np.testing.assert_allclose(np.append(model.coef_, model.thresholds_), found.x, atol=2e-3)
    p = model.predict_probabilities(items)
    np.testing.assert_allclose(
        -np.log(p[np.arange(150), k]).mean() + 0.01 * size * model.coef_ @ model.coef_, loss(found.x), rtol=1e-5
    )
    np.testing.assert_allclose(p.sum(axis=1), 1.0)


def test_two_classes_are_logistic_regression() -> None:
    items, ratings, _ = rated(400, np.random.default_rng(2))
    high = np.where(ratings > 3, 7.0, -1.0)  # any two numbers
    model = OrdinalReward(alpha=0.0).fit(rm.pair_up(items, high, np.arange(400) // 4))
    exact = LogisticRegression(C=np.inf, tol=1e-8).fit(items, high)
    assert model.levels_.tolist() == [-1.0, 7.0]
    np.testing.assert_allclose(model.coef_, exact.coef_[0], atol=1e-3)
    np.testing.assert_allclose(model.predict_probabilities(items), exact.predict_proba(items), atol=1e-3)


def test_the_thresholds_serve_the_objective_in_other_models() -> None:
    _, _, data = rated(400, np.random.default_rng(3))
    model = OrdinalReward(alpha=0.01).fit(data)
    objective = partial(rm.objectives.ordinal_rating, thresholds=model.thresholds_.tolist(), lowest=1)
    other = rm.LinearReward(objective, alpha=0.02).fit(data)  # the loss of a comparison is that of two items
    np.testing.assert_allclose(other.predict(data.items), model.predict(data.items), atol=0.02)
    trees = rm.LightGBMReward(objective, n_estimators=30, n_jobs=1).fit(data)
    assert np.corrcoef(trees.predict(data.items), data.items @ COEF)[0, 1] > 0.8


def test_learned_thresholds_beat_equal_ones_where_classes_are_not_equal() -> None:
    gains = []
    for seed in range(10):
        _, _, data = rated(400, np.random.default_rng(seed))
        items, ratings, _ = rated(2000, np.random.default_rng(seed + 100))
        model = OrdinalReward().fit(data)
        fixed = rm.LinearReward(partial(rm.objectives.ordinal_rating, thresholds=[-1.5, -0.5, 0.5, 1.5])).fit(data)
        k = ratings.astype(int) - 1
        cuts = np.array([-np.inf, -1.5, -0.5, 0.5, 1.5, np.inf])
        s = fixed.predict(items)
        other = expit(cuts[k + 1] - s) - expit(cuts[k] - s)
        gains.append(np.log(model.predict_probabilities(items)[np.arange(2000), k]).mean() - np.log(other).mean())
    assert np.mean(gains) > 5 * np.std(gains, ddof=1) / np.sqrt(10)


def test_ratings_may_be_missing_and_comparisons_do_not_count() -> None:
    items, ratings, _ = rated(100, np.random.default_rng(4))
    known = np.where(np.arange(100) < 60, ratings, np.nan)
    rng = np.random.default_rng(0)
    fits = []
    for _ in range(2):
        pairs = np.concatenate([rng.permutation(100).reshape(50, 2) for _ in range(3)])
        data = rm.Preferences(items, pairs, np.arange(100), weight=rng.integers(0, 2, 150), features={"rating": known})
        fits.append(OrdinalReward().fit(data).predict(items))
    np.testing.assert_allclose(fits[0], fits[1], atol=1e-4)


def test_saved_and_loaded_and_checked(tmp_path: Path) -> None:
    items, _, data = rated(100, np.random.default_rng(5))
    model = OrdinalReward().fit(data)
    model.save(tmp_path / "model")
    again = rm.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_probabilities(items), model.predict_probabilities(items))
    assert model.predict_probabilities(np.empty((0, 3))).shape == (0, 5)
    again.thresholds_ = again.thresholds_[::-1]
    with pytest.raises(ValueError, match="levels_ and thresholds_ must ascend"):
        again.check_state()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: OrdinalReward().fit(rm.pair_up(np.eye(3), [2, 2, 2], [0, 0, 0])), r"at least two classes; got \[2"),
        (lambda d: OrdinalReward().fit(d.items, d.comparisons), "no feature 'rating' of the items"),
        (lambda d: OrdinalReward(alpha=-1).fit(d), "alpha must be at least 0"),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(rated(20, np.random.default_rng(6))[2])
