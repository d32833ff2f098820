"""Fit a reward model, or a pipeline that ends in one, and set its seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from rmspace._checks import as_array, describe
from rmspace.data.mapped import Rows
from rmspace.data.preferences import Preferences
from rmspace.models.core.data import FitData, OnEpoch


def fit_model(
    model: Any,
    items: npt.ArrayLike | Preferences,
    comparisons: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    groups: npt.ArrayLike | None = None,
    *,
    columns: Mapping[str, npt.ArrayLike] | None = None,
    eval_set: Preferences | None = None,
    on_epoch: OnEpoch | None = None,
) -> Any:
    """Fit a reward model, or a pipeline that ends in one, from Preferences or from arrays.

    A pipeline's own `fit` cannot take Preferences, since its first steps transform arrays. Here the steps transform
    the items, and the last one receives the comparisons with their weights, groups and columns.

    Args:
        model: with `fit` and `predict`; it is fitted in place.
        items, comparisons, sample_weight, groups, columns, eval_set, on_epoch: as in `BaseReward.fit`. An argument that
            is None is not passed on, and columns are passed only to a `fit` that takes them. So your own estimator
            needs no such arguments.

    Returns:
        The fitted model.

    Raises:
        ValueError, TypeError: as the model's `fit`.

    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import Normalizer
    >>> from rmspace import LinearReward, Preferences
    >>> preferences = Preferences(np.eye(3, dtype=np.float32), np.array([[0, 1], [1, 2]]), groups=[0, 0, 0])
    >>> model = fit_model(make_pipeline(Normalizer(), LinearReward()), preferences)
    >>> model.predict(preferences.items).argmax()
    np.int64(0)
    """
    if isinstance(items, Preferences):
        if any(value is not None for value in (comparisons, sample_weight, groups, columns)):
            raise TypeError(
                "Preferences have their own comparisons, weights, groups and columns; give them alone, or give arrays"
            )
        comparisons, sample_weight, groups = items.comparisons, items.weight, items.groups
        columns, items = items.fit_columns, items.items
    if comparisons is None:
        raise TypeError(f"give Preferences, or items and comparisons; got {type(items).__name__} alone")
    if not isinstance(items, Rows):  # the first step of a pipeline would use masked entries
        items = as_array("items", items)
        if items.ndim != 2:
            raise ValueError(f"items must be (n_items, dim); got {describe(items)}; use bank.items")
    options = {
        "sample_weight": sample_weight,
        "groups": groups,
        "columns": _columns_for(model, columns or {}),
        "eval_set": eval_set,
        "on_epoch": on_epoch,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if not isinstance(model, Pipeline):
        return model.fit(items, comparisons, **given)
    if eval_set is not None:
        return _fit_with_eval_set(model, items, comparisons, eval_set, given)
    last = model.steps[-1][0]
    return model.fit(items, comparisons, **{f"{last}__{name}": value for name, value in given.items()})


def fit_member(member: Any, data: FitData) -> None:
    """Fit a member of another model on the checked data of its fit."""
    fit_model(
        member,
        data.items,
        data.comparisons,
        None if (data.weights == 1).all() else data.weights,
        data.groups,
        columns=data.columns or None,
        eval_set=None if data.eval_set is None else data.eval_set.preferences(),
        on_epoch=data.on_epoch,
    )


def _columns_for(model: Any, columns: Mapping[str, npt.ArrayLike]) -> Mapping[str, npt.ArrayLike] | None:
    """Return the columns to hand to a model: None where there are none, or where an estimator takes none."""
    given = {name: value for name, value in columns.items() if name != "weight"}
    last = model[-1] if isinstance(model, Pipeline) else model
    if not given or has_fit_parameter(last, "columns"):
        return columns if given else None
    if "tie" in given and np.any(given["tie"]):
        raise ValueError(f"{type(last).__name__}.fit takes no columns, so it cannot know ties; leave the ties out")
    return None


def _fit_with_eval_set(
    pipeline: Pipeline, items: Any, comparisons: Any, eval_set: Preferences, given: dict[str, Any]
) -> Pipeline:
    """Fit a pipeline whose last step needs the evaluation items transformed too."""
    if len(pipeline) > 1:
        first = pipeline[:-1]  # the same steps, not copies
        items = first.fit_transform(items, comparisons)
        transformed = first.transform(eval_set.items)
        eval_set = Preferences(transformed, eval_set.comparisons, eval_set.groups, columns=eval_set.fit_columns)
    pipeline[-1].fit(items, comparisons, **{**given, "eval_set": eval_set})
    return pipeline


def seed_model(model: Any, seed: int) -> Any:
    """Set every `random_state` that is None, nested ones too, to `seed`; return the model."""
    open_seeds = {
        name: seed
        for name, value in model.get_params().items()
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    }
    return model.set_params(**open_seeds)
