"""Options of a likelihood, such as rates of wrong labels, estimated from comparisons together with a reward."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import chdtri

from rmspace._checks import check_names, check_number, shown
from rmspace.data.preferences import Preferences, check_preferences
from rmspace.kinds import Objective
from rmspace.models.core.columns import asks_for, objective_name
from rmspace.models.linear import LinearReward

_Range = tuple[float, float]
_Loss = Callable[[Mapping[str, float]], float]


class OptionEstimate(NamedTuple):
    """The best value of an option, and an interval by the likelihood ratio."""

    value: float
    low: float
    high: float


def estimate_option(
    objective: Objective,
    name: str,
    preferences: Preferences,
    *,
    low: float,
    high: float,
    alpha: float = 1e-5,
    confidence: float = 0.95,
) -> OptionEstimate:
    """Estimate an option of a likelihood together with a linear reward, such as `rate`, `theta` or `nu`.

    The estimate is the value at which a `LinearReward` fits best, the maximum of the profile likelihood. The interval
    holds the values whose best log-likelihood is at most z^2 / 2 below that, z the normal quantile of `confidence`; it
    ends at `low` or `high` where they are inside it.

    It is sound where the true reward is linear in the items, or nearly so, and the comparisons are many times as many
    as the dimensions. With few comparisons a linear reward fits labels by chance, and the rate comes out too low. Where
    the reward cannot follow the truth, what it misses counts as noise, and the rate comes out too high. Then compare
    values by the loss on held-out comparisons. A rate can be told from doubt only by pairs that are far apart.

    Args:
        objective: a negative log-likelihood with this option: `forward_corrected` (rate), `rao_kupper` (theta),
            `davidson` (nu), or your own.
        name: of the option.
        preferences: the comparisons, which have the columns that the objective asks for.
        low, high: the range of values, ends included.
        alpha: of `LinearReward`. A penalty makes gaps smaller, so that doubt explains what are wrong labels, and a rate
            comes out too low: docs/known-truth.md.
        confidence: of the interval.

    Raises:
        ValueError: no such option; a range that is none; all that the objective or the fit refuses.

    Source: profile likelihood and likelihood ratio, D. R. Cox and D. V. Hinkley, Theoretical Statistics (1974).

    >>> import numpy as np
    >>> from rmspace.objectives import forward_corrected
    >>> rng = np.random.default_rng(0)
    >>> items, pairs = 6 * rng.normal(size=(2000, 2)), np.arange(2000).reshape(1000, 2)
    >>> right = (items[pairs[:, 0], 0] > items[pairs[:, 1], 0]) ^ (rng.random(1000) < 0.2)  # 20% are flipped
    >>> data = Preferences(items, np.where(right[:, None], pairs, pairs[:, ::-1]), np.arange(2000))
    >>> found = estimate_option(forward_corrected, "rate", data, low=0.0, high=0.45)
    >>> bool(found.low < 0.2 < found.high), bool(0.02 < found.high - found.low < 0.1)
    (True, True)
    """
    return estimate_options(objective, {name: (low, high)}, preferences, alpha=alpha, confidence=confidence)[name]


def estimate_options(
    objective: Objective,
    ranges: Mapping[str, tuple[float, float]],
    preferences: Preferences,
    *,
    alpha: float = 1e-5,
    confidence: float = 0.95,
) -> dict[str, OptionEstimate]:
    """Estimate several options of a likelihood together with a linear reward, such as both rates of `class_corrected`.

    As `estimate_option`. The interval of one option holds the values for which the others, at their best for that
    value, reach the log-likelihood asked for. Two options cost about a hundred fits of `LinearReward`.

    Args:
        objective: a negative log-likelihood with these options.
        ranges: option -> (low, high), ends included. The objective must allow all combinations.
        preferences, alpha, confidence: as in `estimate_option`.

    Returns:
        Option -> value, low, high.

    Raises:
        ValueError: as `estimate_option`.

    >>> from rmspace.objectives import class_corrected
    >>> rng = np.random.default_rng(1)
    >>> items, pairs = 6 * rng.normal(size=(600, 2)), np.arange(600).reshape(300, 2)
    >>> first = items[pairs[:, 0], 0] > items[pairs[:, 1], 0]
    >>> wins = first ^ (rng.random(300) < np.where(first, 0.05, 0.3))  # of the first item, which judges like
    >>> columns = {"winner_class": np.where(wins, 0, 1)}
    >>> data = Preferences(items, np.where(wins[:, None], pairs, pairs[:, ::-1]), np.arange(600), columns=columns)
    >>> found = estimate_options(class_corrected, {"rate_0": (0.0, 0.45), "rate_1": (0.0, 0.45)}, data)
    >>> bool(found["rate_0"].low < 0.05 < found["rate_0"].high), bool(found["rate_1"].low < 0.3 < found["rate_1"].high)
    (True, True)
    """
    check_preferences("preferences", preferences)
    check_names("ranges", ranges)
    ratio = float(chdtri(1, 1 - check_number("confidence", confidence, low=0.0, high=0.999999)))
    bounds = {name: _checked(name, ends) for name, ends in ranges.items()}
    if wrong := [name for name in bounds if not asks_for(objective, name)]:
        raise ValueError(f"objective {objective_name(objective)} has no option {wrong[0]!r}")
    total = preferences.n_comparisons if preferences.weight is None else int((preferences.weight > 0).sum())

    def loss(options: Mapping[str, float]) -> float:
        return total * LinearReward(partial(objective, **options), alpha=alpha).fit(preferences).loss_

    least, best = _minimise(loss, {}, bounds)
    return {
        name: OptionEstimate(best[name], *(_end(loss, least, ratio, name, best, bounds, end) for end in ends))
        for name, ends in bounds.items()
    }


def _checked(name: str, ends: tuple[float, float]) -> _Range:
    if not isinstance(ends, tuple | list) or len(ends) != 2:
        raise ValueError(f"the range of {name} must be (low, high); got {shown(ends)}")
    low, high = check_number("low", ends[0]), check_number("high", ends[1])
    if not low < high:
        raise ValueError(f"low must be below high; got {low:g} and {high:g}")
    return low, high


def _minimise(
    loss: _Loss, fixed: Mapping[str, float], free: Mapping[str, _Range], start: Mapping[str, float] | None = None
) -> tuple[float, dict[str, float]]:
    """Return the least loss over the free options in their ranges, and all options there."""
    if not free:
        return loss(fixed), dict(fixed)
    low, high = np.array(list(free.values())).T

    def options(shares: Any) -> dict[str, float]:
        values = np.clip(low + shares * (high - low), low, high)
        return {**fixed, **dict(zip(free, values.tolist(), strict=True))}

    def at(shares: Any) -> float:
        return loss(options(shares))

    if len(free) == 1 and start is None:
        inside = minimize_scalar(at, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-4})
        shares = min(np.zeros(1), np.ones(1), np.array([inside.x]), key=at)
        return at(shares), options(shares)
    first = low + 0.4 * (high - low) if start is None else np.array([start[name] for name in free])
    found = minimize(
        at,
        (first - low) / (high - low),
        method="L-BFGS-B",
        bounds=[(0.0, 1.0)] * len(free),
        options={"eps": 1e-5, "gtol": 0.3, "ftol": 1e-7},  # steps in shares of the ranges, losses in nats
    )
    return float(found.fun), options(found.x)


def _end(
    loss: _Loss,
    least: float,
    ratio: float,
    name: str,
    best: Mapping[str, float],
    bounds: Mapping[str, _Range],
    end: float,
) -> float:
    """Return the value of one option, between its best one and an end, whose likelihood ratio to the best is `ratio`.

    The others are sought near the line from their best values to those at the end.
    """
    value, others = best[name], {other: ends for other, ends in bounds.items() if other != name}
    most, far = _minimise(loss, {name: end}, others, best)
    if value == end or 2 * (most - least) <= ratio:
        return end

    def above(at: float) -> float:  # nearly linear, so that few steps suffice
        share = (at - value) / (end - value)
        start = {other: best[other] + share * (far[other] - best[other]) for other in others}
        return float(np.sqrt(max(2 * (_minimise(loss, {name: at}, others, start)[0] - least), 0.0)) - np.sqrt(ratio))

    return float(brentq(above, end, value, xtol=1e-3 * (bounds[name][1] - bounds[name][0])))
