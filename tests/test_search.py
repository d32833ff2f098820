"""Search and cross-validation over comparisons: whole prompts are held out, and the best is what it says."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from torch import Tensor

import rmspace as rm
from rmspace.data.split import prompt_folds


@pytest.fixture(scope="module")
def preferences() -> rm.Preferences:
    bank, _ = rm.make_synthetic_banks(40, 1, 4, 16, noise_std=0.3, seed=0)
    rng = np.random.default_rng(0)
    return rm.Preferences.from_bank(bank, rm.same_prompt(bank, 200, rng), partial(rm.logistic, beta=2.0), rng=rng)


def test_cross_validation_is_a_fit_and_a_score_for_each_fold(preferences: rm.Preferences) -> None:
    table = rm.cross_validate(rm.LinearReward(), preferences, n_splits=4, seed=3)
    assert table.columns.tolist() == ["fold", "accuracy", "n_prompts", "n_comparisons", "fit_seconds"]
    for fold, (train, test) in enumerate(prompt_folds(preferences, n_splits=4, seed=3)):
        row = table.iloc[fold]
        model = rm.LinearReward().fit(train.items, train.comparisons)
        assert row.accuracy == pytest.approx(model.score(test.items, test.comparisons))
        assert (row.fold, row.n_comparisons, row.n_prompts) == (fold, len(test), len(set(test.groups.tolist())))
    assert table.n_comparisons.sum() == len(preferences)


def test_no_prompt_is_in_training_and_test() -> None:
    """Labels that nobody can learn, and a model that remembers every comparison: a leak would show as accuracy."""
    rng = np.random.default_rng(0)
    items = rng.normal(size=(120, 256)).astype(np.float32)
    comparisons = np.repeat(
        np.arange(120).reshape(60, 2), 5, axis=0
    )  # each five times, which rows in folds would split
    preferences = rm.Preferences(items, comparisons, np.repeat(np.arange(60), 2))
    preferences = preferences[rng.permutation(300)]
    assert rm.LinearReward().fit(preferences).score(preferences) == 1.0
    assert abs(rm.cross_validate(rm.LinearReward(), preferences, n_splits=5).accuracy.mean() - 0.5) < 0.25


def test_the_best_is_refitted_on_everything(preferences: rm.Preferences) -> None:
    grid: dict[str, list[Any]] = {"alpha": [1e3, 1e-3], "objective": [rm.bradley_terry, rm.classification]}
    prototype = rm.LinearReward()
    model, parameters, table = rm.search(prototype, grid, preferences, n_splits=3, seed=1)
    assert len(table) == 4 * 3
    assert set(table.columns[:2]) == {"alpha", "objective"}
    assert set(table.objective) == {"bradley_terry", "classification"}
    means = table.groupby(["alpha", "objective"]).accuracy.mean()
    assert means[parameters["alpha"], parameters["objective"].__name__] == means.max()
    expected = rm.LinearReward(**parameters).fit(preferences)
    np.testing.assert_array_equal(model.predict(preferences.items), expected.predict(preferences.items))
    assert not hasattr(prototype, "coef_")
    again = rm.search(prototype, grid, preferences, n_splits=3, seed=1).table
    assert again.drop(columns="fit_seconds").equals(table.drop(columns="fit_seconds"))


def test_pipelines_grids_and_classifiers(preferences: rm.Preferences) -> None:
    pipeline = make_pipeline(StandardScaler(), rm.ClassifierReward(LogisticRegression()))
    grids = [{"classifierreward__estimator__C": [0.1, 10.0]}, {"standardscaler": [Normalizer()]}]
    model, parameters, table = rm.search(pipeline, grids, preferences, n_splits=3)
    assert len(table) == 3 * 3
    assert table["standardscaler"].notna().sum() == 3
    assert model.score(preferences.items, preferences.comparisons) > 0.6
    assert set(parameters) <= {"classifierreward__estimator__C", "standardscaler"}


def test_every_candidate_gets_the_same_seed(preferences: rm.Preferences) -> None:
    member = rm.MLPReward(hidden_sizes=(4,), max_epochs=2, precision="float32")
    table = rm.search(member, {"patience": [2, 3]}, preferences, n_splits=2).table  # no effect on two epochs
    assert table[table.patience == 2].accuracy.tolist() == table[table.patience == 3].accuracy.tolist()


def test_weights_columns_and_ties_reach_every_fold(preferences: rm.Preferences) -> None:
    n = len(preferences)
    seen = set()

    def watching(winner: Tensor, loser: Tensor, number: Tensor) -> Tensor:
        seen.update(number.tolist())
        return rm.bradley_terry(winner, loser)

    data = rm.Preferences(
        preferences.items,
        preferences.comparisons,
        preferences.groups,
        weight=np.where(np.arange(n) < 10, 0.0, 1.0),
        columns={"number": np.arange(n)},
    )
    rm.cross_validate(rm.LinearReward(watching, max_iter=5, tol=1e-1), data, n_splits=2)
    assert seen == set(range(10, n))


def test_bad_input(preferences: rm.Preferences) -> None:
    with pytest.raises(ValueError, match="Invalid parameter 'alfa'"):
        rm.search(rm.LinearReward(), {"alfa": [1]}, preferences)
    with pytest.raises(ValueError, match="n_splits must be at most the 40 prompts"):
        rm.cross_validate(rm.LinearReward(), preferences, n_splits=41)
