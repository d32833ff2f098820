"""Reductions that use the spread of an ensemble, and models that state the standard deviation of their scores."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rmspace as rm
from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.models import LaplaceReward
from rmspace.reductions import median, rank_mean, uncertainty_weighted

tables = arrays(float, st.tuples(st.integers(2, 5), st.integers(1, 6)), elements=st.integers(-8, 8).map(float))


@given(tables, st.floats(0, 3))
@settings(max_examples=60, deadline=None)
def test_reductions_are_their_formulas(table: Float64Array, k: float) -> None:
    columns = table.T.tolist()
    for j, column in enumerate(columns):
        ordered, m = sorted(column), len(column)
        assert median(table)[j] == (ordered[(m - 1) // 2] + ordered[m // 2]) / 2
        middle = sum(column) / m
        variance = sum((each - middle) ** 2 for each in column) / m
        assert uncertainty_weighted(table, k=k)[j] == pytest.approx(middle - k * variance, abs=1e-9)
    n = len(columns)
    ranks = [[sum(b < a for b in row) + (sum(b == a for b in row) + 1) / 2 for a in row] for row in table.tolist()]
    np.testing.assert_allclose(rank_mean(table), np.mean(ranks, axis=0) / n, atol=1e-12)
    np.testing.assert_allclose(rank_mean(np.exp(table / 4)), rank_mean(table), atol=1e-12)


def test_one_member_has_no_variance() -> None:
    with pytest.raises(ValueError, match="uncertainty_weighted needs two members; got 1"):
        uncertainty_weighted(np.ones((1, 3)))
    with pytest.raises(ValueError, match="k must be at least 0"):
        uncertainty_weighted(np.ones((2, 3)), k=-1)
    assert rank_mean(np.empty((2, 0))).shape == (0,)


def world(seed: int, n: int = 300, dim: int = 5) -> tuple[FloatArray, IntArray, Float64Array]:
    """Return items, comparisons by Bradley-Terry, and the true weights."""
    rng = np.random.default_rng(seed)
    items, weights = rng.normal(size=(2 * n, dim)).astype(np.float32), rng.normal(size=dim)
    pairs = np.arange(2 * n).reshape(n, 2)
    return items, rm.annotate(pairs, items @ weights, partial(rm.logistic, beta=1.0), rng=rng), weights


@pytest.mark.parametrize("reduce", [median, rank_mean, uncertainty_weighted, partial(uncertainty_weighted, k=0.1)])
def test_ensembles_take_each_reduction(reduce: Any, tmp_path: Path) -> None:
    items, comparisons, _ = world(0)
    model = rm.EnsembleReward(rm.LinearReward(), 3, reduce=reduce, bootstrap=True, random_state=0)
    scores = model.fit(items, comparisons).predict(items)
    members = np.stack([member.predict(items) for member in model.members_])
    scaled = (members - model.locations_[:, None]) / model.scales_[:, None]
    np.testing.assert_allclose(model.predict_members(items), scaled, atol=1e-12)
    np.testing.assert_allclose(scores, reduce(scaled), atol=1e-12)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(rm.load(tmp_path / "model").predict(items), scores)


def test_ranks_are_among_all_items_of_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    items, comparisons, _ = world(1)
    model = rm.EnsembleReward(rm.LinearReward(), 2, reduce=rank_mean, bootstrap=True, random_state=0)
    whole = model.fit(items, comparisons).predict(items)
    monkeypatch.setattr("rmspace.models.core.scoring._BLOCK_NUMBERS", 50)  # blocks of ten items
    np.testing.assert_array_equal(model.predict(items), whole)


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_ranks_of_an_ensemble_in_an_ensemble(in_pipeline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    items, comparisons, _ = world(1)
    member: Any = rm.EnsembleReward(rm.LinearReward(), 2, reduce=rank_mean, bootstrap=True)
    if in_pipeline:
        member = make_pipeline(StandardScaler(), member)
    model = rm.EnsembleReward(member, 2, bootstrap=True, random_state=0).fit(items, comparisons)
    whole = model.predict(items)
    monkeypatch.setattr("rmspace.models.core.scoring._BLOCK_NUMBERS", 50)
    np.testing.assert_array_equal(model.predict(items), whole)
    np.testing.assert_array_equal(model.predict_members(items).mean(axis=0), whole)


def test_an_ensemble_states_the_spread_of_its_members() -> None:
    items, comparisons, _ = world(2)
    model = rm.EnsembleReward(rm.LinearReward(), 4, bootstrap=True, random_state=0).fit(items, comparisons)
    scores, std = model.predict(items, return_std=True)
    np.testing.assert_array_equal(scores, model.predict(items))
    np.testing.assert_allclose(std, np.std(model.predict_members(items), axis=0, ddof=1), atol=1e-12)
    outer = rm.EnsembleReward(
        rm.EnsembleReward(rm.LinearReward(), 2, bootstrap=True), 2, bootstrap=True, random_state=0
    )
    assert outer.fit(items, comparisons).predict(items, return_std=True)[1].shape == (len(items),)
    pipeline = make_pipeline(StandardScaler(), rm.EnsembleReward(rm.LinearReward(), 2, bootstrap=True, random_state=0))
    assert len(pipeline.fit(items, comparisons).predict(items, return_std=True)) == 2


def test_models_without_uncertainty_say_so() -> None:
    items, comparisons, _ = world(3)
    classifier = rm.ClassifierReward(LogisticRegression())
    models: list[Any] = [rm.LinearReward(), classifier, rm.LightGBMReward(n_estimators=2, n_jobs=1)]
    for model in models:
        model.fit(items, comparisons)
        with pytest.raises(ValueError, match=f"{type(model).__name__} states no uncertainty; leave return_std out"):
            model.predict(items, return_std=True)
        with pytest.raises(TypeError, match="return_std must be True or False; got 1"):
            model.predict(items, return_std=1)
    one = rm.EnsembleReward(rm.LinearReward(), 1, bootstrap=True, random_state=0).fit(items, comparisons)
    with pytest.raises(ValueError, match="return_std needs two members, since it is their spread; got 1"):
        one.predict(items, return_std=True)


def penalised_loss(model: Any, items: FloatArray, comparisons: IntArray, coef: Float64Array, v: Float64Array) -> float:
    """Return the summed loss of weights, with the penalty times the number of comparisons."""
    rows = items.astype(float) - model.mean_
    gap = (rows[comparisons[:, 0]] - rows[comparisons[:, 1]]) @ coef
    length2 = float((rows**2).sum(axis=1).mean())
    return float((v * np.logaddexp(0, -gap)).sum() + v.sum() * model.alpha / 2 * length2 * coef @ coef)


def test_the_covariance_is_the_inverse_of_finite_differences_of_the_loss() -> None:
    items, comparisons, _ = world(4, n=80, dim=4)
    v = np.random.default_rng(0).uniform(0.2, 2, size=80)
    model = LaplaceReward(alpha=0.05, tol=1e-8).fit(items, comparisons, sample_weight=v)
    v, h, eye = v / v.mean(), 1e-4, np.eye(4)
    hessian = np.empty((4, 4))
    for i in range(4):
        for j in range(4):
            corners = [
                a * b * penalised_loss(model, items, comparisons, model.coef_ + h * (a * eye[i] + b * eye[j]), v)
                for a in (1, -1)
                for b in (1, -1)
            ]
            hessian[i, j] = sum(corners) / (4 * h**2)
    np.testing.assert_allclose(np.linalg.inv(model.covariance_), hessian, rtol=1e-4, atol=1e-3)
    rows = items.astype(float) - model.mean_
    exact = np.sqrt(np.diag(rows @ np.linalg.inv(hessian) @ rows.T))
    scores, std = model.predict(items, return_std=True)
    np.testing.assert_allclose(std, exact, rtol=1e-3)
    np.testing.assert_array_equal(
        scores, rm.LinearReward(alpha=0.05, tol=1e-8).fit(items, comparisons, v).predict(items)
    )


def test_the_stated_uncertainty_holds_the_truth_as_often_as_it_says() -> None:
    held = []
    for seed in range(40):
        items, comparisons, weights = world(seed, n=200, dim=5)
        rows = items.astype(float) - items.astype(float)[np.unique(comparisons)].mean(axis=0)
        alpha = 1 / (200 * float((rows**2).sum(axis=1).mean()))  # the prior of the true weights: N(0, I)
        model = LaplaceReward(alpha=alpha).fit(items, comparisons)
        new = np.random.default_rng(seed + 1000).normal(size=(200, 5))
        scores, std = model.predict(new, return_std=True)
        held.append((np.abs(scores - (new - model.mean_) @ weights) < 1.96 * std).mean())
    assert abs(np.mean(held) - 0.95) < 4 * np.std(held) / np.sqrt(len(held)) + 0.01


def test_laplace_is_saved_and_loaded(tmp_path: Path) -> None:
    items, comparisons, _ = world(5)
    model = LaplaceReward(alpha=0.01).fit(items, comparisons)
    model.save(tmp_path / "model")
    scores, std = rm.load(tmp_path / "model").predict(items, return_std=True)
    assert scores.tolist() == model.predict(items).tolist()
    assert std.tolist() == model.predict(items, return_std=True)[1].tolist()
    model.covariance_ = np.eye(3)
    with pytest.raises(ValueError, match=r"covariance_ must be finite numbers \(5, 5\)"):
        model.check_state()


def gap_and_level(winner: Any, loser: Any) -> Any:
    return (1 + loser - winner) ** 2 + winner**2


def test_what_laplace_cannot_use() -> None:
    items, comparisons, _ = world(6, n=20)
    with pytest.raises(ValueError, match=r"an objective of the gap alone .* gap_and_level changes when a constant"):
        LaplaceReward(gap_and_level).fit(items, comparisons)
    flat = np.concatenate([items, np.ones((len(items), 1), np.float32)], axis=1)
    with pytest.raises(ValueError, match="do not determine the weights in all directions"):
        LaplaceReward(alpha=0.0).fit(flat, comparisons)
    assert np.isfinite(LaplaceReward(alpha=0.1).fit(flat, comparisons).covariance_).all()


def slope_of_sigmoid(gap: Float64Array) -> Float64Array:
    return np.asarray(expit(gap) * expit(-gap))


def thurstone_curvature(gap: Float64Array) -> Float64Array:
    hazard = norm.pdf(gap) / norm.cdf(gap)
    return np.asarray(hazard * (hazard + gap))


@pytest.mark.parametrize(
    ("objective", "curvature"),
    [
        (rm.thurstone, thurstone_curvature),
        (rm.margin_bradley_terry, lambda gap: slope_of_sigmoid(gap - 0.5)),
        (rm.label_smoothed, slope_of_sigmoid),
    ],
)
def test_laplace_takes_other_smooth_objectives_of_the_gap(objective: Any, curvature: Any) -> None:
    items, comparisons, _ = world(7)
    model = LaplaceReward(objective, alpha=0.01).fit(items, comparisons, columns={"margin": np.full(300, 0.5)})
    rows = items.astype(float) - model.mean_
    z = rows[comparisons[:, 0]] - rows[comparisons[:, 1]]
    penalty = 300 * 0.01 * (rows**2).sum(axis=1).mean()
    information = (z * curvature(z @ model.coef_)[:, None]).T @ z + penalty * np.eye(5)
    np.testing.assert_allclose(np.linalg.inv(model.covariance_), information, rtol=1e-6, atol=1e-6)
