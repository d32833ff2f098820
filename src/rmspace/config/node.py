"""YAML text -> one tree of nodes, each a value together with the place where it was written.

Values are read by the core schema of YAML 1.2: 1e-3 is a number, `no` is text. Equal keys, tags and merge keys are
errors, and aliases may not multiply without bound.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
    """A mistake in a config, in one line: the file, the line, the path of the key, the problem and the remedy."""


@dataclass(frozen=True)
class Node:
    """A value of a config: text, number, null, a block (names to nodes) or a list of nodes.

    Nodes never change. `put` returns a new tree, which shares all unchanged nodes with the old one.

    >>> tree = as_node({"a": {"b": 1}}, place="x.yaml:1", folder=Path())
    >>> tree.put(("a", "c"), as_node(2, place="command line", folder=Path())).plain()
    {'a': {'b': 1, 'c': 2}}
    >>> tree["a"]["b"].error("must be text")
    ConfigError('x.yaml:1: a.b: must be text')
    """

    value: Any
    key: Key  # the path from the root of the config to this node
    place: str  # file and line, or another description of where the value was written
    folder: Path  # paths in the value start here

    @property
    def is_block(self) -> bool:
        """Whether the value is a block of names."""
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        """Whether the value is a list."""
        return isinstance(self.value, list)

    def __getitem__(self, name: str | int) -> Node:
        return self.value[name]

    def __contains__(self, name: str) -> bool:
        return self.is_block and name in self.value

    def items(self) -> list[tuple[str | int, Node]]:
        """Return the names, or the places in a list, of the nodes directly below, and these nodes."""
        if self.is_block:
            return list(self.value.items())
        return list(enumerate(self.value)) if self.is_list else []

    def get(self, name: str) -> Any:
        """Return the plain value under a name, or None."""
        return self[name].plain() if name in self else None

    def plain(self) -> Any:
        """Return the value without places, as dicts and lists."""
        if self.is_block:
            return {name: node.plain() for name, node in self.value.items()}
        return [node.plain() for node in self.value] if self.is_list else self.value

    def error(self, problem: str) -> ConfigError:
        """Return an error that states the problem with this value and the value's place."""
        path = ".".join(map(str, self.key))
        return ConfigError(f"{self.place}: {path}: {problem}" if path else f"{self.place}: {problem}")

    def folders(self) -> list[Path]:
        """Return the folders of all nodes, each once, in the order of the tree."""
        return list(dict.fromkeys(node.folder for node in self.walk()))

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it."""
        yield self
        for _, node in self.items():
            yield from node.walk()

    def moved(self, key: Key) -> Node:
        """Return the same tree under another key."""
        return replace(self, key=key, value=self._with_children(lambda name, node: node.moved((*key, name))))

    def put(self, key: Key, node: Node) -> Node:
        """Return this tree with `node` at `key`; blocks that are missing on the way are made.

        Raises:
            ConfigError: a value stands where a block would have to stand.
        """
        if not key:
            return node.moved(self.key)
        if not self.is_block:
            above = ".".join(map(str, self.key))
            raise ConfigError(f"{node.place}: {above} is a value, not a block, so it has no {key[0]}")
        name = str(key[0])
        below = self.value.get(name) or Node({}, (*self.key, name), node.place, self.folder)
        return replace(self, value={**self.value, name: below.put(key[1:], node)})

    def without(self, key: Key) -> Node:
        """Return this tree without the value at `key`, if there is one."""
        if not self.is_block or key[0] not in self.value:
            return self
        rest = {name: node for name, node in self.value.items() if name != key[0] or len(key) > 1}
        if len(key) > 1:
            rest[key[0]] = rest[key[0]].without(key[1:])
        return replace(self, value=rest)

    def _with_children(self, change: Callable[[str | int, Node], Node]) -> Any:
        if self.is_block:
            return {name: change(name, node) for name, node in self.value.items()}
        return [change(k, node) for k, node in enumerate(self.value)] if self.is_list else self.value


def as_node(plain: Any, *, place: str, folder: Path, key: Key = ()) -> Node:
    """Make a tree of plain data, all of it with one place and one folder."""
    value = plain
    if isinstance(plain, Mapping):
        value = {n: as_node(inner, place=place, folder=folder, key=(*key, n)) for n, inner in plain.items()}
    elif isinstance(plain, list | tuple):
        value = [as_node(inner, place=place, folder=folder, key=(*key, k)) for k, inner in enumerate(plain)]
    return Node(value, key, place, folder)


def read_config(path: Path, overrides: Sequence[str] = ()) -> Node:
    """Read a YAML file and apply `key.path=value` overrides.

    Raises:
        ConfigError: the file is missing or is not YAML, it has a key twice, or an override is not `key.path=value`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    root = _Reader(str(path), path.resolve().parent, lines=True).read(text, ())
    if not root.is_block:
        raise ConfigError(f"{path}:1: a config must be a mapping of keys; got {type(root.value).__name__}")
    for override in overrides:
        root = apply_override(root, override)
    return root


def apply_override(root: Node, override: str) -> Node:
    """Return the tree with the value of `key.path=value` at its key; paths in the value start at the working folder.

    Raises:
        ConfigError: the text is not `key.path=value`, or the value is not YAML.
    """
    source = f"command line: {override}"
    path, equals, text = override.partition("=")
    key = split_key(path, root)
    if not equals or not all(key):
        raise ConfigError(f"{source}: an override must be key.path=value")
    return root.put(key, _Reader(source, Path.cwd(), lines=False).read(text, key))


def split_key(path: str, node: Node | None) -> tuple[str, ...]:
    """Split a path of keys at its dots; a name in the tree that has dots itself counts as one name."""
    words = path.split(".")
    for k in range(len(words), 1, -1):
        name = ".".join(words[:k])
        if node is not None and name in node:
            rest = split_key(".".join(words[k:]), node[name]) if k < len(words) else ()
            return (name, *rest)
    below = node[words[0]] if node is not None and words[0] in node else None
    return (words[0], *split_key(".".join(words[1:]), below)) if len(words) > 1 else (words[0],)


def dump_yaml(data: Mapping[str, Any]) -> str:
    """Write plain data as YAML that `read_config` reads back unchanged.

    >>> print(dump_yaml({"a": "1e-3", "b": 0.001, "c": (1, 2)}), end="")
    a: '1e-3'
    b: 0.001
    c:
    - 1
    - 2
    """
    return yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


class _Dumper(yaml.SafeDumper):
    """Writes every value in full, and quotes text that a reader of YAML 1.1 or 1.2 would not read as text."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Write a value again in each place that has it."""
        return True


for _name, _pattern, _first in _SCHEMA:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), _first)
    if _name != "null":
        _Dumper.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), _first)
_Dumper.add_representer(tuple, yaml.SafeDumper.represent_list)


class _Reader:
    """Reads one text, a file or an override, into nodes."""

    def __init__(self, source: str, folder: Path, *, lines: bool) -> None:
        self.source, self.folder, self.lines, self.count = source, folder, lines, 0

    def read(self, text: str, key: Key) -> Node:
        """Read YAML; see `read_config`."""
        try:
            parsed = yaml.compose(text, Loader=_Loader)
            if parsed is None:
                return Node(None, key, self.source, self.folder)
            return self._node(parsed, key, self._place(parsed), ())
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ConfigError(f"{self.source}:{line}: not valid YAML: {error.problem or error.context}") from error
        except yaml.YAMLError as error:
            raise ConfigError(f"{self.source}: not valid YAML: {' '.join(str(error).split())}") from error
        except RecursionError as error:
            raise ConfigError(f"{self.source}: values are nested too deeply") from error

    def _place(self, parsed: yaml.Node) -> str:
        return f"{self.source}:{parsed.start_mark.line + 1}" if self.lines else self.source

    def _node(self, parsed: yaml.Node, key: Key, place: str, above: tuple[int, ...]) -> Node:
        node = Node(None, key, place, self.folder)
        self.count += 1
        if self.count > _MOST_VALUES or id(parsed) in above:
            raise node.error(
                f"a config must have at most {_MOST_VALUES} values, each use of an alias counted, "
                "and no alias that contains itself"
            )
        return replace(node, value=self._value(parsed, node, (*above, id(parsed))))

    def _value(self, parsed: yaml.Node, node: Node, above: tuple[int, ...]) -> Any:
        if isinstance(parsed, yaml.MappingNode) and parsed.tag == _TAG + "map":
            return self._block(parsed, node, above)
        if isinstance(parsed, yaml.SequenceNode) and parsed.tag == _TAG + "seq":
            children = enumerate(parsed.value)
            return [self._node(child, (*node.key, k), self._place(child), above) for k, child in children]
        if isinstance(parsed, yaml.ScalarNode) and parsed.tag in _SCALARS:
            try:
                return _SCALARS[parsed.tag](parsed.value)
            except (ValueError, KeyError) as error:
                raise node.error(f"{parsed.value!r} is not a {parsed.tag[len(_TAG) :]}") from error
        raise node.error(f"the tag {parsed.tag.replace(_TAG, '!!')} is not allowed; write plain values")

    def _block(self, parsed: yaml.MappingNode, node: Node, above: tuple[int, ...]) -> dict[str, Node]:
        found: dict[str, Node] = {}
        lines: dict[str, int] = {}
        for name_node, child in parsed.value:
            name = name_node.value if isinstance(name_node, yaml.ScalarNode) else None
            here = Node(None, (*node.key, str(name)), self._place(name_node), self.folder)
            if name is None or name == "<<":
                raise here.error("keys must be text, and merge keys (<<) are not supported")
            if name in found:
                raise here.error(f"the key stands twice; the first is in line {lines[name]}")
            lines[name] = name_node.start_mark.line + 1
            found[name] = self._node(child, here.key, here.place, above)
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
