"""A multilayer perceptron as reward model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rmspace._checks import check_int, check_number
from rmspace._typing import FloatArray, IntArray
from rmspace.data.split import split_comparisons
from rmspace.kinds import Objective
from rmspace.models.core.base import BaseReward, Scorer, Touched, draw_seed, touch
from rmspace.models.core.network import build_network
from rmspace.models.core.precision import find_device, find_precision, on_device
from rmspace.models.core.reuse import shared
from rmspace.models.core.training import Comparisons, History, Learner, Schedule, scores_of, train
from rmspace.models.io.tensors import read_rows, read_tensors, write_tensors
from rmspace.objectives import bradley_terry

__all__ = ["MLPReward"]

# Below, starting a product costs as much as the product.
_TINY_STEP = 1 << 25  # multiplications to score a batch
_TINY_NETWORK = 1 << 15  # weights, which each step stacks


class MLPReward(BaseReward):
    """Multilayer perceptron reward model: dim -> hidden_sizes -> 1, ReLU between, trained by Adam.

    Minimises the mean loss a comparison on score logits. Each epoch visits every comparison once; after each, the loss
    on held-out prompts is measured, training stops when it has not improved for `patience` epochs, and the best
    weights are kept. Objectives of the gap alone (Bradley-Terry among them) fix a reward only up to a constant, which
    here is whatever training left: compare differences, or centre the scores.

    Args:
        objective: (winner scores, loser scores) -> one loss a pair.
        hidden_sizes: widths of the hidden layers; () is a linear model.
        learning_rate: of Adam.
        batch_size: comparisons a step.
        max_epochs: at most so many passes over the comparisons.
        patience: epochs without a better validation loss before training stops.
        weight_decay: decoupled (AdamW), at least 0.
        dropout: share of hidden units dropped in training, in [0, 1).
        validation_fraction: share of prompts held out, in [0, 1); comparisons between a held-out prompt and another
            are not used, and prompts compared with one another are held out together to keep those few. 0 trains for
            max_epochs and keeps the last weights.
        random_state: seed of the initial weights, the held-out prompts and the order of batches.
        precision: of the items and the hidden products, in fit and predict: "float32", "bfloat16", or "auto", which is
            bfloat16 where this machine multiplies it at least 1.5 times faster (a measurement of milliseconds, made
            once; name one where results must not depend on it). Weights, losses, the last layer and the scores are
            float32 in any case.
        device: "auto" is the GPU where there is one; else "cpu", "cuda:1" or whatever torch knows. A GPU whose memory
            does not suffice is given up for the CPU, with a warning.

    Attributes:
        network_: the torch module, float32 on the CPU.
        precision_, device_: what the fit used.
        history_: training and validation loss after each epoch, the best epoch, and the number of comparisons of each.

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

    def fit(
        self,
        items: npt.ArrayLike,
        comparisons: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
    ) -> Self:
        """Learn from comparisons of items.

        Args:
            items: (n_items, dim); only the rows that comparisons touch are read.
            comparisons: int64 (n_comparisons, 2) of rows of `items`; column 0 won.
            sample_weight: (n_comparisons,), at least 0; ones when None. A soft label p is two rows, p and 1 - p.
            groups: (n_items,) prompts, `bank.groups`: whole prompts are held out for validation. Without them single
                items are, and a warning says so.

        Raises:
            ValueError, TypeError: input, a parameter or an objective that breaks its rule.
            FloatingPointError: the loss or the weights are no longer finite; the message has epoch, batch and
                learning rate.
            RuntimeError: the items lie in a file that changed.
        """
        on_device(self._device(), prepare_fits([self], items, comparisons, [sample_weight], groups))
        return self

    def _learner(self, data: Touched, ids: IntArray, seed: int, device: torch.device) -> Learner:
        """Put the comparisons in terms of the rows read, `ids`, and make a network to learn from them."""
        pairs = np.searchsorted(ids, data.ids)[data.pairs]
        weights = (data.weights / data.weights.mean()).astype(np.float32)
        training = Comparisons(torch.from_numpy(pairs).to(device), torch.from_numpy(weights).to(device))
        validation = None
        if self.validation_fraction > 0:
            names = data.ids if data.groups is None else data.groups[data.ids]
            masks = split_comparisons(data.pairs, names, self.validation_fraction, np.random.default_rng(seed))
            training, validation = training.part(masks[0]), training.part(masks[1])
        generator = torch.Generator().manual_seed(seed)
        network = build_network(data.items.shape[1], self.hidden_sizes, self.dropout, generator).to(device)
        return Learner(network, training, validation, generator)

    def _keep(self, learner: Learner, rows: Tensor) -> None:
        """Take over what was learned from some rows."""
        self.network_ = learner.network.cpu().eval()
        self.history_ = learner.history
        self.precision_ = str(rows.dtype).removeprefix("torch.")
        self.device_ = str(rows.device)
        self.n_features_in_ = rows.shape[1]

    def _device(self) -> torch.device:
        return find_device(self.device)

    def _scorers(self, device: torch.device) -> list[Scorer]:
        network = self.network_ if device.type == "cpu" else deepcopy(self.network_).to(device)

        def score(rows: Tensor) -> FloatArray:
            return np.asarray(scores_of(network, rows).cpu().numpy())

        return [Scorer(find_precision(self.precision, device), score)]

    def _check_parameters(self) -> Schedule:
        for size in self.hidden_sizes:
            check_int("hidden_sizes", size, low=1)
        check_number("dropout", self.dropout, low=0.0, high=0.999)
        check_number("validation_fraction", self.validation_fraction, low=0.0, high=0.999)
        return Schedule(
            learning_rate=check_number("learning_rate", self.learning_rate, low=0.0),
            weight_decay=check_number("weight_decay", self.weight_decay, low=0.0),
            batch_size=check_int("batch_size", self.batch_size, low=1),
            max_epochs=check_int("max_epochs", self.max_epochs, low=1),
            patience=check_int("patience", self.patience, low=1),
        )

    def _write(self, folder: Path) -> dict[str, Any]:
        weights = {name: value.numpy() for name, value in self.network_.state_dict().items()}
        write_tensors(folder / "weights.safetensors", weights)
        return {
            "n_features_in": self.n_features_in_,
            "history": asdict(self.history_),
            "precision": self.precision_,
            "device": self.device_,
        }

    def _read(self, folder: Path, state: dict[str, Any], trusted: Sequence[str]) -> None:  # noqa: ARG002
        network = build_network(state["n_features_in"], self.hidden_sizes, self.dropout, torch.Generator())
        tensors = read_tensors(folder / "weights.safetensors")
        network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in tensors.items()})
        self.network_ = network.eval()
        self.n_features_in_ = state["n_features_in"]
        self.history_ = History(**state["history"])
        self.precision_, self.device_ = state.get("precision", "float32"), state.get("device", "cpu")


def together_pays(model: MLPReward, dim: int) -> bool:
    """Say whether several such models train faster as one program: on a GPU, and on a CPU where they are tiny."""
    model._check_parameters()
    weights = sum(a * b for a, b in pairwise([dim, *model.hidden_sizes, 1]))
    tiny = weights <= _TINY_NETWORK and 2 * model.batch_size * weights <= _TINY_STEP
    return tiny or model._device().type != "cpu"


def prepare_fits(
    models: Sequence[MLPReward],
    items: npt.ArrayLike,
    comparisons: npt.ArrayLike,
    sample_weights: Sequence[npt.ArrayLike | None],
    groups: npt.ArrayLike | None,
) -> Callable[[torch.device], None]:
    """Check all input of some fits, draw the seeds, and return what is left: to fit on a device.

    Several models, which differ in nothing but seed and weights, are fitted as one program of batched products; each is
    what its own fit would make of it, but for what training makes of rounding. Of several, none may have dropout.

    Raises:
        ValueError, TypeError: as `MLPReward.fit`; what is returned raises its other errors, and
            torch.OutOfMemoryError where the device cannot hold all models.
    """
    first = models[0]
    schedule = first._check_parameters()
    data = [touch(items, comparisons, weights, groups) for weights in sample_weights]
    seeds = [draw_seed(model.random_state) for model in models]
    if groups is None and first.validation_fraction > 0:
        warnings.warn(
            "without groups, validation holds out items and not prompts, so that responses of one prompt stand on both "
            "sides; pass groups=bank.groups",
            UserWarning,
            stacklevel=3,
        )

    def fit(device: torch.device) -> None:
        dtype = find_precision(first.precision, device)
        rows, ids = shared(
            "rows",
            (dtype, device),
            data[0].items,
            reduce(np.union1d, [part.ids for part in data]),
            lambda ids: read_rows(data[0].items, ids, dtype, device),
            within=reduce(np.union1d, [part.within for part in data]),
        )
        learners = [
            model._learner(part, ids, seed, device) for model, part, seed in zip(models, data, seeds, strict=True)
        ]
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):  # dropout draws from torch's own
            for learner in learners:
                torch.manual_seed(int(torch.randint(2**62, (), generator=learner.generator)))
            train(learners, rows, first.objective, schedule)
        for model, learner in zip(models, learners, strict=True):
            model._keep(learner, rows)

    return fit
