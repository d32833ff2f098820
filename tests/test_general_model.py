"""The general preference model: cycles that no score can hold, Bradley-Terry as a special case, and win rates."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rmspace as rm
from rmspace._typing import Float64Array, IntArray
from rmspace.active import active_study, at_random
from rmspace.config.build import load_config
from rmspace.models import GeneralPreferenceReward, TunedReward
from rmspace.models.core.predicting import predict_data

BEATS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])  # rock, paper, scissors: row beats column


def cycle(
    n: int, rng: np.random.Generator, *, odds: float = 6.0, dim: int = 6
) -> tuple[Float64Array, IntArray, IntArray]:
    """Draw noisy items of three kinds, and comparisons of two different kinds."""
    kinds = rng.integers(3, size=2 * n)
    kinds[1::2] = (kinds[::2] + rng.integers(1, 3, size=n)) % 3
    basis = np.random.default_rng(7).normal(size=(3, dim))
    items = basis[kinds] + 0.1 * rng.normal(size=(2 * n, dim))
    pairs = np.arange(2 * n).reshape(n, 2)
    first = rng.random(n) < expit(odds * BEATS[kinds[pairs[:, 0]], kinds[pairs[:, 1]]])
    return items, np.where(first[:, None], pairs, pairs[:, ::-1]), kinds


@pytest.mark.parametrize("rank", [1, 2])
def test_a_planted_cycle_is_held_where_a_score_is_a_guess(rank: int) -> None:
    items, comparisons, _ = cycle(600, np.random.default_rng(0))
    test, truth, _ = cycle(600, np.random.default_rng(1))
    model = GeneralPreferenceReward(rank, random_state=0).fit(items, comparisons)
    assert model.score(test, truth) > 0.98
    assert rm.LinearReward().fit(items, comparisons).score(test, truth) < 0.6
    network = rm.MLPReward(hidden_sizes=(32,), max_epochs=5, validation_fraction=0.0, random_state=0)
    assert network.fit(items, comparisons).score(test, truth) < 0.7


def test_true_probabilities_are_found_in_a_world_of_rank_two() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 2, 5)) * 0.7
    items = rng.normal(size=(16_000, 5))

    def odds(x: Float64Array, y: Float64Array) -> Float64Array:
        return np.asarray(((x @ a.T) * (y @ b.T) - (x @ b.T) * (y @ a.T)).sum(axis=1))

    pairs = np.arange(16_000).reshape(-1, 2)
    first = rng.random(8000) < expit(odds(items[pairs[:, 0]], items[pairs[:, 1]]))
    comparisons = np.where(first[:, None], pairs, pairs[:, ::-1])
    model = GeneralPreferenceReward(2, alpha=1e-4, random_state=0).fit(items, comparisons)
    one, other = rng.normal(size=(2, 2000, 5))
    assert np.abs(expit(model.log_odds(one, other)) - expit(odds(one, other))).mean() < 0.03
    np.testing.assert_allclose(model.log_odds(one, other), -model.log_odds(other, one), atol=1e-9)
    np.testing.assert_allclose(model.log_odds(one, one), 0.0, atol=1e-9)


def test_where_a_score_suffices_it_is_bradley_terry() -> None:
    train, test = rm.make_synthetic_banks(300, 100, 8, 16, noise_std=0.0, seed=0)
    rng = np.random.default_rng(0)
    pairs = rm.same_prompt(train, 3000, rng)
    comparisons = rm.annotate(pairs, train, rm.oracle, rng=rng)
    model = GeneralPreferenceReward(random_state=0).fit(train.items, comparisons)
    linear = rm.LinearReward(alpha=1e-3).fit(train.items, comparisons)
    new = rm.annotate(rm.same_prompt(test, 1000, rng), test, rm.oracle, rng=rng)
    assert model.score(test.items, new) > linear.score(test.items, new) - 0.02
    rates = model.win_rates(test.items, test.groups)
    assert (
        rm.normalized_gain(rates, test.rewards).mean()
        > rm.normalized_gain(linear.predict(test.items), test.rewards).mean() - 0.03
    )
    assert rm.spearman(model.predict(test.items), test.rewards).mean() > 0.5  # against the mean item


def test_the_loss_is_at_a_minimum_and_is_what_is_stated() -> None:
    items, comparisons, _ = cycle(80, np.random.default_rng(3))
    v = np.random.default_rng(0).uniform(0.5, 2.0, size=80)
    model = GeneralPreferenceReward(1, alpha=0.01, tol=1e-7, random_state=0).fit(items, comparisons, v)
    rows = items - items.mean(axis=0)
    length = np.sqrt((rows**2).sum(axis=1).mean())

    def loss(coef: Float64Array, intercept: Float64Array) -> float:
        a, b = (rows @ coef.T + intercept).T
        w, k = comparisons.T
        gap = a[w] * b[k] - b[w] * a[k]
        one, other = np.column_stack([coef * length, intercept])
        matrix = np.outer(one, other) - np.outer(other, one)
        return float(np.average(np.logaddexp(0, -gap), weights=v) + 0.01 / 4 * (matrix**2).sum())

    least, rng = loss(model.coef_, model.intercept_), np.random.default_rng(1)
    for _ in range(20):
        assert loss(model.coef_ + 0.02 * rng.normal(size=(2, 6)), model.intercept_ + 0.02 * rng.normal(size=2)) > least


def test_a_strong_penalty_is_that_of_a_linear_reward_and_turns_nothing() -> None:
    train, test = rm.make_synthetic_banks(200, 100, 8, 16, noise_std=0.0, seed=1)
    rng = np.random.default_rng(0)
    comparisons = rm.annotate(rm.cross_prompt(train, 2000, rng), train, rm.oracle, rng=rng)
    for alpha in (0.1, 1.0, 10.0):
        model = GeneralPreferenceReward(alpha=alpha, random_state=0).fit(train.items, comparisons)
        linear = rm.LinearReward(alpha=alpha).fit(train.items, comparisons)
        rates = model.win_rates(test.items, test.groups)
        assert (
            rm.spearman(rates, test.rewards).mean()
            > rm.spearman(linear.predict(test.items), test.rewards).mean() - 0.05
        )


def test_win_rates_are_means_over_the_others_of_a_prompt() -> None:
    items, comparisons, _ = cycle(60, np.random.default_rng(4))
    model = GeneralPreferenceReward(random_state=0).fit(items, comparisons)
    groups = np.array(["b", "a", "b", "c", "a", "b"])
    rates = model.win_rates(items[:6], groups)
    for i in range(6):
        others = [j for j in range(6) if groups[j] == groups[i] and j != i]
        wins = [expit(model.log_odds(items[[i]], items[[j]])[0]) for j in others]
        assert rates[i] == pytest.approx(np.mean(wins) if others else 0.5, abs=1e-9)


def bank_of_cycles(n: int, seed: int) -> rm.ResponseBank:
    """Prompts with four responses of two kinds that are neighbours in the cycle; gold is the true win rate."""
    rng = np.random.default_rng(seed)
    first = rng.integers(3, size=(n, 1))
    kinds = (first + rng.integers(2, size=(n, 4))) % 3
    basis = np.random.default_rng(7).normal(size=(3, 6))
    odds = 6 * BEATS[kinds[:, :, None], kinds[:, None, :]]
    wins = (expit(odds).sum(axis=2) - 0.5) / 3
    return rm.ResponseBank(basis[kinds] + 0.1 * rng.normal(size=(n, 4, 6)), wins, prompt_ids=np.arange(n) + 1000 * seed)


def test_run_measures_best_of_n_by_win_rates_and_comparisons_by_log_odds() -> None:
    items, comparisons, _ = cycle(600, np.random.default_rng(5))
    train = rm.Preferences(items, comparisons, np.arange(1200) // 2 + 10**6)
    models: dict[str, Any] = {
        "GPM": GeneralPreferenceReward(),
        "scaled GPM": make_pipeline(StandardScaler(), GeneralPreferenceReward()),
        "tuned GPM": TunedReward(GeneralPreferenceReward(), {"alpha": [1e-4, 1e3]}, n_splits=2),
        "BT": rm.LinearReward(),
    }
    table = rm.run(train=train, test=bank_of_cycles(200, 1), models=models, n=4)
    gain = table[table.metric == "normalized_gain"].set_index("model").value
    assert gain["GPM"] > 0.95
    assert gain["scaled GPM"] > 0.95
    assert gain["tuned GPM"] > 0.95
    assert gain["BT"] < 0.5
    new, truth, _ = cycle(300, np.random.default_rng(6))
    table = rm.run(train=train, test=rm.Preferences(new, truth, np.arange(600) // 2), models=models)
    accuracy = table[table.metric == "accuracy"].set_index("model").value
    log_loss = table[table.metric == "log_loss"].set_index("model").value
    assert accuracy["GPM"] > 0.98
    assert accuracy["scaled GPM"] > 0.98
    assert accuracy["tuned GPM"] > 0.98
    folds = rm.cross_validate(models["scaled GPM"], train, n_splits=2)
    assert folds.accuracy.min() > 0.95  # folds are scored by log-odds too
    assert accuracy["BT"] < 0.6
    assert log_loss["GPM"] < 0.1 < 0.6 < log_loss["BT"]


def test_active_rounds_measure_by_win_rates() -> None:
    options: dict[str, Any] = {"pairs": rm.same_prompt, "annotator": rm.oracle, "n": 4}
    table = active_study(
        train=bank_of_cycles(200, 1), test=bank_of_cycles(100, 2), rules={"random": at_random}, n_pool=500,
        model=GeneralPreferenceReward(), n_per_round=300, n_rounds=1, **options,
    )  # fmt: skip
    assert table[table.metric == "normalized_gain"].value.item() > 0.9


def test_ties_count_half_and_weights_of_zero_not_at_all() -> None:
    items, comparisons, _ = cycle(50, np.random.default_rng(8))
    tie = np.arange(50) % 5 == 0
    data = rm.Preferences(items, comparisons, np.arange(100) // 2, tie=tie)
    twice = np.concatenate([comparisons, comparisons[tie][:, ::-1]])
    weights = np.concatenate([np.where(tie, 0.5, 1.0), np.full(10, 0.5)])
    one = GeneralPreferenceReward(1, random_state=0, tol=1e-7).fit(data)
    other = GeneralPreferenceReward(1, random_state=0, tol=1e-7).fit(items, twice, weights)
    odds = [m.log_odds(items[comparisons[:, 0]], items[comparisons[:, 1]]) for m in (one, other)]
    np.testing.assert_allclose(odds[0], odds[1], atol=1e-3)
    right = (one.log_odds(items[comparisons[:, 0]], items[comparisons[:, 1]]) > 0) * 1.0
    assert one.score(data) == pytest.approx(np.where(tie, 0.5, right).mean())


def test_saved_and_loaded_and_run_from_yaml(tmp_path: Path) -> None:
    items, comparisons, _ = cycle(300, np.random.default_rng(9))
    data = rm.Preferences(items.astype(np.float32), comparisons, np.arange(600) // 2)
    model = GeneralPreferenceReward(random_state=0).fit(data)
    model.save(tmp_path / "model")
    again = rm.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(items), model.predict(items))
    np.testing.assert_array_equal(again.win_rates(items, data.groups), model.win_rates(items, data.groups))
    data.save(tmp_path / "train")
    rm.Preferences(data.items * 1.01, comparisons, data.groups + 500).save(tmp_path / "test")
    (tmp_path / "a.yaml").write_text(
        "data: {use: open_preferences, train: train, test: test}\n"
        "models: {G: {use: GeneralPreferenceReward, rank: 1, alpha: 0.01}}\n"
    )
    experiment = load_config(tmp_path / "a.yaml")
    train, test = experiment.data()
    table = rm.run(train=train, test=test, **experiment.options)
    assert table[table.metric == "accuracy"].value.item() > 0.95
    again.intercept_ = np.zeros(3)
    with pytest.raises(ValueError, match=r"intercept_ must be finite numbers \(4,\)"):
        again.check_state()


def test_predictions_of_data_of_other_models_are_theirs() -> None:
    items, comparisons, _ = cycle(30, np.random.default_rng(10))
    data = rm.Preferences(items, comparisons, np.arange(60) // 2)
    pipeline = make_pipeline(StandardScaler(), rm.LinearReward()).fit(items, comparisons)
    np.testing.assert_array_equal(predict_data(pipeline, data), pipeline.predict(items))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: GeneralPreferenceReward(0).fit(np.eye(2), [[0, 1]]), "rank must be at least 1"),
        (lambda m: GeneralPreferenceReward(alpha=-1).fit(np.eye(2), [[0, 1]]), "alpha must be at least 0"),
        (lambda m: m.log_odds(np.ones((2, 6)), np.ones((3, 6))), "must have the same number of items; got 2 and 3"),
        (lambda m: m.log_odds(np.ones((2, 6)), np.ones((2, 5))), "items must have the 6 numbers of the fit; got 5"),
        (lambda m: m.win_rates(np.ones((2, 6)), [0]), r"groups must be one prompt per item.*\(2,\); got"),
        (lambda m: m.win_rates(np.full((2, 6), np.nan), [0, 0]), "items must be finite"),
        (lambda m: m.predict(np.ones((2, 6)), return_std=True), "states no uncertainty"),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    items, comparisons, _ = cycle(20, np.random.default_rng(11))
    with pytest.raises(ValueError, match=message):
        call(GeneralPreferenceReward(random_state=0).fit(items, comparisons))


def test_no_items_have_no_scores() -> None:
    items, comparisons, _ = cycle(20, np.random.default_rng(12))
    model = GeneralPreferenceReward(random_state=0).fit(items, comparisons)
    assert model.win_rates(np.empty((0, 6)), np.empty(0, dtype=int)).shape == (0,)
    assert logit(0.5) == model.log_odds(items[:1], items[:1])[0]
