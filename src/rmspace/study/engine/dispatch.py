"""Who runs what: groups of cells to workers, and the blame where a worker dies. No worker is touched here."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rmspace.study.engine.cell import Task

_TOGETHER = 0.1  # seconds of quick cells that are sent as one: each sending costs about as much as such a cell
_MOST = 16
_AT_ONCE = 2  # flights that a worker has: the one that runs, and the next
RETRIES = 3

Flight = tuple[Task, ...]


@dataclass
class _Line:
    """What one worker has: flights of cells, the first of them running, and the rest of its group."""

    flights: deque[Flight] = field(default_factory=deque)
    group: deque[Task] = field(default_factory=deque)
    alone: bool = False


class Dispatcher:
    """Hands out cells so that each group stays with one worker; a cell that is suspect runs on a worker alone."""

    def __init__(self, groups: Iterable[Sequence[Task]]) -> None:
        self._pending = deque(deque(group) for group in groups)
        self._suspects: deque[Task] = deque()
        self._lines: dict[str, _Line] = {}
        self._together = 1  # cells in a flight
        self.crashes: Counter[str] = Counter()

    @property
    def finished(self) -> bool:
        """Whether nothing is left, here or on a worker."""
        lines = self._lines.values()
        return not (self._pending or self._suspects or any(line.flights or line.group for line in lines))

    def running(self, worker: str) -> Flight:
        """Return the cells that a worker is at: several where they are quick, none where it waits."""
        line = self._lines.get(worker)
        return line.flights[0] if line and line.flights else ()

    def next_for(self, worker: str) -> Flight:
        """Return cells to send to a worker; none where it has enough."""
        line = self._lines.setdefault(worker, _Line())
        if self._suspects:
            if line.flights:
                return ()
            line.alone = True
            line.flights.append((self._suspects.popleft(),))
            return line.flights[0]
        if line.alone or len(line.flights) >= _AT_ONCE:
            return ()
        if not line.group and not self._pending:
            line.group = self._half_of_the_longest()
        flight: list[Task] = []
        while len(flight) < self._together and (line.group or self._pending):
            line.group = line.group or self._pending.popleft()
            flight.append(line.group.popleft())
        if flight:
            line.flights.append(tuple(flight))
        return tuple(flight)

    def ended(self, worker: str, flight: Flight, seconds: float = 1.0) -> None:
        """Note that a worker is through with a flight, and how long it took: quick cells are then sent together."""
        line = self._lines[worker]
        line.flights.remove(flight)
        line.alone = False
        self._together = min(_MOST, max(1, round(_TOGETHER * len(flight) / max(seconds, 1e-3))))

    def lost(self, worker: str, *, blame: bool = True) -> Task | None:
        """Note that a worker is gone. The cell that ran is to blame and will run alone, the others run again.

        Of several cells that were sent together none is blamed yet: each runs alone.

        Returns the blamed cell where it has now crashed once, and then `RETRIES` times alone: it is given up. Without
        `blame` a single running cell is dropped, as its end is known.
        """
        line = self._lines.pop(worker, _Line())
        running = line.flights.popleft() if line.flights else ()
        rest = deque([*(task for flight in line.flights for task in flight), *line.group])
        if rest:
            self._pending.appendleft(rest)
        if len(running) > 1:
            self._suspects.extend(running)
        elif running and blame:
            (task,) = running
            self.crashes[task.key] += 1
            if self.crashes[task.key] > RETRIES:
                return task
            self._suspects.append(task)
        return None

    def _half_of_the_longest(self) -> deque[Task]:
        """Take the second half of the longest group that another worker has before it."""
        longest = max((line.group for line in self._lines.values()), key=len, default=deque())
        return deque(reversed([longest.pop() for _ in range((len(longest) + 1) // 2)]))
