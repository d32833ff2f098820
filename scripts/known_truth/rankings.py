"""Rankings: Plackett-Luce of whole rankings and of their first places, against pairs."""

from __future__ import annotations

from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

import rmspace as rm
from known_truth.study import Study, Ways
from known_truth.worlds import draw, measured
from rmspace.objectives import plackett_luce

RANKINGS, SIZE, CAREFUL = 100, 5, 2
PAIRS = "all pairs, as independent comparisons"


def _run(careful: int, seed: int) -> Ways:
    """Draw rankings of five items; the order after the first `careful` places is drawn at random."""
    world = draw(seed, RANKINGS * SIZE // 2)
    felt = (world.gold + world.rng.gumbel(size=len(world.gold))).reshape(RANKINGS, SIZE)
    orders = np.argsort(-felt, axis=1) + SIZE * np.arange(RANKINGS)[:, None]
    orders[:, careful:] = world.rng.permuted(orders[:, careful:], axis=1)
    ranked = orders.tolist()
    ways: dict[str, Any] = {
        PAIRS: _fit(rm.bradley_terry, world.items, *_pairs(ranked, list(combinations(range(SIZE), 2)))),
        "the first against each other one, as pairs": _fit(
            rm.bradley_terry, world.items, *_pairs(ranked, [(0, k) for k in range(1, SIZE)])
        ),
        "the first against the last, as pairs": _fit(rm.bradley_terry, world.items, *_pairs(ranked, [(0, SIZE - 1)])),
        "Plackett-Luce": _fit(plackett_luce, world.items, *rm.choices_of(ranked)),
        "Plackett-Luce, first two places": _fit(plackett_luce, world.items, *rm.choices_of(ranked, top_k=2)),
        "Plackett-Luce, first place": _fit(plackett_luce, world.items, *rm.choices_of(ranked, top_k=1)),
    }
    return {name: measured(world, model.predict(world.test), unit=1.0) for name, model in ways.items()}


def _pairs(ranked: list[list[int]], places: list[tuple[int, int]]) -> tuple[np.ndarray, dict[str, Any]]:
    return np.array([[ranking[a], ranking[b]] for ranking in ranked for a, b in places]), {}


def _fit(objective: Any, items: np.ndarray, comparisons: np.ndarray, columns: dict[str, Any]) -> rm.LinearReward:
    return rm.LinearReward(objective, alpha=1e-4).fit(items, comparisons, columns=columns)


STUDIES = (
    Study("rankings", partial(_run, SIZE), PAIRS),
    Study("rankings-careless", partial(_run, CAREFUL), PAIRS),
)
