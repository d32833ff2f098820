"""The most memory that each way of training takes: each trains once, in a process of its own."""

import json
import math
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch

import rmspace as rm
from benchmarks.measure import resident
from finetuning.cells import FROZEN, LORA, RATES, TUNED, Bench, Cell, frozen_encoder, tuning
from rmspace._typing import FloatArray
from rmspace.data.files import write_whole

DATA = "AlpacaEval"
LIBRARIES = ("lightgbm", "peft", "transformers", "trl")
IMPORTS, TOGETHER = "nothing (imports alone)", f"embedding, then {', '.join(FROZEN)}"


class Job(NamedTuple):
    """What a process trains: `IMPORTS`, `TOGETHER`, a frozen model on the embeddings given, or a fine-tuned model."""

    trained: str
    train: rm.text.TextPreferences
    given: FloatArray
    model: Path
    max_length: int


def measure(bench: Bench, n: int, path: Path) -> None:
    """Measure, with n pairs, the ways that the file does not have yet, and add each to it."""
    if math.isnan(resident("VmHWM")):
        raise SystemExit("--memory reads /proc/self/status, which this system does not have; run it on Linux")
    for job in _jobs(bench, n):
        rows = measured(path)
        row = {"data": DATA, "n_pairs": n, "trained": job.trained}
        if any(row.items() <= known.items() for known in rows):
            continue
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            rows.append(row | {"megabytes": pool.submit(_peak, job).result()})
        write_whole(path, json.dumps(rows, indent=1))
        print(job.trained, flush=True)


def measured(path: Path) -> list[dict[str, Any]]:
    """Return what the file has; nothing where there is no file."""
    return json.loads(path.read_text()) if path.exists() else []


def lines(found: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the lines of the table: the peak of each process, and how much of it is beyond the imports."""
    imports = {one["n_pairs"]: one["megabytes"] for one in found if one["trained"] == IMPORTS}
    return [
        {
            "data": one["data"],
            "pairs": str(one["n_pairs"]),
            "trained": one["trained"],
            "peak, MB": f"{one['megabytes']:.0f}",
            "beyond the imports, MB": f"{one['megabytes'] - imports[one['n_pairs']]:.0f}",
        }
        for one in found
    ]


def _jobs(bench: Bench, n: int) -> Iterator[Job]:
    train = bench.split(Cell(DATA, "frozen", n, 0)).train
    given = bench.embedded(DATA, train.items)
    for trained in (IMPORTS, *FROZEN, TOGETHER, TUNED, LORA):
        yield Job(trained, train, given, bench.model, bench.plan.max_length)


def _peak(job: Job) -> float:
    """Do a job, and return the most megabytes that this process had at once."""
    torch.set_num_threads(1)
    for library in LIBRARIES:  # in every job, so that the differences are those of the training
        import_module(library)
    if job.trained in RATES:
        _tune(job)
    elif job.trained != IMPORTS:
        _fit(job)
    return resident("VmHWM")


def _tune(job: Job) -> None:
    settings = tuning(RATES[job.trained][0], 0, lora=job.trained == LORA)
    with tempfile.TemporaryDirectory() as out:
        rm.text.finetune_reward(job.train, frozen_encoder(job.model, job.max_length), settings, out=Path(out, "tuned"))


def _fit(job: Job) -> None:
    embeddings = job.given
    if job.trained == TOGETHER:
        embeddings = frozen_encoder(job.model, job.max_length).encode(job.train.items)
    data = job.train.with_embeddings(embeddings)
    for name, make in FROZEN.items():
        if job.trained in (name, TOGETHER):
            make(0).fit(data)
