"""A reward model whose parameters are chosen by cross-validation on its own training data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from rmspace._checks import check_int, shown
from rmspace._typing import Float64Array, FloatArray
from rmspace.models.core.base import BaseReward, draw_seed, may_compare
from rmspace.models.core.data import FitData
from rmspace.models.core.predicting import compares
from rmspace.models.core.selection import search
from rmspace.models.io.state import check_fitted_array
from rmspace.models.linear import LinearReward

__all__ = ["TunedReward"]


def _compares(model: Any) -> bool:
    """Say whether the member compares items, as `GeneralPreferenceReward` does."""
    member = getattr(model, "member_", model.member)
    return compares(member) and not isinstance(member, Pipeline)


class TunedReward(BaseReward):
    """Reward model that chooses parameters by cross-validation over its training prompts, then fits on all of them.

    Each fit calls `search`, so a test set has no part in the choice. It costs n_splits fits per choice, and one more.
    In a comparison of models, give each of them the same number of choices. Scores, and their standard deviations where
    the member states them, are those of the member.

    Args:
        member: the reward model, or pipeline that ends in one, that is tuned; a `LinearReward` when None.
        grid: parameter -> values to try, in all combinations; in a pipeline, `linearreward__alpha` and so on.
        n_splits: the number of folds.
        random_state: of the folds, and of every `random_state` of the member that is None.

    Attributes:
        member_: the member with the best parameters, fitted on all comparisons.
        choices_: the choices of parameters, a list of dicts.
        accuracies_: (n_choices,) the mean accuracy of each over the folds; the first of equal ones is taken.

    >>> from rmspace import Preferences, make_synthetic_banks, oracle, same_prompt
    >>> bank, _ = make_synthetic_banks(60, 1, 4, 16, noise_std=0.0, seed=0)
    >>> rng = np.random.default_rng(0)
    >>> preferences = Preferences.from_bank(bank, same_prompt(bank, 300, rng), oracle, rng=rng)
    >>> model = TunedReward(LinearReward(), {"alpha": [1e3, 1e-4]}, n_splits=3).fit(preferences)
    >>> model.best_parameters, len(model.accuracies_)
    ({'alpha': 0.0001}, 2)
    """

    def __init__(
        self,
        member: Any = None,
        grid: Mapping[str, Sequence[Any]] | None = None,
        *,
        n_splits: int = 5,
        random_state: int | None = None,
    ) -> None:
        self.member = member
        self.grid = grid
        self.n_splits = n_splits
        self.random_state = random_state

    @property
    def best_parameters(self) -> dict[str, Any]:
        """The parameters that were chosen.

        Raises:
            sklearn.exceptions.NotFittedError: before `fit`.
        """
        check_is_fitted(self)
        return dict(self.choices_[int(self.accuracies_.argmax())])

    @available_if(_compares)  # type: ignore[untyped-decorator]  # scikit-learn has no types
    def win_rates(self, items: npt.ArrayLike, groups: npt.ArrayLike) -> Float64Array:
        """Return the win rates of items, as the member does; only for a member that compares items."""
        check_is_fitted(self)
        return self.member_.win_rates(items, groups)

    @available_if(_compares)  # type: ignore[untyped-decorator]  # scikit-learn has no types
    def log_odds(self, first: npt.ArrayLike, second: npt.ArrayLike) -> Float64Array:
        """Return the log-odds that items of `first` beat those of `second`, as the member does; as `win_rates`."""
        check_is_fitted(self)
        return self.member_.log_odds(first, second)

    def check_state(self) -> None:
        """Raise ValueError where there is no member, or not one accuracy per choice."""
        if not hasattr(self.member_, "predict") or self.member_.n_features_in_ != self.n_features_in_:
            raise ValueError(f"member_ must be a model of {self.n_features_in_} features; got {shown(self.member_)}")
        if not isinstance(self.choices_, list) or not all(isinstance(choice, dict) for choice in self.choices_):
            raise ValueError(f"choices_ must be a list of parameters; got {shown(self.choices_)}")
        check_fitted_array("accuracies_", self.accuracies_, (len(self.choices_),))
        super().check_state()

    def _select(self, data: FitData) -> FitData:
        return data  # the member selects what its own objective asks for

    def _fit(self, data: FitData) -> None:
        member = LinearReward() if self.member is None else self.member
        if isinstance(member, type):
            raise TypeError(f"member must be a reward model, not its class; write {member.__name__}()")
        n_splits = check_int("n_splits", self.n_splits, low=2)
        choices = list(ParameterGrid(_check_grid(self.grid)))
        grids = [{name: [value] for name, value in choice.items()} for choice in choices]  # in the order of `choices`
        found = search(member, grids, data.preferences(), n_splits=n_splits, seed=draw_seed(self.random_state))
        self.member_, self.choices_ = found.model, choices
        self.accuracies_ = found.table.accuracy.to_numpy().reshape(len(choices), n_splits).mean(axis=1)

    def _predict(self, items: FloatArray) -> FloatArray:
        return np.asarray(self.member_.predict(items)) if may_compare(self.member_) else super()._predict(items)

    def _predict_with_std(self, items: FloatArray) -> tuple[FloatArray, FloatArray]:
        last = self.member_[-1] if isinstance(self.member_, Pipeline) else self.member_
        if not isinstance(last, BaseReward):
            return super()._predict_with_std(items)
        scores, std = self.member_.predict(items, return_std=True)
        return scores, std

    def _score(self, rows: FloatArray) -> FloatArray:
        return np.asarray(self.member_.predict(rows))


def _check_grid(grid: Any) -> Mapping[str, Sequence[Any]]:
    if not isinstance(grid, Mapping) or not grid:
        raise TypeError(
            f"grid must be a dict of parameter -> values to try, such as {{'alpha': [1, 10]}}; got {grid!r}"
        )
    for name, values in grid.items():
        if isinstance(values, str | bytes) or not isinstance(values, Sequence) or not values:
            raise TypeError(f"grid[{name!r}] must be a list of at least one value to try; got {values!r}")
    return grid
