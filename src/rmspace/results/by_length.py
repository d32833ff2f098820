"""Accuracy by the lengths of the two responses: whether scores know more than which one is longer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmspace._checks import check_int
from rmspace._typing import Float64Array
from rmspace.data.arrays import check_weights
from rmspace.data.preferences import Preferences, check_preferences
from rmspace.metrics.preference import accuracy
from rmspace.results.evaluate import named
from rmspace.results.evaluate_preferences import prompts_of, sides_of
from rmspace.results.intervals import mean_interval
from rmspace.results.schema import BY_LENGTH, table_of


def accuracy_by_length(
    scores: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    preferences: Preferences,
    *,
    feature: str = "length",
    bins: int = 4,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Measure accuracy where the longer response won, where the shorter one won, matched, and by the difference.

    Parts of each model: "all"; "longer won" and "shorter won"; "matched", the mean of these two, in which each length
    wins half of the time, so that to choose by length alone has 1/2; and `bins` parts of equal size by the absolute
    difference of the lengths, "difference 1" with the smallest. Ties, and responses of equal length, count in "all" and
    in the bins only.

    Args:
        scores, preferences, confidence: as in `evaluate_preferences`.
        feature: the feature of the items that is their length.
        bins: number of parts by the difference, at least 1.

    Returns:
        Columns model, part, longer_won (share of the part), low_difference, high_difference (of the part; missing for
        parts that are not bins), value, low, high, n_comparisons.

    Raises:
        ValueError: as `evaluate_preferences`; no such feature, or a length that is missing.

    >>> items = np.eye(4, dtype=np.float32)
    >>> data = Preferences(items, [[0, 1], [3, 2]], groups=[0, 0, 1, 1], features={"length": [5, 2, 9, 1]})
    >>> table = accuracy_by_length([5, 2, 9, 1], data, bins=1)
    >>> table[["part", "value"]].values.tolist()
    [['all', 0.5], ['longer won', 1.0], ['shorter won', 0.0], ['matched', 0.5], ['difference 1', 0.5]]
    """
    check_int("bins", bins, low=1)
    check_preferences("preferences", preferences)
    difference = _differences(preferences, feature)
    prompts, weight = prompts_of(preferences), check_weights(preferences.weight, len(preferences))
    tied = np.asarray(preferences.columns.get("tie", np.zeros(len(difference), dtype=bool)), dtype=bool)
    counted = (weight > 0) & ~tied
    longer, shorter = (difference > 0) & counted, (difference < 0) & counted
    edges = np.quantile(np.abs(difference), np.linspace(0, 1, bins + 1))
    bin_of = np.clip(np.searchsorted(edges[1:-1], np.abs(difference), side="left"), 0, bins - 1)
    parts: dict[str, tuple[Any, Float64Array]] = {
        "all": (np.ones(len(difference), dtype=bool), weight),
        "longer won": (longer, weight),
        "shorter won": (shorter, weight),
        "matched": (longer | shorter, _matched(longer, shorter, weight)),
        **{f"difference {k + 1}": (bin_of == k, weight) for k in range(bins)},
    }
    rows: list[tuple[Any, ...]] = []
    for name, array in named(scores).items():
        right = accuracy(*sides_of(array, preferences), tie=preferences.columns.get("tie"))
        for part, (chosen, weights) in parts.items():
            used = chosen & (weights > 0)
            interval = mean_interval(right[used], groups=prompts[used], weights=weights[used], confidence=confidence)
            share = float(np.average(longer[used], weights=weights[used])) if used.any() else np.nan
            span = np.abs(difference)[used] if part.startswith("difference") and used.any() else np.array([np.nan])
            rows.append((name, part, share, span.min(), span.max(), *interval, int(used.sum())))
    return table_of(rows, BY_LENGTH)


def _differences(preferences: Preferences, feature: str) -> Float64Array:
    """Return length of the winner - length of the loser."""
    if feature not in preferences.features:
        raise ValueError(f"the items have no feature {feature!r}; they have {sorted(preferences.features) or 'none'}")
    lengths = np.asarray(preferences.features[feature], dtype=np.float64)[preferences.comparisons]
    if not np.isfinite(lengths).all():
        raise ValueError(f"the feature {feature!r} must be known for every compared item; some are missing")
    return lengths[:, 0] - lengths[:, 1]


def _matched(longer: Any, shorter: Any, weight: Float64Array) -> Float64Array:
    """Return weights with which the longer response wins half of the time; all 0 where one length always wins."""
    matched = np.zeros(len(weight))
    if longer.any() and shorter.any():
        for part in (longer, shorter):
            matched[part] = weight[part] / weight[part].sum()
    return matched
