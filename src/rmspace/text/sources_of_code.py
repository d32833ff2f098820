"""Which code a function is: the file that defines it or its own code, and the values that are bound to it."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path, PurePath
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from rmspace.data.files import file_hash
from rmspace.text.records import digest

_SCALARS = (bool, int, float, complex, str, bytes, type(None), type(...), np.generic, Enum, PurePath)


def source_hash(function: Any) -> str | None:
    """Return a SHA-256 of the code of a function; None where there is none to be seen, as for `len`.

    It is the hash of the file that defines the function. A function without a file, as in a notebook, is its bytecode,
    and what it uses by name: other such functions, and values. Values that are bound to a function (by
    `functools.partial`, a closure or an object) belong to it. Of other objects, such as a model, only the type does.

    >>> source_hash(source_hash) == file_hash(__file__), source_hash(len)
    (True, None)
    >>> low, high = functools.partial(round, ndigits=1), functools.partial(round, ndigits=2)
    >>> source_hash(low) == source_hash(high)
    False
    """
    return _hash(function, set())


def _hash(function: Any, known: set[int]) -> str | None:
    function, bound = _unbound(function)
    known = {*known, id(function)}
    code = _file_of(function) or _code_of(function, known)
    return digest([code, _seen(bound, known)]) if bound else code


def _unbound(function: Any) -> tuple[Any, list[Any]]:
    """Return the function or the class that does the work, and the values that are bound to it."""
    bound: list[Any] = []
    while isinstance(function, functools.partial | MethodType):
        if isinstance(function, functools.partial):
            bound += [function.args, function.keywords]
            function = function.func
        else:
            owner, function = function.__self__, function.__func__
            bound += [owner] if inspect.isclass(owner) else [type(owner), getattr(owner, "__dict__", {})]
    if not inspect.isroutine(function) and not inspect.isclass(function):
        bound.append(getattr(function, "__dict__", {}))
        function = type(function)
    bound += [cell.cell_contents for cell in getattr(function, "__closure__", None) or () if _is_filled(cell)]
    return function, [value for value in bound if not (isinstance(value, tuple | Mapping) and not value)]


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:  # of a function that is used before it is defined
        return False
    return True


def _file_of(function: Any) -> str | None:
    try:
        path = inspect.getsourcefile(function)
    except (TypeError, OSError):
        return None
    return file_hash(path) if path is not None and Path(path).is_file() else None


def _code_of(function: Any, known: set[int]) -> str | None:
    """Return a hash of the code of a function or class that has no file; None where there is no code."""
    if inspect.isclass(function):
        bases = [base for base in function.__mro__ if base is not object and _file_of(base) is None]
        return digest([_seen(_members(base), known) for base in bases])
    if not isinstance(function, FunctionType):
        return None
    used = {name: function.__globals__[name] for name in _names(function.__code__) if name in function.__globals__}
    values = [used, function.__defaults__, function.__kwdefaults__]
    return digest([_content(function.__code__), _seen(values, known)])


def _members(base: type) -> dict[str, Any]:
    """Return the methods and the values of a class."""
    members = {name: getattr(each, "__func__", getattr(each, "fget", each)) for name, each in vars(base).items()}
    return {name: each for name, each in members.items() if isinstance(each, FunctionType) or not name.startswith("__")}


def _content(code: CodeType) -> list[Any]:
    """Return what a piece of bytecode does; line numbers and the name of the file are left out."""
    constants = [_content(each) if isinstance(each, CodeType) else _seen(each, set()) for each in code.co_consts]
    return [code.co_code.hex(), constants, code.co_names, code.co_varnames, code.co_freevars]


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names that are used in a piece of bytecode and in those inside it."""
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names(each)


def _seen(value: Any, known: set[int]) -> Any:
    """Return what of a value belongs to a hash, as JSON can hold it; what comes again inside itself is left out."""
    if isinstance(value, _SCALARS):
        return repr(value)
    if isinstance(value, ModuleType):
        return value.__name__
    if id(value) in known:
        return "again"
    known = {*known, id(value)}
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return [str(value.dtype), value.shape, digest(value.tobytes().hex())]
    if isinstance(value, Mapping):
        return sorted([repr(_seen(name, known)), _seen(each, known)] for name, each in value.items())
    if isinstance(value, list | tuple):
        return [_seen(each, known) for each in value]
    if isinstance(value, set | frozenset):
        return sorted(repr(_seen(each, known)) for each in value)
    if dataclasses.is_dataclass(value) and not inspect.isclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return [type(value).__qualname__, _seen(fields, known)]
    if isinstance(value, functools.partial | MethodType | FunctionType) or inspect.isclass(value):
        return [getattr(value, "__qualname__", ""), _hash(value, known - {id(value)})]
    return f"{type(value).__module__}.{type(value).__qualname__}"
