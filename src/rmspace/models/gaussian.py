"""A reward whose noise differs from item to item: a mean and a standard deviation for each."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rmspace._checks import check_number
from rmspace._typing import FloatArray
from rmspace.models.core.base import BaseReward
from rmspace.models.core.data import FitData
from rmspace.models.core.lbfgs import find_minimum
from rmspace.models.core.scoring import Block, Scorer, score_blocks
from rmspace.models.io.state import check_fitted_array
from rmspace.objectives.gap import thurstone

__all__ = ["GaussianReward"]


class GaussianReward(BaseReward):
    """Reward model with a normal distribution for each item, from which each comparison draws its reward.

        r(x) ~ N(mu(x), sigma(x)^2),   P(x beats y) = Phi((mu(x) - mu(y)) / sqrt(sigma(x)^2 + sigma(y)^2))
        mu(x) = w . (x - m),   sigma(x) = exp(u . (x - m)),   m the mean item

    Comparisons fix both only up to one factor. Here the mean item has sigma = 1, so a score is in its standard
    deviations. Minimises the mean negative log-likelihood plus alpha / 2 (d |w|)^2 + beta / 2 (d |u|)^2, with d as in
    `LinearReward`, by L-BFGS from w = u = 0. With u = 0 this is Thurstone's model; the likelihood is not convex in u.

    sigma is how much judges, or the judgements of one of them, differ on an item. It is not how uncertain the model is:
    it does not shrink with more comparisons; `LaplaceReward` and `EnsembleReward` state that. `predict(items,
    return_std=True)` returns it. With k above 0, the score is the lower confidence bound mu - k sigma, so Best-of-N
    avoids responses on which judges differ.

    Args:
        k: the score is mu - k sigma; at least 0.
        alpha, beta: strengths of the penalties on w and on u, at least 0.
        max_iter, tol: of L-BFGS, as in `LinearReward`.

    Attributes:
        coef_, log_std_coef_, mean_: (dim,) w, u and m.

    Source: Siththaranjan, Laidlaw and Hadfield-Menell, "Distributional preference learning" (arXiv 2312.08358), mean
    and variance model; the probability is Thurstone's case III (Psychological Review 34, 1927).

    >>> rng = np.random.default_rng(0)
    >>> items, pairs = rng.normal(size=(8000, 2)), np.arange(8000).reshape(4000, 2)
    >>> drawn = items[:, 0] + np.exp(items[:, 1]) * rng.normal(size=8000)  # judges differ where the second is large
    >>> comparisons = np.where((drawn[pairs[:, 0]] > drawn[pairs[:, 1]])[:, None], pairs, pairs[:, ::-1])
    >>> scores, std = GaussianReward().fit(items, comparisons).predict([[0.0, 0.0], [0.0, 2.0]], return_std=True)
    >>> bool(np.exp(1.5) < std[1] / std[0] < np.exp(2.5))
    True
    """

    def __init__(
        self,
        *,
        k: float = 0.0,
        alpha: float = 1e-4,
        beta: float = 1e-3,
        max_iter: int = 1000,
        tol: float = 1e-5,
    ) -> None:
        self.k = k
        self.alpha = alpha
        self.beta = beta
        self.max_iter = max_iter
        self.tol = tol

    def check_state(self) -> None:
        """Raise ValueError where the learned numbers are not those of such a model."""
        for name in ("coef_", "log_std_coef_", "mean_"):
            check_fitted_array(name, getattr(self, name), (self.n_features_in_,))
        super().check_state()

    def _fit(self, data: FitData) -> None:
        check_number("k", self.k, low=0.0)
        alpha, beta = (check_number(name, getattr(self, name), low=0.0) for name in ("alpha", "beta"))
        rows = data.read(np.float64)
        self.mean_ = rows.mean(axis=0)
        rows -= self.mean_
        length = float(np.sqrt((rows**2).sum(axis=1).mean())) or 1.0
        x, v = torch.from_numpy(rows / length), torch.from_numpy(data.weights)
        winner, loser = (torch.from_numpy(np.ascontiguousarray(side)) for side in data.pairs.T)

        def loss(w: Tensor, u: Tensor) -> Tensor:
            means, logs = x @ w, x @ u
            spread = torch.logaddexp(2 * logs[winner], 2 * logs[loser]) / 2
            gaps = (means[winner] - means[loser]) * (-spread).exp()
            size = alpha * w.square().sum() + beta * u.square().sum()
            return (v * thurstone(gaps, torch.zeros_like(gaps))).sum() / v.sum() + size / 2

        start = np.zeros(data.dim)
        w, u = find_minimum(type(self).__name__, loss, [start, start], max_iter=self.max_iter, tol=self.tol)
        self.coef_, self.log_std_coef_ = w / length, u / length

    def _scorer(self, device: torch.device) -> Scorer:  # noqa: ARG002
        return lambda block: self._scores(block)[0]

    def _predict_with_std(self, items: FloatArray) -> tuple[FloatArray, FloatArray]:
        found = score_blocks(items, self._scores).reshape(2, len(items))
        return found[0], found[1]

    def _scores(self, block: Block) -> FloatArray:
        """Return the scores and the standard deviations, (2, n_rows)."""
        rows = block.array() - self.mean_
        with np.errstate(over="ignore", invalid="ignore"):  # checked by score_blocks
            std = np.exp(rows @ self.log_std_coef_)
            return np.stack([rows @ self.coef_ - check_number("k", self.k, low=0.0) * std, std])
