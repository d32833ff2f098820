"""Descriptions of encoders: what embeddings depend on, and how two of them differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

ABOUT = "about"
"""The part of a description that is recorded and not compared: places, versions of libraries."""


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two descriptions, each as "name: before -> now"; "about" is left out.

    >>> differences({"pooling": "mean", "about": {"torch": "2.5"}}, {"pooling": "last", "about": {}})
    ["pooling: 'mean' -> 'last'"]
    """
    one, other = _flat(_as_json(before)), _flat(_as_json(now))
    return [
        f"{name}: {one.get(name, 'nothing')!r} -> {other.get(name, 'nothing')!r}"
        for name in sorted(one.keys() | other.keys())
        if one.get(name, ...) != other.get(name, ...)
    ]


def check_same(what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise ValueError, with what differs, unless two descriptions are of the same embeddings."""
    if found := differences(before, now):
        raise ValueError(
            f"{what} was made with another encoder; before -> now: {'; '.join(found)}; use that encoder, or another "
            "folder"
        )


def _as_json(description: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return json.loads(json.dumps(dict(description)))
    except (TypeError, ValueError) as error:
        raise TypeError(f"the description of an encoder must be what JSON can hold ({error})") from error


def _flat(description: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in description.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return {name: value for name, value in found.items() if not name.startswith(f"{ABOUT}.")}
