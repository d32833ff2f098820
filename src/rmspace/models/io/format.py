"""Models as folders: one JSON, plain numbers beside it, a hash of every file, and nothing that could run.

`model.json` names the class, the parameters and what was learned. The class is looked up among the registered ones
(see `registry`), functions in `rmspace.objectives` and `rmspace.reductions`; nothing is imported by name. The JSON must
be, byte for byte, what this module would write, and every other file must have the hash that it records. So a folder
that is cut short or changed by one byte is refused before the parser of any library reads it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from rmspace._typing import PathLike
from rmspace.data.files import FolderKind, file_hash, new_folder
from rmspace.models.io.registry import find_class, is_registered
from rmspace.models.io.state import fitted_state, set_fitted_state
from rmspace.models.io.values import Decoder, Encoder

_FORMAT, _VERSION, _MARKER, _FILES = "rmspace-model", 2, "model.json", "files"
_KIND = FolderKind(_FORMAT, _MARKER, r"model\.json|arrays\.safetensors|files|model_\d+|estimator_\d+\.skops")
_TYPES = {"class": str, "module": str, "params": dict, "files": dict}
_BROKEN = (KeyError, IndexError, TypeError, AttributeError, RuntimeError, OSError)


def save(model: Any, folder: PathLike, *, overwrite: bool = False) -> None:
    """Write a fitted reward model, or a pipeline that ends in one, as a folder without pickle, for `load`.

    The folder appears whole or not at all.

    Args:
        model: of a class derived from `BaseReward` or registered by `register`, or a scikit-learn `Pipeline`.
        folder: where to write.
        overwrite: replace a saved model that is there.

    Raises:
        FileExistsError: the folder exists, and `overwrite` is not set or it is no saved model.
        sklearn.exceptions.NotFittedError: before `fit`.
        TypeError: a class that is not registered, or a parameter or attribute that the folder cannot hold.

    >>> import tempfile
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from rmspace import LinearReward
    >>> items = np.eye(3, dtype=np.float32)
    >>> model = make_pipeline(StandardScaler(), LinearReward()).fit(items, np.array([[0, 1], [1, 2]]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(model, folder + "/model")
    ...     bool((load(folder + "/model").predict(items) == model.predict(items)).all())
    True
    """
    if not is_registered(type(model)):
        raise TypeError(
            f"only reward models can be saved; {type(model).__name__} is not registered: derive it from BaseReward, or "
            "decorate the class with rmspace.register"
        )
    _check_fitted(model)
    with new_folder(folder, _KIND, overwrite=overwrite) as staged:
        write_model(model, staged)


def load(folder: PathLike, *, trusted: Sequence[str] = ()) -> Any:
    """Load a model that was saved with `model.save(folder)` or `rmspace.save(model, folder)`.

    Nothing named in the folder is imported or run. Your own class must be defined or imported before. Of your own
    function, such as an objective, the folder holds only the name; predictions do not need objectives.

    Args:
        folder: where it was saved.
        trusted: types inside scikit-learn's estimators that you trust and skops does not, such as the compiled trees of
            a random forest, "sklearn.tree._tree.Tree".

    Raises:
        FileNotFoundError: there is no model at `folder`.
        ValueError: it is damaged, cut short, of another version, or names something unknown or untrusted.

    >>> import tempfile
    >>> import numpy as np
    >>> from rmspace import LinearReward
    >>> items = np.eye(3, dtype=np.float32)
    >>> model = LinearReward().fit(items, np.array([[0, 1], [1, 2]]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(folder + "/model")
    ...     bool((load(folder + "/model").predict(items) == model.predict(items)).all())
    True
    """
    import rmspace.models

    dir(rmspace.models)  # imports the modules of the models, which register their classes
    return read_model(Path(folder), trusted)


def _check_fitted(model: Any) -> None:
    """Raise NotFittedError before `fit`; an estimator that does not derive from scikit-learn's has attributes only."""
    if hasattr(model, "__sklearn_tags__"):
        check_is_fitted(model)
    elif not hasattr(model, "write_state") and not fitted_state(model):
        raise NotFittedError(f"{type(model).__name__} has learned nothing yet; call fit first")


def write_model(model: Any, folder: Path) -> None:
    """Write a model's files and `model.json` into `folder`, made where it is missing."""
    folder.mkdir(exist_ok=True)
    encode = Encoder(folder, write_model)
    params = model.get_params(deep=False)
    head: dict[str, Any] = {
        "format": _FORMAT,
        "version": _VERSION,
        "class": type(model).__name__,
        "module": type(model).__module__,
        "params": {name: encode(name, value) for name, value in sorted(params.items())},
        "state": _encode_state(model, folder, encode),
    }
    encode.finish()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    head["files"] = {path.relative_to(folder).as_posix(): file_hash(path) for path in files}
    (folder / _MARKER).write_bytes(_canonical(head))


def read_model(folder: Path, trusted: Sequence[str]) -> Any:
    """Check a model's folder and read it."""
    path = folder / _MARKER
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a saved model: it has no {_MARKER}")
    head = _read_head(path)
    _check_files(folder, head["files"])
    try:
        cls = find_class(head["class"], head["module"])
    except LookupError as error:
        raise ValueError(f"{folder} cannot be loaded: {error.args[0]}") from error
    try:
        decode = Decoder(folder, trusted, read_model)
        model = cls(**{name: decode(value) for name, value in head["params"].items()})
        if head["state"] is not None:
            _read_state(model, folder / _FILES, {name: decode(value) for name, value in head["state"].items()})
    except _BROKEN as error:
        raise ValueError(f"{folder} is damaged: its parts do not make a {head['class']} ({error!r})") from error
    return model


def _encode_state(model: Any, folder: Path, encode: Encoder) -> dict[str, Any] | None:
    """Encode what a model has learned; None where it is not fitted."""
    if not fitted_state(model):
        return None
    own_files = folder / _FILES
    own_files.mkdir()
    state = model.write_state(own_files) if hasattr(model, "write_state") else fitted_state(model)
    if not any(own_files.iterdir()):
        own_files.rmdir()
    return {name: encode(name, value) for name, value in sorted(state.items())}


def _read_state(model: Any, own_files: Path, state: dict[str, Any]) -> None:
    if hasattr(model, "read_state"):
        model.read_state(own_files, state)
    else:
        set_fitted_state(model, state)
    _check_fitted(model)
    if hasattr(model, "check_state"):
        try:
            model.check_state()
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{own_files.parent} is damaged: {error}; fit and save the model again") from error


def _check_files(folder: Path, hashes: Mapping[str, str]) -> None:
    """Raise ValueError unless the folder holds exactly these files, no links, with these hashes."""
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() or path.is_symlink()}
    present.discard(_MARKER)
    if missing := sorted(set(hashes) - present):
        raise ValueError(f"{folder} is cut short: {', '.join(missing)} is missing")
    if foreign := sorted(present - set(hashes)):
        raise ValueError(f"{folder} is damaged: {', '.join(foreign)} is not in {_MARKER}")
    for name, expected in hashes.items():
        if (folder / name).is_symlink() or file_hash(folder / name) != expected:
            raise ValueError(f"{folder / name} is damaged: its hash is not the one in {_MARKER}; save the model again")


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
    if not isinstance(version, int) or version != _VERSION:
        advice = "upgrade rmspace" if isinstance(version, int) and version > _VERSION else "fit and save it again"
        raise ValueError(f"{path} has version {version!r}; this rmspace reads version {_VERSION}; {advice}")
    if _canonical(head) != raw:
        raise ValueError(f"{path} is damaged: it is not as it was written; save the model again")
    wrong = [name for name, kind in _TYPES.items() if not isinstance(head.get(name), kind)]
    if wrong or not isinstance(head.get("state"), dict | None):
        raise ValueError(f"{path} is damaged: {', '.join(wrong) or 'state'} is missing or not what it must be")
    return head
