"""The functions that run inside a Dask worker."""

from __future__ import annotations

from contextlib import ExitStack
from typing import NamedTuple

from rmspace.models.core.precision import fixed_threads
from rmspace.study.engine.cell import CellRunner, versions
from rmspace.study.engine.dispatch import Batch
from rmspace.study.engine.task import Outcome

_runner = CellRunner()
_threads = ExitStack()  # holds the number of threads for as long as the worker lives


class WorkerFacts(NamedTuple):
    """Facts that a worker reports about itself."""

    versions: dict[str, str]
    slots: int  # cells that it would run at once


def prepare_worker(threads: int) -> WorkerFacts:
    """Fix the number of threads of a worker, and return its versions and slots."""
    from distributed import get_worker

    _threads.close()
    _threads.enter_context(fixed_threads(threads))
    return WorkerFacts(versions(), int(get_worker().state.nthreads))


def run_batch(batch: Batch) -> list[Outcome]:
    """Run cells one after the other."""
    return [_runner.run(task) for task in batch]
