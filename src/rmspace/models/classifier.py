"""Any scikit-learn classifier as reward model: its logit is the reward."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from rmspace._checks import shown
from rmspace._typing import FloatArray
from rmspace.kinds import Classifier
from rmspace.models.core.base import BaseReward, draw_seed
from rmspace.models.core.data import FitData
from rmspace.models.core.fitting import fit_model, seed_model
from rmspace.models.io.state import check_fitted_array

__all__ = ["ClassifierReward"]

_SURE = 1e-15  # smaller probabilities are raised to this, as in scikit-learn's own log loss


class ClassifierReward(BaseReward):
    """Reward model from a classifier of single items: winners are class 1, losers class 0.

    score(x) = log p(1 | x) - log p(0 | x), or the classifier's `decision_function` where it has one. For linear,
    boosted and logistic models that is the same logit, without the rounding of p near 0 and 1. Weights of comparisons
    need an estimator that takes `sample_weight`.

    Args:
        estimator: a scikit-learn classifier, or a pipeline that ends in one; logistic regression when None.
        random_state: given to every `random_state` of the estimator that is None.

    Attributes:
        estimator_: the fitted clone.

    Source: arXiv 2411.04991, where any classifier may serve as a reward model.

    >>> from rmspace import make_synthetic_banks, same_prompt, annotate, oracle, spearman
    >>> train, test = make_synthetic_banks(200, 50, 8, 32, noise_std=0.0, seed=0)
    >>> rng = np.random.default_rng(0)
    >>> comparisons = annotate(same_prompt(train, 2000, rng), train.rewards, oracle, rng=rng)
    >>> model = ClassifierReward(LogisticRegression(C=100)).fit(train.items, comparisons)
    >>> bool(spearman(model.predict(test.items), test.rewards).mean() > 0.4)
    True
    """

    def __init__(
        self, estimator: Classifier | None = None, *, random_state: int | np.random.RandomState | None = None
    ) -> None:
        self.estimator = estimator
        self.random_state = random_state

    def _fit(self, data: FitData) -> None:
        if self.estimator is not None and not hasattr(self.estimator, "get_params"):
            raise TypeError(f"estimator must be a scikit-learn classifier; got {self.estimator!r}")
        estimator = clone(LogisticRegression() if self.estimator is None else self.estimator)
        if not hasattr(estimator, "decision_function") and not hasattr(estimator, "predict_proba"):
            raise TypeError(f"estimator must have decision_function or predict_proba; {estimator!r} has neither")
        if self.random_state is not None:
            seed_model(estimator, draw_seed(self.random_state))
        rows = data.read()[data.pairs.T.reshape(-1)]
        labels = np.repeat([1, 0], len(data.pairs))
        weights = None if (data.weights == 1).all() else np.tile(data.weights, 2)
        last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
        if weights is not None and not has_fit_parameter(last, "sample_weight"):
            raise ValueError(
                f"{type(last).__name__} takes no sample_weight, which weighted comparisons and ties need; "
                "leave out the weights and ties, or take another estimator"
            )
        with np.errstate(over="ignore"):
            self.estimator_ = fit_model(estimator, rows, labels, weights)
        if len(data.pairs) > 1 and rows.any() and not np.ptp(self._score(rows)) and _overflows(rows):
            raise FloatingPointError(
                f"the classifier gives all items one score: their numbers, up to {np.abs(rows).max():.2g}, overflow in "
                "its sums; scale the items, for example by a StandardScaler in a pipeline"
            )

    def check_state(self) -> None:
        """Raise ValueError where the estimator is no classifier."""
        if not hasattr(self.estimator_, "decision_function") and not hasattr(self.estimator_, "predict_proba"):
            raise ValueError(f"estimator_ must be a classifier; got {shown(self.estimator_)}")
        super().check_state()
        scores = self._score(np.zeros((2, self.n_features_in_), np.float32))
        check_fitted_array("the scores of two items", np.asarray(scores, np.float64), (2,))

    def _score(self, rows: FloatArray) -> FloatArray:
        if hasattr(self.estimator_, "decision_function"):
            return np.asarray(self.estimator_.decision_function(rows))
        p = np.maximum(np.asarray(self.estimator_.predict_proba(rows), dtype=np.float64), _SURE)
        return np.asarray(np.log(p[:, 1]) - np.log(p[:, 0]))


def _overflows(rows: FloatArray) -> bool:
    """Say whether the squared lengths of the rows are too large for float32."""
    return bool(np.square(rows, dtype=np.float64).sum(axis=1).max() > np.finfo(np.float32).max)
