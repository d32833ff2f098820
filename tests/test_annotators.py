from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom, norm

import rmspace as rm
from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.kinds import Annotator

# Error rates of the logistic annotator for Gaussian gaps of variance 1 and 2: facts of the published study.
BETAS = [0.5, 0.7, 1, 3, 5, 10]
ERRORS = {1: [40.4, 37.0, 32.5, 16.4, 10.6, 5.5], 2: [36.9, 32.7, 27.5, 12.2, 7.6, 3.9]}


def gaussian_pairs(n: int, variance: float, seed: int = 0) -> tuple[IntArray, FloatArray]:
    rewards = np.random.default_rng(seed).normal(size=(n, 2)) * np.sqrt(variance / 2)
    return np.arange(2 * n).reshape(n, 2), rewards


@pytest.mark.parametrize("variance", [1, 2])
@pytest.mark.parametrize("k", range(6))
def test_published_error_rates(variance: int, k: int) -> None:
    pairs, rewards = gaussian_pairs(200_000, variance)
    comparisons = rm.annotate(pairs, rewards, partial(rm.logistic, beta=BETAS[k]), rng=np.random.default_rng(k))
    assert rm.error_rate(comparisons, rewards) * 100 == pytest.approx(ERRORS[variance][k], abs=0.4)


@pytest.mark.parametrize(
    "annotator",
    [partial(rm.logistic, beta=1.3), partial(rm.probit, beta=0.8), partial(rm.lapse, beta=2.0, rate=0.2), rm.oracle],
)
@pytest.mark.parametrize("gap", [-1.7, -0.2, 0.0, 0.4, 3.0])
def test_realised_noise_is_binomial(annotator: Annotator, gap: float) -> None:
    n = 20_000
    pairs = np.tile([[0, 1]], (n, 1))
    comparisons = rm.annotate(pairs, np.array([[gap, 0.0]]), annotator, rng=np.random.default_rng(1))
    wins = int((comparisons[:, 0] == 0).sum())
    low, high = binom.interval(0.9999, n, float(annotator(np.array([gap]))[0]))
    assert low <= wins <= high


def test_closed_forms() -> None:
    gap = np.linspace(-5, 5, 11)
    np.testing.assert_allclose(rm.logistic(gap, beta=2.0), 1 / (1 + np.exp(-2 * gap)))
    np.testing.assert_allclose(rm.probit(gap, beta=2.0), norm.cdf(2 * gap))
    np.testing.assert_allclose(rm.lapse(gap, beta=2.0, rate=0.3), 0.15 + 0.7 * rm.logistic(gap, beta=2.0))
    np.testing.assert_array_equal(rm.logistic(gap, beta=np.inf), rm.oracle(gap))
    np.testing.assert_array_equal(rm.logistic(gap, beta=0.0), np.full(11, 0.5))
    assert np.isfinite(rm.logistic(np.array([-1e300, 1e300]), beta=10.0)).all()


@pytest.mark.parametrize("annotator", [rm.logistic, rm.probit, partial(rm.lapse, rate=0.05)])
@pytest.mark.parametrize("target", [0.05, 0.2, 0.45])
def test_beta_for_error_is_reached(annotator: Callable[..., Float64Array], target: float) -> None:
    pairs, rewards = gaussian_pairs(50_000, 3.0)
    beta = rm.beta_for_error(pairs, rewards, target, annotator=annotator, scale="std")
    comparisons = rm.annotate(pairs, rewards, partial(annotator, beta=beta), rng=np.random.default_rng(2), scale="std")
    assert rm.error_rate(comparisons, rewards) == pytest.approx(target, abs=0.008)


def test_beta_for_error_at_its_ends() -> None:
    pairs, rewards = gaussian_pairs(100, 1.0)
    assert rm.beta_for_error(pairs, rewards, 0.0) == np.inf
    assert rm.beta_for_error(pairs, rewards, 0.5) == pytest.approx(0.0, abs=1e-9)
    for rate in (0.1, 0.3):
        assert rm.beta_for_error(pairs, rewards, rate / 2, annotator=partial(rm.lapse, rate=rate)) == np.inf
    with pytest.raises(ValueError, match=r"at least 0\.1, this annotator's floor"):
        rm.beta_for_error(pairs, rewards, 0.05, annotator=partial(rm.lapse, rate=0.2))


def test_annotate_keeps_order_and_items(rng: np.random.Generator) -> None:
    pairs = np.array([[3, 0], [1, 2], [0, 5]])
    rewards = rng.normal(size=(2, 3))
    comparisons = rm.annotate(pairs, rewards, rm.oracle, rng=rng)
    np.testing.assert_array_equal(np.sort(comparisons, axis=1), np.sort(pairs, axis=1))
    flat = rewards.ravel()
    assert (flat[comparisons[:, 0]] > flat[comparisons[:, 1]]).all()


def test_scale(rng: np.random.Generator) -> None:
    pairs, rewards = gaussian_pairs(1000, 4.0)
    a = rm.annotate(pairs, rewards, partial(rm.logistic, beta=2.0), rng=np.random.default_rng(0), scale="std")
    b = rm.annotate(
        pairs, rewards, partial(rm.logistic, beta=2.0), rng=np.random.default_rng(0), scale=float(rewards.std())
    )
    c = rm.annotate(pairs, rewards / rewards.std(), partial(rm.logistic, beta=2.0), rng=np.random.default_rng(0))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, c)


def test_error_rate_leaves_ties_out() -> None:
    rewards = np.array([[1.0, 1.0, 2.0]])
    assert rm.error_rate(np.array([[0, 1], [2, 0], [1, 2], [2, 1]]), rewards) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="all of these are ties"):
        rm.error_rate(np.array([[0, 1]]), rewards)


REWARDS = np.array([[0.0, 1.0, 2.0]])


@pytest.mark.parametrize(
    ("pairs", "rewards", "options", "error", "message"),
    [
        (np.array([[0, 3]]), REWARDS, {}, ValueError, r"item ids in \[0, 3\); got 3"),
        (np.array([[-1, 1]]), REWARDS, {}, ValueError, r"got -1"),
        (np.array([[0.0, 1.0]]), REWARDS, {}, TypeError, "must be integer item ids; got float64"),
        (np.zeros((0, 2), int), REWARDS, {}, ValueError, "n at least 1"),
        (np.array([[1, 1]]), REWARDS, {}, ValueError, "row 0 has item 1 twice"),
        (np.array([0, 1]), REWARDS, {}, ValueError, r"shape \(n, 2\)"),
        (np.array([[0, 1]]), np.array([[0.0, np.nan, 1.0]]), {}, ValueError, "a table of rewards must be complete"),
        (np.array([[0, 1]]), np.ones((1, 3)), {"scale": "std"}, ValueError, "rewards that differ"),
        (np.array([[0, 1]]), REWARDS, {"scale": 0.0}, ValueError, "scale must be above 0"),
        (np.array([[0, 1]]), REWARDS, {"scale": -1.0}, ValueError, "scale must be at least 0"),
        (np.array([[0, 1]]), REWARDS, {"annotator": lambda gap: gap * 0 + 2}, ValueError, r"probabilities in \[0, 1\]"),
        (np.array([[0, 1]]), REWARDS, {"annotator": lambda gap: 0.5}, ValueError, "one probability per gap"),
        (
            np.array([[0, 1]]),
            REWARDS,
            {"annotator": partial(rm.logistic, beta=-1)},
            ValueError,
            "beta must be at least",
        ),
        (
            np.array([[0, 1]]),
            REWARDS,
            {"annotator": partial(rm.logistic, beta=True)},
            TypeError,
            "beta must be a number",
        ),
    ],
)
def test_bad_input(
    pairs: npt.NDArray[Any],
    rewards: FloatArray,
    options: dict[str, Any],
    error: type[Exception],
    message: str,
    rng: np.random.Generator,
) -> None:
    options = {"annotator": rm.oracle, **options}
    with pytest.raises(error, match=message):
        rm.annotate(pairs, rewards, options.pop("annotator"), rng=rng, **options)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda rng: rm.annotate(np.array([[0, 1]]), REWARDS, "oracle", rng=rng),  # type: ignore[arg-type]
            "a function of gaps; got 'oracle'; use rmspace.or",
        ),
        (
            lambda rng: rm.annotate(np.array([[0, 1]]), REWARDS, None, rng=rng),  # type: ignore[arg-type]
            "a function of gaps; got None$",
        ),
        (
            lambda rng: rm.annotate(np.array([[0, 1]]), None, rm.oracle, rng=rng),  # type: ignore[arg-type]
            "rewards must be a bank, or numbers.*got None",
        ),
        (
            lambda rng: rm.error_rate(np.array([[0, 1]]), None),  # type: ignore[arg-type]
            "rewards must be a bank, or numbers.*got None",
        ),
        (lambda rng: rm.logistic(beta=3), r"logistic needs a gap.*functools\.partial\(logistic, beta=\.\.\.\)"),
        (lambda rng: rm.probit(beta=3), r"functools\.partial\(probit, beta=\.\.\.\)"),
        (lambda rng: rm.lapse(beta=3, rate=0.1), r"functools\.partial\(lapse, beta=\.\.\., rate=\.\.\.\)"),
    ],
)
def test_mistakes_that_are_easily_made(act: Callable[..., Any], message: str, rng: np.random.Generator) -> None:
    with pytest.raises(TypeError, match=message):
        act(rng)


def test_a_bank_stands_for_its_rewards(rng: np.random.Generator) -> None:
    bank = rm.ResponseBank(np.zeros((1, 3, 2), np.float32), REWARDS)
    pairs = np.array([[0, 1], [2, 1]])
    assert rm.annotate(pairs, bank, rm.oracle, rng=rng).tolist() == [[1, 0], [2, 1]]
    assert rm.error_rate(pairs, bank) == 0.5
    assert rm.beta_for_error(pairs, bank, 0.2) == rm.beta_for_error(pairs, REWARDS, 0.2)
