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


# Satisfaction of 1,681 tenants of Copenhagen, M. Madsen, Scand. J. Statist. 3 (1976): counts of low, medium, high for
# each influence (low, medium, high), within each type of home (tower, apartment, atrium, terrace), within each contact
# (low, high).
TENANTS = [
    *(21, 21, 28, 34, 22, 36, 10, 11, 36, 61, 23, 17, 43, 35, 40, 26, 18, 54),
    *(13, 9, 10, 8, 8, 12, 6, 7, 9, 18, 6, 7, 15, 13, 13, 7, 5, 11),
    *(14, 19, 37, 17, 23, 40, 3, 5, 23, 78, 46, 43, 48, 45, 86, 15, 25, 62),
    *(20, 23, 20, 10, 22, 24, 7, 10, 21, 57, 23, 13, 31, 21, 13, 5, 6, 13),
]


def test_the_published_example_of_proportional_odds() -> None:
    """What R's MASS::polr and ordinal::clm print for these data; Venables and Ripley, MASS, 4th edition, 7.3."""
    contact, home, influence, satisfied = np.indices((2, 4, 3, 3)).reshape(4, -1).repeat(TENANTS, axis=1)
    items = np.column_stack([influence == 1, influence == 2, home == 1, home == 2, home == 3, contact == 1])
    data = rm.pair_up(items.astype(float), satisfied, np.arange(len(items)) // 4)
    model = OrdinalReward(alpha=0.0, tol=1e-8).fit(data)
    expected = [0.5663937, 1.2888191, -0.5723501, -0.3661866, -1.0910149, 0.3602841]
    np.testing.assert_allclose(model.coef_, expected, atol=1e-4)
    np.testing.assert_allclose(model.thresholds_ + model.mean_ @ model.coef_, [-0.4961353, 0.6907083], atol=1e-4)
    p = model.predict_probabilities(data.items)[np.arange(len(items)), satisfied]
    assert -2 * np.log(p).sum() == pytest.approx(3479.149, abs=1e-3)


def test_five_classes_are_those_of_statsmodels() -> None:
    ordinal = pytest.importorskip("statsmodels.miscmodels.ordinal_model", reason="statsmodels is not installed")
    items, ratings, data = rated(600, np.random.default_rng(7))
    other = ordinal.OrderedModel(ratings, items, distr="logit")
    found = other.fit(method="bfgs", disp=False, gtol=1e-8)
    model = OrdinalReward(alpha=0.0, tol=1e-7).fit(data)
    np.testing.assert_allclose(model.coef_, found.params[:3], atol=1e-3)
    cuts = other.transform_threshold_params(found.params)[1:-1]
    np.testing.assert_allclose(model.thresholds_ + model.mean_ @ model.coef_, cuts, atol=1e-3)


def test_a_mistyped_rating_is_refused_where_the_levels_are_given() -> None:
    items, ratings, data = rated(100, np.random.default_rng(8))
    levels = (1, 2, 3, 4, 5, 6)  # nobody gave a 6
    model = OrdinalReward(levels=levels).fit(data)
    np.testing.assert_array_equal(model.predict(items), OrdinalReward().fit(data).predict(items))
    assert model.levels_.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    ratings[7] = 55
    wrong = rm.pair_up(items, ratings, np.arange(100) // 4)
    assert 55 in OrdinalReward().fit(wrong).levels_
    with pytest.raises(ValueError, match=r"of the levels \[1.0, 2.0, .*; item 7 has 55; correct it"):
        OrdinalReward(levels=levels).fit(wrong)
    ratings[7] = np.nan
    unrated = rm.Preferences(items, data.comparisons, np.arange(100), features={"rating": ratings})
    assert np.isfinite(OrdinalReward(levels=levels).fit(unrated).predict(items)).all()


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
        (lambda d: OrdinalReward(levels=(1, 3, 2)).fit(d), r"levels must be .* ascending numbers; got \(1, 3, 2\)"),
        (lambda d: OrdinalReward(levels=[5]).fit(d), r"levels must be at least two ascending numbers; got \[5\]"),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(rated(20, np.random.default_rng(6))[2])
