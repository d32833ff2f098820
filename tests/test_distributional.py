"""Models that state how much rewards and ratings differ for an item: normal distributions and quantiles."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import QuantileRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rmspace as rm
from rmspace._typing import Float64Array, IntArray
from rmspace.config.build import load_config
from rmspace.models import GaussianReward, QuantileReward
from rmspace.objectives import quantile_rating

MEAN, LOG_STD = np.array([1.5, -1.0, 0.0, 0.5]), np.array([0.0, 0.5, 0.8, 0.0])


def noisy(n: int, rng: np.random.Generator) -> tuple[Float64Array, IntArray]:
    """Draw items, and comparisons by judges who differ from item to item."""
    items = rng.normal(size=(2 * n, 4))
    drawn = items @ MEAN + np.exp(items @ LOG_STD) * rng.normal(size=2 * n)
    pairs = np.arange(2 * n).reshape(n, 2)
    return items, np.where((drawn[pairs[:, 0]] > drawn[pairs[:, 1]])[:, None], pairs, pairs[:, ::-1])


def test_mean_and_standard_deviation_are_found() -> None:
    items, comparisons = noisy(8000, np.random.default_rng(0))
    model = GaussianReward(beta=1e-4).fit(items, comparisons)
    unit = np.exp(model.mean_ @ LOG_STD)  # the mean item has the standard deviation 1
    np.testing.assert_allclose(model.coef_, MEAN / unit, atol=0.12)
    np.testing.assert_allclose(model.log_std_coef_, LOG_STD, atol=0.12)


def test_the_stated_distribution_holds_what_judges_draw_as_often_as_it_says() -> None:
    held, quiet, loud = [], [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        items, comparisons = noisy(4000, rng)
        model = GaussianReward().fit(items, comparisons)
        new = rng.normal(size=(2000, 4))
        scores, std = model.predict(new, return_std=True)
        unit, middle = np.exp(model.mean_ @ LOG_STD), model.mean_ @ MEAN
        drawn = (new @ MEAN - middle + np.exp(new @ LOG_STD) * rng.normal(size=2000)) / unit
        inside = np.abs(drawn - scores) < 1.96 * std
        order = np.argsort(new @ LOG_STD)
        held.append(inside.mean())
        quiet.append(inside[order[:500]].mean())
        loud.append(inside[order[-500:]].mean())
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)
    assert np.mean(quiet) == pytest.approx(0.95, abs=0.04)  # where one width for all would hold nearly everything
    assert np.mean(loud) == pytest.approx(0.95, abs=0.04)  # and here too little


def test_the_loss_is_at_a_minimum_and_is_what_is_stated() -> None:
    items, comparisons = noisy(150, np.random.default_rng(1))
    v = np.random.default_rng(0).uniform(0.5, 2.0, size=150)
    model = GaussianReward(alpha=0.02, beta=0.05, tol=1e-7).fit(items, comparisons, v)
    rows = items - items.mean(axis=0)
    size = (rows**2).sum(axis=1).mean()

    def loss(both: Float64Array) -> float:
        w, u = both[:4], both[4:]
        mu, sigma = rows @ w, np.exp(rows @ u)
        gap = mu[comparisons[:, 0]] - mu[comparisons[:, 1]]
        spread = np.sqrt(sigma[comparisons[:, 0]] ** 2 + sigma[comparisons[:, 1]] ** 2)
        penalty = size / 2 * (0.02 * w @ w + 0.05 * u @ u)
        return float(np.average(-norm.logcdf(gap / spread), weights=v) + penalty)

    found = minimize(loss, np.zeros(8), tol=1e-10)
    np.testing.assert_allclose(np.append(model.coef_, model.log_std_coef_), found.x, atol=2e-3)


def test_equal_noise_is_thurstone() -> None:
    items, comparisons = noisy(200, np.random.default_rng(2))
    model = GaussianReward(alpha=0.01, beta=1e4).fit(items, comparisons)
    scaled = rm.LinearReward(lambda w, k: rm.thurstone(w / 2**0.5, k / 2**0.5), alpha=0.01, tol=1e-7)
    np.testing.assert_allclose(model.predict(items), scaled.fit(items, comparisons).predict(items), atol=1e-3)
    np.testing.assert_allclose(model.predict(items, return_std=True)[1], 1.0, atol=1e-3)


def test_a_lower_bound_avoids_responses_on_which_judges_differ() -> None:
    items, comparisons = noisy(6000, np.random.default_rng(3))
    test = np.random.default_rng(4).normal(size=(300, 10, 4))
    flat, worst = test.reshape(-1, 4), test @ MEAN + norm.ppf(0.1) * np.exp(test @ LOG_STD)  # the tenth percentile
    gains = {}
    for k in (0.0, -norm.ppf(0.1)):
        model = GaussianReward(k=k).fit(items, comparisons)
        gains[k] = rm.normalized_gain(model.predict(flat), worst)
        mean, std = model.predict(flat, return_std=True)
        np.testing.assert_allclose(mean + k * std, GaussianReward().fit(items, comparisons).predict(flat), atol=1e-8)
    difference = gains[-norm.ppf(0.1)] - gains[0.0]
    assert difference.mean() > 4 * difference.std() / np.sqrt(300)
    assert gains[-norm.ppf(0.1)].mean() > 0.9


def test_gaussian_is_saved_loaded_piped_and_in_an_ensemble(tmp_path: Path) -> None:
    items, comparisons = noisy(200, np.random.default_rng(5))
    model = GaussianReward(k=0.5).fit(items, comparisons)
    model.save(tmp_path / "model")
    again = rm.load(tmp_path / "model").predict(items, return_std=True)
    np.testing.assert_array_equal(again, model.predict(items, return_std=True))
    pipeline = make_pipeline(StandardScaler(), GaussianReward()).fit(items, comparisons)
    assert len(pipeline.predict(items, return_std=True)) == 2
    ensemble = rm.EnsembleReward(GaussianReward(), 2, bootstrap=True, reduce=rm.lower_confidence, random_state=0)
    assert ensemble.fit(items, comparisons).predict(items).shape == (400,)
    for wrong in ("k", "alpha", "beta"):
        with pytest.raises(ValueError, match=f"{wrong} must be at least 0"):
            GaussianReward().set_params(**{wrong: -1.0}).fit(items, comparisons)
    with pytest.raises(FloatingPointError, match="the scores overflow"):
        GaussianReward(beta=0.0).fit(items, comparisons).predict(items * 1e6)
    model.log_std_coef_ = np.zeros(3)
    with pytest.raises(ValueError, match=r"log_std_coef_ must be finite numbers \(4,\)"):
        model.check_state()


def test_too_few_iterations_are_said_where_fit_was_called() -> None:
    items, comparisons = noisy(100, np.random.default_rng(6))
    with pytest.warns(ConvergenceWarning, match=r"GaussianReward stopped after 1 iterations \(max_iter=1\)") as caught:
        GaussianReward(max_iter=1).fit(items, comparisons)
    assert caught[0].filename == __file__


def rated(n: int, rng: np.random.Generator) -> tuple[Float64Array, Float64Array, rm.Preferences]:
    """Draw items and ratings, whose spread grows with the second number of an item."""
    items = rng.normal(size=(n, 2))
    ratings = 5 + items[:, 0] + (1 + 0.4 * np.clip(items[:, 1], -2, 2)) * rng.normal(size=n)
    return items, ratings, rm.pair_up(items, ratings, np.arange(n) // 2)


@pytest.mark.parametrize("q", [0.1, 0.5, 0.8])
def test_the_objective_is_quantile_regression(q: float) -> None:
    items, ratings, data = rated(400, np.random.default_rng(6))
    model = rm.LinearReward(partial(quantile_rating, quantile=q, smoothing=0.02), alpha=0.0, max_iter=5000).fit(data)
    exact = QuantileRegressor(quantile=q, alpha=0.0).fit(items, ratings)
    np.testing.assert_allclose(model.predict(items), exact.predict(items), atol=0.08)


def test_the_objective_is_the_pinball_loss_of_ratings_with_logistic_noise() -> None:
    u = (np.arange(200_000) + 0.5) / 200_000
    noise = 0.3 * np.log(u / (1 - u))
    for error, q in ((0.5, 0.2), (-1.0, 0.7), (0.0, 0.9)):
        e = error + noise
        expected = np.where(e > 0, q * e, (q - 1) * e).mean()
        columns = {"winner_rating": torch.tensor([error]), "loser_rating": torch.tensor([30.0])}
        found = quantile_rating(torch.zeros(1), torch.tensor([30.0]), **columns, quantile=q, smoothing=0.3)
        assert found.item() == pytest.approx(expected + 0.3 * np.log(2), abs=1e-3)


@pytest.mark.parametrize(
    "member", [rm.LinearReward(), rm.LightGBMReward(num_leaves=6, min_child_samples=100, n_jobs=1)]
)
def test_intervals_hold_as_many_new_ratings_as_they_say(member: Any) -> None:
    _, _, data = rated(4000, np.random.default_rng(7))
    model = QuantileReward(member, quantiles=(0.1, 0.5, 0.9), smoothing=0.1).fit(_centred(data))
    items, ratings, _ = rated(4000, np.random.default_rng(8))
    found = model.predict_quantiles(items)
    assert (np.diff(found, axis=1) >= 0).all()
    assert ((ratings - 5 > found[:, 0]) & (ratings - 5 < found[:, 2])).mean() == pytest.approx(0.8, abs=0.04)
    scores, std = model.predict(items, return_std=True)
    np.testing.assert_array_equal(scores, found[:, 1])
    np.testing.assert_allclose(std, (found[:, 2] - found[:, 0]) / (norm.ppf(0.9) - norm.ppf(0.1)))
    assert np.corrcoef(std, 1 + 0.4 * np.clip(items[:, 1], -2, 2))[0, 1] > 0.8


def _centred(data: rm.Preferences) -> rm.Preferences:
    """Return ratings minus 5: trees start at scores of 0."""
    columns = {**data.columns, **{name: data.columns[name] - 5 for name in ("winner_rating", "loser_rating")}}
    return rm.Preferences(data.items, data.comparisons, data.groups, columns=columns)


def test_a_low_quantile_is_a_lower_bound_in_best_of_n() -> None:
    _, _, data = rated(6000, np.random.default_rng(9))
    test = np.random.default_rng(10).normal(size=(300, 8, 2))
    worst = test[..., 0] + norm.ppf(0.1) * (1 + 0.4 * np.clip(test[..., 1], -2, 2))
    median, low = (
        rm.normalized_gain(
            QuantileReward(quantiles=(0.1, 0.5), level=level).fit(data).predict(test.reshape(-1, 2)), worst
        )
        for level in (0.5, 0.1)
    )
    assert (low - median).mean() > 4 * (low - median).std() / np.sqrt(300)


def test_quantiles_are_saved_loaded_and_run_from_yaml(tmp_path: Path) -> None:
    items, _, data = rated(300, np.random.default_rng(11))
    model = QuantileReward(level=0.05).fit(data)
    model.save(tmp_path / "model")
    again = rm.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_quantiles(items), model.predict_quantiles(items))
    np.testing.assert_array_equal(again.predict(items), model.predict_quantiles(items)[:, 0])
    assert model.predict_quantiles(np.empty((0, 2))).shape == (0, 3)
    data.save(tmp_path / "train")
    rm.Preferences(items * 1.01, data.comparisons, np.arange(300) + 500).save(tmp_path / "test")
    (tmp_path / "a.yaml").write_text(
        "data: {use: open_preferences, train: train, test: test}\n"
        "models: {Q: {use: QuantileReward, level: 0.1, quantiles: [0.1, 0.9], member: {use: LinearReward}}}\n"
    )
    experiment = load_config(tmp_path / "a.yaml")
    train, test = experiment.data()
    table = rm.run(train=train, test=test, **experiment.options)
    assert table[table.metric == "accuracy"].value.item() > 0.6
    again.members_ = again.members_[:2]
    with pytest.raises(ValueError, match="members_ must list 3 models"):
        again.check_state()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"quantiles": 0.5}, TypeError, "quantiles must list at least one number; got 0.5"),
        ({"quantiles": (0.5, 0.1)}, ValueError, "quantiles must ascend"),
        ({"quantiles": (0.0, 0.5)}, ValueError, r"quantiles\[0\] must be in"),
        ({"level": 0.2}, ValueError, r"level must be one of the quantiles \[0.05, 0.5, 0.95\]; got 0.2"),
        ({"smoothing": 0.0}, ValueError, "smoothing must be at least"),
        ({"member": rm.LinearReward}, TypeError, "member must be a reward model with a parameter objective"),
        ({"member": rm.ClassifierReward()}, TypeError, "member must be a reward model with a parameter objective"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    data = rm.pair_up(np.eye(3), [1.0, 2.0, 3.0], [0, 0, 0])
    with pytest.raises(error, match=message):
        QuantileReward(**options).fit(data)


def test_bad_data() -> None:
    same = rm.pair_up(np.eye(3), [2.0, 2.0, 2.0], [0, 0, 0])
    with pytest.raises(ValueError, match="ratings must differ between items; all have 2"):
        QuantileReward().fit(same)
    with pytest.raises(ValueError, match="no feature 'rating' of the items, and no column 'winner_rating'"):
        QuantileReward().fit(np.eye(3), [[0, 1], [1, 2]])
    one = QuantileReward(quantiles=(0.5,)).fit(rm.pair_up(np.eye(3), [1.0, 2.0, 3.0], [0, 0, 0]))
    with pytest.raises(ValueError, match="return_std needs two quantiles"):
        one.predict(np.eye(3), return_std=True)
    with pytest.raises(ValueError, match="quantile must be in"):
        rm.LinearReward(partial(quantile_rating, quantile=1.0)).fit(same)
