"""Parameters and learned values as JSON, with arrays, estimators and models in files beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rmspace import objectives, reductions
from rmspace.models.core.network import RewardNetwork
from rmspace.models.io.registry import is_registered
from rmspace.models.io.sklearn_file import read_estimators, write_estimators
from rmspace.models.io.tensors import read_tensors, write_tensors

ARRAYS = "arrays.safetensors"
_KINDS = {"objectives": objectives, "reductions": reductions}  # modules whose functions are saved by name


class ForeignFunction:
    """Placeholder in a loaded model for a user's function, of which the folder holds only the name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Refuse: the function is not known here."""
        raise ValueError(
            f"this model was saved with the function {self.name}, and a model folder holds only the name of such a "
            "function; give the function back with set_params before it is needed"
        )

    def __repr__(self) -> str:
        return f"ForeignFunction({self.name!r})"


class Encoder:
    """Turns values into JSON; `finish` writes their arrays to a file.

    Args:
        folder: where files are written.
        write_model: writes a model as a folder.
    """

    def __init__(self, folder: Path, write_model: Callable[[Any, Path], None]) -> None:
        self._folder, self._write_model = folder, write_model
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        self._n_files = 0

    def finish(self) -> None:
        """Write all arrays into one file."""
        if self._arrays:
            write_tensors(self._folder / ARRAYS, self._arrays)

    def __call__(self, path: str, value: Any) -> Any:
        """Encode one value; `path` names it in errors and in the file of arrays.

        Raises:
            TypeError: a value that the folder cannot hold.
        """
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, tuple | list):
            kind = "tuple" if isinstance(value, tuple) else "list"
            return {kind: [self(f"{path}.{k}", element) for k, element in enumerate(value)]}
        if isinstance(value, Mapping):
            pairs = [(self(f"{path}.key", key), self(f"{path}.{key}", inner)) for key, inner in value.items()]
            return {"mapping": [list(pair) for pair in pairs]}
        if isinstance(value, np.ndarray):
            return self._array(path, value)
        if isinstance(value, RewardNetwork):
            weights = {name: self._array(f"{path}.{name}", array) for name, array in value.to_arrays().items()}
            return {"network": [value.dim, list(value.hidden_sizes), value.dropout], "weights": weights}
        if isinstance(value, ForeignFunction):
            return {"foreign": value.name}
        if is_registered(type(value)):
            name = self._next_file("model")
            self._write_model(value, self._folder / name)
            return {"model": name}
        if hasattr(value, "get_params"):
            name = self._next_file("estimator") + ".skops"
            write_estimators(self._folder / name, value=value)
            return {"estimator": name}
        if callable(value):
            return self._function(path, value)
        raise TypeError(
            f"{path}={value!r} cannot be saved; use numbers, text, arrays, lists, dicts, functions or estimators"
        )

    def _array(self, path: str, array: npt.NDArray[Any]) -> Any:
        if array.dtype.kind == "U":
            return {"texts": array.tolist()}
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{path} cannot be saved: it is an array of {array.dtype}; use numbers or text")
        name = path if path not in self._arrays else f"{path}#{len(self._arrays)}"
        self._arrays[name] = array.astype(array.dtype.newbyteorder("="))
        return {"array": name}

    def _function(self, path: str, value: Any) -> Any:
        bound: dict[str, Any] = {}
        function = value
        while isinstance(function, partial) and not function.args:
            bound = {**function.keywords, **bound}
            function = function.func
        name = getattr(function, "__name__", "")
        for kind, module in _KINDS.items():
            if name in module.__all__ and getattr(module, name) is function:
                keywords = {key: self(f"{path}.{key}", inner) for key, inner in bound.items()}
                return {"function": f"{kind}.{name}", "keywords": keywords}
        module_name, label = getattr(function, "__module__", "?"), getattr(function, "__qualname__", repr(function))
        return {"foreign": f"{module_name}.{label}"}

    def _next_file(self, kind: str) -> str:
        self._n_files += 1
        return f"{kind}_{self._n_files}"


class Decoder:
    """Turns JSON back into values.

    Args:
        folder: where the files are.
        trusted: types in scikit-learn's estimators that the caller trusts.
        read_model: reads a model's folder.
    """

    def __init__(self, folder: Path, trusted: Sequence[str], read_model: Callable[[Path, Sequence[str]], Any]) -> None:
        self._folder, self._trusted, self._read_model = folder, trusted, read_model
        self._arrays = read_tensors(folder / ARRAYS) if (folder / ARRAYS).is_file() else {}

    def __call__(self, value: Any) -> Any:
        """Decode one value.

        Raises:
            ValueError: something unknown or untrusted.
        """
        if not isinstance(value, dict):
            return value
        (kind,) = value.keys() - {"keywords", "weights"}
        content = value[kind]
        if kind in ("list", "tuple"):
            return (list if kind == "list" else tuple)(self(element) for element in content)
        if kind == "mapping":
            return {self(key): self(inner) for key, inner in content}
        if kind == "array":
            return self._arrays[content].copy()
        if kind == "texts":
            return np.array(content, dtype=str)
        if kind == "network":
            arrays = {name: torch.from_numpy(self(array)) for name, array in value["weights"].items()}
            dim, hidden_sizes, dropout = content
            return RewardNetwork.from_arrays(dim, hidden_sizes, dropout, arrays)
        if kind == "foreign":
            return ForeignFunction(content)
        if kind == "model":
            return self._read_model(self._inside(content), self._trusted)
        if kind == "estimator":
            return read_estimators(self._inside(content), self._trusted)["value"]
        if kind == "function":
            return self._function(content, value["keywords"])
        raise ValueError(f"{self._folder} holds a {kind!r}, which this rmspace does not know; upgrade rmspace")

    def _function(self, label: str, keywords: Mapping[str, Any]) -> Any:
        kind, _, name = label.partition(".")
        module = _KINDS.get(kind)
        if module is None or name not in module.__all__:
            raise ValueError(
                f"{self._folder} names the function {label!r}, which this rmspace does not know; upgrade rmspace"
            )
        function = getattr(module, name)
        bound = {key: self(inner) for key, inner in keywords.items()}
        return partial(function, **bound) if bound else function

    def _inside(self, name: Any) -> Path:
        """Return the path of a value's file, which is directly in the folder."""
        if not isinstance(name, str) or not re.fullmatch(r"model_\d+|estimator_\d+\.skops", name, flags=re.ASCII):
            raise ValueError(f"{self._folder} is damaged: {name!r} is no file of a model")
        return self._folder / name
