"""Cycles: three kinds of items that beat one another in a circle, and a world of scores as a control."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

import rmspace as rm
from known_truth.study import Study, Ways
from known_truth.worlds import GAIN, LOSS, PROMPTS, RESPONSES, divergence, draw, gaps_of, measured
from rmspace.models import GeneralPreferenceReward

N, DIM, ODDS = 400, 6, 2.0
BEATS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
ACCURACY = "accuracy"  # share of new pairs in which the likelier winner is named
SCORES = ("Bradley-Terry, linear", "Bradley-Terry, network")


def _models(seed: int) -> dict[str, Any]:
    network = rm.MLPReward(
        hidden_sizes=(32,), learning_rate=5e-3, batch_size=64, random_state=seed, precision="float32", device="cpu"
    )
    return {
        SCORES[0]: rm.LinearReward(alpha=3e-3),
        SCORES[1]: network,
        "general model, rank 1": GeneralPreferenceReward(1, random_state=seed),
        "general model, rank 2": GeneralPreferenceReward(2, random_state=seed),
    }


def _cycle(seed: int) -> Ways:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(3, DIM))
    items, odds = _throws(rng, centres, N)
    first = rng.random(N) < expit(odds)
    pairs = np.arange(2 * N).reshape(N, 2)
    data = rm.Preferences(items, np.where(first[:, None], pairs, pairs[:, ::-1]), np.arange(2 * N) // 2)
    new, true = _throws(rng, centres, 1000)
    found = {}
    for name, model in _models(seed).items():
        said = _log_odds(model.fit(data), new)
        found[name] = {
            ACCURACY: float(((said > 0) == (true > 0)).mean()),
            LOSS: divergence(expit(true), said),
        }
    return found


def _throws(rng: np.random.Generator, centres: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw n pairs of items of two different kinds, and the log-odds that the first of each wins."""
    kinds = rng.integers(3, size=2 * n)
    kinds[1::2] = (kinds[::2] + rng.integers(1, 3, size=n)) % 3
    return centres[kinds] + 0.3 * rng.normal(size=(2 * n, DIM)), ODDS * BEATS[kinds[::2], kinds[1::2]]


def _control(seed: int) -> Ways:
    world = draw(seed, N, dim=DIM)
    data = world.judged(world.rng.random(N) < expit(world.gap))
    prompts, true = np.repeat(np.arange(PROMPTS), RESPONSES), gaps_of(world.test_gold)
    found = {}
    for name, model in _models(seed).items():
        said = _log_odds(model.fit(data), world.test)
        scores = model.predict(world.test) if name in SCORES else model.win_rates(world.test, prompts)
        worth = measured(world, scores)
        found[name] = {
            ACCURACY: float(((said > 0) == (true > 0)).mean()),
            LOSS: divergence(expit(true), said),
            GAIN: worth[GAIN],
        }
    return found


def _log_odds(model: Any, items: np.ndarray) -> np.ndarray:
    """Return the log-odds of each two neighbours."""
    if isinstance(model, GeneralPreferenceReward):
        return model.log_odds(items[0::2], items[1::2])
    return gaps_of(model.predict(items))


STUDIES = (
    Study("cycle", _cycle, SCORES[0]),
    Study("cycle-none", _control, SCORES[0]),
)
