"""Models from outside the package: they are used, saved and loaded with no change inside it."""

import gc
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rmspace as rm
from rmspace._typing import FloatArray, IntArray
from rmspace.kinds import Objective
from rmspace.models.core.base import BaseReward
from rmspace.models.io.registry import find_class, is_registered

ITEMS = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
PAIRS = np.array([[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]] * 4)
GROUPS = np.repeat(np.arange(6), 2)


class GapOfMeans(BaseReward):
    """A model with two methods, learned values of every kind that can be saved, and no code for saving."""

    def __init__(self, objective: Objective = rm.bradley_terry, shrink: float = 0.0, scaler: Any = None) -> None:
        self.objective = objective
        self.shrink = shrink
        self.scaler = scaler

    def _fit(self, data: Any) -> None:
        rows = data.read()
        gaps = rows[data.pairs[:, 0]] - rows[data.pairs[:, 1]]
        self.coef_ = np.average(gaps, axis=0, weights=data.weights) / (1 + self.shrink)
        self.notes_ = {"first": [1, 2.5, "x", None, True], ("a", 1): (np.float32(0.5), np.arange(3))}
        self.names_ = np.array([["a", "b"], ["c", "d"]])
        self.helper_ = rm.LinearReward().fit(rows, data.pairs)
        self.scaler_ = StandardScaler().fit(rows)

    def _score(self, rows: FloatArray) -> FloatArray:
        return rows @ self.coef_


class Mine(rm.LinearReward):
    """A subclass with one more parameter and one more learned value."""

    def __init__(
        self,
        objective: Objective = rm.bradley_terry,
        *,
        alpha: float = 1e-4,
        max_iter: int = 1000,
        tol: float = 1e-6,
        scale: float = 2.0,
    ) -> None:
        super().__init__(objective, alpha=alpha, max_iter=max_iter, tol=tol)
        self.scale = scale

    def _fit(self, data: Any) -> None:
        super()._fit(data)
        self.n_seen_ = len(data.pairs)

    def _score(self, rows: FloatArray) -> FloatArray:
        return self.scale * super()._score(rows)


class MineOfMLP(rm.MLPReward):
    pass


class MineOfTrees(rm.LightGBMReward):
    def _fit(self, data: Any) -> None:
        super()._fit(data)
        self.n_trees_ = self.booster_.num_trees()


@rm.register
class Own(BaseEstimator):  # type: ignore[misc]
    """An estimator that derives from scikit-learn alone."""

    def __init__(self, column: int = 0) -> None:
        self.column = column

    def fit(
        self, items: FloatArray, comparisons: IntArray, sample_weight: None = None, groups: IntArray | None = None
    ) -> Any:
        sides = np.asarray(items)[comparisons, self.column]
        self.sign_ = float(np.sign((sides[:, 0] - sides[:, 1]).mean()))
        return self

    def predict(self, items: FloatArray) -> FloatArray:
        return self.sign_ * np.asarray(items, dtype=np.float64)[:, self.column]


@rm.register
class WithHooks(Own):
    """An estimator that writes its own file."""

    def write_state(self, folder: Path) -> dict[str, str]:
        (folder / "sign.txt").write_text(str(self.sign_))
        return {"kind": "text"}

    def read_state(self, folder: Path, state: dict[str, str]) -> None:
        assert state == {"kind": "text"}
        self.sign_ = float((folder / "sign.txt").read_text())


MODELS = {
    "derived from BaseReward": GapOfMeans(shrink=0.5, scaler=StandardScaler()),
    "derived from LinearReward": Mine(scale=3.0),
    "derived from MLPReward": MineOfMLP(hidden_sizes=(3,), max_epochs=2, validation_fraction=0.0, random_state=0),
    "derived from LightGBMReward": MineOfTrees(n_estimators=3, min_child_samples=1, n_jobs=1),
    "registered": Own(column=1),
    "registered, with hooks": WithHooks(column=2),
    "in a pipeline": make_pipeline(StandardScaler(), Own()),
    "in an ensemble": rm.EnsembleReward(GapOfMeans(), 2, bootstrap=True, random_state=0),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_from_outside_is_used_saved_and_loaded(name: str, tmp_path: Path) -> None:
    model = rm.fit_model(clone(MODELS[name]), ITEMS, PAIRS)
    rm.save(model, tmp_path / "model")
    again = rm.load(tmp_path / "model")
    assert type(again) is type(model)
    assert set(vars(again)) == set(vars(model))
    np.testing.assert_array_equal(again.predict(ITEMS), model.predict(ITEMS))
    rm.save(again, tmp_path / "model", overwrite=True)  # its own files are known as such


def test_learned_values_of_every_kind_come_back(tmp_path: Path) -> None:
    model = clone(MODELS["derived from BaseReward"]).fit(ITEMS, PAIRS)
    model.save(tmp_path / "model")
    again = rm.load(tmp_path / "model")
    assert again.notes_["first"] == [1, 2.5, "x", None, True]
    value, array = again.notes_["a", 1]
    assert (value, array.tolist(), array.dtype) == (0.5, [0, 1, 2], np.arange(3).dtype)
    assert again.names_.tolist() == [["a", "b"], ["c", "d"]]
    np.testing.assert_array_equal(again.helper_.coef_, model.helper_.coef_)
    np.testing.assert_array_equal(again.scaler_.mean_, model.scaler_.mean_)
    assert isinstance(again.scaler, StandardScaler)
    assert again.objective is rm.bradley_terry


def test_a_model_from_outside_runs_in_an_experiment() -> None:
    train, test = rm.make_synthetic_banks(40, 20, 4, 16, noise_std=0.0, seed=0)
    models = {"mine": GapOfMeans(), "own": Own()}
    table = rm.run(train=train, test=test, pairs=rm.same_prompt, n_pairs=200, annotator=rm.oracle, models=models, n=4)
    assert table[table.metric == "normalized_gain"].set_index("model").value["mine"] > 0.2


def test_what_cannot_be_saved_is_named(tmp_path: Path) -> None:
    model = Mine().fit(ITEMS, PAIRS)
    for value, message in (
        (object(), "extra_=<object"),
        ({"a": {1, 2}}, r"extra_\.a="),
        (np.array([1j]), "complex128"),
    ):
        model.extra_ = value
        with pytest.raises(TypeError, match=f"{message}.*"):
            model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()

    class Unknown(BaseEstimator):  # type: ignore[misc]
        def fit(self, items: Any, comparisons: Any) -> None:
            self.a_ = 1

        def predict(self, items: Any) -> Any:
            return np.zeros(len(items))

    with pytest.raises(
        TypeError, match=r"Unknown is not registered: derive it from BaseReward, or decorate .*register"
    ):
        rm.save(Unknown(), tmp_path / "model")


def test_a_name_can_be_taken_once() -> None:
    def another() -> Any:
        class Mine(rm.LinearReward):
            pass

        return Mine

    with pytest.raises(ValueError, match=r"named 'Mine' is registered already, test_registry\.Mine, .*rename test_reg"):
        another()
    with pytest.raises(ValueError, match="named 'LinearReward' is registered already"):
        type("LinearReward", (BaseReward,), {"__module__": "elsewhere"})
    assert find_class("Mine", __name__) is Mine


@pytest.mark.parametrize("derived", [True, False])
def test_a_class_that_is_defined_again_replaces_the_old_one(derived: bool, tmp_path: Path) -> None:
    def cell(factor: float) -> type[Any]:  # what a notebook cell does each time it runs
        def _score(self: Any, rows: FloatArray) -> FloatArray:
            return factor * rows[:, 0]

        def fit(
            self: Any, items: FloatArray, comparisons: IntArray, sample_weight: None = None, groups: None = None
        ) -> Any:
            self.n_features_in_ = items.shape[1]
            return self

        body = {"__module__": "__main__", "_score": _score, "fit": fit, "predict": lambda self, x: _score(self, x)}
        cls = type("Again", (BaseReward if derived else BaseEstimator,), body)
        return cls if derived else rm.register(cls)

    old = cell(1.0)
    model = old().fit(ITEMS, PAIRS)
    new = cell(2.0)
    assert find_class("Again", "__main__") is new
    rm.save(model, tmp_path / "model")  # a model of the old class can still be saved
    np.testing.assert_array_equal(rm.load(tmp_path / "model").predict(ITEMS), 2 * model.predict(ITEMS))


def test_a_class_that_is_gone_frees_its_name() -> None:
    def local(value: int) -> type[Any]:
        class Passing(BaseReward):
            def _fit(self, data: Any) -> None:
                self.value_ = value

        return Passing

    def elsewhere() -> type[Any]:
        class Passing(BaseReward):
            pass

        return Passing

    gc.disable()
    try:
        first = local(1)
        with pytest.raises(ValueError, match="named 'Passing' is registered already"):
            elsewhere()
        del first
        assert is_registered(elsewhere())  # it frees the first class before it checks the name
    finally:
        gc.enable()


def test_a_reloaded_module_registers_its_classes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models_of_mine.py").write_text("import rmspace as rm\nclass Reloaded(rm.LinearReward):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("models_of_mine")
    module.Reloaded().fit(ITEMS, PAIRS).save(tmp_path / "model")
    old = module.Reloaded
    assert importlib.reload(module).Reloaded is not old
    assert type(rm.load(tmp_path / "model")) is module.Reloaded
    del sys.modules["models_of_mine"], module, old
    gc.collect()
    with pytest.raises(ValueError, match="not registered; import it first: from models_of_mine import Reloaded"):
        rm.load(tmp_path / "model")
    assert "models_of_mine" not in sys.modules


def test_a_class_that_has_moved_is_loaded_with_a_warning(tmp_path: Path) -> None:
    from rmspace.models.io.format import _canonical

    Mine().fit(ITEMS, PAIRS).save(tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    path.write_bytes(_canonical({**json.loads(path.read_bytes()), "module": "old_place"}))
    with pytest.warns(UserWarning, match=r"saved with old_place\.Mine and is loaded with test_registry\.Mine"):
        rm.load(tmp_path / "model")


def test_register_takes_estimators_only() -> None:
    wrong: Any
    for wrong in (3, dict, lambda items: items):
        with pytest.raises(TypeError, match="register takes a class with fit, predict and get_params"):
            rm.register(wrong)


def test_a_model_without_its_methods_says_which() -> None:
    class Empty(BaseReward):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty must define _fit\(data\)"):
        Empty().fit(ITEMS, PAIRS)
