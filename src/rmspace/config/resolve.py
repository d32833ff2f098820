"""Names in configs: the nearest valid one, and dotted paths into the user's modules."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rmspace.data.files import file_hash


def nearest(name: str, known: Iterable[str]) -> str:
    """Return '; did you mean ...?', or the list of what there is.

    >>> nearest("learing_rate", ["learning_rate", "patience"])
    '; did you mean learning_rate?'
    """
    names = [str(candidate) for candidate in known]
    close = difflib.get_close_matches(str(name), names, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(sorted(names))}"


def import_name(name: str, folders: Sequence[Path], own_modules: dict[str, Path]) -> Any:
    """Import what a dotted path names, looking in `folders` too; note the user's own sources in `own_modules`.

    Noted are the module, or all of a package, and what they import from the same folder: a result depends on all of it.

    A folder stands last on the import path, so that it shadows nothing, and stays there: a user's function may import
    its neighbours when it runs.

    Raises:
        ImportError: one line that says why.
    """
    *modules, attribute = name.split(".")
    if not all(part.isidentifier() for part in (*modules, attribute)):
        raise ImportError(f"{name!r} is not a dotted path of names")
    found = (path for folder in folders if (path := _own_module(modules[0], folder)) is not None)
    own = next(found, None)
    if own is not None:
        folder = own.parents[own.name == "__init__.py"]
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        own_modules.update(_sources(modules[0], folder))
    try:
        module = importlib.import_module(".".join(modules))
    except Exception as error:
        raise ImportError(f"cannot import {'.'.join(modules)} ({said(error)})") from error
    _check_unedited(own_modules.values())
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise ImportError(f"{module.__name__} has no {attribute!r}{nearest(attribute, public)}")
    return getattr(module, attribute)


def _sources(module: str, folder: Path) -> dict[str, Path]:
    """Return the files of a module or package of the folder, and of those that it imports from there, by name."""
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
    """Return the top-level names of what a file imports."""
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
    except SyntaxError:  # which importing it tells better
        return set()
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in names}


_imported: dict[Path, str] = {}


def _check_unedited(paths: Iterable[Path]) -> None:
    """Raise ImportError where a source is no longer what this process imported: old code would pass for the new."""
    for path in paths:
        if _imported.setdefault(path, file_hash(path)) != file_hash(path):
            raise ImportError(f"{path} was edited after this process had imported it; restart Python, or the worker")


def said(error: Exception) -> str:
    """Return an error as one line, with its type where that says more than the words."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError | TypeError | OSError) and text else f"{type(error).__name__}: {text}"


def _own_module(module: str, folder: Path) -> Path | None:
    """Return a module of the folder; refuse one whose name something else has taken."""
    own = [path for path in (folder / f"{module}.py", folder / module / "__init__.py") if path.exists()]
    if not own:
        return None
    spec = None if module in sys.modules else importlib.util.find_spec(module)
    taken = getattr(sys.modules.get(module), "__file__", None) if spec is None else spec.origin
    if module in sys.builtin_module_names or (taken and Path(taken).resolve() != own[0].resolve()):
        raise ImportError(f"{own[0]} cannot be imported: {taken or 'Python'} has its name; rename yours")
    return own[0]
