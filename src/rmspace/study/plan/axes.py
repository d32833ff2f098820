"""The axes of a grid: the keys of the config that they set, the values, and the name of each value in the results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rmspace.config.build import BLOCKS_OF_NAMES, KEYS
from rmspace.config.node import Key, Node, as_node, split_key
from rmspace.config.resolve import nearest
from rmspace.results.schema import RESERVED

Label = str | int | float | bool | None


@dataclass(frozen=True, eq=False)
class AxisValue:
    """One value of an axis: its labels, one per column, and the nodes that it puts into the config."""

    labels: tuple[Label, ...]
    settings: tuple[Node, ...]  # each with the key in the config that it sets

    def same_as(self, other: AxisValue) -> bool:
        """Say whether both set the same keys to the same values."""
        mine, theirs = ([(node.key, node.plain()) for node in each.settings] for each in (self, other))
        return mine == theirs


@dataclass(frozen=True)
class Axis:
    """One axis: its name as written, the paths of the keys that it sets, its values."""

    name: str
    columns: tuple[str, ...]
    values: list[AxisValue]

    @property
    def tops(self) -> set[str | int]:
        """The keys of the config that it sets, or sets a part of."""
        return {setting.key[0] for setting in self.values[0].settings}

    def labels(self, column: str) -> list[Label]:
        """Return the labels of its values in a column, in order, each once."""
        place = self.columns.index(column)
        return list(dict.fromkeys(value.labels[place] for value in self.values))


def read_axis(name: str, node: Node, base: Node) -> Axis:
    """Read one axis: a list of values, or a block of named values.

    `a.b, c: [[1, 2], [3, 4]]` sets two keys at once. On the axis `models` (and `metrics`, `baselines`) a block with
    `use` is one model under its own name.

    Raises:
        ConfigError: an unknown key, no values, a value that occurs twice, a block without a name.
    """
    columns = tuple(word.strip() for word in name.split(","))
    keys = [split_key(column, base) for column in columns]
    for column, key in zip(columns, keys, strict=True):
        _check_column(column, key, node)
    if not (node.is_list or node.is_block) or not node.value or "use" in node:
        came = "an empty one" if not node.value and node.value != 0 else repr(node.plain())
        raise node.error(f"an axis must be a list of values, or a block of named values; got {came}")
    values = list(_read_values(node, keys, columns))
    _check_distinct(node, values)
    return Axis(name, columns, values)


def _check_column(column: str, key: tuple[str, ...], node: Node) -> None:
    if not all(key) or key[0] not in KEYS:
        raise node.error(f"unknown axis: the config has no key {key[0]!r}{nearest(str(key[0]), KEYS)}")
    if column in RESERVED:
        raise node.error(f"cannot be an axis: the tables of results have a column {column} of their own")


def _check_distinct(node: Node, values: list[AxisValue]) -> None:
    seen: set[tuple[Label, ...]] = set()
    for (_, inner), value in zip(node.items(), values, strict=True):
        if value.labels in seen:
            raise inner.error(f"the value {inner.plain()!r} stands twice in the axis")
        seen.add(value.labels)


def _read_values(node: Node, keys: list[tuple[str, ...]], columns: tuple[str, ...]) -> Iterator[AxisValue]:
    for name, inner in node.items():
        given = str(name) if node.is_block else None
        if len(keys) == 1:
            label = _label(inner) if given is None else given
            yield AxisValue((label,), (_setting(keys[0], inner, label),))
        else:
            yield _read_row(inner, keys, columns, given)


def _read_row(row: Node, keys: list[tuple[str, ...]], columns: tuple[str, ...], given: str | None) -> AxisValue:
    """Read a value that sets several keys; the name of a named row is the label of its first key."""
    if not row.is_list or len(row.value) != len(keys):
        raise row.error(f"must be a list of {len(keys)} values, for {', '.join(columns)}; got {row.plain()!r}")
    labels = [_label(inner) for inner in row.value]
    if given is not None:
        labels[0] = given
    rows = zip(keys, row.value, labels, strict=True)
    return AxisValue(tuple(labels), tuple(_setting(key, inner, label) for key, inner, label in rows))


def _setting(key: Key, node: Node, label: Label) -> Node:
    """Return a node at the key of the config that it sets."""
    if len(key) == 1 and key[0] in BLOCKS_OF_NAMES and "use" in node:
        block = as_node({}, place=node.place, folder=node.folder)
        node = block.put((str(label),), node)
    return node.moved(key)


def _label(node: Node) -> Label:
    if node.is_block:
        raise node.error("a block on an axis needs a name, by which results call it: {name: {...}}")
    return str(node.plain()) if node.is_list else node.value
