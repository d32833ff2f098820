"""A lock on a folder: one process writes to it. The system frees the lock when that process ends in any way."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "writer.lock"


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder that exists.

    Raises:
        BlockingIOError: another process, or another thread of this one, holds it.
    """
    handle = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            _take(handle)
        except (BlockingIOError, PermissionError) as error:  # Windows says the latter
            holder = os.pread(handle, 200, 1).decode(errors="replace") if hasattr(os, "pread") else "another process"
            raise BlockingIOError(
                f"{folder} is being written by {holder}; one process writes to it at a time: wait for it, or stop it"
            ) from error
        os.ftruncate(handle, 0)
        since = time.strftime("%Y-%m-%d %H:%M:%S%z")
        os.write(handle, f" process {os.getpid()} on {platform.node()} since {since}".encode())
        yield
    finally:
        os.close(handle)  # frees the lock


if sys.platform == "win32":
    import msvcrt

    def _take(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # the first byte, so that the others can be read

else:
    import fcntl

    def _take(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
