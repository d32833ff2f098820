"""The tests of the leaderboard: each row against the first row of its section, with one correction for all of them."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import rmspace as rm
from leaderboard.prepare import SYNTHETIC
from leaderboard.rows import COIN, Sheet
from rmspace.results.compare import holm

ROUNDING = 1e-12
COLUMNS = ["section", "world", "beta", "row", "difference", "low", "high", "seeds", "p_value"]


def compare_all(table: pd.DataFrame, sheet: Sheet, overlap: float) -> pd.DataFrame:
    """Test each row in each setting, and over all settings of its section; all tests are one family.

    Args:
        table: as in `Results`, with at least two seeds per section.
        sheet: names the reference of each section.
        overlap: n_test / n_train of the random splits of the worlds that are no synthetic ones.

    Returns:
        section, world and beta (both missing in the tests over all settings), row, difference, low, high,
        seeds, p_value, p_corrected. The section of the coin has no tests.
    """
    found = []
    for section, part in table[table.section != COIN].groupby("section", sort=False):
        reference = sheet.reference(str(section))
        settings = part[["world", "beta"]].drop_duplicates()
        for world, beta in settings.itertuples(index=False):
            rows = part[(part.world == world) & ((part.beta == beta) | (np.isnan(beta) & part.beta.isna()))]
            compared = _in_one_setting(rows, reference, overlap_of(world, overlap))
            found.append(compared.assign(section=section, world=world, beta=beta))
        if len(settings) > 1:
            lines = [over_worlds(part, row, reference, overlap) for row in part.row.unique() if row != reference]
            found.append(pd.DataFrame(lines).assign(section=section, world=None, beta=np.nan))
    tests = pd.concat([each.astype({"world": object}) for each in found], ignore_index=True)
    return tests[COLUMNS].assign(p_corrected=holm(tests.p_value.to_numpy(dtype=float)))


def same_rows(part: pd.DataFrame, reference: str) -> list[str]:
    """Return the rows of a section whose skill is that of the reference in every cell."""
    cells = part.pivot_table(index=["world", "beta", "seed"], columns="row", values="skill", sort=False, dropna=False)
    cells = cells.dropna(how="all")
    rounding = ROUNDING * float(cells.abs().max().max())
    far = cells.sub(cells[reference], axis=0).abs().max()
    return [str(name) for name in cells.columns if name != reference and far[name] <= rounding]


def over_all(tests: pd.DataFrame, section: str) -> pd.DataFrame:
    """Return the tests over all settings of a section; those of its one setting where it has no more."""
    part = tests[tests.section == section]
    over = part[part.world.isna()]
    return part if over.empty else over


def overlap_of(world: str, overlap: float) -> float:
    """Return the overlap of a world: synthetic worlds are made anew for each seed."""
    return 0.0 if world in SYNTHETIC else overlap


def over_worlds(part: pd.DataFrame, row: str, reference: str, overlap: float) -> dict[str, Any]:
    """Compare two rows in the mean over the worlds, each of which counts alike.

        mean_w d_w -+ t sqrt(sum_w v_w) / W,   v_w = s_w^2 (1 / k + overlap_w)

    d_w and s_w are the mean and standard deviation over the k seeds of the differences, which are first averaged over
    the noise levels of a world, since these share prompts. The degrees of freedom are Satterthwaite's,
    (sum v_w)^2 / sum(v_w^2 / (k - 1)). The worlds are fixed: the interval says nothing about other worlds.

    Source: Nadeau and Bengio, Machine Learning 52 (2003), for v_w; F. Satterthwaite, Biometrics Bulletin 2 (1946).
    """
    first, second = (
        part[part.row == name].pivot_table(index="world", columns="seed", values="skill") for name in (row, reference)
    )
    difference, k = (first - second).to_numpy(dtype=float), first.shape[1]
    rounding = ROUNDING * float(np.abs(np.stack([first, second])).max())
    extra = np.array([overlap_of(str(world), overlap) for world in first.index])
    variances = difference.var(axis=1, ddof=1) * (1 / k + extra)
    mean, error = float(difference.mean()), float(np.sqrt(variances.sum()) / len(difference))
    names = {"row": row, "seeds": k}
    if error <= rounding:
        same = abs(mean) <= rounding
        ends = {"low": 0.0, "high": 0.0, "p_value": 1.0} if same else {"low": np.nan, "high": np.nan, "p_value": np.nan}
        return {**names, "difference": 0.0 if same else mean, **ends}
    freedom = variances.sum() ** 2 / (variances**2 / (k - 1)).sum()
    half = float(stats.t.ppf(0.975, freedom)) * error
    p_value = float(2 * stats.t.sf(abs(mean) / error, freedom))
    return {**names, "difference": mean, "low": mean - half, "high": mean + half, "p_value": p_value}


def _in_one_setting(rows: pd.DataFrame, reference: str, overlap: float) -> pd.DataFrame:
    table = rows[["seed", "row", "skill"]].rename(columns={"row": "model", "skill": "value"})
    table = table.assign(metric="skill", n=pd.array([pd.NA] * len(table), dtype="Int64"))
    found = rm.compare_models(table, metric="skill", against=reference, overlap=overlap)
    return found.rename(columns={"model": "row"})


def verdict(test: Any) -> str:
    """Return what a test says, in words."""
    if test.difference == test.low == test.high == 0:
        return "the same"
    if not test.p_corrected < 0.05:
        return "not told apart"
    return "better" if test.difference > 0 else "worse"
