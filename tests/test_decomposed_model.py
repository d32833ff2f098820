"""Heads along the principal directions: two kinds of judges are told apart, and a few comparisons adapt to one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from sklearn.decomposition import PCA

import rmspace as rm
from rmspace._typing import Float64Array, IntArray
from rmspace.models import DecomposedReward

TASTES = np.linalg.qr(np.random.default_rng(0).normal(size=(30, 4)))[0].T  # four directions in which items differ


def draw(n: int, rng: np.random.Generator) -> Float64Array:
    return rng.normal(size=(n, 4)) * [4.0, 3.0, 2.0, 1.5] @ TASTES + 0.1 * rng.normal(size=(n, 30))


def judge(items: Float64Array, taste: Float64Array, rng: np.random.Generator) -> IntArray:
    pairs = np.arange(len(items)).reshape(-1, 2)
    gap = (items[pairs[:, 0]] - items[pairs[:, 1]]) @ taste
    return np.where((rng.random(len(gap)) < expit(gap))[:, None], pairs, pairs[:, ::-1])


def test_heads_are_those_of_principal_components_of_both_orders() -> None:
    rng = np.random.default_rng(1)
    items = draw(400, rng)
    comparisons = judge(items, TASTES[0], rng)
    z = items[comparisons[:, 0]] - items[comparisons[:, 1]]
    pca = PCA(n_components=4).fit(np.concatenate([z, -z]))
    model = DecomposedReward(4).fit(items, comparisons)
    np.testing.assert_allclose(np.abs(model.components_ @ pca.components_.T), np.eye(4), atol=1e-6)
    np.testing.assert_allclose(model.explained_, pca.explained_variance_ratio_, rtol=1e-6)
    assert (z @ model.components_.T).mean(axis=0).min() >= 0
    assert np.abs(model.components_ @ TASTES.T).max(axis=1).min() > 0.95


def test_heads_do_not_depend_on_who_won() -> None:
    rng = np.random.default_rng(2)
    items = draw(100, rng)
    comparisons = judge(items, TASTES[1], rng)
    one, other = (DecomposedReward(3).fit(items, each) for each in (comparisons, comparisons[:, ::-1]))
    np.testing.assert_allclose(one.components_, -other.components_, atol=1e-9)
    np.testing.assert_allclose(one.predict(items), -other.predict(items), atol=1e-5)


def test_all_components_are_a_linear_reward() -> None:
    rng = np.random.default_rng(3)
    items = rng.normal(size=(300, 5))
    comparisons = judge(items, np.ones(5), rng)
    model, linear = DecomposedReward(9, alpha=0.01).fit(items, comparisons), rm.LinearReward(alpha=0.01)
    np.testing.assert_allclose(model.predict(items), linear.fit(items, comparisons).predict(items), atol=1e-4)
    assert model.components_.shape == (5, 5)


def test_few_comparisons_adapt_to_a_judge_where_a_new_fit_cannot() -> None:
    """Half of the judges like the first direction and half the opposite of the second; the new one is of one kind."""
    adapted, refitted, pooled = [], [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        items = draw(4000, rng)
        kinds = [judge(items[:2000], TASTES[0], rng), judge(items[2000:], -TASTES[1], rng) + 2000]
        model = DecomposedReward(4).fit(items, np.concatenate(kinds))
        new, test = draw(24, rng), draw(2000, rng)
        few, truth = judge(new, -TASTES[1], rng), judge(test, -50 * TASTES[1], rng)
        adapted.append(model.adapt(new, few).score(test, truth))
        refitted.append(rm.LinearReward(alpha=0.1).fit(new, few).score(test, truth))
        pooled.append(model.score(test, truth))
    assert np.mean(adapted) > 0.85
    for others in (refitted, pooled):
        difference = np.subtract(adapted, others)
        assert difference.mean() > 3 * difference.std(ddof=1) / np.sqrt(10)


def test_adapted_weights_are_their_formula_with_weights_and_ties() -> None:
    rng = np.random.default_rng(4)
    items = draw(60, rng)
    model = DecomposedReward(2).fit(items, judge(items, TASTES[0], rng))
    new, v = draw(6, rng), np.array([1.0, 2.0, 3.0])
    comparisons = judge(new, TASTES[0], rng)
    heads = (new - model.mean_) @ model.components_.T / model.scales_
    gaps = heads[comparisons[:, 0]] - heads[comparisons[:, 1]]
    losses = [(v / 2 * np.log1p(np.exp(-sign * gaps[:, k]))).sum() for sign in (1, -1) for k in range(2)]
    p = np.exp(-np.array(losses) / 0.7)
    p /= p.sum()
    found = model.adapt(new, comparisons, v, temperature=0.7)
    np.testing.assert_allclose(found.coef_, (p[:2] - p[2:]) / model.scales_, rtol=1e-6)
    data = rm.Preferences(new, comparisons, np.arange(6), tie=[True] * 3)
    np.testing.assert_allclose(model.adapt(data).coef_, 0.0, atol=1e-12)  # ties tell nothing


def test_saved_and_loaded_and_checked(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    items = draw(60, rng)
    model = DecomposedReward(3).fit(items, judge(items, TASTES[0], rng))
    model.save(tmp_path / "model")
    again = rm.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(items), model.predict(items))
    np.testing.assert_array_equal(again.predict_components(items), model.predict_components(items))
    assert model.predict_components(np.empty((0, 30))).shape == (0, 3)
    again.scales_ = np.zeros(3)
    with pytest.raises(ValueError, match="scales_ must be above 0"):
        again.check_state()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, i, c: DecomposedReward(0).fit(i, c), "n_components must be at least 1"),
        (lambda m, i, c: DecomposedReward(2).fit(np.ones((4, 3)), c), "compared items must differ"),
        (lambda m, i, c: m.adapt(i, c, temperature=0.0), "temperature must be at least"),
        (lambda m, i, c: m.adapt(i[:, :2], c), "items must have the 3 numbers of the fit; got 2"),
        (lambda m, i, c: m.adapt(i), "give Preferences, or items and comparisons"),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    items, comparisons = np.random.default_rng(0).normal(size=(4, 3)), np.array([[0, 1], [2, 3]])
    with pytest.raises((ValueError, TypeError), match=message):
        call(DecomposedReward(2).fit(items, comparisons), items, comparisons)
