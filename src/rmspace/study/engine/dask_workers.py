"""The engine on Dask workers, of this machine or of a cluster that is there."""

from __future__ import annotations

import logging
import os
import queue
import re
import signal
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from rmspace.models.core.precision import fixed_threads
from rmspace.study.engine.cell import CRASHED, FAILED, TIMEOUT, Computer, Outcome, Task, environment, versions
from rmspace.study.engine.dispatch import RETRIES, Dispatcher, Flight

_POLL = 0.25  # seconds between looks at who is there
_PATIENCE = 120.0  # seconds without any worker that is ready after which a study stops
_LATE = 5.0
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


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
        threads: with which each cell computes.
        cell_timeout: seconds after which a cell is given up and its worker restarted.

    Raises:
        ImportError: Dask is not installed.
        ConnectionError: no scheduler answers, it goes, or no worker gets ready.
        RuntimeError: no worker can be used, since the first that came runs other versions than the driver, say.
    """
    with ExitStack() as stack:
        pool = _Pool(stack, workers, scheduler, threads, killing=cell_timeout is not None)
        dispatcher = Dispatcher(groups)
        looked = time.monotonic()
        while not dispatcher.finished:
            yield from _lost_workers(pool, dispatcher)
            for address in pool.ready:
                while flight := dispatcher.next_for(address):
                    pool.submit(address, flight)
            yield from _ended_cells(pool, dispatcher)
            if time.monotonic() - looked < _LATE:  # else this process itself was stopped, and has not heard yet
                yield from _late_cells(pool, dispatcher, cell_timeout)
            looked = time.monotonic()


def _ended_cells(pool: _Pool, dispatcher: Dispatcher) -> Iterator[Outcome]:
    for address, flight, future in pool.events():
        if address not in pool.ready or future not in pool.futures.get(address, ()):
            continue  # of a worker that is gone: the cells run again elsewhere
        outcomes = pool.outcomes(address, flight, future)
        if not outcomes:
            pool.suspected.add(address)
            continue
        dispatcher.ended(address, flight, sum(outcome.seconds for outcome in outcomes))
        pool.forget(address, future)
        yield from outcomes


def _lost_workers(pool: _Pool, dispatcher: Dispatcher) -> Iterator[Outcome]:
    for address in pool.look():
        since = pool.since(address)
        how = pool.how_it_ended(address)
        pool.lose(address)
        given_up = dispatcher.lost(address)
        if given_up is not None:
            error = f"the process that ran this cell {how}, and so {RETRIES} times more when it ran alone"
            yield _without_rows(given_up, CRASHED, time.monotonic() - since, address, error, RETRIES + 1)


def _late_cells(pool: _Pool, dispatcher: Dispatcher, cell_timeout: float | None) -> Iterator[Outcome]:
    for address in list(pool.ready) if cell_timeout is not None else ():
        flight = dispatcher.running(address)
        seconds = time.monotonic() - pool.since(address)
        if not flight or cell_timeout is None or seconds <= cell_timeout:
            continue
        pool.kill(address)
        dispatcher.lost(address, blame=False)
        if len(flight) == 1:  # else each of them is timed alone
            error = f"took over {cell_timeout:g} seconds (--cell-timeout)"
            yield _without_rows(flight[0], TIMEOUT, seconds, address, error, 1)


def _without_rows(task: Task, status: str, seconds: float, worker: str, error: str, attempts: int) -> Outcome:
    return Outcome(task, status, seconds, worker, environment(), [], [], error, None, attempts)


class _Pool:
    """The workers: who is ready, what each has, how one ended."""

    def __init__(self, stack: ExitStack, workers: int, scheduler: str | None, threads: int, *, killing: bool) -> None:
        try:
            import dask
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise ImportError(f"workers need Dask ({error}); pip install 'reward-space[cluster]'") from error
        if scheduler is not None and not re.fullmatch(r"(\w+://)?[^/:]+:\d+|(\w+://)?\[[0-9a-fA-F:]+\]:\d+", scheduler):
            raise ValueError(f"a scheduler's address must be like tcp://host:8786; got {scheduler!r}")
        self.threads, self.killing = threads, killing
        self.ready: dict[str, None] = {}  # in the order in which they came
        self.futures: dict[str, list[Any]] = {}
        self.suspected: set[str] = set()
        self._greeted: dict[str, Any] = {}
        self._dropped: set[str] = set()
        self._processes: dict[str, Any] = {}
        self._since: dict[str, float] = {}
        self._events: queue.SimpleQueue[tuple[str, Flight, Any]] = queue.SimpleQueue()
        self._looked, self._seen = 0.0, time.monotonic()
        self._info: dict[str, Any] = {}
        self._cluster: Any = None
        if scheduler is None:
            settings = {
                "distributed.scheduler.allowed-failures": 0,
                "distributed.worker.memory.terminate": False,
                "distributed.worker.profile.enabled": False,  # it stops the cell a hundred times a second
            }
            stack.enter_context(dask.config.set(settings))
            self._cluster = _start_here(LocalCluster, workers, threads)
            stack.callback(self._close_cluster)
        try:
            self._client: Any = Client(self._cluster or scheduler, timeout=10, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConnectionError(
                f"no Dask scheduler answers at {scheduler} ({error}); start one with `dask scheduler`"
            ) from error
        stack.callback(self._client.close, 2)
        stack.callback(self._cancel)

    def look(self) -> list[str]:
        """Greet workers that came; return those of the ready ones that are gone."""
        now = time.monotonic()
        if now - self._looked < _POLL and not self.suspected:
            return []
        self._looked = now
        self._info = self._ask()
        there = set(self._info)
        for address in there - set(self._processes):  # known to its nanny a moment after the scheduler
            self._note_process(address)
        for address in there - set(self._greeted):
            arguments = (self.threads,)
            self._greeted[address] = self._client.submit(
                _greet, *arguments, workers=[address], allow_other_workers=False, pure=False
            )
        for address in set(self._greeted) - there:
            del self._greeted[address]
        self._dropped &= there
        for address, future in self._greeted.items():
            if address not in self.ready and address not in self._dropped and future.done():
                self._welcome(address, future)
        if self.ready:
            self._seen = now
        elif now - self._seen > _PATIENCE:
            raise ConnectionError(
                f"no worker was ready for {_PATIENCE:.0f} seconds, of {len(there)} that the scheduler has; start "
                "workers, or restart those that are at an earlier task or die as they start"
            )
        gone = [address for address in self.ready if address not in there or address in self.suspected]
        self.suspected.clear()
        return gone

    def _ask(self) -> dict[str, Any]:
        """Return what the scheduler knows of its workers."""
        try:  # not by the client's scheduler_info, which its own timer overwrites, now and then with no workers at all
            return dict(self._client.sync(self._client.scheduler.identity, n_workers=-1)["workers"])
        except (OSError, KeyError, TimeoutError) as error:
            raise ConnectionError(f"the scheduler is gone ({type(error).__name__}: {error})") from error

    def submit(self, address: str, flight: Flight) -> None:
        """Send cells to a worker, as one task of Dask's."""
        if not self.futures[address]:
            self._since[address] = time.monotonic()
        future = self._client.submit(
            _compute,
            flight,
            workers=[address],
            allow_other_workers=False,
            pure=False,
            key=f"cell-{flight[0].key}-{time.time_ns()}",
        )
        self.futures[address].append(future)
        future.add_done_callback(lambda done: self._events.put((address, flight, done)))

    def events(self) -> Iterator[tuple[str, Flight, Any]]:
        """Yield the flights that ended, after waiting a moment for the first."""
        with suppress(queue.Empty):
            yield self._events.get(timeout=_POLL)
            while True:
                yield self._events.get_nowait()

    def outcomes(self, address: str, flight: Flight, future: Any) -> list[Outcome]:
        """Return what the cells of a flight came to; nothing where their worker must have died."""
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        if future.status == "error":
            error = future.exception()
            if isinstance(error, KilledWorker):
                return []
            # Of what comes before the cells themselves: a module that the worker has not, say.
            text = f"{type(error).__name__}: {error}"
            return [_without_rows(task, FAILED, 0.0, address, text, 1) for task in flight]
        try:
            return future.result(timeout=10) if future.status == "finished" else []
        except (KilledWorker, FutureCancelledError, TimeoutError):
            return []

    def forget(self, address: str, future: Any) -> None:
        """Drop the future of a flight that ended; the worker is at its next one from now on."""
        self.futures[address].remove(future)
        future.release()
        self._since[address] = time.monotonic()

    def since(self, address: str) -> float:
        """Return when a worker began its running flight."""
        return self._since.get(address, time.monotonic())

    def drop(self, address: str) -> None:
        """Forget a worker."""
        for future in self.futures.pop(address, []):
            future.cancel()
        self.ready.pop(address, None)
        self._dropped.add(address)
        self._processes.pop(address, None)

    def lose(self, address: str) -> None:
        """Forget a worker that ended, or lost its cells; one that is there all the same is used again, or its like."""
        process, there = self._processes.get(address), address in self._info
        self.drop(address)
        if process is None or not there:  # should it come back, it is greeted anew
            self._dropped.discard(address)
            self._greeted.pop(address, None)
        elif process.exitcode is None:  # it may still be at its cell; its nanny starts another
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    def kill(self, address: str) -> None:
        """End a worker's process; its nanny starts another."""
        process = self._processes.get(address)
        self.drop(address)
        if process is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        else:
            self._client.restart_workers([address], raise_for_error=False)
            self._dropped.discard(address)  # where its port is fixed, the new process has the same address
            self._greeted.pop(address, None)

    def how_it_ended(self, address: str) -> str:
        """Return how a worker's process ended, in words."""
        process: Any = self._processes.get(address)
        for _ in range(40 if process is not None else 0):
            code = process.exitcode
            if code is not None:
                return f"was killed by {_signal_name(-code)}" if code < 0 else f"exited with status {code}"
            time.sleep(0.05)
        return "lost it" if address in self._info else "ended (its worker's log may say how)"

    def _note_process(self, address: str) -> None:
        for nanny in self._cluster.workers.values() if self._cluster is not None else ():
            if nanny.worker_address == address and nanny.process is not None:
                self._processes[address] = nanny.process.process

    def _welcome(self, address: str, future: Any) -> None:
        """Use a worker that can do what the driver does; go on without one where others can.

        Raises:
            RuntimeError: it cannot, and no other worker is there.
        """
        problem = self._problem(address, future)
        if problem is None:
            self.ready[address] = None
            self.futures[address] = []
        elif address not in self._ask():
            return  # it died meanwhile
        elif self.ready:
            self._dropped.add(address)
            warnings.warn(f"the worker {address} is not used: it {problem}", stacklevel=2)
        else:
            raise RuntimeError(f"the worker {address} {problem}")

    def _problem(self, address: str, future: Any) -> str | None:
        try:
            there, at_once = future.result(timeout=10)
        except Exception as error:
            return f"cannot run rmspace ({type(error).__name__}: {error}); install it there"
        here = versions()
        other = [f"{name} {there.get(name)} (here {value})" for name, value in here.items() if there.get(name) != value]
        if other:
            return f"runs other versions: {', '.join(other)}; install the same there"
        if at_once != 1:
            return f"runs {at_once} cells at once; start workers with --nthreads 1"
        if self.killing and not self._info.get(address, {}).get("nanny"):
            return "has no nanny, which a cell timeout needs to restart it; start workers without --no-nanny"
        return None

    def _cancel(self) -> None:
        for futures in self.futures.values():
            for future in futures:
                future.cancel()

    def _close_cluster(self) -> None:
        for address, process in self._processes.items():
            if self.futures.get(address):  # a cell in compiled code would not hear a polite request
                with suppress(ProcessLookupError, TypeError, ValueError):
                    os.kill(process.pid, signal.SIGKILL)
        self._cluster.close(timeout=10)


def _start_here(make: Any, workers: int, threads: int) -> Any:
    """Start worker processes on this machine; Dask spawns them, and never forks."""
    try:
        return make(
            n_workers=workers,
            threads_per_worker=1,
            env={name: str(threads) for name in _THREADS},
            memory_limit=0,  # mapped pages of a bank are no reason to stop a worker
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )
    except RuntimeError as error:
        raise RuntimeError(
            f"the workers did not start ({error}); a script must call run_study under `if __name__ == '__main__':`"
        ) from error


_computer: Computer | None = None
_threads = ExitStack()  # holds the number of threads for as long as the worker lives


def _greet(threads: int) -> tuple[dict[str, str], int]:
    """Prepare a worker; return its versions, and how many cells it runs at once."""
    global _computer
    from distributed import get_worker

    if _computer is None:
        _computer = Computer()
    _threads.close()
    _threads.enter_context(fixed_threads(threads))
    return versions(), int(get_worker().state.nthreads)


def _compute(flight: Flight) -> list[Outcome]:
    assert _computer is not None
    return [_computer(task) for task in flight]


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} (signal {number})"
    except ValueError:
        return f"signal {number}"
