"""Reading a study: its results as a tidy table, its cells, its failures."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rmspace._typing import PathLike
from rmspace.results.schema import CELL, CURRENT, MEASURES, Column, names, typed
from rmspace.study.engine.task import DAMAGED, DONE
from rmspace.study.store import FACTS_OF_MODELS, FILE, Contents, DamagedCell, Store


class Study:
    """A study to read, while it runs or afterwards.

    Attributes:
        path: its folder.
        columns: the axes, as columns of the results.
        grid: YAML of the grid that was run last, with everything filled in.
        threads: of each cell.
        allow: modules that the configs may import, besides those beside the grid.

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
            self.allow: list[str] = store.meta("allow") or []

    @classmethod
    def open(cls, path: PathLike) -> Study:
        """Open the study in a folder.

        Raises:
            FileNotFoundError: there is none.
            ValueError: its file is no study, or has another version.
        """
        study = cls(Path(path))
        if study.columns is None:
            raise ValueError(f"the study at {path} was never begun: its file is empty")
        return study

    def results(self, *, old: bool = False) -> pd.DataFrame:
        """Return one row per measurement of the cells that are done.

        Columns: the axes; model, metric, n, value, low, high, n_prompts; and facts of the fit, the same in each row of
        a model: error_rate, mean_abs_gap, fit_seconds, precision, device. See `rmspace.results.schema`.

        Args:
            old: also give cells of the past, such as those of data that have changed since, in which the column
                `current` is False.
        """
        with closing(self._store()) as store, store.snapshot():
            contents = checked_contents(store)
            cells = _cells(store, self.columns, [], old=old, waiting=False)
        measures = pd.DataFrame(contents.measures, columns=["cell", *names(MEASURES)])
        fits = pd.DataFrame(contents.facts, columns=["cell", *names(FACTS_OF_MODELS)])
        kept = cells.loc[cells.status == DONE, [*self.columns, CURRENT]]
        rows = typed(measures.merge(fits, on=["cell", "model"], how="left"))
        table = kept.merge(rows, left_index=True, right_on="cell").drop(columns="cell").reset_index(drop=True)
        return table if old else table.drop(columns=CURRENT)

    def cells(self, *, old: bool = False) -> pd.DataFrame:
        """Return one row per cell: the axes, status (missing where it has not run), seconds, worker, error and so on.

        A status is done, failed (an error), crashed (its process died), timeout, changed (its data changed; the next
        run computes it again), or damaged (its rows were changed outside the study).

        Args:
            old: as in `results`.
        """
        with closing(self._store()) as store, store.snapshot():
            damaged = store.contents().damaged
            frame = _cells(store, self.columns, damaged, old=old, waiting=True).reset_index(drop=True)
        return frame if old else frame.drop(columns=CURRENT)

    def counts(self) -> dict[str, int]:
        """Return how many cells of the grid are done, failed, crashed, timeout, changed, and waiting."""
        return {str(k): int(v) for k, v in self.cells().status.fillna("waiting").value_counts().items()}

    def environments(self) -> list[dict[str, Any]]:
        """Return the versions and machines that computed cells of the grid, each with its number of cells."""
        with closing(self._store()) as store:
            rows = store.rows(
                "SELECT text, COUNT(*) FROM cell JOIN plan USING (key) "
                "JOIN environment ON environment.id = cell.environment GROUP BY text ORDER BY 2 DESC"
            )
        return [{**json.loads(text), "cells": count} for text, count in rows]

    def config(self, key: str) -> dict[str, Any]:
        """Return the resolved config of a cell that was run, by its key in `cells()`; `rmspace run` can run it.

        Raises:
            KeyError: no cell has this key.
        """
        with closing(self._store()) as store, store.snapshot():
            checked_contents(store)
            rows = store.rows("SELECT config FROM cell WHERE key = ?", key)
        if not rows:
            raise KeyError(f"no cell of {self.path} has the key {key!r}")
        return json.loads(rows[0][0])

    def _store(self) -> Store:
        return Store.open(self.path / FILE)


def checked_contents(store: Store) -> Contents:
    """Return the rows of all cells; ValueError where cells were changed outside the study."""
    contents = store.contents()
    if damaged := contents.damaged:
        raise ValueError(
            f"{store.path} is damaged: {len(damaged)} of its cells were changed outside the study, the first "
            f"{damaged[0].labels}; run_study(verify=True), or rmspace study --verify, computes them again"
        )
    return contents


def _cells(store: Store, axes: list[str], damaged: list[DamagedCell], *, old: bool, waiting: bool) -> pd.DataFrame:
    """Return cells by their number in the file, in the order of the grid; those of the past come last."""
    known = ", ".join(f"cell.{name}" for name in names(CELL) if name != "key")
    join = "LEFT JOIN" if waiting else "JOIN"
    store.check_plan()
    rows = store.rows(
        f"SELECT cell.id, plan.labels, 1, plan.key, {known} FROM plan {join} cell USING (key) ORDER BY plan.rowid"
    )
    if old:
        rows += store.rows(
            f"SELECT id, labels, 0, key, {known} FROM cell WHERE key NOT IN (SELECT key FROM plan) ORDER BY id"
        )
    columns = [CURRENT, "key", *(name for name in names(CELL) if name != "key")]
    facts = pd.DataFrame([row[2:] for row in rows], columns=columns).astype({CURRENT: bool, **_dtypes(CELL)})
    frame = pd.DataFrame([json.loads(row[1]) for row in rows], columns=axes).infer_objects()
    frame[[CURRENT, *names(CELL)]] = facts[[CURRENT, *names(CELL)]]
    frame = frame.set_index(np.array([-1 if row[0] is None else row[0] for row in rows], dtype=np.int64))
    frame.loc[frame.index.isin([cell.number for cell in damaged]), "status"] = DAMAGED
    return frame


def _dtypes(columns: tuple[Column, ...]) -> dict[str, str]:
    return {column.name: column.dtype for column in columns if column.dtype != "str"}
