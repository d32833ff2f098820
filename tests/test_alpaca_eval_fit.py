"""The regression of AlpacaEval 2: published rates and probabilities, scikit-learn's solver, and its cross-validation.

The published numbers are coefficients and win rates of github.com/tatsu-lab/alpaca_eval, commit cd543a1: the files
`weights/weighted_alpaca_eval_gpt4_turbo/length_controlled_v1/baseline_gpt4_1106_preview.csv`, `annotations.json` of two
models, and the leaderboard.
"""

from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold

import rmspace as rm
from rmspace._typing import Float64Array
from rmspace.results.alpaca_eval import AlpacaEvalFit, alpaca_eval_fit

WINS = np.array([0.9, 0.2, 0.1, 0.7, 0.05, 0.4])
DIFFICULTY = np.array([0.0, -0.1, -1.36, 0.7, -1.6, 2.9])
BASELINE = np.array([1000.0, 1500.0, 2000.0, 800.0, 2500.0, 1200.0])
GAPS = np.array([1800.0, 1400.0, 900.0, 1900.0, 1000.0, 1600.0]) - BASELINE
VERSIONS = [
    (np.array([0.3, 0.2, 0.4, 0.35, 0.1, 0.45]), np.array([500.0, 700.0, 900.0, 400.0, 1500.0, 700.0]) - BASELINE),
    (np.array([0.6, 0.7, 0.5, 0.55, 0.65, 0.8]), np.array([1300.0, 1900.0, 2200.0, 1300.0, 2600.0, 1700.0]) - BASELINE),
]

# What is published


def test_probabilities_of_prompts_that_are_published() -> None:
    """The difficulties are those that the annotations of vicuna-13b-v1.5 imply; the probabilities are of vicuna-7b."""
    difficulty = [0.0, -0.101359656, -1.356212498, 0.700087088, -1.597456685]
    published = [0.0288506578, 0.0258937186, 0.0066672496, 0.0601723708, 0.0051251461]
    fit = AlpacaEvalFit(theta=-3.5163474643, phi=0.0, psi=1.0968125007)
    np.testing.assert_allclose([fit.win_rate([one]) for one in difficulty], published, rtol=1e-6)
    assert fit.win_rate(difficulty) == pytest.approx(np.mean(published), rel=1e-6)


@pytest.mark.parametrize(
    ("theta", "psi", "published"),
    [
        (-1.1814326793, 0.9967331117, 28.1552),  # claude-2
        (-0.6979541187, 0.9488894918, 35.3071),  # gpt4_0314
        (-3.0486680859, 1.1135907866, 10.4844),  # vicuna-13b-v1.5
    ],
)
def test_rates_of_the_leaderboard(theta: float, psi: float, published: float) -> None:
    """Six points stand for the 805 difficulties: 189 published rates follow from them to .03 points."""
    points = [-2.504631, -1.439323, -0.011079, 1.808322, 3.586268, 5.630453]
    shares = np.array([0.05167715, 0.29636743, 0.42432177, 0.1782811, 0.0472593, 0.00209325])
    difficulty = np.repeat(points, np.round(10_000 * shares / shares.sum()).astype(int))
    assert 100 * AlpacaEvalFit(theta, 0.0, psi).win_rate(difficulty) == pytest.approx(published, abs=0.03)


# Another library


def by_liblinear(rows: Any, c: float) -> Float64Array:
    """theta, phi, psi: each probability becomes two weighted rows."""
    columns, wins, weights = rows
    model = LogisticRegression(
        C=c, l1_ratio=1, solver="liblinear", fit_intercept=False, tol=1e-10, max_iter=100_000, random_state=0
    )
    both = np.concatenate([weights * wins, weights * (1 - wins)])
    model.fit(np.concatenate([columns, columns]), np.repeat([1, 0], len(wins)), sample_weight=both)
    return np.asarray(model.coef_[0])


def rows_of(wins: Any, gaps: Any, difficulty: Any, versions: Any = (), weight: float = 0.2) -> Any:
    parts = [(wins, gaps, 1.0, 1.0), *((*version, 0.0, weight / len(versions)) for version in versions)]
    columns = [
        np.stack([np.full(len(won), own), np.tanh(gap / np.std(gap, ddof=1)), difficulty], axis=1)
        for won, gap, own, _ in parts
    ]
    weights = [np.full(len(won), each) for won, _, _, each in parts]
    return np.concatenate(columns), np.concatenate([part[0] for part in parts]), np.concatenate(weights)


@pytest.mark.parametrize("versions", [(), VERSIONS], ids=["alone", "with versions"])
@pytest.mark.parametrize("c", [0.3, 10.0, 1000.0])
def test_it_is_the_fit_of_another_library(versions: Any, c: float) -> None:
    fit = alpaca_eval_fit(WINS, GAPS, DIFFICULTY, versions=versions, c=c)
    expected = by_liblinear(rows_of(WINS, GAPS, DIFFICULTY, versions), c)
    np.testing.assert_allclose(fit[:3], expected, atol=1e-4)
    rate = 100 * expit(expected[0] + expected[2] * DIFFICULTY).mean()
    assert 100 * fit.win_rate(DIFFICULTY) == pytest.approx(rate, abs=1e-2)


def test_the_penalty_is_chosen_as_by_cross_validation_by_hand() -> None:
    rng = np.random.default_rng(0)
    difficulty, gaps = rng.normal(size=(2, 40))
    wins = np.clip(expit(-0.5 + np.tanh(gaps) + 0.5 * difficulty) + rng.normal(0, 0.2, size=40), 0, 1)
    versions = [(rng.random(40), rng.normal(size=40)) for _ in range(2)]
    columns, won, weights = rows_of(wins, gaps, difficulty, versions)
    grid, losses = np.logspace(-4, 4, 10), []
    for c in grid:
        folds = []
        for train, test in GroupKFold(5).split(columns, groups=np.arange(len(won))):
            coef = by_liblinear((columns[train], won[train], weights[train]), c)
            p = expit(columns[test] @ coef)
            both = np.concatenate([won[test] * weights[test], (1 - won[test]) * weights[test]])
            total = log_loss(np.repeat([1, 0], len(test)), np.tile(p, 2), sample_weight=both, normalize=False)
            folds.append(total / len(test))
        losses.append(np.mean(folds))
    chosen = alpaca_eval_fit(wins, gaps, difficulty, versions=versions).c
    assert losses[int(np.argmin(np.abs(grid - chosen)))] == pytest.approx(min(losses), rel=1e-5)  # large c are alike
    assert max(losses) > 1.05 * min(losses)


# What it means


def test_versions_hold_the_effect_of_length_where_the_model_always_writes_longer() -> None:
    """A model that games the length: alone, the fit cannot tell it from its length."""
    rng = np.random.default_rng(1)
    difficulty = rng.normal(size=400)
    longer = 2000 + 50 * rng.normal(size=400)
    wins = expit(-2.0 + 3 * np.tanh(longer / 50) + difficulty)  # by its length alone
    shorter, more = -800 + 600 * rng.normal(size=(2, 400))
    versions = [(expit(3 * np.tanh(gap / gap.std(ddof=1)) + difficulty), gap) for gap in (shorter, -more)]
    alone, held = (alpaca_eval_fit(wins, longer, difficulty, versions=v, c=100.0) for v in ((), versions))
    plain, truth = wins.mean(), expit(-2.0 + difficulty).mean()
    assert abs(held.win_rate(difficulty) - truth) < 0.5 * abs(alone.win_rate(difficulty) - truth)
    assert held.win_rate(difficulty) < plain


def test_prompts_that_nobody_judged_are_left_out() -> None:
    known = np.arange(6) != 2
    some = alpaca_eval_fit(np.where(known, WINS, np.nan), GAPS, DIFFICULTY, c=10.0)
    rest = alpaca_eval_fit(WINS[known], GAPS[known], DIFFICULTY[known], c=10.0)
    np.testing.assert_allclose(some, rest, atol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: alpaca_eval_fit([0.5, 1.2], [1.0, 2.0], [0.0, 0.0]), r"wins of the model must be probabilities"),
        (lambda: alpaca_eval_fit([0.5, 1.0], [1.0, 2.0], [0.0]), r"must be one number per prompt, \(n_prompts,\)"),
        (lambda: alpaca_eval_fit([0.5, 1.0], [1.0, 2.0], [0.0, 0.0]), "choosing c needs at least 5 rows"),
        (lambda: alpaca_eval_fit([0.5, 1.0], [1.0, 2.0], [0.0, 0.0], c=0.0), "c must be"),
        (
            lambda: alpaca_eval_fit(WINS, GAPS, DIFFICULTY, versions=[(WINS[:2], GAPS[:2])], c=1.0),
            "of version 0 must be one number per prompt",
        ),
        (lambda: AlpacaEvalFit(0.0, 0.0, 1.0).win_rate([[1.0]]), "difficulty must be one number per prompt"),
        (lambda: AlpacaEvalFit(0.0, 0.0, 1.0).win_rate([np.nan]), "difficulty must be finite"),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_it_is_public() -> None:
    assert rm.alpaca_eval_fit is alpaca_eval_fit
