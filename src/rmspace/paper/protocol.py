"""The published training and evaluation protocol, with its traps as keywords that can be switched off one by one.

| trap | keyword | the mended way, when False |
|---|---|---|
| both orders of each pair are rows (Bradley-Terry) | `mirrored_rows` | each pair once |
| rows are split 80/20, so a row's mirror image is on the other side | `row_split` | whole prompts are held out |
| a batch is a new random subset: an epoch misses some rows | `redrawn_batches` | an epoch is each row once |
| a batch is 10,240 rows: one or two steps an epoch | `batch_size` | any number |
| stops when a loss exceeds each of the three before it | `window_stopping` | no better loss for `patience` epochs |
| the last weights are kept | `last_weights` | those of the best validation loss |
| sigmoid, then cross-entropy of its float32 | `sigmoid_bce` | the loss of the logit |
| a cross-prompt pair's second side is drawn alone: a prompt may meet itself | `independent_sides` | two prompts |
| Best-of-N by 100 permutations that all prompts share | `shared_permutations` | a permutation for each prompt |
| the first of equal scores in the permutation wins | `first_wins` | equal scores share |

Left out, since a study could not learn from them: the unseeded shuffle of the rows before their split, an item paired
with itself, aggregates of ensembles of one, an "accuracy" that counts failures. What a bank may suffer from (ten
distinct gold rewards, embeddings of padding) is found by `ResponseBank.health`. The exact expectation that mends
Best-of-N altogether is `best_of_n`; what mends the training, with other defaults, `MLPReward`. Facts are those of the
code release of arXiv 2411.04991, some of whose states never stop early (`patience=max_epochs, window_stopping=False`);
this is written afresh. Epochs are counted as full passes would be: ceil(rows / batch_size) steps.

>>> ProtocolMLPReward().mirrored_rows, ProtocolMLPReward(mirrored_rows=False).row_split
(True, True)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from rmspace._checks import check_int, check_number, check_rng
from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.candidates import all_responses, check_candidates, of_prompts
from rmspace.data.arrays import check_scores
from rmspace.data.bank import ResponseBank
from rmspace.data.split import split_comparisons
from rmspace.kinds import Candidates
from rmspace.metrics.best_of_n import as_sizes, best_of_n
from rmspace.models.core.base import BaseReward, draw_seed, gather
from rmspace.models.core.network import build_network
from rmspace.models.core.training import scores_of
from rmspace.pairs import cross_prompt

_WINDOW = 3  # losses that the newest must exceed


@dataclass(frozen=True)
class ProtocolHistory:
    """Mean losses a row after each epoch, and the epoch (1-based) whose weights were kept."""

    training: list[float]  # over the batches of the epoch
    validation: list[float]
    held_out: list[float]  # of the comparisons given as `held_out`, each pair once
    kept_epoch: int
    n_training: int  # rows
    n_validation: int


@dataclass(frozen=True)
class _Rows:
    """Training rows: a pair and whether its first won, or an item and whether it won; and the comparison of each."""

    first: IntArray
    second: IntArray | None  # None for single items
    target: npt.NDArray[np.float32]
    comparison: IntArray

    def part(self, chosen: IntArray) -> _Rows:
        second = None if self.second is None else self.second[chosen]
        return _Rows(self.first[chosen], second, self.target[chosen], self.comparison[chosen])


class ProtocolMLPReward(BaseReward):
    """Multilayer perceptron trained as the published code does; its faults are keywords, each on by default.

    Bradley-Terry: sigma(f(x1) - f(x2)) against who won; classification: sigma(f(x)) against whether x won. Adam,
    dim -> hidden_sizes -> 1, ReLU. The module's table says what each keyword mends when it is False.

    Args:
        objective: "bradley_terry" or "classification"; the protocol knows no other.
        mirrored_rows, row_split, redrawn_batches, window_stopping, last_weights, sigmoid_bce: the traps.
        batch_size: rows a step.
        hidden_sizes, learning_rate, max_epochs: of the published settings.
        patience: epochs without a better loss, when `window_stopping` is False.
        validation_fraction: share of rows, or of prompts when `row_split` is False, held out, from 1e-6 to 0.999.
        random_state: seed of the initial weights, the split and the batches.

    Attributes:
        network_: the torch module.
        history_: `ProtocolHistory`.

    Source: arXiv 2411.04991 and its code release.

    >>> from rmspace import make_synthetic_banks, same_prompt, annotate, oracle
    >>> train, test = make_synthetic_banks(100, 20, 6, 32, seed=0)
    >>> rng = np.random.default_rng(0)
    >>> comparisons = annotate(same_prompt(train, 500, rng), train.rewards, oracle, rng=rng)
    >>> model = ProtocolMLPReward(hidden_sizes=(32,), random_state=0).fit(train.items, comparisons)
    >>> model.history_.n_training, model.predict(test.items).shape  # 80% of both orders
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

    def fit(
        self,
        items: npt.ArrayLike,
        comparisons: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
        *,
        held_out: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    ) -> Self:
        """Learn from comparisons of items.

        Args:
            items: (n_items, dim).
            comparisons: int64 (n_comparisons, 2) of rows of `items`; column 0 won.
            sample_weight: must be None: the protocol has no weights.
            groups: (n_items,) prompts; needed when `row_split` is False.
            held_out: (items, comparisons) of prompts that are not trained on, whose loss is noted after each epoch.

        Raises:
            ValueError, TypeError: input or a parameter that breaks its rule.
            FloatingPointError: scores that are no longer finite.
        """
        self._check_parameters()
        if sample_weight is not None:
            raise ValueError("the published protocol has no sample_weight; use MLPReward")
        if not self.row_split and groups is None:
            raise ValueError("row_split=False holds out prompts; pass groups=bank.groups")
        data = gather(items, comparisons, None, groups, np.float32)
        rows = self._rows(data.pairs)
        generator = torch.Generator().manual_seed(draw_seed(self.random_state))
        training, validation = self._split(rows, np.asarray(comparisons), groups, generator)
        network = build_network(data.rows.shape[1], self.hidden_sizes, 0.0, generator)
        watched = None if held_out is None else gather(*held_out, None, None, np.float32)
        if watched is not None and watched.rows.shape[1] != data.rows.shape[1]:
            raise ValueError(
                f"held_out must have items of the training dim {data.rows.shape[1]}; got {watched.rows.shape[1]}"
            )
        table = torch.from_numpy(np.asarray(data.rows))
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        losses: tuple[list[float], list[float], list[float]] = ([], [], [])
        best, kept, weights = math.inf, 0, None
        for epoch in range(1, self.max_epochs + 1):
            losses[0].append(self._epoch(network, optimizer, table, training, generator))
            losses[1].append(self._mean_loss(network, table, validation))
            if watched is not None:
                pairs = self._rows(watched.pairs, mirrored=False)
                losses[2].append(self._mean_loss(network, torch.from_numpy(np.asarray(watched.rows)), pairs))
            if losses[1][-1] < best:
                best, kept = losses[1][-1], epoch
                weights = {name: value.clone() for name, value in network.state_dict().items()}
            if self._stops(losses[1], epoch - kept):
                break
        if self.last_weights:
            kept = epoch
        elif weights is not None:
            network.load_state_dict(weights)
        self.network_ = network.eval()
        self.n_features_in_ = table.shape[1]
        self.history_ = ProtocolHistory(*losses, kept, len(training.target), len(validation.target))
        return self

    def _rows(self, pairs: IntArray, mirrored: bool | None = None) -> _Rows:
        winner, loser = pairs.T
        n = len(pairs)
        ids, ones, zeros = np.arange(n), np.ones(n, np.float32), np.zeros(n, np.float32)
        twice = np.concatenate([ids, ids])
        if self.objective == "classification":
            return _Rows(np.concatenate([winner, loser]), None, np.concatenate([ones, zeros]), twice)
        if self.mirrored_rows if mirrored is None else mirrored:
            first, second = np.concatenate([winner, loser]), np.concatenate([loser, winner])
            return _Rows(first, second, np.concatenate([ones, zeros]), twice)
        return _Rows(winner, loser, ones, ids)

    def _split(
        self, rows: _Rows, comparisons: IntArray, groups: npt.ArrayLike | None, generator: torch.Generator
    ) -> tuple[_Rows, _Rows]:
        """Return the rows for training and those for validation."""
        n = len(rows.target)
        if self.row_split:
            size = round(self.validation_fraction * n)
            if not 0 < size < n:
                raise ValueError(f"validation needs rows on both sides; got {size} of {n}; give more comparisons")
            order = torch.randperm(n, generator=generator).numpy()
            return rows.part(order[size:]), rows.part(order[:size])
        seed = int(torch.randint(2**31, (), generator=generator))
        training, validation = split_comparisons(
            comparisons, np.asarray(groups), self.validation_fraction, np.random.default_rng(seed)
        )
        of_rows = [np.flatnonzero(mask[rows.comparison]) for mask in (training, validation)]
        return rows.part(of_rows[0]), rows.part(of_rows[1])

    def _epoch(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        table: Tensor,
        rows: _Rows,
        generator: torch.Generator,
    ) -> float:
        network.train()
        n = len(rows.target)
        steps = math.ceil(n / self.batch_size)
        order = torch.randperm(n, generator=generator)
        total, seen = 0.0, 0
        for step in range(steps):
            if self.redrawn_batches:
                chosen = torch.randperm(n, generator=generator)[: self.batch_size]
            else:
                chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            loss = self._losses(network, table, rows.part(chosen.numpy())).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total, seen = total + float(loss.detach()) * len(chosen), seen + len(chosen)
        return total / seen

    def _losses(self, network: nn.Module, table: Tensor, rows: _Rows) -> Tensor:
        sides = [rows.first] if rows.second is None else [rows.first, rows.second]
        # An item is scored once a batch, however many of its rows are in it: the same loss in two thirds of the time.
        items, places = np.unique(np.concatenate(sides), return_inverse=True)
        scores = network(table[torch.from_numpy(items)]).squeeze(1)[torch.from_numpy(places)]
        n = len(rows.target)
        return self._cross_entropy(scores if rows.second is None else scores[:n] - scores[n:], rows.target)

    def _mean_loss(self, network: nn.Module, table: Tensor, rows: _Rows) -> float:
        scores = scores_of(network, table)
        logits = scores[rows.first] if rows.second is None else scores[rows.first] - scores[rows.second]
        return float(self._cross_entropy(logits, rows.target).mean())

    def _cross_entropy(self, logits: Tensor, target: npt.NDArray[np.float32]) -> Tensor:
        if not bool(torch.isfinite(logits).all()):
            raise FloatingPointError(
                f"the scores are no longer finite at learning_rate={self.learning_rate:g}; "
                "lower learning_rate, or scale the items"
            )
        goal = torch.from_numpy(target)
        if self.sigmoid_bce:
            return binary_cross_entropy(torch.sigmoid(logits), goal, reduction="none")
        return binary_cross_entropy_with_logits(logits, goal, reduction="none")

    def _stops(self, losses: list[float], since_best: int) -> bool:
        if self.window_stopping:
            return len(losses) > _WINDOW and losses[-1] > max(losses[-_WINDOW - 1 : -1])
        return since_best >= self.patience

    def _score(self, rows: FloatArray) -> FloatArray:
        return np.asarray(scores_of(self.network_, torch.from_numpy(np.asarray(rows))).numpy())

    def _check_parameters(self) -> None:
        if self.objective not in ("bradley_terry", "classification"):
            raise ValueError(
                f'objective must be "bradley_terry" or "classification"; got {self.objective!r}; MLPReward takes any'
            )
        for size in self.hidden_sizes:
            check_int("hidden_sizes", size, low=1)
        for name in ("batch_size", "max_epochs", "patience"):
            check_int(name, getattr(self, name), low=1)
        check_number("learning_rate", self.learning_rate, low=0.0)
        check_number("validation_fraction", self.validation_fraction, low=1e-6, high=0.999)


def protocol_pairs(
    bank: ResponseBank,
    n_pairs: int,
    rng: np.random.Generator,
    *,
    candidates: Candidates = all_responses,
    independent_sides: bool = True,
) -> IntArray:
    """Draw cross-prompt pairs as published: each prompt in turn, and a random prompt, each with a random candidate.

    A prompt can then meet itself. An item that meets itself is drawn anew, since nobody can judge it. The published
    "random" responses are two of each prompt's ten, fixed beforehand: here that is a matter of `candidates`.

    Args:
        bank, n_pairs, rng, candidates: as in `cross_prompt`.
        independent_sides: the trap; False is `cross_prompt`.

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
        permutations: how many are drawn; 0 is the exact expectation, `best_of_n`.
        shared_permutations: one permutation serves all prompts, so that their errors do not average out.
        first_wins: of equal scores that of the first in the permutation wins, a random one: noise, but no bias; False
            shares among the equal ones.
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
        order = (
            np.broadcast_to(rng.permutation(width), gold.shape)
            if shared_permutations
            else np.argsort(rng.random(gold.shape), axis=1)
        )
        for k, size in enumerate(sizes):
            drawn = order[:, :size]
            s, r = np.take_along_axis(score, drawn, axis=1), np.take_along_axis(gold, drawn, axis=1)
            if first_wins:
                total[:, k] += r[np.arange(len(r)), s.argmax(axis=1)]
            else:
                top = s == s.max(axis=1, keepdims=True)
                total[:, k] += (r * top).sum(axis=1) / top.sum(axis=1)
    values = total / permutations
    return values[:, 0] if np.ndim(n) == 0 else values
