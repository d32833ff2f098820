"""Telling an interruption of the study from a KeyboardInterrupt that the code of a cell raises."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_interrupted = threading.Event()


@contextmanager
def watching_signals() -> Iterator[None]:
    """Note in the block whether SIGINT or SIGTERM came; the handlers that stood before are called as before."""
    _interrupted.clear()
    if threading.current_thread() is not threading.main_thread():  # only there may a handler be set
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    watched = {number: handler for number, handler in before.items() if callable(handler)}

    def note(number: int, frame: FrameType | None) -> None:
        _interrupted.set()
        watched[signal.Signals(number)](number, frame)

    try:
        for number in watched:
            signal.signal(number, note)
        yield
    finally:
        for number, handler in watched.items():
            signal.signal(number, handler)


def came_from_outside(error: BaseException) -> bool:
    """Say whether an error stops the study: it does where a signal came, and nowhere else."""
    return isinstance(error, KeyboardInterrupt) and _interrupted.is_set()
