"""A multilayer perceptron as reward model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import deepcopy
from functools import reduce
from itertools import pairwise
from typing import Literal

import numpy as np
import torch

from rmspace._checks import check_bool, check_int, check_number, shown
from rmspace._typing import FloatArray, IntArray
from rmspace.data.split import split_comparisons
from rmspace.kinds import Objective
from rmspace.models.core.base import BaseReward, draw_seed
from rmspace.models.core.columns import to_tensors
from rmspace.models.core.data import FitData
from rmspace.models.core.network import RewardNetwork, build_network, check_sizes
from rmspace.models.core.precision import find_device, find_precision, on_device
from rmspace.models.core.reuse import reused
from rmspace.models.core.scoring import Block, Scorer
from rmspace.models.core.training import Comparisons, Learner, Record, Schedule, scores_of, train
from rmspace.models.io.tensors import read_rows
from rmspace.objectives.gap import bradley_terry

__all__ = ["MLPReward"]

# Up to these sizes, starting a product costs as much as the product itself.
_TINY_STEP = 1 << 25  # multiplications to score a batch
_TINY_NETWORK = 1 << 15  # weights; each step stacks those of all networks


class MLPReward(BaseReward):
    """Multilayer perceptron reward model: dim -> hidden_sizes -> 1, ReLU between, trained by Adam.

    Minimises the weighted mean loss per comparison on score logits. Each epoch visits every comparison once. After each
    epoch, the loss on held-out prompts (or on `eval_set`) is measured. Training stops when it has not improved for
    `patience` epochs, and the best weights are kept. Objectives of the gap alone (Bradley-Terry among them) fix a
    reward only up to a constant. The constant of this model is arbitrary: compare differences, or centre the scores.

    Args:
        objective: (winner scores, loser scores, columns by name) -> one loss per pair.
        hidden_sizes: widths of the hidden layers; () is a linear model.
        learning_rate: of Adam.
        batch_size: comparisons per step.
        max_epochs: the most passes over the comparisons.
        patience: epochs without a better validation loss before training stops.
        weight_decay: decoupled (AdamW), at least 0.
        dropout: share of hidden units dropped in training, in [0, 1).
        validation_fraction: share of prompts held out, in [0, 1). Comparisons between a held-out prompt and another are
            not used; prompts compared with one another are held out together, so that such comparisons are few. 0
            trains for max_epochs and keeps the last weights. With an `eval_set`, no prompts are held out.
        random_state: seed of the initial weights, the held-out prompts and the order of batches.
        precision: of the items and the hidden products, in fit and predict: "float32", "bfloat16", or "auto". "auto"
            is bfloat16 where this machine multiplies it at least 1.5 times faster. That is measured once, in
            milliseconds; name a precision where results must not depend on it. Weights, losses, the last layer and the
            scores are always float32.
        device: "auto" is the GPU where there is one; else "cpu", "cuda:1" or any other name that torch knows. If the
            memory of a GPU does not suffice, the CPU is used, with a warning.
        verbose: show a progress bar; None shows it on a terminal only.

    Attributes:
        network_: the torch module, float32 on the CPU.
        precision_, device_: those that the fit used.
        history_: one dict per epoch, for `pandas.DataFrame(model.history_)`: epoch, training_loss, validation_loss,
            validation_accuracy (share of validation comparisons in the right order), seconds. Without validation, the
            validation columns are NaN.
        best_epoch_: the epoch, counted from 1, whose weights were kept.
        n_training_, n_validation_: numbers of comparisons.

    Source: the architecture and learning rate are those of arXiv 2411.04991.

    >>> from rmspace import make_synthetic_banks, same_prompt, annotate, oracle, spearman
    >>> train, test = make_synthetic_banks(200, 50, 8, 32, noise_std=0.0, seed=0)
    >>> rng = np.random.default_rng(0)
    >>> comparisons = annotate(same_prompt(train, 2000, rng), train.rewards, oracle, rng=rng)
    >>> model = MLPReward(hidden_sizes=(64,), random_state=0)
    >>> model = model.fit(train.items, comparisons, groups=train.groups)
    >>> bool(spearman(model.predict(test.items), test.rewards).mean() > 0.5)
    True
    """

    def __init__(
        self,
        objective: Objective = bradley_terry,
        *,
        hidden_sizes: Sequence[int] = (1024, 512),
        learning_rate: float = 1e-3,
        batch_size: int = 512,
        max_epochs: int = 30,
        patience: int = 3,
        weight_decay: float = 0.0,
        dropout: float = 0.0,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        device: str = "auto",
        verbose: bool | None = None,
    ) -> None:
        self.objective = objective
        self.hidden_sizes = hidden_sizes
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.precision = precision
        self.device = device
        self.verbose = verbose

    def _fit(self, data: FitData) -> None:
        self._schedule()
        self._warn_without_groups(data)
        seed = draw_seed(self.random_state)
        on_device(self._device(), lambda device: train_models([self], [data], [seed], device))

    def _warn_without_groups(self, data: FitData) -> None:
        if data.groups is None and self._holds_out(data):
            warnings.warn(
                "without groups, validation holds out items and not prompts, so responses to one prompt are on both "
                "sides; pass groups=bank.groups",
                UserWarning,
                stacklevel=4,
            )

    def _holds_out(self, data: FitData) -> bool:
        return self.validation_fraction > 0 and data.eval_set is None

    def _learner(self, data: FitData, comparisons: Comparisons, evaluation: Comparisons | None, seed: int) -> Learner:
        """Make a network, and hold out comparisons for its validation."""
        training, validation = comparisons, evaluation
        if self._holds_out(data):
            names = data.used_rows if data.groups is None else data.groups[data.used_rows]
            masks = split_comparisons(data.pairs, names, self.validation_fraction, np.random.default_rng(seed))
            training, validation = comparisons.part(masks[0]), comparisons.part(masks[1])
        generator = torch.Generator().manual_seed(seed)
        network = build_network(data.dim, self.hidden_sizes, self.dropout, generator)
        return Learner(network.to(comparisons.rows.device), training, validation, generator, data.on_epoch)

    def _take(self, learner: Learner) -> None:
        """Store the result of the training."""
        rows = learner.training.rows
        self.network_: RewardNetwork = learner.network.cpu().eval()
        self.history_: list[Record] = learner.history
        self.best_epoch_ = learner.best_epoch
        self.n_training_ = len(learner.training)
        self.n_validation_ = 0 if learner.validation is None else len(learner.validation)
        self.precision_ = str(rows.dtype).removeprefix("torch.")
        self.device_ = str(rows.device)
        self.n_features_in_ = rows.shape[1]

    def check_state(self) -> None:
        """Raise ValueError where the network is none, or for another number of features."""
        if not isinstance(self.network_, RewardNetwork) or self.network_.dim != self.n_features_in_:
            raise ValueError(f"network_ must be a network of {self.n_features_in_} inputs; got {shown(self.network_)}")
        super().check_state()

    def _has_epochs(self) -> bool:
        return True

    def _device(self) -> torch.device:
        return find_device(self.device)

    def _scorer(self, device: torch.device) -> Scorer:
        network = self.network_ if device.type == "cpu" else deepcopy(self.network_).to(device)
        precision = find_precision(self.precision, device)

        def score(block: Block) -> FloatArray:
            return np.asarray(scores_of(network, block.tensor(precision, device)).cpu().numpy())

        return score

    def _schedule(self) -> Schedule:
        """Check the parameters of the training."""
        check_sizes(self.hidden_sizes)
        if self.verbose is not None:
            check_bool("verbose", self.verbose)
        check_number("dropout", self.dropout, low=0.0, high=0.999)
        check_number("validation_fraction", self.validation_fraction, low=0.0, high=0.999)
        return Schedule(
            learning_rate=check_number("learning_rate", self.learning_rate, low=0.0),
            weight_decay=check_number("weight_decay", self.weight_decay, low=0.0),
            batch_size=check_int("batch_size", self.batch_size, low=1),
            max_epochs=check_int("max_epochs", self.max_epochs, low=1),
            patience=check_int("patience", self.patience, low=1),
        )


def batching_pays(model: MLPReward, dim: int) -> bool:
    """Say whether several such models train faster as one program: on a GPU, and on a CPU where they are tiny."""
    model._schedule()
    weights = sum(a * b for a, b in pairwise([dim, *model.hidden_sizes, 1]))
    tiny = weights <= _TINY_NETWORK and 2 * model.batch_size * weights <= _TINY_STEP
    return tiny or model._device().type != "cpu"


def train_models(
    models: Sequence[MLPReward], data: Sequence[FitData], seeds: Sequence[int], device: torch.device
) -> None:
    """Train models on one device, several of them as one program of batched products.

    They differ only in their seeds and in the weights of their comparisons. Each ends as its own fit would leave it, up
    to rounding. Several models must be without dropout.

    Raises:
        ValueError, TypeError, FloatingPointError: as `MLPReward.fit`.
        torch.OutOfMemoryError: the device cannot hold all models.
    """
    first, schedule = models[0], models[0]._schedule()
    precision = find_precision(first.precision, device)
    comparisons = _comparisons("rows", data, precision, device)
    evaluations: Sequence[Comparisons | None] = [None] * len(data)
    if data[0].eval_set is not None:
        evaluations = _comparisons("rows of eval_set", [data[0].eval_set], precision, device) * len(data)
    learners = [
        model._learner(part, own, evaluation, seed)
        for model, part, own, evaluation, seed in zip(models, data, comparisons, evaluations, seeds, strict=True)
    ]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):  # dropout uses torch's own generator
        for learner in learners:
            torch.manual_seed(int(torch.randint(2**62, (), generator=learner.generator)))
        train(learners, first.objective, schedule, verbose=first.verbose)
    for model, learner in zip(models, learners, strict=True):
        model._take(learner)


def _comparisons(kind: str, data: Sequence[FitData], precision: torch.dtype, device: torch.device) -> list[Comparisons]:
    """Read the rows that any of the fits uses, and give each fit's comparisons as positions in these rows."""
    items = data[0].items

    def read(rows: IntArray) -> torch.Tensor:
        return read_rows(items, rows, precision, device)

    used = reduce(np.union1d, [part.used_rows for part in data])
    tensor, rows = reused(kind, (precision, device), items, used, read, all_rows=data[0].all_rows)
    found = []
    for part in data:
        weights = (part.weights / part.weights.mean()).astype(np.float32)
        found.append(
            Comparisons(
                tensor,
                torch.from_numpy(np.searchsorted(rows, part.used_rows)[part.pairs]).to(device),
                torch.from_numpy(weights).to(device),
                to_tensors(part.columns, torch.float32, device),
            )
        )
    return found
