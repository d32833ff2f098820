"""Saved models: they are loaded as they were, and anything damaged, foreign or unknown is an error."""

import importlib
import json
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rmspace as rm
from rmspace.data.files import file_hash
from rmspace.kinds import Objective
from rmspace.models.io import format as persistence
from rmspace.models.io.booster_text import check_booster_text, trees_alone
from rmspace.models.io.values import ForeignFunction
from rmspace.paper.protocol import ProtocolMLPReward

PAIRS = np.array([[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]] * 8)
ITEMS = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
MODELS = {
    "linear": rm.LinearReward(partial(rm.label_smoothed, smoothing=0.2, objective=rm.thurstone)),
    "mlp": rm.MLPReward(hidden_sizes=(3,), max_epochs=2, validation_fraction=0.0, random_state=1),
    "lightgbm": rm.LightGBMReward(n_estimators=3, min_child_samples=1, n_jobs=1, parameters={"lambda_l2": 0.5}),
    "classifier": rm.ClassifierReward(LogisticRegression(C=3.0)),
    "ensemble": rm.EnsembleReward(
        rm.LinearReward(), 2, reduce=partial(rm.lower_confidence, k=2.0), bootstrap=True, random_state=0
    ),
    "pipeline": make_pipeline(StandardScaler(), rm.LinearReward()),
    "ensemble of pipelines": rm.EnsembleReward(
        make_pipeline(StandardScaler(), rm.LinearReward()), 2, bootstrap=True, random_state=0
    ),
    "published protocol": ProtocolMLPReward(hidden_sizes=(3,), max_epochs=2, random_state=0),
}


def saved(name: str, folder: Path) -> Any:
    model = MODELS[name].fit(ITEMS, PAIRS)
    rm.save(model, folder, overwrite=True)
    return model


def same(one: Any, other: Any) -> bool:
    """Say whether two values are equal, arrays and networks included."""
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return isinstance(other, dict) and list(one) == list(other) and all(map(same, one.values(), other.values()))
    if isinstance(one, float) and np.isnan(one):
        return isinstance(other, float) and np.isnan(other)
    if hasattr(one, "state_dict"):
        return str(one) == str(other) and same(
            *({k: v.numpy() for k, v in m.state_dict().items()} for m in (one, other))
        )
    if hasattr(one, "get_params") or isinstance(one, lightgbm.Booster | partial):
        return type(one) is type(other)
    return one == other


@pytest.mark.parametrize("name", MODELS)
def test_all_that_was_learned_comes_back(name: str, tmp_path: Path) -> None:
    model = saved(name, tmp_path / "model")
    again = rm.load(tmp_path / "model")
    assert type(again) is type(model)
    np.testing.assert_array_equal(again.predict(ITEMS), model.predict(ITEMS))
    assert set(vars(again)) == set(vars(model))
    assert all(same(value, vars(again)[attribute]) for attribute, value in vars(model).items())


@pytest.mark.parametrize(
    "objective",
    [
        rm.bradley_terry, rm.classification, rm.thurstone, rm.hinge, rm.margin_bradley_terry, rm.label_smoothed,
        partial(rm.margin_bradley_terry, margin=0.5), partial(rm.label_smoothed, smoothing=0.1, objective=rm.hinge),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:LinearReward stopped")
def test_objectives_come_back(objective: Objective, tmp_path: Path) -> None:
    rm.LinearReward(objective).fit(ITEMS, PAIRS).save(tmp_path / "model")
    again = rm.load(tmp_path / "model").objective
    assert getattr(again, "func", again) is getattr(objective, "func", objective)
    assert getattr(again, "keywords", {}) == getattr(objective, "keywords", {})


def rewrite_head(folder: Path, **changes: Any) -> None:
    """Change the JSON and give it a matching hash, as an attacker would."""
    path = folder / "model.json"
    path.write_bytes(persistence._canonical({**json.loads(path.read_bytes()), **changes}))


@pytest.mark.parametrize("name", MODELS)
def test_one_changed_byte_is_an_exception(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    saved(name, folder)
    rng = np.random.default_rng(0)
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        content = path.read_bytes()
        for position in rng.integers(len(content), size=40):
            damaged = bytearray(content)
            damaged[position] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"damaged|version|describe|does not"):
                rm.load(folder)
        path.write_bytes(content)
    rm.load(folder)


@pytest.mark.parametrize("name", MODELS)
def test_cut_short(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    saved(name, folder)
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match="damaged"):
            rm.load(folder)
        path.unlink()
        with pytest.raises((ValueError, FileNotFoundError), match=r"cut short|not a saved model"):
            rm.load(folder)
        path.write_bytes(content)


def test_parameters_come_back(tmp_path: Path) -> None:
    saved("linear", tmp_path / "a")
    objective = rm.load(tmp_path / "a").objective
    assert objective.func is rm.label_smoothed
    assert objective.keywords == {"smoothing": 0.2, "objective": rm.thurstone}
    saved("lightgbm", tmp_path / "b")
    assert rm.load(tmp_path / "b").get_params() == MODELS["lightgbm"].get_params()
    saved("mlp", tmp_path / "c")
    assert rm.load(tmp_path / "c").hidden_sizes == (3,)
    saved("ensemble", tmp_path / "d")
    again = rm.load(tmp_path / "d")
    assert again.reduce.keywords == {"k": 2.0}
    assert isinstance(again.member, rm.LinearReward)
    assert not hasattr(again.member, "coef_")


def test_other_versions_and_unknown_names_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    saved("linear", folder)
    rewrite_head(folder, version=3)
    with pytest.raises(ValueError, match="version 3; this rmspace reads version 2; upgrade"):
        rm.load(folder)
    rewrite_head(folder, version=1)
    with pytest.raises(ValueError, match="version 1; this rmspace reads version 2; fit and save it again"):
        rm.load(folder)
    for function in ("objectives.os", "os.system", "objectives.torch", "bradley_terry"):
        params: Any = {"objective": {"function": function, "keywords": {}}}
        rewrite_head(folder, version=2, params=params)
        with pytest.raises(ValueError, match=rf"the function '{function}', which this rmspace does not know"):
            rm.load(folder)
    rewrite_head(folder, params={"objective": {"pickle": "x"}})
    with pytest.raises(ValueError, match="holds a 'pickle', which this rmspace does not know"):
        rm.load(folder)


def test_a_class_that_is_not_registered_is_named_and_never_imported(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    saved("linear", folder)
    for module in ("os", "this_module_does_not_exist"):
        rewrite_head(folder, **{"class": "system", "module": module})
        with pytest.raises(
            ValueError, match=rf"the class 'system' \(of the module {module}\) is not registered; import"
        ):
            rm.load(folder)
    rewrite_head(folder, **{"class": "NobodysModel", "module": "__main__"})
    with pytest.raises(ValueError, match=r"'NobodysModel' .*is not registered; define it again"):
        rm.load(folder)


def test_files_outside_the_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    saved("linear", folder)
    (tmp_path / "secret").write_text("x")
    rewrite_head(folder, files={"../secret": file_hash(tmp_path / "secret")})
    with pytest.raises(ValueError, match="missing"):
        rm.load(folder)
    saved("linear", folder)
    saved("linear", tmp_path / "other")
    for reference in ("../other", str(tmp_path / "other"), "/dev/zero"):
        for kind in ("model", "estimator"):
            rewrite_head(folder, params={"objective": {kind: reference}})
            with pytest.raises(ValueError, match="is no file of a model"):
                rm.load(folder)
    saved("linear", folder)
    (folder / "extra").symlink_to("/etc/passwd")
    with pytest.raises(ValueError, match="extra is not in"):
        rm.load(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"class": ["x"]},
        {"module": None},
        {"files": []},
        {"params": 3},
        {"version": 0},
        {"version": "2"},
        {"state": {}},
        {"state": 3},
        {"state": {"predict": 3}},
        {"state": {"__class__": 3}},
        {"state": {"coef_": {"array": "gone"}}},
    ],
)
def test_heads_of_the_wrong_form(tmp_path: Path, changes: dict[str, Any]) -> None:
    saved("linear", tmp_path / "model")
    rewrite_head(tmp_path / "model", **changes)
    with pytest.raises(ValueError, match=r"damaged|version"):
        rm.load(tmp_path / "model")


def test_a_function_of_the_user_is_named_never_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import rmspace as rm\ndef mine(winner, loser):\n    return rm.bradley_terry(winner, loser)\n"
    (tmp_path / "module_of_mine.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    rm.LinearReward(importlib.import_module("module_of_mine").mine).fit(ITEMS, PAIRS).save(tmp_path / "model")
    del sys.modules["module_of_mine"]
    (tmp_path / "module_of_mine.py").write_text("raise SystemExit('imported')")
    model = rm.load(tmp_path / "model")
    assert "module_of_mine" not in sys.modules
    assert model.predict(ITEMS).shape == (10,)
    with pytest.raises(ValueError, match=r"saved with the function module_of_mine\.mine.*set_params"):
        model.fit(ITEMS, PAIRS)
    assert isinstance(model.objective, ForeignFunction)
    model.save(tmp_path / "again")
    assert rm.load(tmp_path / "again").objective.name == "module_of_mine.mine"
    model.set_params(objective=rm.bradley_terry).fit(ITEMS, PAIRS)


def test_untrusted_types_are_refused_when_saving(tmp_path: Path) -> None:
    model = rm.ClassifierReward(lightgbm.LGBMClassifier(verbosity=-1)).fit(ITEMS, PAIRS)
    with pytest.raises(TypeError, match=r"cannot be saved safely: .*lightgbm"):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_untrusted_types_are_refused_when_loading(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    saved("classifier", folder)
    file = folder / "estimator_2.skops"
    file.write_bytes(skops.io.dumps({"value": lightgbm.LGBMClassifier()}))
    hashes = json.loads((folder / "model.json").read_bytes())["files"]
    rewrite_head(folder, files={**hashes, "estimator_2.skops": file_hash(file)})
    with pytest.raises(ValueError, match=r"types that are not trusted: .*lightgbm"):
        rm.load(folder)


def test_forests_load_for_those_who_trust_them(tmp_path: Path) -> None:
    model = rm.ClassifierReward(RandomForestClassifier(3), random_state=0).fit(ITEMS, PAIRS)
    model.save(tmp_path / "model")
    if skops.io.get_untrusted_types(file=tmp_path / "model" / "estimator_1.skops"):  # some versions trust trees
        with pytest.raises(ValueError, match=r"not trusted: sklearn\.tree\._tree\.Tree; if you trust who wrote it"):
            rm.load(tmp_path / "model")
    again = rm.load(tmp_path / "model", trusted=["sklearn.tree._tree.Tree"])
    np.testing.assert_array_equal(again.predict(ITEMS), model.predict(ITEMS))


def test_generators_cannot_be_saved(tmp_path: Path) -> None:
    model = rm.MLPReward(hidden_sizes=(3,), max_epochs=1, validation_fraction=0, random_state=np.random.RandomState(0))
    with pytest.raises(TypeError, match=r"random_state=.*cannot be saved"):
        model.fit(ITEMS, PAIRS).save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


BREAKS = {
    "cut in the middle": lambda text: text[: len(text) // 2],
    "a tree missing": lambda text: text.replace("Tree=1\n", "Twig=1\n"),
    "a child out of range": lambda text: text.replace("left_child=", "left_child=99 ", 1),
    "a circle": lambda text: text.replace("right_child=-2", "right_child=0", 1),
    "a feature that is not there": lambda text: text.replace("split_feature=", "split_feature=77 ", 1),
    "a leaf too few": lambda text: text.replace("num_leaves=", "num_leaves=1", 1),
    "not a number": lambda text: text.replace("left_child=", "left_child=x", 1),
    "not trees": lambda text: "hello",
    "sizes that lie": lambda text: re.sub(r"tree_sizes=(\d+)", lambda m: f"tree_sizes={int(m[1]) + 1}", text),
    "a line twice": lambda text: text.replace("num_cat=0\n", "num_cat=0\nnum_cat=0\n", 1),
    "another line break": lambda text: text.replace("leaf_value=", "leaf_value=\x0b", 1),
    "a value that is none": lambda text: text.replace("threshold=", "threshold=x", 1),
    "a line after the trees": lambda text: text.replace("parameters:\n", "parameters:\nColumn_3=1\n", 1),
    "another head": lambda text: text.replace("num_class=1", "num_class=9"),
    "no features": lambda text: text.replace("max_feature_idx=3", "max_feature_idx=0"),
}


@pytest.mark.parametrize("how", BREAKS)
def test_damaged_trees_are_caught_before_lightgbm_sees_them(how: str) -> None:
    text = trees_alone(MODELS["lightgbm"].fit(ITEMS, PAIRS).booster_.model_to_string())
    check_booster_text(text)
    damaged = BREAKS[how](text)
    assert damaged != text
    with pytest.raises(ValueError, match=r"damaged|cut short|one output"):
        check_booster_text(damaged)


def test_saving_twice_needs_asking(tmp_path: Path) -> None:
    model = saved("linear", tmp_path / "model")
    with pytest.raises(FileExistsError):
        model.save(tmp_path / "model")
    assert [path.name for path in Path(tmp_path).iterdir()] == ["model"]
