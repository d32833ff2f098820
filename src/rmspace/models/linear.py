"""A linear reward: weights on the embedding, found by L-BFGS."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from rmspace._checks import check_int, check_number
from rmspace._typing import Float64Array, FloatArray
from rmspace.kinds import Objective
from rmspace.models.core.base import BaseReward, gather
from rmspace.models.core.gradients import score_slope
from rmspace.models.io.tensors import read_tensors, write_tensors
from rmspace.objectives import bradley_terry

__all__ = ["LinearReward"]


class LinearReward(BaseReward):
    """Linear reward model: score(x) = w . (x - m) + b, m the mean of the training items.

    Minimises the mean loss a comparison plus alpha / 2 (d |w|)^2 by L-BFGS, from zero, without randomness; d is the
    root-mean-square distance of the training items from m, so that alpha does not depend on the embedding's unit.
    Objectives of the gap alone (Bradley-Terry among them) fix a reward up to a constant: b stays 0, and scores have
    mean 0 over the items of the training comparisons.

    Args:
        objective: (winner scores, loser scores) -> one loss a pair.
        alpha: strength of the penalty, at least 0.
        max_iter: of L-BFGS. A `ConvergenceWarning` tells that it stopped short of `tol`, as at the kinks of `hinge`.
        tol: L-BFGS stops where the gradient's largest entry is this share of what it was at the start.

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

    def fit(
        self,
        items: npt.ArrayLike,
        comparisons: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
    ) -> Self:
        """Learn from comparisons of items.

        Args:
            items: (n_items, dim).
            comparisons: int64 (n_comparisons, 2) of rows of `items`; column 0 won.
            sample_weight: (n_comparisons,), at least 0; ones when None. A soft label p is two rows, p and 1 - p.
            groups: (n_items,) prompts; checked, and of no effect here.

        Raises:
            ValueError, TypeError: input or an objective that breaks its rule; the message says which.
        """
        alpha = check_number("alpha", self.alpha, low=0.0)
        data = gather(items, comparisons, sample_weight, groups, np.float64)
        mean = data.rows.mean(axis=0)
        rows = data.rows - mean
        length = float(np.sqrt((rows**2).sum(axis=1).mean())) or 1.0
        rows /= length

        total = data.weights.sum()

        def loss_and_gradient(parameters: Float64Array) -> tuple[float, Float64Array]:
            w, b = parameters[:-1], parameters[-1]
            slope = score_slope(self.objective, rows @ w + b, data.pairs, data.weights)
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
                f"{left:.1e}, above {small:.1e} (tol={self.tol:g} of the first one); raise max_iter, alpha or tol, "
                "unless the objective has kinks",
                ConvergenceWarning,
                stacklevel=2,
            )
        self.coef_ = found.x[:-1] / length
        self.intercept_ = float(found.x[-1])
        self.mean_ = mean
        self.loss_ = float(found.fun)
        self.n_features_in_ = rows.shape[1]
        return self

    def _score(self, rows: FloatArray) -> FloatArray:
        return np.asarray((rows - self.mean_) @ self.coef_ + self.intercept_)

    def _write(self, folder: Path) -> dict[str, Any]:
        write_tensors(folder / "weights.safetensors", {"coef": self.coef_, "mean": self.mean_})
        return {"intercept": self.intercept_, "loss": self.loss_}

    def _read(self, folder: Path, state: dict[str, Any], trusted: Sequence[str]) -> None:  # noqa: ARG002
        tensors = read_tensors(folder / "weights.safetensors")
        self.coef_, self.mean_ = tensors["coef"], tensors["mean"]
        self.intercept_, self.loss_ = state["intercept"], state["loss"]
        self.n_features_in_ = len(self.coef_)
        if self.mean_.shape != self.coef_.shape:
            raise ValueError(f"{folder} is damaged: weights and mean differ in length")
