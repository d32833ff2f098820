"""The function or class of a `use:`: a name of the required kind, or a dotted path into an allowed module."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import rmspace
from rmspace.data.files import file_hash
from rmspace.kinds import KINDS, Kind, RewardModel


class BadName(Exception):
    """A name that a config cannot use, with the reason in one line."""


@dataclass
class Names:
    """Finds names; `modules` collects the user's own sources that were imported on the way.

    Args:
        folders: folders of the user's modules, searched in this order; the first is the folder of the config.
        allow: other modules that the user lets the config import.
    """

    folders: Sequence[Path]
    allow: Sequence[str] = ()
    modules: dict[str, Path] = field(default_factory=dict)

    def find(self, name: str, kind: Kind | None) -> Any:
        """Return the function or class that a config names.

        A plain name is looked up in the module of `kind`, or of every kind where `kind` is None. A dotted name may
        lead to rmspace, to an estimator of scikit-learn, to a module in one of the folders, or to an allowed module.

        Raises:
            BadName: nothing has this name, it is of another kind, or its module may not be imported.
        """
        if "." not in name:
            return _listed(name, kind)
        target = self._dotted(name)
        if not callable(target):
            raise BadName(f"{name} is not a function or class; got {target!r}")
        _check_kind(name, target, kind)
        return target

    def _dotted(self, name: str) -> Any:
        *modules, attribute = name.split(".")
        if not all(part.isidentifier() for part in (*modules, attribute)):
            raise BadName(f"{name!r} is not a dotted path of names")
        folder = self._own_folder(modules[0])
        if folder is not None:
            self._remember(modules[0], folder)
        elif modules[0] not in ("rmspace", "sklearn") and not self._allowed(modules):
            raise BadName(
                f"{modules[0]} is not rmspace, scikit-learn or a module beside the config, so it is not imported; "
                f"if you trust it, add --allow {modules[0]} (in Python: allow=[{modules[0]!r}])"
            )
        target = _import(modules, attribute)
        _check_unedited(self.modules.values())
        return target

    def _allowed(self, modules: Sequence[str]) -> bool:
        return any(modules[: name.count(".") + 1] == name.split(".") for name in self.allow)

    def _own_folder(self, module: str) -> Path | None:
        """Return the first folder that has the module."""
        return next((folder for folder in self.folders if _own_module(module, folder) is not None), None)

    def _remember(self, module: str, folder: Path) -> None:
        """Let Python find the folder, and note the sources in it that the module depends on.

        The folder stands last on the import path, so that it hides nothing, and stays there: a user's function may
        import its neighbours when it runs.
        """
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        self.modules.update(_sources(module, folder))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return '; did you mean ...?', or the list of the known names.

    >>> nearest("learing_rate", ["learning_rate", "patience"])
    '; did you mean learning_rate?'
    """
    names = [str(candidate) for candidate in known]
    close = difflib.get_close_matches(str(name), names, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(sorted(names))}"


def one_line(error: BaseException) -> str:
    """Return an error as one line; its type comes first unless it is a plain error of the input."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError | TypeError | OSError) and text else f"{type(error).__name__}: {text}"


@cache
def names_of(kind: Kind) -> tuple[str, ...]:
    """Return the names of a kind, in order.

    >>> from rmspace.kinds import KINDS
    >>> names_of(next(kind for kind in KINDS if kind.name == "pair strategy"))
    ('cross_prompt', 'same_prompt')
    """
    return tuple(sorted(importlib.import_module(kind.module).__all__))


@cache
def _listed(name: str, kind: Kind | None) -> Any:
    """Return the member with a plain name in the module of a kind."""
    for each in KINDS if kind is None else (kind,):
        if name in names_of(each):
            return getattr(importlib.import_module(each.module), name)
    if kind is None:
        raise BadName(f"rmspace has no {name!r}{nearest(name, (n for each in KINDS for n in names_of(each)))}")
    for other in KINDS:
        if name in names_of(other):
            raise _wrong_kind(name, _article(other.name), kind)
    if name in rmspace.__all__:
        raise _wrong_kind(name, "something else in rmspace", kind)
    raise BadName(f"there is no {kind.name} {name!r}{nearest(name, names_of(kind))}")


def _check_kind(name: str, target: Any, kind: Kind | None) -> None:
    """Raise BadName where the target of a dotted path is not of the kind, or is not for configs."""
    home = str(getattr(target, "__module__", "")).partition(".")[0]
    if home == "rmspace":
        _check_own(name, target, kind)
    elif name.startswith("rmspace."):
        raise BadName(f"{name} is not a part of rmspace; it only passes through there")
    elif name.startswith("sklearn."):
        if not (inspect.isclass(target) and hasattr(target, "get_params")):
            raise BadName(f"{name} is not an estimator of scikit-learn; a config can use its estimators only")
        if kind is not None and kind.protocol is not RewardModel:
            raise _wrong_kind(name, "an estimator", kind)


def _check_own(name: str, target: Any, kind: Kind | None) -> None:
    if inspect.isclass(target) and hasattr(target, "fit") and hasattr(target, "predict"):
        actual: Kind | None = next(each for each in KINDS if each.protocol is RewardModel)
    else:
        found = (
            each for each in KINDS if target.__name__ in names_of(each) and _listed(target.__name__, each) is target
        )
        actual = next(found, None)
    if actual is None:
        raise BadName(f"{name} is not for configs; they can use {', '.join(each.names for each in KINDS)}")
    if kind is not None and actual is not kind:
        raise _wrong_kind(name, _article(actual.name), kind)


def _wrong_kind(name: str, what: str, kind: Kind) -> BadName:
    return BadName(f"{name} is {what}, not {_article(kind.name)}; {kind.names} are {', '.join(names_of(kind))}")


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _import(modules: Sequence[str], attribute: str) -> Any:
    try:
        module = importlib.import_module(".".join(modules))
    except (Exception, SystemExit) as error:
        raise BadName(f"cannot import {'.'.join(modules)} ({one_line(error)})") from error
    if not hasattr(module, attribute):
        public = [name for name in dir(module) if not name.startswith("_")]
        raise BadName(f"{module.__name__} has no {attribute!r}{nearest(attribute, public)}")
    return getattr(module, attribute)


def _sources(module: str, folder: Path) -> dict[str, Path]:
    """Return the files of a module or package of the folder, and of those that it imports from there, by name.

    A result depends on all of them.
    """
    found: dict[str, Path] = {}
    waiting, seen = [module], set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        package = folder / name
        files = sorted(package.rglob("*.py")) if (package / "__init__.py").exists() else [folder / f"{name}.py"]
        for path in filter(Path.exists, files):
            found[path.relative_to(folder).with_suffix("").as_posix()] = path
            waiting += [other for other in _imports(path) if other not in seen]
    return found


def _imports(path: Path) -> set[str]:
    """Return the top-level names of the modules that a file imports."""
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
    except SyntaxError:  # importing the file gives a better message
        return set()
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in names}


_imported: dict[Path, str] = {}


def _check_unedited(paths: Iterable[Path]) -> None:
    """Raise BadName where a source was edited after its import, since this process would still run the old code."""
    for path in paths:
        if _imported.setdefault(path, file_hash(path)) != file_hash(path):
            raise BadName(f"{path} was edited after this process had imported it; restart Python, or the worker")


def _own_module(module: str, folder: Path) -> Path | None:
    """Return the file of a module in the folder; refuse a module whose name is already taken by another."""
    own = [path for path in (folder / f"{module}.py", folder / module / "__init__.py") if path.exists()]
    if not own:
        return None
    spec = None if module in sys.modules else importlib.util.find_spec(module)
    taken = getattr(sys.modules.get(module), "__file__", None) if spec is None else spec.origin
    if module in sys.builtin_module_names or (taken and Path(taken).resolve() != own[0].resolve()):
        raise BadName(f"{own[0]} cannot be imported: {taken or 'Python'} has its name; rename your module")
    return own[0]
