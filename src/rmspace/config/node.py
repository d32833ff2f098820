"""YAML text -> plain data that remembers where each value stands.

Values are read by the core schema of YAML 1.2: 1e-3 is a number, `no` is text. Equal keys, tags and merge keys are
errors, and aliases may not blow up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Key = tuple[str | int, ...]
_MOST_VALUES = 20_000
_TAG = "tag:yaml.org,2002:"
_SCHEMA = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+0123456789."),
    ),
)


class ConfigError(ValueError):
    """One line: file, line, the key's path, what is wrong and what would be right."""


@dataclass
class Document:
    """A config as plain data, with the line (or other place) of every value, and the folder that its paths start at."""

    path: Path
    data: dict[str, Any]
    places: dict[Key, str]
    folders: dict[Key, Path]

    def error(self, key: Key, problem: str) -> ConfigError:
        """Return the error of a key."""
        place = next((self.places[key[:k]] for k in range(len(key), -1, -1) if key[:k] in self.places), str(self.path))
        return ConfigError(f"{place}: {'.'.join(map(str, key)) + ': ' if key else ''}{problem}")

    def folder(self, key: Key) -> Path:
        """Return the folder that paths in a value start at."""
        return next(self.folders[key[:k]] for k in range(len(key), -1, -1) if key[:k] in self.folders)

    def folders_of(self, key: Key) -> list[Path]:
        """Return the folders that the user's modules in a value are looked for in: the file's, the value's, all."""
        return list(dict.fromkeys([self.path.resolve().parent, self.folder(key), *self.folders.values()]))

    def set(self, key: Key, value: Any, places: Mapping[Key, str], folders: Mapping[Key, Path]) -> None:
        """Put a value at a key, with its places and folders, making the blocks on the way.

        Raises:
            ConfigError: a value stands where a block would have to.
        """
        block: Any = self.data
        for k, name in enumerate(key[:-1]):
            block = block.setdefault(name, {})
            self.places.setdefault(key[: k + 1], places[key])
            if not isinstance(block, dict):
                above = ".".join(map(str, key[: k + 1]))
                raise ConfigError(f"{places[key]}: {above} is a value, not a block, so it has no {key[k + 1]}")
        self.places = {**_outside(key, self.places), **places}
        self.folders = {**_outside(key, self.folders), **folders}
        block[key[-1]] = value

    def copy(self) -> Document:
        """Return a copy whose blocks can be changed."""
        return Document(self.path, _copied(self.data), dict(self.places), dict(self.folders))


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


class _Dumper(yaml.SafeDumper):
    """Writes every value out, and text so that readers of YAML 1.1 and of 1.2 both take it for text."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


for _name, _pattern, _first in _SCHEMA:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), _first)
    if _name != "null":
        _Dumper.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), _first)
_Dumper.add_representer(tuple, yaml.SafeDumper.represent_list)


def read_config(path: Path, overrides: Sequence[str] = ()) -> Document:
    """Read a YAML file and apply `key.path=value` overrides.

    Raises:
        ConfigError: the file is missing or not YAML, has a key twice, or an override is not `key.path=value`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    document = Document(path, {}, {(): f"{path}:1"}, {(): path.resolve().parent})
    data = _parse(text, str(path), document, ())
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1: a config must be a mapping of keys; got {type(data).__name__}")
    document.data = data
    for override in overrides:
        apply_override(document, override)
    return document


def dump_yaml(data: Mapping[str, Any]) -> str:
    """Write plain data as YAML that `read_config` reads back as it was.

    >>> print(dump_yaml({"a": "1e-3", "b": 0.001, "c": (1, 2)}), end="")
    a: '1e-3'
    b: 0.001
    c:
    - 1
    - 2
    """
    return yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _parse(text: str, source: str, document: Document, at: Key) -> Any:
    try:
        node = yaml.compose(text, Loader=_Loader)
        return None if node is None else _Walk(source, document).value(node, at, ())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{source}:{line}: not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ConfigError(f"{source}: values are nested too deeply") from error


class _Walk:
    """Turn YAML nodes into plain data, noting the line of each."""

    def __init__(self, source: str, document: Document) -> None:
        self.source, self.document, self.seen = source, document, 0
        self.from_file = source == str(document.path)

    def value(self, node: yaml.Node, key: Key, above: tuple[int, ...]) -> Any:
        place = f"{self.source}:{node.start_mark.line + 1}" if self.from_file else self.source
        self.document.places.setdefault(key, place)
        self.seen += 1
        if self.seen > _MOST_VALUES or id(node) in above:
            raise self.document.error(
                key, f"over {_MOST_VALUES} values, each use of an alias counted, or an alias that contains itself"
            )
        above = (*above, id(node))
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, key, above)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(child, (*key, k), above) for k, child in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            try:
                return _SCALARS[node.tag](node.value)
            except (ValueError, KeyError) as error:
                raise self.document.error(key, f"{node.value!r} is not a {node.tag[len(_TAG) :]}") from error
        raise self.document.error(key, f"the tag {node.tag.replace(_TAG, '!!')} is not allowed; write plain values")

    def _mapping(self, node: yaml.MappingNode, key: Key, above: tuple[int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for name_node, child in node.value:
            line = name_node.start_mark.line + 1
            name = name_node.value if isinstance(name_node, yaml.ScalarNode) else None
            here = (*key, str(name))
            self.document.places[here] = f"{self.source}:{line}" if self.from_file else self.source
            if name is None or name == "<<":
                raise self.document.error(here, "keys must be text, and merge keys (<<) are not supported")
            if name in found:
                raise self.document.error(here, f"the key stands twice; the first is in line {lines[name]}")
            lines[name] = line
            found[name] = self.value(child, here, above)
        return found


def _integer(text: str) -> int:
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


_SCALARS: dict[str, Callable[[str], Any]] = {
    _TAG + "null": lambda _: None,
    _TAG + "bool": lambda text: {"true": True, "false": False}[text.lower()],
    _TAG + "int": _integer,
    _TAG + "float": lambda text: float(re.sub(r"\.(inf|nan)$", r"\1", text.lower())),
    _TAG + "str": str,
}


def split_key(path: str, data: Any) -> tuple[str, ...]:
    """Split at dots, but take a name that is there, dots and all, as one."""
    words = path.split(".")
    for k in range(len(words), 1, -1):
        name = ".".join(words[:k])
        if isinstance(data, dict) and name in data:
            rest = split_key(".".join(words[k:]), data[name]) if k < len(words) else ()
            return (name, *rest)
    inner = data.get(words[0]) if isinstance(data, dict) else None
    return (words[0], *split_key(".".join(words[1:]), inner)) if len(words) > 1 else (words[0],)


def apply_override(document: Document, override: str) -> None:
    """Put the value of `key.path=value` at its key; paths in it start at the working folder.

    Raises:
        ConfigError: the text is not `key.path=value`, or the value is not YAML.
    """
    source = f"command line: {override}"
    path, equals, text = override.partition("=")
    key = split_key(path, document.data)
    if not equals or not all(key):
        raise ConfigError(f"{source}: an override must be key.path=value")
    given = Document(document.path, {}, {key: source}, {})
    value = _parse(text, source, given, key)
    document.set(key, value, given.places, {key: Path.cwd()})


def _outside(key: Key, known: Mapping[Key, Any]) -> dict[Key, Any]:
    return {place: value for place, value in known.items() if place[: len(key)] != key}


def _copied(value: Any) -> Any:
    return {name: _copied(inner) for name, inner in value.items()} if isinstance(value, dict) else value
