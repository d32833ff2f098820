"""Calibration: whether the probabilities that scores give to comparisons agree with the observed shares."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from rmspace._checks import check_int
from rmspace.data.arrays import check_weights
from rmspace.data.preferences import Preferences, check_preferences
from rmspace.metrics.preference import accuracy
from rmspace.results.evaluate import named
from rmspace.results.evaluate_preferences import parts_of, prompts_of, sides_of
from rmspace.results.intervals import mean_interval
from rmspace.results.schema import CALIBRATION, table_of


def calibration_table(
    scores: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    preferences: Preferences,
    *,
    by: str | None = None,
    bins: int = 10,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Compare the probabilities that scores give to their own choices with the share of these choices that won.

    The scores choose the item with the higher score, and give it the probability sigma(|gap|), from 1/2 to 1. The bins
    divide this range into equal parts. A calibrated model has `observed` near `predicted` in each bin. Comparisons that
    are marked as ties, and items with equal scores, count as half won. As in `log_loss`, the difference of two scores
    is read as log-odds.

    Args:
        scores, preferences, by, confidence: as in `evaluate_preferences`.
        bins: the number of bins, at least 1.

    Returns:
        Column `by`, if it is given, then model, bin_low, bin_high, predicted (mean probability), observed (share that
        won), low, high (interval of the share), share (of the weight of all comparisons, or of those with this value of
        `by`), n_comparisons. Bins with no comparison are left out.

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
    sides = {name: sides_of(array, preferences) for name, array in named(scores).items()}
    labels, rows = [], []
    for (label, part), (name, (winner, loser)) in product(parts_of(preferences, by), sides.items()):
        predicted = expit(np.abs(winner - loser))
        won = accuracy(winner, loser, tie=preferences.columns.get("tie"))
        bin_of = np.clip(np.searchsorted(edges, predicted, side="right") - 1, 0, bins - 1)
        for k in range(bins):
            used = part & (bin_of == k) & (weight > 0)
            if used.any():
                share = weight[used].sum() / weight[part].sum()
                mean = float(np.average(predicted[used], weights=weight[used]))
                interval = mean_interval(won[used], groups=prompts[used], weights=weight[used], confidence=confidence)
                rows.append((name, edges[k], edges[k + 1], mean, *interval, share, int(used.sum())))
                labels.append(label)
    table = table_of(rows, CALIBRATION)
    if by is not None:
        table.insert(0, by, labels)
    return table


def expected_calibration_error(table: pd.DataFrame) -> pd.Series[float]:
    """Return the mean of |predicted - observed| over the bins of each model, weighted by their share.

    It is above 0 for a calibrated model, too, because the shares vary by chance, and the more so the fewer comparisons
    and the more bins there are. So compare models on the same comparisons and bins only.

    Args:
        table: as `calibration_table` returns it.

    Returns:
        The error by model, or by the value of `by` and model where the table has such a column.

    Source: M. P. Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", AAAI (2015).

    >>> rows = [("BT", 0.6, 0.5, 0.75), ("BT", 0.9, 1.0, 0.25)]
    >>> table = pd.DataFrame(rows, columns=["model", "predicted", "observed", "share"])
    >>> expected_calibration_error(table).round(3).to_dict()
    {'BT': 0.1}
    """
    error = (table.predicted - table.observed).abs() * table.share
    before = list(table.columns[: list(table.columns).index("model")])
    return error.groupby([table[name] for name in [*before, "model"]], sort=False, dropna=False).sum()
