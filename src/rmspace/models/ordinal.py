"""A linear reward of ratings in ordered classes, whose thresholds are learned too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit
from torch import Tensor
from torch.nn.functional import logsigmoid

from rmspace._checks import as_numbers, check_number, describe, shown
from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.models.core.base import BaseReward
from rmspace.models.core.data import FitData
from rmspace.models.core.item_values import item_values
from rmspace.models.core.lbfgs import find_minimum
from rmspace.models.core.scoring import score_blocks
from rmspace.models.io.state import check_fitted_array

__all__ = ["OrdinalReward"]


class OrdinalReward(BaseReward):
    """Linear reward model of ratings in ordered classes: P(rating <= k-th class) = sigma(t_k - s), s = w . (x - m).

    The thresholds t are learned together with w, so the distance of two classes need not be the same everywhere, and a
    class that is used rarely is narrow or far away. Minimises the mean negative log-likelihood per rated item plus
    alpha / 2 (d |w|)^2, with d as in `LinearReward`.

    The ratings are the feature `rating` of Preferences, or the columns `winner_rating` and `loser_rating`; NaN where
    nobody rated. Each rated item counts once, however often it is compared, and who won is not used. Any numbers may
    be ratings: each different one is a class. So a mistyped rating is a class, too, unless `levels` refuses it. A level
    that nobody gave is no class: it would have the probability 0. A score is in log-odds.

    Args:
        levels: the ratings that the scale has, such as (1, 2, 3, 4, 5), ascending; any number when None.
        alpha: strength of the penalty, at least 0.
        max_iter, tol: of L-BFGS, as in `LinearReward`.

    Attributes:
        coef_, mean_: (dim,) w and m.
        levels_: (n_classes,) the classes that occur, ascending.
        thresholds_: (n_classes - 1,) t, ascending. The objective `ordinal_rating` takes them, for other models.

    `fit` raises ValueError also where all ratings are the same, and where one is none of `levels`.

    Source: P. McCullagh, "Regression models for ordinal data", J. R. Stat. Soc. B 42 (1980).

    >>> from rmspace import pair_up
    >>> rng = np.random.default_rng(0)
    >>> items = rng.normal(size=(4000, 2))
    >>> ratings = 1 + np.searchsorted([-1.0, 2.0], items[:, 0] + rng.logistic(size=4000))  # 1, 2 or 3
    >>> model = OrdinalReward().fit(pair_up(items, ratings, groups=np.arange(4000) // 2))
    >>> model.thresholds_.round(0).tolist(), model.coef_.round(0).tolist()
    ([-1.0, 2.0], [1.0, 0.0])
    """

    def __init__(
        self,
        *,
        levels: Sequence[float] | None = None,
        alpha: float = 1e-4,
        max_iter: int = 1000,
        tol: float = 1e-6,
    ) -> None:
        self.levels = levels
        self.alpha = alpha
        self.max_iter = max_iter
        self.tol = tol

    def predict_probabilities(self, items: npt.ArrayLike) -> Float64Array:
        """Return the probability of each class for items, (n_items, n_classes), in the order of `levels_`.

        Raises:
            ValueError: as `predict`.
        """
        array = self._checked(items)
        below = score_blocks(array, lambda block: expit(self.thresholds_[:, None] - self._score(block.array())))
        below = below.reshape(len(self.thresholds_), len(array))
        ends = np.zeros((1, len(array)))
        return np.diff(np.concatenate([ends, below, ends + 1]), axis=0).T

    def check_state(self) -> None:
        """Raise ValueError where the learned numbers are not those of such a model."""
        for name in ("coef_", "mean_"):
            check_fitted_array(name, getattr(self, name), (self.n_features_in_,))
        n = len(np.atleast_1d(self.levels_))
        check_fitted_array("levels_", self.levels_, (n,))
        check_fitted_array("thresholds_", self.thresholds_, (n - 1,))
        if n < 2 or (np.diff(self.levels_) <= 0).any() or (np.diff(self.thresholds_) <= 0).any():
            raise ValueError(
                f"levels_ and thresholds_ must ascend, at least two levels; got {describe(self.levels_)} and "
                f"{describe(self.thresholds_)}"
            )
        super().check_state()

    def _select(self, data: FitData) -> FitData:
        return data  # ratings may be missing, and those of comparisons of weight 0 count

    def _fit(self, data: FitData) -> None:
        alpha = check_number("alpha", self.alpha, low=0.0)
        ratings = item_values(data, "rating", missing=True)
        rated = ~np.isnan(ratings)
        _check_levels(self.levels, ratings, data.used_rows)
        self.levels_, classes = np.unique(ratings[rated], return_inverse=True)
        if len(self.levels_) < 2:
            raise ValueError(f"ratings must be of at least two classes; got {self.levels_.tolist()}")
        rows = data.read(np.float64)[rated]
        self.mean_ = rows.mean(axis=0)
        rows -= self.mean_
        length = float(np.sqrt((rows**2).sum(axis=1).mean())) or 1.0
        x, c = torch.from_numpy(rows / length), torch.from_numpy(classes.astype(np.int64))

        def loss(w: Tensor, lowest: Tensor, log_widths: Tensor) -> Tensor:
            cuts = torch.cat([lowest, lowest + log_widths.exp().cumsum(0)])
            return _loss(x @ w, c, cuts, log_widths) + alpha / 2 * w.square().sum()

        shares = np.cumsum(np.bincount(classes) / len(classes))[:-1]
        start = np.log(shares / (1 - shares))  # the thresholds of items that are all alike
        first = [np.zeros(data.dim), start[:1], np.log(np.diff(start))]
        w, lowest, log_widths = find_minimum(type(self).__name__, loss, first, max_iter=self.max_iter, tol=self.tol)
        self.coef_ = w / length
        self.thresholds_ = np.concatenate([lowest, lowest + np.exp(log_widths).cumsum()])

    def _score(self, rows: FloatArray) -> FloatArray:
        return np.asarray((rows - self.mean_) @ self.coef_)


def _check_levels(levels: Sequence[float] | None, ratings: Float64Array, items: IntArray) -> None:
    """Raise ValueError where a rating is none of the levels of the scale; NaN is no rating."""
    if levels is None:
        return
    scale = as_numbers("levels", levels)
    if scale.ndim != 1 or len(scale) < 2 or not (np.diff(scale) > 0).all():
        raise ValueError(f"levels must be at least two ascending numbers; got {shown(levels)}")
    outside = ~np.isin(ratings, scale) & ~np.isnan(ratings)
    if outside.any():
        first = int(np.argmax(outside))
        raise ValueError(
            f"ratings must be of the levels {shown(scale.tolist())}; item {items[first]} has {ratings[first]:g}; "
            "correct it, make it NaN, or add it to levels"
        )


def _loss(scores: Tensor, classes: Tensor, cuts: Tensor, log_widths: Tensor) -> Tensor:
    """Return the mean of -log(sigma(b - s) - sigma(a - s)), a and b the thresholds around each class."""
    last = len(cuts)
    # sigma(b - s) - sigma(a - s) = sigma(b - s) sigma(s - a) (1 - e^(a - b))
    under = torch.where(classes < last, logsigmoid(cuts[classes.clamp(max=last - 1)] - scores), 0.0)
    over = torch.where(classes > 0, logsigmoid(scores - cuts[(classes - 1).clamp(min=0)]), 0.0)
    narrow = torch.zeros(last + 1, dtype=scores.dtype)
    if last > 1:
        narrow = torch.cat([narrow[:1], (-(-log_widths.exp()).expm1()).log(), narrow[:1]])
    return -(under + over + narrow[classes]).mean()
