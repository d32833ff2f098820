"""The tests of the study: each rule against random, and the annotations with which it reaches what random reaches."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.isotonic import IsotonicRegression

import rmspace as rm
from selection.study import METRIC, RANDOM

SETTING = ["world", "pool"]
END, AREA = "at the end", "mean over rounds"


def compare_rules(table: pd.DataFrame) -> pd.DataFrame:
    """Compare each rule with random, paired by seed, at the end and in the mean over rounds (the area of the curve).

    Args:
        table: the rows of `active_study`, with the columns world and pool.

    Returns:
        world, pool, measure, model, other, difference, low, high, seeds, p_value, p_corrected. All tests are one family
        (Holm).
    """
    keys = [*SETTING, "seed", "model"]
    last = table.n_pairs == table.groupby(SETTING).n_pairs.transform("max")
    measures = {END: table[last].set_index(keys).value, AREA: table.groupby(keys, sort=False).value.mean()}
    rows = pd.concat([values.reset_index().assign(measure=name) for name, values in measures.items()])
    rows = rows.assign(metric=METRIC, n=np.nan)
    return rm.compare_models(rows, metric=METRIC, against=RANDOM)


def annotations_needed(table: pd.DataFrame) -> pd.DataFrame:
    """Return how many annotations a rule needs for the gain that random has at the end, by seed.

    Curves of gain are first made non-decreasing by isotonic regression, since the luck of one round would count
    otherwise. A rule that never reaches the gain needs inf.

    Returns:
        world, pool, seed, model, needed.
    """
    found = []
    for (world, pool, seed), part in table.groupby([*SETTING, "seed"], sort=False):
        curves = part.pivot_table(index="n_pairs", columns="model", values="value", sort=False)
        rising = curves.apply(lambda curve: IsotonicRegression().fit_transform(curve.index, curve))
        for model in curves.columns:
            reached = rising.index[rising[model] >= rising[RANDOM].iloc[-1]]
            found.append((world, pool, seed, model, float(reached[0]) if len(reached) else np.inf))
    return pd.DataFrame(found, columns=[*SETTING, "seed", "model", "needed"])


def median_interval(values: pd.Series) -> tuple[float, float, float]:
    """Return the median with the interval of the sign test, at least 95%; inf is larger than all numbers.

    Below six values there is no such interval, and its ends are nan.
    """
    numbers = np.sort(values.to_numpy(dtype=float))
    interval: Any = stats.quantile_test(numbers, q=0.0, p=0.5).confidence_interval()
    return float(numbers[(len(numbers) - 1) // 2]), interval.low, interval.high  # the lower median: inf has no mean
