"""Worlds whose true reward is known, and what matters of the scores that a model gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, xlogy

import rmspace as rm
from rmspace._typing import Float64Array, FloatArray, IntArray

CORRELATION, GAIN, LOSS = "correlation", "gain of Best-of-8", "excess log-loss"
PROMPTS, RESPONSES = 200, 8  # of the test bank

Truth = Callable[[Float64Array], Float64Array]


class World(NamedTuple):
    """Items for training, each in one pair; a test bank; and their true rewards, in log-odds."""

    rng: np.random.Generator
    items: Float64Array  # (2 n, dim)
    pairs: IntArray  # (n, 2)
    gold: Float64Array  # (2 n,)
    test: Float64Array  # (PROMPTS * RESPONSES, dim)
    test_gold: Float64Array  # (PROMPTS * RESPONSES,)

    @property
    def gap(self) -> Float64Array:
        """The true gaps of the pairs for training."""
        return self.gold[self.pairs[:, 0]] - self.gold[self.pairs[:, 1]]

    def judged(self, first: Any, **columns: Any) -> rm.Preferences:
        """Return the pairs as comparisons, which the first item won where `first` says so."""
        ordered = np.where(np.asarray(first)[:, None], self.pairs, self.pairs[:, ::-1])
        return rm.Preferences(self.items, ordered, np.arange(len(self.items)) // 2, columns=columns)


def draw(seed: int, n: int, *, dim: int = 8, spread: float = 2.0, curved: bool = False) -> World:
    """Draw a world of n pairs of normal items whose true gaps have the standard deviation `spread`.

    The reward is linear, or `curved`: (z1 + (z2^2 - 1) / sqrt(2) + z3 z4) / sqrt(3), of the rotated item z.
    """
    rng = np.random.default_rng(seed)
    truth = _curved(rng, dim) if curved else _linear(rng, dim)
    items, test = rng.normal(size=(2 * n, dim)), rng.normal(size=(PROMPTS * RESPONSES, dim))
    unit = spread / np.sqrt(2)
    return World(rng, items, np.arange(2 * n).reshape(n, 2), unit * truth(items), test, unit * truth(test))


def measured(world: World, scores: FloatArray, *, unit: float | None = None) -> dict[str, float]:
    """Return the correlation and the gain of scores of the test bank; with a unit in log-odds, the log-loss too.

    The log-loss is that of pairs of test items under their true probabilities, less the least that is possible.
    """
    table, gold = scores.reshape(PROMPTS, RESPONSES), world.test_gold.reshape(PROMPTS, RESPONSES)
    found = {
        CORRELATION: float(np.corrcoef(scores, world.test_gold, dtype=np.float64)[0, 1]),
        GAIN: float(rm.normalized_gain(table, gold).mean()),
    }
    if unit is None:
        return found
    said, true = (unit * gaps_of(scores), gaps_of(world.test_gold))
    return found | {LOSS: divergence(expit(true), said)}


def gaps_of(scores: FloatArray) -> Float64Array:
    """Return the gaps of each two neighbours in the test bank."""
    return np.subtract(scores[0::2], scores[1::2], dtype=np.float64)


def divergence(true: Float64Array, log_odds: Float64Array) -> float:
    """Return the mean log-loss of log-odds under true probabilities, less that of the probabilities themselves."""
    loss = true * np.logaddexp(0, -log_odds) + (1 - true) * np.logaddexp(0, log_odds)
    return float((loss + xlogy(true, true) + xlogy(1 - true, 1 - true)).mean())


def _linear(rng: np.random.Generator, dim: int) -> Truth:
    weights = rng.normal(size=dim)
    weights /= np.linalg.norm(weights)
    return lambda items: np.asarray(items @ weights)


def _curved(rng: np.random.Generator, dim: int) -> Truth:
    turn = np.linalg.qr(rng.normal(size=(dim, dim)))[0][:, :4]

    def reward(items: Float64Array) -> Float64Array:
        z = (items @ turn).T
        return np.asarray((z[0] + (z[1] ** 2 - 1) / np.sqrt(2) + z[2] * z[3]) / np.sqrt(3))

    return reward
