"""scikit-learn estimators in a skops file: types outside scikit-learn, numpy and scipy are refused, both ways."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import skops.io


def write_estimators(path: Path, **estimators: Any) -> None:
    """Write estimators by name.

    Raises:
        TypeError: one has a type that `read_estimators` would refuse.
    """
    data = skops.io.dumps(estimators)
    if unknown := skops.io.get_untrusted_types(data=data):
        raise TypeError(
            f"{' and '.join(map(repr, estimators.values()))} holds types that cannot be saved safely: "
            f"{', '.join(unknown)}; use scikit-learn's own estimators, or keep it yourself"
        )
    path.write_bytes(data)


def read_estimators(path: Path) -> dict[str, Any]:
    """Read estimators by name.

    Raises:
        ValueError: the file is damaged, or names types outside scikit-learn, numpy and scipy.
    """
    data = path.read_bytes()
    try:
        unknown = skops.io.get_untrusted_types(data=data)
        if unknown:
            raise ValueError(f"{path} names types that are not trusted: {', '.join(unknown)}")
        return dict(skops.io.loads(data))
    except (zipfile.BadZipFile, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error})") from error
