"""What annotators say together: the best accuracies, and soft labels made of them."""

from typing import Any

import numpy as np
import pytest

import rmspace as rm
from rmspace import objectives
from rmspace._typing import Float64Array, IntArray
from rmspace.data.consensus import consensus


def drawn(accuracies: Any, n_pairs: int, rng: np.random.Generator) -> tuple[rm.Preferences, IntArray]:
    """Draw verdicts of all annotators on pairs whose better item is the one in column 0 of what is returned."""
    truth = rng.permutation(2 * n_pairs).reshape(-1, 2)
    who = np.tile(np.arange(len(accuracies)), n_pairs)
    right = rng.random(len(who)) < np.asarray(accuracies)[who]
    pairs = truth.repeat(len(accuracies), axis=0)
    verdicts = np.where(right[:, None], pairs, pairs[:, ::-1])
    return rm.Preferences(np.eye(2 * n_pairs), verdicts, np.arange(2 * n_pairs), annotator=who), truth


def log_posterior(q: Float64Array, data: rm.Preferences) -> float:
    """Return the log-likelihood of all better items summed, plus that of one true and one false verdict."""
    total = float((np.log(q) + np.log(1 - q)).sum())
    ordered = np.sort(data.comparisons, axis=1)
    for pair in np.unique(ordered, axis=0):
        rows = (ordered == pair).all(axis=1)
        first = data.comparisons[rows, 0] == pair[0]
        at = q[data.columns["annotator"][rows]]
        total += np.log(np.prod(np.where(first, at, 1 - at)) / 2 + np.prod(np.where(first, 1 - at, at)) / 2)
    return total


def test_the_accuracies_are_a_maximum_of_the_likelihood() -> None:
    data, _ = drawn([0.9, 0.7, 0.6], 40, np.random.default_rng(0))
    found = consensus(data).accuracies
    best = log_posterior(found, data)
    for step in np.concatenate([np.eye(3), -np.eye(3)]) * 1e-3:
        assert log_posterior(found + step, data) < best
    for k in range(3):
        step = np.eye(3)[k] * 1e-5
        slope = (log_posterior(found + step, data) - log_posterior(found - step, data)) / 2e-5
        assert slope == pytest.approx(0.0, abs=1e-3)


def test_accuracies_and_better_items_are_found() -> None:
    accuracies = np.array([0.95, 0.85, 0.75, 0.65, 0.55])
    data, truth = drawn(accuracies, 600, np.random.default_rng(1))
    found = consensus(data)
    np.testing.assert_allclose(found.accuracies, accuracies, atol=0.05)
    better = {tuple(pair) for pair in truth.tolist()}
    right = np.array([tuple(pair) in better for pair in found.preferences.comparisons.tolist()])
    votes = data.comparisons.reshape(600, 5, 2)[:, :, 0]
    majority = (votes == truth[:, :1]).mean(axis=1) > 0.5
    assert right.mean() > majority.mean()
    # the probabilities are calibrated: the model of these worlds is the model of the method
    assert right.mean() == pytest.approx(found.preferences.columns["probability"].mean(), abs=0.03)


def test_the_result_is_a_soft_label_for_a_fit() -> None:
    rng = np.random.default_rng(2)
    items = rng.normal(size=(80, 3))
    pairs = rng.permutation(80).reshape(-1, 2)
    gold = items @ [1.0, -1.0, 0.5]
    truth = np.where((gold[pairs[:, 0]] > gold[pairs[:, 1]])[:, None], pairs, pairs[:, ::-1])
    who, right = np.tile(np.arange(4), 40), rng.random(160) < np.tile([0.9, 0.8, 0.8, 0.5], 40)
    each = truth.repeat(4, axis=0)
    data = rm.Preferences(items, np.where(right[:, None], each, each[:, ::-1]), np.arange(80), annotator=who)
    found = consensus(data).preferences
    assert found.n_comparisons == 40
    assert found.columns["n_verdicts"].tolist() == [4] * 40
    model = rm.LinearReward(objectives.soft_labelled, alpha=0.01).fit(found)
    assert rm.metrics.accuracy(*model.predict(items)[truth.T]).mean() > 0.85


def test_an_annotator_seen_once_says_little() -> None:
    data, _ = drawn([0.9, 0.9], 30, np.random.default_rng(3))
    who = data.columns["annotator"].copy()
    who[0] = 2
    found = consensus(rm.Preferences(data.items, data.comparisons, data.groups, annotator=who))
    assert 1 / 3 <= found.accuracies[2] <= 2 / 3


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "needs the column 'annotator'"),
        ({"annotator": ["ann", "ann"]}, r"at least two annotators; got \['ann'\]"),
        ({"annotator": [0, 1], "tie": [True, False]}, "knows no ties"),
    ],
)
def test_bad_input(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        consensus(rm.Preferences(np.eye(2), [[0, 1], [1, 0]], [0, 0], columns=columns))
    with pytest.raises(ValueError, match="still change after 1 steps"):
        consensus(drawn([0.9, 0.6], 9, np.random.default_rng(0))[0], max_steps=1)
