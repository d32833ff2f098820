"""An option of a likelihood, such as a rate of wrong labels, estimated from comparisons together with a reward."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from scipy.optimize import brentq, minimize_scalar
from scipy.special import chdtri

from rmspace._checks import check_number
from rmspace.data.preferences import Preferences, check_preferences
from rmspace.kinds import Objective
from rmspace.models.core.columns import asks_for, objective_name
from rmspace.models.linear import LinearReward


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
    alpha: float = 1e-4,
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
        alpha: of `LinearReward`.
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
    check_preferences("preferences", preferences)
    low, high = check_number("low", low), check_number("high", high)
    ratio = float(chdtri(1, 1 - check_number("confidence", confidence, low=0.0, high=0.999999)))
    if not low < high:
        raise ValueError(f"low must be below high; got {low:g} and {high:g}")
    if not asks_for(objective, name):
        raise ValueError(f"objective {objective_name(objective)} has no option {name!r}")
    total = preferences.n_comparisons if preferences.weight is None else int((preferences.weight > 0).sum())

    def loss(value: float) -> float:
        bound = partial(objective, **{name: float(value)})
        return total * LinearReward(bound, alpha=alpha).fit(preferences).loss_

    width = high - low
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4 * width})
    best, value = min((loss(low), low), (loss(high), high), (float(found.fun), float(found.x)))

    def above(at: float) -> float:
        return 2 * (loss(at) - best) - ratio

    ends = [
        end if value == end or above(end) <= 0 else float(brentq(above, end, value, xtol=1e-3 * width))
        for end in (low, high)
    ]
    return OptionEstimate(value, ends[0], ends[1])
