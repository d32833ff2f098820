"""Computing one cell, on whichever worker it is: the banks and what its neighbours shared are kept for the next."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
import traceback
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rmspace import __version__
from rmspace.config.build import Experiment, build_experiment
from rmspace.config.node import as_node
from rmspace.data.bank import ResponseBank
from rmspace.data.files import file_hash
from rmspace.experiment import RESULT_VERSION, run
from rmspace.models.core.reuse import reuse_items
from rmspace.study.banks import Banks, check_banks, file_signature

_PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "torch", "lightgbm")
DONE, FAILED, CRASHED, TIMEOUT = "done", "failed", "crashed", "timeout"
MEASURES = ["model", "metric", "n", "value", "low", "high"]
FACTS = ["error_rate", "mean_abs_gap", "fit_seconds", "precision", "device"]


@dataclass(frozen=True)
class Task:
    """All that a worker needs to compute one cell: a config, where its banks and modules lie, what they must be."""

    key: str
    labels: str
    config: dict[str, Any]
    banks: Banks
    modules: dict[str, str]
    group: str
    path: Path  # of the grid
    folders: tuple[Path, ...]  # that the user's modules may lie in
    allow: tuple[str, ...] = ()  # other modules that the config may import


@dataclass(frozen=True)
class Outcome:
    """What became of a cell: its rows, or its error."""

    task: Task
    status: str
    seconds: float
    worker: str
    environment: str
    measures: list[tuple[Any, ...]]  # MEASURES, a row
    facts: list[tuple[Any, ...]]  # model, then FACTS, a row
    error: str | None = None
    traceback: str | None = None
    attempts: int = 1


class Computer:
    """Computes cells one after the other; cells of one group share their banks, gathered rows and bins."""

    def __init__(self) -> None:
        self._group: str | None = None
        self._data: str | None = None
        self._banks: tuple[ResponseBank, ResponseBank] | None = None
        self._sharing = ExitStack()

    def __call__(self, task: Task) -> Outcome:
        """Compute a cell; an error inside it is its outcome, an interruption is not."""
        start = time.perf_counter()
        measures: list[tuple[Any, ...]] = []
        facts: list[tuple[Any, ...]] = []
        status, error, trace = DONE, None, None
        try:
            measures, facts = self._run(task)
        except (Exception, SystemExit) as problem:
            status, error, trace = FAILED, _one_line(problem), traceback.format_exc()
            self.close()
        seconds = time.perf_counter() - start
        return Outcome(task, status, seconds, worker_name(), environment(), measures, facts, error, trace)

    def close(self) -> None:
        """Let go of the banks and of what cells shared."""
        self._sharing.close()
        self._group = self._data = self._banks = None

    def open(self, task: Task) -> Experiment:
        """Build a cell's experiment and open its banks, unless the cell before had the same."""
        config = as_node(task.config, place=str(task.path), folder=task.folders[0])
        experiment = build_experiment(config, folders=task.folders, allow=task.allow)
        for name, path in experiment.modules.items():
            if file_hash(path) != task.modules.get(name):
                raise ValueError(f"{path} changed while the study ran; run the study again")
        data = json.dumps([task.config["data"], task.banks])
        if self._data != data:
            self.close()
            signature = file_signature(task.config["data"])
            self._banks = experiment.data()
            check_banks(*self._banks, task.banks, signature)
            self._data = data
        return experiment

    def _run(self, task: Task) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        experiment = self.open(task)
        if self._group != task.group:
            self._sharing.close()
            self._sharing.enter_context(reuse_items())
            self._group = task.group
        assert self._banks is not None
        train, test = self._banks
        computed: dict[str, tuple[str | None, str | None]] = {}

        def on_model(name: str, model: object, _: pd.DataFrame) -> None:
            computed[name] = getattr(model, "precision_", None), getattr(model, "device_", None)

        return _as_rows(run(train=train, test=test, **experiment.options, on_model=on_model), computed)


def versions() -> dict[str, str]:
    """Return the versions that results may depend on."""
    found = {package: importlib.metadata.version(package) for package in _PACKAGES}
    return {"rmspace": __version__, "results": str(RESULT_VERSION), "python": platform.python_version(), **found}


def environment() -> str:
    """Return versions and machine of this process, as JSON."""
    global _environment
    if _environment is None:
        machine = {"platform": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()}
        _environment = json.dumps({"versions": versions(), "machine": machine})
    return _environment


_environment: str | None = None


def worker_name() -> str:
    """Return host and process."""
    return f"{platform.node()}:{os.getpid()}"


def _as_rows(
    table: pd.DataFrame, computed: dict[str, tuple[str | None, str | None]]
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return MEASURES and (model, FACTS) as rows of plain values."""
    columns = {name: table[name].tolist() for name in ["model", *MEASURES[1:], *FACTS[:3]]}
    columns["n"] = [None if size is pd.NA else int(size) for size in columns["n"]]
    facts = dict(zip(columns["model"], zip(*(columns[name] for name in FACTS[:3]), strict=True), strict=True))
    return (
        list(zip(*(columns[name] for name in MEASURES), strict=True)),
        [(model, *found, *computed[model]) for model, found in facts.items()],
    )


def _one_line(error: BaseException) -> str:
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    return " ".join(f"{type(error).__name__}: {error}{notes}".split())
