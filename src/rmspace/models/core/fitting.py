"""Fit a reward model or a pipeline that ends in one, and seed whatever of it is random."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from sklearn.pipeline import Pipeline


def fit_model(
    model: Any,
    items: npt.ArrayLike,
    comparisons: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None = None,
    groups: npt.ArrayLike | None = None,
) -> Any:
    """Call `model.fit` with weights and groups; in a pipeline they go to its last step."""
    options = {"sample_weight": sample_weight, "groups": groups}
    given = {name: value for name, value in options.items() if value is not None}
    if isinstance(model, Pipeline):
        last = model.steps[-1][0]
        given = {f"{last}__{name}": value for name, value in given.items()}
    return model.fit(items, comparisons, **given)


def seed_model(model: Any, seed: int) -> Any:
    """Set every `random_state` that is None, nested ones too, to `seed`; return the model."""
    open_seeds = {
        name: seed
        for name, value in model.get_params().items()
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    }
    return model.set_params(**open_seeds)
