"""Expected values over the gap of two rewards, by quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import expit

from rmspace._typing import Float64Array

GapValue = Callable[[Float64Array], npt.ArrayLike]

_ACCURACY = 1e-6  # relative accuracy that a quadrature must reach


def expected_value(shift: float, first: float, second: float, value: GapValue, family: Any) -> float:
    """Return E[value(|shift + first Z1 - second Z2|)], halving the step of the quadrature until two agree."""
    found = math.nan
    for step in (1 / 8, 1 / 16, 1 / 32, 1 / 64):
        before, found = found, _by_quantiles(shift, first, second, value, family, step)
        if np.isinf(found):
            break
        if abs(found - before) <= _ACCURACY * abs(found):
            return found
    raise ArithmeticError(
        f"the integral over gaps does not converge (at the finest step it is {found:g}); it may be infinite, like the "
        "mean in a family with heavy tails, or `value` may jump"
    )


def _by_quantiles(shift: float, first: float, second: float, value: GapValue, family: Any, step: float) -> float:
    tails, weights = _double_exponential(step)
    if family is stats.norm:  # the gap is normal itself
        spread = math.hypot(first, second)
        return float(_given(np.array([shift / spread]), spread, value, family, tails, weights)[0])
    total = 0.0
    for quantile, low, high in _segments(shift, first, second, family):
        centres = (shift + first * quantile(low + (high - low) * tails)) / second
        centres = np.nan_to_num(centres, posinf=np.finfo(float).max, neginf=np.finfo(float).min)
        total += (high - low) * _summed(_given(centres, second, value, family, tails, weights), weights)
    return total


def _segments(shift: float, first: float, second: float, family: Any) -> list[tuple[Any, float, float]]:
    """Cut the range of Z1 where the other density may have a kink: its middle and the ends of its support.

    Each segment is a quantile function and two of its probabilities, from the nearer tail, so that no digits are lost.
    """
    low, high = family.support()
    middle = family.median()
    cuts = [(second * point - shift) / first for point in (low, middle, high) if np.isfinite(point)]
    points = sorted({low, high, middle, *(cut for cut in cuts if low < cut < high)})
    return [
        (family.ppf, float(family.cdf(start)), float(family.cdf(end)))
        if end <= middle
        else (family.isf, float(family.sf(end)), float(family.sf(start)))
        for start, end in pairwise(points)
    ]


def _given(
    centres: Float64Array, scale: float, value: GapValue, family: Any, tails: Float64Array, weights: Float64Array
) -> Float64Array:
    """Return E[value(scale |centre - Z|)] for each centre, as integrals over the probabilities on its two sides."""
    total = np.zeros(len(centres))
    for mass, quantile in ((family.cdf(centres), family.ppf), (family.sf(centres), family.isf)):
        gaps = scale * np.abs(centres[:, None] - quantile(mass[:, None] * tails))
        used = np.isfinite(gaps) & (mass[:, None] > 0)
        values = np.where(used, np.asarray(value(np.where(used, gaps, 1.0)), dtype=np.float64), 0.0)
        total += mass * np.array([_summed(row, weights) for row in values])
    return total


def _double_exponential(step: float) -> tuple[Float64Array, Float64Array]:
    """Return nodes and weights on (0, 1), dense at both ends: x = 1 / (1 + exp(pi sinh t)), evenly spaced in t."""
    t = np.arange(-4.25, 4.25 + step / 2, step)
    nodes = expit(-math.pi * np.sinh(t))
    return nodes, step * math.pi * np.cosh(t) * nodes * expit(math.pi * np.sinh(t))


def _summed(values: Float64Array, weights: Float64Array) -> float:
    """Return the weighted sum; infinity if the ends still matter, because the part beyond them is not known."""
    terms = values * weights
    total = float(terms.sum())
    return total if max(abs(terms[0]), abs(terms[-1])) <= _ACCURACY * max(abs(total), 1e-100) else math.inf
