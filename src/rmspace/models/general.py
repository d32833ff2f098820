"""A general preference model: it compares two items, and can hold cycles that no score can."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit
from sklearn.utils import check_random_state
from torch import Tensor
from torch.nn.functional import logsigmoid

from rmspace._checks import check_int, check_number
from rmspace._typing import Float64Array, FloatArray
from rmspace.data.arrays import check_groups
from rmspace.models.core.base import BaseReward
from rmspace.models.core.data import FitData
from rmspace.models.core.lbfgs import find_minimum
from rmspace.models.core.scoring import score_blocks
from rmspace.models.io.state import check_fitted_array

__all__ = ["GeneralPreferenceReward"]

_START = 0.1  # standard deviation of the first weights


class GeneralPreferenceReward(BaseReward):
    """General preference model: P(x beats y) = sigma(sum_j a_j(x) b_j(y) - b_j(x) a_j(y)), which can hold cycles.

    a_j and b_j, j = 1 to rank, are linear functions of the embedding, with intercepts. The sum is skew-symmetric: in
    the other order it has the other sign, and it is 0 for two equal items. Rank 1 with a constant b is Bradley-Terry.
    Rank 1 holds a cycle such as rock, paper, scissors; any skew-symmetric table of n items has rank n / 2 at most.

    The sum is (x, 1)^T A (y, 1) with a skew-symmetric matrix A. Minimises the mean Bradley-Terry loss of the sum plus
    alpha / 4 times the sum of squares of A, on items that are centred and scaled to a root-mean-square length of 1. For
    Bradley-Terry, this is the penalty of `LinearReward`. The problem is not convex: L-BFGS starts from small random
    weights, and another `random_state` may find another minimum.

    A cycle has no score. So `score(items, comparisons)` asks for the probability of each comparison, and:

    - `log_odds(first, second)` is the sum above;
    - `win_rates(items, groups)` is the mean probability of each item against the others of its prompt, the score for
      Best-of-N. `run` measures the model by these two;
    - `predict(items)` knows no prompts, and gives the log-odds against the mean item of the training.

    Args:
        rank: number of planes, at least 1.
        alpha: strength of the penalty, at least 0.
        max_iter, tol: of L-BFGS, as in `LinearReward`.
        random_state: seed of the first weights.

    Attributes:
        coef_, intercept_: (2 rank, dim) and (2 rank,), of a_1, b_1, a_2, b_2, ...
        mean_: (dim,), the mean item of the training.

    Source: Zhang et al., "Beyond Bradley-Terry models: a general preference model for language model alignment" (arXiv
    2410.02197), whose embeddings have length 1 and whose temperature is part of the weights here.

    >>> items = np.tile(np.eye(3), (20, 1))  # rock, paper, scissors, again and again
    >>> comparisons = [[3 * k + (w + 1) % 3, 3 * k + w] for k in range(20) for w in range(3)]
    >>> model = GeneralPreferenceReward(random_state=0).fit(items, comparisons)
    >>> model.score(items, comparisons)
    1.0
    >>> rates = model.win_rates(np.eye(3)[[0, 0, 1]], groups=["one prompt"] * 3)  # rock, rock, paper
    >>> rates.argmax()
    np.int64(2)
    """

    def __init__(
        self,
        rank: int = 2,
        *,
        alpha: float = 3e-3,
        max_iter: int = 1000,
        tol: float = 1e-5,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.rank = rank
        self.alpha = alpha
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def log_odds(self, first: npt.ArrayLike, second: npt.ArrayLike) -> Float64Array:
        """Return the log-odds that each item of `first` beats its opponent in `second`, (n,).

        Args:
            first, second: (n, dim), finite.

        Raises:
            ValueError: as `predict`; arrays of different lengths.
        """
        one, other = self._checked(first), self._checked(second)
        if len(one) != len(other):
            raise ValueError(f"first and second must have the same number of items; got {len(one)} and {len(other)}")
        return _skew(self._embed(one), self._embed(other))

    def win_rates(self, items: npt.ArrayLike, groups: npt.ArrayLike) -> Float64Array:
        """Return the mean probability with which each item beats the others of its prompt, (n_items,).

        The opponents are all other items of the prompt in the call. An item that is alone has 1/2.

        Args:
            items: (n_items, dim), finite.
            groups: (n_items,) the prompt of each.

        Raises:
            ValueError: as `predict`; not one group per item.
        """
        array = self._checked(items)
        prompts = np.unique(check_groups(groups, len(array)), return_inverse=True)[1]
        vectors, rates = self._embed(array), np.full(len(array), 0.5)
        order = np.argsort(prompts, kind="stable")
        for members in np.split(order, np.cumsum(np.bincount(prompts))[:-1]):
            if len(members) > 1:
                own = vectors[members]
                wins = expit(_skew(own[:, None], own[None]))
                rates[members] = (wins.sum(axis=1) - 0.5) / (len(members) - 1)  # against itself it has 1/2
        return rates

    def check_state(self) -> None:
        """Raise ValueError where the learned numbers are not those of such a model."""
        n = 2 * check_int("rank", self.rank, low=1)
        check_fitted_array("coef_", self.coef_, (n, self.n_features_in_))
        check_fitted_array("intercept_", self.intercept_, (n,))
        check_fitted_array("mean_", self.mean_, (self.n_features_in_,))
        super().check_state()

    def _fit(self, data: FitData) -> None:
        rank, alpha = check_int("rank", self.rank, low=1), check_number("alpha", self.alpha, low=0.0)
        rows = data.read(np.float64)
        self.mean_ = rows.mean(axis=0)
        rows -= self.mean_
        length = float(np.sqrt((rows**2).sum(axis=1).mean())) or 1.0
        x, v = torch.from_numpy(rows / length), torch.from_numpy(data.weights)
        winner, loser = (torch.from_numpy(np.ascontiguousarray(side)) for side in data.pairs.T)

        def loss(coef: Tensor, intercept: Tensor) -> Tensor:
            vectors = x @ coef.T + intercept
            losses = -logsigmoid(_skew(vectors[winner], vectors[loser]))
            return (v * losses).sum() / v.sum() + alpha / 4 * _size(torch.column_stack([coef, intercept]))

        rng = check_random_state(self.random_state)
        start = [_START * rng.normal(size=(2 * rank, data.dim)), np.eye(2 * rank)[1]]  # b_1 = 1: Bradley-Terry
        coef, intercept = find_minimum(type(self).__name__, loss, start, max_iter=self.max_iter, tol=self.tol)
        self.coef_, self.intercept_ = coef / length, intercept

    def _embed(self, items: FloatArray) -> Float64Array:
        """Return a_1, b_1, a_2, b_2, ... of items, (n_items, 2 rank)."""

        def embed(block: Any) -> FloatArray:
            return np.asarray(((block.array() - self.mean_) @ self.coef_.T + self.intercept_).T)

        return score_blocks(items, embed).T.reshape(len(items), len(self.intercept_))

    def _score(self, rows: FloatArray) -> FloatArray:
        return np.asarray(_skew((rows - self.mean_) @ self.coef_.T + self.intercept_, self.intercept_))


def _size(vectors: Tensor) -> Tensor:
    """Return the sum of squares of A = sum_j a_j b_j^T - b_j a_j^T, with a_1, b_1, a_2, b_2, ... as rows."""
    a, b = vectors[0::2], vectors[1::2]
    mixed = a @ b.T
    return 2 * ((a @ a.T) * (b @ b.T) - mixed * mixed.T).sum()


def _skew(one: Any, other: Any) -> Any:
    """Return sum_j a_j b'_j - b_j a'_j of vectors (..., 2 rank), as arrays or tensors."""
    return (one[..., 0::2] * other[..., 1::2] - one[..., 1::2] * other[..., 0::2]).sum(-1)
