"""The stages that are timed in two checkouts: each prepares its data and returns a function of no arguments to time.

This file is run with either checkout on the path, so it uses only names that both have (`names` has the exceptions):

    python -m benchmarks.against_stages FOLDER SIZES STAGE ...   # prints one line of JSON per stage
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import rmspace as rm
from benchmarks import names

Work = Callable[[], Any]

_STUDY = """\
base:
  data: {{use: {synthetic}, n_prompts: 40, n_test_prompts: 8, n_responses: 4, dim: 16}}
  pairs: {{use: same_prompt}}
  n_pairs: 20
  annotator: {{use: logistic, beta: 1.0}}
  models: {{linear: {{use: LinearReward}}}}
  metrics: {{gain: {{use: gain, n: [2]}}}}
  {intervals}
grid: {{annotator.beta: [1, 3], seed: [{seeds}]}}
"""


@dataclass(frozen=True)
class Sizes:
    """How much each stage computes."""

    pairs: int = 20_000
    prompts: int = 2_000
    responses: int = 500
    dims: tuple[int, int] = (384, 2_048)
    epochs: int = 2
    trees: int = 20
    cells: int = 200


QUICK = Sizes(pairs=2_000, epochs=1, trees=5, cells=100)


def make_stages(folder: Path, sizes: Sizes) -> dict[str, Callable[[], Work]]:
    """Return, by name, the function that prepares each stage. Files are written in `folder`."""
    narrow, wide = sizes.dims
    mlp: dict[str, Any] = {"max_epochs": sizes.epochs, "random_state": 0, "precision": "float32", "device": "cpu"}
    return {
        "pairs": partial(_pairs, sizes),
        "annotate": partial(_annotate, sizes),
        "best_of_n": partial(_best_of_n, sizes),
        "evaluate": partial(_evaluate, sizes),
        "LinearReward fit": partial(_fit, sizes, narrow, lambda: rm.LinearReward()),
        f"MLPReward fit, {narrow} numbers": partial(_fit, sizes, narrow, lambda: rm.MLPReward(**mlp)),
        f"MLPReward fit, {wide} numbers": partial(_fit, sizes, wide, lambda: rm.MLPReward(**mlp)),
        "LightGBMReward fit": partial(
            _fit, sizes, narrow, lambda: rm.LightGBMReward(n_estimators=sizes.trees, random_state=0)
        ),
        "ensemble of 10 tiny networks fit": partial(
            _fit, sizes, 16, lambda: names.ensemble(rm.MLPReward(hidden_sizes=(16,), batch_size=128, max_epochs=2), 10)
        ),
        "predict": partial(_predict, sizes, mlp),
        "memory-mapped fit": partial(_mapped_fit, folder, sizes, mlp),
        "memory-mapped predict": partial(_mapped_predict, folder, sizes, mlp),
        "save and load": partial(_save_and_load, folder, sizes, mlp),
        f"study of {sizes.cells} trivial cells": partial(_study, folder, sizes),
        "results of that study": partial(_results, folder, sizes),
    }


def _bank(sizes: Sizes, dim: int) -> rm.ResponseBank:
    """Return a bank in memory with ten responses per prompt; the first numbers carry the reward."""
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((max(2, sizes.pairs // 10), 10, dim), dtype=np.float32)
    return rm.ResponseBank(embeddings, embeddings[:, :, :8].sum(axis=2, dtype=np.float64))


def _comparisons(bank: rm.ResponseBank, n_pairs: int) -> Any:
    rng = np.random.default_rng(1)
    return rm.annotate(rm.same_prompt(bank, n_pairs, rng), bank.rewards, rm.oracle, rng=rng)


def _pairs(sizes: Sizes) -> Work:
    bank = _bank(sizes, 2)

    def work() -> None:
        rm.same_prompt(bank, sizes.pairs, np.random.default_rng(0))
        rm.cross_prompt(bank, sizes.pairs, np.random.default_rng(0))

    return work


def _annotate(sizes: Sizes) -> Work:
    bank = _bank(sizes, 2)
    pairs = rm.same_prompt(bank, sizes.pairs, np.random.default_rng(0))
    annotator = partial(rm.logistic, beta=1.0)
    return lambda: rm.annotate(pairs, bank.rewards, annotator, rng=np.random.default_rng(0), scale="std")


def _best_of_n(sizes: Sizes) -> Work:
    scores, rewards = np.random.default_rng(0).normal(size=(2, sizes.prompts, sizes.responses))
    n = [size for size in (1, 2, 5, 10, 30, 50, 100, 300, 500) if size <= sizes.responses]
    return lambda: rm.best_of_n(scores, rewards, n=n)


def _evaluate(sizes: Sizes) -> Work:
    scores, rewards = np.random.default_rng(0).normal(size=(2, sizes.prompts // 10, max(2, sizes.responses // 10)))
    return lambda: rm.evaluate(scores, rewards)


def _fit(sizes: Sizes, dim: int, make: Callable[[], Any]) -> Work:
    bank = _bank(sizes, dim)
    comparisons = _comparisons(bank, sizes.pairs)
    return lambda: make().fit(bank.items, comparisons, groups=bank.groups)


def _fitted(sizes: Sizes, mlp: dict[str, Any]) -> tuple[Any, rm.ResponseBank]:
    bank = _bank(sizes, sizes.dims[0])
    model = rm.MLPReward(**{**mlp, "max_epochs": 1})
    return model.fit(bank.items, _comparisons(bank, 20), groups=bank.groups), bank


def _predict(sizes: Sizes, mlp: dict[str, Any]) -> Work:
    model, bank = _fitted(sizes, mlp)
    return lambda: model.predict(bank.items)


def _mapped(folder: Path, sizes: Sizes) -> rm.ResponseBank:
    place = folder / f"mapped-{sizes.pairs}"
    if not place.is_dir():
        _bank(sizes, sizes.dims[0]).save(place, dtype="float16")
    return rm.ResponseBank.open(place)


def _mapped_fit(folder: Path, sizes: Sizes, mlp: dict[str, Any]) -> Work:
    bank = _mapped(folder, sizes)
    comparisons = _comparisons(bank, sizes.pairs)
    return lambda: rm.MLPReward(**mlp).fit(bank.items, comparisons, groups=bank.groups)


def _mapped_predict(folder: Path, sizes: Sizes, mlp: dict[str, Any]) -> Work:
    model, _ = _fitted(sizes, mlp)
    bank = _mapped(folder, sizes)
    return lambda: model.predict(bank.items)


def _save_and_load(folder: Path, sizes: Sizes, mlp: dict[str, Any]) -> Work:
    model, _ = _fitted(sizes, mlp)
    place = folder / f"model-{time.time_ns()}"

    def work() -> None:
        model.save(place, overwrite=True)
        rm.load(place)

    return work


def _study(folder: Path, sizes: Sizes) -> Work:
    grid = _grid(folder, sizes)

    def work() -> None:
        study = rm.run_study(grid, folder / f"study-{time.time_ns()}", workers=0)
        if study.counts() != {"done": sizes.cells}:
            raise RuntimeError(f"a cell of the trivial study failed: {study.counts()}")

    return work


def _results(folder: Path, sizes: Sizes) -> Work:
    study = rm.run_study(_grid(folder, sizes), folder / f"study-{time.time_ns()}", workers=0)
    return study.results


def _grid(folder: Path, sizes: Sizes) -> Path:
    grid = folder / f"study-{time.time_ns()}.yaml"
    seeds = ", ".join(map(str, range(sizes.cells // 2)))
    grid.write_text(_STUDY.format(synthetic=names.SYNTHETIC, intervals=names.INTERVALS, seeds=seeds), encoding="utf-8")
    return grid


def main() -> None:
    folder, sizes, *chosen = sys.argv[1:]
    given = json.loads(sizes)
    stages = make_stages(Path(folder), Sizes(**{**given, "dims": tuple(given["dims"])}))
    for name in chosen:
        work = stages[name]()
        start = time.perf_counter()
        work()
        first = time.perf_counter() - start
        repeats = 1 if first > 5 else min(20, max(2, int(1 / max(first, 1e-3))))  # about a second for short stages
        seconds = [_seconds(work) for _ in range(repeats)]
        print(json.dumps({"stage": name, "seconds": min(first, *seconds)}), flush=True)


def _seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def as_json(sizes: Sizes) -> str:
    return json.dumps(asdict(sizes))


if __name__ == "__main__":
    main()
