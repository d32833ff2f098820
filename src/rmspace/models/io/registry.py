"""The classes that may be loaded from a folder, by name.

A folder names its class; nothing is ever imported by that name. Classes derived from `BaseReward` register themselves
when they are defined, others by `register`.
"""

from __future__ import annotations

import gc
import warnings
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from sklearn.pipeline import Pipeline

C = TypeVar("C", bound=type)

# Weak references: a class that nobody holds any more, such as one defined inside a function, frees its name.
_CLASSES: WeakValueDictionary[str, type] = WeakValueDictionary({"Pipeline": Pipeline})


def register(cls: C) -> C:
    """Register a class of reward models under its name, so that its models can be saved and loaded.

    Use it as a decorator on your own estimator that does not derive from `BaseReward`. It needs `fit`, `predict` and
    scikit-learn's `get_params`. It keeps what it learns in attributes whose names end in `_` (arrays, numbers, texts,
    lists, dicts, estimators and models), or it has `write_state(folder)` and `read_state(folder, state)`. A class that
    is defined again in the same place, as when a notebook cell is run again, replaces the old one.

    Raises:
        ValueError: another class has this name.
        TypeError: not a class with `fit`, `predict` and `get_params`.

    >>> import numpy as np
    >>> from sklearn.base import BaseEstimator
    >>> from rmspace import save, load
    >>> @register
    ... class FirstNumber(BaseEstimator):
    ...     '''Reward an item by its first number, in the direction that winners prefer.'''
    ...
    ...     def fit(self, items, comparisons, sample_weight=None, groups=None):
    ...         first = np.asarray(items)[comparisons, 0]
    ...         self.sign_ = float(np.sign((first[:, 0] - first[:, 1]).sum()))
    ...         return self
    ...
    ...     def predict(self, items):
    ...         return self.sign_ * np.asarray(items, dtype=float)[:, 0]
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(FirstNumber().fit(np.eye(2), np.array([[0, 1]])), folder + "/model")
    ...     load(folder + "/model").predict(np.eye(2)).tolist()
    [1.0, 0.0]
    """
    if not isinstance(cls, type) or not all(hasattr(cls, name) for name in ("fit", "predict", "get_params")):
        raise TypeError(f"register takes a class with fit, predict and get_params; got {cls!r}")
    known = _CLASSES.get(cls.__name__)
    if known is not None and not _same_place(known, cls):
        del known
        gc.collect()  # a class that is no longer in use may wait to be collected
        known = _CLASSES.get(cls.__name__)
    if known is not None and not _same_place(known, cls):
        raise ValueError(
            f"a reward model named {cls.__name__!r} is registered already, {_place(known)}, and a saved model is found "
            f"by its name; rename {_place(cls)}"
        )
    _CLASSES[cls.__name__] = cls
    return cls


def is_registered(cls: type) -> bool:
    """Say whether models of this class can be saved and loaded."""
    known = _CLASSES.get(cls.__name__)
    return known is not None and _same_place(known, cls)


def find_class(name: str, module: str) -> type[Any]:
    """Return the class that is registered under a name.

    Args:
        name: of the class.
        module: where the class was defined when the model was saved.

    Raises:
        LookupError: no such class is registered; the message says what to do.
    """
    cls = _CLASSES.get(name)
    if cls is None:
        where = (
            "define it again: it was defined in a notebook or script"
            if module == "__main__"
            else f"import it first: from {module} import {name}"
        )
        raise LookupError(f"the class {name!r} (of the module {module}) is not registered; {where}")
    if cls.__module__ != module:
        warnings.warn(
            f"the model was saved with {module}.{name} and is loaded with {_place(cls)}; make sure that they agree",
            UserWarning,
            stacklevel=2,
        )
    return cls


def _same_place(one: type, other: type) -> bool:
    return (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)


def _place(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
