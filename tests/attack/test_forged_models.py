"""Forged models, whose hashes are right: what no fit can have made is refused when it is loaded."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import rmspace as rm
from rmspace import models
from rmspace.data.files import file_hash
from rmspace.models.io import format as persistence
from rmspace.paper.protocol import ProtocolMLPReward

PAIRS = np.array([[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]] * 8)
ITEMS = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
COLUMNS = {"annotator": [0, 1] * 20, "winner_length": PAIRS[:, 0], "loser_length": PAIRS[:, 1]}
COLUMNS |= {"winner_rating": PAIRS[:, 0], "loser_rating": PAIRS[:, 1]}
MODELS: dict[str, Any] = {
    "linear": rm.LinearReward(),
    "mlp": rm.MLPReward(hidden_sizes=(3,), max_epochs=1, validation_fraction=0.0, random_state=1),
    "classifier": rm.ClassifierReward(),
    "ensemble": rm.EnsembleReward(rm.LinearReward(), 2, bootstrap=True, random_state=0),
    "annotator": models.AnnotatorReward(),
    "length": models.LengthFreeReward(),
    "gated": models.GatedReward(["length"], prompt_width=1),
    "decomposed": models.DecomposedReward(2),
    "general": models.GeneralPreferenceReward(1, random_state=0),
    "gaussian": models.GaussianReward(),
    "dropout": models.DropoutReward(
        rm.MLPReward(hidden_sizes=(3,), dropout=0.5, max_epochs=1, validation_fraction=0.0), 2, random_state=0
    ),
    "ordinal": models.OrdinalReward(),
    "quantile": models.QuantileReward(quantiles=(0.25, 0.5)),
    "protocol": ProtocolMLPReward(hidden_sizes=(3,), max_epochs=1, random_state=0),
}
Forgery = Callable[[dict[str, Any], Path], None]


def _state(**values: Any) -> Forgery:
    return lambda head, folder: head["state"].update(values)


def _arrays(**changed: Any) -> Forgery:
    def forge(head: dict[str, Any], folder: Path) -> None:
        path = folder / "arrays.safetensors"
        save_file({**load_file(path), **changed}, path)

    return forge


FORGERIES: dict[str, tuple[str, Forgery, str]] = {
    "no members": ("ensemble", _state(members_={"list": []}), "members_ must list at least one model"),
    "members as a number": ("ensemble", _state(members_=3), "members_ must list at least one model; got 3"),
    "a number as member": ("ensemble", _state(members_={"list": [1, 2]}), "each member must be a model"),
    "one location for two": ("ensemble", _arrays(locations_=np.zeros(1)), r"locations_ must be finite numbers \(2,\)"),
    "a scale of 0": ("ensemble", _arrays(scales_=np.zeros(2)), "scales_ must be above 0"),
    "a scale that is nan": ("ensemble", _arrays(scales_=np.full(2, np.nan)), "scales_ must be finite"),
    "a number as estimator": ("classifier", _state(estimator_=5), "estimator_ must be a classifier; got 5"),
    "another number of features": ("classifier", _state(n_features_in_=7), "features"),
    "a text as intercept": ("linear", _state(intercept_="a"), "intercept_ must be a number"),
    "an infinite intercept": ("linear", _state(intercept_=float("inf")), "intercept_ must be finite"),
    "short weights": ("linear", _arrays(coef_=np.zeros(1)), r"coef_ must be finite numbers \(4,\)"),
    "weights of two rows": ("linear", _arrays(coef_=np.zeros((4, 2))), r"coef_ must be finite numbers \(4,\)"),
    "weights as a text": ("linear", _state(coef_="abcd"), "coef_ must be finite numbers"),
    "weights that are nan": ("linear", _arrays(coef_=np.full(4, np.nan)), "coef_ must be finite"),
    "features as a text": ("linear", _state(n_features_in_="4"), "n_features_in_ must be an integer|coef_"),
    "a beta below 0": ("annotator", _arrays(betas_=np.array([-1.0, 1.0])), "betas_ must be above 0; got -1"),
    "a beta too few": ("annotator", _arrays(betas_=np.ones(1)), r"betas_ must be finite numbers \(2,\)"),
    "errors that are nan": ("annotator", _arrays(errors_=np.full(2, np.nan)), "errors_ must be finite"),
    "counts too few": ("annotator", _arrays(n_judged_=np.ones(1, int)), r"n_judged_ must be whole numbers \(2,\)"),
    "short weights of annotators": ("annotator", _arrays(coef_=np.zeros(1)), r"coef_ must be finite numbers \(4,\)"),
    "a short direction": ("length", _arrays(direction_=np.zeros(3)), r"direction_ must be finite numbers \(4,\)"),
    "a number as the member": ("length", _state(member_=3), "member_ must be a model of 5 features; got 3"),
    "short heads": ("gated", _arrays(heads_=np.zeros((1, 4))), r"heads_ must be finite numbers \(1, 3\)"),
    "a scale of attributes of 0": ("gated", _arrays(scales_=np.zeros(1)), "scales_ and prompt_length_ must be above 0"),
    "no gate": ("gated", _state(gate_=3), "gate_ must list 2 arrays; got 3"),
    "a prompt as wide as the item": ("gated", _state(n_features_in_=1), "prompt_width must be below the 1 numbers"),
    "a scale of a head of 0": ("decomposed", _arrays(scales_=np.zeros(2)), "scales_ must be above 0; got 0"),
    "short components": ("decomposed", _arrays(components_=np.eye(2)), r"components_ must be finite numbers \(2, 4\)"),
    "a plane too many": ("general", _arrays(coef_=np.zeros((4, 4))), r"coef_ must be finite numbers \(2, 4\)"),
    "a short deviation": ("gaussian", _arrays(log_std_coef_=np.zeros(3)), r"log_std_coef_ must be finite numbers"),
    "a quantile without model": ("quantile", _state(members_={"list": [1, 2]}), "each member must be a model"),
    "no member with dropped units": ("dropout", _state(members_={"list": []}), "members_ must list at least one model"),
    "thresholds that fall": (
        "ordinal",
        _arrays(thresholds_=-np.arange(9.0)),
        "levels_ and thresholds_ must ascend|thr",
    ),
    "a class too few": ("ordinal", _arrays(levels_=np.arange(2.0)), r"thresholds_ must be finite numbers \(1,\)"),
    "no features": ("linear", _state(n_features_in_=0), "n_features_in_ must be|coef_ must be"),
    "a text as network": ("mlp", _state(network_="net"), "network_ must be a network of 4 inputs; got 'net'"),
    "a network of other items": ("mlp", _state(n_features_in_=5), "network_ must be a network of 5 inputs"),
    "a number as protocol's network": ("protocol", _state(network_=1), "network_ must be a network of 4 inputs"),
}


def _seal(folder: Path, head: dict[str, Any]) -> None:
    """Write the head of a forged model with the hashes that its files have now."""
    files = [path for path in folder.rglob("*") if path.is_file() and path != folder / "model.json"]
    head["files"] = {path.relative_to(folder).as_posix(): file_hash(path) for path in files}
    (folder / "model.json").write_bytes(persistence._canonical(head))


@pytest.mark.parametrize("case", FORGERIES)
def test_what_no_fit_can_have_made_is_refused_on_load(case: str, tmp_path: Path) -> None:
    name, forge, says = FORGERIES[case]
    folder = tmp_path / "model"
    MODELS[name].fit(ITEMS, PAIRS, columns=COLUMNS).save(folder)
    head = json.loads((folder / "model.json").read_bytes())
    _seal(folder, head)
    rm.load(folder)  # a seal alone changes nothing
    forge(head, folder)
    _seal(folder, head)
    with pytest.raises(ValueError, match=says) as caught:
        rm.load(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_would_fill_the_memory_is_not_unpacked(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    MODELS["classifier"].fit(ITEMS, PAIRS).save(folder)
    (path,) = folder.glob("*.skops")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.npy", bytes(300 << 20))
    assert path.stat().st_size < 1 << 20
    _seal(folder, json.loads((folder / "model.json").read_bytes()))
    with pytest.raises(ValueError, match=r"would be unpacked to 314,\d+,\d+; at most 16,777,216 are read"):
        rm.load(folder)
