"""A linear reward that states how uncertain its scores are: Laplace's approximation."""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.sparse import csr_array

from rmspace._typing import Float64Array, FloatArray
from rmspace.models.core.columns import Columns, bind, objective_name, to_tensors
from rmspace.models.core.data import FitData
from rmspace.models.core.gradients import pair_losses
from rmspace.models.core.scoring import Block, score_blocks
from rmspace.models.io.state import check_fitted_array
from rmspace.models.linear import LinearReward

__all__ = ["LaplaceReward"]

_ROUNDING = 1e-8  # derivatives that differ by less than this share of the largest differ by rounding only


class LaplaceReward(LinearReward):
    """Linear reward model with the uncertainty of its weights: a normal distribution around their best values.

        covariance = (sum_k v_k L''(gap_k) z_k z_k^T + n alpha d^2 I)^-1,   z = winner - loser

    L is the loss as a function of the gap, and v the weights of the n comparisons, with mean 1. The second term is the
    penalty of `LinearReward`: the prior w ~ N(0, I / (n alpha d^2)). `predict(items, return_std=True)` gives the
    standard deviation sqrt((x - m)^T covariance (x - m)) of each score. Scores are relative to the mean item m, so that
    of the gap between two items x and y is sqrt((x - y)^T covariance (x - y)).

    For Bradley-Terry this is Laplace's approximation of the posterior. On features of a network that was trained
    before, it is the approximation of the last layer.

    Args:
        objective: of the gap alone, and smooth.
        alpha, max_iter, tol: as in `LinearReward`.

    Attributes:
        covariance_: (dim, dim); the others are those of `LinearReward`.

    Raises:
        FloatingPointError: in `fit`, items whose squares overflow.
        ValueError: in `fit`, an objective that does not depend on the gap alone; a matrix that has no inverse, because
            the comparisons do not tell about some direction and alpha is 0, or because the loss is not convex there.

    Source: D. MacKay, "The evidence framework applied to classification networks", Neural Computation 4 (1992).

    >>> from rmspace import make_synthetic_banks, same_prompt, annotate, oracle
    >>> train, test = make_synthetic_banks(200, 50, 8, 32, noise_std=0.0, seed=0)
    >>> rng = np.random.default_rng(0)
    >>> comparisons = annotate(same_prompt(train, 2000, rng), train.rewards, oracle, rng=rng)
    >>> few, many = (LaplaceReward(alpha=0.01).fit(train.items, some) for some in (comparisons[:100], comparisons))
    >>> scores, std = many.predict(test.items, return_std=True)
    >>> bool((std < few.predict(test.items, return_std=True)[1]).all())
    True
    """

    def _fit(self, data: FitData) -> None:
        super()._fit(data)
        rows = data.read(np.float64) - self.mean_
        scores = rows @ self.coef_ + self.intercept_
        curvature = data.weights * _gap_curvature(self.objective, scores[data.pairs], data.columns)
        n, ones = len(data.pairs), np.ones(len(data.pairs))
        places = (np.tile(np.arange(n), 2), data.pairs.T.ravel())
        difference = csr_array((np.concatenate([ones, -ones]), places), shape=(n, len(rows)))
        laplacian = difference.T @ difference.multiply(curvature[:, None])
        penalty = self.alpha * data.weights.sum() * float((rows**2).sum(axis=1).mean())
        information = rows.T @ (laplacian @ rows) + penalty * np.eye(data.dim)
        self.covariance_ = _inverse(information)

    def check_state(self) -> None:
        """Raise ValueError where the learned numbers are not those of such a model."""
        check_fitted_array("covariance_", self.covariance_, (self.n_features_in_, self.n_features_in_))
        super().check_state()

    def _predict_with_std(self, items: FloatArray) -> tuple[FloatArray, FloatArray]:
        def score(block: Block) -> FloatArray:
            rows = block.array() - self.mean_
            variance = np.einsum("ij,ij->i", rows @ self.covariance_, rows)
            return np.stack([rows @ self.coef_ + self.intercept_, np.sqrt(np.maximum(variance, 0.0))])

        found = score_blocks(items, score).reshape(2, len(items))
        return found[0], found[1]


def _gap_curvature(objective: object, scores: Float64Array, columns: Columns) -> Float64Array:
    """Return the second derivative of each loss by the gap, (n_comparisons,), from the scores (n_comparisons, 2)."""
    winner, loser = (torch.tensor(side, requires_grad=True) for side in scores.T)
    bound = bind(objective, to_tensors(columns, torch.float64))  # type: ignore[arg-type]
    first = torch.autograd.grad(pair_losses(bound, winner, loser).sum(), (winner, loser), create_graph=True)
    second = [[_derivative(slope, side) for side in (winner, loser)] for slope in first]
    first = tuple(slope.detach() for slope in first)
    size = max(float(part.abs().max()) for part in (*first, *second[0], *second[1])) or 1.0
    of_gap = [first[0] + first[1], second[0][0] + second[0][1], second[1][0] + second[1][1]]
    if any(float(part.abs().max()) > _ROUNDING * size for part in of_gap):
        raise ValueError(
            f"LaplaceReward needs an objective of the gap alone (bradley_terry, say); {objective_name(objective)} "
            "changes when a constant is added to both scores; use EnsembleReward"
        )
    return np.asarray(second[0][0].numpy())


def _derivative(slope: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
    if not slope.requires_grad:
        return torch.zeros_like(side.detach())
    (found,) = torch.autograd.grad(slope.sum(), side, retain_graph=True, allow_unused=True)
    return torch.zeros_like(side.detach()) if found is None else found.detach()


def _inverse(information: Float64Array) -> Float64Array:
    """Return the inverse of an information matrix.

    Raises:
        ValueError: it is not positive definite, up to rounding.
        FloatingPointError: it is not finite.
    """
    if not np.isfinite(information).all():
        raise FloatingPointError("the items are so large that their squares overflow; scale them")
    smallest, largest = np.linalg.eigvalsh(information)[[0, -1]]
    try:
        factor = cho_factor(information)
    except LinAlgError:
        smallest = -np.inf
    if not smallest > 1e-14 * largest:
        raise ValueError(
            "the comparisons do not determine the weights in all directions, so their uncertainty is infinite; "
            "raise alpha, or use an objective that is convex in the gap"
        )
    return np.asarray(cho_solve(factor, np.eye(len(information))))
