"""A reward that is a weighted sum of the principal directions in which compared items differ."""

from __future__ import annotations

from copy import deepcopy
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from rmspace._checks import check_int, check_number
from rmspace._typing import Float64Array, FloatArray
from rmspace.data.mapped import choose
from rmspace.data.preferences import Preferences
from rmspace.models.core.base import BaseReward
from rmspace.models.core.data import FitData, check_fit
from rmspace.models.core.scoring import score_blocks
from rmspace.models.io.state import check_fitted_array
from rmspace.models.linear import LinearReward

__all__ = ["DecomposedReward"]

_ROUNDING = 1e-10  # directions with less than this share of the largest variance hold rounding only


class DecomposedReward(BaseReward):
    """Reward model of several heads, the principal directions of the differences between compared items.

        score = sum_k c_k v_k . (x - m),   v_k the eigenvectors of sum of z z^T,   z = winner - loser

    The weights c are learned from the comparisons by Bradley-Terry, as in `LinearReward` on the heads. `adapt` gives
    another judge a reward of her own, from a few of her comparisons.

    z z^T does not depend on which of the two won. So the heads are the directions in which compared items differ most,
    and only c knows what judges like. A direction that judges care for, but in which items hardly differ, needs more
    components. With all of them this is a linear reward.

    Args:
        n_components: the number of heads; the embedding's dim where that is smaller.
        alpha: strength of the penalty on c, as in `LinearReward`.

    Attributes:
        components_: (n_heads, dim) the v_k, of length 1; the first has the most variance. Each points to the winners.
        explained_: (n_heads,) share of the sum of |z|^2 along each.
        mean_: (dim,) m, the mean item.
        scales_: (n_heads,) standard deviation of v_k . x over the items of the comparisons.
        coef_: (n_heads,) c.

    Source: Luo et al., "Rethinking diverse human preference learning through principal component analysis" (arXiv
    2502.13131). There z is centred first; here each comparison counts in both orders, so that its mean is 0.

    >>> rng = np.random.default_rng(0)
    >>> items, pairs = rng.normal(size=(400, 3)) * [3.0, 2.0, 0.1], np.arange(400).reshape(200, 2)
    >>> liked = items[:, 0] - items[:, 1]
    >>> comparisons = np.where((liked[pairs[:, 0]] > liked[pairs[:, 1]])[:, None], pairs, pairs[:, ::-1])
    >>> model = DecomposedReward(n_components=2).fit(items, comparisons)
    >>> model.components_.round(0).tolist()
    [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]
    >>> other = model.adapt(items, comparisons[:9, ::-1])  # a judge of the opposite taste
    >>> float(other.score(items, comparisons)) < 0.2
    True
    """

    def __init__(self, n_components: int = 20, *, alpha: float = 1e-4) -> None:
        self.n_components = n_components
        self.alpha = alpha

    def adapt(
        self,
        items: npt.ArrayLike | Preferences,
        comparisons: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        *,
        temperature: float = 1.0,
    ) -> Self:
        """Return a copy of the model with the heads weighed by how well each alone explains a few comparisons.

            c_k = (p_k - q_k) / s_k,   (p, q) = softmax(-L / temperature)

        L holds the summed Bradley-Terry losses of each head v_k . x / s_k, and of each turned head, on the comparisons.
        No comparison changes the heads. It takes few comparisons, where a fit would need many; with many of them
        nearly all weight goes to the one best head.

        Args:
            items, comparisons, sample_weight: of the judge, as in `fit`; ties count as half a win of each order.
            temperature: above 0; a large one weighs all heads alike.

        Raises:
            ValueError: another dim than in the fit, or comparisons that break the rules of `fit`.

        Source: the test-time weights of arXiv 2502.13131.
        """
        degree = check_number("temperature", temperature, low=1e-9)
        data = check_fit(items, comparisons, sample_weight).for_objective(None)
        rows = choose(data.items, data.used_rows)
        heads = self.predict_components(rows) / self.scales_
        gaps = heads[data.pairs[:, 0]] - heads[data.pairs[:, 1]]
        losses = np.concatenate([data.weights @ np.logaddexp(0, -sign * gaps) for sign in (1, -1)])
        weights = softmax(-losses / degree)
        n = len(self.scales_)
        adapted = deepcopy(self)
        adapted.coef_ = (weights[:n] - weights[n:]) / self.scales_
        return adapted

    def predict_components(self, items: npt.ArrayLike) -> Float64Array:
        """Return the scores of each head alone, v_k . (x - m), as (n_items, n_heads).

        Raises:
            ValueError: as `predict`.
        """
        array = self._checked(items)
        return score_blocks(array, lambda block: self._heads(block.array()).T).T.reshape(len(array), len(self.coef_))

    def check_state(self) -> None:
        """Raise ValueError where the learned numbers are not those of such a model."""
        n = len(np.atleast_1d(self.coef_))
        check_fitted_array("components_", self.components_, (n, self.n_features_in_))
        check_fitted_array("mean_", self.mean_, (self.n_features_in_,))
        for name in ("explained_", "scales_", "coef_"):
            check_fitted_array(name, getattr(self, name), (n,))
        if self.scales_.min() <= 0:
            raise ValueError(f"scales_ must be above 0; got {self.scales_.min():g}")
        super().check_state()

    def _fit(self, data: FitData) -> None:
        most = check_int("n_components", self.n_components, low=1)
        rows = data.read(np.float64)
        self.mean_ = rows.mean(axis=0)
        rows -= self.mean_
        gaps = rows[data.pairs[:, 0]] - rows[data.pairs[:, 1]]
        with np.errstate(over="ignore", invalid="ignore"):
            moment = (gaps * data.weights[:, None]).T @ gaps
        if not np.isfinite(moment).all():
            raise FloatingPointError("the items are so large that their squares overflow; scale them")
        values, vectors = np.linalg.eigh(moment)
        if not values[-1] > 0:
            raise ValueError("compared items must differ; all differences are 0, so they have no direction")
        order = np.arange(data.dim)[::-1][:most]
        order = order[values[order] > _ROUNDING * values[-1]]
        towards = np.sign(data.weights @ gaps @ vectors[:, order])
        self.components_ = np.ascontiguousarray((vectors[:, order] * np.where(towards < 0, -1.0, 1.0)).T)
        self.explained_ = values[order] / np.maximum(values, 0.0).sum()
        heads = rows @ self.components_.T
        self.scales_ = heads.std(axis=0)
        weights = None if (data.weights == 1).all() else data.weights
        self.coef_ = LinearReward(alpha=self.alpha).fit(heads, data.pairs, weights).coef_

    def _heads(self, rows: FloatArray) -> FloatArray:
        return np.asarray((rows - self.mean_) @ self.components_.T)

    def _score(self, rows: FloatArray) -> FloatArray:
        return np.asarray(self._heads(rows) @ self.coef_)
