"""A task, which a worker computes, and its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmspace.config.build import Experiment, build_experiment
from rmspace.config.node import as_node
from rmspace.study.fingerprints import Fingerprints

DONE, FAILED, CRASHED, TIMEOUT, CHANGED = "done", "failed", "crashed", "timeout", "changed"
DAMAGED = "damaged"  # in the file, and found when it is read

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Source:
    """The file of a study's configs, and the folders and modules in which their names are looked up."""

    path: Path  # file of the grid
    folders: tuple[Path, ...]  # folders of the user's modules
    allow: tuple[str, ...] = ()  # other modules that a config may name

    def build(self, config: Mapping[str, Any]) -> Experiment:
        """Build the experiment of a resolved config.

        Raises:
            ConfigError: the config is wrong.
        """
        root = as_node(config, place=str(self.path), folder=self.folders[0])
        return build_experiment(root, folders=self.folders, allow=self.allow)


@dataclass(frozen=True)
class Task:
    """Everything that a worker needs to compute one cell; it holds paths and no arrays, so it is small."""

    key: str
    labels: str  # JSON of the label of each axis
    config: dict[str, Any]
    source: Source
    data: Fingerprints  # of the data that the cell must have
    modules: dict[str, str]  # name -> SHA-256 of the user's modules that the cell must have
    group: str  # equal for cells that compare the same items


@dataclass(frozen=True)
class Outcome:
    """The outcome of a cell: its rows, or its error."""

    task: Task
    status: str
    seconds: float
    worker: str
    environment: str
    measures: list[Row]  # one row per measurement, in the columns MEASURES of the results schema
    facts: list[Row]  # one row per model: its name, then FACTS of the results schema
    error: str | None = None
    traceback: str | None = None
    attempts: int = 1
