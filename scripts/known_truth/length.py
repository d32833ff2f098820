"""Length: a planted bias of 0.5, where length says nothing of quality and where better responses are longer."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit

import rmspace as rm
from known_truth.study import Study, Ways
from known_truth.worlds import CORRELATION, GAIN, PROMPTS, RESPONSES
from rmspace.models import LengthFreeReward

N, BIAS, WEIGHTS = 3000, 0.5, np.array([1.0, -0.6, 0.4, 0.0])
LEFT, PLAIN = "length bias left", "as it is"


def _items(rng: np.random.Generator, n: int, turn: np.ndarray, shared: float) -> tuple[np.ndarray, ...]:
    """Draw items, gold rewards and lengths; `shared` is the correlation of gold and length.

    The embedding knows the length only with noise, mixed into all of its numbers.
    """
    quality = rng.normal(size=(n, 4))
    gold = quality @ WEIGHTS
    length = shared * gold / np.linalg.norm(WEIGHTS) + np.sqrt(1 - shared**2) * rng.normal(size=n)
    return np.column_stack([quality, length + 0.3 * rng.normal(size=n)]) @ turn, gold, length


def _run(network: bool, shared: float, seed: int) -> Ways:
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    items, gold, length = _items(rng, 2 * N, turn, shared)
    test = _items(rng, PROMPTS * RESPONSES, turn, shared)
    pairs, felt = np.arange(2 * N).reshape(N, 2), gold + BIAS * length
    first = rng.random(N) < expit(2 * (felt[pairs[:, 0]] - felt[pairs[:, 1]]))
    comparisons = np.where(first[:, None], pairs, pairs[:, ::-1])
    data = rm.Preferences(items, comparisons, np.arange(2 * N) // 2, features={"length": length})
    mlp = rm.MLPReward(
        hidden_sizes=(32,), learning_rate=1e-2, batch_size=256, max_epochs=10, random_state=seed, precision="float32",
        device="cpu",
    )  # fmt: skip
    member: Any = mlp if network else rm.LinearReward()
    ways = {PLAIN: member, "joint": LengthFreeReward(member), "post hoc": LengthFreeReward(member, how="post_hoc")}
    return {name: _measured(model.fit(data).predict(test[0]), *test[1:]) for name, model in ways.items()}


def _measured(scores: np.ndarray, gold: np.ndarray, length: np.ndarray) -> dict[str, float]:
    """Return how much scores rise with length where they rise by 1 with gold, and what they are worth."""
    design = np.column_stack([gold, length, np.ones(len(gold))])
    by_gold, by_length, _ = np.linalg.lstsq(design, scores, rcond=None)[0]
    shape = (PROMPTS, RESPONSES)
    return {
        LEFT: float(by_length / by_gold),
        CORRELATION: float(np.corrcoef(scores, gold)[0, 1]),
        GAIN: float(rm.normalized_gain(scores.reshape(shape), gold.reshape(shape)).mean()),
    }


STUDIES = (
    Study("length-linear", partial(_run, False, 0.0), PLAIN, alone=(LEFT,)),
    Study("length-network", partial(_run, True, 0.0), PLAIN, alone=(LEFT,)),
    Study("length-shared-linear", partial(_run, False, 0.5), PLAIN, alone=(LEFT,)),
    Study("length-shared-network", partial(_run, True, 0.5), PLAIN, alone=(LEFT,)),
)
