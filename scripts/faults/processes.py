"""A command in a process of its own, which an attack may disturb."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Process = subprocess.Popen[str]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def start(*arguments: Any, **options: Any) -> Process:
    """Start Python with these arguments, in a process group of its own, which Ctrl-C interrupts."""
    hears: dict[str, Any] = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    pipes: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "start_new_session": True,
        "env": ENVIRONMENT,
    }
    return subprocess.Popen([sys.executable, *map(str, arguments)], **{**pipes, **hears, **options})


def finish(process: Process, seconds: float = 600) -> tuple[int, str, str]:
    """Return (status, output, errors) of a process that must end by itself."""
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def wait_for(condition: Callable[[], Any], process: Process | None = None, seconds: float = 300) -> Any:
    """Return the value of `condition` as soon as it is true. The file that it looks at may not exist yet.

    Raises as soon as `process`, which should make the condition true, has ended.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended = process is not None and process.poll() is not None  # asked first: it may meet the condition, then end
        with contextlib.suppress(OSError, ValueError, TypeError, IndexError, sqlite3.Error):
            if value := condition():
                return value
        if process is not None and ended:
            raise AssertionError(f"the process ended too soon: {finish(process)}")
        time.sleep(0.02)
    raise TimeoutError(condition)


def workers_of(pid: int) -> list[int]:
    """Return the numbers of the worker processes below a process."""
    import psutil  # type: ignore[import-untyped]  # distributed needs it too

    found = []
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.Error):
            if any("spawn_main" in word for word in child.cmdline()):
                found.append(child.pid)
    return found


def small_files(limit: int) -> Callable[[], None]:
    """Return a function for `preexec_fn`: the process cannot write more than `limit` bytes to a file.

    A full disk, as far as a program can see.
    """

    def set_limit() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return set_limit


def folder_of_scripts() -> str:
    return str(Path(__file__).parent.parent)
