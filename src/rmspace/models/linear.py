"""A linear reward: weights on the embedding, found by L-BFGS."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from rmspace._checks import check_int, check_number
from rmspace._typing import Float64Array, FloatArray
from rmspace.kinds import Objective
from rmspace.models.core.base import BaseReward
from rmspace.models.core.columns import bind, to_tensors
from rmspace.models.core.data import FitData
from rmspace.models.core.gradients import score_slope
from rmspace.models.io.state import check_fitted_array
from rmspace.objectives.gap import bradley_terry

__all__ = ["LinearReward"]


class LinearReward(BaseReward):
    """Linear reward model: score(x) = w . (x - m) + b, m the mean of the training items.

    Minimises the weighted mean loss per comparison plus alpha / 2 (d |w|)^2 by L-BFGS, from zero, without randomness. d
    is the root-mean-square distance of the training items from m, so alpha does not depend on the embedding's unit.
    Objectives of the gap alone (Bradley-Terry among them) fix a reward up to a constant: b stays 0, and scores have
    mean 0 over the items of the training comparisons.

    Args:
        objective: (winner scores, loser scores, columns by name) -> one loss per pair.
        alpha: strength of the penalty, at least 0.
        max_iter: of L-BFGS. A `ConvergenceWarning` says that it stopped before `tol` was reached, as at the kinks of
            `hinge`.
        tol: L-BFGS stops where the gradient's largest entry is this share of its largest entry at the start.

    Attributes:
        coef_ (dim,), intercept_, mean_ (dim,): the learned w, b and m.
        loss_: the minimum found, penalty included.

    >>> from rmspace import make_synthetic_banks, same_prompt, annotate, oracle, spearman
    >>> train, test = make_synthetic_banks(200, 50, 8, 32, noise_std=0.0, seed=0)
    >>> rng = np.random.default_rng(0)
    >>> comparisons = annotate(same_prompt(train, 2000, rng), train.rewards, oracle, rng=rng)
    >>> model = LinearReward().fit(train.items, comparisons)
    >>> bool(spearman(model.predict(test.items), test.rewards).mean() > 0.4)
    True
    """

    def __init__(
        self,
        objective: Objective = bradley_terry,
        *,
        alpha: float = 1e-4,
        max_iter: int = 1000,
        tol: float = 1e-6,
    ) -> None:
        self.objective = objective
        self.alpha = alpha
        self.max_iter = max_iter
        self.tol = tol

    def _fit(self, data: FitData) -> None:
        alpha = check_number("alpha", self.alpha, low=0.0)
        objective = bind(self.objective, to_tensors(data.columns, torch.float64))
        rows = data.read(np.float64)
        mean = rows.mean(axis=0)
        rows -= mean
        length = float(np.sqrt((rows**2).sum(axis=1).mean())) or 1.0
        rows /= length
        total = data.weights.sum()

        def loss_and_gradient(parameters: Float64Array) -> tuple[float, Float64Array]:
            w, b = parameters[:-1], parameters[-1]
            slope = score_slope(objective, rows @ w + b, data.pairs, data.weights)
            gradient = np.append(slope.gradient @ rows, slope.gradient.sum()) / total
            gradient[:-1] += alpha * w
            return slope.loss / total + alpha / 2 * float(w @ w), gradient

        start = np.zeros(rows.shape[1] + 1)
        small = check_number("tol", self.tol, low=0.0) * float(np.abs(loss_and_gradient(start)[1]).max())
        found = minimize(
            loss_and_gradient,
            start,
            jac=True,
            method="L-BFGS-B",
            options={
                "maxiter": check_int("max_iter", self.max_iter, low=1),
                "maxfun": 4 * self.max_iter,
                "gtol": small,
                "ftol": 0.0,
                "maxcor": 20,
            },
        )
        if (left := float(np.abs(found.jac).max())) > small:
            warnings.warn(
                f"LinearReward stopped after {found.nit} iterations (max_iter={self.max_iter}) with a gradient of "
                f"{left:.1e}, above {small:.1e} (tol={self.tol:g} of the first one); raise max_iter, alpha or tol. "
                "With an objective that has kinks (hinge) this is expected",
                ConvergenceWarning,
                stacklevel=3,
            )
        self.coef_ = found.x[:-1] / length
        self.intercept_ = float(found.x[-1])
        self.mean_ = mean
        self.loss_ = float(found.fun)

    def check_state(self) -> None:
        """Raise ValueError where the learned numbers are not those of a linear model."""
        check_fitted_array("coef_", self.coef_, (self.n_features_in_,))
        check_fitted_array("mean_", self.mean_, (self.n_features_in_,))
        check_number("intercept_", self.intercept_)
        super().check_state()

    def _score(self, rows: FloatArray) -> FloatArray:
        return np.asarray((rows - self.mean_) @ self.coef_ + self.intercept_)
