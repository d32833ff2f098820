from collections.abc import Callable
from functools import partial
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

import rmspace as rm
from rmspace._typing import Float64Array, FloatArray

small = st.integers(0, 3).map(float)  # few values, so that ties are common


def brute_force_best_of_n(scores: FloatArray, rewards: FloatArray, n: int) -> float:
    values = []
    for places in combinations(range(len(scores)), n):
        chosen = np.array(places)
        top = chosen[scores[chosen] == scores[chosen].max()]
        values.append(rewards[top].mean())
    return float(np.mean(values))


@given(st.integers(1, 7), st.data())
@settings(max_examples=150, deadline=None)
def test_best_of_n_is_the_mean_over_all_draws(width: int, data: st.DataObject) -> None:
    scores = data.draw(arrays(float, (2, width), elements=small))
    rewards = data.draw(arrays(float, (2, width), elements=st.floats(-5, 5)))
    sizes = list(range(1, width + 1))
    exact = [[brute_force_best_of_n(s, r, n) for n in sizes] for s, r in zip(scores, rewards, strict=True)]
    np.testing.assert_allclose(rm.best_of_n(scores, rewards, n=sizes), exact, atol=1e-12)
    np.testing.assert_allclose(rm.best_of_n(scores.ravel(), rewards, n=width), np.array(exact)[:, -1], atol=1e-12)


def test_best_of_n_weights_at_paper_size() -> None:
    rewards = np.tile(np.arange(500.0), (2, 1))
    for n in (1, 2, 250, 499, 500):  # expected largest rank in a sample without replacement: n (R + 1) / (n + 1)
        np.testing.assert_allclose(rm.best_of_n(rewards, rewards, n=n), n * 501 / (n + 1) - 1, rtol=1e-12)


def test_best_of_n_by_simulation(rng: np.random.Generator) -> None:
    scores, rewards = rng.normal(size=(1, 20)), rng.normal(size=(1, 20))
    drawn = np.array([rng.permutation(20)[:4] for _ in range(20_000)])
    values = rewards[0][np.take_along_axis(drawn, scores[0][drawn].argmax(1)[:, None], 1)[:, 0]]
    half = 4 * values.std() / np.sqrt(len(values))
    assert abs(rm.best_of_n(scores, rewards, n=4)[0] - values.mean()) < half


@given(st.integers(2, 8), st.data())
@settings(max_examples=80, deadline=None)
def test_best_of_n_does_not_depend_on_positions(width: int, data: st.DataObject) -> None:
    scores = data.draw(arrays(float, (1, width), elements=small))
    rewards = data.draw(arrays(float, (1, width), elements=st.floats(-5, 5)))
    order = np.array(data.draw(st.permutations(range(width))))
    n = data.draw(st.integers(1, width))
    a, b = rm.best_of_n(scores, rewards, n=n), rm.best_of_n(scores[:, order], rewards[:, order], n=n)
    np.testing.assert_allclose(a, b, atol=1e-12)


def test_constant_scores_are_a_random_response(rng: np.random.Generator) -> None:
    rewards = rng.normal(size=(10, 8))
    flat = np.zeros((10, 8))
    np.testing.assert_allclose(rm.best_of_n(flat, rewards, n=5), rewards.mean(axis=1))
    np.testing.assert_allclose(rm.quantile_of_chosen(flat, rewards), 0.5)
    np.testing.assert_array_equal(rm.normalized_gain(flat, rewards), 0.0)
    np.testing.assert_array_equal(rm.spearman(flat, rewards), 0.0)
    np.testing.assert_array_equal(rm.kendall(flat, rewards), 0.0)
    np.testing.assert_array_equal(rm.pairwise_accuracy(flat, rewards), 0.5)


def test_the_ends_of_the_scale(rng: np.random.Generator) -> None:
    rewards = rng.normal(size=(10, 8))
    for n in (2, 5, 8):
        np.testing.assert_allclose(rm.normalized_gain(rewards, rewards, n=n), 1.0)
        np.testing.assert_allclose(rm.regret(rewards, rewards, n=n), 0.0, atol=1e-12)
    np.testing.assert_allclose(rm.regret(-rewards, rewards), np.ptp(rewards, axis=1))
    np.testing.assert_allclose(rm.quantile_of_chosen(rewards, rewards), 1.0)
    np.testing.assert_allclose(rm.quantile_of_chosen(-rewards, rewards), 0.0)
    assert (rm.normalized_gain(-rewards, rewards) < 0).all()
    assert np.isnan(rm.normalized_gain(rewards, np.ones((10, 8)))).all()


@given(st.integers(2, 8), st.data())
@settings(max_examples=100, deadline=None)
def test_rank_metrics_against_scipy_and_brute_force(width: int, data: st.DataObject) -> None:
    scores = data.draw(arrays(float, (1, width), elements=small))
    rewards = data.draw(arrays(float, (1, width), elements=small))
    if np.ptp(rewards) == 0:
        for metric in (rm.spearman, rm.kendall, rm.pairwise_accuracy):
            assert np.isnan(metric(scores, rewards)).all()
        return
    if np.ptp(scores) > 0:
        assert rm.spearman(scores, rewards)[0] == pytest.approx(stats.spearmanr(scores[0], rewards[0]).statistic)
        assert rm.kendall(scores, rewards)[0] == pytest.approx(stats.kendalltau(scores[0], rewards[0]).statistic)
    right = [
        0.5 + 0.5 * np.sign((scores[0, i] - scores[0, j]) * (rewards[0, i] - rewards[0, j]))
        for i, j in combinations(range(width), 2)
        if rewards[0, i] != rewards[0, j]
    ]
    assert rm.pairwise_accuracy(scores, rewards)[0] == pytest.approx(np.mean(right))


padded = st.one_of(st.just(np.nan), small)
METRICS_BY_N = (rm.best_of_n, rm.gain, rm.normalized_gain, rm.regret, rm.quantile_of_chosen)
RANK_METRICS = (rm.spearman, rm.kendall, rm.pairwise_accuracy)


def brute_force(metric: Callable[..., Any], scores: FloatArray, rewards: FloatArray, n: int) -> float:
    """Compute a metric of one prompt, with all responses rated, by its definition over all subsets."""
    if n > len(rewards):
        return np.nan
    if metric is rm.quantile_of_chosen:
        if len(rewards) < 2:
            return np.nan
        return brute_force_best_of_n(scores, (stats.rankdata(rewards) - 1) / (len(rewards) - 1), n)
    reached, best = brute_force_best_of_n(scores, rewards, n), brute_force_best_of_n(rewards, rewards, n)
    mean = rewards.mean()
    if metric is rm.normalized_gain:
        return (reached - mean) / (best - mean) if best - mean > 1e-9 else np.nan
    by_metric: dict[Any, float] = {rm.best_of_n: reached, rm.gain: reached - mean, rm.regret: best - reached}
    return by_metric[metric]


@given(st.integers(1, 4), st.integers(1, 6), st.data())
@settings(max_examples=150, deadline=None)
def test_metrics_by_n_are_exact_on_the_rated_responses(n_prompts: int, width: int, data: st.DataObject) -> None:
    scores = data.draw(arrays(float, (n_prompts, width), elements=small))
    rewards = data.draw(arrays(float, (n_prompts, width), elements=padded))
    rated = ~np.isnan(rewards)
    most = int(rated.sum(axis=1).max())
    scores = np.where(rated | data.draw(st.booleans()), scores, np.nan)  # unrated responses need no score
    if most == 0:
        with pytest.raises(ValueError, match="all are NaN, so nothing is rated"):
            rm.best_of_n(scores, rewards, n=1)
        return
    sizes = list(range(1, most + 1))
    for metric in METRICS_BY_N:
        if metric is rm.quantile_of_chosen and most < 2:
            with pytest.raises(ValueError, match="needs a prompt with 2 rated responses; the largest number is 1"):
                metric(scores, rewards)
            continue
        rows = [(s[r], g[r]) for s, g, r in zip(scores, rewards, rated, strict=True)]
        exact = np.array([[brute_force(metric, s, g, n) for n in sizes] for s, g in rows])
        every = np.array([brute_force(metric, s, g, len(g)) if len(g) else np.nan for s, g in rows])
        np.testing.assert_allclose(metric(scores, rewards, n=sizes), exact, atol=1e-12)
        np.testing.assert_allclose(metric(scores, rewards, n=most), exact[:, -1], atol=1e-12)
        np.testing.assert_allclose(metric(scores, rewards, n=None), every, atol=1e-12)
        with pytest.raises(ValueError, match=f"n must be at most {most}, the largest number of rated responses"):
            metric(scores, rewards, n=[1, most + 1])


@given(st.integers(1, 5), st.integers(1, 6), st.data())
@settings(max_examples=100, deadline=None)
def test_rank_metrics_of_a_prompt_are_those_of_its_rated_responses(
    n_prompts: int, width: int, data: st.DataObject
) -> None:
    scores = data.draw(arrays(float, (n_prompts, width), elements=small))
    rewards = data.draw(arrays(float, (n_prompts, width), elements=padded))
    rated = ~np.isnan(rewards)
    if not rated.any():
        return
    for metric in RANK_METRICS:
        alone = [
            metric(scores[[row]][:, rated[row]], rewards[[row]][:, rated[row]])[0] if rated[row].any() else np.nan
            for row in range(n_prompts)
        ]
        np.testing.assert_allclose(metric(scores, rewards), alone, atol=1e-12)


def test_flat_scores_of_a_ragged_bank_go_through_padded(rng: np.random.Generator) -> None:
    bank = rm.ResponseBank(np.zeros((5, 2), np.float32), rng.normal(size=5), offsets=[0, 3, 5])
    scores = rng.normal(size=5)
    table = rm.best_of_n(bank.padded(scores), bank.rewards, n=[1, 2, 3])
    assert np.isnan(table[1, 2])
    np.testing.assert_allclose(table[:, 0], [bank.item_rewards[:3].mean(), bank.item_rewards[3:].mean()])
    with pytest.raises(ValueError, match=r"go through bank\.padded"):
        rm.best_of_n(scores, bank.rewards, n=1)


def test_one_missing_reward_costs_one_response(rng: np.random.Generator) -> None:
    scores, rewards = rng.normal(size=(2, 30, 6))
    whole = rm.spearman(scores, rewards)
    rewards[4, 2] = np.nan
    np.testing.assert_array_equal(np.delete(rm.spearman(scores, rewards), 4), np.delete(whole, 4))
    scores[7, 1] = np.nan
    with pytest.raises(ValueError, match="scores must be finite; row 7"):
        rm.spearman(scores, rewards)
    rewards[9, 0] = np.inf
    with pytest.raises(ValueError, match="finite, or NaN where nobody rated; row 9 has infinity"):
        rm.spearman(scores, rewards)


def test_evaluate_is_a_table_of_means(rng: np.random.Generator) -> None:
    scores, rewards = rng.normal(size=(30, 12)), rng.normal(size=(30, 12))
    table = rm.evaluate(scores, rewards, n=[1, 4, 12])
    assert list(table.columns) == ["model", "metric", "n", "value", "low", "high", "n_prompts"]
    assert set(table.model) == {"scores"}
    assert set(table.n_prompts) == {30}
    values = table.set_index(["metric", "n"]).value
    for n in (1, 4, 12):
        assert values["best_of_n", n] == pytest.approx(rm.best_of_n(scores, rewards, n=n).mean())
    alone = table[table.n.isna()].set_index("metric").value
    assert alone["kendall"] == pytest.approx(rm.kendall(scores, rewards).mean())
    assert ((table.low <= table.value) & (table.value <= table.high)).all()
    assert sorted(rm.evaluate(scores, rewards).n.dropna().unique()) == [1, 2, 5, 10, 12]
    pd.testing.assert_frame_equal(table, rm.evaluate(scores, rewards, n=[1, 4, 12]))


def test_evaluate_takes_own_metrics(rng: np.random.Generator) -> None:
    scores, rewards = rng.normal(size=(30, 5)), rng.normal(size=(30, 5))
    metrics: dict[str, Any] = {
        "bon": partial(rm.best_of_n, n=[2, 3]),
        "top": lambda s, r: r[np.arange(len(r)), s.argmax(1)],
        "one": partial(rm.best_of_n, n=4),
    }
    table = rm.evaluate(scores, rewards, metrics=metrics)
    assert table.metric.tolist() == ["bon", "bon", "top", "one"]
    assert table.n.tolist()[:2] == [2, 3]
    assert table.value[2] == pytest.approx(rm.best_of_n(scores, rewards, n=5).mean())
    with pytest.raises(ValueError, match="with metrics, bind it"):
        rm.evaluate(scores, rewards, metrics=metrics, n=3)
    with pytest.raises(ValueError, match=r"metric 'mean' must return one value per prompt, \(30,\); got float64"):
        rm.evaluate(scores, rewards, metrics={"mean": lambda s, r: np.asarray(np.mean(r))})


def test_compare_pairs_the_prompts(rng: np.random.Generator) -> None:
    rewards = rng.normal(size=(80, 10)) + 5 * rng.normal(size=(80, 1))  # prompts differ far more than models do
    good, bad = rewards + rng.normal(size=rewards.shape), rewards + 3 * rng.normal(size=rewards.shape)
    row = rm.compare(good, bad, rewards, n=10).set_index("metric").loc["best_of_n"]
    assert row.difference == pytest.approx(
        (rm.best_of_n(good, rewards, n=10) - rm.best_of_n(bad, rewards, n=10)).mean()
    )
    assert row.low > 0
    assert row.p_value < 0.01
    single = rm.evaluate(good, rewards, n=10).set_index("metric").loc["best_of_n"]
    assert row.high - row.low < (single.high - single.low) / 2
    swapped = rm.compare(bad, good, rewards, n=10).set_index("metric").loc["best_of_n"]
    assert swapped.difference == pytest.approx(-row.difference)


def test_evaluate_takes_several_models_by_name(rng: np.random.Generator) -> None:
    one, two, rewards = rng.normal(size=(3, 20, 6))
    table = rm.evaluate({"BT": one, "CLF": two.ravel()}, rewards)
    assert table.model.unique().tolist() == ["BT", "CLF"]
    for name, scores in (("BT", one), ("CLF", two)):
        part = table[table.model == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(part, rm.evaluate(scores, rewards).assign(model=name))
    wrong: Any
    for wrong in ({}, {1: one}):
        with pytest.raises(ValueError, match="at least one name"):
            rm.evaluate(wrong, rewards)


def test_the_table_can_be_drawn_as_it_is(rng: np.random.Generator) -> None:
    rewards = rng.normal(size=(20, 6))
    rm.best_of_n_curve(rm.evaluate({"BT": rewards + rng.normal(size=(20, 6)), "best": rewards}, rewards))


def test_one_missing_reward_leaves_out_one_response(rng: np.random.Generator) -> None:
    scores, rewards = rng.normal(size=(2, 20, 6))
    rewards[3, 2] = np.nan
    scores[3, 2] = np.nan  # it needs no score either
    table = rm.evaluate(scores, rewards, n=[1, 5, 6]).set_index(["metric", "n"])
    without = np.delete(scores[3], 2)[None], np.delete(rewards[3], 2)[None]
    rest = np.delete(scores, 3, axis=0), np.delete(rewards, 3, axis=0)
    for n, n_prompts in ((1, 20), (5, 20), (6, 19)):  # prompt 3 has five rated responses
        values = rm.best_of_n(*rest, n=n).tolist() + ([] if n == 6 else rm.best_of_n(*without, n=n).tolist())
        row: Any = table.loc["best_of_n", n]
        assert (row.value, row.n_prompts) == (pytest.approx(np.mean(values)), n_prompts)
    unrated = rewards.copy()
    unrated[5] = np.nan
    dropped = rm.evaluate(scores, unrated, n=[2, 5])
    expected = rm.evaluate(np.delete(scores, 5, axis=0), np.delete(rewards, 5, axis=0), n=[2, 5])
    pd.testing.assert_frame_equal(dropped, expected)
    scores[0, 0] = np.nan
    with pytest.raises(ValueError, match="scores must be finite"):
        rm.evaluate(scores, rewards)
    with pytest.raises(ValueError, match="all are NaN"):
        rm.evaluate(scores, rewards * np.nan)


def test_a_ragged_bank_takes_flat_scores_and_goes_by_its_prompt_ids(rng: np.random.Generator) -> None:
    counts = rng.integers(2, 6, size=12)
    offsets = np.append(0, np.cumsum(counts))
    rewards, scores = rng.normal(size=(2, offsets[-1]))
    ids = [f"prompt {k // 2}" for k in range(12)]  # each id stands twice
    bank = rm.ResponseBank(np.zeros((offsets[-1], 2), np.float32), rewards, offsets=offsets, prompt_ids=ids)
    table = rm.evaluate(scores, bank, n=[2, 4])
    values = [
        rm.best_of_n(scores[a:b][None], rewards[a:b][None], n=4)[0] if b - a >= 4 else np.nan
        for a, b in pairwise(offsets)
    ]
    row = table[(table.metric == "best_of_n") & (table.n == 4)].iloc[0]
    assert (row.value, row.low, row.high) == pytest.approx(rm.mean_interval(values, groups=ids))
    assert row.n_prompts == len({name for name, value in zip(ids, values, strict=True) if not np.isnan(value)})
    assert (
        table[table.metric == "regret"].n.isna().all()
    )  # n is all responses, and their number differs between prompts
    pd.testing.assert_frame_equal(rm.evaluate(bank.padded(scores), bank, n=[2, 4]), table)
    with pytest.raises(ValueError, match="n must be at most"):
        rm.evaluate(scores, bank, n=6)


def test_a_rectangular_bank_is_its_rewards(rng: np.random.Generator) -> None:
    rewards, scores = rng.normal(size=(2, 15, 4))
    bank = rm.ResponseBank(np.zeros((15, 4, 2), np.float32), rewards)
    found, expected = rm.evaluate(scores.ravel(), bank), rm.evaluate(scores, rewards)
    pd.testing.assert_frame_equal(found, expected)
    other = rng.normal(size=(15, 4))
    pd.testing.assert_frame_equal(rm.compare(scores, other.ravel(), bank), rm.compare(scores, other, rewards))


def test_compare_goes_by_prompt_ids_and_leaves_out_what_is_not_rated(rng: np.random.Generator) -> None:
    rewards, scores, others = rng.normal(size=(3, 10, 4))
    rewards[0] = np.nan
    bank = rm.ResponseBank(np.zeros((10, 4, 2), np.float32), rewards, prompt_ids=np.arange(10) // 2)
    row = rm.compare(scores, others, bank, n=4).set_index("metric").loc["best_of_n"]
    difference = (rm.best_of_n(scores, rewards, n=4) - rm.best_of_n(others, rewards, n=4))[1:]
    groups = np.arange(10)[1:] // 2
    assert (row.difference, row.low, row.high) == pytest.approx(rm.mean_interval(difference, groups=groups))
    assert row.p_value == pytest.approx(rm.sign_flip_test(difference, groups=groups))
    assert row.n_prompts == 5


def test_outcomes_that_all_succeed_are_not_certain(rng: np.random.Generator) -> None:
    rewards = rng.normal(size=(20, 4))
    row = rm.evaluate(rewards, rewards, n=4).set_index("metric").loc["normalized_gain"]
    assert (row.value, row.low, row.high) == (1.0, pytest.approx(0.025 ** (1 / 20)), 1.0)


def test_compare_takes_rounding_for_nothing(rng: np.random.Generator) -> None:
    rewards = rng.normal(size=(100, 10)).round(1)
    table = rm.compare(rewards, -rewards, rewards, n=[1, 10])
    same = table[(table.metric == "best_of_n") & (table.n == 1)].iloc[0]
    assert (same.difference, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_compare_with_one_prompt_says_nothing() -> None:
    table = rm.compare(np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))
    assert (table.p_value == 1.0).all()
    assert table.low.isna().any()


GOOD = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("scores", "rewards", "n", "error", "message"),
    [
        (GOOD, GOOD, 4, ValueError, "n must be at most 3, the largest number of rated responses of a prompt; got 4"),
        (GOOD, GOOD, 0, ValueError, "n must be at least 1"),
        (GOOD, GOOD, 2.0, TypeError, "n must be an integer"),
        (GOOD, GOOD, True, TypeError, "n must be an integer; got True"),
        (GOOD, GOOD, [], ValueError, "at least one number"),
        (GOOD[:, :2], GOOD, 1, ValueError, r"scores must be one number per reward"),
        (GOOD * np.nan, GOOD, 1, ValueError, "scores must be finite"),
        (GOOD, np.full((2, 3), np.inf), 1, ValueError, "rewards must be finite"),
        (GOOD, GOOD * np.nan, 1, ValueError, "all are NaN, so nothing is rated"),
        (GOOD[0], GOOD[0], 1, ValueError, r"rewards must be numbers \(n_prompts, n_responses\)"),
    ],
)
def test_bad_input(scores: FloatArray, rewards: FloatArray, n: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        rm.best_of_n(scores, rewards, n=n)


def test_a_metric_cannot_change_what_the_next_one_sees(rng: np.random.Generator) -> None:
    scores, rewards = rng.normal(size=(2, 6, 4))

    def careless(scores: Float64Array, rewards: Float64Array) -> Float64Array:
        scores.sort(axis=1)
        return scores[:, -1]

    kept = scores.copy()
    table = rm.evaluate(scores, rewards, metrics={"careless": careless, "gain": partial(rm.normalized_gain, n=4)})
    np.testing.assert_array_equal(scores, kept)
    assert table.value[1] == rm.normalized_gain(kept, rewards, n=4).mean()


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(2, 7))
def test_rows_with_ties_and_without_are_each_exact(seed: int, n_prompts: int, n_responses: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 2 * n_responses, size=(n_prompts, n_responses)).astype(float)
    rewards = rng.normal(size=scores.shape)
    sizes = list(range(1, n_responses + 1))
    found = rm.best_of_n(scores, rewards, n=sizes)
    for row in range(n_prompts):
        expected = [brute_force_best_of_n(scores[row], rewards[row], n) for n in sizes]
        np.testing.assert_allclose(found[row], expected, rtol=1e-12, atol=1e-12)


def test_zeros_in_units_of_reward_are_no_outcomes(rng: np.random.Generator) -> None:
    rewards = rng.normal(size=(20, 4))
    perfect = rm.evaluate(rewards, rewards, n=4).set_index("metric")
    assert perfect.loc["regret", ["value", "low", "high"]].to_numpy().tolist() == [0.0, 0.0, 0.0]
    constant = rm.evaluate(np.zeros((20, 4)), rewards, metrics={"gain": partial(rm.normalized_gain, n=4)})
    assert constant[["value", "low", "high"]].values.tolist() == [[0.0, 0.0, 0.0]]
