"""The rows of the leaderboard: each with the same number of trials, as the models of a study."""

import json
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from rmspace.config.node import read_config

MAIN, PEOPLE, COIN = "choices", "people", "coin"  # sections with other worlds, or another noise level, than the others


class Row(NamedTuple):
    """One row of the leaderboard."""

    section: str
    name: str
    model: dict[str, Any]  # of a config, tuned


class Sheet(NamedTuple):
    """All rows, and their budget."""

    rows: list[Row]
    trials: int
    folds: int

    @property
    def sections(self) -> list[str]:
        return list(dict.fromkeys(row.section for row in self.rows))

    def of(self, section: str) -> list[Row]:
        return [row for row in self.rows if row.section == section]

    def reference(self, section: str) -> str:
        """Return the row that the others of a section are compared with."""
        return self.of(section)[0].name


def read_rows(path: Path) -> Sheet:
    """Read rows.yaml.

    Raises:
        ValueError: a row with another number of trials than the budget says.
    """
    content = read_config(path).plain()
    trials, folds, alphas = content["trials"], content["folds"], content["alphas"]
    rows = []
    for section, block in content["sections"].items():
        for name, model in block.items():
            grid = model.pop("tune", {"member__alpha" if "member" in model else "alpha": alphas})
            if (count := prod(len(values) for values in grid.values())) != trials:
                raise ValueError(f"{path}: each row must have {trials} trials; {section}, {name} has {count}")
            tuned = {"use": "TunedReward", "n_splits": folds, "grid": grid, "member": model}
            rows.append(Row(section, name, tuned))
    return Sheet(rows, trials, folds)


def as_override(key: str, value: Any) -> str:
    """Return `key=value` with the value as JSON, which is YAML in one line."""
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def data_of(section: str, worlds: list[list[Any]]) -> tuple[str, list[list[Any]]]:
    """Return the feedback of a section, and the worlds with their noise levels that have it.

    People gave choices alone. A coin does not know the noise level, so one is enough.
    """
    gold = [world for world in worlds if world[1] is not None]
    if section == PEOPLE:
        return "choices", [world for world in worlds if world[0] == "pandalm"]
    if section == COIN:
        return section, [world for k, world in enumerate(gold) if world[0] not in [each for each, _ in gold[:k]]]
    return section, worlds if section == MAIN else gold
