"""The one minibatch loop: Adam on any objective, real epochs, early stopping, best weights kept.

Several networks of one shape learn in the same loop, each from its own comparisons in its own order; their steps are
then one program of batched products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from tqdm import tqdm

from rmspace._typing import Float64Array
from rmspace.kinds import Objective
from rmspace.models.core.gradients import pair_losses

_SCORE_ROWS = 1 << 12


@dataclass(frozen=True)
class Comparisons:
    """Comparisons as tensors on the device of the training: pairs of positions in its rows, and weights."""

    pairs: Tensor  # (n, 2); column 0 won
    weights: Tensor  # (n,), float32

    def part(self, mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Comparisons:
        """Return some of the comparisons."""
        chosen = torch.from_numpy(np.flatnonzero(mask)).to(self.pairs.device)
        return Comparisons(self.pairs[chosen], self.weights[chosen])


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


@dataclass
class Learner:
    """A network, what it learns from, and how far it has come."""

    network: nn.Module
    training: Comparisons
    validation: Comparisons | None
    generator: torch.Generator  # draws the order of its comparisons
    training_losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: dict[str, Tensor] | None = None

    @property
    def history(self) -> History:
        """What training has left to tell."""
        n_validation = 0 if self.validation is None else len(self.validation.pairs)
        return History(
            self.training_losses, self.validation_losses, self.best_epoch, len(self.training.pairs), n_validation
        )


def train(learners: Sequence[Learner], rows: Tensor, objective: Objective, schedule: Schedule) -> None:
    """Train networks in place and leave in each the weights of its best validation loss.

    Every epoch visits every comparison once, in a new order. A learner stops after `patience` epochs without a better
    validation loss; without validation it runs `max_epochs` and keeps the last weights. Learners do not touch each
    other: together or alone, each ends with the same weights, up to the rounding of its products.

    Args:
        learners: with networks of one shape, on the device of the rows.
        rows: (n_rows, dim), in the precision of the training.
        objective: (winner scores, loser scores) -> one loss a pair.
        schedule: for all of them.

    Raises:
        FloatingPointError: a loss or weights that are not finite, with the epoch, batch and learning rate.
        ValueError: an objective that breaks its promise.
    """
    optimizer = torch.optim.AdamW(
        [parameter for learner in learners for parameter in learner.network.parameters()],
        lr=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        fused=True,
    )
    running = list(learners)
    for epoch in tqdm(range(1, schedule.max_epochs + 1), desc="epochs", leave=False, disable=None):
        _epoch(running, rows, objective, schedule, optimizer, epoch)
        running = [learner for learner in running if _goes_on(learner, rows, objective, schedule, epoch)]
        if not running:
            break
    for learner in learners:
        if learner.best_weights is not None:
            learner.network.load_state_dict(learner.best_weights)


def scores_of(network: nn.Module, rows: Tensor, ids: Tensor | None = None) -> Tensor:
    """Score rows, or some of them, in blocks, without gradients: (n_rows, dim) -> (n_rows,)."""
    network.eval()
    with torch.no_grad():
        if ids is None:
            return torch.cat([network(block).squeeze(1) for block in rows.split(_SCORE_ROWS)])
        return torch.cat([network(rows[block]).squeeze(1) for block in ids.split(_SCORE_ROWS)])


def mean_loss(network: nn.Module, data: Comparisons, rows: Tensor, objective: Objective) -> float:
    """Weighted mean loss a comparison, each row scored once."""
    touched, local = torch.unique(data.pairs, return_inverse=True)
    scores = scores_of(network, rows, touched)
    losses = pair_losses(objective, scores[local[:, 0]], scores[local[:, 1]])
    return float((losses * data.weights).sum() / data.weights.sum())


def _goes_on(learner: Learner, rows: Tensor, objective: Objective, schedule: Schedule, epoch: int) -> bool:
    """Measure the validation loss after an epoch, keep the weights if it is the best, and say whether to go on."""
    if learner.validation is None:
        learner.best_epoch = epoch
        return True
    loss = mean_loss(learner.network, learner.validation, rows, objective)
    if not np.isfinite(loss):
        raise FloatingPointError(
            f"the validation loss became {loss} in epoch {epoch} at learning_rate={schedule.learning_rate:g}; "
            "lower learning_rate, scale the items, or check the objective"
        )
    if loss < min(learner.validation_losses, default=np.inf):
        learner.best_epoch = epoch
        learner.best_weights = {name: value.clone() for name, value in learner.network.state_dict().items()}
    learner.validation_losses.append(loss)
    return epoch - learner.best_epoch < schedule.patience


def _epoch(
    learners: Sequence[Learner],
    rows: Tensor,
    objective: Objective,
    schedule: Schedule,
    optimizer: torch.optim.Optimizer,
    epoch: int,
) -> None:
    """Visit every comparison of each learner once, and note the mean losses seen on the way."""
    learners = sorted(learners, key=lambda learner: -len(learner.training.pairs))  # who runs out stands last
    sizes = torch.tensor([len(learner.training.pairs) for learner in learners])
    starts = torch.arange(0, int(sizes[0]), schedule.batch_size)
    counts = (sizes - starts[:, None]).clamp(0, schedule.batch_size)  # (n_steps, n_learners)
    divisors = counts.to(rows.device)
    pairs, weights = _shuffle(learners)
    found = []
    for learner in learners:
        learner.network.train()
    try:
        for step, n_active in enumerate((counts > 0).sum(dim=1).tolist()):
            batch = slice(step * schedule.batch_size, (step + 1) * schedule.batch_size)
            losses = _losses(
                [learner.network for learner in learners[:n_active]], rows, pairs[:n_active, batch], objective
            )
            means = (losses * weights[:n_active, batch]).sum(dim=1) / divisors[step, :n_active]
            found.append(means.detach())
            optimizer.zero_grad()
            means.sum().backward()
            optimizer.step()  # leaves alone who has no gradient
    finally:  # what an objective makes of scores that are no longer finite is not the fault to tell
        table = _table(found, counts, schedule, epoch)
    _check_weights(learners, len(counts) - 1, schedule, epoch)
    totals = (table * counts.numpy()).sum(axis=0) / counts.sum(dim=0).numpy()
    for learner, loss in zip(learners, totals.tolist(), strict=True):
        learner.training_losses.append(loss)


def _shuffle(learners: Sequence[Learner]) -> tuple[Tensor, Tensor]:
    """Put each learner's comparisons in a new order: pairs (n_learners, n, 2) and weights (n_learners, n).

    Shorter ones are filled up with their own first comparison at weight 0.
    """
    longest = max(len(learner.training.pairs) for learner in learners)
    pairs, weights = [], []
    for learner in learners:
        n = len(learner.training.pairs)
        order = torch.randperm(n, generator=learner.generator)
        order = torch.cat([order, order[:1].expand(longest - n)]).to(learner.training.pairs.device)
        pairs.append(learner.training.pairs[order])
        weights.append(learner.training.weights[order])
        weights[-1][n:] = 0
    return torch.stack(pairs), torch.stack(weights)


def _losses(networks: Sequence[nn.Module], rows: Tensor, pairs: Tensor, objective: Objective) -> Tensor:
    """Return each network's losses on its own comparisons: pairs (n_networks, n, 2) -> (n_networks, n)."""
    n = pairs.shape[1]
    items = rows[pairs.transpose(1, 2).flatten(1)]  # (n_networks, 2 n, dim): winners, then losers
    if len(networks) == 1:
        scores = networks[0](items[0]).T
    else:
        names = [name for name, _ in networks[0].named_parameters()]
        values = zip(*(network.parameters() for network in networks), strict=True)
        stacked = {name: torch.stack(value) for name, value in zip(names, values, strict=True)}

        def score(parameters: dict[str, Tensor], block: Tensor) -> Tensor:
            return functional_call(networks[0], parameters, (block,)).squeeze(1)

        scores = torch.vmap(score)(stacked, items)
    return pair_losses(objective, scores[:, :n].flatten(), scores[:, n:].flatten()).view(-1, n)


def _table(means: Sequence[Tensor], counts: Tensor, schedule: Schedule, epoch: int) -> Float64Array:
    """Put the mean losses of steps in a table, (n_steps, n_learners), after a check that they are finite."""
    table, done = np.zeros(counts.shape), (counts > 0).numpy()
    done[len(means) :] = False
    if means:
        table[done] = torch.cat(list(means)).cpu().numpy()  # one wait for the device
    if not np.isfinite(table).all():
        batch, who = np.argwhere(~np.isfinite(table))[0]
        raise FloatingPointError(
            f"the loss became {table[batch, who]} in epoch {epoch}, batch {batch} at "
            f"learning_rate={schedule.learning_rate:g}; lower learning_rate, scale the items, or check the objective"
        )
    return table


def _check_weights(learners: Sequence[Learner], batch: int, schedule: Schedule, epoch: int) -> None:
    for learner in learners:
        if not all(bool(torch.isfinite(parameter).all()) for parameter in learner.network.parameters()):
            raise FloatingPointError(
                f"the weights are no longer finite after epoch {epoch}, batch {batch} at "
                f"learning_rate={schedule.learning_rate:g}; lower learning_rate, or scale the items"
            )
