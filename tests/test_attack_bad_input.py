"""What a beginner may pass by mistake: the message names the rule, and no raw Python error comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rmspace as rm

TRAIN, TEST = rm.make_synthetic_banks(20, 10, 4, 16, seed=0)
PAIRS = rm.same_prompt(TRAIN, 40, np.random.default_rng(0))
COMPARISONS = rm.annotate(PAIRS, TRAIN.rewards, rm.oracle, rng=np.random.default_rng(0))
SCORES = TEST.items[:, 0]
PREFERENCES = rm.Preferences(TRAIN.items, COMPARISONS, TRAIN.groups)


def _run(**changed: Any) -> Any:
    given = {"pairs": rm.same_prompt, "n_pairs": 10, "annotator": rm.oracle, "models": {"a": rm.LinearReward()}}
    return rm.run(train=TRAIN, test=TEST, **{**given, **changed})


def _annotated(annotator: Any) -> Any:
    return rm.annotate(PAIRS, TRAIN, annotator, rng=np.random.default_rng(0))


def _ensemble(**options: Any) -> Any:
    return rm.EnsembleReward(**{"member": rm.LinearReward(), "n_members": 2, **options}).fit(TRAIN.items, COMPARISONS)


_rng = np.random.default_rng(0)
CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "an annotator as text": (lambda: _annotated("oracle"), r"annotator must be a function of gaps; .* rmspace.oracle"),
    "an annotator without beta": (lambda: _annotated(rm.logistic), r"logistic needs beta; bind it: functools.partial"),
    "a metric as text": (
        lambda: rm.evaluate(SCORES, TEST, metrics={"x": "spearman"}),  # type: ignore[dict-item]
        r"metric 'x' must be a function of scores and rewards; got 'spearman'; use rmspace.spearman",
    ),
    "metrics as a list": (
        lambda: rm.evaluate(SCORES, TEST, metrics=[rm.spearman]),  # type: ignore[arg-type]
        "metrics must map names .* got list",
    ),
    "metrics of preferences as a list": (
        lambda: rm.evaluate_preferences(TRAIN.items[:, 0], PREFERENCES, metrics=[rm.spearman]),  # type: ignore[arg-type]
        "metrics must map names .* got list",
    ),
    "a metric of preferences as text": (
        lambda: rm.evaluate_preferences(TRAIN.items[:, 0], PREFERENCES, metrics={"x": "accuracy"}),  # type: ignore[dict-item]
        "metric 'x' must be a function of winner and loser scores",
    ),
    "pairs as text": (lambda: _run(pairs="same_prompt"), "pairs must be a function of bank, n_pairs and rng"),
    "a baseline as text": (
        lambda: _run(baselines={"r": "random"}),
        "baseline 'r' must be a function of train and test",
    ),
    "a baseline that lacks its option": (
        lambda: _run(baselines={"f": rm.feature_score}),
        r"feature_score needs feature; bind it",
    ),
    "candidates as text": (
        lambda: rm.same_prompt(TRAIN, 10, _rng, candidates="similar"),  # type: ignore[arg-type]
        "candidates must be a function of a bank; got 'similar'",
    ),
    "a reduction as text": (lambda: _ensemble(reduce="mean"), "reduce must be a function of scores"),
    "a class as member": (lambda: _ensemble(member=rm.LinearReward), r"member must be .* write LinearReward\(\)"),
    "a class as model": (lambda: _run(models={"a": rm.LinearReward}), r"model 'a' must be .* write LinearReward\(\)"),
    "models as a list": (lambda: _run(models=[rm.LinearReward()]), "models must map names .* got list"),
}


@pytest.mark.parametrize("case", CASES)
def test_functions_are_asked_for_in_words(case: str) -> None:
    call, says = CASES[case]
    with pytest.raises(TypeError, match=says):
        call()


def test_position_mean_says_that_ragged_data_have_no_positions() -> None:
    ragged = rm.ResponseBank(np.ones((3, 2), np.float32), np.arange(3.0), offsets=[0, 1, 3])
    with pytest.raises(ValueError, match="position_mean needs the same number of responses for every prompt"):
        rm.position_mean(ragged, ragged)


@pytest.mark.parametrize("ids", [[1, "1"], ("a", 2)])
def test_ids_of_two_kinds_do_not_become_one_prompt(ids: Any) -> None:
    with pytest.raises(ValueError, match="prompt_ids must be all numbers or all text"):
        rm.ResponseBank(np.ones((2, 2, 3), np.float32), prompt_ids=ids)
    with pytest.raises(ValueError, match="groups must be all numbers or all text"):
        rm.Preferences(np.eye(2, dtype=np.float32), [[0, 1]], groups=ids)


@pytest.mark.parametrize("groups", [[0.5, np.nan], [None, "a"], [[0], [0]], [0]])
def test_groups_are_integers_or_text(groups: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=r"groups must be one prompt per item, integers or text, \(2,\)"):
        rm.Preferences(np.eye(2, dtype=np.float32), [[0, 1]], groups=groups)


def test_groups_from_a_column_of_python_texts_have_the_fingerprint_of_their_values() -> None:
    """Of an object array only the addresses would be hashed."""
    texts = np.array(["a", "b"], dtype=object)
    made = [rm.Preferences(np.eye(2, dtype=np.float32), [[0, 1]], groups=each) for each in (texts, ["a", "b"])]
    assert made[0].fingerprint() == made[1].fingerprint()


@pytest.mark.parametrize("given", [PREFERENCES, TRAIN])
def test_a_model_asks_for_the_items_of_data(given: Any) -> None:
    with pytest.raises(TypeError, match=r"items must be an array \(n_items, dim\); got \w+; give \w+.items"):
        rm.LinearReward().fit(PREFERENCES).predict(given)


def test_a_missing_mark_of_a_tie_is_not_taken_for_a_tie() -> None:
    tie = np.where(np.arange(40) == 3, np.nan, 0.0)
    data = rm.Preferences(TRAIN.items, COMPARISONS, TRAIN.groups, tie=tie)
    for measure in (rm.evaluate_preferences, rm.calibration_table):
        with pytest.raises(ValueError, match="column 'tie' must be True or False"):
            measure(TRAIN.items[:, 0], data)


def test_ties_count_half_in_the_score_and_in_the_table() -> None:
    tie = np.arange(40) % 3 == 0
    data = rm.Preferences(TRAIN.items, COMPARISONS, TRAIN.groups, tie=tie)
    model = rm.LinearReward().fit(data)
    scores = model.predict(data.items)
    right = scores[COMPARISONS[:, 0]] > scores[COMPARISONS[:, 1]]
    table = rm.evaluate_preferences(scores, data).set_index("metric")
    expected = np.where(tie, 0.5, right)
    assert table.value["accuracy"] == pytest.approx(expected.mean())
    assert model.score(data) == pytest.approx(expected.mean())
