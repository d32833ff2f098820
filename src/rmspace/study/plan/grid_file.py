"""The file of a study: its base read in, its stand-in and overrides applied."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmspace.config.node import ConfigError, Document, apply_override, read_config, split_key
from rmspace.config.resolve import nearest

_KEYS: dict[str, type] = {"base": dict, "grid": dict, "exclude": list, "include": list, "synthetic": dict}


def read_grid_file(path: Path, overrides: Sequence[str], *, synthetic: bool) -> Document:
    """Read the YAML of a study; see `read_grid`."""
    document = read_config(path)
    for name in document.data:
        if name not in _KEYS:
            raise document.error((name,), f"unknown key{nearest(name, _KEYS)}")
    if isinstance(document.data.get("base"), str):
        _read_base(document)
    for name, kind in _KEYS.items():
        if name not in document.data and name in ("base", "grid"):
            raise document.error((), f"the key {name} is missing")
        value = document.data.setdefault(name, kind())
        _check_kind(document, name, value, kind)
    stand_in = document.data.pop("synthetic")
    if synthetic:
        if not stand_in:
            raise document.error((), "has no `synthetic` to put in for its banks; run it without --synthetic")
        for name, value in stand_in.items():
            _put_in(document, name, value)
    for override in overrides:
        apply_override(document, override)
        if (name := override.partition("=")[0].partition(".")[0]) not in ("base", "grid", "exclude", "include"):
            raise ConfigError(f"command line: {override}: a study has the keys base and grid, not {name}")
    for name in ("base", "grid", "exclude", "include"):
        _check_kind(document, name, document.data[name], _KEYS[name])
    if not document.data["grid"]:
        raise document.error(("grid",), "needs at least one axis")
    return document


def _check_kind(document: Document, name: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        words = "a block of keys" if kind is dict else "a list of rules"
        raise document.error((name,), f"must be {words}; got {value!r}")


def _read_base(document: Document) -> None:
    base = read_config(document.folder(()) / Path(document.data["base"]).expanduser())
    document.data["base"] = base.data
    document.places |= {("base", *key): place for key, place in base.places.items()}
    document.folders |= {("base", *key): folder for key, folder in base.folders.items()}


def _put_in(document: Document, name: str, value: Any) -> None:
    key = split_key(name, document.data)
    if key[0] not in ("base", "grid", "exclude", "include"):
        raise document.error(("synthetic", name), "must begin with `base.` or `grid.`, or be `exclude` or `include`")
    at = ("synthetic", name)
    places = {(*key, *place[2:]): where for place, where in document.places.items() if place[:2] == at}
    document.set(key, value, places, {key: document.folder(())})
