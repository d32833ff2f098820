"""The choice of cells for each worker, and of cells to run again when a worker dies. No process is started here."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rmspace.study.engine.task import Task

_BATCH_SECONDS = 0.1  # quick cells are sent in batches of this length, since sending a cell takes as long as running it
_MOST_CELLS = 16  # in a batch
_MOST_BATCHES = 2  # at a worker: the running one, and the next
RETRIES = 3

Batch = tuple[Task, ...]


@dataclass
class _Queue:
    """The cells of one worker."""

    batches: deque[Batch] = field(default_factory=deque)  # batches that were sent; the first of them runs
    group: deque[Task] = field(default_factory=deque)  # cells that were not sent yet
    retrying: bool = False  # it runs a cell alone, after a crash


class Dispatcher:
    """Hands out cells to workers. Each group stays with one worker; a cell that may have crashed one runs alone."""

    def __init__(self, groups: Iterable[Sequence[Task]]) -> None:
        self.crashes: Counter[str] = Counter()  # of each cell, by its key
        self._pending = deque(deque(group) for group in groups)
        self._retries: deque[Task] = deque()
        self._queues: dict[str, _Queue] = {}
        self._batch_size = 1

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do, here or on a worker."""
        queues = self._queues.values()
        return not (self._pending or self._retries or any(queue.batches or queue.group for queue in queues))

    def running(self, worker: str) -> Batch:
        """Return the cells that a worker computes now: several where they are quick, none where it waits."""
        queue = self._queues.get(worker)
        return queue.batches[0] if queue and queue.batches else ()

    def next_batch(self, worker: str) -> Batch:
        """Return the cells to send to a worker; none where it has enough."""
        queue = self._queues.setdefault(worker, _Queue())
        if self._retries:
            return self._retry(queue)
        if queue.retrying or len(queue.batches) >= _MOST_BATCHES:
            return ()
        batch = self._take(queue)
        if batch:
            queue.batches.append(batch)
        return batch

    def ended(self, worker: str, batch: Batch, seconds: float = 1.0) -> None:
        """Note that a worker finished a batch; its time decides how large the next batches are."""
        queue = self._queues[worker]
        queue.batches.remove(batch)
        queue.retrying = False
        self._batch_size = min(_MOST_CELLS, max(1, round(_BATCH_SECONDS * len(batch) / max(seconds, 1e-3))))

    def died(self, worker: str) -> Task | None:
        """Note that a worker died. The cell that it computed will run alone, the others run again.

        A cell that ran by itself counts one more crash. In a batch of several cells it is not known which one crashed:
        each then runs alone, and none counts a crash yet.

        Returns the cell that has now crashed once and `RETRIES` times more alone; it is not run again.
        """
        running = self._take_back(worker)
        if len(running) == 1:
            (task,) = running
            self.crashes[task.key] += 1
            if self.crashes[task.key] > RETRIES:
                return task
        self._retries.extend(running)
        return None

    def stopped(self, worker: str) -> None:
        """Note that a worker was stopped because its batch took too long.

        A single cell is not run again. Of several cells, each runs alone.
        """
        running = self._take_back(worker)
        if len(running) > 1:
            self._retries.extend(running)

    def _retry(self, queue: _Queue) -> Batch:
        """Send a cell to be run alone, where the worker has nothing else to do."""
        if queue.batches:
            return ()
        queue.retrying = True
        queue.batches.append((self._retries.popleft(),))
        return queue.batches[0]

    def _take(self, queue: _Queue) -> Batch:
        """Take a batch of cells from the worker's group, then from the next groups, then from another worker's."""
        if not queue.group and not self._pending:
            queue.group = self._half_of_the_longest()
        batch: list[Task] = []
        while len(batch) < self._batch_size and (queue.group or self._pending):
            queue.group = queue.group or self._pending.popleft()
            batch.append(queue.group.popleft())
        return tuple(batch)

    def _take_back(self, worker: str) -> Batch:
        """Take back all cells of a worker; return the batch that ran."""
        queue = self._queues.pop(worker, _Queue())
        running = queue.batches.popleft() if queue.batches else ()
        rest = deque([*(task for batch in queue.batches for task in batch), *queue.group])
        if rest:
            self._pending.appendleft(rest)
        return running

    def _half_of_the_longest(self) -> deque[Task]:
        """Take the second half of the longest waiting group of another worker."""
        longest = max((queue.group for queue in self._queues.values()), key=len, default=deque())
        return deque(reversed([longest.pop() for _ in range((len(longest) + 1) // 2)]))
