"""The Dask workers of a driver: those that are ready, the cells that each computes, and how each ended."""

from __future__ import annotations

import logging
import os
import queue
import re
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from rmspace.study.engine.cell import environment, versions
from rmspace.study.engine.dispatch import Batch
from rmspace.study.engine.task import FAILED, Outcome
from rmspace.study.engine.worker import WorkerFacts, prepare_worker, run_batch

_POLL = 0.25  # seconds between two questions to the scheduler
_PATIENCE = 120.0  # a study stops after so many seconds without a ready worker
_ENDING = 2.0  # seconds that a process may take to end, once Dask says that it is gone
_ADDRESS = r"(\w+://)?[^/:]+:\d+|(\w+://)?\[[0-9a-fA-F:]+\]:\d+"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has no SIGKILL; there, SIGTERM ends a process at once
_DASK_SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.profile.enabled": False,  # it stops the cell a hundred times a second
}


@dataclass(eq=False)
class _Worker:
    """One worker, as the driver knows it."""

    address: str
    facts: Any  # future of its `WorkerFacts`
    state: Literal["new", "ready", "unused"] = "new"
    process: Any = None  # if it is a process of this machine
    futures: list[Any] = field(default_factory=list)  # of its batches; the first of them runs
    began: float = 0.0  # when its running batch began
    result_lost: bool = False

    @property
    def running_seconds(self) -> float:
        """The seconds that its batch has run."""
        return time.monotonic() - self.began if self.futures else 0.0


class LostWorker(NamedTuple):
    """A worker that is gone, or that lost the result of its batch."""

    address: str
    seconds: float  # that its batch had run
    how: str  # how it ended, in words


class WorkerPool:
    """The workers of one study, on processes that it starts or on those of a scheduler.

    Args:
        stack: the caller closes this stack, which ends the processes of the pool.
        workers: processes to start on this machine, where `scheduler` is None.
        scheduler: address of a running Dask scheduler.
        threads: of each worker.
        restarting: whether workers may have to be restarted, as with a cell timeout.

    Raises:
        ImportError: Dask is not installed.
        ValueError: `scheduler` is not an address.
        ConnectionError: no scheduler answers.
        RuntimeError: the workers cannot be started.
    """

    def __init__(
        self, stack: ExitStack, workers: int, scheduler: str | None, threads: int, *, restarting: bool
    ) -> None:
        try:
            import distributed
        except ImportError as error:
            raise ImportError(f"workers need Dask ({error}); pip install 'reward-space[cluster]'") from error
        if scheduler is not None and not re.fullmatch(_ADDRESS, scheduler):
            raise ValueError(f"a scheduler's address must be like tcp://host:8786; got {scheduler!r}")
        self._threads, self._restarting = threads, restarting
        self._workers: dict[str, _Worker] = {}
        self._there: dict[str, Any] = {}  # the scheduler's facts about its workers, by address
        self._ended: queue.SimpleQueue[tuple[_Worker, Batch, Any]] = queue.SimpleQueue()
        self._asked, self._last_ready = 0.0, time.monotonic()
        self._cluster: Any = None
        if scheduler is None:
            self._cluster = _start_cluster(stack, workers, threads)
            stack.callback(self._close_cluster)
        try:
            self._client: Any = distributed.Client(self._cluster or scheduler, timeout=10, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConnectionError(
                f"no Dask scheduler answers at {scheduler} ({error}); start one with `dask scheduler`"
            ) from error
        stack.callback(self._client.close, 2)
        stack.callback(self._cancel_all)

    @property
    def ready(self) -> list[str]:
        """The addresses of the workers that cells can be sent to."""
        return [worker.address for worker in self._workers.values() if worker.state == "ready"]

    def lost_workers(self) -> Iterator[LostWorker]:
        """Ask the scheduler for its workers, prepare the new ones, and yield those that were ready and are gone.

        Raises:
            ConnectionError: the scheduler is gone, or no worker gets ready.
            RuntimeError: the first worker cannot be used.
        """
        if time.monotonic() - self._asked < _POLL and not any(w.result_lost for w in self._workers.values()):
            return
        self._there, self._asked = self._ask(), time.monotonic()
        self._forget_those_that_left()
        self._prepare_new_workers()
        self._admit_prepared_workers()
        self._check_patience()
        for worker in list(self._workers.values()):
            if worker.state == "ready" and (worker.result_lost or worker.address not in self._there):
                lost = LostWorker(worker.address, worker.running_seconds, self._how_it_ended(worker))
                self._let_go(worker)
                yield lost

    def send(self, address: str, batch: Batch) -> None:
        """Send cells to a worker, as one task of Dask's."""
        worker = self._workers[address]
        if not worker.futures:
            worker.began = time.monotonic()
        key = f"cell-{batch[0].key}-{time.time_ns()}"
        future = self._submit(run_batch, batch, address, key=key)
        worker.futures.append(future)
        future.add_done_callback(lambda done: self._ended.put((worker, batch, done)))

    def ended_batches(self) -> Iterator[tuple[str, Batch, list[Outcome]]]:
        """Wait a moment for a batch to end, and yield each that did, with its worker and its outcomes."""
        with suppress(queue.Empty):
            event = self._ended.get(timeout=_POLL)
            while True:
                yield from self._collect(*event)
                event = self._ended.get_nowait()

    def running_seconds(self, address: str) -> float:
        """Return the seconds that the running batch of a worker has run."""
        return self._workers[address].running_seconds

    def restart(self, address: str) -> None:
        """End the process of a worker at once; its nanny starts another."""
        worker = self._workers[address]
        self._release(worker)
        if worker.process is not None:
            _kill(worker.process)
        else:
            self._client.restart_workers([address], raise_for_error=False)
            del self._workers[address]  # the new process may have the same address

    def _ask(self) -> dict[str, Any]:
        """Return the scheduler's facts about its workers, by address."""
        # The client's own scheduler_info is overwritten by a timer, now and then with no workers at all.
        try:
            return dict(self._client.sync(self._client.scheduler.identity, n_workers=-1)["workers"])
        except (OSError, KeyError, TimeoutError) as error:
            raise ConnectionError(f"the scheduler is gone ({type(error).__name__}: {error})") from error

    def _forget_those_that_left(self) -> None:
        """Forget workers that left and had no cells; one that comes back is new."""
        for worker in list(self._workers.values()):
            if worker.state != "ready" and worker.address not in self._there:
                del self._workers[worker.address]

    def _prepare_new_workers(self) -> None:
        for address in self._there:
            if address not in self._workers:
                self._workers[address] = _Worker(address, self._submit(prepare_worker, self._threads, address))
        for worker in self._workers.values():  # a nanny knows its process a moment after the scheduler does
            worker.process = worker.process or self._process_here(worker.address)

    def _admit_prepared_workers(self) -> None:
        """Use the workers that can compute as the driver does; leave out one that cannot, if others can.

        Raises:
            RuntimeError: a worker cannot, and no other is ready.
        """
        for worker in list(self._workers.values()):
            if worker.state != "new" or not worker.facts.done():
                continue
            problem = self._problem(worker)
            if problem is None:
                worker.state = "ready"
            elif worker.address not in self._ask():
                continue  # it died meanwhile
            elif self.ready:
                worker.state = "unused"
                warnings.warn(f"the worker {worker.address} is not used: it {problem}", stacklevel=2)
            else:
                raise RuntimeError(f"the worker {worker.address} {problem}")

    def _problem(self, worker: _Worker) -> str | None:
        """Return why a worker cannot be used, or None."""
        try:
            facts: WorkerFacts = worker.facts.result(timeout=10)
        except Exception as error:
            return f"cannot run rmspace ({type(error).__name__}: {error}); install it there"
        found = facts.versions
        other = [f"{name} {found.get(name)} (here {v})" for name, v in versions().items() if found.get(name) != v]
        if other:
            return f"runs other versions: {', '.join(other)}; install the same there"
        if facts.slots != 1:
            return f"runs {facts.slots} cells at once; start workers with --nthreads 1"
        if self._restarting and not self._there.get(worker.address, {}).get("nanny"):
            return "has no nanny, which a cell timeout needs to restart it; start workers without --no-nanny"
        return None

    def _check_patience(self) -> None:
        if self.ready:
            self._last_ready = time.monotonic()
        elif time.monotonic() - self._last_ready > _PATIENCE:
            raise ConnectionError(
                f"no worker was ready for {_PATIENCE:.0f} seconds, of {len(self._there)} that the scheduler has; start "
                "workers, or restart those that still run an earlier task or die as they start"
            )

    def _submit(self, function: Any, argument: Any, address: str, **options: Any) -> Any:
        """Let one worker, and no other, call a function."""
        return self._client.submit(
            function, argument, workers=[address], allow_other_workers=False, pure=False, **options
        )

    def _collect(self, worker: _Worker, batch: Batch, future: Any) -> Iterator[tuple[str, Batch, list[Outcome]]]:
        """Yield a batch that ended, unless its result is lost, or its worker was lost and the cells run elsewhere."""
        if future not in worker.futures:
            return
        outcomes = self._outcomes(worker.address, batch, future)
        if not outcomes:
            worker.result_lost = True
            return
        worker.futures.remove(future)
        future.release()
        worker.began = time.monotonic()
        yield worker.address, batch, outcomes

    def _outcomes(self, address: str, batch: Batch, future: Any) -> list[Outcome]:
        """Return the outcomes of a batch; none where its worker must have died."""
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        if future.status == "error":
            error = future.exception()
            if isinstance(error, KilledWorker):
                return []
            # An error before the cells themselves run, such as a module that the worker does not have.
            text = f"{type(error).__name__}: {error}"
            return [Outcome(task, FAILED, 0.0, address, environment(), [], [], text) for task in batch]
        try:
            return future.result(timeout=10) if future.status == "finished" else []
        except (KilledWorker, FutureCancelledError, TimeoutError):
            return []

    def _how_it_ended(self, worker: _Worker) -> str:
        """Return how a worker ended, in words, after waiting a moment for its process to end."""
        late = time.monotonic() + _ENDING
        while worker.process is not None and time.monotonic() < late:
            code = worker.process.exitcode
            if code is not None:
                return f"was killed by {_signal_name(-code)}" if code < 0 else f"exited with status {code}"
            time.sleep(0.05)
        return "lost it" if worker.address in self._there else "ended (its worker's log may say how)"

    def _let_go(self, worker: _Worker) -> None:
        """Take a worker's cells from it; if it is still there, it or its successor is used again."""
        self._release(worker)
        if worker.process is None or worker.address not in self._there:
            del self._workers[worker.address]  # if it comes back, it is new
        else:
            _kill(worker.process)  # it may still compute its cell; its nanny starts another

    def _release(self, worker: _Worker) -> None:
        """Cancel the batches of a worker, and use it no more."""
        for future in worker.futures:
            future.cancel()
        worker.futures.clear()
        worker.state, worker.result_lost = "unused", False

    def _process_here(self, address: str) -> Any:
        """Return the process of a worker that this driver started, or None."""
        for nanny in self._cluster.workers.values() if self._cluster is not None else ():
            if nanny.worker_address == address and nanny.process is not None:
                return nanny.process.process
        return None

    def _cancel_all(self) -> None:
        for worker in self._workers.values():
            for future in worker.futures:
                future.cancel()

    def _close_cluster(self) -> None:
        for worker in self._workers.values():
            if worker.futures and worker.process is not None:  # in compiled code it would ignore a request to end
                _kill(worker.process)
        self._cluster.close(timeout=10)


def _start_cluster(stack: ExitStack, workers: int, threads: int) -> Any:
    """Start worker processes on this machine; Dask spawns them, and never forks."""
    import dask
    from distributed import LocalCluster

    stack.enter_context(dask.config.set(_DASK_SETTINGS))
    try:
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            env={name: str(threads) for name in _THREADS},
            memory_limit=0,  # pages of a memory-mapped bank are no reason to stop a worker
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )
    except RuntimeError as error:
        raise RuntimeError(
            f"the workers did not start ({error}); a script must call run_study under `if __name__ == '__main__':`"
        ) from error


def _kill(process: Any) -> None:
    with suppress(ProcessLookupError, TypeError, ValueError):  # it has ended
        if process.exitcode is None:
            os.kill(process.pid, _KILL)


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} (signal {number})"
    except ValueError:
        return f"signal {number}"
