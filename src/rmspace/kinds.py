"""The shape of each kind of function or class that a researcher may bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.data.bank import ResponseBank
from rmspace.data.preferences import Preferences

if TYPE_CHECKING:
    from torch import Tensor


class Reader(Protocol):
    """() -> (train, test): two banks, or preferences in place of either; a config gives it its options."""

    def __call__(self) -> tuple[ResponseBank | Preferences, ResponseBank | Preferences]:
        """Read the data."""
        ...


class PairStrategy(Protocol):
    """(bank, n_pairs, rng) -> item ids to compare, int64 (n_pairs, 2)."""

    def __call__(self, bank: ResponseBank, n_pairs: int, rng: np.random.Generator) -> IntArray:
        """Choose the pairs."""
        ...


class Candidates(Protocol):
    """bank -> the response columns that may be compared, int64 (n_prompts, n_candidates), -1 for none."""

    def __call__(self, bank: ResponseBank, /) -> IntArray:
        """Choose the columns."""
        ...


class Annotator(Protocol):
    """Gap in gold reward (n_pairs,) -> probability that the first wins (n_pairs,)."""

    def __call__(self, gap: Float64Array, /) -> Float64Array:
        """Judge the gaps."""
        ...


class Objective(Protocol):
    """(winner scores, loser scores), both (n_pairs,) -> one loss per pair (n_pairs,).

    A further parameter that is named like a column of the comparisons receives that column, (n_pairs,).
    """

    def __call__(self, winner: Tensor, loser: Tensor, /, *args: Any, **columns: Any) -> Tensor:
        """Compute the losses, unreduced."""
        ...


class Metric(Protocol):
    """(scores, rewards), both (n_prompts, width), NaN where unrated -> one value per prompt (n_prompts,)."""

    def __call__(self, scores: Float64Array, rewards: Float64Array, /) -> Float64Array:
        """Measure each prompt; `nan` where the metric is undefined."""
        ...


class PreferenceMetric(Protocol):
    """(winner scores, loser scores), both (n_comparisons,) -> one value per comparison (n_comparisons,).

    A further parameter that is named like a column of the comparisons receives that column, (n_comparisons,).
    """

    def __call__(
        self, winner_scores: Float64Array, loser_scores: Float64Array, /, *args: Any, **columns: Any
    ) -> Float64Array:
        """Measure each comparison; `nan` where the metric is undefined."""
        ...


class Baseline(Protocol):
    """(train, test) -> scores of the test items, with no model fitted.

    Of a bank they are (n_prompts, width); of preferences (n_items,), or (n_comparisons, 2) for winner and loser.
    """

    def __call__(self, train: Any, test: Any, /) -> FloatArray:
        """Score the test data."""
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


class Classifier(Protocol):
    """A classifier of scikit-learn, for `ClassifierReward`: it also has `decision_function` or `predict_proba`."""

    def fit(self, X: Any, y: Any) -> Any:
        """Learn from rows and their classes."""
        ...

    def get_params(self, deep: bool = ...) -> dict[str, Any]:
        """Return the parameters, so that it can be cloned."""
        ...


class Encoder(Protocol):
    """Prompt-response pairs as text, each a `rmspace.text.TextItem` -> embeddings (n, dim)."""

    def describe(self) -> Mapping[str, Any]:
        """Return all that the embeddings depend on, as JSON can hold it: the model and its hash, template, pooling."""
        ...

    def encode(self, items: Sequence[Any], /) -> FloatArray:
        """Embed `items`, (n, dim), finite, in their order."""
        ...


class Generator(Protocol):
    """Prompts, each a tuple of `rmspace.text.Message`, and one seed each -> one `rmspace.text.Reply` each."""

    def describe(self) -> Mapping[str, Any]:
        """Return all that the replies depend on, as JSON can hold it: the model and its hash, template, settings."""
        ...

    def refusals(self, prompts: Sequence[Any], /) -> Sequence[str | None]:
        """Return why a prompt cannot be answered, such as its length; None where it can."""
        ...

    def generate(self, prompts: Sequence[Any], seeds: Sequence[int], /) -> Sequence[Any]:
        """Answer each prompt once, in their order. A prompt that comes again with the same seed gets the same reply."""
        ...


class Gold(Protocol):
    """The responses of some prompts as text -> gold rewards.

    A gold that compares responses may have a method `requests_for(n)`: how many requests n responses to one prompt
    need. Estimates use it.
    """

    def describe(self) -> Mapping[str, Any]:
        """Return all that the rewards depend on, as JSON can hold it."""
        ...

    def rate(self, groups: Sequence[Sequence[Any]], /) -> Any:
        """Rate the responses of each prompt, given as `rmspace.text.TextItem`; returns `rmspace.text.Ratings`."""
        ...


class Reduction(Protocol):
    """Scores of the members of an ensemble (n_members, n_items) -> one score per item (n_items,)."""

    def __call__(self, scores: Float64Array, /) -> Float64Array:
        """Combine the scores of the members."""
        ...


class Kind(NamedTuple):
    """One kind: its name, the module whose `__all__` lists its members, and the Protocol that they follow."""

    name: str
    names: str  # the plural
    module: str
    protocol: type


KINDS = (
    Kind("reader", "readers", "rmspace.readers", Reader),
    Kind("pair strategy", "pair strategies", "rmspace.pairs", PairStrategy),
    Kind("choice of candidates", "choices of candidates", "rmspace.candidates", Candidates),
    Kind("annotator", "annotators", "rmspace.annotators", Annotator),
    Kind("objective", "objectives", "rmspace.objectives", Objective),
    Kind("reward model", "reward models", "rmspace.models", RewardModel),
    Kind("encoder", "encoders", "rmspace.text.encoders", Encoder),
    Kind("generator", "generators", "rmspace.text.generators", Generator),
    Kind("gold", "golds", "rmspace.text.golds", Gold),
    Kind("reduction", "reductions", "rmspace.reductions", Reduction),
    Kind("metric", "metrics", "rmspace.metrics", Metric),
    Kind("baseline", "baselines", "rmspace.baselines", Baseline),
)
"""Every kind. A config looks a name up in the module of the kind that its key asks for, and nowhere else."""
