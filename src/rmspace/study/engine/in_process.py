"""The engine inside this process: one cell after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rmspace.models.core.precision import fixed_threads
from rmspace.study.engine.cell import Computer, Outcome, Task


def compute_here(groups: Iterable[Sequence[Task]], *, threads: int) -> Iterator[Outcome]:
    """Yield the outcome of each cell as it ends."""
    computer = Computer()
    with fixed_threads(threads):
        try:
            for group in groups:
                yield from map(computer, group)
        finally:
            computer.close()
