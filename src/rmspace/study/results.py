"""Reading a study: its results as a tidy table, its cells, its failures."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rmspace._typing import PathLike
from rmspace.study.engine.cell import FACTS, MEASURES
from rmspace.study.store import FILE, Store

_CELL = ("status", "attempts", "seconds", "ended", "worker", "error", "traceback", "train", "test", "key")


class Study:
    """A study to read, while it runs or afterwards.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Study.open(folder)
    Traceback (most recent call last):
    FileNotFoundError: there is no study at ...: study.sqlite is missing
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with closing(self._store()) as store:
            self.columns: list[str] = store.meta("columns")
            self.grid: str = store.meta("grid")
            self.threads: int = store.meta("threads")

    @classmethod
    def open(cls, path: PathLike) -> Study:
        """Open the study in a folder.

        Raises:
            FileNotFoundError: there is none.
            ValueError: its file is no study, or is of a newer version.
        """
        study = cls(Path(path))
        if study.columns is None:
            raise ValueError(f"the study at {path} was never begun: its file is empty")
        return study

    def results(self, *, old: bool = False) -> pd.DataFrame:
        """Return a row for every measurement: the axes, model, metric, n, value, low, high, and facts of the fit.

        Facts, the same in each row of a model: error_rate, mean_abs_gap, fit_seconds (see `run`), and precision and
        device where the model has them.

        Args:
            old: also give cells of the past, such as those of a bank that has changed since, in which the column
                `current` is False.
        """
        with closing(self._store()) as store:
            cells = self._frame(store, old=old).drop(columns=[c for c in _CELL if c != "status"])
            results = store.rows(f"SELECT cell, {', '.join(MEASURES)} FROM result ORDER BY rowid")
            fits = store.rows(f"SELECT cell, model, {', '.join(FACTS)} FROM fit")
        table = pd.DataFrame(results, columns=["cell", *MEASURES])
        table = table.astype({"n": "Int64", **dict.fromkeys(("value", "low", "high"), float)})
        facts = pd.DataFrame(fits, columns=["cell", "model", *FACTS])
        facts = facts.astype(dict.fromkeys(("error_rate", "mean_abs_gap", "fit_seconds"), float))
        table = table.merge(facts, on=["cell", "model"], how="left")
        table = cells[cells.status == "done"].drop(columns="status").merge(table, left_index=True, right_on="cell")
        table = table.drop(columns="cell").reset_index(drop=True)
        return table if old else table.drop(columns="current")

    def cells(self, *, old: bool = False) -> pd.DataFrame:
        """Return a row for every cell: the axes, status (missing where it has not run), seconds, worker, error.

        Statuses are done, failed (an error), crashed (its process died) and timeout.
        """
        with closing(self._store()) as store:
            frame = self._frame(store, old=old, planned=True).reset_index(drop=True)
        return frame if old else frame.drop(columns="current")

    def counts(self) -> dict[str, int]:
        """Return how many cells of the grid are done, failed, crashed, timeout, and waiting."""
        return {str(k): int(v) for k, v in self.cells().status.fillna("waiting").value_counts().items()}

    def environments(self) -> list[dict[str, Any]]:
        """Return the versions and machines that computed cells of the grid, each with their number."""
        with closing(self._store()) as store:
            rows = store.rows(
                "SELECT text, COUNT(*) FROM cell JOIN plan USING (key) "
                "JOIN environment ON environment.id = cell.environment GROUP BY text ORDER BY 2 DESC"
            )
        return [{**json.loads(text), "cells": count} for text, count in rows]

    def config(self, key: str) -> dict[str, Any]:
        """Return the resolved config of a cell that was run, by its key in `cells()`; it runs as it is.

        Raises:
            KeyError: no cell has this key.
        """
        with closing(self._store()) as store:
            rows = store.rows("SELECT config FROM cell WHERE key = ?", key)
        if not rows:
            raise KeyError(f"no cell of {self.path} has the key {key!r}")
        return json.loads(rows[0][0])

    def _frame(self, store: Store, *, old: bool, planned: bool = False) -> pd.DataFrame:
        """Return cells by their number in the file, in the order of the grid, those of the past last."""
        columns = ", ".join(f"cell.{name}" for name in _CELL[:-1])
        join = "LEFT JOIN" if planned else "JOIN"
        rows = store.rows(
            f"SELECT cell.id, plan.labels, 1, {columns}, plan.key FROM plan {join} cell USING (key) ORDER BY plan.rowid"
        )
        if old:
            rows += store.rows(
                f"SELECT id, labels, 0, {columns}, key FROM cell WHERE key NOT IN (SELECT key FROM plan) ORDER BY id"
            )
        labels = [json.loads(row[1]) for row in rows]
        frame = pd.DataFrame(labels, columns=self.columns).infer_objects()
        rest = pd.DataFrame([row[2:] for row in rows], columns=["current", *_CELL])
        frame[rest.columns] = rest.astype({"current": bool, "seconds": float})
        return frame.set_index(np.array([-1 if row[0] is None else row[0] for row in rows], dtype=np.int64))

    def _store(self) -> Store:
        return Store.open(self.path / FILE)
