"""Every objective in every model that can use it, in YAML, and saved and loaded."""

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

import rmspace as rm
from rmspace import objectives
from rmspace.config.build import load_config
from rmspace.config.node import ConfigError
from rmspace.data.mixture import mix
from rmspace.data.pointwise import pair_up
from rmspace.data.rankings import choices_of

RNG = np.random.default_rng(0)
ITEMS = RNG.normal(size=(160, 4)).astype(np.float32)
GOLD = ITEMS @ np.array([1.5, -1.0, 0.5, 0.0])
GROUPS = np.arange(160) // 4
PAIRS = np.array(
    [[a, b] for p in range(40) for a in range(4 * p, 4 * p + 4) for b in range(4 * p, 4 * p + 4) if GOLD[a] > GOLD[b]]
)
PLAIN = rm.Preferences(ITEMS, PAIRS, GROUPS)
GAP = GOLD[PAIRS[:, 0]] - GOLD[PAIRS[:, 1]]


def judged(**columns: Any) -> rm.Preferences:
    return rm.Preferences(ITEMS, PAIRS, GROUPS, columns=columns)


def ranked() -> rm.Preferences:
    comparisons, columns = choices_of([sorted(range(4 * p, 4 * p + 4), key=lambda i: -GOLD[i]) for p in range(40)])
    return rm.Preferences(ITEMS, comparisons, GROUPS, columns=columns)


RATED = pair_up(ITEMS, np.clip(np.round(GOLD), -2, 2), GROUPS)
LABELLED = pair_up(ITEMS, GOLD > 0, GROUPS, name="label")


class Case(NamedTuple):
    """Data for an objective, and options that differ from its defaults, as YAML has them."""

    data: rm.Preferences
    options: Mapping[str, Any] = {}
    trees: str = "learn"  # or "refuse": no curvature anywhere; or "stuck": none at scores of 0, where trees start


CASES: dict[str, Case] = {
    "bradley_terry": Case(PLAIN),
    "classification": Case(PLAIN),
    "thurstone": Case(PLAIN),
    "hinge": Case(PLAIN, {"margin": 0.5}, "refuse"),
    "margin_bradley_terry": Case(judged(margin=GAP), {}),
    "label_smoothed": Case(PLAIN, {"smoothing": 0.05}),
    "rao_kupper": Case(judged(tie=GAP < 0.3), {"theta": 1.8}),
    "davidson": Case(judged(tie=GAP < 0.3), {"nu": 0.8}),
    "soft_labelled": Case(judged(probability=1 / (1 + np.exp(-GAP)))),
    "forward_corrected": Case(PLAIN, {"rate": 0.05}),
    "backward_corrected": Case(PLAIN, {"rate": 0.05}),
    "class_corrected": Case(judged(winner_class=np.arange(len(PAIRS)) % 2), {"rate_0": 0.05, "rate_1": 0.1}),
    "symmetric_cross_entropy": Case(PLAIN, {"beta": 0.5}),
    "generalized_cross_entropy": Case(PLAIN, {"q": 0.3}),
    "centred": Case(PLAIN, {"strength": 0.02}),
    "scaled": Case(judged(beta=np.where(np.arange(len(PAIRS)) % 2, 0.5, 2.0))),
    "squared_rating": Case(RATED),
    "huber_rating": Case(RATED, {"delta": 1.5}),
    "ordinal_rating": Case(RATED, {"thresholds": [-2.0, -0.7, 0.7, 2.0], "lowest": -2}),
    "quantile_rating": Case(RATED, {"quantile": 0.6, "smoothing": 1.0}),
    "mixture": Case(mix(pairs=PLAIN, ratings=RATED, labels=LABELLED), {"beta": 1.5, "weights": [1.0, 2.0, 0.5]}),
    "good_or_bad": Case(LABELLED),
    "kahneman_tversky": Case(LABELLED, {"undesirable": 0.8}, "stuck"),
    "plackett_luce": Case(ranked()),
}
MODELS: dict[str, Callable[..., Any]] = {
    "LinearReward": partial(rm.LinearReward, alpha=1e-2),
    "MLPReward": partial(
        rm.MLPReward,
        hidden_sizes=(16,),
        max_epochs=50,
        learning_rate=2e-2,
        batch_size=1000,
        validation_fraction=0.0,
        random_state=0,
        precision="float32",
    ),
    "LightGBMReward": partial(rm.LightGBMReward, n_estimators=30, min_child_samples=5, n_jobs=1),
}


def test_every_objective_has_a_case() -> None:
    assert set(CASES) == set(objectives.__all__)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", CASES)
def test_every_objective_learns_in_every_model(name: str, model: str) -> None:
    data, options, trees = CASES[name]
    estimator = MODELS[model](partial(getattr(objectives, name), **options) if options else getattr(objectives, name))
    if model == "LightGBMReward" and trees == "refuse":
        with pytest.raises(ValueError, match="no curvature"):
            estimator.fit(data)
        return
    if model == "LightGBMReward" and trees == "stuck":
        with pytest.warns(UserWarning, match="no tree has a split"):
            estimator.fit(data)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # L-BFGS stops at kinks
        scores = estimator.fit(data).predict(ITEMS)
    right = scores[PAIRS[:, 0]] > scores[PAIRS[:, 1]]
    assert right.mean() > 0.8


SMALL: dict[str, dict[str, Any]] = {
    "LinearReward": {"max_iter": 20},
    "MLPReward": {
        "hidden_sizes": [8], "max_epochs": 15, "learning_rate": 0.05, "batch_size": 1000, "validation_fraction": 0.0,
        "random_state": 0, "precision": "float32",
    },
    "LightGBMReward": {"n_estimators": 20, "min_child_samples": 5, "n_jobs": 1},
}  # fmt: skip
IN_MODELS = [
    pytest.param(name, model, id=f"{name}-{model}")
    for name, case in CASES.items()
    for model in SMALL
    if model != "LightGBMReward" or case.trees == "learn"
]


@pytest.mark.parametrize(("name", "model_name"), IN_MODELS)
def test_every_objective_is_saved_and_loaded_in_every_model(name: str, model_name: str, tmp_path: Path) -> None:
    data, options, _ = CASES[name]
    objective = partial(getattr(objectives, name), **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = getattr(rm, model_name)(objective, **SMALL[model_name]).fit(data)
    model.save(tmp_path / "model")
    again = rm.load(tmp_path / "model")
    assert getattr(again.objective, "func", again.objective) is getattr(objectives, name)
    assert getattr(again.objective, "keywords", {}) == options
    np.testing.assert_array_equal(again.predict(ITEMS), model.predict(ITEMS))


@pytest.mark.parametrize(("name", "model_name"), IN_MODELS)
def test_every_objective_runs_from_yaml_in_every_model(name: str, model_name: str, tmp_path: Path) -> None:
    data, options, _ = CASES[name]
    data.save(tmp_path / "train")
    test = rm.Preferences(ITEMS * 1.01, PAIRS, GROUPS + 1000)
    test.save(tmp_path / "test")
    (tmp_path / "a.yaml").write_text(
        "data: {use: open_preferences, train: train, test: test}\n"
        f"models: {{M: {{use: {model_name}{_written(SMALL[model_name])}, "
        f"objective: {{use: {name}{_written(options)}}}}}}}\n"
    )
    experiment = load_config(tmp_path / "a.yaml")
    train, held_out = experiment.data()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        table = rm.run(train=train, test=held_out, **experiment.options)
    assert table[table.metric == "accuracy"].value.item() > 0.8


def _written(options: Mapping[str, Any]) -> str:
    return "".join(f", {name}: {value}" for name, value in options.items())


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("{use: rao_kupper, theta: 0.5}", "theta must be at least 1.0"),
        ("{use: forward_corrected, rate: 0.5}", "rate must be below 0.5"),
        ("{use: class_corrected, rate_0: 0.5, rate_1: 0.6}", "rate_0 and rate_1 must have a sum below 1"),
        ("{use: ordinal_rating, thresholds: [1.0, 0.0]}", "thresholds must ascend"),
        ("{use: squared_rating, lowest: 5, highest: 1}", "lowest must be below highest"),
        ("{use: label_smoothed, smoothing: 0.5}", "smoothing must be below 0.5"),
        ("{use: centred, strength: -1.0}", "strength must be at least 0.0"),
    ],
)
def test_an_option_out_of_range_is_told_when_the_config_is_read(objective: str, message: str, tmp_path: Path) -> None:
    PLAIN.save(tmp_path / "train")
    (tmp_path / "a.yaml").write_text(
        "data: {use: open_preferences, train: train, test: train}\n"
        f"models: {{M: {{use: LinearReward, objective: {objective}}}}}\n"
    )
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "a.yaml")


@pytest.mark.parametrize("objective", ["{use: ordinal_rating, lowest: 10}", "{use: squared_rating, lowest: 10}"])
def test_a_scale_far_from_one_is_no_mistake_of_a_config(objective: str, tmp_path: Path) -> None:
    PLAIN.save(tmp_path / "train")
    (tmp_path / "a.yaml").write_text(
        "data: {use: open_preferences, train: train, test: train}\n"
        f"models: {{M: {{use: LinearReward, objective: {objective}}}}}\n"
    )
    load_config(tmp_path / "a.yaml")


def test_columns_reach_an_objective_inside_another_one() -> None:
    """Ties go to the inner objective that knows them, and its loss is the one of the columns."""
    tie = torch.arange(6) % 2 == 0
    seen = []

    def watching(winner: torch.Tensor, loser: torch.Tensor, tie: torch.Tensor) -> torch.Tensor:
        seen.append(int(tie.sum()))
        return objectives.rao_kupper(winner, loser, tie=tie)

    outer = partial(objectives.centred, objective=partial(objectives.scaled, objective=watching))
    rm.LinearReward(outer).fit(ITEMS, PAIRS[:6], columns={"tie": tie.numpy()})
    assert set(seen) == {3}
