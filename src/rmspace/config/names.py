"""Names in configs: the nearest valid one, and dotted paths into the user's modules."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def nearest(name: str, known: Iterable[str]) -> str:
    """Return '; did you mean ...?', or the list of what there is.

    >>> nearest("learing_rate", ["learning_rate", "patience"])
    '; did you mean learning_rate?'
    """
    names = [str(candidate) for candidate in known]
    close = difflib.get_close_matches(str(name), names, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(sorted(names))}"


def import_name(name: str, folders: Sequence[Path], own_modules: dict[str, Path]) -> Any:
    """Import what a dotted path names, looking in `folders` too; note the user's own module in `own_modules`.

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
        if own.name != "__init__.py":
            own_modules[modules[0]] = own
    try:
        module = importlib.import_module(".".join(modules))
    except Exception as error:
        raise ImportError(f"cannot import {'.'.join(modules)} ({said(error)})") from error
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise ImportError(f"{module.__name__} has no {attribute!r}{nearest(attribute, public)}")
    return getattr(module, attribute)


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
