"""The results of a study in one SQLite file: one writer, whose commits are whole or not there."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rmspace.study.banks import Banks
from rmspace.study.engine.cell import DONE, Outcome

FILE = "study.sqlite"
_FORMAT, _VERSION = "rmspace-study", 1
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE driver (one INTEGER PRIMARY KEY CHECK (one = 1), host TEXT, pid INTEGER, started TEXT, since TEXT,
  token TEXT);
CREATE TABLE plan (labels TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE);
CREATE TABLE environment (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE bank (data TEXT PRIMARY KEY, signature TEXT NOT NULL, train TEXT NOT NULL, test TEXT NOT NULL);
CREATE TABLE cell (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, labels TEXT NOT NULL, config TEXT NOT NULL,
  train TEXT NOT NULL, test TEXT NOT NULL, status TEXT NOT NULL, attempts INTEGER NOT NULL, seconds REAL NOT NULL,
  ended TEXT NOT NULL, worker TEXT NOT NULL, environment INTEGER NOT NULL REFERENCES environment (id),
  error TEXT, traceback TEXT);
CREATE TABLE result (cell INTEGER NOT NULL REFERENCES cell (id), model TEXT NOT NULL, metric TEXT NOT NULL,
  n INTEGER, value REAL, low REAL, high REAL);
CREATE TABLE fit (cell INTEGER NOT NULL REFERENCES cell (id), model TEXT NOT NULL,
  error_rate REAL, mean_abs_gap REAL, fit_seconds REAL, precision TEXT, device TEXT);
CREATE INDEX result_cell ON result (cell);
CREATE INDEX fit_cell ON fit (cell);
"""


class Store:
    """The file of one study. `create` and `open` give one; whoever writes holds its lock (see `lock`)."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self.connection = path, connection
        self.token: str | None = None  # of the lock that this process holds

    @classmethod
    def create(cls, path: Path) -> Store:
        """Open a study's file for writing, and make it where there is none.

        Raises:
            ValueError, OSError: as `open`; the file cannot be made.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        store = cls(path, _connect(path, "rwc"))
        with _told(path):
            # Of two drivers that start together, the second finds the tables made.
            store.connection.execute("BEGIN IMMEDIATE")
            if not store.connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                for statement in _TABLES.split(";\n"):
                    store.connection.execute(statement)
                store._set("format", _FORMAT)
                store._set("version", str(_VERSION))
            store.connection.execute("COMMIT")
        store._check_format()
        return store

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open a study's file to read it.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is no study, or one of a newer version.
        """
        if not path.is_file():
            raise FileNotFoundError(f"there is no study at {path.parent}: {path.name} is missing")
        try:
            store = cls(path, _connect(path, "rw"))  # what a killed driver left half done is undone at the first read
        except OSError:
            store = cls(path, _connect(path, "ro"))
        store._check_format()
        return store

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with _told(self.path):
            return self.connection.execute(query, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block writes, all of it or, where it raises, nothing.

        Raises:
            OSError: the file cannot be written, as on a full disk.
        """
        with _told(self.path):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def meta(self, name: str) -> Any:
        """Return a fact of the study, or None."""
        rows = self.rows("SELECT value FROM meta WHERE name = ?", name)
        return json.loads(rows[0][0]) if rows else None

    def set_meta(self, facts: Mapping[str, Any]) -> None:
        """Write facts of the study, as JSON; inside a transaction."""
        for name, value in facts.items():
            self._set(name, json.dumps(value))

    def plan(self, cells: Iterable[tuple[str, str]]) -> None:
        """Say which key (labels, key) each place of the grid has now; what was there before is a cell of the past."""
        self.connection.execute("DELETE FROM plan")
        self.connection.executemany("INSERT INTO plan VALUES (?, ?)", cells)
        self.connection.execute(  # a cell that was called otherwise before
            "UPDATE cell SET labels = (SELECT labels FROM plan WHERE plan.key = cell.key) "
            "WHERE key IN (SELECT key FROM plan)"
        )

    def known_banks(self) -> dict[str, Banks]:
        """Return the banks of `data` blocks that were read before."""
        rows = self.rows("SELECT data, train, test, signature FROM bank")
        return {data: Banks(train, test, signature) for data, train, test, signature in rows}

    def set_banks(self, banks: Mapping[str, Banks]) -> None:
        """Note what the files of `data` blocks hold; inside a transaction."""
        self.connection.executemany(
            "INSERT OR REPLACE INTO bank VALUES (?, ?, ?, ?)",
            [(data, b.signature, b.train, b.test) for data, b in banks.items() if b.signature is not None],
        )

    def statuses(self) -> dict[str, str]:
        """Return the status of every cell that was run, by key."""
        return dict(self.rows("SELECT key, status FROM cell"))

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Write cells that ended, with their rows; a cell that is done stays, one that failed is replaced.

        Raises:
            OSError: as `transaction`. Nothing of these cells is then in the file.
            BlockingIOError: another driver took the study over.
        """
        with self.transaction():
            if self.token is not None and self.connection.execute("SELECT token FROM driver").fetchall() != [
                (self.token,)
            ]:
                raise BlockingIOError(f"another driver took over {self.path}; this one stops")
            for outcome in outcomes:
                self._add(outcome)

    def _add(self, outcome: Outcome) -> None:
        execute, many = self.connection.execute, self.connection.executemany
        task = outcome.task
        earlier = execute("SELECT id, status FROM cell WHERE key = ?", (task.key,)).fetchone()
        if earlier is not None:
            if earlier[1] == DONE:
                return
            execute("DELETE FROM cell WHERE id = ?", (earlier[0],))
        execute("INSERT OR IGNORE INTO environment (text) VALUES (?)", (outcome.environment,))
        environment = execute("SELECT id FROM environment WHERE text = ?", (outcome.environment,)).fetchone()[0]
        cell = (
            *(task.key, task.labels, json.dumps(task.config), task.banks.train, task.banks.test),
            *(outcome.status, outcome.attempts, outcome.seconds, time.strftime("%Y-%m-%dT%H:%M:%S%z")),
            *(outcome.worker, environment, outcome.error, outcome.traceback),
        )
        number = execute(f"INSERT INTO cell VALUES (NULL{', ?' * len(cell)})", cell).lastrowid
        many("INSERT INTO result VALUES (?, ?, ?, ?, ?, ?, ?)", [(number, *row) for row in outcome.measures])
        many("INSERT INTO fit VALUES (?, ?, ?, ?, ?, ?, ?)", [(number, *row) for row in outcome.facts])

    def _set(self, name: str, text: str) -> None:
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, text))

    def _check_format(self) -> None:
        known = dict(self.rows("SELECT name, value FROM meta WHERE name IN ('format', 'version')"))
        if known.get("format") != _FORMAT:
            raise ValueError(f"{self.path} is no study of rmspace's")
        if int(known["version"]) > _VERSION:
            raise ValueError(
                f"{self.path} was written by a newer rmspace (version {known['version']} of the file; this one reads "
                f"up to {_VERSION}); upgrade rmspace"
            )


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    with _told(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=60
        )
        # A rollback journal, since a write-ahead log needs memory that network file systems do not share.
        connection.execute("PRAGMA journal_mode = DELETE" if mode != "ro" else "PRAGMA query_only = 1")
    return connection


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say which file SQLite's errors are about, and what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "no such" in str(error):  # table or column
            raise ValueError(f"{path} is no study of rmspace's ({error})") from error
        if "locked" in str(error):
            raise OSError(
                f"{path} is held by another program ({error}); close it, and run the same command again"
            ) from error
        raise OSError(
            f"{path} could not be read or written ({error}); what was committed is whole: free space or mend the "
            "rights, and run the same command again"
        ) from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError):
            raise
        raise ValueError(f"{path} is no study, or is damaged ({error})") from error
