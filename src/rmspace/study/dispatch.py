"""Who runs what: groups of cells to workers, and the blame where a worker dies. No worker is touched here."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rmspace.study.compute import Task

_AHEAD = 0.1  # seconds of cells that a worker has before it, so that it never waits for the driver
_MOST = 16
RETRIES = 3


@dataclass
class _Line:
    """What one worker has: cells in flight, the first of them running, and the rest of its group."""

    flight: deque[Task] = field(default_factory=deque)
    group: deque[Task] = field(default_factory=deque)
    alone: bool = False


class Dispatcher:
    """Hands out cells so that each group stays with one worker; a cell that is suspect runs on a worker alone."""

    def __init__(self, groups: Iterable[Sequence[Task]]) -> None:
        self._pending = deque(deque(group) for group in groups)
        self._suspects: deque[Task] = deque()
        self._lines: dict[str, _Line] = {}
        self._depth = 2  # cells that a worker has at once: the one that runs, and the next
        self.crashes: Counter[str] = Counter()

    @property
    def finished(self) -> bool:
        """Whether nothing is left, here or on a worker."""
        lines = self._lines.values()
        return not (self._pending or self._suspects or any(line.flight or line.group for line in lines))

    def running(self, worker: str) -> Task | None:
        """Return the cell that a worker is at."""
        line = self._lines.get(worker)
        return line.flight[0] if line and line.flight else None

    def next_for(self, worker: str) -> Task | None:
        """Return a cell to send to a worker, or None where it has enough."""
        line = self._lines.setdefault(worker, _Line())
        if self._suspects:
            if line.flight:
                return None
            line.alone = True
            line.flight.append(self._suspects.popleft())
            return line.flight[0]
        if line.alone or len(line.flight) >= self._depth:
            return None
        if not line.group:
            line.group = self._pending.popleft() if self._pending else self._half_of_the_longest()
        if not line.group:
            return None
        line.flight.append(line.group.popleft())
        return line.flight[-1]

    def ended(self, worker: str, task: Task, seconds: float = 1.0) -> None:
        """Note that a worker is through with a cell, and how long it took: of quick ones it gets more at once."""
        line = self._lines[worker]
        line.flight.remove(task)
        line.alone = False
        self._depth = min(_MOST, max(2, round(_AHEAD / max(seconds, 1e-3))))

    def lost(self, worker: str, *, blame: bool = True) -> Task | None:
        """Note that a worker is gone. Its running cell is to blame and will run alone, the others run again.

        Returns the blamed cell where it has now crashed once, and then `RETRIES` times alone: it is given up. Without
        `blame` the running cell is dropped, as its end is known.
        """
        line = self._lines.pop(worker, _Line())
        running = line.flight.popleft() if line.flight else None
        rest = deque([*line.flight, *line.group])
        if rest:
            self._pending.appendleft(rest)
        if running is None or not blame:
            return None
        self.crashes[running.key] += 1
        if self.crashes[running.key] > RETRIES:
            return running
        self._suspects.append(running)
        return None

    def _half_of_the_longest(self) -> deque[Task]:
        """Take the second half of the longest group that another worker has before it."""
        longest = max((line.group for line in self._lines.values()), key=len, default=deque())
        return deque(reversed([longest.pop() for _ in range((len(longest) + 1) // 2)]))
