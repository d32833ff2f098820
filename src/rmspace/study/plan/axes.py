"""The axes of a grid: which keys of the config they set, to what, and how each value is called in the results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmspace.config.build import KEYS
from rmspace.config.node import Document, Key, split_key
from rmspace.config.resolve import nearest

Label = str | int | float | bool | None

_BLOCKS_OF_NAMES = ("models", "metrics", "baselines")
_TAKEN = (  # columns of the tables of results and of cells
    *("model", "metric", "n", "value", "low", "high", "error_rate", "mean_abs_gap", "fit_seconds", "precision"),
    *("device", "current", "status", "attempts", "seconds", "ended", "worker", "error", "traceback", "key"),
)


@dataclass(frozen=True, eq=False)
class Setting:
    """One key of the config set to one value."""

    key: Key
    value: Any
    places: dict[Key, str]
    folders: dict[Key, Path]


@dataclass(frozen=True, eq=False)
class AxisValue:
    """What one value of an axis sets, and its labels, one a column."""

    labels: tuple[Label, ...]
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class Axis:
    """One axis: its name as written, the key paths that it sets, its values."""

    name: str
    columns: tuple[str, ...]
    values: list[AxisValue]

    @property
    def tops(self) -> set[str | int]:
        """The keys of the config that it reaches into."""
        return {setting.key[0] for setting in self.values[0].settings}

    def labels(self, column: str) -> list[Label]:
        """Return the labels of its values in a column, in order, each once."""
        place = self.columns.index(column)
        return list(dict.fromkeys(value.labels[place] for value in self.values))


def read_axis(name: str, written: Any, at: Key, document: Document, base: Document) -> Axis:
    """Read one axis: a list of values, or a block of named ones.

    `a.b, c: [[1, 2], [3, 4]]` sets two keys together. On the axis `models` (and `metrics`, `baselines`) a block with
    `use` is one model under its own name.

    Raises:
        ConfigError: an unknown key, no values, a value that stands twice, a block without a name.
    """
    columns = tuple(word.strip() for word in name.split(","))
    keys = [split_key(column, base.data) for column in columns]
    for column, key in zip(columns, keys, strict=True):
        if not all(key) or key[0] not in KEYS:
            raise document.error(at, f"unknown axis: the config has no key {key[0]!r}{nearest(str(key[0]), KEYS)}")
        if column in _TAKEN:
            raise document.error(at, f"is no axis: results have a column {column} of their own")
    if not isinstance(written, list | dict) or not written or (isinstance(written, dict) and "use" in written):
        came = "an empty one" if written in ([], {}, None) else repr(written)
        raise document.error(at, f"an axis must be a list of values, or a block of named values; got {came}")
    values = []
    for name_or_place, value in written.items() if isinstance(written, dict) else enumerate(written):
        here = (*at, name_or_place)
        label = name_or_place if isinstance(written, dict) else _label(value, here, document)
        values.append(_read_value(label, value, here, columns, keys, document))
    seen: dict[tuple[Label, ...], int] = {}
    for place, value in enumerate(values):
        if value.labels in seen:
            raise document.error((*at, place), f"the value {written[place]!r} stands twice in the axis")
        seen[value.labels] = place
    return Axis(name, columns, values)


def _read_value(
    label: Label, value: Any, here: Key, columns: tuple[str, ...], keys: list[tuple[str, ...]], document: Document
) -> AxisValue:
    if len(columns) == 1:
        return AxisValue((label,), (_setting(keys[0], value, here, label, document),))
    if not isinstance(value, list) or len(value) != len(columns):
        raise document.error(here, f"must be a list of {len(columns)} values, for {', '.join(columns)}; got {value!r}")
    labels = [_label(inner, (*here, k), document) for k, inner in enumerate(value)]
    if isinstance(here[-1], str):  # a named row is called by its name
        labels[0] = label
    settings = [
        _setting(key, inner, (*here, k), inner_label, document)
        for k, (key, inner, inner_label) in enumerate(zip(keys, value, labels, strict=True))
    ]
    return AxisValue(tuple(labels), tuple(settings))


def _setting(key: tuple[str, ...], value: Any, here: Key, label: Label, document: Document) -> Setting:
    inside: Key = ()
    if len(key) == 1 and key[0] in _BLOCKS_OF_NAMES and isinstance(value, dict) and "use" in value:
        value, inside = {str(label): value}, (str(label),)

    def moved(known: dict[Key, Any]) -> dict[Key, Any]:
        return {(*key, *inside, *at[len(here) :]): what for at, what in known.items() if at[: len(here)] == here}

    places = {key: document.places.get(here, str(document.path)), **moved(document.places)}
    return Setting(key, value, places, {key: document.folder(here), **moved(document.folders)})


def _label(value: Any, here: Key, document: Document) -> Label:
    if isinstance(value, dict):
        raise document.error(here, "a block on an axis needs a name, by which results call it: {name: {...}}")
    return str(value) if isinstance(value, list) else value
