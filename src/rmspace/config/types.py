"""Whether a value from YAML fits the annotation of a parameter, and what to say where it does not."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from rmspace._typing import ExistingPath


class Mismatch(Exception):
    """What was expected instead."""


def fit_type(value: Any, annotation: Any, folder: Path) -> Any:
    """Return the value as the annotation wants it; paths, which must exist, are taken from `folder`.

    A bool is not a number, text is not a sequence, and a whole number may stand for a float. Annotations that YAML has
    no value for (arrays, say) accept anything: the function checks them itself.

    Raises:
        Mismatch: with the words for what was expected.

    >>> fit_type(3, float, Path()), fit_type([1, 2], Sequence[int], Path())
    (3.0, [1, 2])
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _fit_union(value, arguments, folder)
    if annotation is ExistingPath:
        return _fit_path(value, folder)
    if annotation is Path:
        return Path(_fit_path(value, folder))
    if origin is Literal:
        if value in arguments and not isinstance(value, bool):
            return value
        raise Mismatch(" or ".join(repr(choice) for choice in arguments))
    if annotation in _SIMPLE:
        accepts, name = _SIMPLE[annotation]
        if not accepts(value):
            raise Mismatch(name)
        return float(value) if annotation is float else value
    if origin in (Sequence, list, tuple):
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise Mismatch("a list")
        if origin is tuple and Ellipsis not in arguments:
            if len(arguments) != len(value):
                raise Mismatch(f"a list of {len(arguments)}")
            return [fit_type(element, inner, folder) for element, inner in zip(value, arguments, strict=True)]
        inner = arguments[0] if arguments else Any
        return [fit_type(element, inner, folder) for element in value]
    if origin is Mapping or origin is dict:
        if not isinstance(value, Mapping):
            raise Mismatch("a block of keys")
        return {key: fit_type(element, arguments[1], folder) for key, element in value.items()}
    is_function = origin is Callable or annotation is Callable or getattr(annotation, "_is_protocol", False)
    if is_function and not callable(value):
        raise Mismatch("a function, written {use: its_name}")
    return value


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_SIMPLE: dict[Any, tuple[Callable[[Any], bool], str]] = {
    bool: (lambda value: isinstance(value, bool), "true or false"),
    int: (lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"),
    float: (_number, "a number"),
    str: (lambda value: isinstance(value, str), "text"),
    type(None): (lambda value: value is None, "nothing (null)"),
}


def _fit_union(value: Any, choices: tuple[Any, ...], folder: Path) -> Any:
    if ExistingPath in choices or Path in choices:  # the plain str beside it is for notebooks
        choices = tuple(choice for choice in choices if choice is not str)
    expected = []
    for choice in choices:
        if choice is float and isinstance(value, int) and int in choices:
            continue
        try:
            return fit_type(value, choice, folder)
        except Mismatch as mismatch:
            expected.append(str(mismatch))
    raise Mismatch(" or ".join(dict.fromkeys(expected)))


def _fit_path(value: Any, folder: Path) -> str:
    if not isinstance(value, str):
        raise Mismatch("a path")
    try:
        path = (folder / Path(value).expanduser()).resolve()
    except RuntimeError as error:
        raise Mismatch(f"a path that exists ({error})") from error
    if not path.exists():
        raise Mismatch(f"a path that exists ({path} does not)")
    return str(path)
