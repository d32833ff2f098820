"""Biases of scores towards features of texts."""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rmspace as rm
from rmspace._typing import Float64Array
from rmspace.results.bias import bias_table
from rmspace.text import text_features


def value(table: pd.DataFrame, measure: str, column: str = "value") -> float:
    return float(table[table.measure == measure][column].item())


def centred(values: Float64Array) -> Float64Array:
    return values - values.mean(axis=1, keepdims=True)


@given(st.integers(0, 10_000), st.floats(-2, 2), st.floats(-2, 2))
@settings(max_examples=40, deadline=None)
def test_correlations_are_those_of_numpy(seed: int, of_feature: float, of_gold: float) -> None:
    gold, feature, noise = np.random.default_rng(seed).normal(size=(3, 15, 6))
    feature = feature + 0.7 * gold + np.arange(15)[:, None]  # prompts differ in their mean length
    scores = of_gold * gold + of_feature * feature + noise
    table = bias_table(scores, gold, {"length": 1e5 * feature})
    s, g, f = (centred(each).ravel() for each in (scores, gold, feature))
    assert value(table, "correlation") == pytest.approx(np.corrcoef(s, f)[0, 1], abs=1e-9)
    (r_sf, r_sg, r_fg) = (np.corrcoef(a, b)[0, 1] for a, b in ((s, f), (s, g), (f, g)))
    partial = (r_sf - r_sg * r_fg) / np.sqrt((1 - r_sg**2) * (1 - r_fg**2))
    assert value(table, "partial_correlation") == pytest.approx(partial, abs=1e-9)
    best = scores.argmax(axis=1)
    chosen = feature[np.arange(15), best] - feature.mean(axis=1)
    assert value(table, "feature_of_best") == pytest.approx((chosen / f.std()).mean(), abs=1e-9)


def test_the_interval_of_the_partial_correlation_holds_the_truth_as_often_as_it_says() -> None:
    rng, held = np.random.default_rng(0), 0
    for _ in range(120):
        gold, feature, noise = rng.normal(size=(3, 40, 5))
        feature = feature + 0.5 * gold
        table = bias_table(gold + 0.5 * feature + noise, gold, {"length": feature})
        truth = 0.5 / np.sqrt(0.5**2 + 1)
        held += value(table, "partial_correlation", "low") <= truth <= value(table, "partial_correlation", "high")
    assert held >= 107  # 95% of 120, less three standard errors


def test_rows_of_one_prompt_are_one_observation(rng: np.random.Generator) -> None:
    gold, feature, noise = rng.normal(size=(3, 20, 6))
    once = bias_table(gold + noise, gold, {"f": feature})
    bank = rm.ResponseBank(
        np.zeros((40, 6, 2), np.float32), np.repeat(gold, 2, axis=0), features={"f": np.repeat(feature, 2, axis=0)},
        prompt_ids=np.repeat(np.arange(20), 2),
    )  # fmt: skip
    twice = bias_table(np.repeat(gold + noise, 2, axis=0), bank)
    numbers = ["value", "low", "high", "n_prompts"]
    np.testing.assert_allclose(twice[numbers].astype(float), once[numbers].astype(float), atol=1e-9)


@given(st.integers(0, 10_000), st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_matched_gain_is_that_of_neighbours(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    gold, feature = rng.normal(size=(2, 4, width))
    scores = rng.integers(0, 3, size=(4, width)).astype(float)
    shares = []
    for s, g, f in zip(scores, gold, feature, strict=True):
        order = sorted(range(width), key=lambda k: f[k])
        reached = possible = 0.0
        for a, b in pairwise(order):
            middle = (g[a] + g[b]) / 2
            taken = middle if s[a] == s[b] else g[a] if s[a] > s[b] else g[b]
            reached, possible = reached + taken - middle, possible + max(g[a], g[b]) - middle
        shares.append(reached / possible)
    table = bias_table(scores, gold, {"f": feature})
    assert value(table, "matched_gain_of_2") == pytest.approx(np.mean(shares), abs=1e-9)
    assert value(table, "gain_of_2") == pytest.approx(rm.normalized_gain(scores, gold, n=2).mean(), abs=1e-9)
    places = rng.permutation(width)
    again = bias_table(scores[:, places], gold[:, places], {"f": feature[:, places]})
    np.testing.assert_allclose(again.value, table.value, atol=1e-9)


def test_scores_that_know_length_alone_gain_nothing_where_lengths_are_matched(rng: np.random.Generator) -> None:
    length = rng.normal(size=(200, 40))
    gold = length + rng.normal(size=length.shape)
    table = bias_table({"length": length, "gold": gold}, gold, {"length": length})
    alone, perfect = table[table.model == "length"], table[table.model == "gold"]
    assert value(alone, "gain_of_2") > 0.5 > 0.2 > value(alone, "matched_gain_of_2")
    assert value(alone, "partial_correlation") == pytest.approx(1.0)
    assert value(perfect, "matched_gain_of_2") == pytest.approx(1.0)
    assert np.isnan(value(perfect, "partial_correlation"))  # nothing is left of the scores
    assert value(perfect, "correlation") == pytest.approx(np.sqrt(0.5), abs=0.03)


def test_a_planted_bias_is_found_and_its_absence_too(rng: np.random.Generator) -> None:
    gold, length, noise = rng.normal(size=(3, 300, 8))
    length = length + gold  # longer responses are better
    table = bias_table({"fair": gold + noise, "biased": gold + 0.5 * length + noise}, gold, {"length": length})
    fair, biased = table[table.model == "fair"], table[table.model == "biased"]
    assert value(fair, "correlation", "low") > 0.3
    assert value(fair, "partial_correlation", "low") < 0 < value(fair, "partial_correlation", "high")
    assert value(biased, "partial_correlation", "low") > 0.35


def test_unrated_responses_count_nowhere() -> None:
    gold = np.array([[1.0, 2.0, np.nan], [3.0, 1.0, 2.0], [1.0, np.nan, np.nan]])
    scores = np.array([[1.0, 3.0, np.nan], [2.0, 0.0, 7.0], [1.0, np.nan, np.nan]])
    feature = np.array([[5.0, 1.0, np.nan], [2.0, 2.0, 9.0], [1.0, np.nan, np.nan]])
    table = bias_table(scores, gold, {"f": feature})
    s = np.array([-1.0, 1.0, -1.0, -3.0, 4.0])
    f = np.array([2.0, -2.0, -7 / 3, -7 / 3, 14 / 3])
    assert value(table, "correlation") == pytest.approx(s @ f / np.sqrt((s @ s) * (f @ f)))
    assert set(table.n_prompts) == {2}
    ragged = rm.ResponseBank(
        np.zeros((6, 2), np.float32), gold[~np.isnan(gold)], offsets=[0, 2, 5, 6],
        features={"f": feature[~np.isnan(gold)]},
    )  # fmt: skip
    np.testing.assert_allclose(bias_table(scores[~np.isnan(gold)], ragged).value, table.value)


def test_what_does_not_vary_has_no_correlation(rng: np.random.Generator) -> None:
    gold = rng.normal(size=(10, 4))
    table = bias_table({"flat": np.full((10, 4), 0.1), "varied": gold**2}, gold, {"same": np.full((10, 4), 7)})
    measures = table[table.measure.isin(["correlation", "partial_correlation", "feature_of_best"])]
    assert measures.value.isna().all() and (measures.n_prompts == 0).all()


def test_bad_input_of_bias() -> None:
    gold = np.ones((2, 3))
    for features, match in (
        (None, "at least one feature; got none"),
        ({}, "at least one feature; got none"),
        ({"f": np.ones((2, 2))}, "feature 'f' is checked as scores are: scores must be one number per reward"),
        ({"f": np.array([[1.0, np.nan, 1.0], [1.0, 1.0, 1.0]])}, "feature 'f' is checked .* must be finite; row 0"),
    ):
        with pytest.raises(ValueError, match=match):
            bias_table(gold, gold, features)
    wrong: Any = [1.0]
    with pytest.raises(TypeError, match="features must map names"):
        bias_table(gold, gold, wrong)
    with pytest.raises(ValueError, match="a prompt with two rated responses"):
        bias_table([[1.0], [2.0]], [[1.0], [2.0]], {"f": [[1.0], [1.0]]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (0, 0, 0, 0, 0)),
        ("Two words", (9, 2, 0, 0, 0)),
        ("- a\n* b\n  3) c\n10. d\n-e\n1.5 f", (29, 11, 4, 0, 0)),
        ("# Head\n## Two\n#no\n**bold** and `code` and [link](url) and ** open", (65, 13, 0, 5, 0)),
        ("```python\nx\n```", (15, 3, 0, 2, 0)),
        ("I\u2019m sorry, but no.", (18, 4, 0, 0, 1)),
        ("I cannot help with this.", (24, 5, 0, 0, 1)),
        ("I can't wait to begin!", (22, 5, 0, 0, 0)),
        ("As an AI, I have no taste.", (26, 7, 0, 0, 1)),
        ("word " * 40 + "I cannot help", (213, 43, 0, 0, 0)),
    ],
)
def test_features_of_texts(text: str, expected: tuple[int, ...]) -> None:
    found = text_features([text])
    assert list(found) == ["length", "words", "list_items", "markdown", "refusal"]
    assert tuple(int(values[0]) for values in found.values()) == expected


def test_texts_of_marks_alone_take_little_time_and_bad_texts_are_refused() -> None:
    for marks in ("[" * 50_000, "*" * 50_000, "`" * 50_000, "- " * 50_000, "\n" * 50_000, "#" * 50_000):
        assert text_features([marks])["length"].item() == len(marks)
    assert {values.shape for values in text_features([]).values()} == {(0,)}
    wrong: list[Any] = ["one text", 3, [b"bytes"], [None]]
    for each in wrong:
        with pytest.raises(TypeError, match="texts must be"):
            text_features(each)
