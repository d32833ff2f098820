"""The engine on Dask workers, of this machine or of a running cluster."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack

from rmspace.study.engine.cell import environment
from rmspace.study.engine.dispatch import RETRIES, Dispatcher
from rmspace.study.engine.pool import WorkerPool
from rmspace.study.engine.task import CRASHED, TIMEOUT, Outcome, Task

# After a turn of so many seconds, this process itself was suspended and has not heard of its cells.
_PAUSED = 5.0


def compute_on_workers(
    groups: Iterable[Sequence[Task]],
    *,
    workers: int = 0,
    scheduler: str | None = None,
    threads: int = 1,
    cell_timeout: float | None = None,
) -> Iterator[Outcome]:
    """Yield the outcome of each cell as it ends, on `workers` processes of this machine or those of a scheduler.

    Args:
        groups: cells that are best run one after the other on one worker.
        workers: processes to start here.
        scheduler: address of a running Dask scheduler instead.
        threads: of each cell.
        cell_timeout: seconds after which a cell is stopped and its worker restarted.

    Raises:
        ImportError: Dask is not installed.
        ConnectionError: no scheduler answers, it ends, or no worker gets ready.
        RuntimeError: no worker can be used, for instance because the first one runs other versions than the driver.
    """
    with ExitStack() as stack:
        pool = WorkerPool(stack, workers, scheduler, threads, restarting=cell_timeout is not None)
        dispatcher = Dispatcher(groups)
        turn = time.monotonic()
        while not dispatcher.finished:
            yield from _crashed_cells(pool, dispatcher)
            _send(pool, dispatcher)
            yield from _ended_cells(pool, dispatcher)
            if cell_timeout is not None and time.monotonic() - turn < _PAUSED:
                yield from _late_cells(pool, dispatcher, cell_timeout)
            turn = time.monotonic()


def _crashed_cells(pool: WorkerPool, dispatcher: Dispatcher) -> Iterator[Outcome]:
    """Yield the cells that have crashed a worker too often."""
    for lost in pool.lost_workers():
        task = dispatcher.died(lost.address)
        if task is not None:
            error = f"the process that ran this cell {lost.how}, and so {RETRIES} times more when it ran alone"
            yield _without_rows(task, CRASHED, lost.seconds, lost.address, error, RETRIES + 1)


def _send(pool: WorkerPool, dispatcher: Dispatcher) -> None:
    for address in pool.ready:
        while batch := dispatcher.next_batch(address):
            pool.send(address, batch)


def _ended_cells(pool: WorkerPool, dispatcher: Dispatcher) -> Iterator[Outcome]:
    for address, batch, outcomes in pool.ended_batches():
        dispatcher.ended(address, batch, sum(outcome.seconds for outcome in outcomes))
        yield from outcomes


def _late_cells(pool: WorkerPool, dispatcher: Dispatcher, cell_timeout: float) -> Iterator[Outcome]:
    """Restart the workers whose batch takes too long, and yield the late cells; cells of a larger batch run alone."""
    for address in pool.ready:
        batch, seconds = dispatcher.running(address), pool.running_seconds(address)
        if not batch or seconds <= cell_timeout:
            continue
        pool.restart(address)
        dispatcher.stopped(address)
        if len(batch) == 1:
            error = f"took over {cell_timeout:g} seconds (--cell-timeout)"
            yield _without_rows(batch[0], TIMEOUT, seconds, address, error, 1)


def _without_rows(task: Task, status: str, seconds: float, worker: str, error: str, attempts: int) -> Outcome:
    return Outcome(task, status, seconds, worker, environment(), [], [], error, attempts=attempts)
