"""Every model of the library: from YAML, saved and loaded, on items of each kind, and in an ensemble."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rmspace as rm
from rmspace import models
from rmspace.config.build import load_config
from rmspace.models.core.predicting import predict_data

RNG = np.random.default_rng(0)
ITEMS = (RNG.integers(-64, 64, size=(240, 5)) / 32).astype(np.float32)  # each precision holds them exactly
GOLD = ITEMS @ np.array([1.5, -1.0, 0.5, 0.0, 0.0], dtype=np.float32)
_FIRST = np.arange(240).reshape(120, 2)
PAIRS = np.where((GOLD[_FIRST[:, 0]] > GOLD[_FIRST[:, 1]])[:, None], _FIRST, _FIRST[:, ::-1])
DATA = rm.Preferences(
    ITEMS,
    PAIRS,
    np.arange(240) // 4,
    annotator=np.arange(120) % 2,
    features={"length": ITEMS[:, 4], "rating": np.clip(np.round(GOLD), -2, 2), "other": -GOLD},
)
NETWORK = "hidden_sizes: [8], max_epochs: 30, learning_rate: 0.02, validation_fraction: 0.0, precision: float32"
CASES: dict[str, str] = {
    "AnnotatorReward": "alpha: 0.01",
    "ClassifierReward": "estimator: {use: sklearn.linear_model.LogisticRegression}",
    "DecomposedReward": "n_components: 5",
    "DropoutReward": f"n_members: 3, member: {{use: MLPReward, dropout: 0.1, {NETWORK}}}",
    "EnsembleReward": "n_members: 2, bootstrap: true, member: {use: LinearReward}",
    "GatedReward": "attributes: [rating, other], prompt_width: 1",
    "GaussianReward": "k: 0.1, beta: 0.1",
    "GeneralPreferenceReward": "rank: 1",
    "LaplaceReward": "alpha: 0.01",
    "LengthFreeReward": "how: joint",
    "LightGBMReward": "n_estimators: 40, min_child_samples: 5, n_jobs: 1",
    "LinearReward": "alpha: 0.01",
    "MLPReward": NETWORK,
    "OrdinalReward": "alpha: 0.01",
    "QuantileReward": "quantiles: [0.25, 0.5], smoothing: 0.3",
    "TunedReward": "grid: {alpha: [0.01, 0.1]}, n_splits: 2, member: {use: LinearReward}",
}


@pytest.fixture(autouse=True)
def _few_rows() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return every model as a config makes it, with a seed where it has one."""
    folder = tmp_path_factory.mktemp("configs")
    DATA.save(folder / "train")
    rm.Preferences(ITEMS * 1.01, PAIRS, np.arange(240) // 4 + 1000, features=dict(DATA.features)).save(folder / "test")
    lines = "".join(f"  {name}: {{use: {name}, {options}}}\n" for name, options in CASES.items())
    (folder / "a.yaml").write_text(f"data: {{use: open_preferences, train: train, test: test}}\nmodels:\n{lines}")
    found: dict[str, Any] = load_config(folder / "a.yaml").options["models"]
    for model in found.values():
        seeds = [name for name in model.get_params() if name.endswith("random_state")]
        model.set_params(**dict.fromkeys(seeds, 0))
    return found


def test_every_model_has_a_case() -> None:
    assert set(CASES) == set(models.__all__)


@pytest.mark.parametrize("name", CASES)
def test_it_learns_and_is_saved_and_loaded(name: str, built: dict[str, Any], tmp_path: Path) -> None:
    model = clone(built[name]).fit(DATA)
    assert model.score(DATA) > 0.8
    model.save(tmp_path / "model")
    again = rm.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(ITEMS), model.predict(ITEMS))
    assert again.score(DATA) == model.score(DATA)
    assert type(again) is type(model)


@pytest.mark.parametrize("name", CASES)
def test_items_of_each_kind_give_the_same_scores(name: str, built: dict[str, Any], tmp_path: Path) -> None:
    model = clone(built[name]).fit(DATA)
    scores = model.predict(ITEMS)
    assert scores.dtype == np.float64
    assert scores.shape == (240,)
    np.save(tmp_path / "items.npy", ITEMS)
    kinds = [ITEMS.astype(np.float16), ITEMS.astype(np.float64), np.load(tmp_path / "items.npy", mmap_mode="r")]
    for items in kinds:
        np.testing.assert_allclose(model.predict(items), scores, rtol=1e-5, atol=1e-5)
    order = RNG.permutation(240)
    np.testing.assert_allclose(model.predict(ITEMS[order]), scores[order], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_it_works_in_a_pipeline_in_an_ensemble_and_in_a_run(name: str, built: dict[str, Any]) -> None:
    pipeline = rm.fit_model(make_pipeline(StandardScaler(), clone(built[name])), DATA)
    sides = predict_data(pipeline, DATA)
    sides = sides if sides.ndim == 2 else sides[PAIRS]
    assert (sides[:, 0] > sides[:, 1]).mean() > 0.8
    ensemble = rm.EnsembleReward(clone(built[name]), 2, bootstrap=True, random_state=0).fit(DATA)
    assert ensemble.predict(ITEMS).shape == (240,)
    test = rm.Preferences(ITEMS * 1.01, PAIRS, np.arange(240) // 4 + 1000)
    table = rm.run(train=DATA, test=test, models={name: built[name]})
    assert table[table.metric == "accuracy"].value.item() > 0.8
