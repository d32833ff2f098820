"""Computing cells one after the other, in any process; data that the next cell also needs stay open."""

from __future__ import annotations

import json
import os
import platform
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from typing import Any

import pandas as pd

from rmspace._checks import printable
from rmspace.config.build import Experiment
from rmspace.config.node import ConfigError
from rmspace.data.files import file_hash
from rmspace.experiment import RESULT_VERSION, run
from rmspace.models.core.reuse import reuse_items
from rmspace.results import provenance
from rmspace.results.schema import FACTS, MEASURES, names
from rmspace.study.engine.interruption import came_from_outside
from rmspace.study.engine.task import CHANGED, DONE, FAILED, Outcome, Row, Task
from rmspace.study.fingerprints import DataChanged, check_unchanged, file_signature


class CellRunner:
    """Runs cells one after the other.

    The data stay open while the next cell has the same. Cells of one group also reuse the rows and bins of the items.
    """

    def __init__(self) -> None:
        self._group: str | None = None
        self._data_key: str | None = None
        self._data: tuple[Any, Any] | None = None  # training and test data
        self._signature: str | None = None  # of the files of the data when they were opened
        self._reuse = ExitStack()

    def run(self, task: Task) -> Outcome:
        """Compute a cell; an error inside the cell becomes its outcome, and an interruption from outside is raised."""
        start = time.perf_counter()
        measures: list[Row] = []
        facts: list[Row] = []
        status, error, trace = DONE, None, None
        try:
            table = self._compute(task)
            measures, facts = as_rows(table, names(MEASURES)), _rows_per_model(table)
        except BaseException as problem:
            if came_from_outside(problem):
                raise
            measures, facts = [], []
            status = CHANGED if isinstance(problem, DataChanged) else FAILED
            error, trace = _in_one_line(problem), printable(traceback.format_exc())
            self.close()
        seconds = time.perf_counter() - start
        return Outcome(task, status, seconds, worker_name(), environment(), measures, facts, error, trace)

    def prepare(self, task: Task) -> Experiment:
        """Build the experiment of a cell and open its data, unless they are open already.

        Raises:
            DataChanged: a module or the data are no longer those that the study was planned with.
            ConfigError: the config cannot be read.
        """
        experiment = task.source.build(task.config)
        for name, path in experiment.modules.items():
            if file_hash(path) != task.modules.get(name):
                raise DataChanged(f"{path} changed while the study ran; run the study again")
        key = json.dumps([task.config["data"], task.data])
        if self._data_key != key:
            self.close()
            self._signature = file_signature(task.config["data"])
            self._data = _opened(experiment)
            check_unchanged(*self._data, task.data, self._signature)
            self._data_key = key
        return experiment

    def close(self) -> None:
        """Release the data and everything that cells reuse."""
        self._reuse.close()
        self._group = self._data_key = self._data = None

    def _compute(self, task: Task) -> pd.DataFrame:
        experiment = self.prepare(task)
        if self._group != task.group:
            self._reuse.close()
            self._reuse.enter_context(reuse_items())
            self._group = task.group
        assert self._data is not None
        train, test = self._data
        table = run(train=train, test=test, **experiment.options)
        if file_signature(task.config["data"]) != self._signature:  # the cell may have read other numbers
            raise DataChanged("files of the data changed while the cell ran; run the study again")
        return table


def _opened(experiment: Experiment) -> tuple[Any, Any]:
    """Open the data, which could be read when the study was planned."""
    try:
        return experiment.data()
    except ConfigError as error:
        raise DataChanged(f"{error}; when the study was planned, the data could be read") from error


def versions() -> dict[str, str]:
    """Return the versions that results may depend on."""
    return {"results": str(RESULT_VERSION), **provenance.versions()}


@cache
def environment() -> str:
    """Return the versions and the machine of this process, as JSON."""
    return json.dumps({"versions": versions(), "machine": provenance.machine()})


def worker_name() -> str:
    """Return the host and the number of this process."""
    return f"{platform.node()}:{os.getpid()}"


def as_rows(table: pd.DataFrame, columns: Sequence[str]) -> list[Row]:
    """Return columns of a table as rows of plain values that the file can hold, None where a value is missing."""
    values = (
        [None if pd.isna(value) else _storable(name, value) for value in table[name].tolist()] for name in columns
    )
    return list(zip(*values, strict=True))


def _storable(column: str, value: Any) -> Any:
    """Return a value; raise ValueError where SQLite could not hold it."""
    if isinstance(value, str) and printable(value) == value:
        return value
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    raise ValueError(f"a result must be a number or text that UTF-8 can hold; column {column} has {value!a}")


def _rows_per_model(table: pd.DataFrame) -> list[Row]:
    """Return the name and the facts of each model, which are the same in all of its rows."""
    rows = as_rows(table, ["model", *names(FACTS)])
    return list({row[0]: row for row in rows}.values())


def _in_one_line(error: BaseException) -> str:
    """Return the type and text of any error, also of one whose text cannot be made."""
    try:
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        text = f"{error}{notes}"
    except BaseException as problem:
        text = f"(its text cannot be made: {type(problem).__name__})"
    return printable(" ".join(f"{type(error).__name__}: {text}".split()))
