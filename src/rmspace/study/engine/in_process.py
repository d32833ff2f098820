"""The engine inside this process: one cell after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

from rmspace.models.core.precision import fixed_threads
from rmspace.study.engine.cell import CellRunner
from rmspace.study.engine.interruption import watching_signals
from rmspace.study.engine.task import Outcome, Task


def compute_here(groups: Iterable[Sequence[Task]], *, threads: int) -> Iterator[Outcome]:
    """Yield the outcome of each cell as it ends."""
    with watching_signals(), fixed_threads(threads), closing(CellRunner()) as runner:
        for group in groups:
            yield from map(runner.run, group)
