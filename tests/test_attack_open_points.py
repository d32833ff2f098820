"""Points that were open: what they refuse, what they pass on, and what they must not change."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

import rmspace as rm
from rmspace.config.build import load_config
from rmspace.config.node import ConfigError
from rmspace.kinds import Baseline, Objective

MODELS = {
    "linear": partial(rm.LinearReward, alpha=0.1),
    "boosted": partial(rm.LightGBMReward, n_estimators=5),
    "mlp": partial(rm.MLPReward, hidden_sizes=(8,), max_epochs=3, validation_fraction=0.0, random_state=0),
}


def _bank(prompt_ids: list[int] | None = None, n: int = 6) -> rm.ResponseBank:
    rng = np.random.default_rng(0)
    return rm.ResponseBank(
        rng.normal(size=(n, 3, 4)).astype(np.float32), rng.normal(size=(n, 3)), prompt_ids=prompt_ids
    )


def _preferences(n: int = 40, **columns: object) -> rm.Preferences:
    rng = np.random.default_rng(1)
    items = rng.normal(size=(2 * n, 5)).astype(np.float32)
    comparisons = np.arange(2 * n).reshape(n, 2)
    return rm.Preferences(items, comparisons, np.repeat(np.arange(n // 2), 4), columns=columns)  # type: ignore[arg-type]


def test_position_mean_refuses_preferences_and_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"position_mean needs the gold rewards of a training bank, and a test"):
        rm.run(
            train=_preferences(dim_fix=np.zeros(40)),
            test=rm.ResponseBank(np.random.default_rng(5).normal(size=(3, 2, 5)).astype(np.float32), np.eye(3, 2)),
            models={"BT": rm.LinearReward()},
            baselines={"position": rm.baselines.position_mean},
            n=2,
        )


def test_other_baselines_work_beside_preferences() -> None:
    test = rm.ResponseBank(
        np.random.default_rng(5).normal(size=(3, 2, 5)).astype(np.float32),
        np.eye(3, 2),
        features={"length": np.eye(3, 2)},
    )
    baselines: dict[str, Baseline] = {
        "random": rm.random_response,
        "best": rm.best_response,
        "longest": partial(rm.feature_score, feature="length"),
    }
    table = rm.run(train=_preferences(), test=test, models={}, baselines=baselines, n=2)
    assert set(table.model) == set(baselines)


@pytest.mark.parametrize("seed", range(5))
def test_pairs_across_prompts_are_of_two_prompt_ids(seed: int) -> None:
    bank = _bank([7, 7, 7, 3, 3, 9])
    pairs = rm.cross_prompt(bank, 60, np.random.default_rng(seed))
    ids = np.repeat(bank.prompt_ids, 3)[pairs]
    assert (ids[:, 0] != ids[:, 1]).all()
    assert np.bincount(bank.groups[pairs].ravel()).tolist() == [40, 40, 40]
    assert set(pairs.ravel().tolist()) == set(range(18))  # each item of a repeated prompt can be drawn


def test_repeated_ids_with_candidates_and_missing_rewards() -> None:
    rewards = np.random.default_rng(0).normal(size=(5, 4))
    rewards[0] = np.nan
    rewards[3, 1:] = np.nan
    bank = rm.ResponseBank(np.ones((5, 4, 2), np.float32), rewards, prompt_ids=["a", "b", "a", "c", "b"])
    for candidates in (rm.all_responses, rm.diversified):
        pairs = rm.cross_prompt(bank, 8, np.random.default_rng(0), candidates=candidates)
        assert not np.isnan(bank.item_rewards[pairs]).any()
        assert (np.diff(bank.groups[pairs], axis=1) != 0).all()


def test_one_prompt_under_several_rows_has_no_pair_across_prompts() -> None:
    with pytest.raises(ValueError, match="cross_prompt needs two prompts with candidates; got 1"):
        rm.cross_prompt(_bank([1] * 6), 3, np.random.default_rng(0))


def test_pairs_of_unique_ids_do_not_depend_on_the_ids() -> None:
    a = rm.cross_prompt(_bank(), 30, np.random.default_rng(0))
    b = rm.cross_prompt(_bank([5, 4, 3, 2, 1, 0]), 30, np.random.default_rng(0))
    assert (a == b).all()


@pytest.mark.parametrize("model", MODELS)
def test_label_smoothing_hands_columns_on(model: str) -> None:
    """The column must have the effect that the same numbers have in an objective that smooths by itself."""
    if model == "boosted":
        pytest.importorskip("lightgbm")
    margin = np.random.default_rng(2).uniform(0, 3, 40)
    data = _preferences(margin=margin)

    def smoothed(winner: Tensor, loser: Tensor, margin: Tensor) -> Tensor:
        losses = [-torch.nn.functional.logsigmoid(gap - margin) for gap in (winner - loser, loser - winner)]
        return 0.8 * losses[0] + 0.2 * losses[1]

    ours = partial(rm.label_smoothed, smoothing=0.2, objective=rm.margin_bradley_terry)
    fitted = [MODELS[model](each).fit(data).predict(data.items) for each in (ours, smoothed)]
    np.testing.assert_allclose(fitted[0], fitted[1], atol=1e-5)
    constant = partial(rm.label_smoothed, smoothing=0.2, objective=partial(rm.margin_bradley_terry, margin=1.0))
    assert not np.allclose(MODELS[model](constant).fit(data).predict(data.items), fitted[0], atol=1e-3)


def test_label_smoothing_names_a_column_that_its_objective_lacks() -> None:
    def needs(winner: Tensor, loser: Tensor, difficulty: Tensor) -> Tensor:
        return difficulty * rm.bradley_terry(winner, loser)

    with pytest.raises(ValueError, match="needs the column 'difficulty'"):
        rm.LinearReward(partial(rm.label_smoothed, objective=cast(Objective, needs))).fit(_preferences())


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_nan_in_a_column_is_found_whatever_is_drawn(batched: bool, seed: int) -> None:
    margin = np.ones(40)
    margin[11] = np.nan
    member = rm.MLPReward(rm.margin_bradley_terry, hidden_sizes=(4,), max_epochs=1, validation_fraction=0.0)
    model = rm.EnsembleReward(member, 1 if not batched else 2, bootstrap=True, batched=batched, random_state=seed)
    with pytest.raises(ValueError, match=r"column 'margin'.*comparison 11 has nan"):
        model.fit(_preferences(margin=margin))


_CONFIG = """
data: {{use: make_synthetic_banks, n_prompts: 20, n_test_prompts: 5}}
pairs: {{use: same_prompt}}
n_pairs: 20
annotator: {{use: oracle}}
models: {{m: {model}}}
"""


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("{use: LinearReward, objective: {use: hinge, margin: abc}}", "must be a number; got 'abc'"),
        ("{use: LinearReward, objective: {use: hinge, margin: true}}", "must be a number; got True"),
        ("{use: ClassifierReward, estimator: {use: minimum}}", "must be a classifier of scikit-learn"),
        ("{use: ClassifierReward, estimator: {use: LinearReward}}", "must be a classifier of scikit-learn"),
        ("{use: ClassifierReward, estimator: {use: sklearn.linear_model.LinearRegression}}", "must be a classifier"),
        ("{use: ClassifierReward, estimator: logistic}", "must be a classifier of scikit-learn"),
    ],
)
def test_a_config_refuses_when_it_is_loaded(model: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(_CONFIG.format(model=model))
    with pytest.raises(ConfigError, match=says):
        load_config(path)


@pytest.mark.parametrize(
    "model",
    [
        "{use: LinearReward, objective: {use: hinge, margin: 2}}",
        "{use: ClassifierReward, random_state: 3}",
        "{use: ClassifierReward, estimator: {use: sklearn.svm.LinearSVC}}",
        "{use: ClassifierReward, estimator: {use: sklearn.neighbors.KNeighborsClassifier, n_neighbors: 3}}",
        "{use: ClassifierReward, estimator: {use: sklearn.pipeline.Pipeline, steps: "
        "[[a, {use: sklearn.preprocessing.StandardScaler}], [b, {use: sklearn.linear_model.LogisticRegression}]]}}",
    ],
)
def test_a_config_accepts_what_is_right(model: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(_CONFIG.format(model=model))
    experiment = load_config(path)
    train, test = experiment.data()
    assert len(rm.run(train=train, test=test, **experiment.options))
