"""Ratings of 1 to 5 by a cumulative logit, with equal steps between the classes and with very unequal ones."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import rmspace as rm
from known_truth.study import Study, Ways
from known_truth.worlds import draw, measured
from rmspace import objectives
from rmspace.models import OrdinalReward

N = 100  # pairs, so 200 rated items
EQUAL = (-2.25, -0.75, 0.75, 2.25)
UNEQUAL = (-4.4, -3.5, -2.45, 0.6)  # shares of about 3%, 4%, 8%, 45%, 40%
SQUARED = "squared error"


def _run(cuts: tuple[float, ...], seed: int) -> Ways:
    world = draw(seed, N, spread=2.0)
    ratings = 1 + np.searchsorted(cuts, world.gold + world.rng.logistic(size=2 * N))
    data = rm.pair_up(world.items, ratings, np.arange(2 * N) // 4)
    given = partial(objectives.ordinal_rating, thresholds=EQUAL)
    ways: dict[str, Any] = {
        SQUARED: rm.LinearReward(objectives.squared_rating, alpha=1e-3),
        "Huber": rm.LinearReward(partial(objectives.huber_rating, delta=0.5), alpha=1e-3),
        "ordinal, equal steps given": rm.LinearReward(given, alpha=1e-3),
        "ordinal, thresholds learned": OrdinalReward(levels=(1, 2, 3, 4, 5), alpha=1e-3),
    }
    return {name: measured(world, model.fit(data).predict(world.test)) for name, model in ways.items()}


STUDIES = (
    Study("ratings-equal", partial(_run, EQUAL), SQUARED),
    Study("ratings-unequal", partial(_run, UNEQUAL), SQUARED),
)
