"""The one minibatch loop: Adam on any objective, real epochs, early stopping, best weights kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from rmspace._typing import Objective
from rmspace.models._gradients import pair_losses

_SCORE_ROWS = 1 << 12


@dataclass(frozen=True)
class Comparisons:
    """Comparisons as tensors: rows, pairs of positions in them, and weights."""

    rows: Tensor  # (n_rows, dim), in the precision and on the device of the training
    pairs: Tensor  # (n, 2); column 0 won
    weights: Tensor  # (n,), float32, on the device

    def part(self, mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Comparisons:
        """Return some of the comparisons over the same rows."""
        chosen = torch.from_numpy(np.flatnonzero(mask)).to(self.rows.device)
        return Comparisons(self.rows, self.pairs[chosen], self.weights[chosen])


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    learning_rate: float
    weight_decay: float
    batch_size: int
    max_epochs: int
    patience: int


@dataclass(frozen=True)
class History:
    """Mean losses a comparison after each epoch, and the epoch (1-based) whose weights were kept."""

    training: list[float]
    validation: list[float]
    best_epoch: int
    n_training: int  # comparisons trained on
    n_validation: int  # comparisons the validation loss is measured on


def train(
    network: nn.Module,
    training: Comparisons,
    validation: Comparisons | None,
    objective: Objective,
    schedule: Schedule,
    generator: torch.Generator,
) -> History:
    """Train `network` in place and leave in it the weights of the best validation loss.

    Every epoch visits every comparison once, in a new order. Training stops after `patience` epochs without a better
    validation loss; without validation it runs `max_epochs` and keeps the last weights.

    Raises:
        FloatingPointError: a loss or weights that are not finite, with the epoch, batch and learning rate.
        ValueError: an objective that breaks its promise.
    """
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True
    )
    training_losses: list[float] = []
    validation_losses: list[float] = []
    best, best_epoch, best_weights = np.inf, 0, None
    for epoch in tqdm(range(1, schedule.max_epochs + 1), desc="epochs", leave=False, disable=None):
        training_losses.append(_epoch(network, training, objective, schedule, optimizer, generator, epoch))
        if validation is None:
            best_epoch = epoch
            continue
        loss = mean_loss(network, validation, objective)
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"the validation loss became {loss} in epoch {epoch} at learning_rate={schedule.learning_rate:g}; "
                "lower learning_rate, scale the items, or check the objective"
            )
        validation_losses.append(loss)
        if loss < best:
            best, best_epoch = loss, epoch
            best_weights = {name: value.clone() for name, value in network.state_dict().items()}
        elif epoch - best_epoch >= schedule.patience:
            break
    if best_weights is not None:
        network.load_state_dict(best_weights)
    n_validation = 0 if validation is None else len(validation.pairs)
    return History(training_losses, validation_losses, best_epoch, len(training.pairs), n_validation)


def scores_of(network: nn.Module, rows: Tensor, ids: Tensor | None = None) -> Tensor:
    """Score rows, or some of them, in blocks, without gradients: (n_rows, dim) -> (n_rows,)."""
    network.eval()
    with torch.no_grad():
        if ids is None:
            return torch.cat([network(block).squeeze(1) for block in rows.split(_SCORE_ROWS)])
        return torch.cat([network(rows[block]).squeeze(1) for block in ids.split(_SCORE_ROWS)])


def mean_loss(network: nn.Module, data: Comparisons, objective: Objective) -> float:
    """Weighted mean loss a comparison, each row scored once."""
    touched, local = torch.unique(data.pairs, return_inverse=True)
    scores = scores_of(network, data.rows, touched)
    losses = pair_losses(objective, scores[local[:, 0]], scores[local[:, 1]])
    return float((losses * data.weights).sum() / data.weights.sum())


def _epoch(
    network: nn.Module,
    data: Comparisons,
    objective: Objective,
    schedule: Schedule,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    epoch: int,
) -> float:
    """Visit every comparison once and return the mean loss seen on the way."""
    network.train()
    order = torch.randperm(len(data.pairs), generator=generator).to(data.rows.device)
    total = 0.0
    for batch, chosen in enumerate(order.split(schedule.batch_size)):
        pairs = data.pairs[chosen]
        scores = network(data.rows[pairs.T.reshape(-1)]).squeeze(1)
        losses = pair_losses(objective, scores[: len(pairs)], scores[len(pairs) :])
        loss = (losses * data.weights[chosen]).mean()
        value = float(loss.detach())
        if not np.isfinite(value):
            raise FloatingPointError(
                f"the loss became {value} in epoch {epoch}, batch {batch} at learning_rate={schedule.learning_rate:g}; "
                "lower learning_rate, scale the items, or check the objective"
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += value * len(pairs)
    if not all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters()):
        raise FloatingPointError(
            f"the weights are no longer finite after epoch {epoch}, batch {batch} at "
            f"learning_rate={schedule.learning_rate:g}; lower learning_rate, or scale the items"
        )
    return total / len(order)
