"""The reliability of annotators: exact derivatives, known truths, and rare or random annotators."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.linalg import helmert
from scipy.optimize import minimize
from scipy.special import expit, ndtri

import rmspace as rm
from rmspace._typing import Float64Array, IntArray
from rmspace.config.build import load_config
from rmspace.models import AnnotatorReward
from rmspace.models.annotator import _errors, _Fit, _loss_and_gradient

RNG = np.random.default_rng(0)
ITEMS = RNG.normal(size=(60, 3))


def world(log_betas: Any, n: int, rng: np.random.Generator, dim: int = 3) -> tuple[Float64Array, IntArray, IntArray]:
    """Draw items, and n comparisons by each annotator."""
    items, truth = rng.normal(size=(200, dim)), rng.normal(size=dim)
    who = np.repeat(np.arange(len(log_betas)), n)
    pairs = np.stack([rng.permutation(200)[:2] for _ in who])
    gap = items[pairs] @ truth
    first = rng.random(len(who)) < expit(np.exp(log_betas)[who] * (gap[:, 0] - gap[:, 1]))
    return items, np.where(first[:, None], pairs, pairs[:, ::-1]), who


def problem(spread: float = 1.0, alpha: float = 0.3) -> _Fit:
    rng = np.random.default_rng(1)
    pairs, codes = np.stack([rng.permutation(60)[:2] for _ in range(80)]), rng.integers(4, size=80)
    shares = np.array([0.1, 0.2, 0.3, 0.4])
    return _Fit(ITEMS, pairs, codes, rng.uniform(0.5, 2.0, size=80), helmert(4).T, shares, alpha, spread**-2)


def test_the_gradient_is_that_of_finite_differences() -> None:
    fit, at = problem(), np.random.default_rng(2).normal(size=6)
    gradient = _loss_and_gradient(at, fit, 1.0)[1]
    for k, step in enumerate(np.eye(6) * 1e-6):
        numeric = (_loss_and_gradient(at + step, fit, 1.0)[0] - _loss_and_gradient(at - step, fit, 1.0)[0]) / 2e-6
        assert gradient[k] == pytest.approx(numeric, rel=1e-6, abs=1e-6)


def test_standard_errors_are_those_of_the_whole_information_matrix() -> None:
    """The weights are eliminated block by block; here the matrix comes from differences and is inverted at once."""
    fit = problem()
    at = minimize(_loss_and_gradient, np.zeros(6), (fit, 1.0), jac=True, tol=1e-10).x
    steps = np.eye(6) * 1e-5
    information = np.array(
        [(_loss_and_gradient(at + s, fit, 1.0)[1] - _loss_and_gradient(at - s, fit, 1.0)[1]) / 2e-5 for s in steps]
    )
    covariance = np.linalg.inv(information)[3:, 3:]
    expected = np.sqrt(np.diag(fit.contrasts @ covariance @ fit.contrasts.T))
    np.testing.assert_allclose(_errors(fit, *fit.split(at)), expected, rtol=1e-4)


def test_annotators_known_to_be_equal_are_a_linear_reward() -> None:
    items, comparisons, who = world([0.5, -0.5], 100, np.random.default_rng(3))
    model = AnnotatorReward(spread=1e-4, alpha=0.1).fit(items, comparisons, columns={"annotator": who})
    linear = rm.LinearReward(alpha=0.1).fit(items, comparisons)
    np.testing.assert_allclose(model.predict(items), linear.predict(items), atol=1e-4)
    np.testing.assert_allclose(model.betas_, 1.0, atol=1e-4)


def test_betas_and_reward_are_found_and_better_than_without() -> None:
    log_betas = np.array([1.5, 0.5, -0.5, -1.5])
    items, comparisons, who = world(log_betas, 800, np.random.default_rng(4))
    names = np.array(["dan", "cem", "bob", "ann"])[who]
    model = AnnotatorReward().fit(rm.Preferences(items, comparisons, np.arange(200), annotator=names))
    assert model.annotators_.tolist() == ["ann", "bob", "cem", "dan"]
    assert np.log(model.betas_).sum() == pytest.approx(0.0, abs=1e-9)
    assert (np.abs(np.log(model.betas_) - log_betas[::-1]) < 4 * model.errors_).all()
    table = model.beta_table()
    assert (table.low < table.beta).all()
    assert (table.beta < table.high).all()
    assert table.n_comparisons.tolist() == [800] * 4
    narrow = model.beta_table(0.5)
    assert (narrow.high - narrow.low < table.high - table.low).all()


@pytest.mark.parametrize("alpha", [1e-3, 1e-2, 1e-1])
def test_betas_stay_near_one_where_every_annotator_can_be_fitted_without_error(alpha: float) -> None:
    """More dimensions than comparisons: a penalty on w alone is evaded by betas of 0 and of 50."""
    rng = np.random.default_rng(12)
    items, comparisons, who = world([1.2, 0.0, -1.2], 60, rng, dim=200)
    model = AnnotatorReward(alpha=alpha).fit(items, comparisons, columns={"annotator": who})
    assert model.betas_.min() > 0.2 and model.betas_.max() < 5


def test_an_annotator_seen_once_stays_near_one_with_a_wide_interval() -> None:
    items, comparisons, who = world([0.0, 0.0, 0.0], 200, np.random.default_rng(5))
    who[0] = 3
    model = AnnotatorReward(spread=0.8).fit(items, comparisons, columns={"annotator": who})
    assert 0.4 < model.betas_[3] < 2.5
    # before any comparison: the spread, less what the fixed mean of log beta takes
    assert model.errors_[3] == pytest.approx(0.8 * np.sqrt(3 / 4), rel=0.2)
    assert model.errors_[3] > 2 * model.errors_[:3].max()


def test_an_annotator_who_guesses_has_the_lowest_beta() -> None:
    items, comparisons, who = world([0.0, 0.0, -20.0], 300, np.random.default_rng(6))
    model = AnnotatorReward().fit(items, comparisons, columns={"annotator": who})
    assert model.betas_.argmin() == 2
    assert model.betas_[2] < 0.35


def test_ties_are_half_wins_and_weights_of_zero_are_left_out() -> None:
    items, comparisons, who = world([0.3, -0.3], 50, np.random.default_rng(7))
    tie = np.arange(100) % 5 == 0
    marked = AnnotatorReward(alpha=0.01).fit(items, comparisons, columns={"annotator": who, "tie": tie})
    twice = np.concatenate([comparisons, comparisons[tie][:, ::-1]])
    weights = np.concatenate([np.where(tie, 0.5, 1.0), np.full(tie.sum(), 0.5)])
    codes = np.append(who, who[tie])
    fit_by_hand = AnnotatorReward(alpha=0.01)
    # the sum of losses counts comparisons, and only ratios of weights reach a fit, so the spread takes the difference
    fit_by_hand.set_params(spread=np.sqrt(100 / len(twice)))
    by_hand = fit_by_hand.fit(items, twice, weights, columns={"annotator": codes})
    np.testing.assert_allclose(marked.betas_, by_hand.betas_, rtol=1e-3)
    assert marked.n_judged_.tolist() == [50, 50]
    third = np.where(np.arange(100) < 3, 2, who)
    kept = np.where(third == 2, 0.0, 1.0)
    without = AnnotatorReward(alpha=0.01).fit(items, comparisons, kept, columns={"annotator": third})
    assert without.annotators_.tolist() == [0, 1]


def test_saved_and_loaded_and_run_from_yaml(tmp_path: Path) -> None:
    items, comparisons, who = world([0.5, -0.5], 200, np.random.default_rng(8))
    names = np.array(["ann", "bob"])[who]
    data = rm.Preferences(items.astype(np.float32), comparisons, np.arange(200), annotator=names)
    model = AnnotatorReward(spread=2.0).fit(data)
    model.save(tmp_path / "model")
    again = rm.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(items), model.predict(items))
    assert again.beta_table().equals(model.beta_table())
    data.save(tmp_path / "train")
    rm.Preferences(data.items * 1.01, comparisons, np.arange(200) + 500).save(tmp_path / "test")
    (tmp_path / "a.yaml").write_text(
        "data: {use: open_preferences, train: train, test: test}\nmodels: {A: {use: AnnotatorReward, spread: 0.5}}\n"
    )
    experiment = load_config(tmp_path / "a.yaml")
    train, test = experiment.data()
    table = rm.run(train=train, test=test, **experiment.options)
    assert table[table.metric == "accuracy"].value.item() > 0.6


@pytest.mark.parametrize(
    ("options", "columns", "message"),
    [
        ({}, {}, "needs the column 'annotator'; there are none"),
        ({}, {"tie": [False] * 4}, "needs the column 'annotator'; there are tie"),
        ({}, {"annotator": ["ann"] * 4}, r"needs at least two; got \['ann'\]; .*take LinearReward"),
        ({}, {"annotator": [0.5, 1.0, 1.0, 2.0]}, "column 'annotator' must be integers or text"),
        ({"spread": 0.0}, {"annotator": [0, 1, 0, 1]}, "spread must be above 0"),
        ({"alpha": -1.0}, {"annotator": [0, 1, 0, 1]}, "alpha must be at least 0"),
        ({"alpha": 0.0, "spread": np.inf}, {"annotator": [0, 1, 0, 1]}, "the information matrix is singular"),
    ],
)
@pytest.mark.filterwarnings("ignore:AnnotatorReward stopped")
def test_bad_input(options: dict[str, Any], columns: dict[str, Any], message: str) -> None:
    pairs = np.array([[0, 1], [1, 0], [2, 1], [1, 2]])
    with pytest.raises(ValueError, match=message):
        AnnotatorReward(**options).fit(np.eye(4), pairs, columns=columns)


def test_betas_are_the_column_of_the_objective_scaled() -> None:
    """The betas of this model make the same reward in a model of another kind."""
    items, comparisons, who = world([1.0, -1.0], 300, np.random.default_rng(9))
    model = AnnotatorReward(alpha=0.01).fit(items, comparisons, columns={"annotator": who})
    scaled = rm.LinearReward(rm.objectives.scaled, alpha=0.01 * float((model.betas_[who] ** 2).mean()))
    again = scaled.fit(items, comparisons, columns={"beta": model.betas_[who]})
    np.testing.assert_allclose(again.predict(items), model.predict(items), atol=1e-3)


@pytest.mark.slow
def test_intervals_hold_the_true_betas_in_nine_of_ten_worlds() -> None:
    """100 worlds of 5 annotators with 200 comparisons each: of each annotator alone, and of all five at once."""
    held, all_held = np.zeros(5), 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        log_betas = rng.normal(size=5) * 0.7
        log_betas -= log_betas.mean()
        items, comparisons, who = world(log_betas, 200, rng, dim=6)
        model = AnnotatorReward().fit(items, comparisons, columns={"annotator": who})
        away = np.abs(np.log(model.betas_) - log_betas) / model.errors_
        held += away < ndtri(0.975)
        all_held += bool((away < ndtri(1 - 0.025 / 5)).all())
    assert held.min() >= 90
    assert all_held >= 90
