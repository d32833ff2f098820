"""Checks that the leaderboard makes of itself, in words."""

import pandas as pd

from leaderboard.rows import COIN, Sheet
from leaderboard.words import WORLDS, listed
from rmspace import models, objectives
from rmspace.results.intervals import mean_interval


def checks(table: pd.DataFrame, same: list[str], sheet: Sheet) -> list[str]:
    """Return one line for each check.

    Args:
        table: as in `Results`.
        same: the rows whose skill is that of the reference in every cell.
        sheet: names the reference of each section.
    """
    lines = [f"These rows are the reference under another name, and have its skill in every cell: {listed(same)}."]
    coin = table[table.section == COIN]
    if not coin.empty:
        words = listed(f"{WORLDS.get(str(w), w)} {_mean(part.skill)}" for w, part in coin.groupby("world", sort=False))
        lines.append(
            f"Where a coin decides who won, the skill of {sheet.reference(COIN)} on pairs must be 0 in the mean over "
            f"coins. Its mean over seeds, with a 95% interval: {words}."
        )
    if left := without_a_row(sheet):
        lines.append(f"Objectives and models of the library that have no row: {listed(left)}.")
    return lines


def _mean(skill: "pd.Series[float]") -> str:
    middle, low, high = mean_interval(skill.to_numpy(), binary=False)
    return f"{middle:+.3f} ({low:+.3f} to {high:+.3f})"


def without_a_row(sheet: Sheet) -> list[str]:
    """Return the objectives and models that no row uses."""
    text = " ".join(str(row.model) for row in sheet.rows) + " 'bradley_terry'"
    return [name for name in [*sorted(dir(objectives)), *sorted(dir(models))] if f"'{name}'" not in text]
