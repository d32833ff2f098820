"""Texts of many requests as batches for one encoder: one worker thread, and a queue with an end."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from rmspace._typing import Float64Array
from rmspace.text.records import TextItem
from rmspace.text.serve.limits import Limits

Score = Callable[[Sequence[TextItem]], Float64Array]


class QueueFull(Exception):
    """The texts do not fit into the queue now."""


class QueueClosed(Exception):
    """The server is stopping, and takes nothing more."""


@dataclass
class _Job:
    """The texts of one request."""

    items: Sequence[TextItem]
    future: Future[Float64Array] = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)
    taken: int = 0

    def __post_init__(self) -> None:
        self.scores, self.n_scored = np.empty(len(self.items)), 0


class _Part(NamedTuple):
    """Texts of a job that are in one batch."""

    job: _Job
    start: int
    stop: int


class Batcher:
    """Scores the texts of many requests in batches, in the order in which they came.

    A batch has texts of several requests, and a large request fills several batches. It starts when it is full, or when
    its first text has waited for `max_wait_ms`. Where a batch fails, each request in it is tried alone, so that a text
    that the encoder refuses costs no other request its answer.

    Args:
        score: scores some items; it runs in one thread of the batcher.
        limits: of the batches and the queue.
        on_batch: is told of each batch: how many texts, and the seconds it took.

    >>> batcher = Batcher(lambda items: np.array([float(len(item.response)) for item in items]), Limits())
    >>> batcher.submit([TextItem((), "four")]).result().tolist()
    [4.0]
    >>> batcher.close()
    """

    def __init__(
        self, score: Score, limits: Limits, *, on_batch: Callable[[int, float], object] = lambda *_: None
    ) -> None:
        self._score, self._limits, self._on_batch = score, limits, on_batch
        self._jobs: deque[_Job] = deque()
        self._waiting = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="rmspace-serve", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """The number of texts that wait."""
        return self._waiting

    @property
    def alive(self) -> bool:
        """Whether it takes texts and scores them."""
        return self._thread.is_alive() and not self._closed

    def submit(self, items: Sequence[TextItem]) -> Future[Float64Array]:
        """Take the texts of a request; cancel the future to have those that still wait left out.

        Raises:
            QueueFull: they do not fit into the queue.
            QueueClosed: after `close`.
        """
        job = _Job(items)
        with self._changed:
            if self._closed:
                raise QueueClosed
            if self._waiting + len(items) > self._limits.queue:
                self._drop_done()
            if self._waiting + len(items) > self._limits.queue:
                raise QueueFull
            if not items:
                job.future.set_result(job.scores)
                return job.future
            self._jobs.append(job)
            self._waiting += len(items)
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """Take nothing more, finish what was taken, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while parts := self._next_batch():
            self._run(parts)

    def _next_batch(self) -> list[_Part]:
        """Wait for a batch; it is empty only when everything is done and the batcher is closed."""
        with self._changed:
            while True:
                while not self._jobs and not self._closed:
                    self._changed.wait()
                self._fill_up()
                if (parts := self._take()) or self._closed:
                    return parts

    def _fill_up(self) -> None:
        """Wait until a batch is full, or until the first text has waited long enough."""
        if not self._jobs:
            return
        end = self._jobs[0].arrived + self._limits.max_wait_ms / 1000
        while self._waiting < self._limits.max_batch and not self._closed and (left := end - time.monotonic()) > 0:
            self._changed.wait(left)

    def _take(self) -> list[_Part]:
        """Take a batch from the front of the queue."""
        parts: list[_Part] = []
        free = self._limits.max_batch
        while free and self._jobs:
            job = self._jobs[0]
            if not job.future.done():
                stop = min(len(job.items), job.taken + free)
                parts.append(_Part(job, job.taken, stop))
                free -= stop - job.taken
                self._waiting -= stop - job.taken
                job.taken = stop
                if stop < len(job.items):
                    break
            self._waiting -= len(job.items) - job.taken
            self._jobs.popleft()
        return parts

    def _drop_done(self) -> None:
        """Remove the requests whose clients left, or which failed in part."""
        self._jobs = deque(job for job in self._jobs if not job.future.done())
        self._waiting = sum(len(job.items) - job.taken for job in self._jobs)

    def _run(self, parts: Sequence[_Part]) -> None:
        parts = [part for part in parts if not part.job.future.done()]
        items = [item for part in parts for item in part.job.items[part.start : part.stop]]
        if not items:
            return
        start = time.perf_counter()
        try:
            scores = self._score(items)
        except BaseException as error:  # whatever an encoder raises, the thread goes on
            if len(parts) == 1:
                _fail(parts[0].job, error)
            else:
                for part in parts:
                    self._run([part])
            return
        self._on_batch(len(items), time.perf_counter() - start)
        for part in parts:
            size = part.stop - part.start
            _add(part, scores[:size])
            scores = scores[size:]


def _add(part: _Part, scores: Float64Array) -> None:
    job = part.job
    job.scores[part.start : part.stop] = scores
    job.n_scored += part.stop - part.start
    if job.n_scored == len(job.items):
        try:
            job.future.set_result(job.scores)
        except InvalidStateError:  # the client left meanwhile
            return


def _fail(job: _Job, error: BaseException) -> None:
    try:
        job.future.set_exception(error)
    except InvalidStateError:
        return
