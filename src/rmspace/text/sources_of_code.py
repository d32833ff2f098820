"""Which code a function is: the hash of the file that defines it."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import Any

from rmspace.data.files import file_hash


def source_hash(function: Any) -> str | None:
    """Return the SHA-256 of the file of a function, or None where it has none, as in a notebook.

    >>> source_hash(source_hash) == file_hash(__file__), source_hash(len)
    (True, None)
    """
    while isinstance(function, functools.partial):
        function = function.func
    target = function if inspect.isroutine(function) or inspect.isclass(function) else type(function)
    try:
        path = inspect.getsourcefile(target)
    except TypeError:
        return None
    return file_hash(path) if path is not None and Path(path).is_file() else None
