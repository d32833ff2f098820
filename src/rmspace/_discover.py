"""The public names of a package: those that its modules list in `__all__`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any


def attach(*packages: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package whose modules each list their public names in `__all__`.

    The first of `packages` is the package itself; the names of the others are its names too.

    A new module in the folder needs no other file to be changed. Nothing is imported until a name is asked for.
    """

    def names() -> dict[str, str]:
        found: dict[str, str] = {}
        for package in packages:
            for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
                if not module.ispkg and not module.name.startswith("_"):
                    full = f"{package}.{module.name}"
                    found |= dict.fromkeys(getattr(importlib.import_module(full), "__all__", ()), full)
        return found

    def get(name: str) -> Any:
        if name == "__all__":
            return sorted(names())
        if not name.startswith("_") and (home := names().get(name)):
            return getattr(importlib.import_module(home), name)
        raise AttributeError(f"module {packages[0]!r} has no attribute {name!r}")

    return get, lambda: sorted(names())
