"""The results of a study in one SQLite file. It has one writer; a commit is written whole or not at all."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rmspace.results.schema import CELL, FACTS, MEASURES, Column, names
from rmspace.study.checksums import checksum
from rmspace.study.engine.task import DONE, Outcome
from rmspace.study.fingerprints import Fingerprints

FILE = "study.sqlite"
_FORMAT, _VERSION = "rmspace-study", 3
RESTORE = "restore the file from a backup, or run the study again in another folder"
FACTS_OF_MODELS = (MEASURES[0], *FACTS)
_KEY = names(CELL).index("key")
_SQL_TYPES = {"str": "TEXT", "Int64": "INTEGER", "float64": "REAL"}


def _defined(columns: Sequence[Column]) -> str:
    return ", ".join(f"{column.name} {_SQL_TYPES[column.dtype]}" for column in columns)


_TABLES = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL, checksum TEXT NOT NULL)",
    "CREATE TABLE driver (host TEXT, pid INTEGER, started TEXT, since TEXT, token TEXT)",
    "CREATE TABLE plan (labels TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE, checksum TEXT NOT NULL)",
    "CREATE TABLE environment (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)",
    "CREATE TABLE data (block TEXT PRIMARY KEY, train TEXT NOT NULL, test TEXT NOT NULL, signature TEXT NOT NULL, "
    "checksum TEXT NOT NULL)",
    "CREATE TABLE cell (id INTEGER PRIMARY KEY, labels TEXT NOT NULL, labels_checksum TEXT NOT NULL, "
    "config TEXT NOT NULL, environment INTEGER NOT NULL REFERENCES environment (id), checksum TEXT NOT NULL, "
    f"{_defined(CELL)})",
    f"CREATE TABLE result (cell INTEGER NOT NULL REFERENCES cell (id), {_defined(MEASURES)})",
    f"CREATE TABLE fit (cell INTEGER NOT NULL REFERENCES cell (id), model TEXT, {_defined(FACTS)})",
    "CREATE UNIQUE INDEX cell_key ON cell (key)",
    "CREATE INDEX result_cell ON result (cell)",
    "CREATE INDEX fit_cell ON fit (cell)",
)


class Driver(NamedTuple):
    """The process that runs a study."""

    host: str
    pid: int
    started: str  # tells it from a later process with the same number; "" where that is unknown
    since: str  # when it began to run the study


class DamagedCell(NamedTuple):
    """A cell of which something was changed outside the study."""

    number: int
    labels: str  # as the file has them


class Contents(NamedTuple):
    """The rows of all cells, and the cells of which something was changed outside the study."""

    measures: list[tuple[Any, ...]]  # number of the cell, then the columns of MEASURES
    facts: list[tuple[Any, ...]]  # number of the cell, then the columns of FACTS_OF_MODELS
    damaged: list[DamagedCell]


class Store:
    """The file of one study, from `create` or `open`; a process that writes holds the lock (see `study_lock`)."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._token: str | None = None  # of the lock that this process holds

    @classmethod
    def create(cls, path: Path) -> Store:
        """Open a study's file to write, and make it where there is none.

        Raises:
            ValueError: as `open`.
            OSError: the file cannot be made.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        store = cls(path, _connect(path, "rwc"))
        with store.transaction():  # of two drivers that start together, the second finds the tables made
            if not store._execute("SELECT 1 FROM sqlite_master").fetchone():
                for statement in _TABLES:
                    store._execute(statement)
                store._set("format", _FORMAT)
                store._set("version", str(_VERSION))
        store._check_format()
        return store

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open a study's file to read it.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is no study, or one of another version of the file.
        """
        if not path.is_file():
            raise FileNotFoundError(f"there is no study at {path.parent}: {path.name} is missing")
        try:
            store = cls(path, _connect(path, "rw"))  # the first read undoes an unfinished write of a killed driver
        except OSError:
            store = cls(path, _connect(path, "ro"))
        store._check_format()
        return store

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with _clear_errors(self.path):
            return self._execute(query, values).fetchall()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads of the block see the same state of the file, while another process writes."""
        with _clear_errors(self.path):
            self._execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._execute("ROLLBACK")  # nothing was written

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything that the block writes, or nothing where the block raises.

        Raises:
            OSError: the file cannot be written, as on a full disk.
        """
        with _clear_errors(self.path):
            self._execute("BEGIN IMMEDIATE")
            try:
                yield
                self._execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._execute("ROLLBACK")
                raise

    def meta(self, name: str) -> Any:
        """Return a fact of the study, or None."""
        rows = self.rows("SELECT value, checksum FROM meta WHERE name = ?", name)
        if rows and rows[0][1] != checksum(name, rows[0][0]):
            raise ValueError(f"{self.path} is damaged: its {name} was changed outside the study; {RESTORE}")
        return json.loads(rows[0][0]) if rows else None

    def set_meta(self, facts: Mapping[str, Any]) -> None:
        """Write facts of the study, as JSON; inside a transaction."""
        for name, value in facts.items():
            self._set(name, json.dumps(value))

    def driver(self) -> Driver | None:
        """Return the process that holds the lock, or held it when it died."""
        rows = self.rows("SELECT host, pid, started, since FROM driver")
        return Driver(*rows[0]) if rows else None

    def set_driver(self, driver: Driver, token: str) -> None:
        """Write this driver as the holder of the lock, in place of any other; inside a transaction."""
        self._token = token
        self._execute("DELETE FROM driver")
        self._execute("INSERT INTO driver VALUES (?, ?, ?, ?, ?)", (*driver, token))

    def remove_driver(self) -> None:
        """Give the lock back, unless another driver has taken it over; inside a transaction."""
        self._execute("DELETE FROM driver WHERE token = ?", (self._token,))
        self._token = None

    def set_plan(self, cells: Iterable[tuple[str, str]]) -> None:
        """Write the (labels, key) of each cell of the grid; inside a transaction. All other cells then count as old."""
        self._execute("DELETE FROM plan")
        self._many("plan", [(labels, key, checksum(labels, key)) for labels, key in cells])
        self._execute(  # the labels of a cell may have changed while its key has not
            "UPDATE cell SET (labels, labels_checksum) = "
            "(SELECT labels, checksum FROM plan WHERE plan.key = cell.key) WHERE key IN (SELECT key FROM plan)"
        )

    def known_data(self) -> dict[str, Fingerprints]:
        """Return the fingerprints that were stored for `data` blocks; damaged ones are left out, and taken again."""
        rows = self.rows("SELECT block, train, test, signature, checksum FROM data")
        return {block: Fingerprints(*found) for block, *found, known in rows if known == checksum(block, *found)}

    def set_data(self, data: Mapping[str, Fingerprints]) -> None:
        """Store the fingerprints of `data` blocks that name files; inside a transaction."""
        self._execute("DELETE FROM data")
        kept = [(block, *found) for block, found in data.items() if found.signature is not None]
        self._many("data", [(*row, checksum(*row)) for row in kept])

    def statuses(self) -> dict[str, str]:
        """Return the status of every cell that was run, by key."""
        return dict(self.rows("SELECT key, status FROM cell"))

    def contents(self) -> Contents:
        """Return the rows of all cells, each checked against its checksum; inside a snapshot or a transaction.

        Raises:
            ValueError: the file itself is damaged.
        """
        problems = self.rows("PRAGMA integrity_check(1)")
        if problems != [("ok",)]:
            raise ValueError(f"{self.path} is damaged ({' '.join(problems[0][0].split())}); {RESTORE}")
        measures, facts = self._rows_of_cells("result", MEASURES), self._rows_of_cells("fit", FACTS_OF_MODELS)
        measures_of, facts_of = _by_cell(measures), _by_cell(facts)
        environments = dict(self.rows("SELECT id, text FROM environment"))
        found = []
        for number, labels, labels_checksum, config, environment, known, *cell in self.rows("SELECT * FROM cell"):
            key = cell[_KEY]
            rows = (measures_of.get(number, []), facts_of.get(number, []))
            whole = known == checksum(config, environments.get(environment), *cell, *rows)
            if not whole or labels_checksum != checksum(labels, key):
                found.append(DamagedCell(number, str(labels)))
        return Contents(measures, facts, found)

    def check_plan(self) -> None:
        """Raise ValueError where the plan was changed outside the study."""
        if any(known != checksum(*row) for *row, known in self.rows("SELECT labels, key, checksum FROM plan")):
            raise ValueError(f"{self.path} is damaged: its plan was changed; the same `rmspace study` writes it again")

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove cells by their id, with their rows."""
        with self.transaction():
            self._remove(numbers)

    def _remove(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            for table, column in (("result", "cell"), ("fit", "cell"), ("cell", "id")):
                self._execute(f"DELETE FROM {table} WHERE {column} = ?", (number,))

    def _rows_of_cells(self, table: str, columns: Sequence[Column]) -> list[tuple[Any, ...]]:
        return self.rows(f"SELECT cell, {', '.join(names(columns))} FROM {table} ORDER BY rowid")

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Write cells that ended, with their rows. A cell that was done stays; a cell that had failed is replaced.

        Raises:
            OSError: as `transaction`. Nothing of these cells is then in the file.
            BlockingIOError: another driver took the study over.
        """
        with self.transaction():
            if self._token is not None and self.rows("SELECT token FROM driver") != [(self._token,)]:
                raise BlockingIOError(f"another driver took over {self.path}; this one stops")
            for outcome in outcomes:
                self._add(outcome)

    def _add(self, outcome: Outcome) -> None:
        task = outcome.task
        if self._execute("SELECT 1 FROM cell WHERE key = ? AND status = ?", (task.key, DONE)).fetchone():
            return
        self._remove(row[0] for row in self._execute("SELECT id FROM cell WHERE key = ?", (task.key,)).fetchall())
        facts = {
            "status": outcome.status,
            "attempts": outcome.attempts,
            "seconds": outcome.seconds,
            "ended": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "worker": outcome.worker,
            "error": outcome.error,
            "traceback": outcome.traceback,
            "train": task.data.train,
            "test": task.data.test,
            "key": task.key,
        }
        config, environment = json.dumps(task.config), self._environment(outcome.environment)
        values = _as_stored([tuple(facts[name] for name in names(CELL))], CELL)[0]
        measures = _as_stored(outcome.measures, MEASURES)
        fits = _as_stored(outcome.facts, FACTS_OF_MODELS)
        known = checksum(config, outcome.environment, *values, measures, fits)
        cell = (None, task.labels, checksum(task.labels, task.key), config, environment, known, *values)
        number = self._execute(f"INSERT INTO cell VALUES ({_marks(cell)})", cell).lastrowid
        self._many("result", [(number, *row) for row in measures])
        self._many("fit", [(number, *row) for row in fits])

    def _environment(self, text: str) -> int:
        """Return the number of an environment, which is written once."""
        self._execute("INSERT OR IGNORE INTO environment (text) VALUES (?)", (text,))
        return int(self._execute("SELECT id FROM environment WHERE text = ?", (text,)).fetchone()[0])

    def _set(self, name: str, text: str) -> None:
        self._execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", (name, text, checksum(name, text)))

    def _execute(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._connection.execute(query, values)

    def _many(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        found = list(rows)
        if found:
            self._connection.executemany(f"INSERT INTO {table} VALUES ({_marks(found[0])})", found)

    def _check_format(self) -> None:
        known = dict(self.rows("SELECT name, value FROM meta WHERE name IN ('format', 'version')"))
        if known.get("format") != _FORMAT:
            raise ValueError(f"{self.path} is not a study of rmspace; choose another folder")
        version = int(known["version"])
        if version > _VERSION:
            raise ValueError(
                f"{self.path} was written by a newer rmspace: its format is version {version}, and this one reads "
                f"version {_VERSION}; upgrade rmspace"
            )
        if version < _VERSION:
            raise ValueError(
                f"{self.path} was written by an older rmspace: its format is version {version}, and this one reads "
                f"version {_VERSION}; run the study again in another folder, or read this one with the older rmspace"
            )


def _by_cell(rows: Iterable[tuple[Any, ...]]) -> dict[int, list[tuple[Any, ...]]]:
    """Return rows by the number of their cell, without it, in their order."""
    found: dict[int, list[tuple[Any, ...]]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row[1:])
    return found


def _as_stored(rows: Iterable[Sequence[Any]], columns: Sequence[Column]) -> list[tuple[Any, ...]]:
    """Return rows as the file gives them back: numbers of a column of floats as floats."""
    to_float = [_SQL_TYPES[column.dtype] == "REAL" for column in columns]
    return [
        tuple(float(value) if real and value is not None else value for real, value in zip(to_float, row, strict=True))
        for row in rows
    ]


def _marks(row: Sequence[Any]) -> str:
    return ", ".join("?" * len(row))


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    with _clear_errors(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=60
        )
        # A rollback journal, since a write-ahead log needs memory that network file systems do not share.
        connection.execute("PRAGMA journal_mode = DELETE" if mode != "ro" else "PRAGMA query_only = 1")
    return connection


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """Turn an error of SQLite into one that names the file and says what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "no such" in str(error):  # table or column
            raise ValueError(f"{path} is not a study of rmspace ({error}); choose another folder") from error
        if "decode" in str(error):  # text that is not UTF-8
            raise ValueError(f"{path} is damaged ({error}); {RESTORE}") from error
        if "locked" in str(error):
            raise OSError(
                f"{path} is held by another program ({error}); close it, and run the same command again"
            ) from error
        raise OSError(
            f"{path} could not be read or written ({error}); what was committed is whole: free space on the disk or "
            "correct the permissions, and run the same command again"
        ) from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError):
            raise
        raise ValueError(f"{path} is no study, or is damaged ({error}); {RESTORE}") from error
