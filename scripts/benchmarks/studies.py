"""Stages about studies: the cost of engine and store per cell, reading a large study, and workers."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

import rmspace as rm

CELLS = 12_960
_BASE = """\
base:
  data: {use: make_synthetic_banks, n_prompts: 40, n_test_prompts: 8, n_responses: 4, dim: 16}
  pairs: {use: same_prompt}
  n_pairs: 20
  annotator: {use: logistic, beta: 1.0}
  models: {first: {use: benchmarks.studies.FirstNumber}}
"""
_TRIVIAL = (
    _BASE + "  metrics: {first: {use: benchmarks.studies.first_score}}\ngrid: {annotator.beta: [1, 3], seed: [%s]}\n"
)
_BUSY = """\
base:
  data: {use: make_synthetic_paper_banks, base_model: Gemma2b, dataset: Helpful, dim: 512, n_test_prompts: 50}
  pairs: {use: same_prompt}
  n_pairs: 1000
  annotator: {use: logistic, beta: 1.0}
  models: {MLP: {use: MLPReward, max_epochs: %d, patience: 30, precision: float32}}
  metrics: {gain: {use: gain, n: [50]}}
grid: {annotator.beta: [1, 3, 10], seed: [%s]}
"""


class FirstNumber(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Scores an item by its first number: a reward model that costs nothing."""

    def fit(self, items: Any, comparisons: Any, sample_weight: Any = None, groups: Any = None) -> "FirstNumber":
        return self

    def predict(self, items: Any) -> np.ndarray:
        return np.asarray(items)[:, 0]


def first_score(scores: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    return scores[:, 0]


def overhead(folder: Path, quick: bool) -> list[dict[str, Any]]:
    """Seconds per cell on top of `run` itself, in this process and with one worker; then reading the study."""
    size = CELLS // 10 if quick else CELLS
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    rows = []
    with tempfile.TemporaryDirectory(dir=folder) as place:
        grid = Path(place, "grid.yaml")
        grid.write_text(_TRIVIAL % ", ".join(map(str, range(size // 2))))
        alone = _seconds_of_run(grid)
        for workers, name in ((0, "in this process"), (1, "one worker process")):
            start = time.perf_counter()
            study = rm.run_study(grid, Path(place, str(workers)), workers=workers, allow=["benchmarks"])
            seconds = time.perf_counter() - start
            assert study.counts() == {"done": size}
            rows.append(
                {
                    "stage": f"study of trivial cells, {name}", "size": f"{size:,} cells", "seconds": seconds,
                    "target": "< 5 ms per cell",
                    "note": f"{(seconds / size - alone) * 1e3:.2f} ms per cell on top of {alone * 1e3:.2f} ms of `run`",
                }
            )  # fmt: skip
    with tempfile.TemporaryDirectory(dir=folder) as place:
        grid = Path(place, "grid.yaml")
        seeds = ", ".join(map(str, range(size // 2)))
        grid.write_text((_BASE + "grid: {annotator.beta: [1, 3], seed: [%s]}\n") % seeds)
        study = _filled(grid, Path(place, "out"))
        start = time.perf_counter()
        table = study.results()
        seconds = time.perf_counter() - start
        megabytes = study.path.joinpath("study.sqlite").stat().st_size / 1e6
        rows.append(
            {
                "stage": "results() of a study", "size": f"{size:,} cells, {len(table):,} rows", "seconds": seconds,
                "target": "< 2 s", "note": f"{megabytes:.0f} MB file",
            }
        )  # fmt: skip
    return rows


def two_workers(folder: Path, quick: bool) -> list[dict[str, Any]]:
    """A compute-bound study on one worker and on two, the start of the workers included."""
    seconds = {}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        grid = Path(place, "grid.yaml")
        grid.write_text(_BUSY % (5 if quick else 30, ", ".join(map(str, range(8 if quick else 16)))))
        for workers in (1, 2):
            start = time.perf_counter()
            study = rm.run_study(grid, Path(place, str(workers)), workers=workers, allow=["benchmarks"])
            seconds[workers] = time.perf_counter() - start
        cells = study.cells()
    return [
        {
            "stage": "study, two workers against one", "size": f"{len(cells)} cells of {cells.seconds.mean():.1f} s",
            "seconds": seconds[2], "ratio": seconds[1] / seconds[2], "target": 1.8,
            "note": "whole time, with the start of the workers",
        }
    ]  # fmt: skip


def _seconds_of_run(grid: Path) -> float:
    """Return the mean time of `run` alone on cells of a grid."""
    from rmspace.config import dump_yaml
    from rmspace.study.plan.grid import read_grid

    path = grid.with_name("one.yaml")
    path.write_text(dump_yaml(next(read_grid(grid, allow=["benchmarks"]).cells()).config))
    experiment = rm.load_config(path, allow=["benchmarks"])
    train, test = experiment.data()
    start = time.perf_counter()
    for _ in range(300):
        rm.run(train=train, test=test, **experiment.options)
    return (time.perf_counter() - start) / 300


def _filled(grid: Path, out: Path) -> rm.Study:
    """Return a study whose every cell has the rows of its first one, to measure reading alone."""
    from dataclasses import replace

    from rmspace.study.engine.cell import CellRunner
    from rmspace.study.plan.grid import read_grid
    from rmspace.study.settings import settle
    from rmspace.study.store import FILE, Store
    from rmspace.study.tasks import make_tasks

    read = read_grid(grid, allow=["benchmarks"])
    tasks, _ = make_tasks(read, read.cells(), read.columns, {})
    outcome = CellRunner().run(tasks[0])
    store = Store.create(out / FILE)
    settings = settle(store, read, None)
    with store.transaction():
        store.set_meta(settings._asdict())
        store.set_plan((task.labels, task.key) for task in tasks)
    store.add(replace(outcome, task=task) for task in tasks)
    store.close()
    return rm.Study.open(out)
