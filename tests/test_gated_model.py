"""Attributes weighed by a gate: planted gates are found, ratings may be missing, and prompts are told apart."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rmspace as rm
from rmspace._typing import Float64Array
from rmspace.config.build import load_config
from rmspace.data.prompts import append_prompts
from rmspace.models import GatedReward

NAMES = ["helpful", "safe"]


class World(NamedTuple):
    """Preferences with two attributes, and the true weights of each item's prompt."""

    data: rm.Preferences
    weights: Float64Array  # (n_items, 2)


def world(n_prompts: int, seed: int, *, known: float = 1.0, dim: int = 4, product: bool = False) -> World:
    """Draw prompts whose embedding tells which attribute counts, and two responses of each."""
    rng = np.random.default_rng(seed)
    basis = np.random.default_rng(99).normal(size=(dim, 2))
    prompts = rng.normal(size=(n_prompts, 2))
    lean = 6 * prompts[:, 0] * prompts[:, 1] if product else 3 * prompts[:, 0]
    weights = softmax(np.stack([lean, np.zeros(n_prompts)], axis=1), axis=1).repeat(2, axis=0)
    responses = rng.normal(size=(2 * n_prompts, dim))
    attributes = responses @ basis
    gold = 4 * (weights * attributes).sum(axis=1)
    pairs = np.arange(2 * n_prompts).reshape(-1, 2)
    first = rng.random(n_prompts) < expit(gold[pairs[:, 0]] - gold[pairs[:, 1]])
    ratings = np.where(rng.random(attributes.shape) < known, 3 + attributes, np.nan)
    features = dict(zip(NAMES, ratings.T, strict=True))
    items = np.concatenate([responses, prompts.repeat(2, axis=0)], axis=1)
    comparisons = np.where(first[:, None], pairs, pairs[:, ::-1])
    return World(rm.Preferences(items, comparisons, np.arange(2 * n_prompts) // 2, features=features), weights)


def fitted(data: rm.Preferences, **options: Any) -> GatedReward:
    model = GatedReward(NAMES, **{"prompt_width": 2, **options})
    return model.fit(data)


def test_a_planted_gate_is_found_and_no_linear_reward_has_it() -> None:
    train, test = world(3000, 0, known=0.3), world(1500, 1)
    model = fitted(train.data)
    found = model.predict_weights(test.data.items)
    assert np.abs(found - test.weights).mean() < 0.05
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    linear = rm.LinearReward().fit(train.data.items, train.data.comparisons)
    assert model.score(test.data) > linear.score(test.data) + 0.05


def test_ratings_that_are_linear_in_the_items_are_predicted_exactly() -> None:
    train = world(300, 2, known=0.2)
    model = fitted(train.data)
    truth = 3 + train.data.items[:, :4] @ np.random.default_rng(99).normal(size=(4, 2))
    np.testing.assert_allclose(model.predict_attributes(train.data.items), truth, atol=1e-4)


def penalised(model: GatedReward, data: rm.Preferences, beta: float, gate: list[Float64Array]) -> float:
    """Return the loss of a linear gate, written in numpy."""
    items = data.items.astype(float)
    a = (items[:, :4] @ model.heads_.T + model.intercepts_ - model.locations_) / model.scales_
    g = softmax((items[:, 4:] - model.prompt_mean_) / model.prompt_length_ @ gate[0] + gate[1], axis=1)
    scores = beta * (a * g).sum(axis=1)
    gap = scores[data.comparisons[:, 0]] - scores[data.comparisons[:, 1]]
    return float(np.logaddexp(0, -gap).mean() + model.alpha / 2 * (beta**2 + (gate[0] ** 2).sum()))


def test_the_gate_is_a_minimum_of_the_loss_that_is_stated() -> None:
    train = world(200, 3)
    model = fitted(train.data, alpha=0.01, tol=1e-7)
    least, rng = penalised(model, train.data, model.beta_, model.gate_), np.random.default_rng(0)
    for _ in range(20):
        moved = [each + 0.02 * rng.normal(size=each.shape) for each in model.gate_]
        assert penalised(model, train.data, model.beta_ + 0.02 * rng.normal(), moved) > least
    scores = model.predict(train.data.items)
    a = (model.predict_attributes(train.data.items) - model.locations_) / model.scales_
    np.testing.assert_allclose(
        scores, model.beta_ * (a * model.predict_weights(train.data.items)).sum(axis=1), atol=1e-9
    )


def test_without_prompts_all_have_the_weights_that_judges_use() -> None:
    rng = np.random.default_rng(4)
    items = rng.normal(size=(6000, 3))
    gold, pairs = 0.7 * items[:, 0] + 0.3 * items[:, 1], np.arange(6000).reshape(-1, 2)
    first = rng.random(3000) < expit(3 * (gold[pairs[:, 0]] - gold[pairs[:, 1]]))
    features = {"helpful": items[:, 0], "safe": 10 * items[:, 1]}  # another unit
    data = rm.Preferences(items, np.where(first[:, None], pairs, pairs[:, ::-1]), pairs.ravel() // 2, features=features)
    model = fitted(data, prompt_width=0)
    np.testing.assert_allclose(model.predict_weights(items[:2]), [[0.7, 0.3]] * 2, atol=0.04)
    assert model.beta_ == pytest.approx(3.0, rel=0.1)


def test_a_hidden_layer_finds_a_gate_that_is_no_linear_one() -> None:
    train, test = world(1500, 5, product=True), world(500, 6, product=True)
    flat = np.abs(fitted(train.data).predict_weights(test.data.items) - test.weights).mean()
    deep = fitted(train.data, hidden_sizes=(8,), alpha=1e-4, random_state=0, tol=1e-2)
    assert flat > 0.3
    assert np.abs(deep.predict_weights(test.data.items) - test.weights).mean() < 0.12


def test_comparisons_of_weight_zero_bring_their_ratings_and_no_preference() -> None:
    train = world(200, 7).data
    half = np.arange(200) < 100  # these are judged, and the others rated
    ratings = {name: np.where(np.arange(400) < 200, np.nan, value) for name, value in train.features.items()}
    data = rm.Preferences(train.items, train.comparisons, train.groups, weight=half, features=ratings)
    turned = np.where(half[:, None], train.comparisons, train.comparisons[:, ::-1])
    other = rm.Preferences(train.items, turned, train.groups, weight=half, features=ratings)
    one, same = (GatedReward(NAMES, prompt_width=2).fit(each) for each in (data, other))
    np.testing.assert_allclose(one.predict(train.items), same.predict(train.items), atol=1e-6)
    assert one.score(train[~half]) > 0.7
    with pytest.raises(ValueError, match="attribute 'helpful' is missing for all items"):
        fitted(data[half])


def test_saved_and_loaded_and_in_a_pipeline_and_an_ensemble(tmp_path: Path) -> None:
    train = world(100, 8, known=0.5)
    model = fitted(train.data, hidden_sizes=(3,), random_state=0, tol=1e-3)
    model.save(tmp_path / "model")
    again = rm.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(train.data.items), model.predict(train.data.items))
    pipeline = make_pipeline(StandardScaler(), GatedReward(NAMES, prompt_width=2))
    rm.fit_model(pipeline, train.data)
    assert pipeline.predict(train.data.items).shape == (200,)
    ensemble = rm.EnsembleReward(GatedReward(NAMES, prompt_width=2), 2, bootstrap=True, random_state=0)
    assert ensemble.fit(train.data).predict(train.data.items, return_std=True)[1].shape == (200,)


def test_it_runs_from_yaml_with_features_and_ties(tmp_path: Path) -> None:
    train, test = world(300, 9, known=0.5), world(200, 10)
    rm.Preferences(
        train.data.items.astype(np.float32),
        train.data.comparisons,
        train.data.groups,
        tie=np.arange(300) % 10 == 0,
        features=train.data.features,
    ).save(tmp_path / "train")
    rm.Preferences(test.data.items.astype(np.float32), test.data.comparisons, test.data.groups + 1000).save(
        tmp_path / "test"
    )
    (tmp_path / "a.yaml").write_text(
        "data: {use: open_preferences, train: train, test: test}\n"
        "models: {G: {use: GatedReward, attributes: [helpful, safe], prompt_width: 2}}\n"
    )
    experiment = load_config(tmp_path / "a.yaml")
    data, held_out = experiment.data()
    table = rm.run(train=data, test=held_out, **experiment.options)
    assert table[table.metric == "accuracy"].value.item() > 0.75


def test_prompts_are_appended_to_banks_of_each_layout() -> None:
    rng = np.random.default_rng(0)
    items = rng.normal(size=(6, 3)).astype(np.float32)
    ragged = rm.ResponseBank(items, np.arange(6.0), offsets=[0, 1, 3, 6], features={"length": np.arange(6)})
    own = append_prompts(ragged)
    for p, (start, stop) in enumerate([(0, 1), (1, 3), (3, 6)]):
        np.testing.assert_allclose(own.items[start:stop, 3:], [items[start:stop].mean(axis=0)] * (stop - start), 1e-6)
        assert own.counts[p] == stop - start
    np.testing.assert_array_equal(own.items[:, :3], items)
    assert own.features["length"].tolist() == list(range(6))
    given = append_prompts(rm.ResponseBank(items.reshape(2, 3, 3), prompt_ids=["a", "b"]), np.array([[1.0], [2.0]]))
    assert given.embeddings[:, :, 3].tolist() == [[1.0] * 3, [2.0] * 3]
    assert given.prompt_ids.tolist() == ["a", "b"]
    assert not given.has_rewards
    with pytest.raises(ValueError, match=r"prompts must be one embedding per prompt, \(3, width\); got float64"):
        append_prompts(ragged, np.ones((2, 4)))
    with pytest.raises(ValueError, match="prompts must be finite"):
        append_prompts(ragged, np.full((3, 1), np.nan))


@pytest.mark.parametrize(
    ("options", "features", "error", "message"),
    [
        ({}, {"safe": [1.0, 2.0, 3.0, 4.0]}, ValueError, "no feature 'helpful'.*no column 'winner_helpful'"),
        (
            {},
            {"helpful": [3.0] * 4},
            ValueError,
            "attribute 'helpful' must differ between items; all 4 rated ones have 3",
        ),
        ({}, {"helpful": [3.0, np.nan, 3.0, 3.0]}, ValueError, "all 3 rated ones have 3"),
        ({}, {"helpful": [np.nan] * 4}, ValueError, "attribute 'helpful' is missing for all items"),
        ({}, {"helpful": [1.0, np.inf, 2.0, 0.0]}, ValueError, "column 'loser_helpful' must be finite"),
        ({"prompt_width": 3}, {}, ValueError, "prompt_width must be below the 3 numbers of an item.*got 3"),
        ({"prompt_width": -1}, {}, ValueError, "prompt_width must be at least 0"),
        ({"attributes": "helpful"}, {}, TypeError, "attributes must list the names of at least one feature"),
        ({"attributes": ["a", "a"]}, {}, ValueError, "attributes must be different texts"),
        ({"alpha": -1.0}, {"helpful": [1.0, 2.0, 3.0, 4.0]}, ValueError, "alpha must be at least 0"),
        ({"hidden_sizes": 4}, {"helpful": [1.0, 2.0, 3.0, 4.0]}, TypeError, "hidden_sizes must list integers"),
    ],
)
def test_bad_input(options: dict[str, Any], features: Any, error: type[Exception], message: str) -> None:
    data = rm.Preferences(np.eye(4)[:, :3], [[0, 1], [2, 3]], [0, 0, 1, 1], features=features)
    with pytest.raises(error, match=message):
        GatedReward(**{"attributes": ["helpful"], **options}).fit(data)


def test_an_item_has_one_rating_and_predict_wants_the_width_of_the_fit() -> None:
    columns = {"winner_helpful": [1.0, 2.0], "loser_helpful": [0.0, 5.0]}
    with pytest.raises(ValueError, match="an item must have one helpful in all of its comparisons; item 0 has two"):
        GatedReward(["helpful"]).fit(np.eye(3), [[0, 1], [0, 2]], columns=columns)
    model = fitted(world(50, 11).data)
    for method in (model.predict, model.predict_weights, model.predict_attributes):
        with pytest.raises(ValueError, match="items must have the 6 numbers of the fit; got 4"):
            method(np.ones((2, 4)))
    assert model.predict_weights(np.empty((0, 6))).shape == (0, 2)
    model.gate_ = model.gate_[:1]
    with pytest.raises(ValueError, match="gate_ must list 2 arrays"):
        model.check_state()
