"""The driver's lock: a study has one writer, and the file names it."""

from __future__ import annotations

import os
import platform
import secrets
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rmspace.study.store import Store


@contextmanager
def study_lock(store: Store, *, take_over: bool = False) -> Iterator[None]:
    """Hold a study's lock; one left by a process of this host that is dead is taken over, with a warning.

    Args:
        store: the study.
        take_over: take the lock from a driver on another host, which cannot be asked from here whether it lives.

    Raises:
        BlockingIOError: another driver holds it, or may.
    """
    me = (platform.node(), os.getpid(), _started(os.getpid()))
    token = secrets.token_hex(8)
    with store.transaction():
        other = store.connection.execute("SELECT host, pid, started, since FROM driver").fetchone()
        if other is not None:
            _check(store.path, other, me[0], take_over)
        store.token = token
        store.connection.execute("DELETE FROM driver")
        store.connection.execute("INSERT INTO driver VALUES (1, ?, ?, ?, ?, ?)", (*me, time.strftime("%F %T%z"), token))
    try:
        yield
    finally:
        with suppress(OSError), store.transaction():  # a full disk must not hide what went wrong before
            store.connection.execute("DELETE FROM driver WHERE token = ?", (token,))


def _check(path: Path, other: tuple[str, int, str, str], here: str, take_over: bool) -> None:
    host, pid, started, since = other
    # Another name space of processes (a container) is another host, as far as one can see from here.
    near = host == here and started.partition(" ")[0] == _started(os.getpid()).partition(" ")[0]
    if near and not _alive(pid, started):
        warnings.warn(f"took over {path} from process {pid}, which is dead (it began at {since})", stacklevel=4)
        return
    if take_over and not (near and started):
        warnings.warn(f"took over {path} from process {pid} on {host}, as asked", stacklevel=4)
        return
    rule = f"{path} is being run by process {pid} on {host} since {since}, and a study has one driver"
    if near:
        raise BlockingIOError(f"{rule}; wait for it, or stop it")
    raise BlockingIOError(f"{rule}; if that process is dead, run with --take-over (take_over=True)")


def _alive(pid: int, started: str) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _started(pid) == started


def _started(pid: int) -> str:
    """Return a process's name space and when it began, as numbers are given out again; "" where unknown."""
    with suppress(OSError, IndexError):
        space = Path("/proc/self/ns/pid").readlink()
        return f"{space} {Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]}"
    return ""
