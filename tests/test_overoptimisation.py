"""Over-optimisation: exponential tilting, the curves over KL, their fits, and the figure."""

from itertools import product
from math import comb
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

import rmspace as rm
from drawn import check_readable, xs, ys
from rmspace._typing import Float64Array
from rmspace.metrics import tilted_kl, tilted_reward
from rmspace.plots import overoptimisation
from rmspace.results._proxy_curves import ProxyCurve
from rmspace.results.overoptimisation import best_of_n_kl, overoptimisation_table
from rmspace.results.turning import _fitted, fitted_gain, overoptimisation_fit

small = st.integers(-3, 3).map(float)
NAMES = "alpha alpha_low alpha_high beta beta_low beta_high turn turn_low turn_high turns range fit_error n_prompts"


@given(st.integers(1, 6), st.sampled_from([0.1, 0.5, 1.0, 7.0]), st.data())
@settings(max_examples=100, deadline=None)
def test_tilting_is_the_sum_over_responses(width: int, temperature: float, data: st.DataObject) -> None:
    scores = data.draw(arrays(float, (2, width), elements=small))
    rewards = data.draw(arrays(float, (2, width), elements=st.floats(-5, 5)))
    for row in range(2):
        powers = [float(np.exp(score / temperature)) for score in scores[row]]
        weights = [power / sum(powers) for power in powers]
        reward = sum(w * r for w, r in zip(weights, rewards[row], strict=True))
        kl = sum(w * np.log(w * width) for w in weights if w > 0)
        assert tilted_reward(scores, rewards, temperature=temperature)[row] == pytest.approx(reward, abs=1e-10)
        assert tilted_kl(scores, rewards, temperature=temperature)[row] == pytest.approx(kl, abs=1e-10)


@given(st.integers(1, 6), st.data())
@settings(max_examples=60, deadline=None)
def test_the_ends_of_tilting_are_the_mean_and_the_highest_scores(width: int, data: st.DataObject) -> None:
    scores = data.draw(arrays(float, (2, width), elements=small))
    rewards = data.draw(arrays(float, (2, width), elements=st.floats(-5, 5)))
    mean, best = rewards.mean(axis=1), rm.best_of_n(scores, rewards, n=width)
    for temperature, expected in ((np.inf, mean), (1e9, mean), (1e-9, best), (0.0, best)):
        reached = tilted_reward(scores, rewards, temperature=temperature)
        np.testing.assert_allclose(reached, expected, atol=1e-6)
    highest = (scores == scores.max(axis=1, keepdims=True)).sum(axis=1)
    ends = tilted_kl(scores, rewards, temperature=[0.0, np.inf])
    np.testing.assert_allclose(ends, np.stack([np.log(width / highest), np.zeros(2)], axis=1), atol=1e-12)


@given(arrays(float, (1, 5), elements=st.integers(-99, 99).map(float)), st.floats(0.01, 100), st.integers(-50, 50))
@settings(max_examples=40, deadline=None)
def test_a_lower_temperature_has_more_kl_and_a_higher_score(scores: Float64Array, scale: float, shift: float) -> None:
    temperatures = [np.inf, 100.0, 10.0, 1.0, 0.1, 0.0]
    for values in (tilted_kl, tilted_reward):
        along = values(scores, scores, temperature=temperatures)[0]
        assert (np.diff(along) >= -1e-9).all()
    other = tilted_kl(scale * scores + shift, scores, temperature=[scale * t for t in temperatures])
    np.testing.assert_allclose(other, tilted_kl(scores, scores, temperature=temperatures), atol=1e-6)


def test_no_policy_with_this_expected_score_has_less_kl() -> None:
    scores = np.array([[0.0, 1.0, 3.0]])
    reached, kl = (f(scores, scores, temperature=2.0)[0] for f in (tilted_reward, tilted_kl))
    grid = np.linspace(0, 1, 201)
    others = [
        (a, b, 1 - a - b) for a, b in product(grid, grid) if a + b <= 1 and abs(b + 3 * (1 - a - b) - reached) < 0.01
    ]
    assert len(others) > 50
    assert min(stats.entropy(p, [1 / 3] * 3) for p in others) > kl - 0.01


def test_extreme_scores_and_unrated_responses() -> None:
    scores = np.array([[1e308, -1e308, 0.0], [5.0, np.nan, 1.0]])
    rewards = np.array([[1.0, 2.0, 3.0], [4.0, np.nan, 6.0]])
    assert tilted_reward(scores, rewards, temperature=1.0)[0] == 1.0
    assert tilted_reward(scores, rewards, temperature=np.inf).tolist() == [2.0, 5.0]
    assert tilted_kl(scores, rewards, temperature=0.0) == pytest.approx([np.log(3), np.log(2)])
    unrated = tilted_reward([[1.0, 2.0], [1.0, 2.0]], [[np.nan, np.nan], [1.0, 2.0]], temperature=1.0)
    assert np.isnan(unrated).tolist() == [True, False]


@pytest.mark.parametrize("bad", [-1.0, np.nan, "1", True, []])
def test_a_temperature_is_at_least_0(bad: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="temperature"):
        tilted_reward([[1.0, 2.0]], [[1.0, 2.0]], temperature=bad)


def test_kl_of_best_of_n_is_that_of_the_largest_of_n_uniform_numbers() -> None:
    # Density n u^(n-1) against 1; the rank of a response in a fine bank approaches it.
    for n in (1, 2, 7, 50):
        u = (np.arange(400_000) + 0.5) / 400_000
        density = n * u ** (n - 1)
        assert best_of_n_kl(n) == pytest.approx(np.mean(density * np.log(density + 1e-300)), abs=1e-4)
    responses = 2000
    weights = np.array([comb(i - 1, 4) for i in range(1, responses + 1)], dtype=float) / comb(responses, 5)
    assert best_of_n_kl(5) == pytest.approx(stats.entropy(weights, np.full(responses, 1 / responses)), abs=0.01)
    with pytest.raises(ValueError, match="n must be at least 1"):
        best_of_n_kl([1, 0])
    with pytest.raises(TypeError, match="n must be integers"):
        best_of_n_kl(2.5)  # type: ignore[arg-type]


def test_the_table_holds_the_exact_gains_with_the_library_s_intervals(rng: np.random.Generator) -> None:
    rewards, sizes, degrees = rng.normal(size=(40, 12)), [1, 2, 5, 12], [0.0, 0.5, 2.0, np.inf]
    scores = 3 * (rewards + rng.normal(size=rewards.shape)) + 7
    table = overoptimisation_table({"m": scores}, rewards, n=sizes, temperatures=degrees)
    gold = {
        "best_of_n": rm.gain(scores, rewards, n=sizes),
        "tilting": tilted_reward(scores, rewards, temperature=degrees) - rewards.mean(axis=1, keepdims=True),
    }
    for policy, values in gold.items():
        rows = table[table.policy == policy]
        exact = [rm.mean_interval(column, binary=False) for column in values.T]
        np.testing.assert_allclose(rows[["gold", "gold_low", "gold_high"]], exact, atol=1e-12)
    assert table[table.policy == "best_of_n"].kl.tolist() == pytest.approx(best_of_n_kl(sizes).tolist())
    kl = tilted_kl(scores, rewards, temperature=degrees).mean(axis=0)
    assert table[table.policy == "tilting"].kl.tolist() == pytest.approx(kl.tolist())
    assert set(table.n_prompts) == {40}
    assert table.n.isna().tolist() == [False] * 4 + [True] * 4


def test_the_unit_of_the_scores_has_no_effect(rng: np.random.Generator) -> None:
    rewards = rng.normal(size=(30, 9))
    perfect = overoptimisation_table(rewards, rewards)
    np.testing.assert_allclose(perfect.proxy, perfect.gold, atol=1e-12)
    other = overoptimisation_table(1e200 * (rewards - 4), rewards)
    numbers = ["kl", "proxy", "proxy_low", "proxy_high", "gold", "gold_low", "gold_high"]
    np.testing.assert_allclose(other[numbers], perfect[numbers], atol=1e-9)
    np.testing.assert_allclose(other.temperature, 1e200 * perfect.temperature)
    flat = overoptimisation_table(np.full(rewards.shape, 0.1), rewards)
    assert np.abs(flat[["proxy", "gold"]].to_numpy()).max() < 1e-12


def test_all_points_are_over_the_same_prompts() -> None:
    rewards = np.array(
        [[1.0, 2.0, 3.0], [0.0, 5.0, np.nan], [2.0, 1.0, 7.0], [np.nan, np.nan, np.nan], [1.0, 4.0, np.nan]]
    )
    default = overoptimisation_table(rewards, rewards)
    assert set(default.n_prompts) == {4} and default.n.max() == 2
    three = overoptimisation_table(rewards, rewards, n=[1, 3])
    assert set(three.n_prompts) == {2}
    best = three[three.n == 3].gold.item()
    assert best == pytest.approx(((3 - 2) + (7 - 10 / 3)) / 2)
    with pytest.raises(ValueError, match="n must be at most 3"):
        overoptimisation_table(rewards, rewards, n=[4])
    with pytest.raises(ValueError, match="needs two rated responses of each prompt"):
        overoptimisation_table([[1.0, 2.0], [1.0, 2.0]], [[1.0, 2.0], [1.0, np.nan]])


def test_prompts_of_a_bank_go_by_their_ids(rng: np.random.Generator) -> None:
    rewards = np.repeat(rng.normal(size=(10, 6)), 2, axis=0)
    items = np.zeros((20, 6, 2), np.float32)
    bank = rm.ResponseBank(items, rewards, prompt_ids=np.repeat(np.arange(10), 2))
    twice, once = overoptimisation_table(rewards, bank), overoptimisation_table(rewards[::2], rewards[::2])
    assert set(twice.n_prompts) == {10}
    np.testing.assert_allclose(twice.gold_high, once.gold_high, atol=1e-12)
    assert set(overoptimisation_fit(rewards, bank).n_prompts) == {10}


def curve(numbers: Float64Array, *, policy: str = "best_of_n", farthest: float = 3.0) -> ProxyCurve:
    """Return a curve whose prompts have exactly the given alpha and beta."""
    kl = np.linspace(0.1, farthest, 12)
    gold = np.stack([fitted_gain(policy, kl, alpha, beta) for alpha, beta in numbers])
    return ProxyCurve(policy, list(range(12)), kl, gold, gold, np.arange(len(gold)))


def fitted(numbers: Float64Array, **options: Any) -> dict[str, Any]:
    return dict(zip(NAMES.split(), _fitted("m", curve(numbers, **options), 0.95), strict=True))


@pytest.mark.parametrize("policy", ["best_of_n", "tilting"])
def test_the_fit_finds_the_numbers_of_a_curve_that_has_them(policy: str, rng: np.random.Generator) -> None:
    numbers = rng.normal([1.0, 0.8], [0.2, 0.1], size=(30, 2))
    found = fitted(numbers, policy=policy)
    for k, name in enumerate(("alpha", "beta")):
        expected = rm.mean_interval(numbers[:, k], binary=False)
        np.testing.assert_allclose([found[name], found[f"{name}_low"], found[f"{name}_high"]], expected, atol=1e-9)
    assert found["fit_error"] == pytest.approx(0, abs=1e-9)
    places = np.linspace(0, 3, 300_001)
    heights = fitted_gain(policy, places, *numbers.mean(axis=0))
    assert found["turn"] == pytest.approx(places[heights.argmax()], abs=1e-4)


def test_the_interval_of_the_turn_is_fieller_s(rng: np.random.Generator) -> None:
    half = rng.normal(0, [0.3, 0.15], size=(15, 2))
    numbers = np.array([1.5, 0.7]) + np.concatenate([half, -half])  # no skewness: the t-interval
    found = fitted(numbers)
    (a, b), covariance, n = numbers.mean(axis=0), np.cov(numbers.T) / 30, 30
    t2 = stats.t.ppf(0.975, n - 1) ** 2
    # (a - 2 d b)^2 = t^2 Var(a - 2 d b), a quadratic in d
    roots = np.roots(
        [4 * (b**2 - t2 * covariance[1, 1]), -4 * (a * b - t2 * covariance[0, 1]), a**2 - t2 * covariance[0, 0]]
    )
    ends = sorted(float(root.real) for root in roots)
    assert [found["turn_low"], found["turn_high"]] == pytest.approx([end**2 for end in ends], rel=1e-6)
    assert found["turn"] == pytest.approx((a / (2 * b)) ** 2) and found["turns"] == "within the range"


def test_what_is_said_of_the_turn() -> None:
    spread = np.array([[0.1, 0.02], [-0.1, -0.02], [0.1, -0.02], [-0.1, 0.02]])
    rising, falling = fitted(np.array([2.0, 0.1]) + spread), fitted(np.array([-1.0, 0.1]) + spread)
    assert rising["turns"] == "not within the range"
    assert np.isnan([rising["turn"], rising["turn_low"], rising["turn_high"]]).all()
    assert [falling[name] for name in ("turn", "turn_low", "turn_high", "turns")] == [0, 0, 0, "within the range"]
    unsure = fitted(np.array([1.0, 0.3]) + 5 * spread)
    assert unsure["turns"] == "not certain" and unsure["turn_low"] is not None
    alone = fitted(np.array([[1.0, 0.5]]))
    assert alone["turn"] == pytest.approx(1.0) and alone["turns"] == "not certain"


def test_the_interval_of_the_turn_holds_the_truth_as_often_as_it_says() -> None:
    rng, held = np.random.default_rng(1), 0
    for _ in range(120):
        found = fitted(rng.normal([1.2, 0.5], [0.6, 0.25], size=(40, 2)))
        low, high = found["turn_low"], found["turn_high"]
        held += bool(low <= 1.44 and not high < 1.44)
    assert held >= 107  # 95% of 120, less three standard errors


def test_scores_that_like_flaws_turn_down_and_perfect_scores_do_not(rng: np.random.Generator) -> None:
    rewards = rng.normal(size=(150, 64))
    flaws = np.where(rng.random(rewards.shape) < 0.05, 6.0, 0.0)
    found = overoptimisation_fit({"flawed": rewards + flaws, "good": rewards - flaws}, rewards - flaws)
    assert found[found.model == "flawed"].turns.tolist() == ["within the range"] * 2
    assert found[found.model == "good"].turns.tolist()[0] == "not within the range"
    table = overoptimisation_table(rewards + flaws, rewards - flaws)
    best = table[table.policy == "best_of_n"]
    assert best.gold.idxmax() < best.index[-1] and best.proxy.idxmax() == best.index[-1]


def test_a_curve_of_one_point_has_no_fit(rng: np.random.Generator) -> None:
    rewards = rng.normal(size=(10, 4))
    with pytest.raises(
        ValueError, match=r"two different KL above 0; the best_of_n of 'scores' has KL \[0.0, 0.193147\]"
    ):
        overoptimisation_fit(rewards, rewards, n=[1, 2])
    with pytest.raises(ValueError, match="the tilting of 'scores' has KL"):
        overoptimisation_fit(np.zeros((10, 4)), rewards)
    with pytest.raises(ValueError, match="policy must be"):
        fitted_gain("sampling", [1.0], 1.0, 1.0)
    with pytest.raises(ValueError, match="kl must be numbers of at least 0"):
        fitted_gain("tilting", [-1.0], 1.0, 1.0)


@pytest.fixture(scope="module")
def two() -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(3)
    rewards = rng.normal(size=(40, 24))
    flaws = np.where(rng.random(rewards.shape) < 0.1, 4.0, 0.0)
    scores = {"_BT": rewards + rng.normal(size=rewards.shape), "cost $x$": rewards + flaws}
    return overoptimisation_table(scores, rewards - flaws), overoptimisation_fit(scores, rewards - flaws)


@pytest.mark.parametrize("policy", ["best_of_n", "tilting"])
def test_the_figure_shows_the_numbers(policy: Any, two: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table, fit = two
    figure = overoptimisation(table, fit=fit, policy=policy, confidence=0.9)
    axes = figure.axes[0]
    labels = [text.get_text().lstrip("\u200b") for text in figure.legends[0].get_texts()]
    assert labels == ["_BT, gold", "_BT, proxy", r"cost \$x\$, gold", r"cost \$x\$, proxy"]
    rows = table[(table.model == "_BT") & (table.policy == policy)].sort_values("kl")
    gold, proxy, dots = axes.lines[:3]
    assert xs(gold).tolist() == rows.kl.tolist() and ys(gold).tolist() == rows.gold.tolist()
    assert ys(proxy).tolist() == rows.proxy.tolist()
    row = fit[(fit.model == "_BT") & (fit.policy == policy)].iloc[0]
    assert ys(dots)[-1] == pytest.approx(fitted_gain(policy, row.range, row.alpha, row.beta))
    assert "40 prompts, 90% interval" in axes.get_ylabel()
    check_readable(figure)


def test_a_figure_without_names_and_bad_tables(two: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table = two[0]
    one = overoptimisation(table[table.model == "_BT"].assign(model="scores"))
    assert [text.get_text() for text in one.legends[0].get_texts()] == ["gold", "proxy"]
    with pytest.raises(ValueError, match="it lacks proxy, proxy_low"):
        overoptimisation(table.drop(columns=["proxy", "proxy_low"]))
    with pytest.raises(ValueError, match="must be one of overoptimisation_fit"):
        overoptimisation(table, fit=table)
    with pytest.raises(ValueError, match=r"no policy 'tilting'; it has \['best_of_n'\]"):
        overoptimisation(table[table.policy == "best_of_n"], policy="tilting")
    many = pd.concat([table.assign(model=f"m{k}") for k in range(9)])
    with pytest.raises(ValueError, match="8 models apart; got 9"):
        overoptimisation(many)
