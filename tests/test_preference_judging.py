"""Judging by held-out comparisons: baselines, paired differences, agreement, lengths, temperature, reliability."""

from functools import partial
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import Rectangle
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

import rmspace as rm
from rmspace.cli.main import main
from rmspace.metrics import brier
from rmspace.plots.choose import main_metric

RNG = np.random.default_rng(0)


def make(n: int = 60, n_prompts: int = 20, **columns: Any) -> rm.Preferences:
    """Comparisons of two items of one prompt each."""
    prompt = np.sort(RNG.integers(n_prompts, size=n))
    comparisons = 3 * prompt[:, None] + np.array([RNG.permutation(3)[:2] for _ in range(n)])
    items = RNG.normal(size=(3 * n_prompts, 4)).astype(np.float32)
    features = {"length": RNG.integers(1, 9, size=3 * n_prompts)}
    return rm.Preferences(items, comparisons, np.repeat(np.arange(n_prompts), 3), features=features, columns=columns)


# Metrics


def test_brier_is_that_of_scikit_learn() -> None:
    winner, loser = RNG.normal(size=(2, 50))
    expected = brier_score_loss(np.ones(50), expit(winner - loser), pos_label=1)
    np.testing.assert_allclose(brier(winner, loser).mean(), expected)


def test_a_tie_is_half_of_each_order() -> None:
    winner, loser = RNG.normal(size=(2, 20))
    both = (brier(winner, loser) + brier(loser, winner)) / 2
    np.testing.assert_allclose(brier(winner, loser, tie=np.ones(20, dtype=bool)), both)


def test_the_strict_rule_counts_equal_scores_as_wrong() -> None:
    winner, loser = RNG.integers(0, 3, size=(2, 200)).astype(float)
    expected = [float(w > b) for w, b in zip(winner, loser, strict=True)]
    assert rm.metrics.accuracy(winner, loser, strict=True).tolist() == expected
    data = make()
    rule = {"accuracy": partial(rm.metrics.accuracy, strict=True)}
    assert rm.evaluate_preferences(np.zeros(60), data, metrics=rule).value[0] == 0


def test_scores_of_sides_are_those_of_items() -> None:
    data, scores = make(), RNG.normal(size=60)
    of_items = rm.evaluate_preferences(scores, data)
    of_sides = rm.evaluate_preferences(scores[data.comparisons], data)
    pd.testing.assert_frame_equal(of_items, of_sides)
    with pytest.raises(ValueError, match=r"one number per item, \(60,\), or one per side of a comparison, \(60, 2\)"):
        rm.evaluate_preferences(scores[:-1], data)


# Baselines


def test_baselines_stand_beside_the_models_in_a_run() -> None:
    first = RNG.integers(2, size=60)
    train, test = rm.split_prompts(make(first=first), 0.4, seed=0)
    longer = partial(rm.feature_score, feature="length")
    table = rm.run(
        train=train,
        test=test,
        models={"BT": rm.LinearReward()},
        metrics={"accuracy": rm.metrics.accuracy},
        baselines={
            "random": rm.random_response,
            "longer": longer,
            "shorter": partial(longer, smallest=True),
            "first": rm.first_position,
        },
    )
    value = table.set_index("model").value
    winner, loser = test.features["length"][test.comparisons].T
    assert value["random"] == 0.5
    assert value["longer"] == pytest.approx(np.mean((np.sign(winner - loser) + 1) / 2))
    assert value["longer"] + value["shorter"] == pytest.approx(1)
    assert value["first"] == pytest.approx(np.mean(test.columns["first"] == 0))


def test_no_baseline_sees_who_won() -> None:
    """Swapping winner and loser turns each accuracy into 1 - accuracy: the order of the columns tells nothing."""
    data = make(first=RNG.integers(2, size=60))
    swapped = rm.Preferences(
        data.items,
        data.comparisons[:, ::-1],
        data.groups,
        features=data.features,
        columns={"first": 1 - data.columns["first"]},
    )
    for baseline in (rm.random_response, partial(rm.feature_score, feature="length"), rm.first_position):
        values = [
            rm.evaluate_preferences(baseline(side, side), side, metrics={"accuracy": rm.metrics.accuracy}).value[0]
            for side in (data, swapped)
        ]
        assert sum(values) == pytest.approx(1)


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        (rm.best_response, "best_response needs gold rewards; the test data are preferences"),
        (rm.position_mean, "needs the gold rewards of a training bank, and a test bank; got Preferences"),
        (rm.first_position, r"first_position needs the column 'first'; the .*data have none"),
        (partial(rm.feature_score, feature="words"), r"have no feature 'words'; they have \['length'\]"),
    ],
)
def test_baselines_that_preferences_do_not_allow(baseline: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        baseline(make(), make())


# Paired differences


def test_paired_differences_are_those_of_the_values() -> None:
    data = make()
    a, b = RNG.normal(size=(2, 60))
    table = rm.compare_preferences(a, b, data, metrics={"log_loss": rm.metrics.log_loss})
    sides = [rm.metrics.log_loss(*s[data.comparisons].T) for s in (a, b)]
    prompts = data.groups[data.comparisons[:, 0]]
    expected = rm.mean_interval(sides[0] - sides[1], groups=prompts, binary=False)
    np.testing.assert_allclose(table[["difference", "low", "high"]].to_numpy()[0].astype(float), expected)
    assert table.n_prompts[0] == len(np.unique(prompts))


def test_the_test_flips_the_comparisons_of_a_prompt_together() -> None:
    data = make(n=12, n_prompts=4)
    a, b = RNG.normal(size=(2, 12))
    found = rm.compare_preferences(a, b, data, metrics={"log_loss": rm.metrics.log_loss}).p_value[0]
    difference = np.subtract(*(rm.metrics.log_loss(*s[data.comparisons].T) for s in (a, b)))
    sums = pd.Series(difference).groupby(data.groups[data.comparisons[:, 0]]).sum().to_numpy()
    flips = np.array(list(product([-1, 1], repeat=len(sums)))) @ sums
    assert found == pytest.approx(np.mean(np.abs(flips) >= abs(sums.sum()) - 1e-9))


def test_the_test_of_weighted_comparisons_flips_weighted_sums() -> None:
    weight = np.array([0.0, 1, 2, 5, 1, 1, 3, 0.5, 1, 1, 2, 1])
    data = make(n=12, n_prompts=4, weight=weight)
    a, b = RNG.normal(size=(2, 12))
    found = rm.compare_preferences(a, b, data, metrics={"brier": brier})
    difference = np.subtract(*(brier(*side[data.comparisons].T) for side in (a, b)))
    assert found.difference[0] == pytest.approx(np.average(difference, weights=weight))
    sums = pd.Series(difference * weight).groupby(data.groups[data.comparisons[:, 0]]).sum().to_numpy()
    sums = sums[sums != 0]
    flips = np.array(list(product([-1, 1], repeat=len(sums)))) @ sums
    assert found.p_value[0] == pytest.approx(np.mean(np.abs(flips) >= abs(sums.sum()) - 1e-9))


def test_equal_models_do_not_differ() -> None:
    data, scores = make(), RNG.normal(size=60)
    table = rm.compare_preferences(scores, scores, data)
    assert table.difference.tolist() == [0, 0]
    assert table.p_value.tolist() == [1, 1]


def test_prompts_that_were_compared_are_flipped_together() -> None:
    items = np.eye(8, dtype=np.float32)
    data = rm.Preferences(items, [[0, 2], [2, 4], [6, 7], [1, 3]], groups=[0, 0, 1, 1, 2, 2, 3, 3])
    table = rm.compare_preferences(np.arange(8.0)[::-1], np.arange(8.0), data)
    assert table.p_value[0] == pytest.approx(0.5)  # two independent blocks that agree: 2 of 4 sign patterns


# Agreement


def by_hand(data: rm.Preferences) -> tuple[float, float, float, float]:
    """Agreement with another, with the majority of the others, the ceiling, and alpha, by loops over verdicts."""
    verdicts: dict[tuple[int, ...], list[int]] = {}
    for (won, lost), tie in zip(data.comparisons.tolist(), data.columns["tie"], strict=True):
        verdicts.setdefault(tuple(sorted((won, lost))), []).append(0 if tie else 1 if won < lost else -1)
    shared = [v for v in verdicts.values() if len(v) > 1]
    another, majority, ceiling = [], [], []
    for v in shared:
        for k, own in enumerate(v):
            others = v[:k] + v[k + 1 :]
            another.append(np.mean([1 - abs(own - other) / 2 for other in others]))
            majority.append(1 - abs(own - np.sign(sum(others))) / 2)
        best = max(sum((1 + side * each) / 2 for each in v) for side in (-1, 1))
        ceiling += [best / len(v)] * len(v)
    disagreements = [
        alpha_parts([[side * each for each in v] for side, v in zip(sides, shared, strict=True)])
        for sides in product([-1, 1], repeat=len(shared))
    ]
    observed, expected = np.mean(disagreements, axis=0)
    alpha = 1 - observed / expected if expected > 0 else np.nan
    return float(np.mean(another)), float(np.mean(majority)), float(np.mean(ceiling)), float(alpha)


def alpha_parts(units: list[list[int]]) -> tuple[float, float]:
    """Observed and expected disagreement of Krippendorff's alpha, from the matrix of coincidences."""
    coincidences = np.zeros((3, 3))
    for v in units:
        for a, b in permutations(v, 2):
            coincidences[a + 1, b + 1] += 1 / (len(v) - 1)
    totals, n = coincidences.sum(axis=0), coincidences.sum()
    return float(n - np.trace(coincidences)), float((n**2 - (totals**2).sum()) / (n - 1))


@given(st.integers(0, 10**6), st.integers(2, 4))
@settings(max_examples=40, deadline=None)
def test_agreement_is_that_of_loops(seed: int, n_annotators: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = np.repeat(2 * np.arange(6)[:, None] + [0, 1], n_annotators, axis=0)
    flipped = rng.random(len(pairs)) < 0.4
    pairs[flipped] = pairs[flipped, ::-1]
    kept = rng.random(len(pairs)) < 0.9
    kept[:3] = True
    data = rm.Preferences(
        np.eye(12, dtype=np.float32),
        pairs[kept],
        np.arange(12) // 2,
        tie=(rng.random(len(pairs)) < 0.2)[kept],
        annotator=np.tile(np.arange(n_annotators), 6)[kept],
    )
    another, majority, ceiling, alpha = by_hand(data)
    table = rm.agreement_table(data).query("annotator == 'all'").set_index("against").value
    np.testing.assert_allclose(table[["another", "majority", "ceiling"]], [another, majority, ceiling])
    if np.isfinite(alpha):
        assert rm.krippendorff_alpha(data) == pytest.approx(alpha)
        order = rng.permutation(12)
        renumbered = rm.Preferences(data.items, order[data.comparisons], data.groups, columns=data.columns)
        assert rm.krippendorff_alpha(renumbered) == pytest.approx(alpha)


def test_alpha_is_zero_on_average_where_annotators_guess() -> None:
    rng = np.random.default_rng(3)
    pairs = np.repeat(2 * np.arange(5)[:, None] + [0, 1], 2, axis=0)
    items, groups, annotator = np.eye(10, dtype=np.float32), np.arange(10) // 2, np.tile([0, 1], 5)
    found = []
    for _ in range(100):
        guessed = np.where(rng.random(10)[:, None] < 0.5, pairs, pairs[:, ::-1])
        data = rm.Preferences(items, guessed, groups, tie=rng.random(10) < 0.2, annotator=annotator)
        found.append(rm.krippendorff_alpha(data))
    assert abs(np.mean(found)) < 4 * np.std(found) / 10
    tied = rm.Preferences(items, pairs, groups, tie=np.ones(10), annotator=annotator)
    for undefined in (tied, rm.Preferences(items, pairs[:2], groups, annotator=[0, 1])):
        with pytest.raises(ValueError, match="alpha is not defined for ties alone, or for one pair"):
            rm.krippendorff_alpha(undefined)


def test_no_scores_beat_the_ceiling() -> None:
    rng = np.random.default_rng(1)
    pairs = np.repeat(2 * np.arange(30)[:, None] + [0, 1], 3, axis=0)
    flipped = rng.random(90) < 0.35
    pairs[flipped] = pairs[flipped, ::-1]
    items, groups = np.eye(60, dtype=np.float32), np.arange(60) // 2
    data = rm.Preferences(items, pairs, groups, annotator=np.tile([0, 1, 2], 30))
    ceiling = rm.agreement_table(data).set_index("against").value["ceiling"]
    wins = np.bincount(data.comparisons[:, 0], minlength=60).astype(float)
    best = rm.evaluate_preferences(wins, data).value[0]
    assert best == pytest.approx(ceiling)


def test_agreement_needs_annotators_who_share_pairs() -> None:
    with pytest.raises(ValueError, match="agreement needs the column 'annotator'"):
        rm.agreement_table(make())
    data = rm.Preferences(np.eye(4, dtype=np.float32), [[0, 1], [2, 3]], [0, 0, 1, 1], annotator=[0, 1])
    with pytest.raises(ValueError, match="no pair was judged by two annotators"):
        rm.agreement_table(data)


@pytest.mark.parametrize(
    ("pairs", "annotator", "message"),
    [
        ([[0, 1], [0, 1]], ["a", "all"], 'name other than "all"'),
        ([[0, 1], [0, 1]], [1.0, np.nan], 'name other than "all"'),
        ([[0, 1], [1, 1]], ["a", "b"], "comparison 1 is of an item with itself"),
    ],
)
def test_verdicts_that_cannot_be_compared(pairs: list[list[int]], annotator: list[Any], message: str) -> None:
    data = rm.Preferences(np.eye(2, dtype=np.float32), pairs, ["x", "x"], annotator=annotator)
    for measure in (rm.agreement_table, rm.krippendorff_alpha):
        with pytest.raises(ValueError, match=message):
            measure(data)


def test_the_rows_of_annotators_are_means_over_their_verdicts() -> None:
    pairs = np.repeat(2 * np.arange(20)[:, None] + [0, 1], 3, axis=0)
    flipped = np.random.default_rng(2).random(60) < 0.3
    pairs[flipped] = pairs[flipped, ::-1]
    annotator = np.tile([7, 8, 9], 20)
    data = rm.Preferences(np.eye(40, dtype=np.float32), pairs, np.arange(40) // 4, annotator=annotator)
    table = rm.agreement_table(data).query("against == 'another'")
    verdict = np.where(flipped, -1, 1).reshape(20, 3)
    for k, name in enumerate(["7", "8", "9"]):
        same = np.delete(verdict, k, axis=1) == verdict[:, [k]]
        expected = rm.mean_interval(same.mean(axis=1), groups=np.arange(20) // 2)
        row = table[table.annotator == name]
        assert row[["value", "low", "high"]].to_numpy(dtype=float)[0] == pytest.approx(expected)
        assert row[["n_verdicts", "n_prompts"]].to_numpy()[0].tolist() == [20, 10]
    across = rm.Preferences(data.items, data.comparisons, np.arange(40), annotator=annotator)
    assert set(rm.agreement_table(across).n_prompts) == {40}  # each comparison has two prompts


def test_repeated_verdicts_are_compared_in_their_order() -> None:
    rows = [([0, 1], "a"), ([0, 1], "a"), ([0, 1], "b"), ([1, 0], "b")]
    items, groups = np.eye(2, dtype=np.float32), ["x", "x"]
    data = rm.Preferences(items, [pair for pair, _ in rows], groups, annotator=[name for _, name in rows])
    table = rm.agreement_table(data).query("annotator == 'all'").set_index("against").value
    assert table.to_dict() == {"another": 0.5, "majority": 0.5, "ceiling": 0.75}


# Lengths


def test_lengths_alone_have_one_half_when_they_are_matched() -> None:
    data = make(n=200)
    table = rm.accuracy_by_length(data.features["length"].astype(float), data).set_index("part")
    assert table.value["longer won"] == 1
    assert table.value["shorter won"] == 0
    assert table.value["matched"] == pytest.approx(0.5)
    assert table.longer_won["matched"] == pytest.approx(0.5)
    bins = table[table.index.str.startswith("difference")]
    assert bins.n_comparisons.sum() == 200
    assert (bins.high_difference.iloc[:-1].to_numpy() <= bins.low_difference.iloc[1:].to_numpy()).all()
    winner, loser = data.features["length"][data.comparisons].T
    assert table.value["all"] == pytest.approx(np.mean((np.sign(winner - loser) + 1) / 2))


def test_matched_is_the_mean_of_both_parts() -> None:
    data, scores = make(n=200), RNG.normal(size=60)
    table = rm.accuracy_by_length(scores, data).set_index("part").value
    assert table["matched"] == pytest.approx((table["longer won"] + table["shorter won"]) / 2)


def test_matched_is_missing_where_one_length_always_wins() -> None:
    items, lengths = np.eye(4, dtype=np.float32), {"length": [5, 2, 1, 9]}
    for weight in ([1.0, 0.0], [0.0, 2.0]):
        data = rm.Preferences(items, [[0, 1], [2, 3]], [0, 0, 1, 1], weight=weight, features=lengths)
        table = rm.accuracy_by_length(np.ones(4), data).set_index("part")
        assert pd.isna(table.value["matched"])
        assert table.n_comparisons["matched"] == 0


# Temperature


def test_temperature_is_that_of_two_other_optimisers() -> None:
    data, scores = make(n=300), 3 * RNG.normal(size=60)
    flipped = RNG.random(300) > expit(0.4 * (scores[data.comparisons] @ [1, -1]))
    comparisons = np.where(flipped[:, None], data.comparisons[:, ::-1], data.comparisons)
    data = rm.Preferences(data.items, comparisons, data.groups, weight=RNG.random(300))
    found = rm.temperature_scale(scores, data)
    gap, weight = scores[comparisons] @ [1.0, -1.0], data.columns["weight"]
    by_scipy = minimize_scalar(lambda s: weight @ np.logaddexp(0, -s * gap), bounds=(0, 10), method="bounded")
    assert 1 / found == pytest.approx(by_scipy.x, rel=1e-3)
    both, labels = np.concatenate([gap, -gap])[:, None], np.repeat([1, 0], 300)
    fit = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(both, labels, np.tile(weight, 2))
    assert 1 / found == pytest.approx(fit.coef_[0, 0], rel=1e-4)
    loss = {t: rm.evaluate_preferences(scores / t, data).value[1] for t in (found, 0.9 * found, 1.1 * found)}
    assert min(loss, key=loss.__getitem__) == found


@given(st.floats(-300, 300))
@settings(max_examples=30, deadline=None)
def test_temperature_has_the_unit_of_the_scores(exponent: float) -> None:
    items = np.eye(8, dtype=np.float32)
    data = rm.Preferences(items, [[0, 1], [2, 3], [4, 5], [7, 6]], groups=[0, 0, 1, 1, 2, 2, 3, 3])
    unit, scores = 10.0**exponent, np.array([1.0, -1.0] * 4)
    assert rm.temperature_scale(unit * scores, data) == pytest.approx(unit * 2 / np.log(3), rel=1e-9)
    assert np.isfinite(rm.temperature_scale(0.9e308 * scores, data))


def test_a_temperature_that_does_not_exist() -> None:
    data = make()
    wins = np.bincount(data.comparisons[:, 0], minlength=60) - np.bincount(data.comparisons[:, 1], minlength=60)
    with pytest.raises(ValueError, match="no positive temperature is best"):
        rm.temperature_scale(-wins, data)
    with pytest.raises(ValueError, match="all scores of compared items are equal"):
        rm.temperature_scale(np.zeros(60), data)
    one = rm.Preferences(np.eye(2, dtype=np.float32), [[0, 1]], ["a", "a"])
    with pytest.raises(ValueError, match="all 1 comparisons are in the right order"):
        rm.temperature_scale([1.0, 0.0], one)
    tied = rm.Preferences(one.items, [[0, 1], [0, 1]], one.groups, tie=[False, True])
    assert expit(1 / rm.temperature_scale([1.0, 0.0], tied)) == pytest.approx(0.75)


# Configs, studies and figures


def test_reliability_draws_a_line_per_model() -> None:
    data = make(n=300)
    table = rm.calibration_table({"a": RNG.normal(size=60), "b": RNG.normal(size=60)}, data)
    labels = [text.get_text() for text in rm.reliability_curve(table).legends[0].get_texts()]
    assert labels == ["calibrated", "a", "b"]
    with pytest.raises(ValueError, match="must be one of calibration_table; it lacks model"):
        rm.reliability_curve(table.drop(columns="model"))


def test_calibration_of_each_part_is_that_of_its_comparisons() -> None:
    subset = RNG.choice(["chat", "code"], size=300)
    data, scores = make(n=300, subset=subset), {"a": RNG.normal(size=60), "b": RNG.normal(size=60)}
    table = rm.calibration_table(scores, data, by="subset", bins=4)
    errors = rm.expected_calibration_error(table)
    for name in ("chat", "code"):
        rows = subset == name
        part = rm.Preferences(data.items, data.comparisons[rows], data.groups)
        alone = rm.calibration_table(scores, part, bins=4)
        found = table[table.subset == name].drop(columns="subset").reset_index(drop=True)
        pd.testing.assert_frame_equal(found, alone)
        expected = rm.expected_calibration_error(alone)
        assert [errors[name, model] for model in scores] == pytest.approx(expected.tolist())
    rm.reliability_curve(found)
    with pytest.raises(ValueError, match="draws one bin of a model once; this table has several parts"):
        rm.reliability_curve(table)


def test_a_run_on_preferences_draws_accuracy_from_one_half(tmp_path: Path) -> None:
    train, test = rm.split_prompts(make(), 0.4, seed=0)
    train.save(tmp_path / "train")
    test.save(tmp_path / "test")
    (tmp_path / "a.yaml").write_text(
        "data: {use: open_preferences, train: train, test: test}\nmodels: {BT: {use: LinearReward}}\n"
        "metrics: {brier: {use: brier}, accuracy: {use: accuracy}}\n"
        "baselines: {longer: {use: feature_score, feature: length}}\n"
    )
    assert main(["run", str(tmp_path / "a.yaml"), "--out", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["accuracy.png"]
    table = pd.read_csv(tmp_path / "out" / "results.csv")
    assert main_metric(table) == "accuracy"
    bars = [bar for bar in rm.gain_bars(table, metric="accuracy").axes[0].patches if isinstance(bar, Rectangle)]
    ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars]
    values = table[table.metric == "accuracy"].value
    np.testing.assert_allclose(ends, [(0.5, value) for value in values])


def test_a_learning_curve_on_preferences_is_a_study(tmp_path: Path) -> None:
    train, test = rm.make_synthetic_banks(n_prompts=60, n_test_prompts=30, n_test_responses=4, dim=16, seed=0)
    for name, bank in (("train", train), ("test", test)):
        rng = np.random.default_rng(0)
        rm.Preferences.from_bank(bank, rm.same_prompt(bank, 150, rng), rm.oracle, rng=rng).save(tmp_path / name)
    grid = Path(__file__).parents[1] / "configs" / "text" / "learning_curve.yaml"
    changes = [f"base.data.train={tmp_path / 'train'}", f"base.data.test={tmp_path / 'test'}"]
    changes += ["base.models={BT: {use: LinearReward}}", "grid.n_pairs=[20, 150]", "grid.seed=[0, 1]"]
    changes += ["base.baselines={random: {use: random_response}}"]
    study = rm.run_study(grid, tmp_path / "out", overrides=changes)
    table = rm.seed_means(study.results())
    curve = table[(table.metric == "accuracy") & (table.model == "BT")].set_index("n_pairs").value
    assert curve[150] > curve[20]
    assert set(table[(table.metric == "accuracy") & (table.model == "random")].value) == {0.5}
    rm.study_curves(study.results(), metric="accuracy", x="n_pairs")


PREFERENCES = "data: {use: open_preferences, train: ., test: .}\nmodels: {BT: {use: LinearReward}}\n"
BANKS = (
    "data: {use: make_synthetic_banks}\nmodels: {BT: {use: LinearReward}}\n"
    "pairs: {use: same_prompt}\nn_pairs: 9\nannotator: {use: oracle}\n"
)


@pytest.mark.parametrize(
    ("text", "change", "message"),
    [
        (
            PREFERENCES,
            "metrics={g: {use: gain}}",
            "metrics: g measures scores against gold rewards, and .*use accuracy",
        ),
        (PREFERENCES, "metrics={g: {use: spearman}}", "open_preferences gives preferences"),
        (
            BANKS,
            "metrics={a: {use: accuracy, strict: true}}",
            "metrics: a measures scores against comparisons, and .*banks",
        ),
        (PREFERENCES, "baselines={b: {use: best_response}}", "b needs test data that are banks, and open_preferences"),
        (BANKS, "baselines={b: {use: first_position}}", "b needs test data that are preferences, and make_synthetic"),
        (PREFERENCES, "n=[1, 2]", "n: is for Best-of-N on banks"),
        (BANKS, "models.BT.objective={use: hinge, margin: -1}", r"objective: margin must be at least 0.0; got -1"),
        (
            BANKS,
            "models.BT.objective={use: label_smoothed, smoothing: 0.9, objective: {use: hinge}}",
            r"smoothing must be below 0.5, where both orders cost the same; got 0.9",
        ),
    ],
)
def test_what_does_not_go_together_is_found_when_a_config_is_loaded(
    text: str, change: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    rm.load_config(path)
    with pytest.raises(ValueError, match=message):
        rm.load_config(path, [change])
    (tmp_path / "grid.yaml").write_text("base: a.yaml\ngrid: {seed: [0, 1]}\n")
    with pytest.raises(ValueError, match=message):
        rm.run_study(tmp_path / "grid.yaml", tmp_path / "out", overrides=[f"base.{change}"])


@pytest.mark.parametrize(
    "change",
    ["metrics={a: {use: accuracy, strict: true}, b: {use: brier}}", "baselines={first: {use: first_position}}"],
)
def test_what_goes_with_preferences_loads(change: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(PREFERENCES)
    assert rm.load_config(tmp_path / "a.yaml", [change]).options[change.partition("=")[0]]


def test_metrics_of_readers_without_annotations_are_left_to_the_run(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "def read():\n    raise ValueError\n\ndef mine(winner, loser):\n    return winner\n"
    )
    text = PREFERENCES.replace("open_preferences, train: ., test: .", "own.read")
    (tmp_path / "a.yaml").write_text(text + "metrics: {gain: {use: gain}, accuracy: {use: accuracy}}")
    assert set(rm.load_config(tmp_path / "a.yaml").options["metrics"]) == {"gain", "accuracy"}
    (tmp_path / "a.yaml").write_text(PREFERENCES + "metrics: {mine: {use: own.mine}}")
    assert set(rm.load_config(tmp_path / "a.yaml").options["metrics"]) == {"mine"}
