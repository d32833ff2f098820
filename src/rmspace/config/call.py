"""The parameters of a function or class: those that the run fills in, and those that a config may set."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from rmspace.kinds import Kind


@dataclass(frozen=True)
class Call:
    """The parameters of a function or class.

    Args:
        name: its name in messages.
        by_run: parameters that the run fills in.
        options: parameters that a config may set.
        hints: annotations by the name of the parameter, and `return`.
        open_ended: whether any other keyword is accepted, too.
    """

    name: str
    by_run: tuple[str, ...]
    options: Mapping[str, inspect.Parameter]
    hints: Mapping[str, Any]
    open_ended: bool

    @property
    def required(self) -> list[str]:
        """Options that have no default."""
        return [name for name, option in self.options.items() if option.default is option.empty]

    @property
    def defaults(self) -> dict[str, Any]:
        """The defaults that YAML can hold, by name."""
        found = {name: option.default for name, option in self.options.items() if _is_plain(option.default)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def read_call(target: Callable[..., Any], kind: Kind | None) -> Call:
    """Read a signature; the run calls a function of a kind with the arguments of the kind's Protocol.

    Where the kind is unknown, the run is assumed to fill in the positional parameters without a default.

    Raises:
        TypeError: there is no signature, or the function takes fewer arguments than its kind is called with.

    >>> from rmspace.annotators import logistic
    >>> from rmspace.kinds import KINDS
    >>> call = read_call(logistic, next(kind for kind in KINDS if kind.name == "annotator"))
    >>> call.by_run, call.required
    (('gap',), ['beta'])
    """
    try:
        hash(target)
    except TypeError:  # an object whose class compares by value
        return _read(target, kind)
    return _read_once(target, kind)


def name_of(target: Any) -> str:
    """Return the name of a function or class, or its repr."""
    return getattr(target, "__name__", repr(target))


def _read(target: Callable[..., Any], kind: Kind | None) -> Call:
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name_of(target)} has no signature to check keywords against; wrap it in a function"
        ) from error
    by_run = () if inspect.isclass(target) else _filled_in(target, parameters, kind)
    kinds = {p.kind for p in parameters.values()}
    options = {
        name: p
        for name, p in parameters.items()
        if name not in by_run and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    }
    return Call(name_of(target), by_run, options, _read_hints(target), inspect.Parameter.VAR_KEYWORD in kinds)


_read_once = cache(_read)  # a study asks for the same signatures in every cell


def _filled_in(
    target: Callable[..., Any], parameters: Mapping[str, inspect.Parameter], kind: Kind | None
) -> tuple[str, ...]:
    positional = _positional(parameters)
    if kind is None:
        return tuple(p.name for p in positional if p.default is p.empty)
    count = len(_positional(inspect.signature(kind.protocol.__call__).parameters)) - 1  # without self
    if len(positional) < count and not any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
        raise TypeError(f"is called with {count} arguments; {name_of(target)} takes {len(positional)}")
    return tuple(p.name for p in positional[:count])


def _positional(parameters: Mapping[str, inspect.Parameter]) -> list[inspect.Parameter]:
    return [p for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _read_hints(target: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (NameError, TypeError, AttributeError):  # a user's annotations that cannot be read are not checked
        return {}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
