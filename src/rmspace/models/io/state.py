"""The fitted state of an estimator: by scikit-learn's convention, its attributes whose names end in `_`."""

from __future__ import annotations

from typing import Any

import numpy as np

from rmspace._checks import as_array, describe


def is_fitted_name(name: object) -> bool:
    """Say whether an attribute's name is that of something learned, such as `coef_`."""
    return isinstance(name, str) and name.isidentifier() and name.endswith("_") and not name.startswith("_")


def fitted_state(model: Any) -> dict[str, Any]:
    """Return the fitted attributes of a model by name."""
    return {name: value for name, value in vars(model).items() if is_fitted_name(name)}


def set_fitted_state(model: Any, state: dict[str, Any]) -> None:
    """Set fitted attributes; ValueError for a name that is not one of a fitted attribute."""
    if wrong := [name for name in state if not is_fitted_name(name)]:
        raise ValueError(
            f"{wrong[0]!r} is not the name of a fitted attribute, which ends in _: the state is damaged, or its class "
            "needs a read_state for it"
        )
    vars(model).update(state)


def check_fitted_array(name: str, value: object, shape: tuple[int, ...]) -> None:
    """Raise ValueError where a learned array is not finite numbers of this shape."""
    array = as_array(name, value)
    if array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite numbers {shape}; got {describe(array)}")
