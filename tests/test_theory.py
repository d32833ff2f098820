"""The theory against simulation, closed forms and the numbers printed in the paper."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.special import expit, logit

import rmspace as rm
from rmspace._typing import FloatArray
from rmspace.paper import theory

DRAWS = 1_000_000


def inside(value: float, draws: FloatArray) -> bool:
    """Whether a value lies in the 99.9% interval of the mean of draws."""
    return bool(abs(value - draws.mean()) <= 3.3 * draws.std() / math.sqrt(len(draws)))


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 3.0, 10.0, 1000.0])
@pytest.mark.parametrize("reward_std", [0.3, 1.0, 6.0])
def test_quality_and_error_agree_with_simulation(beta: float, reward_std: float) -> None:
    rng = np.random.default_rng(0)
    gaps = np.abs(reward_std * (rng.standard_normal(DRAWS) - rng.standard_normal(DRAWS)))
    quality = theory.annotation_quality(beta, reward_std=reward_std)
    assert inside(float(quality), expit(beta * gaps)) or (beta == 0 and quality == 0.5)
    assert quality == pytest.approx(theory.annotation_quality(beta, gap_std=math.sqrt(2) * reward_std), rel=1e-12)
    assert theory.error_rate(beta, reward_std=reward_std) == pytest.approx(1 - quality)


def test_error_rates_are_those_printed_in_either_convention() -> None:
    betas = [0.5, 0.7, 1, 3, 5, 10]
    of_the_gap, of_one = (100 * theory.error_rate(betas, **{name: 1.0}) for name in ("gap_std", "reward_std"))
    np.testing.assert_allclose(of_the_gap, [40.4, 37.0, 32.5, 16.4, 10.6, 5.5], atol=0.06)
    np.testing.assert_allclose(of_one, [36.9, 32.7, 27.5, 12.2, 7.6, 3.9], atol=0.06)
    qualities = theory.annotation_quality(np.sqrt([1, 2, 4]), gap_std=1.0)
    np.testing.assert_allclose(qualities, [0.6749, 0.7251, 0.7781], atol=1.2e-4)
    dense = np.linspace(0, 12, 1_200_001)  # the trapezoid rule, where the printed digits differ from ours
    bell = 2 * np.exp(-(dense**2) / 2) / math.sqrt(2 * math.pi)
    by_sums = [np.trapezoid(bell * expit(kappa * dense), dense) for kappa in np.sqrt([1, 2, 4])]
    np.testing.assert_allclose(qualities, by_sums, atol=1e-8)


def test_error_rates_reach_their_limits() -> None:
    assert theory.error_rate([0.0, np.inf], gap_std=2.0).tolist() == [0.5, 0.0]
    tiny = theory.error_rate(1e9, gap_std=1.0)
    assert tiny == pytest.approx(2 * math.log(2) / math.sqrt(2 * math.pi) / 1e9, rel=1e-6)


@pytest.mark.parametrize(("beta", "s"), [(0.5, 1.0), (1.0, 1.0), (3.0, 0.4)])
def test_density_of_quality_integrates_to_its_distribution(beta: float, s: float) -> None:
    def density(t: float) -> float:
        return float(theory.quality_density(t, beta, reward_std=s))

    assert integrate.quad(density, 0.5, 1)[0] == pytest.approx(1, abs=1e-6)
    mean = integrate.quad(lambda t: t * density(t), 0.5, 1)[0]
    assert mean == pytest.approx(float(theory.annotation_quality(beta, reward_std=s)), abs=1e-6)
    rng = np.random.default_rng(1)
    tau = expit(beta * np.abs(s * (rng.standard_normal(DRAWS) - rng.standard_normal(DRAWS))))
    for low, high in ((0.5, 0.6), (0.6, 0.8), (0.8, 0.99)):
        assert inside(integrate.quad(density, low, high)[0], ((tau > low) & (tau <= high)).astype(float))
    assert theory.quality_density([0.3, 1.0], beta, gap_std=s).tolist() == [0, 0]


def test_agreement_bound_in_simulation() -> None:
    rng = np.random.default_rng(2)
    for quality, error in ((0.6, 0.1), (0.9, 0.3), (0.99, 0.02)):
        right, agrees = rng.random(DRAWS) < quality, rng.random(DRAWS) >= error
        assert (right == agrees).mean() >= theory.agreement_bound(quality, error)


@pytest.mark.parametrize("family", [stats.norm, stats.laplace, stats.logistic, stats.uniform(-1, 2), stats.t(3)])
@pytest.mark.parametrize("value", [np.abs, lambda gap: expit(2 * gap)], ids=["gap", "quality"])
def test_designs_agree_with_simulation_and_cross_is_no_less(family: Any, value: Any) -> None:
    rng = np.random.default_rng(3)
    locations, scales = np.array([0.0, 1.0, 2.5]), np.array([1.0, 2.0, 0.5])
    within, cross = theory.gap_designs(locations, scales, value=value, family=family)
    first, second = (
        locations[:, None] + scales[:, None] * family.rvs(size=(3, DRAWS // 2), random_state=rng) for _ in (0, 1)
    )
    assert inside(within, np.mean([value(np.abs(first[i] - second[i])) for i in range(3)], axis=0))
    pairs = [(i, j) for i in range(3) for j in range(3) if i < j]
    assert inside(cross, np.mean([value(np.abs(first[i] - second[j])) for i, j in pairs], axis=0))
    assert cross > within


def test_designs_of_gaussians_are_their_closed_forms() -> None:
    scales = np.array([0.5, 2.0])
    within, cross = theory.gap_designs([3.0, 3.0], scales)
    assert within == pytest.approx(np.mean(2 * scales / math.sqrt(math.pi)), rel=1e-9)
    assert cross == pytest.approx(math.sqrt(2 / math.pi) * math.hypot(*scales), rel=1e-9)
    frozen = theory.gap_designs([0.0, 1.0], scales, family=stats.norm())
    assert frozen == pytest.approx(theory.gap_designs([0.0, 1.0], scales), rel=1e-6)


def test_an_infinite_mean_is_refused_and_its_bounded_value_is_not() -> None:
    with pytest.raises(ArithmeticError, match="does not converge"):
        theory.gap_designs([0.0, 1.0], [1.0, 1.0], family=stats.cauchy)
    within, cross = theory.gap_designs([0.0, 1.0], [1.0, 1.0], value=expit, family=stats.cauchy)
    assert 0.5 < within < cross < 1


def test_a_value_that_jumps_is_refused_or_right() -> None:
    def beyond(gap: FloatArray) -> FloatArray:
        return (gap > 1).astype(float)

    try:
        within, _ = theory.gap_designs([0.0, 0.0], [1.0, 1.0], value=beyond)
    except ArithmeticError as error:
        assert "jump" in str(error)
    else:
        assert within == pytest.approx(2 * stats.norm.sf(1 / math.sqrt(2)), rel=1e-5)


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 30), spread=st.floats(0.01, 8))
def test_win_logit_is_the_logit_of_the_mean_and_never_under_its_bound(seed: int, size: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    rewards, opponents = spread * rng.standard_normal(7), spread * rng.standard_normal(size)
    exact = theory.win_logit(rewards, opponents)
    np.testing.assert_allclose(exact, logit(expit(rewards[:, None] - opponents).mean(axis=1)), rtol=1e-6, atol=1e-6)
    bound = theory.win_logit_bound(rewards, opponents)
    assert (exact >= bound - 1e-9).all()
    np.testing.assert_array_equal(np.argsort(exact), np.argsort(rewards))
    np.testing.assert_allclose(bound - rewards, -np.log(np.exp(opponents).mean()))
    assert np.isfinite(theory.win_logit([800.0, -800.0], opponents)).all()


def test_truncated_kl_is_the_plain_one_without_truncation() -> None:
    rng = np.random.default_rng(4)
    p0, p = rng.dirichlet(np.ones(4), 50), rng.dirichlet(np.ones(4), 50)
    plain = np.mean([stats.entropy(a, b) for a, b in zip(p0, p, strict=True)])
    assert theory.truncated_kl(p0, p, bound=np.inf) == pytest.approx(plain)
    by_hand = np.mean(
        [sum(a * min(0.7, math.log(a / b)) for a, b in zip(x, y, strict=True)) for x, y in zip(p0, p, strict=True)]
    )
    assert theory.truncated_kl(p0, p, bound=0.7) == pytest.approx(by_hand)
    assert theory.truncated_kl([[0.0, 1.0]], [[0.0, 1.0]], bound=1.0) == 0


@pytest.mark.parametrize("n", [1, 2, 7, 500])
def test_best_of_n_kl_is_that_of_the_largest_of_n_uniforms(n: int) -> None:
    # The chosen quantile has the density n q^(n-1) on (0, 1).
    expected = math.log(n) + (n - 1) * integrate.quad(lambda q: n * q ** (n - 1) * math.log(q), 0, 1)[0]
    assert rm.paper.theory.best_of_n_kl(n) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: theory.annotation_quality(-1.0, gap_std=1.0), "beta must be at least 0"),
        (lambda: theory.annotation_quality(1.0), "give one of reward_std and gap_std"),
        (lambda: theory.annotation_quality(1.0, gap_std=1.0, reward_std=1.0), "give one of"),
        (lambda: theory.annotation_quality(1.0, gap_std=0.0), "gap_std must be above 0"),
        (lambda: theory.annotation_quality(1.0, reward_std=-1.0), "reward_std must be at least 0"),
        (lambda: theory.error_rate(np.nan, gap_std=1.0), "beta must be a number"),
        (lambda: theory.quality_density(0.7, 0.0, gap_std=1.0), "no density"),
        (lambda: theory.agreement_bound(0.4, 0.1), "quality must be in"),
        (lambda: theory.agreement_bound(0.9, 1.1), "error must be in"),
        (lambda: theory.gap_designs([0.0], [1.0]), "at least two"),
        (lambda: theory.gap_designs([0.0, 1.0], [1.0, 0.0]), "scales must be above 0"),
        (lambda: theory.gap_designs([0.0, np.nan], [1.0, 1.0]), "locations must be finite"),
        (lambda: theory.win_logit([0.0], []), "at least one"),
        (lambda: theory.win_logit([np.inf], [0.0]), "must be finite"),
        (lambda: theory.truncated_kl([[0.5, 0.6]], [[0.5, 0.5]], bound=1.0), "sum to 1"),
        (lambda: theory.truncated_kl([[0.5, 0.5]], [[0.5, 0.5]], bound=0.0), "bound must be above 0"),
        (lambda: theory.best_of_n_kl(0), "n must be at least 1"),
    ],
)
def test_bad_input_is_named(call: Callable[..., Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        call()
