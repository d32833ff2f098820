"""The lock of a study: one process runs it, and the study's file names that process."""

from __future__ import annotations

import os
import platform
import secrets
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rmspace.study.store import Driver, Store


@contextmanager
def study_lock(store: Store, *, take_over: bool = False) -> Iterator[None]:
    """Hold a study's lock; take over, with a warning, a lock that a dead process of this host left behind.

    On Windows it is not known whether a process is alive: its lock is taken over only with `take_over`. On macOS a dead
    process whose number another process has counts as alive. `take_over` helps there too.

    Args:
        store: the study.
        take_over: take the lock from a driver, such as one on another host, that may or may not be alive.

    Raises:
        BlockingIOError: another driver holds the lock, or may hold it.
    """
    me = Driver(platform.node(), os.getpid(), process_start(os.getpid()), time.strftime("%Y-%m-%d %H:%M:%S%z"))
    with store.transaction():
        other = store.driver()
        if other is not None:
            _check_free(store.path, other, me, take_over)
        store.set_driver(me, secrets.token_hex(8))
    try:
        yield
    finally:
        with suppress(OSError), store.transaction():  # a full disk must not hide the error before it
            store.remove_driver()


def process_start(pid: int) -> str:
    """Return a process's name space and start time, since process numbers are used again; "" outside Linux."""
    with suppress(OSError, IndexError):
        space = Path("/proc/self/ns/pid").readlink()
        return f"{space} {Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]}"
    return ""


def _check_free(path: Path, other: Driver, me: Driver, take_over: bool) -> None:
    """Raise BlockingIOError unless the lock of another driver may be taken over, and warn where it is."""
    alive = _is_alive(other) if _shares_processes(other, me) else None
    if alive is False:
        warnings.warn(
            f"took over {path} from process {other.pid}, which is dead (it began at {other.since})", stacklevel=4
        )
        return
    if take_over and alive is None:
        warnings.warn(f"took over {path} from process {other.pid} on {other.host}, as asked", stacklevel=4)
        return
    rule = f"{path} is being run by process {other.pid} on {other.host} since {other.since}, and a study has one driver"
    if alive:
        raise BlockingIOError(f"{rule}; wait for it, or stop it")
    raise BlockingIOError(f"{rule}; if that process is dead, run with --take-over (take_over=True)")


def _shares_processes(other: Driver, me: Driver) -> bool:
    """Return whether the other driver's process number belongs to this host; a container has its own numbers."""
    return other.host == me.host and other.started.partition(" ")[0] == me.started.partition(" ")[0]


def _is_alive(driver: Driver) -> bool | None:
    """Return whether a process of this host is alive; None where that cannot be told."""
    if sys.platform == "win32":  # there, os.kill with 0 would interrupt the process
        return None
    try:
        os.kill(driver.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    if not driver.started:
        return None
    return process_start(driver.pid) == driver.started
