"""Plain data -> objects: `use: name` is looked up, keywords are checked against its signature, nothing is guessed."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import rmspace
from rmspace._typing import PathLike
from rmspace.config.node import Document, Key, read_config
from rmspace.config.resolve import import_name, nearest, said
from rmspace.config.types import Mismatch, fit_type
from rmspace.data.bank import ResponseBank
from rmspace.experiment import run

T = TypeVar("T")

# How many arguments the run itself hands to each function.
_HANDED = {"pairs": 3, "annotator": 1, "metrics": 2, "baselines": 2}
_REQUIRED = ("data", "pairs", "n_pairs", "annotator", "models")
_NOT_IN_CONFIG = ("train", "test", "on_model")
KEYS = ("data", *(name for name in inspect.signature(run).parameters if name not in _NOT_IN_CONFIG))


@dataclass(frozen=True)
class Part:
    """What stands under one key of a config: the object, its plain form with all defaults, the user's modules in it."""

    value: Any
    plain: Any
    given: bool
    modules: dict[str, Path]


@dataclass(frozen=True)
class Experiment:
    """A config made into objects: `data()` gives (train, test), `options` the other arguments of `rmspace.run`."""

    data: Callable[[], tuple[ResponseBank, ResponseBank]]
    options: dict[str, Any]
    resolved: dict[str, Any]
    modules: dict[str, Path]  # the user's own, from the config's folder


def load_config(path: PathLike, overrides: Sequence[str] = ()) -> Experiment:
    """Read a YAML config of one experiment and build everything in it but the data, which is only called for.

    Args:
        path: the file; paths and user modules in it are looked for in its folder.
        overrides: `key.path=value`, the value written as in YAML; paths in them are taken from the working folder.

    Returns:
        The experiment, with the resolved config: overrides applied, defaults filled in, paths absolute.

    Raises:
        ConfigError: an unknown or missing key, a misspelled name, a wrong type, a missing file; one line and its place.

    >>> import tempfile
    >>> text = '''
    ... data: {use: make_synthetic_banks, n_prompts: 50, n_test_prompts: 10}
    ... pairs: {use: same_prompt}
    ... n_pairs: 100
    ... annotator: {use: oracle}
    ... models: {BT: {use: LinearReward}}
    ... '''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.yaml").write_text(text)
    ...     experiment = load_config(folder + "/a.yaml", ["n_pairs=200"])
    >>> train, test = experiment.data()
    >>> table = rmspace.run(train=train, test=test, **experiment.options)
    >>> table.n_pairs.unique().tolist()
    [200]
    """
    return build_experiment(read_config(Path(path), overrides))


def build_experiment(document: Document) -> Experiment:
    """Build the experiment of a config that was read; see `load_config`."""
    check_keys(document)
    parts = {name: build_part(document, name) for name in KEYS}
    options = {name: part.value for name, part in parts.items() if part.given and name != "data"}
    resolved = {name: part.plain for name, part in parts.items()}
    modules = {name: path for part in parts.values() for name, path in part.modules.items()}
    return Experiment(partial(_call_data, parts["data"].value, document), options, resolved, modules)


def check_keys(document: Document) -> None:
    """Raise ConfigError where a config has an unknown key, or lacks one."""
    for name in document.data:
        if name not in KEYS:
            raise document.error((name,), f"unknown key{nearest(name, KEYS)}")
    for name in _REQUIRED:
        if name not in document.data:
            raise document.error((), f"the key {name} is missing")


def build_part(document: Document, name: str) -> Part:
    """Build what a config says under one of its keys.

    Raises:
        ConfigError: as `load_config`.
    """
    value = document.data.get(name)
    if value is None and name not in _REQUIRED:
        default = _once(inspect.signature, run).parameters[name].default
        return Part(default, default, given=False, modules={})
    builder = _Builder(document)
    made, plain = _option(builder, name, value)
    if name == "annotator":
        _try_annotator(made, document)
    return Part(made, plain, given=True, modules=builder.modules)


def _option(builder: _Builder, name: str, value: Any) -> tuple[Any, Any]:
    if name == "data":
        return builder.block(value, ("data",), handed=0)
    if name in ("models", "metrics", "baselines"):
        if not isinstance(value, dict) or not value:
            raise builder.document.error((name,), "must be a block of names, each with its own {use: ...}")
        pairs = {key: builder.block(inner, (name, key), handed=_HANDED.get(name)) for key, inner in value.items()}
        for key, (made, _) in pairs.items():
            if name == "models" and not hasattr(made, "fit"):
                raise builder.document.error((name, key), f"must be a reward model, with fit and predict; got {made!r}")
        return {key: made for key, (made, _) in pairs.items()}, {key: plain for key, (_, plain) in pairs.items()}
    if name in _HANDED:
        return builder.block(value, (name,), handed=_HANDED[name])
    fitted = builder.fit(value, _hints(run)[name], (name,))
    return fitted, value


def _try_annotator(annotator: Any, document: Document) -> None:
    """Let an annotator judge one tie, so that a beta out of range is found before anything runs."""
    try:
        annotator(np.zeros(1))
    except (TypeError, ValueError) as error:
        raise document.error(("annotator",), str(error)) from error


def _call_data(data: Any, document: Document) -> tuple[ResponseBank, ResponseBank]:
    try:
        banks = data()
    except Exception as error:
        raise document.error(("data",), said(error)) from error
    if not (isinstance(banks, tuple) and len(banks) == 2 and all(isinstance(bank, ResponseBank) for bank in banks)):
        raise document.error(("data",), f"must name a function that returns two banks (train, test); got {banks!r}")
    return banks


class _Builder:
    """Makes the objects of one document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.modules: dict[str, Path] = {}

    def block(self, value: Any, key: Key, *, handed: int | None) -> tuple[Any, dict[str, Any]]:
        """Make what a `{use: name, keyword: value, ...}` block says; return it and its resolved form.

        A class is called with the keywords, a function gets them bound. `handed` is the number of arguments that the
        function will be called with; None where that is its own business.
        """
        if not isinstance(value, dict) or not isinstance(value.get("use"), str):
            raise self.document.error(key, f"must be a block {{use: name, ...}}; got {value!r}")
        target = self._look_up(value["use"], (*key, "use"))
        given = {name: inner for name, inner in value.items() if name != "use"}
        try:
            parameters = _parameters(target)
        except TypeError as error:
            raise self.document.error((*key, "use"), str(error)) from error
        keywords, resolved = self._keywords(target, parameters, given, key, handed)
        try:
            made = (
                target(**keywords) if inspect.isclass(target) else partial(target, **keywords) if keywords else target
            )
        except Exception as error:
            raise self.document.error(key, said(error)) from error
        return made, {"use": value["use"], **resolved}

    def fit(self, value: Any, annotation: Any, key: Key) -> Any:
        """Hold a value to an annotation."""
        try:
            return fit_type(value, annotation, self.document.folder(key))
        except Mismatch as mismatch:
            raise self.document.error(key, f"must be {mismatch}; got {value!r}") from None

    def _keywords(
        self,
        target: Callable[..., Any],
        parameters: Mapping[str, inspect.Parameter],
        given: dict[str, Any],
        key: Key,
        handed: int | None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Check keywords against the signature; return them built, and all of them with defaults, plain."""
        positional = [p.name for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        if inspect.isclass(target):
            handed = 0
        elif handed is not None and len(positional) < handed and not _takes_any(parameters):
            raise self.document.error(
                key, f"is called with {handed} arguments; {_name(target)} takes {len(positional)}"
            )
        elif handed is None:
            handed = sum(parameters[name].default is inspect.Parameter.empty for name in positional)
        by_caller, options = positional[:handed], {n: p for n, p in parameters.items() if n not in positional[:handed]}
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        hints = _hints(target)
        keywords, resolved = {}, {}
        for name, value in given.items():
            here = (*key, name)
            if name in by_caller:
                raise self.document.error(here, f"is filled in by the run; {_name(target)} is called with it")
            if name not in options and not open_ended:
                raise self.document.error(here, f"unknown key of {_name(target)}{nearest(name, options)}")
            built, plain = self._nested(value, here, hints.get(name))
            keywords[name] = self.fit(built, hints.get(name, Any), here)
            resolved[name] = str(keywords[name]) if isinstance(value, str) else plain
        for name, parameter in options.items():
            if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) or name in keywords:
                continue
            if parameter.default is parameter.empty:
                raise self.document.error(key, f"{_name(target)} needs the key {name}")
            if _plain(parameter.default):
                resolved[name] = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
        return keywords, resolved

    def _nested(self, value: Any, key: Key, annotation: Any) -> tuple[Any, Any]:
        """Build blocks inside a value."""
        if isinstance(value, dict) and "use" in value:
            return self.block(value, key, handed=_arity(annotation))
        if isinstance(value, dict):
            inner = {name: self._nested(element, (*key, name), None) for name, element in value.items()}
            return {n: made for n, (made, _) in inner.items()}, {n: plain for n, (_, plain) in inner.items()}
        if isinstance(value, list):
            elements = [self._nested(element, (*key, k), None) for k, element in enumerate(value)]
            return [made for made, _ in elements], [plain for _, plain in elements]
        return value, value

    def _look_up(self, name: str, key: Key) -> Callable[..., Any]:
        """Find a public name of rmspace, or import a dotted path, looking in the config's own folder too."""
        if "." not in name:
            if not name or name not in rmspace.__all__:
                raise self.document.error(key, f"rmspace has no {name!r}{nearest(name, rmspace.__all__)}")
            target = getattr(rmspace, name)
        else:
            try:
                target = import_name(name, self.document.folders_of(key), self.modules)
            except ImportError as error:
                raise self.document.error(key, str(error)) from error
        if not callable(target):
            raise self.document.error(key, f"{name} is not a function or class; got {target!r}")
        return target


def _takes_any(parameters: Mapping[str, inspect.Parameter]) -> bool:
    return any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters.values())


def _parameters(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return _once(inspect.signature, target).parameters
    except (TypeError, ValueError) as error:
        raise TypeError(f"{_name(target)} has no signature to check keywords against; wrap it in a function") from error


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    return _once(_read_hints, target)


def _read_hints(target: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (NameError, TypeError, AttributeError):  # annotations of the user's that cannot be read check nothing
        return {}


def _once(read: Callable[[Any], T], target: Any) -> T:
    """Read a function's signature or annotations, which a study asks for at every cell, once."""
    try:
        hash(target)
    except TypeError:  # an object whose class compares by value
        return read(target)
    return _known(read, target)


@cache
def _known(read: Callable[[Any], T], target: Any) -> T:
    return read(target)


def _arity(annotation: Any) -> int | None:
    """Number of arguments that a Protocol's call takes."""
    if getattr(annotation, "_is_protocol", False):
        return len(_once(inspect.signature, annotation.__call__).parameters) - 1
    return None


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _name(target: Any) -> str:
    return getattr(target, "__name__", repr(target))
