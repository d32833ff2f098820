"""Wrong labels: each correction at 30% wrong labels, linear and with a network, its rate known or estimated."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit

import rmspace as rm
from known_truth.study import Study, Ways
from known_truth.worlds import LOSS, World, draw, measured
from rmspace import objectives
from rmspace.results.option_estimate import OptionEstimate, estimate_option, estimate_options

RATE, RATES, ALPHA = 0.3, (0.1, 0.45), 1e-4
INSIDE, LOST = "rates in their 95% intervals", "worlds with an excess above 1"
GRID = (0.0, 0.1, 0.2, 0.3, 0.4)
Make = Callable[[Any], Any]  # objective -> a reward model


def _world(seed: int, n: int, rates: tuple[float, float], *, curved: bool) -> tuple[World, rm.Preferences]:
    """Flip labels at a rate that depends on which item is better: the first one, of class 0, or the second."""
    world = draw(seed, n, spread=4.0, curved=curved)
    truly = world.rng.random(n) < expit(world.gap)
    first = truly ^ (world.rng.random(n) < np.where(truly, *rates))
    return world, world.judged(first, winner_class=np.where(first, 0, 1))


def _with_rate(rate: float, name: str) -> dict[str, Any]:
    return {
        f"forward, {name}": partial(objectives.forward_corrected, rate=rate),
        f"backward, {name}": partial(objectives.backward_corrected, rate=rate),
    }


def _without_estimates(rates: tuple[float, float]) -> dict[str, Any]:
    return {
        "Bradley-Terry": rm.bradley_terry,
        "label smoothing, 0.3": partial(rm.label_smoothed, smoothing=RATE),
        **_with_rate(RATE, "rate 0.3"),
        "class-conditional, rates known": partial(objectives.class_corrected, rate_0=rates[0], rate_1=rates[1]),
        "symmetric cross-entropy": objectives.symmetric_cross_entropy,
        "generalised cross-entropy, q = 0.5": objectives.generalized_cross_entropy,
        "generalised cross-entropy, q = 1": partial(objectives.generalized_cross_entropy, q=1.0),
    }


def _linear(rates: tuple[float, float], seed: int) -> Ways:
    world, data = _world(seed, 1000, rates, curved=False)
    rate = _rate_of(data, ALPHA)
    ranges = {"rate_0": (0.0, 0.49), "rate_1": (0.0, 0.49)}
    both = estimate_options(objectives.class_corrected, ranges, data, alpha=ALPHA)
    given = {name: found.value for name, found in both.items()}
    ways = {
        **_without_estimates(rates),
        **_with_rate(rate.value, "rate estimated"),
        "class-conditional, rates estimated": partial(objectives.class_corrected, **given),
    }
    models = {name: rm.LinearReward(each) for name, each in ways.items()}
    models["backward, rate 0.3, alpha = 0.01"] = rm.LinearReward(ways["backward, rate 0.3"], alpha=0.01)
    found = {name: _measured(world, model.fit(data)) for name, model in models.items()}
    held = [found.low <= true <= found.high for true, found in zip(rates, both.values(), strict=True)]
    found["class-conditional, rates estimated"][INSIDE] = float(np.mean(held))
    if rates[0] == rates[1]:
        found["forward, rate estimated"][INSIDE] = float(rate.low <= RATE <= rate.high)
    return found


def _network(seed: int) -> Ways:
    world, data = _world(seed, 1500, (RATE, RATE), curved=True)
    make: Make = partial(
        rm.MLPReward, hidden_sizes=(32,), learning_rate=1e-2, batch_size=256, max_epochs=40, patience=5,
        validation_fraction=0.2, random_state=seed, precision="float32", device="cpu",
    )  # fmt: skip
    linear = _rate_of(data, ALPHA).value
    fits = {rate: make(partial(objectives.forward_corrected, rate=rate)).fit(data) for rate in GRID}
    best = min(GRID, key=lambda rate: min(epoch["validation_loss"] for epoch in fits[rate].history_))
    ways = {
        **_without_estimates((RATE, RATE)),
        **_with_rate(linear, "rate estimated by a linear reward"),
        **_with_rate(best, "rate by held-out loss"),
    }
    return {name: _measured(world, make(each).fit(data)) for name, each in ways.items()}


def _rates(seed: int) -> Ways:
    _, data = _world(seed, 1000, (RATE, RATE), curved=False)
    found = {f"alpha = {alpha:g}": _rate_of(data, alpha) for alpha in (ALPHA, ALPHA / 10, ALPHA / 100)}
    return {name: {"rate": each.value, INSIDE: float(each.low <= RATE <= each.high)} for name, each in found.items()}


def _rate_of(data: rm.Preferences, alpha: float) -> OptionEstimate:
    return estimate_option(objectives.forward_corrected, "rate", data, low=0.0, high=0.49, alpha=alpha)


def _measured(world: World, model: Any) -> dict[str, float]:
    found = measured(world, model.predict(world.test), unit=1.0)
    return found | {LOST: float(found[LOSS] > 1)}


STUDIES = (
    Study("noise-linear", partial(_linear, (RATE, RATE)), "Bradley-Terry", alone=(LOST,)),
    Study("noise-rates", _rates, worlds=100),
    Study("noise-classes", partial(_linear, RATES), "Bradley-Terry", alone=(LOST,)),
    Study("noise-network", _network, "Bradley-Terry", alone=(LOST,)),
)
