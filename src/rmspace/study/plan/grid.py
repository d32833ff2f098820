"""A grid: YAML -> the cells of a study, each a resolved config, expanded only as they are asked for."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmspace._typing import PathLike
from rmspace.config.build import KEYS, build_part, check_keys
from rmspace.config.node import ConfigError, Document, dump_yaml
from rmspace.config.resolve import nearest
from rmspace.data.files import file_hash
from rmspace.experiment import RESULT_VERSION
from rmspace.study.plan.axes import Axis, AxisValue, Label, read_axis
from rmspace.study.plan.grid_file import read_grid_file

_GROUP = ("data", "pairs", "n_pairs", "seed")


@dataclass(frozen=True)
class Cell:
    """One run of one config: where it stands in the grid, and what it computes."""

    labels: tuple[Label, ...]  # one a column of the grid
    config: dict[str, Any]  # resolved: every default filled in, paths absolute
    texts: dict[str, str]  # each key of the config as canonical text, with the hashes of the user's modules in it
    modules: dict[str, str]  # the user's modules: name -> SHA-256

    @property
    def group(self) -> str:
        """Equal for cells that compare the same items: the same data, pairs and seed."""
        return "\n".join(self.texts[name] for name in _GROUP)

    def key(self, train: str, test: str) -> str:
        """Return the hash of all that the cell's numbers depend on, given the fingerprints of its banks."""
        # The banks stand for the `data` that made them: a folder may be moved.
        texts = [f"{name} {text}" for name, text in sorted(self.texts.items()) if name != "data"]
        return hashlib.sha256("\n".join([f"result {RESULT_VERSION}", train, test, *texts]).encode()).hexdigest()


@dataclass
class Grid:
    """Axes over a base config; `cells()` yields what they make, `len()` counts it without making it."""

    document: Document
    base: Document
    axes: list[Axis]
    exclude: list[dict[str, list[Label]]]
    include: list[list[list[AxisValue]]]
    _parts: dict[tuple[str, tuple[AxisValue, ...]], tuple[Any, str, dict[str, str]]] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The key paths that the axes set, each a column of the results."""
        return [column for axis in self.axes for column in axis.columns]

    @property
    def text(self) -> str:
        """The grid as YAML that runs as it is, with the base, the stand-in and overrides filled in."""
        return dump_yaml(self.document.data)

    def __len__(self) -> int:
        return sum(1 for _ in self._choices())

    def cells(self) -> Iterator[Cell]:
        """Yield every cell, the first axis slowest; the cells of `include` come last.

        Raises:
            ConfigError: a value that the base rejects; two cells that are the same.
        """
        known: dict[tuple[str, ...], tuple[Label, ...]] = {}
        reaching = {name: [k for k, axis in enumerate(self.axes) if name in axis.tops] for name in KEYS}
        for choice in self._choices():
            cell = self._cell(choice, reaching)
            texts = tuple(cell.texts.values())
            if texts in known:
                raise self.document.error(("grid",), same_cells(self.columns, known[texts], cell.labels))
            known[texts] = cell.labels
            yield cell

    def _choices(self) -> Iterator[tuple[AxisValue, ...]]:
        seen: set[tuple[Label, ...]] = set()
        for choice in itertools.product(*(axis.values for axis in self.axes)):
            labels = _labels(choice)
            if not any(self._matches(rule, labels) for rule in self.exclude):
                seen.add(labels)
                yield choice
        for k, values in enumerate(self.include):
            new = [choice for choice in itertools.product(*values) if _labels(choice) not in seen]
            if not new:
                raise self.document.error(("include", k), "adds no cell: the grid has them all")
            seen.update(map(_labels, new))
            yield from new

    def _matches(self, rule: dict[str, list[Label]], labels: tuple[Label, ...]) -> bool:
        at = dict(zip(self.columns, labels, strict=True))
        return all(at[column] in wanted for column, wanted in rule.items())

    def _cell(self, choice: tuple[AxisValue, ...], reaching: dict[str, list[int]]) -> Cell:
        config, texts, modules = {}, {}, {}
        for name, places in reaching.items():
            values = tuple(choice[k] for k in places)
            if (name, values) not in self._parts:
                self._parts[name, values] = self._part(name, values)
            config[name], texts[name], own = self._parts[name, values]
            modules.update(own)
        return Cell(_labels(choice), config, texts, modules)

    def _named(self, name: str, values: Iterable[AxisValue]) -> Iterator[tuple[str, Label]]:
        """Yield the columns, and their labels, in which values reach into a key."""
        reaching = [axis for axis in self.axes if name in axis.tops]
        for axis, value in zip(reaching, values, strict=True):
            yield from zip(axis.columns, value.labels, strict=True)

    def _part(self, name: str, values: Sequence[AxisValue]) -> tuple[Any, str, dict[str, str]]:
        """Resolve one key of the config for each combination of the axes that reach into it, and only once."""
        document = self.base.copy()
        settings = [setting for value in values for setting in value.settings if setting.key[0] == name]
        for setting in sorted(settings, key=lambda setting: len(setting.key)):  # a block before what stands in it
            document.set(setting.key, setting.value, setting.places, setting.folders)
        try:
            part = build_part(document, name)
        except ConfigError as error:
            at = ", ".join(f"{axis}={label}" for axis, label in self._named(name, values))
            raise ConfigError(f"{error} (in the cells with {at})" if at else str(error)) from error
        modules = {module: file_hash(path) for module, path in part.modules.items()}
        return part.plain, json.dumps([part.plain, modules], sort_keys=True), modules


def read_grid(path: PathLike, overrides: Sequence[str] = (), *, synthetic: bool = False) -> Grid:
    """Read the YAML of a study.

    Its keys are `base`, the config of one experiment, by path or in place; `grid`, axes of the form
    `key.path: [values]` or `key.path: {name: value}`; `exclude` and `include`, lists of rules
    `{key.path: value or [values]}`; and `synthetic`, the `key.path: value` to put in for the synthetic stand-in.

    Args:
        path: the file; paths in it start at its folder, those of a base at the base's.
        overrides: `key.path=value`, as `base.n_resamples=500` or `grid.seed=[0, 1]`.
        synthetic: put in what stands under `synthetic`.

    Raises:
        ConfigError: an unknown key, an empty or misspelled axis, a rule that matches nothing; one line and its place.
    """
    document = read_grid_file(Path(path), overrides, synthetic=synthetic)
    base = _base(document)
    check_keys(_filled(base, document))
    written = document.data["grid"]
    axes = [read_axis(name, written[name], ("grid", name), document, base) for name in written]
    columns = [column for axis in axes for column in axis.columns]
    for name, axis in zip(written, axes, strict=True):
        if twice := [column for column in axis.columns if columns.count(column) > 1]:
            raise document.error(("grid", name), f"the key {twice[0]} is set by two axes")
    exclude = [_exclude(rule, ("exclude", k), axes, document) for k, rule in enumerate(document.data["exclude"])]
    include = [_include(rule, ("include", k), axes, document, base) for k, rule in enumerate(document.data["include"])]
    grid = Grid(document, base, axes, exclude, include)
    for k, rule in enumerate(exclude):
        if not any(grid._matches(rule, _labels(choice)) for choice in itertools.product(*(a.values for a in axes))):
            raise document.error(("exclude", k), "excludes no cell; remove the rule")
    if len(grid) == 0:
        raise document.error(("exclude",), "excludes every cell")
    return grid


def same_cells(columns: Sequence[str], first: Sequence[Label], second: Sequence[Label]) -> str:
    """Return the message for two cells that would be the same."""
    a, b = (", ".join(f"{c}={v}" for c, v in zip(columns, labels, strict=True)) for labels in (first, second))
    return f"two cells would be the same, [{a}] and [{b}]; remove a value, or exclude one of them"


def _labels(choice: Iterable[AxisValue]) -> tuple[Label, ...]:
    return tuple(label for value in choice for label in value.labels)


def _base(document: Document) -> Document:
    """Return the base as a document of its own."""
    places = {key[1:]: place for key, place in document.places.items() if key[:1] == ("base",)}
    folders = {key[1:]: folder for key, folder in document.folders.items() if key[:1] == ("base",)}
    return Document(document.path, document.data["base"], places, {(): document.folder(()), **folders})


def _filled(base: Document, document: Document) -> Document:
    """Return the base with a stand-in for each key that an axis fills."""
    tops = {name.split(".")[0].strip() for axis in document.data["grid"] for name in str(axis).split(",")}
    unknown = {name: None for name in tops if name in KEYS and name not in base.data}
    return Document(base.path, {**base.data, **unknown}, base.places, base.folders)


def _exclude(rule: Any, key: tuple[str | int, ...], axes: list[Axis], document: Document) -> dict[str, list[Label]]:
    known = {column: axis.labels(column) for axis in axes for column in axis.columns}
    wanted: dict[str, list[Label]] = {}
    for column, value in _rule(rule, key, document, known).items():
        wanted[column] = value if isinstance(value, list) else [value]
        for label in wanted[column]:
            if isinstance(label, dict | list) or label not in known[column]:
                there = nearest(str(label), map(str, known[column]))
                raise document.error((*key, column), f"{label!r} is no value of the axis{there}")
    return wanted


def _include(
    rule: Any, key: tuple[str | int, ...], axes: list[Axis], document: Document, base: Document
) -> list[list[AxisValue]]:
    """Return the values of each axis in the sub-grid of a rule; axes that it does not name keep all of theirs."""
    wanted = _rule(rule, key, document, [axis.name for axis in axes])
    chosen = []
    for axis in axes:
        if axis.name not in wanted:
            chosen.append(axis.values)
            continue
        value = wanted[axis.name]
        known = {value.labels: value for value in axis.values}
        written = value if isinstance(value, list | dict) else [value]
        given = isinstance(written, list) and all(not isinstance(v, list | dict) for v in written)
        if given and len(axis.columns) == 1 and all((label,) in known for label in written):
            chosen.append([known[label,] for label in dict.fromkeys(written)])
            continue
        chosen.append(read_axis(axis.name, written, (*key, axis.name), document, base).values)
        for new in chosen[-1]:
            old = known.get(new.labels)
            if old is not None and [s.value for s in old.settings] != [s.value for s in new.settings]:
                raise document.error((*key, axis.name), f"calls another value {new.labels[0]!r} than the axis does")
    return chosen


def _rule(rule: Any, key: tuple[str | int, ...], document: Document, known: Iterable[str]) -> dict[str, Any]:
    if not isinstance(rule, dict) or not rule:
        raise document.error(key, f"must be a block {{axis: value or [values]}}; got {rule!r}")
    for name in rule:
        if name not in known:
            raise document.error((*key, name), f"is no axis of the grid{nearest(name, known)}")
    return rule
