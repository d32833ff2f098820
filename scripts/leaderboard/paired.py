"""The tests of the leaderboard: each row against the first row of its section, with one correction for all of them."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import rmspace as rm
from leaderboard.results import BETA, ROW, SEED, WORLD
from leaderboard.rows import COIN, Sheet
from rmspace.results.compare import holm

ROUNDING = 1e-12
SETTING = ["section", WORLD, BETA]


def compare_all(table: pd.DataFrame, sheet: Sheet, overlap: float) -> pd.DataFrame:
    """Test each row in each setting, and over all settings of its section; all tests are one family.

    Args:
        table: as in `Results`, with at least two seeds per section.
        sheet: names the reference of each section.
        overlap: n_test / n_train of the random splits of the worlds that are no synthetic ones.

    Returns:
        section, data.world and data.beta (missing in the tests over all settings), models, difference, low, high,
        seeds, p_value, p_corrected. The section of the coin has no tests.
    """
    found = []
    for section, part in table[table.section != COIN].groupby("section", sort=False):
        reference = sheet.reference(str(section))
        settings = part.groupby([WORLD, BETA], sort=False, dropna=False)
        for (world, beta), rows in settings:
            compared = _in_one_setting(rows, reference, overlap_of(world, overlap))
            found.append(compared.assign(**{"section": section, WORLD: world, BETA: beta}))
        if settings.ngroups > 1:
            lines = [over_worlds(part, row, reference, overlap) for row in part[ROW].unique() if row != reference]
            found.append(pd.DataFrame(lines).assign(**{"section": section, WORLD: None, BETA: np.nan}))
    tests = pd.concat(found, ignore_index=True)
    columns = [*SETTING, ROW, "difference", "low", "high", "seeds", "p_value"]
    return tests[columns].assign(p_corrected=holm(tests.p_value.to_numpy(dtype=float)))


def overlap_of(world: str, overlap: float) -> float:
    """Return the overlap of a world: synthetic worlds are made anew for each seed."""
    return 0.0 if world in ("synthetic", "flipped") else overlap


def over_worlds(part: pd.DataFrame, row: str, reference: str, overlap: float) -> dict[str, Any]:
    """Compare two rows in the mean over the worlds, each of which counts alike.

        mean_w d_w -+ t sqrt(sum_w v_w) / W,   v_w = s_w^2 (1 / k + overlap_w)

    d_w and s_w are the mean and standard deviation over the k seeds of the differences, which are first averaged over
    the noise levels of a world, since these share prompts. The degrees of freedom are Satterthwaite's,
    (sum v_w)^2 / sum(v_w^2 / (k - 1)). The worlds are fixed: the interval says nothing about other worlds.

    Source: Nadeau and Bengio, Machine Learning 52 (2003), for v_w; F. Satterthwaite, Biometrics Bulletin 2 (1946).
    """
    values = part.pivot_table(index=[WORLD, SEED], columns=ROW, values="skill", observed=True)
    difference = (values[row] - values[reference]).unstack(SEED)
    rounding = ROUNDING * float(values[[row, reference]].abs().max().max())
    means, k = difference.mean(axis=1), difference.shape[1]
    extra = np.array([overlap_of(world, overlap) for world in difference.index])
    variances = difference.var(axis=1, ddof=1).to_numpy() * (1 / k + extra)
    mean, error = float(means.mean()), float(np.sqrt(variances.sum()) / len(means))
    names = {ROW: row, "seeds": k}
    if error <= rounding:
        same = abs(mean) <= rounding
        ends = {"low": 0.0, "high": 0.0, "p_value": 1.0} if same else {"low": np.nan, "high": np.nan, "p_value": np.nan}
        return {**names, "difference": 0.0 if same else mean, **ends}
    freedom = variances.sum() ** 2 / (variances**2 / (k - 1)).sum()
    half = float(stats.t.ppf(0.975, freedom)) * error
    p_value = float(2 * stats.t.sf(abs(mean) / error, freedom))
    return {**names, "difference": mean, "low": mean - half, "high": mean + half, "p_value": p_value}


def _in_one_setting(rows: pd.DataFrame, reference: str, overlap: float) -> pd.DataFrame:
    table = rows[[SEED, ROW, "skill"]].rename(columns={ROW: "model", "skill": "value"})
    table = table.assign(metric="skill", n=pd.array([pd.NA] * len(table), dtype="Int64"))
    found = rm.compare_models(table, metric="skill", against=reference, overlap=overlap)
    return found.rename(columns={"model": ROW})


def verdict(test: Any) -> str:
    """Return what a test says, in words."""
    if test.difference == test.low == test.high == 0:
        return "the same"
    if not test.p_corrected < 0.05:
        return "not told apart"
    return "better" if test.difference > 0 else "worse"
