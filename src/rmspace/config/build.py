"""Nodes -> objects: each `use: name` is looked up and its keywords are checked; nothing is guessed."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline

from rmspace._typing import PathLike
from rmspace.config.call import Call, name_of, read_call
from rmspace.config.node import Node, read_config
from rmspace.config.resolve import BadName, Names, nearest, one_line
from rmspace.config.together import misfits, sides_of_reader, unbound
from rmspace.config.types import Mismatch, fit_type, kind_of
from rmspace.data.bank import ResponseBank
from rmspace.data.preferences import Preferences
from rmspace.experiment import run
from rmspace.kinds import Annotator, Baseline, Kind, Metric, Objective, PairStrategy, Reader, RewardModel
from rmspace.objectives.trial import try_objective

Data = ResponseBank | Preferences

_NOT_IN_CONFIG = ("train", "test", "on_fit", "on_model")
_PARAMETERS = {name: p for name, p in inspect.signature(run).parameters.items() if name not in _NOT_IN_CONFIG}
_PARAMETER_HINTS = typing.get_type_hints(run)
KEYS = ("data", *_PARAMETERS)
JUDGING = ("pairs", "n_pairs", "annotator")  # how a bank becomes comparisons; preferences hold theirs already
_PROTOCOLS = {
    **{"data": Reader, "pairs": PairStrategy, "annotator": Annotator},
    **{"models": RewardModel, "metrics": Metric, "baselines": Baseline},
}
KINDS_OF_KEYS = {name: kind_of(protocol) for name, protocol in _PROTOCOLS.items()}
BLOCKS_OF_NAMES = ("models", "metrics", "baselines")
_OWN_OBJECTIVES = "rmspace.objectives."  # their options are tried when the config is read


class Made(NamedTuple):
    """An object, and the plain data that make it again, with all defaults."""

    value: Any
    plain: Any


@dataclass(frozen=True)
class Part:
    """The value of one key of a config: the object, its plain form with all defaults, the user's modules in it."""

    value: Any
    plain: Any
    given: bool
    modules: dict[str, Path]


@dataclass(frozen=True)
class Experiment:
    """The objects of a config: `data()` gives (train, test), and `options` are the other arguments of `rmspace.run`."""

    data: Callable[[], tuple[Data, Data]]
    options: dict[str, Any]
    resolved: dict[str, Any]
    modules: dict[str, Path]  # the user's own, from the folder of the config


def load_config(path: PathLike, overrides: Sequence[str] = (), *, allow: Sequence[str] = ()) -> Experiment:
    """Read a YAML config of one experiment and build everything in it; the data are read when `data()` is called.

    A `use:` finds the names of the kind that its key asks for, rmspace's own dotted names, the estimators of
    scikit-learn, and the user's modules beside the config. Importing such a module runs it: read a config that
    somebody sent, and the modules beside it, before you load it.

    Args:
        path: the file; paths and user modules in it are looked for in its folder.
        overrides: `key.path=value`, the value written as in YAML; paths in them start at the working folder.
        allow: other modules that the config may import, such as `["lightgbm"]`.

    Returns:
        The experiment, with the resolved config: overrides applied, defaults filled in, paths absolute.

    Raises:
        ConfigError: an unknown or missing key, a misspelled name or one of another kind, a module that is not allowed,
            a wrong type, a missing file. The error is one line and names its place.

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
    >>> table = run(train=train, test=test, **experiment.options)
    >>> table.n_pairs.unique().tolist()
    [200]
    """
    return build_experiment(read_config(Path(path), overrides), allow=allow)


def build_experiment(root: Node, *, folders: Sequence[Path] | None = None, allow: Sequence[str] = ()) -> Experiment:
    """Build the experiment of a config that was read; see `load_config`.

    Args:
        root: the config.
        folders: folders of the user's modules; when None, the folders of the nodes, with the config's own first.
        allow: as in `load_config`.
    """
    check_keys(root)
    folders = root.folders() if folders is None else folders
    parts = {name: build_part(root, name, folders=folders, allow=allow) for name in KEYS}
    check_together(root, parts)
    options = {name: part.value for name, part in parts.items() if part.given and name != "data"}
    resolved = {name: part.plain for name, part in parts.items()}
    modules = {name: path for part in parts.values() for name, path in part.modules.items()}
    return Experiment(parts["data"].value, options, resolved, modules)


def check_keys(root: Node) -> None:
    """Raise ConfigError where a config has an unknown key, or lacks a required one."""
    for name, node in root.items():
        if name not in KEYS:
            raise node.error(f"unknown key{nearest(str(name), KEYS)}")
    required = ("data", "models", *(JUDGING if is_judged(root) else ()))
    for name in required:
        if not _is_given(root, name):
            raise root.error(f"the key {name} is missing")


def is_judged(root: Node) -> bool:
    """Say whether a config has pairs of a bank judged; otherwise its data must be preferences."""
    return _is_given(root, "pairs") or _is_given(root, "annotator")


def build_part(root: Node, name: str, *, folders: Sequence[Path], allow: Sequence[str] = ()) -> Part:
    """Build the value of one key of a config; see `build_experiment`."""
    if not _is_given(root, name):
        if name == "data" or _PARAMETERS[name].default is inspect.Parameter.empty:
            raise root.error(f"the key {name} is missing")
        default = _PARAMETERS[name].default
        return Part(default, default, given=False, modules={})
    names = Names(folders, allow)
    builder = Builder(names, has_columns=not is_judged(root))
    made = builder.part(name, root[name])
    if name == "data":
        _check_reader(root, made.value)
        made = made._replace(value=partial(_read_data, made.value, root["data"]))
    if name == "annotator":
        _try_annotator(made.value, root[name])
    return Part(*made, given=True, modules=names.modules)


def check_together(root: Node, parts: Mapping[str, Part]) -> None:
    """Raise ConfigError where metrics, baselines or n do not go with the test data, as far as annotations tell."""
    reader = parts["data"].value.args[0]
    metrics, baselines = (parts[name].value or {} for name in ("metrics", "baselines"))
    if found := misfits(reader, metrics, baselines, has_n=parts["n"].value is not None):
        raise root[found[0]].error(found[1])


def _is_given(root: Node, name: str) -> bool:
    return name in root and root[name].value is not None


class Builder:
    """Makes the objects of one config.

    Args:
        names: finds the function or class of a `use:`.
        has_columns: whether the comparisons may have columns, which objectives and metrics take by name.
    """

    def __init__(self, names: Names, *, has_columns: bool) -> None:
        self.names, self.has_columns = names, has_columns

    def part(self, name: str, node: Node) -> Made:
        """Make the value of one key of the config."""
        kind = KINDS_OF_KEYS.get(name)
        if kind is None:
            return Made(_fit(node, node.plain(), _PARAMETER_HINTS[name]), node.plain())
        if name not in BLOCKS_OF_NAMES:
            return self.block(node, kind)
        if not node.is_block or not node.value:
            raise node.error("must be a block of names, each with its own {use: ...}")
        made = {inner_name: self.block(inner, kind) for inner_name, inner in node.items()}
        if name == "models":
            for inner_name, inner in node.items():
                _check_model(inner, made[inner_name].value)
        return _unzipped(made)

    def block(self, node: Node, kind: Kind | None) -> Made:
        """Make the object of a `{use: name, keyword: value, ...}` block: call a class, bind a function's keywords."""
        if not node.is_block or not isinstance(node.get("use"), str):
            raise node.error(f"must be a block {{use: name, ...}}; got {node.plain()!r}")
        target, call = self._target(node, kind)
        given = {name: self.keyword(inner, call) for name, inner in node.value.items() if name != "use"}
        kind = kind or _kind_of(target)
        self._check_required(node, call, kind)
        keywords = {name: made.value for name, made in given.items()}
        plain = {"use": node.get("use"), **{name: made.plain for name, made in given.items()}}
        value = _called(node, target, keywords) if inspect.isclass(target) else _bound(target, keywords)
        if target.__module__.startswith(_OWN_OBJECTIVES):
            _try_objective(target, keywords, node)
        if kind is not None and kind.protocol is Objective:
            return Made(value, plain)  # a default that is written out is bound, and hides a column of its name
        return Made(value, {**plain, **{name: v for name, v in call.defaults.items() if name not in plain}})

    def _target(self, node: Node, kind: Kind | None) -> tuple[Callable[..., Any], Call]:
        try:
            target = self.names.find(node.get("use"), kind)
            return target, read_call(target, kind)
        except (BadName, TypeError) as error:
            raise node["use"].error(str(error)) from error

    def keyword(self, node: Node, call: Call) -> Made:
        """Make the value of one keyword, and check it against the annotation of its parameter."""
        name = str(node.key[-1])
        if name in call.by_run:
            raise node.error(f"is filled in by the run; {call.name} is called with it")
        if name not in call.options and not call.open_ended:
            raise node.error(f"unknown key of {call.name}{nearest(name, call.options)}")
        hint = call.hints.get(name, Any)
        made = self._nested(node, kind_of(hint))
        value = _fit(node, made.value, hint)
        return Made(value, str(value) if isinstance(made.value, str) else made.plain)

    def _nested(self, node: Node, kind: Kind | None) -> Made:
        """Make the blocks inside a value."""
        if "use" in node:
            return self.block(node, kind)
        if node.is_block:
            return _unzipped({name: self._nested(inner, kind) for name, inner in node.items()})
        if node.is_list:
            made = [self._nested(inner, kind) for _, inner in node.items()]
            return Made([each.value for each in made], [each.plain for each in made])
        return Made(node.value, node.value)

    def _check_required(self, node: Node, call: Call, kind: Kind | None) -> None:
        from_columns = self.has_columns and kind is not None and kind.protocol in (Objective, Metric)
        for name in call.required:
            if name not in node and not from_columns:
                raise node.error(f"{call.name} needs the key {name}")


def _kind_of(target: Callable[..., Any]) -> Kind | None:
    """Return the kind of a target whose place asks for none, as in a grid of parameters, where that matters here."""
    return kind_of(Objective) if target.__module__.startswith(_OWN_OBJECTIVES) else None


def _unzipped(made: dict[Any, Made]) -> Made:
    return Made({n: each.value for n, each in made.items()}, {n: each.plain for n, each in made.items()})


def _fit(node: Node, value: Any, annotation: Any) -> Any:
    """Check a value against an annotation."""
    try:
        return fit_type(value, annotation, node.folder)
    except Mismatch as mismatch:
        raise node.error(f"must be {mismatch}; got {value!r}") from None


def _called(node: Node, target: Callable[..., Any], keywords: dict[str, Any]) -> Any:
    try:
        return target(**keywords)
    except (Exception, SystemExit) as error:
        raise node.error(one_line(error)) from error


def _bound(target: Callable[..., Any], keywords: dict[str, Any]) -> Callable[..., Any]:
    return partial(target, **keywords) if keywords else target


def _check_model(node: Node, model: Any) -> None:
    """Raise ConfigError for an estimator that is not fitted on comparisons, such as scikit-learn's own."""
    last = model.steps[-1][1] if isinstance(model, Pipeline) and model.steps else model
    if not (hasattr(last, "fit") and hasattr(last, "predict")):
        raise node.error(f"must be a reward model, with fit and predict; got {model!r}")
    if type(last).__module__.startswith("sklearn."):
        raise node.error(
            f"must be a reward model, or a pipeline that ends in one; {type(last).__name__} is an estimator of "
            "scikit-learn; a classifier becomes a reward model by {use: ClassifierReward, estimator: {use: ...}}"
        )


def _try_annotator(annotator: Any, node: Node) -> None:
    """Let an annotator judge one tie, so that a beta out of range is reported before anything runs."""
    try:
        annotator(np.zeros(1))
    except (TypeError, ValueError) as error:
        raise node.error(str(error)) from error


def _try_objective(objective: Callable[..., Any], keywords: dict[str, Any], node: Node) -> None:
    """Let an objective of rmspace measure one pair, so that an option out of range is reported before anything runs."""
    try:  # an objective inside another one may be the user's, which only a fit may run
        try_objective(partial(objective, **{n: v for n, v in keywords.items() if not callable(v)}))
    except ValueError as error:
        raise node.error(str(error)) from error


def _check_reader(root: Node, reader: Any) -> None:
    """Raise ConfigError where a reader's annotations say that the config cannot use its data."""
    sides, name = sides_of_reader(reader), name_of(unbound(reader))
    if sides is None:
        return
    if not sides:
        raise root["data"].error(f"must name a function that returns (train, test); {name} returns one thing")
    if sides[0] is ResponseBank and not is_judged(root):
        raise root.error(f"the key pairs is missing, and so is annotator: {name} gives banks, which need both")
    if sides[0] is Preferences and is_judged(root):
        raise root["data"].error(f"{name} gives preferences, which are judged already; remove pairs and annotator")


def _read_data(reader: Any, node: Node) -> tuple[Data, Data]:
    try:
        data = reader()
    except (Exception, SystemExit) as error:
        raise node.error(one_line(error)) from error
    if not (isinstance(data, tuple) and len(data) == 2 and all(isinstance(side, Data) for side in data)):
        raise node.error(f"must name a function that returns two banks or preferences (train, test); got {data!r}")
    return data
