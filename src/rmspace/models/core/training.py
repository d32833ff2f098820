"""The minibatch loop: AdamW on any objective, full epochs, early stopping, best weights kept.

Several networks of one shape can be trained in the same loop, each on its own comparisons in its own order. Each step
of all of them is then one batched product.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from rmspace._typing import Float64Array
from rmspace.data.progress import progress
from rmspace.kinds import Objective
from rmspace.models.core.columns import bind
from rmspace.models.core.gradients import pair_losses
from rmspace.models.core.network import RewardNetwork

_SCORE_ROWS = 1 << 12

Record = dict[str, Any]  # epoch, training_loss, validation_loss, validation_accuracy, seconds


@dataclass(frozen=True)
class Comparisons:
    """Comparisons as tensors on the device of the training."""

    rows: Tensor  # (n_rows, dim), in the precision of the training
    pairs: Tensor  # (n, 2) positions in `rows`; column 0 won
    weights: Tensor  # (n,), float32
    columns: Mapping[str, Tensor] = field(default_factory=dict)  # (n,) each, what the objective asks for

    def __len__(self) -> int:
        return len(self.pairs)

    def part(self, mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Comparisons:
        """Return some of the comparisons."""
        chosen = torch.from_numpy(np.flatnonzero(mask)).to(self.pairs.device)
        columns = {name: column[chosen] for name, column in self.columns.items()}
        return Comparisons(self.rows, self.pairs[chosen], self.weights[chosen], columns)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    learning_rate: float
    weight_decay: float
    batch_size: int
    max_epochs: int
    patience: int


@dataclass
class Learner:
    """A network, its data, and the record of its training."""

    network: RewardNetwork
    training: Comparisons
    validation: Comparisons | None
    generator: torch.Generator  # draws the order of its comparisons
    on_epoch: Callable[[Record], object] | None = None
    history: list[Record] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = np.inf
    best_weights: dict[str, Tensor] | None = None


def train(
    learners: Sequence[Learner], objective: Objective, schedule: Schedule, *, verbose: bool | None = None
) -> None:
    """Train networks in place, and leave in each the weights of its best validation loss.

    Every epoch visits every comparison once, in a new order. A learner stops after `patience` epochs without a better
    validation loss; without validation it runs for `max_epochs` and keeps the last weights. Learners do not influence
    each other: trained as one program or one by one, each ends with the same weights, up to rounding.

    Args:
        learners: with networks of one shape; their comparisons share their rows.
        objective: (winner scores, loser scores, columns by name) -> one loss per pair.
        schedule: for all of them.
        verbose: show a progress bar; None shows it on a terminal only.

    Raises:
        FloatingPointError: a loss or weights that are not finite, with the epoch, batch and learning rate.
        ValueError: an objective that breaks its rule.
    """
    optimizer = torch.optim.AdamW(
        [parameter for learner in learners for parameter in learner.network.parameters()],
        lr=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        fused=True,
    )
    running = sorted(learners, key=lambda learner: -len(learner.training))  # the one with the fewest batches is last
    for epoch in progress(range(1, schedule.max_epochs + 1), "epochs", show=verbose):
        start = time.perf_counter()
        losses = _run_epoch(running, objective, schedule, optimizer, epoch)
        for learner, loss in zip(running, losses, strict=True):
            _finish_epoch(learner, loss, objective, schedule, epoch, start)
        running = [learner for learner in running if _goes_on(learner, schedule, epoch)]
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


def validate(network: nn.Module, data: Comparisons, objective: Objective) -> tuple[float, float]:
    """Return the weighted mean loss per comparison, and the share of comparisons in the right order (equal: half)."""
    used, positions = torch.unique(data.pairs, return_inverse=True)
    scores = scores_of(network, data.rows, used)
    winner, loser = scores[positions[:, 0]], scores[positions[:, 1]]
    losses = pair_losses(bind(objective, data.columns), winner, loser)
    total = data.weights.sum()
    right = (winner > loser).float() + (winner == loser).float() / 2
    return float((losses * data.weights).sum() / total), float((right * data.weights).sum() / total)


def _finish_epoch(
    learner: Learner, training_loss: float, objective: Objective, schedule: Schedule, epoch: int, start: float
) -> None:
    """Measure the validation loss after an epoch, keep the weights if it is the best, and write the epoch's record."""
    loss, accuracy = float("nan"), float("nan")
    if learner.validation is None:
        learner.best_epoch = epoch
    else:
        loss, accuracy = validate(learner.network, learner.validation, objective)
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"the validation loss became {loss} in epoch {epoch} at learning_rate={schedule.learning_rate:g}; "
                "lower learning_rate, scale the items, or check the objective"
            )
        if loss < learner.best_loss:
            learner.best_epoch, learner.best_loss = epoch, loss
            learner.best_weights = {name: value.clone() for name, value in learner.network.state_dict().items()}
    record = {
        "epoch": epoch,
        "training_loss": training_loss,
        "validation_loss": loss,
        "validation_accuracy": accuracy,
        "seconds": time.perf_counter() - start,
    }
    learner.history.append(record)
    if learner.on_epoch is not None:
        learner.on_epoch(dict(record))


def _goes_on(learner: Learner, schedule: Schedule, epoch: int) -> bool:
    return learner.validation is None or epoch - learner.best_epoch < schedule.patience


def _run_epoch(
    learners: Sequence[Learner], objective: Objective, schedule: Schedule, optimizer: torch.optim.Optimizer, epoch: int
) -> list[float]:
    """Visit every comparison of each learner once; return the mean losses seen. Learners are sorted, longest first."""
    sizes = torch.tensor([len(learner.training) for learner in learners])
    starts = torch.arange(0, int(sizes[0]), schedule.batch_size)
    counts = (sizes - starts[:, None]).clamp(0, schedule.batch_size)  # (n_steps, n_learners)
    divisors = counts.to(learners[0].training.rows.device)
    data = _shuffle(learners)
    found = []
    for learner in learners:
        learner.network.train()
    try:
        for step, n_active in enumerate((counts > 0).sum(dim=1).tolist()):
            batch = data.batch(n_active, step * schedule.batch_size, schedule.batch_size)
            losses = _losses([learner.network for learner in learners[:n_active]], batch, objective)
            means = (losses * batch.weights).sum(dim=1) / divisors[step, :n_active]
            found.append(means.detach())
            optimizer.zero_grad()
            means.sum().backward()
            optimizer.step()  # skips learners without a gradient, whose batches are used up
    finally:  # an objective may fail on scores that are not finite: the table then reports the scores instead
        table = _loss_table(found, counts, schedule, epoch)
    _check_weights(learners, len(counts) - 1, schedule, epoch)
    totals = (table * counts.numpy()).sum(axis=0) / counts.sum(dim=0).numpy()
    return [float(total) for total in totals]


@dataclass(frozen=True)
class _Shuffled:
    """The comparisons of all learners, each in its own new order, side by side."""

    rows: Tensor
    pairs: Tensor  # (n_learners, n, 2)
    weights: Tensor  # (n_learners, n)
    columns: Mapping[str, Tensor]  # (n_learners, n) each

    def batch(self, n_learners: int, start: int, size: int) -> _Shuffled:
        """Return the comparisons of one step, for the first learners."""
        here = slice(n_learners), slice(start, start + size)
        columns = {name: column[here] for name, column in self.columns.items()}
        return _Shuffled(self.rows, self.pairs[here], self.weights[here], columns)


def _shuffle(learners: Sequence[Learner]) -> _Shuffled:
    """Put each learner's comparisons in a new order; pad shorter lists with their first comparison at weight 0."""
    longest = max(len(learner.training) for learner in learners)
    orders = []
    for learner in learners:
        n = len(learner.training)
        order = torch.randperm(n, generator=learner.generator)
        orders.append(torch.cat([order, order[:1].expand(longest - n)]).to(learner.training.pairs.device))
    data = [learner.training for learner in learners]
    weights = [part.weights[order] for part, order in zip(data, orders, strict=True)]
    for part, weight in zip(data, weights, strict=True):
        weight[len(part) :] = 0
    return _Shuffled(
        data[0].rows,
        torch.stack([part.pairs[order] for part, order in zip(data, orders, strict=True)]),
        torch.stack(weights),
        {
            name: torch.stack([part.columns[name][order] for part, order in zip(data, orders, strict=True)])
            for name in data[0].columns
        },
    )


def _losses(networks: Sequence[nn.Module], batch: _Shuffled, objective: Objective) -> Tensor:
    """Return each network's losses on its own comparisons, (n_networks, n)."""
    n = batch.pairs.shape[1]
    items = batch.rows[batch.pairs.transpose(1, 2).flatten(1)]  # (n_networks, 2 n, dim): winners, then losers
    if len(networks) == 1:
        scores = networks[0](items[0]).T
    else:
        names = [name for name, _ in networks[0].named_parameters()]
        values = zip(*(network.parameters() for network in networks), strict=True)
        stacked = {name: torch.stack(value) for name, value in zip(names, values, strict=True)}

        def score(parameters: dict[str, Tensor], block: Tensor) -> Tensor:
            return functional_call(networks[0], parameters, (block,)).squeeze(1)

        scores = torch.vmap(score)(stacked, items)
    bound = bind(objective, {name: column.flatten() for name, column in batch.columns.items()})
    return pair_losses(bound, scores[:, :n].flatten(), scores[:, n:].flatten()).view(-1, n)


def _loss_table(means: Sequence[Tensor], counts: Tensor, schedule: Schedule, epoch: int) -> Float64Array:
    """Return the mean losses of all steps, (n_steps, n_learners), and check that they are finite."""
    table, done = np.zeros(counts.shape), (counts > 0).numpy()
    done[len(means) :] = False
    if means:
        table[done] = torch.cat(list(means)).cpu().numpy()  # waits for the device once
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
