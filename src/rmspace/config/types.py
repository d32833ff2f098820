"""Checks that a value from YAML fits the annotation of a parameter, and the words for a value that does not."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from rmspace._typing import ExistingPath, OutputPath
from rmspace.kinds import KINDS, Classifier, Encoder, Generator, Gold, Kind, RewardModel


class Mismatch(Exception):
    """A value that does not fit; the message is the expected value in words."""


def kind_of(annotation: Any) -> Kind | None:
    """Return the kind whose Protocol an annotation names, alone or as a part of it.

    >>> from rmspace.kinds import Objective
    >>> kind_of(Objective | None).name
    'objective'
    """
    for kind in KINDS:
        if annotation is kind.protocol:
            return kind
    found = (kind_of(inner) for inner in get_args(annotation))
    return next((kind for kind in found if kind is not None), None)


def fit_type(value: Any, annotation: Any, folder: Path) -> Any:
    """Return the value in the type of the annotation; paths must exist, and start at `folder`.

    A bool is not a number, text is not a list, and a whole number may stand for a float. An annotation without a form
    in YAML, such as an array, accepts anything: the function checks the value itself.

    Raises:
        Mismatch: the value does not fit; the message is the expected value in words.

    >>> fit_type(3, float, Path()), fit_type([1, 2], Sequence[int], Path())
    (3.0, [1, 2])
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _fit_union(value, arguments, folder)
    if annotation in (ExistingPath, OutputPath, Path):
        path = _fit_path(value, folder, exists=annotation is not OutputPath)
        return Path(path) if annotation is Path else path
    if origin is Literal:
        return _fit_literal(value, arguments)
    if annotation in _SIMPLE:
        return _fit_simple(value, annotation)
    if origin in (Sequence, list, tuple):
        return _fit_list(value, annotation, folder)
    if origin in (Mapping, dict):
        if not isinstance(value, Mapping):
            raise Mismatch("a block of keys")
        return {key: fit_type(element, arguments[1], folder) for key, element in value.items()}
    _check_made(value, annotation)
    return value


_SCALARS = (str, int, float, bool)


def _is_foreign(annotation: Any) -> bool:
    """Return whether YAML has no value for a class, such as an array or a tensor."""
    return (
        inspect.isclass(annotation) and annotation not in (*_SIMPLE, object, Path) and not _is_function_type(annotation)
    )


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_SIMPLE: dict[Any, tuple[Callable[[Any], bool], str]] = {
    bool: (lambda value: isinstance(value, bool), "true or false"),
    int: (lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"),
    float: (_number, "a number"),
    str: (lambda value: isinstance(value, str), "text"),
    type(None): (lambda value: value is None, "nothing (null)"),
}


def _fit_simple(value: Any, annotation: Any) -> Any:
    accepts, name = _SIMPLE[annotation]
    if not accepts(value):
        raise Mismatch(name)
    return float(value) if annotation is float else value


def _fit_literal(value: Any, choices: tuple[Any, ...]) -> Any:
    if value not in choices or isinstance(value, bool):
        raise Mismatch(" or ".join(repr(choice) for choice in choices))
    return value


def _fit_list(value: Any, annotation: Any, folder: Path) -> list[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise Mismatch("a list")
    arguments = get_args(annotation) or (Any,)
    if get_origin(annotation) is tuple and Ellipsis not in arguments:
        if len(arguments) != len(value):
            raise Mismatch(f"a list of {len(arguments)}")
        return [fit_type(element, inner, folder) for element, inner in zip(value, arguments, strict=True)]
    return [fit_type(element, arguments[0], folder) for element in value]


def _fit_union(value: Any, choices: tuple[Any, ...], folder: Path) -> Any:
    if {ExistingPath, OutputPath, Path} & set(choices):  # the plain str beside it is for notebooks
        choices = tuple(choice for choice in choices if choice is not str)
    if OutputPath in choices:
        choices = tuple(choice for choice in choices if choice is not Path)
    if any(choice in _SIMPLE and choice is not type(None) for choice in choices) and isinstance(value, _SCALARS):
        choices = tuple(choice for choice in choices if not _is_foreign(choice))  # a text is no tensor
    expected = []
    for choice in choices:
        if choice is float and isinstance(value, int) and int in choices:
            continue
        try:
            return fit_type(value, choice, folder)
        except Mismatch as mismatch:
            expected.append(str(mismatch))
    raise Mismatch(" or ".join(dict.fromkeys(expected)))


def _fit_path(value: Any, folder: Path, *, exists: bool) -> str:
    if not isinstance(value, str):
        raise Mismatch("a path")
    try:
        path = (folder / Path(value).expanduser()).resolve()
    except RuntimeError as error:  # the home of an unknown user
        raise Mismatch(f"a path that exists ({error})") from error
    if exists and not path.exists():
        raise Mismatch(f"a path that exists ({path} does not)")
    return str(path)


def _check_made(value: Any, annotation: Any) -> None:
    """Raise Mismatch where the annotation is a function or a reward model and the value is not."""
    if annotation is RewardModel:
        if not (hasattr(value, "fit") and hasattr(value, "predict")):
            raise Mismatch("a reward model, written {use: its_name}")
    elif annotation is Classifier:
        if not (
            hasattr(value, "get_params") and (hasattr(value, "decision_function") or hasattr(value, "predict_proba"))
        ):
            raise Mismatch("a classifier of scikit-learn, such as {use: sklearn.linear_model.LogisticRegression}")
    elif annotation in _OF_TEXT:
        method, expected = _OF_TEXT[annotation]
        if not (hasattr(value, "describe") and hasattr(value, method)):
            raise Mismatch(f"{expected}, model: a name or a folder}}")
    elif _is_function_type(annotation) and not callable(value):
        raise Mismatch("a function, written {use: its_name}")


_OF_TEXT: Mapping[Any, tuple[str, str]] = {
    Encoder: ("encode", "an encoder, such as {use: TransformersEncoder"),
    Generator: ("generate", "a generator, such as {use: TransformersGenerator"),
    Gold: ("rate", "a gold, such as {use: ClassifierGold"),
}


def _is_function_type(annotation: Any) -> bool:
    return Callable in (annotation, get_origin(annotation)) or getattr(annotation, "_is_protocol", False)
