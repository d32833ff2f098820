"""The provenance of a result: the versions of the packages, the machine, the data."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from typing import Any

from rmspace import __version__
from rmspace.data.bank import ResponseBank
from rmspace.data.preferences import Preferences

_PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "torch", "lightgbm")


def versions() -> dict[str, str]:
    """Return the versions that results may depend on, by name.

    >>> sorted(versions())[:3]
    ['lightgbm', 'numpy', 'pandas']
    """
    packages = {package: importlib.metadata.version(package) for package in _PACKAGES}
    return {"rmspace": __version__, "python": platform.python_version(), **packages}


def machine() -> dict[str, Any]:
    """Return the operating system, the kind of processor and the number of its cores."""
    return {"platform": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()}


def describe_data(data: Mapping[str, ResponseBank | Preferences]) -> dict[str, dict[str, Any]]:
    """Return the SHA-256 and the size of each bank or preferences, by name."""
    return {name: {"sha256": each.fingerprint(), **_size(each)} for name, each in data.items()}


def _size(data: ResponseBank | Preferences) -> dict[str, int]:
    size = {"n_prompts": data.n_prompts, "n_items": data.n_items, "dim": data.dim}
    if isinstance(data, Preferences):
        return {**size, "n_comparisons": data.n_comparisons}
    return {**size, "n_responses": data.n_responses} if data.is_rectangular else size
