"""What can be damaged: each is written to a folder, and read as a user reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rmspace as rm
from faults.cosines import Cosines
from rmspace.text import TextReward, embed
from rmspace.text.records import TextItem

TEXTS = [TextItem((), f"text {k}") for k in range(30)]
ITEMS = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
GRID: dict[str, Any] = {
    "base": {
        "data": {"use": "make_synthetic_banks", "n_prompts": 20, "n_test_prompts": 8, "n_responses": 4, "dim": 16},
        "pairs": {"use": "same_prompt"},
        "n_pairs": 30,
        "annotator": {"use": "logistic"},
        "models": {"BT": {"use": "LinearReward"}},
    },
    "grid": {"annotator.beta": [1, 10], "seed": [0, 1]},
}


class Subject(NamedTuple):
    """A kind of folder."""

    name: str
    write: Callable[[Path, int], None]
    """(folder, seed): another seed gives another content of the same form."""
    read: Callable[[Path], list[Any]]
    """All that a user gets from the folder."""


def _fitted(model: Any, seed: int) -> Any:
    pairs = np.random.default_rng(seed).permutation(40).reshape(20, 2)
    return model.fit(ITEMS, pairs)


def _model(name: str, make: Callable[[], Any]) -> Subject:
    def read(folder: Path) -> list[Any]:
        model = rm.load(folder)
        return [np.asarray(model.predict(ITEMS)), str(model.get_params())]

    return Subject(name, lambda folder, seed: rm.save(_fitted(make(), seed), folder), read)


def _write_bank(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rm.ResponseBank(
        rng.normal(size=(12, 4)).astype(np.float32),
        rng.normal(size=12),
        offsets=[0, 3, 8, 12],
        features={"length": rng.integers(1, 9, size=12)},
        prompt_ids=["a", "b", "c"],
        metadata={"source": "here", "seed": seed},
    ).save(folder)


def _write_preferences(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rm.Preferences(
        rng.normal(size=(12, 4)).astype(np.float32),
        rng.permutation(12).reshape(6, 2),
        np.arange(12) // 2,
        margin=rng.normal(size=6),
        subset=list("xxyyzz"),
        features={"length": rng.integers(1, 9, size=12)},
        metadata={"source": "here", "seed": seed},
    ).save(folder)


def _read_data(kind: type[rm.ResponseBank] | type[rm.Preferences]) -> Callable[[Path], list[Any]]:
    def read(folder: Path) -> list[Any]:
        data = kind.open(folder)
        data.verify()
        return [data.fingerprint(), data.metadata]

    return read


def _write_study(folder: Path, seed: int) -> None:
    folder.mkdir()
    grid = folder.parent / "grid.yaml"
    grid.write_text(yaml.safe_dump({**GRID, "grid": {**GRID["grid"], "seed": [seed, seed + 1]}}), encoding="utf-8")
    rm.run_study(grid, folder)


def _read_study(folder: Path) -> list[Any]:
    study = rm.Study.open(folder)
    cells = study.cells()
    return [study.results(), cells, [study.config(key) for key in cells.key]]


def _write_embeddings(folder: Path, seed: int) -> None:
    embed(TEXTS[seed : seed + 20], Cosines(), out=folder, shard=7, progress=False)


def _read_embeddings(folder: Path) -> list[Any]:
    return [np.asarray(embed(TEXTS[:20], Cosines(), out=folder, progress=False))]


def _write_reward(folder: Path, seed: int) -> None:
    TextReward(Cosines(), _fitted(rm.LinearReward(), seed), temperature=1.0 + seed).save(folder)


def _read_reward(folder: Path) -> list[Any]:
    reward = TextReward.load(folder, encoder=Cosines())
    return [reward.score_items(TEXTS)[0]]


SUBJECTS = (
    _model("a linear model", rm.LinearReward),
    _model("a network", lambda: rm.MLPReward(hidden_sizes=(4,), max_epochs=1, validation_fraction=0.0, random_state=0)),
    _model("boosted trees", lambda: rm.LightGBMReward(n_estimators=3, min_child_samples=2)),
    _model("a classifier", lambda: rm.ClassifierReward(LogisticRegression())),
    _model("an ensemble", lambda: rm.EnsembleReward(rm.LinearReward(), 2, bootstrap=True, random_state=0)),
    _model("a pipeline", lambda: make_pipeline(StandardScaler(), rm.LinearReward())),
    Subject("a bank", _write_bank, _read_data(rm.ResponseBank)),
    Subject("preferences", _write_preferences, _read_data(rm.Preferences)),
    Subject("a study", _write_study, _read_study),
    Subject("embeddings of texts", _write_embeddings, _read_embeddings),
    Subject("a reward model of texts", _write_reward, _read_reward),
)
