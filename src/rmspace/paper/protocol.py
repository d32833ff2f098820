"""The published training and evaluation protocol; each of its flaws is a keyword that can be switched off alone.

| flaw | keyword | the corrected way, when False |
|---|---|---|
| both orders of each pair are rows (Bradley-Terry) | `mirrored_rows` | each pair is one row |
| rows are split 80/20, so the mirror image of a row can be on the other side | `row_split` | whole prompts are held out |
| each batch is a new random subset, so an epoch misses some rows | `redrawn_batches` | an epoch visits each row once |
| a batch has 10,240 rows: one or two steps per epoch | `batch_size` | any number |
| training stops when a loss is above each of the three before it | `window_stopping` | it stops after `patience` epochs without a better loss |
| the last weights are kept | `last_weights` | the weights with the best validation loss are kept |
| sigmoid, then the cross-entropy of its float32 value | `sigmoid_bce` | the cross-entropy of the logit |
| the second side of a cross-prompt pair is drawn on its own, so a prompt can meet itself | `independent_sides` | two different prompts |
| Best-of-N uses 100 permutations that all prompts share | `shared_permutations` | each prompt has its own permutation |
| among equal scores the first in the permutation wins | `first_wins` | equal scores share |

Some flaws are left out, because a study could learn nothing from them: the shuffle of the rows has no seed; an item can
be paired with itself; aggregates are of ensembles with one member; an "accuracy" counts failures. `ResponseBank.health`
finds the flaws that a bank can have (ten distinct gold rewards per prompt, embeddings of padding). `best_of_n` is the
exact expectation, which corrects Best-of-N completely; `MLPReward` is the corrected training with other defaults.

The facts are those of the code release of arXiv 2411.04991; the code here is new. Some versions of that release never
stop early (`patience=max_epochs, window_stopping=False`). An epoch has ceil(rows / batch_size) steps.

>>> ProtocolMLPReward().mirrored_rows, ProtocolMLPReward(mirrored_rows=False).row_split
(True, True)
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from rmspace._checks import check_bool, check_int, check_number, check_rng, shown
from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.candidates import all_responses, check_candidates, of_prompts
from rmspace.data.arrays import check_scores
from rmspace.data.bank import ResponseBank
from rmspace.kinds import Candidates
from rmspace.metrics.selection import as_sizes, best_of_n
from rmspace.models.core.base import BaseReward, draw_seed
from rmspace.models.core.data import FitData
from rmspace.models.core.network import RewardNetwork, build_network, check_sizes
from rmspace.models.core.training import scores_of
from rmspace.pairs import cross_prompt
from rmspace.paper.protocol_training import (
    Rows,
    Schedule,
    Watched,
    make_rows,
    split_rows,
    split_rows_by_prompt,
    train,
)

__all__ = ["ProtocolMLPReward", "protocol_best_of_n", "protocol_pairs"]


_FLAWS = ("mirrored_rows", "row_split", "redrawn_batches", "window_stopping", "last_weights", "sigmoid_bce")


class ProtocolMLPReward(BaseReward):
    """Multilayer perceptron trained as in the published code; each flaw is a keyword, and is on by default.

        Bradley-Terry: sigma(f(x1) - f(x2)) against who won;  classification: sigma(f(x)) against whether x won

    The network is dim -> hidden_sizes -> 1 with ReLU, trained by Adam. The table of this module says what each keyword
    corrects when it is False.

    Args:
        objective: "bradley_terry" or "classification"; the protocol has no other.
        mirrored_rows, row_split, redrawn_batches, window_stopping, last_weights, sigmoid_bce: the flaws.
        batch_size: rows per step.
        hidden_sizes, learning_rate, max_epochs: the published settings.
        patience: epochs without a better loss until training stops, when `window_stopping` is False.
        validation_fraction: share of rows that is held out, or of prompts when `row_split` is False; 1e-6 to 0.999.
        random_state: seed of the initial weights, the split and the batches.

    Attributes:
        network_: the torch module.
        history_: one dict per epoch, for `pandas.DataFrame(model.history_)`, with mean losses per row: epoch,
            training_loss (over the batches of the epoch), validation_loss, eval_loss (of the comparisons given as
            `eval_set`, one row per comparison; it decides nothing).
        kept_epoch_: the epoch, counted from 1, whose weights were kept.
        n_training_, n_validation_: numbers of rows.

    Source: arXiv 2411.04991 and its code release.

    >>> from rmspace import make_synthetic_banks, same_prompt, annotate, oracle
    >>> train, test = make_synthetic_banks(100, 20, 6, 32, seed=0)
    >>> rng = np.random.default_rng(0)
    >>> comparisons = annotate(same_prompt(train, 500, rng), train.rewards, oracle, rng=rng)
    >>> model = ProtocolMLPReward(hidden_sizes=(32,), random_state=0).fit(train.items, comparisons)
    >>> model.n_training_, model.predict(test.items).shape  # 80% of both orders
    (800, (120,))
    """

    def __init__(
        self,
        objective: Literal["bradley_terry", "classification"] = "bradley_terry",
        *,
        mirrored_rows: bool = True,
        row_split: bool = True,
        redrawn_batches: bool = True,
        window_stopping: bool = True,
        last_weights: bool = True,
        sigmoid_bce: bool = True,
        batch_size: int = 10_240,
        hidden_sizes: Sequence[int] = (1024, 512),
        learning_rate: float = 1e-3,
        max_epochs: int = 30,
        patience: int = 3,
        validation_fraction: float = 0.2,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.objective = objective
        self.mirrored_rows = mirrored_rows
        self.row_split = row_split
        self.redrawn_batches = redrawn_batches
        self.window_stopping = window_stopping
        self.last_weights = last_weights
        self.sigmoid_bce = sigmoid_bce
        self.batch_size = batch_size
        self.hidden_sizes = hidden_sizes
        self.learning_rate = learning_rate
        self.max_epochs = max_epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _fit(self, data: FitData) -> None:
        schedule = self._schedule()
        if not (data.weights == 1).all():
            raise ValueError("the published protocol has no sample_weight and no ties; use MLPReward")
        items = torch.from_numpy(data.read())
        rows = make_rows(data.pairs, self.objective, mirrored=self.mirrored_rows)
        generator = torch.Generator().manual_seed(draw_seed(self.random_state))
        training, validation = self._split(rows, data.comparisons, data.groups, generator)
        network = build_network(data.dim, self.hidden_sizes, 0.0, generator)
        watched = None if data.eval_set is None else self._watched(data.eval_set)
        losses = train(network, items, training, validation, schedule, generator, watched, data.on_epoch)
        self.network_ = network.eval()
        self.history_ = losses.records
        self.kept_epoch_ = losses.kept_epoch
        self.n_training_, self.n_validation_ = len(training), len(validation)

    def check_state(self) -> None:
        """Raise ValueError where the network is none, or for another number of features."""
        if not isinstance(self.network_, RewardNetwork) or self.network_.dim != self.n_features_in_:
            raise ValueError(f"network_ must be a network of {self.n_features_in_} inputs; got {shown(self.network_)}")
        super().check_state()

    def _has_epochs(self) -> bool:
        return True

    def _split(
        self, rows: Rows, comparisons: IntArray, groups: npt.ArrayLike | None, generator: torch.Generator
    ) -> tuple[Rows, Rows]:
        """Return the rows for training and those for validation."""
        if self.row_split:
            return split_rows(rows, self.validation_fraction, generator)
        if groups is None:
            raise ValueError("row_split=False holds out prompts; pass groups=bank.groups")
        return split_rows_by_prompt(rows, comparisons, np.asarray(groups), self.validation_fraction, generator)

    def _watched(self, data: FitData) -> Watched:
        return Watched(torch.from_numpy(data.read()), make_rows(data.pairs, self.objective, mirrored=False))

    def _score(self, rows: FloatArray) -> FloatArray:
        return np.asarray(scores_of(self.network_, torch.from_numpy(np.asarray(rows))).numpy())

    def _schedule(self) -> Schedule:
        """Check the parameters and return those of the training."""
        if self.objective not in ("bradley_terry", "classification"):
            raise ValueError(
                f'objective must be "bradley_terry" or "classification"; got {self.objective!r}; MLPReward takes any'
            )
        check_sizes(self.hidden_sizes)
        for flaw in _FLAWS:
            check_bool(flaw, getattr(self, flaw))
        check_number("validation_fraction", self.validation_fraction, low=1e-6, high=0.999)
        return Schedule(
            learning_rate=check_number("learning_rate", self.learning_rate, low=0.0),
            batch_size=check_int("batch_size", self.batch_size, low=1),
            max_epochs=check_int("max_epochs", self.max_epochs, low=1),
            patience=check_int("patience", self.patience, low=1),
            redrawn_batches=self.redrawn_batches,
            window_stopping=self.window_stopping,
            last_weights=self.last_weights,
            sigmoid_bce=self.sigmoid_bce,
        )


def protocol_pairs(
    bank: ResponseBank,
    n_pairs: int,
    rng: np.random.Generator,
    *,
    candidates: Candidates = all_responses,
    independent_sides: bool = True,
) -> IntArray:
    """Draw cross-prompt pairs as published: each prompt in turn meets a random prompt, each with a random candidate.

    With `independent_sides` a prompt can meet itself. If an item meets itself, the pair is drawn again, because nobody
    can judge it. The published "random" responses are two of the ten of each prompt, fixed beforehand; here that choice
    belongs to `candidates`.

    Args:
        bank, n_pairs, rng, candidates: as in `cross_prompt`.
        independent_sides: the flaw; False is `cross_prompt`.

    Returns:
        int64 (n_pairs, 2) item ids.

    Raises:
        ValueError: candidates that are not in the bank; one item in all.

    Source: the code release of arXiv 2411.04991.

    >>> bank = ResponseBank(np.zeros((3, 2, 4), np.float32))
    >>> bank.groups[protocol_pairs(bank, 5, np.random.default_rng(0))[:, 0]].tolist()
    [0, 1, 2, 0, 1]
    """
    if not independent_sides:
        return cross_prompt(bank, n_pairs, rng, candidates=candidates)
    size, rng = check_int("n_pairs", n_pairs, low=1), check_rng(rng)
    columns = check_candidates(candidates, bank)
    if bank.n_prompts == 1 and columns.shape[1] == 1:
        raise ValueError("a pair needs two items; got one candidate in all")

    def draw(prompts: IntArray) -> IntArray:
        places = rng.integers(columns.shape[1], size=len(prompts))
        return prompts * bank.n_responses + of_prompts(columns, prompts, places)

    prompts = np.arange(size) % bank.n_prompts
    pairs = np.stack([draw(prompts), draw(rng.integers(bank.n_prompts, size=size))], axis=1)
    while (same := np.flatnonzero(pairs[:, 0] == pairs[:, 1])).size:
        pairs[same, 1] = draw(rng.integers(bank.n_prompts, size=len(same)))
    return pairs


def protocol_best_of_n(
    scores: npt.ArrayLike,
    rewards: npt.ArrayLike,
    *,
    n: int | Sequence[int],
    permutations: int = 100,
    shared_permutations: bool = True,
    first_wins: bool = True,
    seed: int = 0,
) -> Float64Array:
    """Best-of-n as published: the mean over random permutations of the reward of the best-scored of the first n.

    Args:
        scores, rewards, n: as in `best_of_n`.
        permutations: how many are drawn; 0 gives the exact expectation, `best_of_n`.
        shared_permutations: a flaw: all prompts use one permutation, so their errors do not average out.
        first_wins: a flaw: among equal scores the first of the permutation wins, which is a random one. This adds
            noise but no bias. When False, equal scores share.
        seed: of the permutations.

    Returns:
        (n_prompts,) or (n_prompts, len(n)).

    Raises:
        ValueError: as `best_of_n`.

    Source: the code release of arXiv 2411.04991.

    >>> rewards = np.array([[0.0, 3.0, 1.0]])
    >>> protocol_best_of_n(rewards, rewards, n=3).tolist()
    [3.0]
    >>> protocol_best_of_n(np.zeros((1, 3)), rewards, n=3, permutations=1).tolist()  # whichever came first
    [1.0]
    """
    score, gold = check_scores(scores, rewards, complete=True)
    if check_int("permutations", permutations, low=0) == 0:
        return best_of_n(score, gold, n=n)
    sizes = as_sizes(n)
    if max(sizes) > (width := gold.shape[1]):
        raise ValueError(f"n must be at most n_responses = {width}; got {max(sizes)}")
    rng = np.random.default_rng(check_int("seed", seed, low=0))
    total = np.zeros((len(gold), len(sizes)))
    for _ in range(permutations):
        order = _permutations(gold.shape, rng, shared_permutations)
        for k, size in enumerate(sizes):
            s, r = (np.take_along_axis(table, order[:, :size], axis=1) for table in (score, gold))
            total[:, k] += _rewards_of_best(s, r, first_wins)
    values = total / permutations
    return values[:, 0] if np.ndim(n) == 0 else values


def _permutations(shape: tuple[int, ...], rng: np.random.Generator, shared: bool) -> IntArray:
    """Return an order of the responses for each prompt, (n_prompts, n_responses): the same for all when `shared`."""
    if shared:
        return np.broadcast_to(rng.permutation(shape[1]), shape)
    return np.argsort(rng.random(shape), axis=1)


def _rewards_of_best(scores: Float64Array, rewards: Float64Array, first_wins: bool) -> Float64Array:
    """Return each row's reward at its best score: of the first that has it, or the mean of all that have it."""
    if first_wins:
        return np.asarray(rewards[np.arange(len(rewards)), scores.argmax(axis=1)])
    best = scores == scores.max(axis=1, keepdims=True)
    return np.asarray((rewards * best).sum(axis=1) / best.sum(axis=1))
