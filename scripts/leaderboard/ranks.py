"""Average ranks over settings, and how far apart they must be: Friedman's test and Nemenyi's critical difference."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

DIGITS = 12  # values that agree so far are equal


class Ranks(NamedTuple):
    """Average ranks, best first.

    Attributes:
        ranks: average rank by row; 1 is the best.
        critical: two rows differ where their average ranks are at least this far apart.
        p_value: of Friedman's test that all rows are alike.
        n_settings: the number of settings.
    """

    ranks: "pd.Series[float]"
    critical: float
    p_value: float
    n_settings: int

    def groups(self) -> list[list[str]]:
        """Return the largest groups of rows that cannot be told apart, from the best on."""
        values, names = self.ranks.to_numpy(), list(self.ranks.index)
        ends = np.searchsorted(values, values + self.critical)  # the first that is told apart from each
        return [names[k:end] for k, end in enumerate(ends) if k == 0 or end > ends[k - 1]]


def rank_rows(values: pd.DataFrame, alpha: float = 0.05) -> Ranks:
    """Rank rows in each setting and compare their average ranks.

        CD = q sqrt(k (k + 1) / (6 N)),   q = (1 - alpha) quantile of the studentised range of k values / sqrt(2)

    Args:
        values: a column per row of the leaderboard, at least three, and a line per setting, at least two; larger is
            better. Equal values share their mean rank.
        alpha: level of the test.

    Source: J. Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7 (2006), section 3.2.2.
    """
    n, k = values.shape
    if n < 2 or k < 3 or values.isna().any(axis=None):
        raise ValueError(f"ranks need at least 3 rows in at least 2 settings, without gaps; got {k} rows and {n}")
    rounded = values.round(DIGITS)
    ranks = rounded.rank(axis=1, ascending=False).mean().sort_values(kind="stable")
    columns: list[npt.NDArray[np.float64]] = [rounded[name].to_numpy() for name in rounded]
    p_value = float(stats.friedmanchisquare(*columns).pvalue)
    quantile = float(stats.studentized_range.ppf(1 - alpha, k, np.inf)) / np.sqrt(2)
    return Ranks(ranks, quantile * float(np.sqrt(k * (k + 1) / (6 * n))), p_value, n)
