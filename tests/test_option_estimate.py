"""Options of likelihoods, estimated with a reward: known truths, and intervals by the likelihood ratio."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

import rmspace as rm
from rmspace import objectives
from rmspace.results.option_estimate import estimate_option, estimate_options


def noisy(n: int, rate: float, seed: int) -> rm.Preferences:
    rng = np.random.default_rng(seed)
    items = rng.normal(size=(2 * n, 2))
    pairs = np.arange(2 * n).reshape(n, 2)
    gap = (items[pairs[:, 0]] - items[pairs[:, 1]]) @ [3.0, -1.5]
    first = (rng.random(n) < expit(gap)) ^ (rng.random(n) < rate)
    return rm.Preferences(items, np.where(first[:, None], pairs, pairs[:, ::-1]), np.arange(2 * n))


def test_the_estimate_is_the_best_of_a_grid_and_the_interval_its_likelihood_ratio() -> None:
    data = noisy(500, 0.2, 0)
    found = estimate_option(objectives.forward_corrected, "rate", data, low=0.0, high=0.45)
    grid = np.linspace(0.0, 0.45, 31)
    losses = [
        500 * rm.LinearReward(partial(objectives.forward_corrected, rate=float(e)), alpha=1e-5).fit(data).loss_
        for e in grid
    ]
    assert found.value == pytest.approx(grid[int(np.argmin(losses))], abs=0.016)
    inside = grid[2 * (np.array(losses) - min(losses)) < 3.841]
    assert (found.low, found.high) == pytest.approx((inside.min(), inside.max()), abs=0.016)
    assert found.low < 0.2 < found.high


@pytest.mark.parametrize(
    ("objective", "name", "truth", "high"),
    [(objectives.rao_kupper, "theta", 2.0, 10.0), (objectives.davidson, "nu", 1.0, 10.0)],
)
def test_the_parameter_of_ties_is_found(objective: Any, name: str, truth: float, high: float) -> None:
    rng = np.random.default_rng(1)
    items, pairs = rng.normal(size=(1200, 2)), np.arange(1200).reshape(600, 2)
    gap = (items[pairs[:, 0]] - items[pairs[:, 1]]) @ [1.0, -0.5]
    if name == "theta":
        win, lose = expit(gap - np.log(truth)), expit(-gap - np.log(truth))
    else:
        total = np.exp(gap / 2) + np.exp(-gap / 2) + truth
        win, lose = np.exp(gap / 2) / total, np.exp(-gap / 2) / total
    draw = rng.random(600)
    comparisons = np.where((draw > 1 - lose)[:, None], pairs[:, ::-1], pairs)
    data = rm.Preferences(items, comparisons, np.arange(1200), tie=(draw >= win) & (draw <= 1 - lose))
    found = estimate_option(objective, name, data, low=1.001 if name == "theta" else 0.001, high=high)
    assert found.low < truth < found.high
    assert found.high - found.low < truth


BOTH = {"rate_0": (0.0, 0.45), "rate_1": (0.0, 0.45)}


def favoured(n: int, rates: tuple[float, float], seed: int) -> rm.Preferences:
    """Draw labels by judges who are wrong at other rates where the first item is better than where the second is."""
    rng = np.random.default_rng(seed)
    items = rng.normal(size=(2 * n, 2))
    pairs = np.arange(2 * n).reshape(n, 2)
    truly = rng.random(n) < expit((items[pairs[:, 0]] - items[pairs[:, 1]]) @ [4.0, -2.0])
    first = truly ^ (rng.random(n) < np.where(truly, *rates))
    comparisons = np.where(first[:, None], pairs, pairs[:, ::-1])
    return rm.Preferences(items, comparisons, np.arange(2 * n), columns={"winner_class": np.where(first, 0, 1)})


def test_two_rates_are_the_best_of_a_grid_and_their_intervals_its_likelihood_ratio() -> None:
    rates = (0.05, 0.35)
    data = favoured(200, rates, 0)
    found = estimate_options(objectives.class_corrected, BOTH, data)
    grid = np.linspace(0.0, 0.45, 10)
    losses = np.array([[_class_loss(data, a, b) for b in grid] for a in grid])
    for k, (rate, each) in enumerate(zip(rates, found.values(), strict=True)):
        profile = losses.min(axis=1 - k)
        inside = grid[2 * (profile - losses.min()) < 3.841]
        assert each.value == pytest.approx(grid[int(profile.argmin())], abs=0.05)
        assert (each.low, each.high) == pytest.approx((inside.min(), inside.max()), abs=0.05)
        assert each.low < rate < each.high


def _class_loss(data: rm.Preferences, rate_0: float, rate_1: float) -> float:
    objective = partial(objectives.class_corrected, rate_0=rate_0, rate_1=rate_1)
    return data.n_comparisons * rm.LinearReward(objective, alpha=1e-5).fit(data).loss_


def test_planted_rates_of_two_classes_are_found() -> None:
    rates = (0.1, 0.3)
    found = estimate_options(objectives.class_corrected, BOTH, favoured(1000, rates, 1))
    for rate, each in zip(rates, found.values(), strict=True):
        assert each.low < rate < each.high
        assert each.value == pytest.approx(rate, abs=0.06)
        assert each.high - each.low < 0.2


def test_bad_input() -> None:
    data = noisy(20, 0.1, 2)
    with pytest.raises(ValueError, match="objective forward_corrected has no option 'rat'"):
        estimate_options(objectives.forward_corrected, {"rate": (0.0, 0.4), "rat": (0.0, 0.4)}, data)
    with pytest.raises(ValueError, match=r"the range of rate must be \(low, high\); got 0.4"):
        estimate_options(objectives.forward_corrected, {"rate": 0.4}, data)  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="ranges must map names"):
        estimate_options(objectives.forward_corrected, ["rate"], data)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="objective bradley_terry has no option 'rate'"):
        estimate_option(rm.bradley_terry, "rate", data, low=0.0, high=0.4)
    with pytest.raises(ValueError, match=r"low must be below high; got 0.4 and 0.1"):
        estimate_option(objectives.forward_corrected, "rate", data, low=0.4, high=0.1)
    with pytest.raises(ValueError, match=r"rate must be below 0\.5"):
        estimate_option(objectives.forward_corrected, "rate", data, low=0.0, high=0.5)
    with pytest.raises(TypeError, match="preferences must be Preferences"):
        estimate_option(objectives.forward_corrected, "rate", data.items, low=0.0, high=0.4)  # type: ignore[arg-type]
