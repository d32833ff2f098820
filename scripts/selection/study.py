"""The study: every rule in every world, with pools of pairs within prompts and across prompts."""

from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import rmspace as rm
from rmspace import active
from rmspace.data.files import write_whole
from selection.worlds import WORLDS

RANDOM = "random"
RULES: dict[str, Any] = {
    RANDOM: active.at_random,
    "entropy": active.entropy,
    "largest gap": active.largest_gap,
    "level set": active.level_set,
    "coreset": active.coreset,
    "D-optimal": active.d_optimal,
    "past-aware D-optimal": active.past_aware_d_optimal,
    "BALD": active.bald,
    "gap variance": active.gap_variance,
}
POOLS: dict[str, Any] = {"same prompt": rm.same_prompt, "cross prompt": rm.cross_prompt}
METRIC = "normalized_gain"
BETA = 2.0  # of the annotator, whose gaps are in standard deviations of the reward


class Plan(NamedTuple):
    """What is measured."""

    worlds: tuple[str, ...]
    seeds: int
    n_rounds: int
    n_members: int

    def cells(self) -> list["Cell"]:
        """Return the cells in the order in which they are run: all settings of a seed first."""
        return [
            Cell(world, pool, seed)
            for seed in range(self.seeds)
            for world in self.worlds
            for pool in POOLS
            if seed < WORLDS[world].seeds
        ]


FULL = Plan(tuple(WORLDS), seeds=20, n_rounds=8, n_members=5)
QUICK = Plan(("uneven prompts", "rare topics"), seeds=2, n_rounds=2, n_members=2)


@dataclass(frozen=True)
class Cell:
    """One seed of one setting: all rules, which share a pool and its verdicts."""

    world: str
    pool: str
    seed: int

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.world}-{self.pool}-{self.seed}.csv".replace(" ", "_")


ALPHAS, ALPHA_SEEDS = (1e-4, 1e-3, 1e-2, 1e-1), range(1000, 1005)


def gains_by_alpha(plan: Plan, data: Path) -> pd.DataFrame:
    """Return the last gain of random pairs in each world by alpha, in the mean over pools and seeds of their own."""
    found = []
    for world in plan.worlds:
        for alpha in ALPHAS:
            cells = [Cell(world, pool, seed) for seed in ALPHA_SEEDS for pool in POOLS]
            tables = [run_cell(cell, plan, data, rules={RANDOM: RULES[RANDOM]}, alpha=alpha) for cell in cells]
            found.append((world, alpha, np.mean([table.value.iloc[-1] for table in tables])))
    return pd.DataFrame(found, columns=["world", "alpha", METRIC])


def run_cell(
    cell: Cell, plan: Plan, data: Path, *, rules: dict[str, Any] | None = None, alpha: float | None = None
) -> pd.DataFrame:
    """Return the rows of `active_study`, with the columns world and pool."""
    world = WORLDS[cell.world]
    train, test = world.make(cell.seed, data)
    table = active.active_study(
        train=train,
        test=test,
        rules=rules or RULES,
        model=rm.EnsembleReward(rm.LinearReward(alpha=alpha or world.alpha), plan.n_members, bootstrap=True),
        pairs=POOLS[cell.pool],
        n_pool=world.n_pool,
        annotator=partial(rm.logistic, beta=BETA),
        reward_scale="std",
        n_per_round=world.n_per_round,
        n_rounds=plan.n_rounds,
        metrics={METRIC: rm.normalized_gain},
        seeds=[cell.seed],
    )
    return table.assign(world=cell.world, pool=cell.pool)


def results(folder: Path, plan: Plan, data: Path) -> pd.DataFrame:
    """Run the cells that have no file yet, and return the rows of all."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = []
    for cell in plan.cells():
        path = folder / cell.file
        if not path.exists():
            write_whole(path, run_cell(cell, plan, data).to_csv(index=False))
            print(cell.file, flush=True)
        tables.append(pd.read_csv(StringIO(path.read_text())))
    return pd.concat(tables, ignore_index=True)
