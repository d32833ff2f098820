"""The shape of each kind of function or class that a researcher may bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.data.bank import ResponseBank

if TYPE_CHECKING:
    from torch import Tensor


class PairStrategy(Protocol):
    """(bank, n_pairs, rng) -> item ids to compare, int64 (n_pairs, 2)."""

    def __call__(self, bank: ResponseBank, n_pairs: int, rng: np.random.Generator) -> IntArray:
        """Choose the pairs."""
        ...


class Candidates(Protocol):
    """bank -> the response columns that may be compared, int64 (n_prompts, n_candidates)."""

    def __call__(self, bank: ResponseBank, /) -> IntArray:
        """Choose the columns."""
        ...


class Annotator(Protocol):
    """Gap in gold reward (n_pairs,) -> probability that the first wins (n_pairs,)."""

    def __call__(self, gap: Float64Array, /) -> Float64Array:
        """Judge the gaps."""
        ...


class Objective(Protocol):
    """(winner scores, loser scores), both (n_pairs,) -> one loss a pair (n_pairs,)."""

    def __call__(self, winner: Tensor, loser: Tensor, /) -> Tensor:
        """Compute the losses, unreduced."""
        ...


class Metric(Protocol):
    """(scores, rewards), both (n_prompts, n_responses) -> one value a prompt (n_prompts,)."""

    def __call__(self, scores: Float64Array, rewards: Float64Array, /) -> Float64Array:
        """Measure each prompt; `nan` where the metric is undefined."""
        ...


class PreferenceMetric(Protocol):
    """(winner scores, loser scores), both (n_comparisons,) -> one value per comparison (n_comparisons,)."""

    def __call__(self, winner_scores: Float64Array, loser_scores: Float64Array, /) -> Float64Array:
        """Measure each comparison; `nan` where the metric is undefined."""
        ...


class Baseline(Protocol):
    """(train, test) -> scores for the test items, (n_prompts, n_responses), with no model fitted."""

    def __call__(self, train: ResponseBank, test: ResponseBank, /) -> FloatArray:
        """Score the test bank."""
        ...


class RewardModel(Protocol):
    """An estimator: fitted on comparisons of items, it gives every item a score."""

    def fit(
        self,
        items: FloatArray,
        comparisons: IntArray,
        sample_weight: FloatArray | None = None,
        groups: IntArray | None = None,
    ) -> Any:
        """Learn from `comparisons`, int64 (n_comparisons, 2) of rows of `items`; column 0 won."""
        ...

    def predict(self, items: FloatArray) -> FloatArray:
        """Score `items`, (n_items, dim) -> (n_items,)."""
        ...
