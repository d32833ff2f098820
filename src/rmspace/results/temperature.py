"""Temperature scaling: scores that put comparisons in order become calibrated probabilities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit

from rmspace._checks import as_numbers, check_number, describe
from rmspace._typing import Float64Array
from rmspace.data.arrays import check_ties, check_weights
from rmspace.data.preferences import Preferences, check_preferences
from rmspace.results.evaluate_preferences import sides_of


def temperature_scale(scores: npt.ArrayLike, preferences: Preferences) -> float:
    """Find the temperature t > 0 for which sigma(gap / t) predicts comparisons best: the least mean log-loss.

        t = argmin mean(w * -log sigma(gap / t)),   gap = score of the winner - score of the loser

    The loss is convex in 1 / t. Use comparisons that the model was not fitted on. Accuracy and order do not change.

    Args:
        scores: as in `evaluate_preferences`.
        preferences: the comparisons; a tie counts half for each order, and `weight` counts.

    Raises:
        ValueError: no positive temperature is best, because the scores agree with the comparisons no better than the
            opposite scores would; no finite one is best, because all comparisons are in the right order.

    Source: C. Guo et al., "On calibration of modern neural networks", ICML (2017).

    >>> items = np.eye(8, dtype=np.float32)
    >>> data = Preferences(items, [[0, 1], [2, 3], [4, 5], [7, 6]], groups=[0, 0, 1, 1, 2, 2, 3, 3])
    >>> t = temperature_scale([2.0, 0.0] * 4, data)  # three of four with a gap of 2: sigma(2 / t) = 3 / 4
    >>> round(t, 4), round(float(preference_probability(2.0, 0.0, temperature=t)), 4)
    (1.8205, 0.75)
    """
    check_preferences("preferences", preferences)
    winner, loser = sides_of(scores, preferences)
    size = float(max(np.abs(winner).max(), np.abs(loser).max())) or 1.0  # a difference of large scores may overflow
    gap, weight = winner / size - loser / size, check_weights(preferences.weight, len(preferences))
    tie = preferences.columns.get("tie")
    tied = np.zeros(len(gap), dtype=bool) if tie is None else check_ties(tie)
    scale = float(np.abs(gap).max())
    if scale == 0:
        raise ValueError("all scores of compared items are equal, so no temperature is better than another")
    gap = gap / scale

    def slope(inverse: float) -> float:
        """Return the derivative of the loss by 1 / t."""
        return float(np.sum(weight * gap * np.where(tied, expit(gap * inverse) - 0.5, -expit(-gap * inverse))))

    if slope(0.0) >= 0:
        raise ValueError(
            "the scores agree with the comparisons no better than their opposite, so no positive temperature is best; "
            "look at the accuracy first"
        )
    if not ((gap < 0) | (tied & (gap != 0)))[weight > 0].any():
        raise ValueError(
            f"all {len(gap)} comparisons are in the right order, so the loss falls for ever as t falls; use more "
            "comparisons, which the model was not fitted on"
        )
    high = 1.0
    while slope(high) < 0:
        high *= 2
    return size * (scale / float(brentq(slope, 0.0, high, xtol=1e-14, rtol=1e-12)))


def preference_probability(first: npt.ArrayLike, second: npt.ArrayLike, *, temperature: float = 1.0) -> Float64Array:
    """Return the probability that the first item wins: sigma((first - second) / temperature).

    Args:
        first, second: scores, of one shape.
        temperature: as `temperature_scale` finds it, above 0.

    Raises:
        ValueError: shapes that differ, or a temperature that is not above 0.

    >>> preference_probability([1.0, 0.0], [0.0, 0.0]).round(3).tolist()
    [0.731, 0.5]
    """
    a, b = as_numbers("first", first), as_numbers("second", second)
    if a.shape != b.shape:
        raise ValueError(f"first and second must be scores of one shape; got {describe(a)} and {describe(b)}")
    if np.isnan(a).any() or np.isnan(b).any():
        raise ValueError("first and second must be numbers; some are nan")
    if check_number("temperature", temperature, low=0.0) == 0:
        raise ValueError("temperature must be above 0; got 0")
    return np.asarray(expit((a - b) / temperature))
