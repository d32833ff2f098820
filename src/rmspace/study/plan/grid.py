"""A grid: YAML -> the cells of a study, each a resolved config, made only when they are asked for."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmspace._typing import PathLike
from rmspace.config.build import KEYS, Data, Part, build_part, check_keys, check_together
from rmspace.config.node import ConfigError, Node, as_node, dump_yaml
from rmspace.config.resolve import nearest
from rmspace.data.files import file_hash
from rmspace.experiment import RESULT_VERSION
from rmspace.study.plan.axes import Axis, AxisValue, Label, read_axis
from rmspace.study.plan.grid_file import read_grid_file

_GROUP = ("data", "pairs", "n_pairs", "seed")


@dataclass(frozen=True)
class Cell:
    """One run of one config: its labels in the grid, and its resolved config."""

    labels: tuple[Label, ...]  # one per column of the grid
    config: dict[str, Any]  # resolved: every default filled in, paths absolute
    texts: dict[str, str]  # each key of the config as canonical text, with the hashes of the user's modules in it
    modules: dict[str, str]  # the user's modules: name -> SHA-256
    data: Callable[[], tuple[Data, Data]]  # reads (train, test)

    @property
    def group(self) -> str:
        """Equal for cells that compare the same items: the same data, pairs and seed."""
        return "\n".join(self.texts[name] for name in _GROUP)

    def key(self, train: str, test: str) -> str:
        """Return the hash of all that the cell's numbers depend on, given the fingerprints of its data."""
        # The fingerprints replace the `data` block in the key, because a folder may be moved.
        texts = [f"{name} {text}" for name, text in sorted(self.texts.items()) if name != "data"]
        return hashlib.sha256("\n".join([f"result {RESULT_VERSION}", train, test, *texts]).encode()).hexdigest()


@dataclass(frozen=True)
class _Resolved:
    """One key of the config, built once for all cells with the same values of the axes that set it."""

    part: Part
    text: str
    modules: dict[str, str]


@dataclass
class Grid:
    """Axes over a base config; `cells()` yields the cells, and `len()` counts them without making them."""

    path: Path
    document: Node  # the file, with its base, stand-in and overrides put in
    base: Node  # the config, with a placeholder for each key that only axes set
    axes: list[Axis]
    exclude: list[dict[str, list[Label]]]
    include: list[list[list[AxisValue]]]
    allow: Sequence[str] = ()
    _resolved: dict[tuple[str, tuple[AxisValue, ...]], _Resolved] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The paths of the keys that the axes set, each a column of the results."""
        return [column for axis in self.axes for column in axis.columns]

    @property
    def text(self) -> str:
        """The grid as YAML that runs as it is, with the base, the stand-in and overrides filled in."""
        return dump_yaml(self.document.plain())

    @property
    def folders(self) -> list[Path]:
        """Folders of the user's modules: that of the grid, that of the base, and the working folder of overrides."""
        return self.document.folders()

    def __len__(self) -> int:
        return sum(1 for _ in self._choices())

    def cells(self) -> Iterator[Cell]:
        """Yield every cell, the first axis slowest; the cells of `include` come last.

        Raises:
            ConfigError: a value that the base rejects; two cells that are the same.
        """
        known: dict[tuple[str, ...], tuple[Label, ...]] = {}
        reaching = {name: [k for k, axis in enumerate(self.axes) if name in axis.tops] for name in KEYS}
        folders = self.folders
        for choice in self._choices():
            cell = self._cell(choice, reaching, folders)
            texts = tuple(cell.texts.values())
            if texts in known:
                raise self.document["grid"].error(same_cells(self.columns, known[texts], cell.labels))
            known[texts] = cell.labels
            yield cell

    def matches(self, rule: dict[str, list[Label]], labels: tuple[Label, ...]) -> bool:
        """Return whether a rule of `exclude` matches the cell with these labels."""
        at = dict(zip(self.columns, labels, strict=True))
        return all(at[column] in wanted for column, wanted in rule.items())

    def _choices(self) -> Iterator[tuple[AxisValue, ...]]:
        seen: set[tuple[Label, ...]] = set()
        for choice in itertools.product(*(axis.values for axis in self.axes)):
            labels = _labels(choice)
            if not any(self.matches(rule, labels) for rule in self.exclude):
                seen.add(labels)
                yield choice
        for k, values in enumerate(self.include):
            new = [choice for choice in itertools.product(*values) if _labels(choice) not in seen]
            if not new:
                raise self.document["include"][k].error("adds no cell: the grid has them all")
            seen.update(map(_labels, new))
            yield from new

    def _cell(self, choice: tuple[AxisValue, ...], reaching: dict[str, list[int]], folders: list[Path]) -> Cell:
        found = {
            name: self._resolve(name, tuple(choice[k] for k in places), folders) for name, places in reaching.items()
        }
        check_together(self.base, {name: each.part for name, each in found.items()})
        return Cell(
            _labels(choice),
            config={name: each.part.plain for name, each in found.items()},
            texts={name: each.text for name, each in found.items()},
            modules={module: digest for each in found.values() for module, digest in each.modules.items()},
            data=found["data"].part.value,
        )

    def _resolve(self, name: str, values: tuple[AxisValue, ...], folders: list[Path]) -> _Resolved:
        """Build one key of the config for each combination of the axes that set it, and only once."""
        if (name, values) not in self._resolved:
            try:
                part = build_part(self._config(name, values), name, folders=folders, allow=self.allow)
            except ConfigError as error:
                raise self._in_cells(error, name, values) from error
            modules = {module: file_hash(path) for module, path in part.modules.items()}
            text = json.dumps([part.plain, modules], sort_keys=True)
            self._resolved[name, values] = _Resolved(part, text, modules)
        return self._resolved[name, values]

    def _config(self, name: str, values: Iterable[AxisValue]) -> Node:
        """Return the base with the settings of some axis values under one key."""
        config = self.base
        settings = [setting for value in values for setting in value.settings if setting.key[0] == name]
        for setting in sorted(settings, key=lambda setting: len(setting.key)):  # a block before the keys inside it
            config = config.put(setting.key, setting)
        return config

    def _in_cells(self, error: ConfigError, name: str, values: Iterable[AxisValue]) -> ConfigError:
        """Return the error with the values of the axes that lead to it."""
        axes = [axis for axis in self.axes if name in axis.tops]
        labels = [
            pair for axis, v in zip(axes, values, strict=True) for pair in zip(axis.columns, v.labels, strict=True)
        ]
        at = ", ".join(f"{column}={label}" for column, label in labels)
        return ConfigError(f"{error} (in the cells with {at})" if at else str(error))


def read_grid(
    path: PathLike, overrides: Sequence[str] = (), *, synthetic: bool = False, allow: Sequence[str] = ()
) -> Grid:
    """Read the YAML of a study.

    Its keys are `base`, the config of one experiment, by path or in place; `grid`, axes of the form
    `key.path: [values]` or `key.path: {name: value}`; `exclude` and `include`, lists of rules
    `{key.path: value or [values]}`; and `synthetic`, `key.path: value` pairs that make the grid run on synthetic data.

    Args:
        path: the file; paths in it start at its folder, those of a base at the folder of the base.
        overrides: `key.path=value`, such as `base.n_pairs=500` or `grid.seed=[0, 1]`.
        synthetic: put in the values under `synthetic`.
        allow: modules that the configs may import; see `load_config`.

    Raises:
        ConfigError: an unknown key, an empty or misspelled axis, a rule that matches nothing; one line and its place.
    """
    document = read_grid_file(Path(path), overrides, synthetic=synthetic)
    base = _filled(document["base"].moved(()), document["grid"])
    check_keys(base)
    axes = _read_axes(document["grid"], base)
    exclude = [_exclude(rule, axes) for _, rule in document["exclude"].items()]
    include = [_include(rule, axes, base) for _, rule in document["include"].items()]
    grid = Grid(Path(path), document, base, axes, exclude, include, allow)
    _check_rules(grid)
    return grid


def same_cells(columns: Sequence[str], first: Sequence[Label], second: Sequence[Label]) -> str:
    """Return the message for two cells that would be the same."""
    a, b = (", ".join(f"{c}={v}" for c, v in zip(columns, labels, strict=True)) for labels in (first, second))
    return f"two cells would be the same, [{a}] and [{b}]; remove a value, or exclude one of them"


def _filled(base: Node, grid: Node) -> Node:
    """Return the base with a placeholder for each key that only axes set."""
    tops = [name.split(".")[0].strip() for axis in grid.value for name in str(axis).split(",")]
    for name in dict.fromkeys(tops):
        if name in KEYS and name not in base:
            base = base.put((name,), as_node("set by an axis", place=base.place, folder=base.folder))
    return base


def _labels(choice: Iterable[AxisValue]) -> tuple[Label, ...]:
    return tuple(label for value in choice for label in value.labels)


def _read_axes(node: Node, base: Node) -> list[Axis]:
    axes = [read_axis(str(name), inner, base) for name, inner in node.items()]
    columns = [column for axis in axes for column in axis.columns]
    for axis in axes:
        if twice := [column for column in axis.columns if columns.count(column) > 1]:
            raise node[axis.name].error(f"the key {twice[0]} is set by two axes")
    return axes


def _exclude(rule: Node, axes: list[Axis]) -> dict[str, list[Label]]:
    """Return the labels that a rule names, by column."""
    known = {column: axis.labels(column) for axis in axes for column in axis.columns}
    _check_rule(rule, known)
    return {str(column): _known_labels(node, known[str(column)]) for column, node in rule.items()}


def _known_labels(node: Node, known: list[Label]) -> list[Label]:
    wanted = node.plain() if node.is_list else [node.plain()]
    for label in wanted:
        if isinstance(label, dict | list) or label not in known:
            raise node.error(
                f"{label!r} is not a value of the axis{nearest(str(label), [str(each) for each in known])}"
            )
    return wanted


def _include(rule: Node, axes: list[Axis], base: Node) -> list[list[AxisValue]]:
    """Return the values of each axis in the sub-grid of a rule; an axis that the rule leaves out keeps all values."""
    _check_rule(rule, [axis.name for axis in axes])
    return [_included(axis, rule[axis.name], base) if axis.name in rule else axis.values for axis in axes]


def _included(axis: Axis, node: Node, base: Node) -> list[AxisValue]:
    """Return the values of an axis that a rule names by their labels, or new values that it writes out."""
    known = {value.labels: value for value in axis.values}
    labels = _as_labels(node)
    if labels is not None and all((label,) in known for label in labels):
        return [known[label,] for label in dict.fromkeys(labels)]
    written = node if node.is_list or node.is_block else as_node([node.plain()], **_where(node))
    values = read_axis(axis.name, written, base).values
    for new in values:
        old = known.get(new.labels)
        if old is not None and not old.same_as(new):
            raise node.error(f"calls another value {new.labels[0]!r} than the axis does")
    return values


def _as_labels(node: Node) -> list[Label] | None:
    """Return the labels that a rule lists, or None where it holds blocks or lists."""
    written = node.plain() if node.is_list else [node.plain()]
    return None if any(isinstance(value, list | dict) for value in written) else written


def _where(node: Node) -> dict[str, Any]:
    return {"place": node.place, "folder": node.folder, "key": node.key}


def _check_rule(rule: Node, known: Collection[str]) -> None:
    if not rule.is_block or not rule.value:
        raise rule.error(f"must be a block {{axis: value or [values]}}; got {rule.plain()!r}")
    for name, node in rule.items():
        if str(name) not in known:
            raise node.error(f"is not an axis of the grid{nearest(str(name), known)}")


def _check_rules(grid: Grid) -> None:
    """Raise ConfigError for a rule that excludes no cell, or where every cell is excluded."""
    for rule, node in zip(grid.exclude, grid.document["exclude"].value, strict=True):
        choices = itertools.product(*(axis.values for axis in grid.axes))
        if not any(grid.matches(rule, _labels(choice)) for choice in choices):
            raise node.error("excludes no cell; remove the rule")
    if len(grid) == 0:
        raise grid.document["exclude"].error("excludes every cell")
