"""Intervals of means: closed forms, independent libraries, and how often they hold the true mean."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

import rmspace as rm
from rmspace._typing import FloatArray


def exact(ones: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    found = stats.binomtest(ones, n).proportion_ci(confidence, method="exact")
    return found.low, found.high


@given(st.integers(2, 60), st.data())
@settings(max_examples=60, deadline=None)
def test_values_of_0_and_1_have_the_exact_interval(n: int, data: st.DataObject) -> None:
    ones = data.draw(st.integers(0, n))
    confidence = data.draw(st.sampled_from([0.8, 0.95, 0.99]))
    values = np.repeat([1.0, 0.0], [ones, n - ones])
    mean, low, high = rm.mean_interval(values, confidence=confidence)
    assert mean == pytest.approx(ones / n)
    assert (low, high) == pytest.approx(exact(ones, n, confidence), abs=1e-9)
    apart = rm.mean_interval(values, groups=np.arange(n), weights=np.full(n, 3.0), confidence=confidence)
    assert apart == pytest.approx((mean, low, high), abs=1e-9)


def test_the_smaller_of_two_ends_of_t_and_hall(rng: np.random.Generator) -> None:
    """Hall's end is where his cubic of the mean's error, solved by a root finder, has the quantile of t."""
    values = rng.lognormal(size=30)
    n, spread, skew = 30, values.std(ddof=1), stats.skew(values)
    quantile = stats.t.ppf(0.975, n - 1) / np.sqrt(n)

    def error(u: float, target: float) -> float:
        return float(u + skew * u**2 / 3 + skew**2 * u**3 / 27 + skew / (6 * n) - target)

    halls = [values.mean() - spread * optimize.brentq(error, -20, 20, args=(q,)) for q in (quantile, -quantile)]
    plain = stats.ttest_1samp(values, 0).confidence_interval()
    mean, low, high = rm.mean_interval(values)
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((min(plain.low, halls[0]), max(plain.high, halls[1])))
    assert low == pytest.approx(plain.low)  # the long tail is above
    assert high > plain.high
    mirrored = rm.mean_interval(-values)
    assert mirrored == pytest.approx((-mean, -high, -low))


def test_symmetric_values_have_the_t_interval(rng: np.random.Generator) -> None:
    half = rng.normal(size=20)
    values = np.concatenate([half, -half])
    plain = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert rm.mean_interval(values, confidence=0.9)[1:] == pytest.approx((plain.low, plain.high))


@given(st.integers(0, 1000), st.floats(-5, 5), st.floats(0.1, 10))
@settings(max_examples=30, deadline=None)
def test_an_interval_moves_with_its_values(seed: int, shift: float, scale: float) -> None:
    values = np.random.default_rng(seed).exponential(size=12)
    expected = np.array(rm.mean_interval(values)) * scale + shift
    np.testing.assert_allclose(rm.mean_interval(values * scale + shift), expected, rtol=1e-9, atol=1e-9)


def test_rows_of_one_prompt_count_as_its_mean_where_all_prompts_have_as_many(rng: np.random.Generator) -> None:
    means, noise = rng.exponential(size=15), rng.normal(size=(15, 4))
    rows = means[:, None] + noise - noise.mean(axis=1, keepdims=True)
    names = np.repeat([f"prompt {k}" for k in range(15)], 4)
    order = rng.permutation(60)
    found = rm.mean_interval(rows.ravel()[order], groups=names[order])
    assert found == pytest.approx(rm.mean_interval(means))


def test_copies_of_rows_and_of_outcomes_tell_nothing_new(rng: np.random.Generator) -> None:
    for values in (rng.exponential(size=20), (rng.random(20) < 0.3).astype(float), np.ones(20)):
        expected = rm.mean_interval(values)
        assert rm.mean_interval(np.repeat(values, 5), groups=np.repeat(np.arange(20), 5)) == pytest.approx(expected)


def test_a_weight_is_a_number_of_rows_of_the_same_prompt(rng: np.random.Generator) -> None:
    values, counts = rng.exponential(size=12), rng.integers(1, 5, size=12)
    expected = rm.mean_interval(np.repeat(values, counts), groups=np.repeat(np.arange(12), counts))
    assert rm.mean_interval(values, groups=np.arange(12), weights=counts) == pytest.approx(expected)
    with_more = rm.mean_interval(np.append(values, [5.0, np.nan]), weights=np.append(counts, [0, 3]))
    assert with_more == pytest.approx(expected)


def test_rows_of_two_prompts_against_the_sum_over_all_pairs_of_rows(rng: np.random.Generator) -> None:
    groups = rng.integers(12, size=(40, 2))
    values = rng.normal(size=12)[groups].sum(axis=1) + rng.normal(size=40)
    values -= values.mean()
    shared = (groups[:, None, :, None] == groups[None, :, None, :]).any(axis=(2, 3))
    variance = (np.outer(values, values) * shared).sum() / 40**2
    sizes = np.array([(groups == k).any(axis=1).sum() for k in np.unique(groups)])
    n = min(sizes.sum() ** 2 / (sizes**2).sum(), 40)
    sums = np.array([values[(groups == k).any(axis=1)].sum() for k in np.unique(groups)])
    assert variance > (sums**2).sum() / 40**2 / 2  # so that the lower bound does not matter
    half = stats.t.ppf(0.975, n - 1) * np.sqrt(variance * len(sizes) / (len(sizes) - 1))
    _, low, high = rm.mean_interval(values, groups=groups)
    assert min(-low, high) == pytest.approx(half, rel=1e-6)  # the end on the side of the shorter tail is that of t
    same = np.stack([groups[:, 0]] * 2, axis=1)
    assert rm.mean_interval(values, groups=same) == pytest.approx(rm.mean_interval(values, groups=groups[:, 0]))


def test_rows_of_two_prompts_that_share_none_are_independent(rng: np.random.Generator) -> None:
    values = rng.exponential(size=15)
    groups = np.arange(30).reshape(15, 2)
    found, expected = rm.mean_interval(values, groups=groups), rm.mean_interval(values)
    assert found[0] == expected[0]
    assert found[2] - found[0] == pytest.approx(expected[2] - expected[0], rel=0.1)


DRAWS = {
    "rare 0/1": (lambda rng, n: (rng.random(n) < 0.05).astype(float), 0.05),
    "normal": (lambda rng, n: rng.normal(size=n), 0.0),
    "log-normal": (lambda rng, n: rng.lognormal(size=n), np.exp(0.5)),
    "exponential": (lambda rng, n: rng.exponential(size=n), 1.0),
    "0, 0.5, 1": (lambda rng, n: rng.choice([0, 0.5, 1], p=[0.02, 0.08, 0.9], size=n), 0.94),
    "many zeros": (lambda rng, n: rng.normal(size=n) * (rng.random(n) < 0.4), 0.0),
    "heavy tails": (lambda rng, n: rng.standard_t(3, size=n), 0.0),
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("n", [20, 50])
def test_coverage(name: str, n: int) -> None:
    """docs/intervals.md has the full table; the bias-corrected bootstrap had 64% and 87% for the rare outcome."""
    draw, mean = DRAWS[name]
    drawn = (draw(np.random.default_rng([n, seed]), n) for seed in range(400))
    ends = np.array([rm.mean_interval(values)[1:] for values in drawn])
    covered = ((ends[:, 0] <= mean) & (mean <= ends[:, 1])).mean()
    assert covered >= (0.88 if name == "log-normal" else 0.92)


@pytest.mark.parametrize("outcomes", [False, True])
def test_coverage_where_prompts_have_several_rows(outcomes: bool) -> None:
    covered = alone = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(25), rng.geometric(0.3, size=25))
        values = 2 * rng.normal(size=25)[groups] + rng.normal(size=len(groups))
        values = (values > 0).astype(float) if outcomes else values
        for clusters in (groups, None):
            _, low, high = rm.mean_interval(values, groups=clusters)
            inside = low <= 0.5 * outcomes <= high
            covered, alone = covered + (inside and clusters is not None), alone + (inside and clusters is None)
    assert covered >= 0.91 * 300
    assert alone < 0.85 * 300


def test_coverage_where_comparisons_have_two_prompts() -> None:
    covered = alone = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        first = rng.integers(40, size=200)
        second = (first + rng.integers(1, 40, size=200)) % 40
        effect = rng.normal(size=40)
        values = effect[first] + effect[second] + rng.normal(size=200)
        _, low, high = rm.mean_interval(values, groups=np.stack([first, second], axis=1))
        covered += low <= 0 <= high
        _, low, high = rm.mean_interval(values, groups=first)
        alone += low <= 0 <= high
    assert covered >= 0.9 * 300
    assert alone < 0.88 * 300  # the winner's prompt alone makes the interval too short


def test_few_and_equal_values() -> None:
    assert np.isnan(rm.mean_interval([])).all()
    assert np.isnan(rm.mean_interval([np.nan])).all()
    mean, low, high = rm.mean_interval([1.0, np.nan])
    assert (mean, np.isnan(low), np.isnan(high)) == (1.0, True, True)
    one = rm.mean_interval([0.0, 1.0, 1.0], groups=["a", "a", "a"])
    assert one[0] == pytest.approx(2 / 3)
    assert np.isnan(one[1:]).all()
    assert rm.mean_interval(np.full(5, 0.1) + np.arange(5) * 1e-17) == pytest.approx((0.1,) * 3)
    assert rm.mean_interval(np.zeros(20)) == pytest.approx((0.0, *exact(0, 20)))
    assert rm.mean_interval(np.zeros(20), binary=False) == (0.0, 0.0, 0.0)
    assert rm.mean_interval(np.repeat([0.0, 1.0], [19, 1]), binary=False)[1] < 0
    alike = [0.0, 2.0, 1.0, 1.0], ["a", "a", "b", "b"]  # the prompts have equal means
    assert rm.mean_interval(alike[0], groups=alike[1]) == (1.0, 1.0, 1.0)
    found = rm.mean_interval([0.0, 1.0] * 4, groups=np.repeat(np.arange(4), 2))
    assert 0 < found[1] < 0.5 < found[2] < 1


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([np.inf, 1.0], {}, "finite values; some are infinite"),
        (np.zeros((2, 2)), {}, "one value per row"),
        ([1.0, 2.0], {"confidence": 1.0}, r"confidence must be in \(0, 1\)"),
        ([1.0, 2.0], {"groups": [1]}, r"groups must be \(2,\) or \(2, 2\); got int64 of shape \(1,\)"),
        ([1.0, 2.0], {"weights": [1.0]}, "weights must be"),
        ([1.0, 2.0], {"weights": [1.0, -1.0]}, "finite and at least 0"),
        ([1.0, 2.0], {"weights": [1.0, np.nan]}, "finite and at least 0"),
    ],
)
def test_bad_input(values: FloatArray | list[float], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rm.mean_interval(values, **options)


def test_sign_flip_test_is_uniform_without_effect_and_small_with_one(rng: np.random.Generator) -> None:
    p = [rm.sign_flip_test(rng.normal(size=30), n_resamples=499, seed=seed) for seed in range(200)]
    assert stats.kstest(p, "uniform").pvalue > 1e-4
    assert rm.sign_flip_test(rng.normal(loc=1, size=50)) < 0.001
    assert rm.sign_flip_test(np.zeros(5)) == 1.0


def test_all_signs_of_one_prompt_change_at_once() -> None:
    values = np.array([1.0, 1.0, 1.0, 1.0, 0.5, 0.5])
    assert rm.sign_flip_test(values) == pytest.approx(2 / 2**6)
    assert rm.sign_flip_test(values, groups=[0, 0, 1, 1, 2, 2]) == pytest.approx(2 / 2**3)
    assert rm.sign_flip_test(values, groups=np.zeros(6, int)) == 1.0


def test_the_script_of_the_table_in_the_docs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(__file__).parents[1] / "scripts" / "interval_coverage.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(sys, "argv", [path.name, "--datasets", "2"])
    monkeypatch.setattr(script, "SIZES", (5, 20))
    monkeypatch.setattr(script, "INDEPENDENT", script.INDEPENDENT[:2])
    script.main()
    printed = capsys.readouterr().out
    assert printed.count("| values |") == 3
    assert all(case.name in printed for case in script.DEPENDENT)
