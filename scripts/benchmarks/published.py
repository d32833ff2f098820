"""The published protocol (arXiv 2411.04991 and its code) as a baseline, in new code, with its flaws."""

import math
from typing import Any

import numpy as np
import torch

from benchmarks.measure import HIDDEN, fit_flops

NS = [2, 5, 10, 30, 50, 100, 300, 500]


def published_network(dim: int) -> torch.nn.Sequential:
    layers = [torch.nn.Linear(dim, HIDDEN[0]), torch.nn.ReLU(), torch.nn.Linear(*HIDDEN), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(HIDDEN[1], 1), torch.nn.Sigmoid())


def published_fit(items: Any, comparisons: np.ndarray, *, paired: bool, epochs: int, batch: int = 10_240) -> float:
    """Train on mirrored float32 rows, a split by rows and redrawn batches; return the floating-point operations."""
    torch.manual_seed(0)
    won = torch.from_numpy(np.asarray(items[comparisons[:, 0]], dtype=np.float32))
    lost = torch.from_numpy(np.asarray(items[comparisons[:, 1]], dtype=np.float32))
    dim = won.shape[1]
    sides = [torch.cat([won, lost]), torch.cat([lost, won])] if paired else [torch.cat([won, lost])]
    labels = torch.cat([torch.ones(len(won), 1), torch.zeros(len(won), 1)])
    order = torch.randperm(len(labels))
    n = int(0.8 * len(labels))
    training = [side[order[:n]] for side in sides], labels[order[:n]]
    held_out = [side[order[n:]] for side in sides], labels[order[n:]]
    network = published_network(dim)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loss_of = torch.nn.BCELoss()

    def loss(rows: list[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        scores = [network[:-1](side) for side in rows]
        return loss_of(network[-1](scores[0] - scores[1] if paired else scores[0]), target)

    trained = 0
    for _ in range(epochs):
        for _ in range(math.ceil(n / batch)):
            chosen = torch.randperm(n)[:batch]
            optimizer.zero_grad()
            loss([side[chosen] for side in training[0]], training[1][chosen]).backward()
            optimizer.step()
            trained += len(chosen)
        with torch.no_grad():
            float(loss(*held_out))
    return fit_flops(dim, trained * len(sides), epochs * len(held_out[1]) * len(sides))


def permuted_best_of_n(scores: np.ndarray, rewards: np.ndarray, n_permutations: int = 100) -> np.ndarray:
    """Best-of-N by random permutations shared by all prompts, the first index winning ties."""
    rng = np.random.default_rng(0)
    rows = np.arange(len(scores))
    reached = np.zeros(len(NS))
    for _ in range(n_permutations):
        order = rng.permutation(scores.shape[1])
        for k, n in enumerate(NS):
            drawn = order[:n]
            reached[k] += rewards[rows, drawn[scores[:, drawn].argmax(axis=1)]].mean()
    return reached / n_permutations


def looped_comparisons(rewards: np.ndarray, n_pairs: int, beta: float) -> np.ndarray:
    """Pair and annotate prompt by prompt."""
    rng = np.random.default_rng(0)
    scale, width = rewards.std(), rewards.shape[1]
    found = []
    for prompt in rng.permutation(len(rewards))[:n_pairs]:
        first, second = rng.choice(width, 2, replace=False)
        wins = 1 / (1 + np.exp(-beta * (rewards[prompt, first] - rewards[prompt, second]) / scale))
        winner, loser = (first, second) if rng.random() < wins else (second, first)
        found.append((prompt * width + winner, prompt * width + loser))
    return np.array(found)
