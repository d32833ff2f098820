"""A reward of several attributes, weighed for each prompt by a gating network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import RidgeCV
from sklearn.utils import check_random_state
from torch import Tensor
from torch.nn.functional import logsigmoid

from rmspace._checks import check_int, check_number, shown
from rmspace._typing import Float64Array, FloatArray
from rmspace.models.core.base import BaseReward
from rmspace.models.core.data import FitData
from rmspace.models.core.gate import first_layers, gate_weights
from rmspace.models.core.item_values import item_values
from rmspace.models.core.lbfgs import find_minimum
from rmspace.models.core.scoring import Block, Scorer, score_blocks
from rmspace.models.io.state import check_fitted_array

__all__ = ["GatedReward"]


class GatedReward(BaseReward):
    """Reward model of several attributes: score = beta sum_k g_k(prompt) a_k(x), with gate weights that sum to 1.

    The attributes are ratings of the items, such as helpfulness and harmlessness; NaN where nobody rated. They are the
    features `attributes` of Preferences, or the columns `winner_<attribute>` and `loser_<attribute>`. Two stages:

    1. each attribute is regressed on the embedding by ridge regression, whose strength leave-one-out errors choose.
       a_k is the predicted rating in standard deviations from its mean, over the items of the comparisons;
    2. beta and the gate, a network with a softmax at its end, are learned from the comparisons by Bradley-Terry:

        mean loss + alpha / 2 (beta^2 + sum of squared weights of the gate)

    The last `prompt_width` numbers of each item are the embedding of its prompt. Only the gate reads them, and only the
    others tell of the attributes; `rmspace.append_prompts` makes such banks. With a width of 0 all prompts
    have the same weights. A comparison of weight 0 brings its ratings to stage 1, and nothing to stage 2.

    Gate weights are never negative: turn the sign of an attribute of which less is better.

    Args:
        attributes: names of the attributes, at least one.
        prompt_width: how many numbers of an item are the embedding of its prompt.
        hidden_sizes: widths of the hidden layers of the gate, with tanh; () is a linear gate.
        alpha: strength of the penalty, at least 0, on prompts that are scaled to a root-mean-square length of 1.
        max_iter, tol: of L-BFGS, as in `LinearReward`.
        random_state: seed of the first weights of hidden layers.

    Attributes:
        heads_, intercepts_: (n_attributes, dim - prompt_width) and (n_attributes,), from items to ratings.
        locations_, scales_: (n_attributes,) mean and standard deviation of the predicted ratings.
        prompt_mean_, prompt_length_: how prompts are scaled.
        gate_: the weights and biases of the layers of the gate, in turn.
        beta_: the unit of the score; below 0 where judges like less of the attributes.

    `fit` raises ValueError also where a rating is missing everywhere, or the same for all rated items.

    Source: Wang et al., "Interpretable preferences via multi-objective reward modeling and mixture-of-experts" (arXiv
    2406.12845). There beta is 1 after a softmax with a temperature; and what the attributes owe to length is removed.

    >>> from rmspace import Preferences
    >>> rng = np.random.default_rng(0)
    >>> quality, is_risky = rng.normal(size=(600, 2)), np.repeat(rng.integers(2, size=300), 2)
    >>> liked = np.where(is_risky == 1, quality[:, 1], quality[:, 0])  # risky prompts: the second attribute counts
    >>> pairs = np.arange(600).reshape(300, 2)
    >>> comparisons = np.where((liked[pairs[:, 0]] > liked[pairs[:, 1]])[:, None], pairs, pairs[:, ::-1])
    >>> items = np.column_stack([quality, is_risky])
    >>> features = {"helpful": quality[:, 0], "safe": quality[:, 1]}
    >>> data = Preferences(items, comparisons, np.arange(600) // 2, features=features)
    >>> model = GatedReward(["helpful", "safe"], prompt_width=1).fit(data)
    >>> model.predict_weights([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]).round(1).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    def __init__(
        self,
        attributes: Sequence[str] = ("helpfulness",),
        *,
        prompt_width: int = 0,
        hidden_sizes: Sequence[int] = (),
        alpha: float = 1e-3,
        max_iter: int = 1000,
        tol: float = 1e-5,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.attributes = attributes
        self.prompt_width = prompt_width
        self.hidden_sizes = hidden_sizes
        self.alpha = alpha
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def predict_attributes(self, items: npt.ArrayLike) -> Float64Array:
        """Return the predicted ratings of items, (n_items, n_attributes), in the units of the ratings.

        Raises:
            ValueError: as `predict`.
        """
        array = self._checked(items)
        return score_blocks(array, lambda block: self._attributes(block).T).T.reshape(len(array), len(self.heads_))

    def predict_weights(self, items: npt.ArrayLike) -> Float64Array:
        """Return the gate weights of the prompts of items, (n_items, n_attributes); each row has the sum 1.

        Raises:
            ValueError: as `predict`.
        """
        array = self._checked(items)
        return score_blocks(array, lambda block: self._weights(block).T).T.reshape(len(array), len(self.heads_))

    def check_state(self) -> None:
        """Raise ValueError where the learned numbers are not those of such a model."""
        n, width = len(_check_names(self.attributes)), self._checked_width(self.n_features_in_)
        check_fitted_array("heads_", self.heads_, (n, self.n_features_in_ - width))
        for name in ("intercepts_", "locations_", "scales_"):
            check_fitted_array(name, getattr(self, name), (n,))
        check_fitted_array("prompt_mean_", self.prompt_mean_, (width,))
        for name in ("prompt_length_", "beta_"):
            check_number(name, getattr(self, name))
        if min(self.scales_.min(), self.prompt_length_) <= 0:
            raise ValueError("scales_ and prompt_length_ must be above 0")
        shapes = [array.shape for array in first_layers(width, self.hidden_sizes, n, None)]
        if not isinstance(self.gate_, list) or len(self.gate_) != len(shapes):
            raise ValueError(f"gate_ must list {len(shapes)} arrays; got {shown(self.gate_)}")
        for k, shape in enumerate(shapes):
            check_fitted_array(f"gate_[{k}]", self.gate_[k], shape)
        super().check_state()

    def _select(self, data: FitData) -> FitData:
        return data  # ratings may be missing, and those of comparisons of weight 0 count

    def _fit(self, data: FitData) -> None:
        names, width = _check_names(self.attributes), self._checked_width(data.dim)
        alpha = check_number("alpha", self.alpha, low=0.0)
        ratings = np.stack([_ratings(data, name) for name in names])
        rows = data.read(np.float64)
        responses, prompts = rows[:, : data.dim - width], rows[:, data.dim - width :]
        heads = [_regression(responses, values) for values in ratings]
        self.heads_ = np.stack([head for head, _ in heads])
        self.intercepts_ = np.array([intercept for _, intercept in heads])
        judged = data.for_objective(None)
        predicted = responses @ self.heads_.T + self.intercepts_
        used = predicted[np.searchsorted(data.used_rows, judged.used_rows)]
        spread = used.std(axis=0)
        self.locations_, self.scales_ = used.mean(axis=0), np.where(spread > 0, spread, 1.0)
        self.prompt_mean_ = prompts.mean(axis=0)
        centred = prompts - self.prompt_mean_
        self.prompt_length_ = float(np.sqrt((centred**2).sum(axis=1).mean())) or 1.0
        pairs = np.searchsorted(data.used_rows, judged.comparisons)
        self._fit_gate(
            (predicted - self.locations_) / self.scales_, centred / self.prompt_length_, judged, pairs, alpha
        )

    def _fit_gate(self, attributes: Any, prompts: Any, judged: FitData, pairs: Any, alpha: float) -> None:
        a, p, v = (torch.from_numpy(np.ascontiguousarray(array)) for array in (attributes, prompts, judged.weights))
        winner, loser = (torch.from_numpy(np.ascontiguousarray(side)) for side in pairs.T)

        def loss(beta: Tensor, *layers: Tensor) -> Tensor:
            scores = beta * (gate_weights(p, layers) * a).sum(dim=1)
            size = beta.square() + sum((weight.square().sum() for weight in layers[::2]), torch.zeros(()))
            return (v * -logsigmoid(scores[winner] - scores[loser])).sum() / v.sum() + alpha / 2 * size

        rng = check_random_state(self.random_state)
        start = [np.ones(()), *first_layers(prompts.shape[1], self.hidden_sizes, attributes.shape[1], rng)]
        beta, *gate = find_minimum(type(self).__name__, loss, start, max_iter=self.max_iter, tol=self.tol)
        self.beta_, self.gate_ = float(beta), gate

    def _checked_width(self, dim: int) -> int:
        width = check_int("prompt_width", self.prompt_width, low=0)
        if width >= dim:
            raise ValueError(
                f"prompt_width must be below the {dim} numbers of an item, of which the last are those of its prompt; "
                f"got {width}; append the embeddings of the prompts to the items"
            )
        return width

    def _attributes(self, block: Block) -> FloatArray:
        return np.asarray(block.array()[:, : self.heads_.shape[1]] @ self.heads_.T + self.intercepts_)

    def _weights(self, block: Block) -> FloatArray:
        prompts = (block.array()[:, self.heads_.shape[1] :] - self.prompt_mean_) / self.prompt_length_
        return np.asarray(
            gate_weights(torch.from_numpy(prompts), [torch.from_numpy(each) for each in self.gate_]).numpy()
        )

    def _scorer(self, device: torch.device) -> Scorer:  # noqa: ARG002
        def score(block: Block) -> FloatArray:
            attributes = (self._attributes(block) - self.locations_) / self.scales_
            return np.asarray(self.beta_ * (self._weights(block) * attributes).sum(axis=1))

        return score


def _check_names(attributes: Any) -> list[str]:
    if isinstance(attributes, str) or not isinstance(attributes, Sequence) or not attributes:
        raise TypeError(f"attributes must list the names of at least one feature; got {shown(attributes)}")
    names = list(attributes)
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ValueError(f"attributes must be different texts; got {shown(names)}")
    return names


def _ratings(data: FitData, name: str) -> Float64Array:
    """Return the ratings of the used items, NaN where nobody rated, at least two of them different."""
    values = item_values(data, name, missing=True)
    known = values[~np.isnan(values)]
    if len(known) == 0:
        raise ValueError(f"the attribute {name!r} is missing for all items; leave it out")
    if known.min() == known.max():
        raise ValueError(
            f"the attribute {name!r} must differ between items; all {len(known)} rated ones have {known[0]:g}; leave "
            "it out"
        )
    return values


def _regression(rows: FloatArray, values: Float64Array) -> tuple[Float64Array, float]:
    """Return the weights and the intercept of a ridge regression on the items that have a value."""
    rated = ~np.isnan(values)
    known, middle = rows[rated], float(values[rated].mean())
    mean = known.mean(axis=0)
    centred = known - mean
    spread = float((centred**2).sum()) or 1.0  # alphas in units of all that varies
    ridge = RidgeCV(alphas=spread * np.logspace(-9, 0, 10), fit_intercept=False).fit(centred, values[rated] - middle)
    return np.asarray(ridge.coef_), middle - float(mean @ ridge.coef_)
