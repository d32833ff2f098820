"""Standard output and error of the command: closed, full or in a narrow encoding, they never end a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LOST = 74
"""The exit status where the output could not be written; EX_IOERR of sysexits.h."""


class Output:
    """A text stream whose errors of writing are kept, not raised, except that nobody reads a pipe any more."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write, or drop the text where an earlier one could not be written."""
        self._try("write", text)
        return len(text)

    def flush(self) -> None:
        """Flush what can be written."""
        self._try("flush")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, method: str, *arguments: str) -> None:
        if self.error is not None:
            return
        try:
            getattr(self._stream, method)(*arguments)
        except BrokenPipeError:
            raise
        except OSError as error:
            self.error = error
            _discard(self._stream)


@contextmanager
def safe_streams() -> Iterator[Output]:
    """Replace standard output and error by streams that take any text and never raise; yield standard output.

    A closed stream is opened on the null device first. Otherwise the next file that is opened would get its number, and
    what a library prints would be written into that file.
    """
    _open_closed()
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    output = Output(sys.stdout)
    sys.stdout, sys.stderr = output, Output(sys.stderr)
    try:
        yield output
    finally:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, Output):
                stream.flush()
        sys.stdout, sys.stderr = before


def _open_closed() -> None:
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        try:
            os.fstat(number)
        except OSError:  # the lowest free number is taken, which is this one
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _discard(stream: Any) -> None:
    """Let what the stream still holds go to the null device, so that Python does not fail on it at its end."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):  # not a file
        return
