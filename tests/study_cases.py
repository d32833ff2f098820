"""Small studies that several tests run, models that fail in every way, and the command in a process of its own."""

import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

import rmspace as rm
from faults import processes

SYNTHETIC = "{use: make_synthetic_banks, n_prompts: 40, n_test_prompts: 15, n_responses: 6, dim: 16}"
BASE = f"""\
base:
  data: {SYNTHETIC}
  pairs: {{use: same_prompt}}
  n_pairs: 50
  annotator: {{use: logistic, beta: 1.0}}
  models: {{BT: {{use: LinearReward}}}}
  metrics: {{gain: {{use: gain, n: [2, 6]}}, spearman: {{use: spearman}}}}
"""
LINEAR = BASE + "grid: {annotator.beta: [1, 10], seed: [0, 1]}\n"
THREE_MODELS = (
    BASE
    + """\
grid:
  annotator.beta: [1, 10]
  models: {BT: {use: LinearReward}, MLP: {use: MLPReward, hidden_sizes: [8], max_epochs: 2, precision: float32},
           LGB: {use: LightGBMReward, n_estimators: 3}}
  seed: [0, 1]
"""
)

ALLOW = ["study_cases"]  # this module is not beside the grids that name `study_cases.Faulty`
# Other processes find `study_cases.Faulty` too.
PATHS = [Path(__file__).parent, Path(processes.__file__).parents[1]]
ENVIRONMENT = {**processes.ENVIRONMENT, "PYTHONPATH": os.pathsep.join(map(str, PATHS))}


class Faulty(BaseEstimator):  # type: ignore[misc]
    """A reward model whose `fit` fails in the way that `kind` names."""

    def __init__(self, kind: str = "ok", seconds: float = 0.0, random_state: int | None = None) -> None:
        self.kind, self.seconds, self.random_state = kind, seconds, random_state

    def fit(self, items: Any, comparisons: Any, sample_weight: Any = None, groups: Any = None) -> "Faulty":
        time.sleep(self.seconds)
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "exit":
            os._exit(3)
        if self.kind == "hang":
            time.sleep(1000)
        if self.kind == "leave":
            sys.exit("giving up")
        if self.kind == "fail":
            raise RuntimeError("no luck")
        if self.kind == "interrupt":
            raise KeyboardInterrupt
        if self.kind == "surrogate":
            raise RuntimeError("bad \ud800")
        if self.kind == "no_text":
            raise NoText
        rng = np.random.default_rng(self.random_state)
        self.weights_ = rng.normal(size=np.shape(items)[1])
        return self

    def predict(self, items: Any) -> Any:
        return np.asarray(items, dtype=np.float64) @ self.weights_


class NoText(Exception):
    """An error whose text cannot be made."""

    def __str__(self) -> str:
        raise ZeroDivisionError


class Overwriting(BaseEstimator):  # type: ignore[misc]
    """A reward model whose `fit` changes a file of rewards in place, once: as long as a file `once` lies beside it."""

    def __init__(self, path: str = "", random_state: int | None = None) -> None:
        self.path, self.random_state = path, random_state

    def fit(self, items: Any, comparisons: Any, sample_weight: Any = None, groups: Any = None) -> "Overwriting":
        once = Path(self.path).with_name("once")
        if once.exists():
            once.unlink()
            rewards = np.load(self.path, mmap_mode="r+")
            rewards[:] = rewards[::-1].copy()
            rewards.flush()
        return self

    def predict(self, items: Any) -> Any:
        return np.asarray(items, dtype=np.float64)[:, 0]


def unstorable(scores: Any, rewards: Any) -> Any:
    """A metric; its name in a config decides what happens."""
    return np.zeros(len(scores))


def write_grid(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "grid.yaml"
    path.write_text(text)
    return path


def faulty_grid(kinds: Iterable[str], seeds: Iterable[int], seconds: float = 0.0) -> str:
    return BASE.replace("{BT: {use: LinearReward}}", f"{{BT: {{use: study_cases.Faulty, seconds: {seconds}}}}}") + (
        f"grid:\n  models.BT.kind: {list(kinds)}\n  seed: {list(seeds)}\n".replace("'", "")
    )


def start(*arguments: Any, **options: Any) -> processes.Process:
    """Start `rmspace study` in a process group of its own, which Ctrl-C interrupts."""
    words = ["-m", "rmspace", "study", *arguments, "--allow", *ALLOW]
    return processes.start(*words, **{"env": ENVIRONMENT, **options})


def numbers(folder: Path) -> pd.DataFrame:
    """Return a study's rows without the times, in the order of the grid."""
    return rm.Study.open(folder).results().drop(columns="fit_seconds")


def assert_same(folder: Path, other: Path) -> None:
    pd.testing.assert_frame_equal(numbers(folder), numbers(other), check_exact=True)
