"""The base of every reward model: checked input, scores in blocks, and a folder to be saved in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, overload

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from rmspace._checks import check_bool, check_int
from rmspace._typing import FloatArray, PathLike
from rmspace.data.arrays import check_items
from rmspace.data.mapped import choose
from rmspace.data.preferences import Preferences
from rmspace.models.core.data import FitData, OnEpoch, check_fit, tie_marks
from rmspace.models.core.precision import on_device
from rmspace.models.core.predicting import predict_pairs
from rmspace.models.core.scoring import Block, Scorer, score_blocks, share_in_order
from rmspace.models.io.registry import register
from rmspace.models.io.state import fitted_state, set_fitted_state


class BaseReward(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Base class of reward models. A subclass needs two methods, and then fits, predicts, scores, saves and loads.

    `_fit(data)` learns from a `FitData`: `data.read()` gives the used rows as float32 (n_used, dim), `data.pairs`
    (n, 2) the comparisons as positions in them (column 0 won), `data.weights` (n,) their weights, `data.columns` what
    an `objective` of the model asks for. It stores what it learns in attributes whose names end in `_`.
    `_score(rows)` gives one score per row of a float32 block (n_rows, dim).

    As in scikit-learn, `__init__` stores its arguments under their own names and does nothing else. Arrays, numbers,
    texts, lists, dicts, scikit-learn estimators and other reward models in attributes ending in `_` are saved without
    more code. For anything else, override `write_state` and `read_state`. A class is registered by its name when it is
    defined, so that `rmspace.load` finds it; two classes of one name are an error.

    >>> class WinnerDirection(BaseReward):
    ...     '''Score along the mean of winner minus loser.'''
    ...
    ...     def __init__(self, shrink=0.0):
    ...         self.shrink = shrink
    ...
    ...     def _fit(self, data):
    ...         rows = data.read()
    ...         gaps = rows[data.pairs[:, 0]] - rows[data.pairs[:, 1]]
    ...         self.coef_ = np.average(gaps, axis=0, weights=data.weights) / (1 + self.shrink)
    ...
    ...     def _score(self, rows):
    ...         return rows @ self.coef_
    >>> items, comparisons = np.eye(3, dtype=np.float32), np.array([[0, 1], [1, 2]])
    >>> model = WinnerDirection().fit(items, comparisons)
    >>> model.score(items, comparisons)
    1.0
    >>> import tempfile, rmspace
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(folder + "/model")
    ...     rmspace.load(folder + "/model").predict(items).tolist() == model.predict(items).tolist()
    True
    """

    n_features_in_: int

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        register(cls)

    def fit(
        self,
        items: npt.ArrayLike | Preferences,
        comparisons: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
        *,
        columns: Mapping[str, npt.ArrayLike] | None = None,
        eval_set: Preferences | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> Self:
        """Learn from comparisons of items, or from Preferences.

        Args:
            items: (n_items, dim), or Preferences; then give no comparisons, weights, groups and columns. The features
                of their items are columns too: `winner_<feature>` and `loser_<feature>`.
            comparisons: int64 (n_comparisons, 2) of rows of `items`; column 0 won. Only the rows in them are read.
            sample_weight: (n_comparisons,), at least 0; 1 each when None. Only their ratios count. A soft label p is
                two comparisons, one of each order, with the weights p and 1 - p.
            groups: (n_items,) prompts, as `bank.groups`; models that hold out data hold out whole prompts.
            columns: further facts about each comparison, name -> (n_comparisons,). An objective with a parameter of
                that name receives it. Where there is a column `tie`, a comparison marked in it counts as half a win of
                each order, unless the objective has a parameter `tie`.
            eval_set: preferences for early stopping and for the validation loss, in place of held-out prompts. Only
                for models that train in epochs.
            on_epoch: called after each epoch with its record, a dict with epoch, training_loss, validation_loss,
                validation_accuracy and seconds. Only for models that train in epochs.

        Raises:
            ValueError, TypeError: input, a parameter or an objective that breaks its rule.
            FloatingPointError: losses, weights or scores that are no longer finite.
            RuntimeError: the items lie in a file that changed.
        """
        if (eval_set is not None or on_epoch is not None) and not self._has_epochs():
            raise ValueError(
                f"{type(self).__name__} does not train in epochs, so eval_set and on_epoch have no use; leave them out"
            )
        data = check_fit(items, comparisons, sample_weight, groups, columns, eval_set, on_epoch)
        self._fit(self._select(data))
        self.n_features_in_ = data.dim
        return self

    @overload
    def predict(self, items: npt.ArrayLike, *, return_std: Literal[False] = False) -> FloatArray: ...
    @overload
    def predict(self, items: npt.ArrayLike, *, return_std: Literal[True]) -> tuple[FloatArray, FloatArray]: ...
    def predict(self, items: npt.ArrayLike, *, return_std: bool = False) -> FloatArray | tuple[FloatArray, FloatArray]:
        """Score items. They are read in blocks, so that a memory-mapped bank is never held whole.

        Args:
            items: (n_items, dim), finite.
            return_std: return the standard deviation of each score too; only for models that state their uncertainty.

        Returns:
            float64 (n_items,), higher is better; with `return_std` a tuple of the scores and their standard deviations.

        Raises:
            sklearn.exceptions.NotFittedError: before `fit`.
            ValueError: another dim than in the fit, values that are not finite, or `return_std` for a model that has
                no uncertainty.
            FloatingPointError: items so large that their scores overflow.
            RuntimeError: the items lie in a file that changed.
        """
        array = self._checked(items)
        return self._predict_with_std(array) if check_bool("return_std", return_std) else self._predict(array)

    def score(
        self,
        items: npt.ArrayLike | Preferences,
        comparisons: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> float:
        """Return the share of comparisons whose winner has the higher score; equal scores count half.

        Args:
            items: (n_items, dim), or Preferences, whose weights count and whose ties count half.
            comparisons: int64 (n_comparisons, 2) of rows of `items`; column 0 won.
            sample_weight: (n_comparisons,), at least 0.

        Raises:
            ValueError, TypeError: as `fit` and `predict`.
        """
        return score_comparisons(self, check_fit(items, comparisons, sample_weight))

    def save(self, folder: PathLike, *, overwrite: bool = False) -> None:
        """Write the fitted model as a folder without pickle, for `rmspace.load`; it appears whole or not at all.

        Raises:
            FileExistsError: the folder exists, and `overwrite` is not set or it is no saved model.
            sklearn.exceptions.NotFittedError: before `fit`.
            TypeError: a parameter or an attribute that the folder cannot hold, such as a random generator.
        """
        from rmspace.models.io.format import save

        save(self, folder, overwrite=overwrite)

    def write_state(self, folder: Path) -> dict[str, Any]:  # noqa: ARG002
        """Return the fitted state as a dict of arrays, numbers, texts, lists, dicts, estimators and models.

        By default these are the attributes whose names end in `_`. Override the method, with `read_state`, for values
        of another type: turn them into arrays or text, or write them as files in `folder`.
        """
        return fitted_state(self)

    def read_state(self, folder: Path, state: dict[str, Any]) -> None:  # noqa: ARG002
        """Take over the dict that `write_state` returned; its files are in `folder`."""
        set_fitted_state(self, state)

    def check_state(self) -> None:
        """Raise ValueError or TypeError where the state of a loaded model is not one that a fit makes."""
        if "n_features_in_" in vars(self):
            check_int("n_features_in_", self.n_features_in_, low=1)

    def _fit(self, data: FitData) -> None:
        """Learn from checked data, and store the result in attributes that end in `_`."""
        raise NotImplementedError(f"{type(self).__name__} must define _fit(data)")

    def _score(self, rows: FloatArray) -> FloatArray:
        """Score a block of float32 rows, (n_rows, dim) -> (n_rows,)."""
        raise NotImplementedError(f"{type(self).__name__} must define _score(rows)")

    def _select(self, data: FitData) -> FitData:
        """Return the part of the data that `_fit` receives."""
        return data.for_objective(getattr(self, "objective", None))

    def _has_epochs(self) -> bool:
        """Say whether the model trains in epochs."""
        return False

    def _checked(self, items: npt.ArrayLike) -> FloatArray:
        """Return items of the dim of the fit, without reading them."""
        check_is_fitted(self)
        array = check_items(items)
        if array.shape[1] != self.n_features_in_:
            raise ValueError(f"items must have the {self.n_features_in_} numbers of the fit; got {array.shape[1]}")
        return array

    def _predict(self, items: FloatArray) -> FloatArray:
        """Score checked items."""
        return on_device(self._device(), lambda device: score_blocks(items, self._scorer(device)))

    def _predict_with_std(self, items: FloatArray) -> tuple[FloatArray, FloatArray]:  # noqa: ARG002
        """Return the scores of checked items and their standard deviations."""
        raise ValueError(
            f"{type(self).__name__} states no uncertainty; leave return_std out, or use EnsembleReward or LaplaceReward"
        )

    def _device(self) -> torch.device:
        """Return the device on which the model computes its scores."""
        return torch.device("cpu")

    def _scorer(self, device: torch.device) -> Scorer:  # noqa: ARG002
        """Return the function that scores a block of items on a device."""

        def score(block: Block) -> FloatArray:
            return self._score(block.array())

        return score


def scores_in_blocks(model: Any) -> bool:
    """Say whether a model scores as the base class does, block by block; one with its own `predict` does not."""
    kind = type(model)
    return isinstance(model, BaseReward) and kind.predict is BaseReward.predict and kind._predict is BaseReward._predict


def may_compare(model: Any) -> bool:
    """Say whether scores may depend on the other items of a call, as those of an ensemble that ranks its items do."""
    last = model[-1] if isinstance(model, Pipeline) else model
    return isinstance(last, BaseReward) and not scores_in_blocks(last)


def score_comparisons(model: Any, data: FitData) -> float:
    """Return the share of comparisons that a model, or a pipeline, orders as they were judged."""
    winner, loser = predict_pairs(model, choose(data.items, data.used_rows), data.pairs)
    tie = tie_marks(data.columns) if "tie" in data.columns else None
    return share_in_order(winner, loser, data.weights, tie)


def draw_seed(random_state: int | np.random.RandomState | None) -> int:
    """Draw one seed from scikit-learn's kind of `random_state`."""
    return int(check_random_state(random_state).randint(2**31 - 1))


def is_plain(objective: Any, function: Any) -> bool:
    """Say whether `objective` is `function`, alone or in a partial that binds nothing."""
    while isinstance(objective, partial) and not objective.args and not objective.keywords:
        objective = objective.func
    return objective is function
