"""Metrics of comparisons, their table and their calibration."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import rmspace as rm
from rmspace._typing import Float64Array, FloatArray
from rmspace.metrics import accuracy, log_loss


def preferences(
    rng: np.random.Generator, n_prompts: int = 30, per_prompt: int = 4, n_comparisons: int = 200, **columns: Any
) -> rm.Preferences:
    groups = np.repeat(np.arange(n_prompts), per_prompt)
    items = rng.normal(size=(len(groups), 3)).astype(np.float32)
    prompt = rng.integers(n_prompts, size=n_comparisons)
    pair = np.array([rng.permutation(per_prompt)[:2] for _ in range(n_comparisons)])
    return rm.Preferences(items, prompt[:, None] * per_prompt + pair, groups, **columns)


@given(st.floats(-800, 800), st.floats(-800, 800))
@settings(max_examples=100, deadline=None)
def test_log_loss_is_safe_for_any_scores(winner: float, loser: float) -> None:
    exact = mpmath.log1p(mpmath.exp(mpmath.mpf(loser) - mpmath.mpf(winner)))
    assert log_loss([winner], [loser])[0] == pytest.approx(float(exact), rel=1e-9, abs=1e-300)


def test_accuracy_and_ties(rng: np.random.Generator) -> None:
    winner, loser = rng.integers(0, 3, size=(2, 50)).astype(float)
    right = [1.0 if w > b else 0.0 if w < b else 0.5 for w, b in zip(winner, loser, strict=True)]
    assert accuracy(winner, loser).tolist() == right
    tie = rng.random(50) < 0.3
    assert (accuracy(winner, loser, tie=tie)[tie] == 0.5).all()
    assert accuracy(winner, loser, tie=tie)[~tie].tolist() == np.array(right)[~tie].tolist()
    both = (log_loss(winner, loser) + log_loss(loser, winner)) / 2
    np.testing.assert_allclose(log_loss(winner, loser, tie=tie), np.where(tie, both, log_loss(winner, loser)))


def test_the_true_scores_have_the_smallest_log_loss(rng: np.random.Generator) -> None:
    gap = rng.normal(size=4000)
    wins = rng.random(4000) < 1 / (1 + np.exp(-gap))
    losses = [log_loss(np.where(wins, scale * gap, 0), np.where(wins, 0, scale * gap)).mean() for scale in (0.5, 1, 2)]
    assert losses[1] == min(losses)
    assert log_loss(np.zeros(3), np.zeros(3)) == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    ("winner", "loser", "tie", "message"),
    [
        (np.zeros((2, 2)), np.zeros((2, 2)), None, "both .n_comparisons,.*use pairwise_accuracy"),
        ([1.0, 2.0], [1.0], None, "both .n_comparisons,"),
        ([1.0, np.nan], [1.0, 2.0], None, "winner_scores must be finite"),
        ([1.0, 2.0], [1.0, np.inf], None, "loser_scores must be finite"),
        ([1.0, 2.0], [1.0, 2.0], [True], "tie must have one value per comparison"),
    ],
)
@pytest.mark.parametrize("metric", [accuracy, log_loss])
def test_bad_scores(
    metric: Callable[..., Float64Array],
    winner: FloatArray | list[float],
    loser: FloatArray | list[float],
    tie: list[bool] | None,
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        metric(winner, loser, tie=tie)


def test_the_table_of_several_models(rng: np.random.Generator) -> None:
    data = preferences(rng)
    scores = {"BT": rng.normal(size=data.n_items), "flat": np.zeros(data.n_items)}
    table = rm.evaluate_preferences(scores, data)
    assert list(table.columns) == ["model", "metric", "n", "value", "low", "high", "n_prompts"]
    values = table.set_index(["model", "metric"]).value
    winner, loser = scores["BT"][data.comparisons].T
    assert values["BT", "accuracy"] == pytest.approx((winner > loser).mean())
    assert values["BT", "log_loss"] == pytest.approx(-stats.logistic.logcdf(winner - loser).mean())
    assert (values["flat", "accuracy"], values["flat", "log_loss"]) == (0.5, pytest.approx(np.log(2)))
    assert set(table.n_prompts) == {len(np.unique(data.groups[data.comparisons]))}
    alone = rm.evaluate_preferences(scores["BT"], data)
    assert set(alone.model) == {"scores"}
    assert alone.value.tolist() == table[table.model == "BT"].value.tolist()
    clustered = rm.mean_interval((winner > loser).astype(float), groups=data.groups[data.comparisons[:, 0]])
    found = alone.set_index("metric").loc["accuracy"]
    assert (found.value, found.low, found.high) == pytest.approx(clustered)


def test_a_row_for_each_value_of_a_column(rng: np.random.Generator) -> None:
    subset = rng.choice(["chat", "code"], size=200)
    annotator = rng.integers(3, size=200)
    data = preferences(rng, subset=subset, annotator=annotator)
    scores = rng.normal(size=data.n_items)
    for column, values in (("subset", subset), ("annotator", annotator)):
        table = rm.evaluate_preferences(scores, data, by=column)
        assert list(table.columns)[:2] == [column, "model"]
        for value in np.unique(values):
            part = table[table[column] == value].reset_index(drop=True).drop(columns=column)
            pd.testing.assert_frame_equal(
                part,
                rm.evaluate_preferences(
                    scores, data[values == value].__class__(data.items, data.comparisons[values == value], data.groups)
                ),
            )
    with pytest.raises(ValueError, match=r"by must be a column of the preferences, \['annotator', 'subset'\]"):
        rm.evaluate_preferences(scores, data, by="topic")


def test_several_annotators_of_one_pair_tell_less_than_several_prompts(rng: np.random.Generator) -> None:
    groups = np.repeat(np.arange(40), 2)
    pairs = np.arange(80).reshape(40, 2)
    items, scores = np.zeros((80, 2), np.float32), rng.normal(size=80)
    once = rm.evaluate_preferences(scores, rm.Preferences(items, pairs, groups))
    thrice = rm.evaluate_preferences(
        scores, rm.Preferences(items, np.repeat(pairs, 3, axis=0), groups, annotator=np.tile([0, 1, 2], 40))
    )
    for column in ("value", "low", "high"):
        assert thrice[column].tolist() == pytest.approx(once[column].tolist())


def test_weights_and_ties_are_respected(rng: np.random.Generator) -> None:
    weight, tie = rng.integers(0, 4, size=200), rng.random(200) < 0.2
    data = preferences(rng, weight=weight, tie=tie)
    scores = rng.normal(size=data.n_items)
    values = rm.evaluate_preferences(scores, data).set_index("metric")
    winner, loser = scores[data.comparisons].T
    right = np.repeat(np.where(tie, 0.5, winner > loser), weight)
    assert values.value["accuracy"] == pytest.approx(right.mean())
    both = (np.logaddexp(0, loser - winner) + np.logaddexp(0, winner - loser)) / 2
    loss = np.where(tie, both, np.logaddexp(0, loser - winner))
    assert values.value["log_loss"] == pytest.approx(np.average(loss, weights=weight))
    used = data.groups[data.comparisons[weight > 0, 0]]
    assert values.n_prompts["accuracy"] == len(np.unique(used))


def test_comparisons_across_prompts_count_with_both(rng: np.random.Generator) -> None:
    items, groups = np.zeros((20, 2), np.float32), np.arange(20)
    pairs = np.array([rng.permutation(20)[:2] for _ in range(60)])
    table = rm.evaluate_preferences(rng.normal(size=20), rm.Preferences(items, pairs, groups)).set_index("metric")
    assert table.n_prompts["accuracy"] == len(np.unique(pairs))
    assert (table.low < table.value).all()
    assert (table.value < table.high).all()


def test_an_own_metric_gets_the_columns_that_it_names(rng: np.random.Generator) -> None:
    data = preferences(rng, margin=rng.uniform(size=200))
    scores = rng.normal(size=data.n_items)
    winner, loser = scores[data.comparisons].T

    def hinge(winner: Float64Array, loser: Float64Array, margin: Float64Array) -> Float64Array:
        return np.maximum(0, margin - (winner - loser))

    table = rm.evaluate_preferences(scores, data, metrics={"hinge": hinge, "gap": lambda w, b: w - b})
    assert table.metric.tolist() == ["hinge", "gap"]
    assert table.value.tolist() == pytest.approx(
        [np.maximum(0, data.columns["margin"] - (winner - loser)).mean(), (winner - loser).mean()]
    )
    with pytest.raises(ValueError, match=r"metric 'hinge' needs the column 'margin'; the preferences have \[\]"):
        rm.evaluate_preferences(scores, preferences(rng), metrics={"hinge": hinge})
    with pytest.raises(ValueError, match=r"metric 'mean' must return one value per comparison, \(200,\)"):
        rm.evaluate_preferences(scores, data, metrics={"mean": lambda w, b: np.mean(w - b)})


def test_scores_that_do_not_fit(rng: np.random.Generator) -> None:
    data = preferences(rng, n_comparisons=5)
    with pytest.raises(
        ValueError, match=r"scores must be one number per item, \(120,\), or .*; got float64 of shape \(5,\)"
    ):
        rm.evaluate_preferences(np.zeros(5), data)
    scores = np.full(data.n_items, np.nan)
    with pytest.raises(ValueError, match="scores of comparisons must be finite"):
        rm.evaluate_preferences(scores, data)
    scores[data.comparisons] = 1.0  # items that are in no comparison need no score
    assert rm.evaluate_preferences(scores, data).value[0] == 0.5
    with pytest.raises(ValueError, match="at least one name"):
        rm.evaluate_preferences({}, data)


def judged(rng: np.random.Generator, scale: float, n: int = 6000) -> tuple[FloatArray, rm.Preferences]:
    """Preferences by the Bradley-Terry model with gaps that are `scale` times those of the scores."""
    scores = rng.normal(size=2 * n)
    pairs = np.arange(2 * n).reshape(n, 2)
    first = rng.random(n) < 1 / (1 + np.exp(-scale * (scores[pairs[:, 0]] - scores[pairs[:, 1]])))
    pairs[~first] = pairs[~first][:, ::-1]
    return scores, rm.Preferences(np.zeros((2 * n, 2), np.float32), pairs, np.repeat(np.arange(n), 2))


def test_calibration_of_true_and_of_confident_scores(rng: np.random.Generator) -> None:
    scores, data = judged(rng, 1.0)
    table = rm.calibration_table({"true": scores, "sure": 5 * scores}, data, confidence=0.999)
    true, sure = (table[table.model == name] for name in ("true", "sure"))
    assert ((true.low <= true.predicted) & (true.predicted <= true.high)).all()
    assert (sure.predicted > sure.high)[5:].all()
    assert ((table.bin_low <= table.predicted) & (table.predicted <= table.bin_high)).all()
    assert true.n_comparisons.sum() == len(data)
    assert true.share.sum() == pytest.approx(1)
    error = rm.expected_calibration_error(table)
    assert error["true"] < 0.02 < 0.1 < error["sure"]
    assert error["sure"] == pytest.approx(((sure.predicted - sure.observed).abs() * sure.share).sum())


def test_calibration_of_a_bin_by_hand() -> None:
    pairs = [[0, 1], [1, 2], [3, 4], [5, 6]]
    data = rm.Preferences(
        np.zeros((7, 2), np.float32), pairs, [0, 0, 0, 1, 1, 2, 2], tie=[0, 0, 0, 1], weight=[1, 1, 2, 4]
    )
    row = rm.calibration_table([1.0, 0.0, 1.0, 0.0, 0.0, 0.5, 0.0], data, bins=1).iloc[0]
    sigma = stats.logistic.cdf([1.0, 1.0, 0.0, 0.5])
    assert row.predicted == pytest.approx(np.average(sigma, weights=[1, 1, 2, 4]))
    assert row.observed == pytest.approx(np.average([1, 0, 0.5, 0.5], weights=[1, 1, 2, 4]))
    assert (row.bin_low, row.bin_high, row.share, row.n_comparisons) == (0.5, 1.0, 1.0, 4)
    with pytest.raises(ValueError, match="bins must be at least 1"):
        rm.calibration_table(np.zeros(7), data, bins=0)
    extreme = rm.calibration_table([1e4, 0, 0, 0, 0, 0, 0], data)
    assert extreme.predicted.max() == 1.0
