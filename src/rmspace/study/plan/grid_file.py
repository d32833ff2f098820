"""The file of a study: its base read in, its stand-in and overrides applied."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rmspace.config.node import ConfigError, Node, apply_override, as_node, read_config, split_key
from rmspace.config.resolve import nearest

_KEYS: dict[str, type] = {"base": dict, "grid": dict, "exclude": list, "include": list}
_STAND_IN = "synthetic"


def read_grid_file(path: Path, overrides: Sequence[str], *, synthetic: bool) -> Node:
    """Read the YAML of a study; see `read_grid`. The tree has the keys base, grid, exclude and include."""
    root = read_config(path)
    for name, node in root.items():
        if name not in (*_KEYS, _STAND_IN):
            raise node.error(f"unknown key{nearest(str(name), (*_KEYS, _STAND_IN))}")
    root = _with_base(root)
    root = _with_every_key(root)
    stand_in = root.value.get(_STAND_IN)
    root = root.without((_STAND_IN,))
    if synthetic:
        root = _with_stand_in(root, stand_in)
    for override in overrides:
        root = _with_override(root, override)
    _check_types(root)
    if not root["grid"].value:
        raise root["grid"].error("needs at least one axis")
    return root


def _with_base(root: Node) -> Node:
    """Read the config that `base` gives by its path."""
    base = root.get("base")
    return root.put(("base",), read_config(root.folder / Path(base).expanduser())) if isinstance(base, str) else root


def _with_every_key(root: Node) -> Node:
    for name in ("base", "grid"):
        if name not in root:
            raise root.error(f"the key {name} is missing")
    for name, kind in _KEYS.items():
        if name not in root:
            root = root.put((name,), as_node(kind(), place=root.place, folder=root.folder))
    _check_types(root)
    return root


def _check_types(root: Node) -> None:
    for name, node in root.items():
        if not isinstance(node.value, _KEYS.get(str(name), dict)):
            words = "a list of rules" if _KEYS.get(str(name)) is list else "a block of keys"
            raise node.error(f"must be {words}; got {node.plain()!r}")


def _with_stand_in(root: Node, stand_in: Node | None) -> Node:
    if stand_in is None or not stand_in.value:
        raise root.error("has no `synthetic` to put in for its banks; run it without --synthetic")
    for name, node in stand_in.items():
        key = split_key(str(name), root)
        if key[0] not in _KEYS:
            raise node.error("must begin with `base.` or `grid.`, or be `exclude` or `include`")
        root = root.put(key, node)
    return root


def _with_override(root: Node, override: str) -> Node:
    name = override.partition("=")[0].partition(".")[0]
    changed = apply_override(root, override)
    if name not in _KEYS:
        raise ConfigError(f"command line: {override}: a study has the keys base and grid, not {name}")
    return changed
