"""Length-controlled win rates: an independent logistic regression, known truths, and symmetry."""

from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from rmspace._typing import Float64Array
from rmspace.results.length_controlled import instruction_difficulty, length_controlled_table


def world(
    n: int, rng: np.random.Generator, theta: float = -0.5, phi: float = 1.5, psi: float = 0.8, longer: float = 200.0
) -> tuple[Float64Array, Float64Array, Float64Array, float]:
    """Return wins, gaps in length, difficulty, and the win rate at equal length."""
    gaps, difficulty = rng.normal(longer, 300.0, size=n), rng.normal(size=n)
    p = expit(theta + phi * np.tanh(gaps / gaps.std(ddof=1)) + psi * difficulty)
    truth = expit(theta + psi * np.random.default_rng(0).normal(size=200_000)).mean()
    return (rng.random(n) < p).astype(float), gaps, difficulty, float(truth)


def test_it_is_the_logistic_regression_of_another_library_at_a_gap_of_zero() -> None:
    """Probabilities become two weighted rows, as in AlpacaEval."""
    rng = np.random.default_rng(1)
    wins, (_, gaps, difficulty, _) = rng.random(300), world(300, rng)
    columns = np.stack([np.ones(300), np.tanh(gaps / gaps.std(ddof=1)), difficulty], axis=1)
    model = LogisticRegression(C=1 / (0.01 * 300), fit_intercept=False, tol=1e-10, max_iter=1000)
    twice, labels = np.concatenate([columns, columns]), np.repeat([1, 0], 300)
    model.fit(twice, labels, sample_weight=np.concatenate([wins, 1 - wins]))
    level = columns * [1.0, 0.0, 1.0]
    table = length_controlled_table(wins, gaps, difficulty, alpha=0.01).iloc[0]
    assert table.controlled == pytest.approx(model.predict_proba(level)[:, 1].mean(), abs=1e-6)
    assert table.length_effect == pytest.approx(model.coef_[0, 1], abs=1e-5)
    assert table.win_rate == pytest.approx(wins.mean())
    assert table.n_prompts == 300


def test_the_interval_holds_the_win_rate_at_equal_length_as_often_as_it_says() -> None:
    held, raw = 0, 0
    for seed in range(100):
        wins, gaps, difficulty, truth = world(400, np.random.default_rng(seed))
        row = length_controlled_table(wins, gaps, difficulty, alpha=0.0).iloc[0]
        held += row.controlled_low <= truth <= row.controlled_high
        raw += row.win_rate_low <= truth <= row.win_rate_high
    assert held > 88
    assert raw < 50  # length is a part of the plain win rate


def test_a_long_and_a_short_model_of_equal_quality_are_equal() -> None:
    rng = np.random.default_rng(2)
    worlds = {name: world(5000, rng, longer=longer) for name, longer in (("long", 300.0), ("short", -300.0))}
    wins, gaps = ({name: each[k] for name, each in worlds.items()} for k in (0, 1))
    table = length_controlled_table(wins, gaps).set_index("model")
    assert table.win_rate["long"] - table.win_rate["short"] > 0.3
    assert abs(table.controlled["long"] - table.controlled["short"]) < 0.05


def test_where_both_write_equally_long_nothing_changes() -> None:
    wins = np.random.default_rng(3).random(200)
    row = length_controlled_table(wins, np.zeros(200), alpha=0.0).iloc[0]
    assert row.controlled == pytest.approx(row.win_rate, abs=1e-9)
    assert row.controlled_high - row.controlled_low == pytest.approx(row.win_rate_high - row.win_rate_low, rel=0.02)


def test_the_roles_of_model_and_baseline_can_change() -> None:
    wins, gaps, difficulty, _ = world(300, np.random.default_rng(4))
    one = length_controlled_table(wins, gaps, difficulty).iloc[0]
    other = length_controlled_table(1 - wins, -gaps, -difficulty).iloc[0]
    assert one.controlled + other.controlled == pytest.approx(1.0, abs=1e-8)
    assert one.length_effect == pytest.approx(other.length_effect, abs=1e-6)


def test_a_model_that_always_wins_stays_finite_and_missing_wins_are_left_out() -> None:
    gaps = np.random.default_rng(5).normal(size=50)
    row = length_controlled_table(np.ones(50), gaps).iloc[0]
    assert 0.9 < row.controlled <= 1.0
    wins, gaps, difficulty, _ = world(100, np.random.default_rng(6))
    known = np.arange(100) < 80
    some = length_controlled_table(np.where(known, wins, np.nan), np.where(known, gaps, np.nan), difficulty)
    assert some.equals(length_controlled_table(wins[known], gaps[known], difficulty[known]))


def test_the_difficulty_of_prompts_is_found_from_several_models() -> None:
    rng = np.random.default_rng(7)
    truth, gaps = rng.normal(size=300), rng.normal(100, 300, size=(40, 300))
    theta, phi = rng.normal(size=(2, 40, 1))
    p = expit(theta + phi * np.tanh(gaps / gaps.std(axis=1, ddof=1, keepdims=True)) + truth)
    wins = np.where(rng.random((40, 300)) < 0.9, (rng.random((40, 300)) < p) * 1.0, np.nan)
    found = instruction_difficulty(wins, gaps)
    assert np.corrcoef(found, truth)[0, 1] > 0.85
    assert found.mean() == pytest.approx(0.0, abs=1e-12)
    assert np.polyfit(found, truth, 1)[0] == pytest.approx(1.0, abs=0.25)  # in log-odds


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: length_controlled_table([0.5, 1.2], [1.0, 2.0]), r"wins of .* must be probabilities in \[0, 1\]"),
        (lambda: length_controlled_table([np.nan, np.nan], [1.0, 2.0]), "of at least one prompt"),
        (lambda: length_controlled_table([0.5, 1.0], [1.0]), r"must be one number per prompt, \(n_prompts,\); got"),
        (lambda: length_controlled_table([0.5, 1.0], [7.0, 7.0]), "length_gaps of .* must differ, or be 0; all are 7"),
        (lambda: length_controlled_table([0.5, 1.0], [1.0, np.nan]), "length_gaps of .* must be finite; row 1"),
        (lambda: length_controlled_table([0.5, 1.0], [1.0, 2.0], [1.0, np.inf]), "difficulty of .* must be finite"),
        (lambda: length_controlled_table([0.5, 1.0], [1.0, 2.0], [1.0, 1e9]), "largest difficulty of .* in log-odds"),
        (
            lambda: length_controlled_table({"a": [0.5]}, {"b": [1.0]}),
            r"length_gaps must have the models of wins, \['a'\]",
        ),
        (lambda: length_controlled_table([0.5, 1.0], [1.0, 2.0], alpha=-1.0), "alpha must be at least 0"),
        (lambda: instruction_difficulty([0.5, 1.0], [1.0, 2.0]), r"must be \(n_models, n_prompts\)"),
        (lambda: instruction_difficulty([[0.5, 2.0]], [[1.0, 2.0]]), "wins of model 0 must be probabilities"),
        (lambda: instruction_difficulty([[0.5, 1.0]], [[1.0, 2.0]], alpha=0.0), "alpha must be at least"),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
