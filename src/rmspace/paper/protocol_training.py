"""How the published code trains: its rows, its split, its batches and its stopping rule, each beside the corrected one.

Used by `rmspace.paper.protocol.ProtocolMLPReward`, whose module lists the flaws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from rmspace._typing import IntArray
from rmspace.data.split import split_comparisons
from rmspace.models.core.data import OnEpoch
from rmspace.models.core.training import Record, scores_of

_WINDOW = 3  # the published rule stops when the newest loss is above each of the three before it


@dataclass(frozen=True)
class Rows:
    """Training rows: a pair and whether its first item won, or one item and whether it won."""

    first: IntArray
    second: IntArray | None  # None for rows of one item
    target: npt.NDArray[np.float32]
    comparison: IntArray  # the comparison that each row comes from

    def __len__(self) -> int:
        return len(self.target)

    def part(self, chosen: IntArray) -> Rows:
        """Return the chosen rows."""
        second = None if self.second is None else self.second[chosen]
        return Rows(self.first[chosen], second, self.target[chosen], self.comparison[chosen])


@dataclass(frozen=True)
class Schedule:
    """The settings of a training run; the last four are flaws."""

    learning_rate: float
    batch_size: int
    max_epochs: int
    patience: int
    redrawn_batches: bool
    window_stopping: bool
    last_weights: bool
    sigmoid_bce: bool


class Watched(NamedTuple):
    """Items and rows whose loss is measured after each epoch."""

    items: Tensor
    rows: Rows


@dataclass
class Losses:
    """Mean loss per row after each epoch, and the epoch (1-based) whose weights are kept."""

    records: list[Record] = field(default_factory=list)  # epoch, training_loss, validation_loss, eval_loss
    best_epoch: int = 0
    kept_epoch: int = 0

    @property
    def validation(self) -> list[float]:
        """The validation losses."""
        return [record["validation_loss"] for record in self.records]


def make_rows(pairs: IntArray, objective: str, *, mirrored: bool) -> Rows:
    """Make training rows of comparisons (n, 2), column 0 won.

    Classification has two rows per comparison, one per item. Bradley-Terry has one row per comparison, or both orders
    of it when `mirrored`.
    """
    winner, loser = pairs.T
    ids, ones = np.arange(len(pairs)), np.ones(len(pairs), np.float32)
    twice, target = np.concatenate([ids, ids]), np.concatenate([ones, 0 * ones])
    if objective == "classification":
        return Rows(np.concatenate([winner, loser]), None, target, twice)
    if mirrored:
        return Rows(np.concatenate([winner, loser]), np.concatenate([loser, winner]), target, twice)
    return Rows(winner, loser, ones, ids)


def split_rows(rows: Rows, fraction: float, generator: torch.Generator) -> tuple[Rows, Rows]:
    """Split rows at random into (training, validation), as published: the two rows of a comparison can be separated."""
    n = len(rows)
    size = round(fraction * n)
    if not 0 < size < n:
        raise ValueError(f"validation needs rows on both sides; got {size} of {n}; give more comparisons")
    order = torch.randperm(n, generator=generator).numpy()
    return rows.part(order[size:]), rows.part(order[:size])


def split_rows_by_prompt(
    rows: Rows, pairs: IntArray, groups: npt.NDArray[np.generic], fraction: float, generator: torch.Generator
) -> tuple[Rows, Rows]:
    """Split rows into (training, validation) so that no prompt is on both sides; `groups` has the prompt per item."""
    seed = int(torch.randint(2**31, (), generator=generator))
    masks = split_comparisons(pairs, groups, fraction, np.random.default_rng(seed))
    training, validation = (rows.part(np.flatnonzero(mask[rows.comparison])) for mask in masks)
    return training, validation


def train(
    network: nn.Module,
    items: Tensor,
    training: Rows,
    validation: Rows,
    schedule: Schedule,
    generator: torch.Generator,
    watched: Watched | None = None,
    on_epoch: OnEpoch | None = None,
) -> Losses:
    """Train a network in place with Adam and return its losses.

    Raises:
        FloatingPointError: scores that are no longer finite.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=schedule.learning_rate)
    losses, best_weights = Losses(), network.state_dict()
    for epoch in range(1, schedule.max_epochs + 1):
        training_loss = _run_epoch(network, optimizer, items, training, schedule, generator)
        validation_loss = mean_loss(network, items, validation, schedule)
        record = {"epoch": epoch, "training_loss": training_loss, "validation_loss": validation_loss}
        if watched is not None:
            record["eval_loss"] = mean_loss(network, watched.items, watched.rows, schedule)
        losses.records.append(record)
        if on_epoch is not None:
            on_epoch(dict(record))
        if losses.validation[-1] < min(losses.validation[:-1], default=math.inf):
            losses.best_epoch = epoch
            best_weights = {name: value.clone() for name, value in network.state_dict().items()}
        if stops(losses.validation, epoch - losses.best_epoch, schedule):
            break
    losses.kept_epoch = len(losses.records) if schedule.last_weights else losses.best_epoch
    if not schedule.last_weights:
        network.load_state_dict(best_weights)
    return losses


def stops(validation: Sequence[float], since_best: int, schedule: Schedule) -> bool:
    """Say whether training stops after these validation losses, `since_best` epochs after the least of them."""
    if schedule.window_stopping:
        return len(validation) > _WINDOW and validation[-1] > max(validation[-_WINDOW - 1 : -1])
    return since_best >= schedule.patience


def batches(n: int, schedule: Schedule, generator: torch.Generator) -> Iterator[IntArray]:
    """Yield the row numbers of each batch of an epoch over n rows."""
    order = torch.randperm(n, generator=generator)
    for start in range(0, n, schedule.batch_size):
        if schedule.redrawn_batches:
            yield torch.randperm(n, generator=generator)[: schedule.batch_size].numpy()
        else:
            yield order[start : start + schedule.batch_size].numpy()


def row_losses(network: nn.Module, items: Tensor, rows: Rows, schedule: Schedule) -> Tensor:
    """Return the loss of each row, with gradients."""
    sides = [rows.first] if rows.second is None else [rows.first, rows.second]
    # The network scores each item once per batch, however many rows it is in: the same loss in two thirds of the time.
    ids, places = np.unique(np.concatenate(sides), return_inverse=True)
    scores = network(items[torch.from_numpy(ids)]).squeeze(1)[torch.from_numpy(places)]
    n = len(rows)
    return cross_entropy(scores if rows.second is None else scores[:n] - scores[n:], rows.target, schedule)


def mean_loss(network: nn.Module, items: Tensor, rows: Rows, schedule: Schedule) -> float:
    """Return the mean loss per row, without gradients."""
    scores = scores_of(network, items)
    logits = scores[rows.first] if rows.second is None else scores[rows.first] - scores[rows.second]
    return float(cross_entropy(logits, rows.target, schedule).mean())


def cross_entropy(logits: Tensor, target: npt.NDArray[np.float32], schedule: Schedule) -> Tensor:
    """Return the cross-entropy of each logit: of its float32 sigmoid as published, or of the logit itself."""
    if not bool(torch.isfinite(logits).all()):
        raise FloatingPointError(
            f"the scores are no longer finite at learning_rate={schedule.learning_rate:g}; "
            "lower learning_rate, or scale the items"
        )
    won = torch.from_numpy(target)
    if schedule.sigmoid_bce:
        return binary_cross_entropy(torch.sigmoid(logits), won, reduction="none")
    return binary_cross_entropy_with_logits(logits, won, reduction="none")


def _run_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    items: Tensor,
    rows: Rows,
    schedule: Schedule,
    generator: torch.Generator,
) -> float:
    """Take the steps of one epoch and return the mean loss per row that they saw."""
    network.train()
    total, seen = 0.0, 0
    for chosen in batches(len(rows), schedule, generator):
        loss = row_losses(network, items, rows.part(chosen), schedule).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total, seen = total + float(loss.detach()) * len(chosen), seen + len(chosen)
    return total / seen
