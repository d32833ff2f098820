"""A reward of several quantiles of the ratings of an item."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import ndtri
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from rmspace._checks import check_number, shown
from rmspace._typing import Float64Array, FloatArray
from rmspace.kinds import RewardModel
from rmspace.models.core.base import BaseReward
from rmspace.models.core.data import FitData
from rmspace.models.core.fitting import fit_model
from rmspace.models.core.item_values import item_values
from rmspace.models.core.reuse import reuse_items
from rmspace.models.core.scoring import Block, Scorer, score_blocks
from rmspace.models.linear import LinearReward
from rmspace.objectives.quantiles import quantile_rating

__all__ = ["QuantileReward"]


class QuantileReward(BaseReward):
    """Reward model of several quantiles of the ratings that an item may get, one member for each.

    Each member minimises `quantile_rating` for its quantile. The quantiles of an item are sorted, because members that
    are learned one by one may cross. The score is one of them: 0.5 is the median; a low one is a lower confidence
    bound, with which Best-of-N avoids responses whose ratings may be bad. `predict(items, return_std=True)` gives the
    standard deviation of a normal distribution with the distance of the outermost quantiles.

    The quantiles say how much ratings differ for an item, not how uncertain the model is.

    Args:
        member: the reward model that is cloned, with a parameter `objective`; a `LinearReward` when None.
        quantiles: ascending, each in [0.001, 0.999].
        level: the quantile that is the score, one of `quantiles`.
        smoothing: of `quantile_rating`, in standard deviations of the ratings.

    Attributes:
        members_: the fitted members, one per quantile.

    The ratings are the columns `winner_rating` and `loser_rating`; `rmspace.pair_up` makes them.

    Source: Koenker and Bassett, "Regression quantiles", Econometrica 46 (1978); for reward models see Dorka (arXiv
    2409.10164); sorted as in Chernozhukov, Fernandez-Val and Galichon (arXiv 0704.3649).

    >>> from rmspace import pair_up
    >>> rng = np.random.default_rng(0)
    >>> items = rng.normal(size=(2000, 1))
    >>> ratings = items[:, 0] + rng.normal(size=2000)
    >>> model = QuantileReward(quantiles=(0.1, 0.5, 0.9)).fit(pair_up(items, ratings, groups=np.arange(2000) // 2))
    >>> model.predict_quantiles([[0.0]]).round(0).tolist(), ndtri([0.1, 0.5, 0.9]).round(0).tolist()
    ([[-1.0, 0.0, 1.0]], [-1.0, 0.0, 1.0])
    """

    def __init__(
        self,
        member: RewardModel | None = None,
        *,
        quantiles: Sequence[float] = (0.05, 0.5, 0.95),
        level: float = 0.5,
        smoothing: float = 0.05,
    ) -> None:
        self.member = member
        self.quantiles = quantiles
        self.level = level
        self.smoothing = smoothing

    def predict_quantiles(self, items: npt.ArrayLike) -> Float64Array:
        """Return the quantiles of items, (n_items, n_quantiles), ascending in each row.

        Raises:
            ValueError: as `predict`.
        """
        array = self._checked(items)
        return score_blocks(array, self._quantiles).T.reshape(len(array), len(self.members_))

    def check_state(self) -> None:
        """Raise ValueError where there is not one member of this width per quantile."""
        levels = self._levels()
        if not isinstance(self.members_, list) or len(self.members_) != len(levels):
            raise ValueError(f"members_ must list {len(levels)} models, one per quantile; got {shown(self.members_)}")
        n = self.n_features_in_
        if wrong := [each for each in self.members_ if not hasattr(each, "predict") or each.n_features_in_ != n]:
            raise ValueError(f"each member must be a model of {n} features; got {shown(wrong[0])}")
        super().check_state()

    def _select(self, data: FitData) -> FitData:
        return data  # each member selects what its own objective asks for

    def _fit(self, data: FitData) -> None:
        levels = self._levels()
        ratings = item_values(data, "rating")
        if ratings.min() == ratings.max():
            raise ValueError(f"ratings must differ between items; all have {ratings[0]:g}, so they have no quantiles")
        smoothing = check_number("smoothing", self.smoothing, low=1e-6) * float(ratings.std())
        weights = None if (data.weights == 1).all() else data.weights
        self.members_ = []
        with reuse_items():
            for level in levels:
                member = self._member().set_params(
                    objective=partial(quantile_rating, quantile=level, smoothing=smoothing)
                )
                fit_model(member, data.items, data.comparisons, weights, data.groups, columns=data.columns)
                self.members_.append(member)

    def _member(self) -> Any:
        member = LinearReward() if self.member is None else self.member
        if isinstance(member, type | Pipeline) or "objective" not in getattr(member, "get_params", dict)():
            raise TypeError(
                f"member must be a reward model with a parameter objective, no class and no pipeline; got "
                f"{shown(member)}"
            )
        return clone(member)

    def _levels(self) -> list[float]:
        if isinstance(self.quantiles, str) or not isinstance(self.quantiles, Sequence) or not self.quantiles:
            raise TypeError(f"quantiles must list at least one number; got {shown(self.quantiles)}")
        levels = [check_number(f"quantiles[{k}]", q, low=0.001, high=0.999) for k, q in enumerate(self.quantiles)]
        if any(b <= a for a, b in pairwise(levels)):
            raise ValueError(f"quantiles must ascend; got {levels}")
        if self.level not in levels:
            raise ValueError(f"level must be one of the quantiles {levels}; got {shown(self.level)}")
        return levels

    def _quantiles(self, block: Block) -> FloatArray:
        """Return the sorted quantiles of a block, (n_quantiles, n_rows)."""
        return np.sort([member.predict(block.array()) for member in self.members_], axis=0)

    def _scorer(self, device: torch.device) -> Scorer:  # noqa: ARG002
        place = self._levels().index(self.level)
        return lambda block: self._quantiles(block)[place]

    def _predict_with_std(self, items: FloatArray) -> tuple[FloatArray, FloatArray]:
        levels = self._levels()
        if len(levels) < 2:
            raise ValueError("return_std needs two quantiles, since it is their distance; got 1; give more quantiles")
        table = score_blocks(items, self._quantiles).reshape(len(levels), len(items))
        spread = (table[-1] - table[0]) / float(ndtri(levels[-1]) - ndtri(levels[0]))
        return table[levels.index(self.level)], spread
