"""Models as folders: one JSON, plain numbers beside it, a hash of every file, and nothing that could run.

`model.json` names the class and the parameters; both are looked up in lists kept here, never imported by name. The
JSON must be, byte for byte, what this module would write, and every other file must have the hash it records, so that
a folder cut short or changed by one byte is refused before any parser of a library sees it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rmspace import objectives
from rmspace._typing import PathLike
from rmspace.data.files import FolderKind, file_hash, new_folder
from rmspace.models.boosted import LightGBMReward
from rmspace.models.classifier import ClassifierReward
from rmspace.models.core.base import BaseReward
from rmspace.models.ensemble import EnsembleReward
from rmspace.models.linear import LinearReward
from rmspace.models.mlp import MLPReward
from rmspace.reductions import lower_confidence, mean, minimum

_FORMAT, _VERSION, _MARKER = "rmspace-model", 1, "model.json"
_KIND = FolderKind(
    _FORMAT, _MARKER, r"model\.json|weights\.safetensors|trees\.txt|estimator\.skops|param_\w+(?:\.skops)?|member_\d+"
)
_TYPES = {"class": str, "params": dict, "files": dict}

_CLASSES: dict[str, type[BaseReward]] = {
    cls.__name__: cls for cls in (LinearReward, MLPReward, LightGBMReward, ClassifierReward, EnsembleReward)
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        objectives.bradley_terry,
        objectives.classification,
        objectives.thurstone,
        objectives.hinge,
        objectives.margin_bradley_terry,
        objectives.label_smoothed,
        mean,
        minimum,
        lower_confidence,
    )
}


class ForeignFunction:
    """Stands, in a loaded model, for a function of the user's that the file only names."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Refuse: the function is not known here."""
        raise ValueError(
            f"this model was saved with the function {self.name}, which a model folder only names; "
            "give it back with set_params before it is needed"
        )

    def __repr__(self) -> str:
        return f"ForeignFunction({self.name!r})"


def save(model: BaseReward, folder: PathLike, *, overwrite: bool = False) -> None:
    """Write a fitted model as a folder; see `BaseReward.save`."""
    with new_folder(folder, _KIND, overwrite=overwrite) as staged:
        write_model(model, staged)


def load(folder: PathLike, *, trusted: Sequence[str] = ()) -> Any:
    """Load a model that was saved with `model.save(folder)`.

    Nothing named in the folder is imported or run. A function of your own (an objective, say) is kept by name alone;
    predictions do not need objectives.

    Args:
        folder: where it was saved.
        trusted: types inside a `ClassifierReward` that skops does not vouch for and you do, such as the compiled
            trees of a random forest, "sklearn.tree._tree.Tree".

    Raises:
        FileNotFoundError: there is no model at `folder`.
        ValueError: it is damaged, cut short, of a newer version, or names something unknown or untrusted.

    >>> import tempfile
    >>> from rmspace import LinearReward
    >>> items = np.eye(3, dtype=np.float32)
    >>> model = LinearReward().fit(items, np.array([[0, 1], [1, 2]]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(folder + "/model")
    ...     bool((load(folder + "/model").predict(items) == model.predict(items)).all())
    True
    """
    return read_model(Path(folder), trusted)


def write_model(model: Any, folder: Path) -> None:
    """Write a model's files and `model.json` into `folder`, made where it is missing."""
    if type(model) not in _CLASSES.values():
        raise TypeError(f"only {', '.join(_CLASSES)} can be saved without pickle; got {type(model).__name__}")
    folder.mkdir(exist_ok=True)
    fitted = hasattr(model, "n_features_in_")
    head: dict[str, Any] = {
        "format": _FORMAT,
        "version": _VERSION,
        "class": type(model).__name__,
        "params": {name: _encode(name, value, folder) for name, value in sorted(model.get_params(deep=False).items())},
        "state": model._write(folder) if fitted else None,
    }
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    head["files"] = {path.relative_to(folder).as_posix(): file_hash(path) for path in files}
    (folder / _MARKER).write_bytes(_canonical(head))


def read_model(folder: Path, trusted: Sequence[str]) -> Any:
    """Check a model's folder and read it."""
    path = folder / _MARKER
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a saved model: it has no {_MARKER}")
    head = _read_head(path)
    cls = _CLASSES.get(head["class"])
    if cls is None:
        raise ValueError(f"{path} names the class {head['class']!r}; only {', '.join(_CLASSES)} are loaded")
    _check_files(folder, head["files"])
    try:
        model = cls(**{name: _decode(value, folder, trusted) for name, value in head["params"].items()})
        if head["state"] is not None:
            model._read(folder, head["state"], trusted)
    except (KeyError, IndexError, TypeError, AttributeError, RuntimeError, OSError) as error:
        raise ValueError(f"{folder} does not hold together as a {head['class']} ({error!r})") from error
    return model


def _check_files(folder: Path, hashes: Mapping[str, str]) -> None:
    """Raise ValueError unless the folder holds exactly these files, links excluded, with these hashes."""
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() or path.is_symlink()}
    present.discard(_MARKER)
    if missing := sorted(set(hashes) - present):
        raise ValueError(f"{folder} is cut short: {', '.join(missing)} is missing")
    if foreign := sorted(present - set(hashes)):
        raise ValueError(f"{folder} is damaged: {', '.join(foreign)} is not in {_MARKER}")
    for name, expected in hashes.items():
        if (folder / name).is_symlink() or file_hash(folder / name) != expected:
            raise ValueError(f"{folder / name} is damaged: its hash is not the one in {_MARKER}; save the model again")


def _inside(folder: Path, name: Any) -> Path:
    """Return the path of a parameter's file, which stands in the folder itself."""
    if not isinstance(name, str) or not re.fullmatch(r"param_\w+(\.skops)?", name):
        raise ValueError(f"{folder} is damaged: {name!r} is no file of a model")
    return folder / name


def _canonical(head: Mapping[str, Any]) -> bytes:
    """Return the one form in which a head is written, its own hash included."""
    body = {name: value for name, value in head.items() if name != "sha256"}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return json.dumps({**body, "sha256": digest}, indent=1, sort_keys=True).encode() + b"\n"


def _read_head(path: Path) -> dict[str, Any]:
    raw = path.read_bytes()
    try:
        head = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error})") from error
    if not isinstance(head, dict) or head.get("format") != _FORMAT:
        raise ValueError(f"{path} does not describe a model, or is damaged")
    version = head.get("version")
    if not isinstance(version, int) or not 1 <= version <= _VERSION:
        raise ValueError(f"{path} has version {version!r}; this rmspace reads up to {_VERSION}; upgrade rmspace")
    if _canonical(head) != raw:
        raise ValueError(f"{path} is damaged: it is not as it was written; save the model again")
    if wrong := [name for name, kind in _TYPES.items() if not isinstance(head.get(name), kind)]:
        raise ValueError(f"{path} is damaged: {', '.join(wrong)} is missing or not what it must be")
    return head


def _encode(name: str, value: Any, folder: Path) -> Any:
    """Turn a parameter into JSON; scikit-learn estimators and member models become files beside it."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return {"sequence": [_encode(name, element, folder) for element in value]}
    if isinstance(value, Mapping):
        return {"mapping": {str(key): _encode(name, element, folder) for key, element in value.items()}}
    if isinstance(value, ForeignFunction):
        return {"foreign": value.name}
    if isinstance(value, BaseReward):
        write_model(value, folder / f"param_{name}")
        return {"model": f"param_{name}"}
    if hasattr(value, "get_params"):
        from rmspace.models.io.sklearn_file import write_estimators

        write_estimators(folder / f"param_{name}.skops", value=value)
        return {"estimator": f"param_{name}.skops"}
    if callable(value):
        return _encode_function(name, value, folder)
    raise TypeError(f"parameter {name}={value!r} cannot be saved; use plain numbers, text or functions")


def _encode_function(name: str, value: Any, folder: Path) -> Any:
    bound: dict[str, Any] = {}
    function = value
    while isinstance(function, partial) and not function.args:
        bound = {**function.keywords, **bound}
        function = function.func
    known = _FUNCTIONS.get(getattr(function, "__name__", ""))
    if known is not None and known is function:
        keywords = {key: _encode(f"{name}_{key}", element, folder) for key, element in bound.items()}
        return {"function": known.__name__, "keywords": keywords}
    module, label = getattr(function, "__module__", "?"), getattr(function, "__qualname__", repr(function))
    return {"foreign": f"{module}.{label}"}


def _decode(value: Any, folder: Path, trusted: Sequence[str]) -> Any:
    if not isinstance(value, dict):
        return value
    (kind,) = value.keys() - {"keywords"}
    content = value[kind]
    if kind == "sequence":
        return tuple(_decode(element, folder, trusted) for element in content)
    if kind == "mapping":
        return {key: _decode(element, folder, trusted) for key, element in content.items()}
    if kind == "foreign":
        return ForeignFunction(content)
    if kind == "model":
        return read_model(_inside(folder, content), trusted)
    if kind == "estimator":
        from rmspace.models.io.sklearn_file import read_estimators

        return read_estimators(_inside(folder, content), trusted)["value"]
    if kind == "function" and content in _FUNCTIONS:
        keywords = {key: _decode(element, folder, trusted) for key, element in value["keywords"].items()}
        return partial(_FUNCTIONS[content], **keywords) if keywords else _FUNCTIONS[content]
    raise ValueError(f"{folder} names {kind} {content!r}, which this rmspace does not know; upgrade rmspace")
