"""scikit-learn estimators in a skops file, read without pickle and only with types that skops or the caller trusts."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import skops.io

_MOST_TIMES, _SMALL = 20, 1 << 24  # unpacked, a file may be so many times as large, or have so many bytes
_LIBRARIES = ("sklearn.", "numpy.", "scipy.")


def write_estimators(path: Path, **estimators: Any) -> None:
    """Write estimators by name.

    Raises:
        TypeError: one holds a type from outside scikit-learn, numpy and scipy.
    """
    data = skops.io.dumps(estimators)
    unknown = skops.io.get_untrusted_types(data=data)
    if foreign := [name for name in unknown if not name.startswith(_LIBRARIES)]:
        raise TypeError(
            f"{' and '.join(map(repr, estimators.values()))} holds types that cannot be saved safely: "
            f"{', '.join(foreign)}; use scikit-learn's own estimators, or keep it yourself"
        )
    path.write_bytes(data)


def read_estimators(path: Path, trusted: Sequence[str]) -> dict[str, Any]:
    """Read estimators by name.

    Raises:
        ValueError: the file is damaged, or names types that neither skops nor the caller trusts.
    """
    data = path.read_bytes()
    try:
        _check_size(path)
        unknown = set(skops.io.get_untrusted_types(data=data)) - set(trusted)
        if unknown:
            raise ValueError(
                f"{path} names types that are not trusted: {', '.join(sorted(unknown))}; "
                f"if you trust who wrote it, load with trusted={sorted(unknown)}"
            )
        return dict(skops.io.loads(data, trusted=list(trusted)))
    except (zipfile.BadZipFile, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error})") from error


def _check_size(path: Path) -> None:
    """Raise ValueError where a file would grow far beyond its own size when it is unpacked."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    allowed = max(_SMALL, _MOST_TIMES * path.stat().st_size)
    if unpacked > allowed:
        raise ValueError(
            f"{path} has {path.stat().st_size:,} bytes and would be unpacked to {unpacked:,}; at most {allowed:,} are "
            "read: it is damaged, or meant to fill the memory"
        )
