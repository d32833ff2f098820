"""Calibration: whether the probabilities that scores give to comparisons agree with the observed shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from rmspace._checks import check_int
from rmspace.data.arrays import check_weights
from rmspace.data.preferences import Preferences, check_preferences
from rmspace.metrics.preference import accuracy
from rmspace.results.evaluate import named
from rmspace.results.evaluate_preferences import prompts_of, sides_of
from rmspace.results.intervals import mean_interval
from rmspace.results.schema import CALIBRATION, table_of


def calibration_table(
    scores: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    preferences: Preferences,
    *,
    bins: int = 10,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Compare the probabilities that scores give to their own choices with the share of these choices that won.

    The scores choose the item with the higher score, and give it the probability sigma(|gap|), from 1/2 to 1. The bins
    divide this range into equal parts. A calibrated model has `observed` near `predicted` in each bin. Comparisons that
    are marked as ties, and items with equal scores, count as half won. As in `log_loss`, the difference of two scores
    is read as log-odds.

    Args:
        scores, preferences, confidence: as in `evaluate_preferences`.
        bins: the number of bins, at least 1.

    Returns:
        Columns model, bin_low, bin_high, predicted (mean probability), observed (share that won), low, high (interval
        of the share), share (of the weight of all comparisons), n_comparisons. Bins with no comparison are left out.

    Raises:
        ValueError: as `evaluate_preferences`.

    >>> items = np.eye(4, dtype=np.float32)
    >>> data = Preferences(items, [[0, 1], [3, 2]], groups=["a", "a", "b", "b"])
    >>> table = calibration_table([0.1, 0.0, 0.1, 0.0], data, bins=2)
    >>> table[["bin_low", "bin_high", "predicted", "observed", "n_comparisons"]].round(3).values.tolist()
    [[0.5, 0.75, 0.525, 0.5, 2.0]]
    """
    check_int("bins", bins, low=1)
    check_preferences("preferences", preferences)
    prompts, weight = prompts_of(preferences), check_weights(preferences.weight, len(preferences))
    edges = np.linspace(0.5, 1.0, bins + 1)
    rows: list[tuple[Any, ...]] = []
    for name, array in named(scores).items():
        winner, loser = sides_of(array, preferences)
        predicted = expit(np.abs(winner - loser))
        won = accuracy(winner, loser, tie=preferences.columns.get("tie"))
        bin_of = np.clip(np.searchsorted(edges, predicted, side="right") - 1, 0, bins - 1)
        for k in range(bins):
            part = (bin_of == k) & (weight > 0)
            if part.any():
                share = weight[part].sum() / weight.sum()
                mean = float(np.average(predicted[part], weights=weight[part]))
                interval = mean_interval(won[part], groups=prompts[part], weights=weight[part], confidence=confidence)
                rows.append((name, edges[k], edges[k + 1], mean, *interval, share, int(part.sum())))
    return table_of(rows, CALIBRATION)


def expected_calibration_error(table: pd.DataFrame) -> pd.Series[float]:
    """Return the mean of |predicted - observed| over the bins of each model, weighted by their share.

    Args:
        table: as `calibration_table` returns it.

    Source: M. P. Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", AAAI (2015).

    >>> rows = [("BT", 0.6, 0.5, 0.75), ("BT", 0.9, 1.0, 0.25)]
    >>> table = pd.DataFrame(rows, columns=["model", "predicted", "observed", "share"])
    >>> expected_calibration_error(table).round(3).to_dict()
    {'BT': 0.1}
    """
    error = (table.predicted - table.observed).abs() * table.share
    return error.groupby(table.model, sort=False).sum()
