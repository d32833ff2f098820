"""Reward models whose scores do not go with the length of the response."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import Pipeline

from rmspace._checks import check_number, shown
from rmspace._typing import Float64Array, FloatArray
from rmspace.data.arrays import to_float32
from rmspace.kinds import RewardModel
from rmspace.models.core.base import BaseReward, may_compare
from rmspace.models.core.data import FitData
from rmspace.models.core.fitting import fit_model
from rmspace.models.core.item_values import item_values
from rmspace.models.core.scoring import finite_scores
from rmspace.models.io.state import check_fitted_array
from rmspace.models.linear import LinearReward

__all__ = ["LengthFreeReward"]

_LENGTH_SCALE = 0.25  # of the embedding's own: large enough that a penalty leaves it alone, small beside the embedding


class LengthFreeReward(BaseReward):
    """Reward model whose scores have no linear trend with length, or with another feature of the items.

    Each item's length is known in the fit and not needed in `predict`. With z the length in standard deviations from
    its mean, and u = Cov(x, z) over the items of the comparisons:

    - "joint": the member learns s(x') + c z, x' = x - u u . (x - m) / |u|^2, and its score is taken at z = 0. So the
      length term takes what length explains in the comparisons, and no linear score of x' goes with length.
    - "post_hoc": the member learns s(x), from which its regression on length is taken: s(x) - b (l(x) - mean l). l is
      the length as ridge regression predicts it from the embedding, and b = Cov(s, l) / Var(l).

    Where better responses are truly longer, this part of the reward is removed, too. A member that is not linear can
    still use what is not linear in length.

    A member that may look at all items of a call, such as an ensemble, gets them in one array in memory. "joint" gives
    the standard deviations of its member; u counts as known.

    Args:
        member: the reward model that is cloned; a `LinearReward` when None. Put a pipeline around this model, not in
            it.
        feature: name of the length among the features of Preferences. `fit(items, comparisons, columns=...)` takes it
            from the columns `winner_<feature>` and `loser_<feature>`.
        how: "joint" or "post_hoc".

    Attributes:
        member_: the fitted member.
        mean_, direction_: (dim,) "joint": m and u / |u|; "post_hoc": the mean item, and the weights of b l(x).

    `fit` raises ValueError also where there are no lengths, where all are equal, or where one item has two.

    Source: ODIN (arXiv 2402.07319) for a head of its own for length; the projection is the least-squares erasure of
    one number, as in LEACE (arXiv 2306.03819) without whitening.

    >>> rng = np.random.default_rng(0)
    >>> items, pairs = rng.normal(size=(400, 3)), np.arange(400).reshape(200, 2)
    >>> liked = items @ [1.0, 0.0, 1.0]  # the last number is the length, which judges like
    >>> comparisons = np.where((liked[pairs[:, 0]] > liked[pairs[:, 1]])[:, None], pairs, pairs[:, ::-1])
    >>> from rmspace import Preferences
    >>> data = Preferences(items, comparisons, np.arange(400) // 2, features={"length": items[:, 2]})
    >>> scores = [model.fit(data).predict(items) for model in (LinearReward(), LengthFreeReward())]
    >>> [abs(round(float(np.corrcoef(s, items[:, 2])[0, 1]), 1)) for s in scores]
    [0.7, 0.0]
    """

    def __init__(
        self,
        member: RewardModel | None = None,
        *,
        feature: str = "length",
        how: Literal["joint", "post_hoc"] = "joint",
    ) -> None:
        self.member = member
        self.feature = feature
        self.how = how

    def check_state(self) -> None:
        """Raise ValueError where the member is no model of this width, or the direction is of another width."""
        width = self.n_features_in_ + (self.how == "joint")  # the length is a number of its own
        if not hasattr(self.member_, "predict") or self.member_.n_features_in_ != width:
            raise ValueError(f"member_ must be a model of {width} features; got {shown(self.member_)}")
        for name in ("mean_", "direction_"):
            check_fitted_array(name, getattr(self, name), (self.n_features_in_,))
        super().check_state()

    def _select(self, data: FitData) -> FitData:
        return data  # the member selects what its own objective asks for

    def _fit(self, data: FitData) -> None:
        if self.how not in ("joint", "post_hoc"):
            raise ValueError(f"how must be 'joint' or 'post_hoc'; got {self.how!r}")
        member = LinearReward() if self.member is None else self.member
        if isinstance(member, type | Pipeline):
            raise TypeError(f"member must be a reward model, no class and no pipeline; got {shown(member)}")
        rows, z = data.read(np.float64), _standard(item_values(data, self.feature), self.feature)
        self.mean_ = rows.mean(axis=0)
        fit = self._fit_joint if self.how == "joint" else self._fit_post_hoc
        fit(clone(member), data, rows, z)

    def _fit_joint(self, member: Any, data: FitData, rows: FloatArray, z: Float64Array) -> None:
        centred = rows - self.mean_
        covariance = centred.T @ z
        size = float(np.linalg.norm(covariance))
        self.direction_ = covariance / size if size > 0 else covariance
        spread = float(np.sqrt((centred**2).sum(axis=1).mean()))
        erased = rows - np.outer(centred @ self.direction_, self.direction_)
        _fit_member(member, data, np.column_stack([erased, _LENGTH_SCALE * spread * z]))
        self.member_ = member

    def _fit_post_hoc(self, member: Any, data: FitData, rows: FloatArray, z: Float64Array) -> None:
        _fit_member(member, data, rows)
        centred, scores = rows - self.mean_, np.asarray(member.predict(rows))
        spread = float((centred**2).sum()) or 1.0  # alphas in units of all that varies
        ridge = RidgeCV(alphas=spread * np.logspace(-9, 0, 10), fit_intercept=False).fit(centred, z)
        predicted = centred @ ridge.coef_
        variance = float(predicted @ predicted)
        slope = float((scores - scores.mean()) @ predicted) / variance if variance > 0 else 0.0
        self.direction_, self.member_ = slope * ridge.coef_, member

    def _predict(self, items: FloatArray) -> FloatArray:
        if not may_compare(self.member_):
            return super()._predict(items)
        return finite_scores(self._score(to_float32("items", np.asarray(items))))

    def _predict_with_std(self, items: FloatArray) -> tuple[FloatArray, FloatArray]:
        if self.how == "post_hoc":
            raise ValueError(
                "LengthFreeReward(how='post_hoc') states no uncertainty, since what it takes from the scores is not "
                "certain either; leave return_std out, or use how='joint'"
            )
        if not isinstance(self.member_, BaseReward):
            return super()._predict_with_std(items)
        scores, std = self.member_.predict(self._erased(to_float32("items", np.asarray(items))), return_std=True)
        return scores, std

    def _score(self, rows: FloatArray) -> FloatArray:
        if self.how == "post_hoc":
            return np.asarray(self.member_.predict(rows) - (rows - self.mean_) @ self.direction_)
        return np.asarray(self.member_.predict(self._erased(rows)))

    def _erased(self, rows: FloatArray) -> FloatArray:
        """Return the rows without the direction of length, and z = 0 after them."""
        along = (rows - self.mean_) @ self.direction_
        return np.column_stack([rows - np.outer(along, self.direction_), np.zeros(len(rows))])


def _standard(lengths: Float64Array, feature: str) -> Float64Array:
    """Return lengths in standard deviations from their mean."""
    check_number(f"the largest {feature}", float(np.abs(lengths).max()), high=1e150)
    if lengths.min() == lengths.max():
        raise ValueError(f"the {feature} must differ between items; all have {lengths[0]:g}, so nothing can go with it")
    return np.asarray((lengths - lengths.mean()) / lengths.std())


def _fit_member(member: Any, data: FitData, rows: FloatArray) -> None:
    """Fit a member on other numbers of the used items."""
    fit_model(
        member,
        rows,
        data.pairs,
        None if (data.weights == 1).all() else data.weights,
        None if data.groups is None else data.groups[data.used_rows],
        columns=data.columns,
    )
