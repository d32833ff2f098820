"""Packages that only some commands need: one message where one is missing."""

from __future__ import annotations

import importlib
from typing import Any


def need(module: str, extra: str = "text") -> Any:
    """Import a module of an optional dependency.

    Raises:
        ImportError: it is not installed; the message says what to install.

    >>> need("json").loads("[1]")
    [1]
    >>> need("no_such_module")
    Traceback (most recent call last):
    ImportError: this needs no_such_module, which is not installed; run pip install 'reward-space[text]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # the package is there, and something that it needs itself is not
        raise ImportError(
            f"this needs {module}, which is not installed; run pip install 'reward-space[{extra}]'"
        ) from error
