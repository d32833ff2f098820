"""Checks that the leaderboard makes of itself, in words."""

import pandas as pd

from leaderboard.rows import COIN, Sheet
from leaderboard.words import WORLDS, listed
from rmspace import models, objectives


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
        found = coin.groupby("world", sort=False).skill.agg(["mean", "std"])
        words = listed(f"{WORLDS.get(str(w), w)} {row['mean']:+.3f} ({row['std']:.3f})" for w, row in found.iterrows())
        lines.append(
            f"Where a coin decides who won, the skill of {sheet.reference(COIN)} must be about 0. Its mean, with the "
            f"standard deviation over seeds: {words}."
        )
    if left := without_a_row(sheet):
        lines.append(f"Objectives and models of the library that have no row: {listed(left)}.")
    return lines


def without_a_row(sheet: Sheet) -> list[str]:
    """Return the objectives and models that no row uses."""
    text = " ".join(str(row.model) for row in sheet.rows) + " 'bradley_terry'"
    return [name for name in [*sorted(dir(objectives)), *sorted(dir(models))] if f"'{name}'" not in text]
