import json
import re
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

import rmspace as rm
from rmspace.models.io import format as persistence
from rmspace.models.io.booster_text import check_booster_text, trees_alone

PAIRS = np.array([[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]] * 8)
ITEMS = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
MODELS = {
    "linear": rm.LinearReward(partial(rm.label_smoothed, smoothing=0.2, objective=rm.thurstone)),
    "mlp": rm.MLPReward(hidden_sizes=(3,), max_epochs=2, validation_fraction=0.0, random_state=1),
    "lightgbm": rm.LightGBMReward(n_estimators=3, min_child_samples=1, parameters={"lambda_l2": 0.5}),
    "classifier": rm.ClassifierReward(LogisticRegression(C=3.0)),
    "ensemble": rm.EnsembleReward(
        rm.LinearReward(), 2, reduce=partial(rm.lower_confidence, k=2.0), bootstrap=True, random_state=0
    ),
}


def saved(name, folder):
    model = MODELS[name].fit(ITEMS, PAIRS)
    model.save(folder, overwrite=True)
    return model


def rewrite_head(folder, **changes):
    """Change the JSON and give it a matching hash, as someone who means harm would."""
    path = folder / "model.json"
    path.write_bytes(persistence._canonical({**json.loads(path.read_bytes()), **changes}))


@pytest.mark.parametrize("name", MODELS)
def test_one_changed_byte_is_an_exception(name, tmp_path):
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
def test_cut_short(name, tmp_path):
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


def test_parameters_come_back(tmp_path):
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


def test_newer_versions_and_unknown_names_are_refused(tmp_path):
    folder = tmp_path / "model"
    saved("linear", folder)
    rewrite_head(folder, version=2)
    with pytest.raises(ValueError, match="version 2; this rmspace reads up to 1; upgrade"):
        rm.load(folder)
    rewrite_head(folder, version=1, **{"class": "os.system"})
    with pytest.raises(ValueError, match=r"names the class 'os\.system'; only"):
        rm.load(folder)
    params = {"objective": {"function": "os.system", "keywords": {}}}
    rewrite_head(folder, params=params, **{"class": "LinearReward"})
    with pytest.raises(ValueError, match=r"function 'os\.system'.*does not know"):
        rm.load(folder)


def test_files_outside_the_folder_are_refused(tmp_path):
    folder = tmp_path / "model"
    saved("linear", folder)
    (tmp_path / "secret").write_text("x")
    rewrite_head(folder, files={"../secret": persistence.file_hash(tmp_path / "secret")})
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
    "changes", [{"class": ["x"]}, {"files": []}, {"params": 3}, {"version": 0}, {"version": "1"}, {"state": {}}]
)
def test_heads_of_the_wrong_form(tmp_path, changes):
    saved("linear", tmp_path / "model")
    rewrite_head(tmp_path / "model", **changes)
    with pytest.raises(ValueError, match=r"damaged|version|hold together"):
        rm.load(tmp_path / "model")


def test_a_function_of_the_user_is_named_never_imported(tmp_path):
    code = f"""
        import numpy as np, rmspace as rm
        def mine(winner, loser):
            return rm.bradley_terry(winner, loser)
        items = np.eye(3, dtype=np.float32)
        rm.LinearReward(mine).fit(items, np.array([[0, 1], [1, 2]])).save({str(tmp_path / "model")!r})
    """
    (tmp_path / "my_module.py").write_text(textwrap.dedent(code))
    subprocess.run([sys.executable, "-c", "import my_module"], cwd=tmp_path, check=True)
    (tmp_path / "my_module.py").write_text("raise SystemExit('imported')")
    model = rm.load(tmp_path / "model")
    assert "my_module" not in sys.modules
    assert model.predict(np.eye(3)).argmax() == 0
    with pytest.raises(ValueError, match=r"saved with the function my_module\.mine.*set_params"):
        model.fit(np.eye(3), np.array([[0, 1]]))
    model.set_params(objective=rm.bradley_terry).fit(np.eye(3), np.array([[0, 1]]))


def test_untrusted_types_are_refused_when_saving(tmp_path):
    import lightgbm

    model = rm.ClassifierReward(lightgbm.LGBMClassifier(verbosity=-1)).fit(ITEMS, PAIRS)
    with pytest.raises(TypeError, match=r"cannot be saved safely: .*lightgbm"):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_untrusted_types_are_refused_when_loading(tmp_path):
    import lightgbm

    folder = tmp_path / "model"
    saved("classifier", folder)
    file = folder / "estimator.skops"
    file.write_bytes(skops.io.dumps({"fitted": lightgbm.LGBMClassifier()}))
    hashes = json.loads((folder / "model.json").read_bytes())["files"]
    rewrite_head(folder, files={**hashes, "estimator.skops": persistence.file_hash(file)})
    with pytest.raises(ValueError, match=r"types that are not trusted: .*lightgbm"):
        rm.load(folder)


def test_forests_load_for_those_who_trust_them(tmp_path):
    model = rm.ClassifierReward(RandomForestClassifier(3), random_state=0).fit(ITEMS, PAIRS)
    model.save(tmp_path / "model")
    if skops.io.get_untrusted_types(file=tmp_path / "model" / "estimator.skops"):  # some versions trust trees
        with pytest.raises(ValueError, match=r"not trusted: sklearn\.tree\._tree\.Tree; if you trust who wrote it"):
            rm.load(tmp_path / "model")
    again = rm.load(tmp_path / "model", trusted=["sklearn.tree._tree.Tree"])
    np.testing.assert_array_equal(again.predict(ITEMS), model.predict(ITEMS))


def test_generators_cannot_be_saved(tmp_path):
    model = rm.MLPReward(hidden_sizes=(3,), max_epochs=1, validation_fraction=0, random_state=np.random.RandomState(0))
    with pytest.raises(TypeError, match=r"parameter random_state=.*cannot be saved"):
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
def test_damaged_trees_are_caught_before_lightgbm_sees_them(how):
    text = trees_alone(MODELS["lightgbm"].fit(ITEMS, PAIRS).booster_.model_to_string())
    check_booster_text(text)
    damaged = BREAKS[how](text)
    assert damaged != text
    with pytest.raises(ValueError, match=r"damaged|cut short|one output"):
        check_booster_text(damaged)


def test_saving_twice_needs_asking(tmp_path):
    model = saved("linear", tmp_path / "model")
    with pytest.raises(FileExistsError):
        model.save(tmp_path / "model")
    assert [path.name for path in Path(tmp_path).iterdir()] == ["model"]


def test_a_model_saved_before_precisions_were_kept_still_loads(tmp_path):
    model = saved("mlp", tmp_path / "model")
    head = json.loads((tmp_path / "model" / "model.json").read_bytes())
    for name in ("precision", "device"):
        del head["state"][name], head["params"][name]
    rewrite_head(tmp_path / "model", state=head["state"], params=head["params"])
    again = rm.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(ITEMS), model.predict(ITEMS))
    assert again.precision_ == "float32"
