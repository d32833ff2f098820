"""Faults of the processes of a study, at random moments: no finished cell is lost, and the results stay the same."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import yaml

import rmspace as rm
from faults.processes import ENVIRONMENT, Process, finish, small_files, start, wait_for, workers_of
from faults.promise import Found, Promise, same
from faults.subjects import GRID

KILLS_PER_STUDY = 10
GRID_OF_MANY = {
    **GRID,
    "grid": {"annotator.beta": [1, 3, 5, 10], "n_pairs": list(range(20, 30)), "seed": list(range(5))},
}
Disturb = Callable[["Attacked", random.Random], int]  # disturb one run of a study; how often an error said so


class Attacked:
    """A study under attack: its grid, its folder, the undisturbed results, and the cells that were seen in it.

    Args:
        folder: an empty folder.
        grid: the content of its grid.
    """

    def __init__(self, folder: Path, grid: Any = GRID_OF_MANY) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.grid, self.out, self.whole = folder / "grid.yaml", folder / "out", folder / "whole"
        self.grid.write_text(yaml.safe_dump(grid), encoding="utf-8")
        rm.run_study(self.grid, self.whole)
        self.right = self.results(self.whole)
        self.known: dict[str, str] = {}

    def again(self) -> None:
        """Begin a new study of the same grid."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.known = {}

    def start(self, *arguments: Any, **options: Any) -> Process:
        return start("-m", "rmspace", "study", self.grid, "--out", self.out, *arguments, **options)

    def query(self, text: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.out / 'study.sqlite'}?mode=ro", uri=True)) as connection:
            return connection.execute(text).fetchall()

    def count(self) -> int:
        return int(self.query("SELECT COUNT(*) FROM cell")[0][0])

    def driven_by(self, driver: Process) -> Callable[[], Any]:
        """Whether a driver holds the lock, and has written its plan."""
        return lambda: (driver.pid,) in self.query("SELECT pid FROM driver") and self.query("SELECT * FROM plan")

    def look(self) -> int:
        """Return how many cells were lost, changed or doubled since the last look."""
        rm.Study.open(self.out)  # undoes what was half committed
        found = dict(self.query("SELECT key, ended FROM cell"))
        lost = sum(found.get(key) != ended for key, ended in self.known.items())
        doubled = self.count() - len(found)
        broken = self.query("PRAGMA integrity_check") != [("ok",)]
        self.known = found
        return lost + doubled + broken

    def complete(self, *arguments: Any) -> int:
        """Run the study to its end, and return 1 where it fails or its results differ from the undisturbed ones."""
        status, _, _ = finish(self.start(*arguments))
        return int(status != 0) or self.look() or int(not same(self.results(self.out), self.right))

    @staticmethod
    def results(folder: Path) -> Any:
        return rm.Study.open(folder).results().drop(columns="fit_seconds")


@contextmanager
def ended(*processes: Process) -> Iterator[None]:
    """End processes, whatever happens in the block."""
    try:
        yield
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def kill_driver(times: int, folder: Path, rng: random.Random) -> Found:
    study, found = Attacked(folder), Found(0, 0, 0)
    while found.times < times:
        study.again()
        for k in range(min(KILLS_PER_STUDY, times - found.times)):
            driver = study.start()
            with ended(driver):
                wait_for(study.driven_by(driver), driver)
                if k % 2:  # every second kill comes after new cells, the others at any moment
                    wait_for(lambda: study.count() > len(study.known), driver)
                time.sleep(rng.uniform(0, 0.3))
                driver.kill()
            found += Found(1, 0, study.look())
        found += Found(0, 0, study.complete() or study.query("SELECT MAX(attempts) FROM cell") != [(1,)])
    return found


def kill_workers(times: int, folder: Path, rng: random.Random) -> Found:
    study, found = Attacked(folder), Found(0, 0, 0)
    while found.times < times:
        study.again()
        driver = study.start("--workers", 2)
        with ended(driver):
            wait_for(lambda: study.count() > 2, driver)
            while driver.poll() is None and found.times < times:
                if workers := workers_of(driver.pid):
                    with suppress(ProcessLookupError):
                        os.kill(rng.choice(workers), signal.SIGKILL)
                        found += Found(1, 0, 0)
                time.sleep(rng.uniform(0.2, 1.5))
            driver.wait(600)
        found += Found(0, 0, study.complete())
    return found


def repeated(disturb: Disturb, times: int, folder: Path, rng: random.Random) -> Found:
    """Disturb a new study each time, then run it to its end."""
    study, found = Attacked(folder), Found(0, 0, 0)
    for _ in range(times):
        study.again()
        refused = disturb(study, rng)
        found += Found(1, refused, study.complete())
    return found


def stop_and_continue(study: Attacked, rng: random.Random) -> int:
    driver = study.start("--workers", 2)
    with ended(driver):
        wait_for(lambda: study.count() > 2, driver)
        paused = rng.choice([driver.pid, *workers_of(driver.pid)])
        with suppress(ProcessLookupError):
            os.kill(paused, signal.SIGSTOP)
            time.sleep(rng.uniform(0.5, 5))
            os.kill(paused, signal.SIGCONT)
        driver.wait(600)
    study.look()
    return int(driver.returncode != 0)


def interrupt(study: Attacked, rng: random.Random) -> int:
    driver = study.start()
    with ended(driver):
        wait_for(study.driven_by(driver), driver)
        time.sleep(rng.uniform(0, 0.5))
        driver.send_signal(rng.choice([signal.SIGINT, signal.SIGTERM]))
        status, _, said = finish(driver)
    study.look()
    assert "Traceback" not in said, said
    return int(status != 0)


def fill_disk(study: Attacked, rng: random.Random) -> int:
    size = (study.whole / "study.sqlite").stat().st_size
    status, _, said = finish(study.start(preexec_fn=small_files(rng.randrange(1, size))))
    assert "Traceback" not in said, said
    with suppress(FileNotFoundError, ValueError):  # a study that never began; `complete` finds any other damage
        study.look()
    return int(status == 2)


def close_descriptors(study: Attacked, rng: random.Random) -> int:
    closed = rng.sample(range(3), rng.randrange(1, 4))

    def close() -> None:
        for number in closed:
            os.close(number)

    driver = study.start(preexec_fn=close)
    with ended(driver):
        driver.wait(600)
    study.look()
    return int(driver.returncode != 0)


def set_clock_back(study: Attacked, rng: random.Random) -> int:
    """The clock goes back by an hour at each fifth look, and the home folder cannot be written to."""
    place = study.grid.parent / "clock"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(_CLOCK, encoding="utf-8")
    home = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"), "/dev/null/home")
    environment = {**ENVIRONMENT, **home, "PYTHONPATH": str(place)}
    driver = study.start(env=environment)
    with ended(driver):
        wait_for(study.driven_by(driver), driver)
        time.sleep(rng.uniform(0, 0.5))
        driver.kill()
    study.look()
    status, _, _ = finish(study.start(env=environment))
    return int(status != 0)


_CLOCK = """\
import time
_time, _looks = time.time, [0]
def back():
    _looks[0] += 1
    return _time() - 3600 * (_looks[0] // 5)
time.time = back
"""


def delete_journal(study: Attacked, rng: random.Random) -> int:
    """Kill the driver while it commits, and delete the journal that would undo the half of a commit."""
    journal = study.out / "study.sqlite-journal"
    driver = study.start()
    with ended(driver):
        wait_for(study.driven_by(driver), driver)
        time.sleep(rng.uniform(0, 0.2))
        while driver.poll() is None and not journal.exists():
            pass
        driver.kill()
        driver.wait()
    journal.unlink(missing_ok=True)
    refused = 0
    try:
        known = rm.Study.open(study.out).results().drop(columns="fit_seconds")
        assert len(known.merge(study.right)) == len(known)
    except (ValueError, OSError):
        refused = 1
    if finish(study.start("--verify"))[0] != 0:
        study.again()  # it said that the file is damaged: a backup, or a new folder
        refused = 1
    study.known = {}
    return refused


def start_two(study: Attacked, rng: random.Random) -> int:
    first = study.start()
    time.sleep(rng.uniform(0, 2))
    second = study.start()
    with ended(first, second):
        ends = [finish(driver) for driver in (first, second)]
    assert all(status in (0, 2) for status, _, _ in ends), ends
    study.look()
    return sum(status == 2 for status, _, _ in ends)


def take_over(study: Attacked, rng: random.Random) -> int:
    """Take the lock from a driver that lives, as from another host: the first driver must stop."""
    first = study.start()
    with ended(first):
        wait_for(study.driven_by(first), first)
        with closing(sqlite3.connect(study.out / "study.sqlite", timeout=60)) as connection, connection:
            connection.execute("UPDATE driver SET host = 'elsewhere'")
        time.sleep(rng.uniform(0, 0.3))
        second = study.start("--take-over")
        with ended(second):
            ends = [finish(driver) for driver in (first, second)]
    assert ends[1][0] == 0, ends
    study.look()
    return int(ends[0][0] != 0)


def _each(name: str, promise: str, attack: str, disturb: Disturb) -> Promise:
    return Promise(name, promise, attack, partial(repeated, disturb))


PROMISES = (
    Promise(
        "killed drivers",
        "a study whose process dies loses no cell that was committed, and the same command continues",
        "SIGKILL to the process of a study, at random moments of it",
        kill_driver,
    ),
    Promise(
        "killed workers",
        "a worker that dies costs no cell: what it computed is computed again",
        "SIGKILL to workers, at random moments",
        kill_workers,
    ),
    _each(
        "paused processes",
        "a process that stands still for a while changes nothing",
        "SIGSTOP to the process of a study or a worker, and SIGCONT up to 5 seconds later",
        stop_and_continue,
    ),
    _each(
        "interrupts",
        "Ctrl-C and SIGTERM end a study without a traceback, and every finished cell is in the file",
        "SIGINT or SIGTERM at random moments of a study",
        interrupt,
    ),
    _each(
        "full disks",
        "a full disk is one clear error, and what was committed is whole",
        "files that cannot grow beyond a random size",
        fill_disk,
    ),
    _each(
        "closed streams",
        "a study needs no terminal",
        "standard input, output and error closed, in random combinations",
        close_descriptors,
    ),
    _each(
        "clocks and homes",
        "results do not depend on the clock or the home folder",
        "a clock that goes back, a home folder that cannot be written to, and SIGKILL",
        set_clock_back,
    ),
    _each(
        "deleted journals",
        "a journal that was deleted by hand is noticed, or nothing was lost",
        "SIGKILL during a commit, then the journal is deleted",
        delete_journal,
    ),
    _each("two drivers", "a study has one driver", "two drivers that start within 2 seconds", start_two),
    _each(
        "take-over",
        "a driver whose lock was taken over stops and writes nothing more",
        "`--take-over` against a driver that lives",
        take_over,
    ),
)
