"""What the settings of the leaderboard are: the size of each world, and how often the annotator is wrong."""

from typing import Any

import numpy as np
from scipy.special import expit

import rmspace as rm
from leaderboard.prepare import SYNTHETIC
from leaderboard.rows import MAIN, Sheet, as_override
from leaderboard.studies import SEEDS, Setup, grid_of
from leaderboard.words import WORLDS, setting_name

GOLD = {
    "alpacaeval": "log-odds of a judge",
    "gsm8k": "right or wrong",
    "synthetic": "known, and not linear in the embedding",
    "flipped": "the same, and a share of the reports is reversed",
    "hh": "what people chose",
    "pandalm": "what three people chose",
}


def world_lines(setup: Setup) -> list[dict[str, str]]:
    """Return the size of each world; a synthetic one is made anew for each seed."""
    lines = []
    for world in dict.fromkeys(name for name, _ in setup.worlds):
        folder = setup.data / world
        size = "made anew for each seed" if world in SYNTHETIC else "not prepared"
        if (folder / "bank.json").exists():
            bank = rm.ResponseBank.open(folder)
            size = f"{bank.n_prompts:,} prompts, {_range(bank.counts)} responses each, {bank.dim} numbers"
        elif folder.exists():
            data = rm.Preferences.open(folder)
            size = f"{data.n_prompts:,} prompts, {data.n_comparisons:,} comparisons, {data.dim} numbers"
        lines.append({"world": WORLDS.get(world, world), "size": size, "gold": GOLD.get(world, "")})
    return lines


def wrong_choices(setup: Setup, sheet: Sheet) -> dict[str, str]:
    """Return the expected share of wrong choices in each setting, over all pairs of the test responses of one seed.

    The rewards of the test bank are the utilities of the annotator, who is wrong with probability sigma(-|gap|).
    Reports that are reversed afterwards do not count.
    """
    found = {"row": "wrong choices, before any is reversed"}
    one_seed = [as_override(f"grid.{SEEDS}", [[0, 0]])]
    for cell in grid_of(setup, sheet, MAIN, changes=one_seed, rows=sheet.of(MAIN)[:1]).cells():
        world, beta = cell.labels[2:4]
        if beta is None:
            continue
        _, test = cell.data()
        found[setting_name(str(world), beta)] = f"{_wrong(test):.0%}"
    return found


def _wrong(test: Any) -> float:
    rewards = np.asarray(test.rewards, dtype=np.float64)
    first, second = np.triu_indices(rewards.shape[1], k=1)
    gap = np.abs(rewards[:, first] - rewards[:, second])
    return float(expit(-gap[gap > 0]).mean())


def _range(counts: Any) -> str:
    low, high = int(counts.min()), int(counts.max())
    return str(high) if low == high else f"{low} to {high}"
