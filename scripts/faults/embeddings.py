"""Faults of a process that embeds texts into a folder: no committed text is lost, or embedded again."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from faults.cosines import Cosines
from faults.processes import ENVIRONMENT, Process, finish, folder_of_scripts, small_files, start
from faults.promise import Found, Promise, same
from rmspace.text import embed
from rmspace.text.records import TextItem
from rmspace.text.vector_store import read_committed

N, SHARD = 400, 10
ITEMS = [TextItem((), f"text {k}") for k in range(N)]
SECONDS = 0.004  # per text
KILLS_PER_FOLDER = 10
Disturb = Callable[["Attacked", random.Random], int]  # disturb one run; how often an error said so

# What the process runs. It says when it has begun, and writes down each text that it embeds.
PROGRAM = """
import sys, time
from pathlib import Path
from faults.embeddings import ITEMS, SHARD
from faults.cosines import Cosines
from rmspace.text import embed
out, log, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
class Slow(Cosines):
    def encode(self, items):
        for item in items:
            time.sleep(seconds)
            with log.open("a", encoding="utf-8") as file:
                file.write(item.response.split()[1] + "\\n")
        return super().encode(items)
print("begun", flush=True)
embed(ITEMS, Slow(), out=out, shard=SHARD, progress=False)
"""


class Attacked:
    """A folder of embeddings under attack, and the texts that its processes embedded, in their order."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.out, self.log = folder, folder / "out", folder / "log"
        self.right = np.asarray(embed(ITEMS, Cosines(), progress=False))
        self.committed = 0

    def again(self, number: int) -> None:
        """Begin a new folder."""
        self.out, self.log = self.folder / f"out{number}", self.folder / f"log{number}"
        self.committed = 0

    def start(self, seconds: float = SECONDS, **options: Any) -> Process:
        environment = {**ENVIRONMENT, "PYTHONPATH": folder_of_scripts()}
        process = start("-c", PROGRAM, self.out, self.log, seconds, env=environment, **options)
        assert process.stdout is not None
        process.stdout.readline()  # it has begun
        return process

    def embedded(self) -> list[int]:
        return [int(line) for line in self.log.read_text(encoding="utf-8").split()] if self.log.exists() else []

    def look(self) -> int:
        """Return how many committed texts were lost since the last look; a damaged folder loses all."""
        before, self.committed = self.committed, 0
        if (found := read_committed(self.out)) is not None:
            self.committed = found.n
        return max(0, before - self.committed)

    def complete(self, since: int) -> int:
        """Embed the rest, and return how many committed texts were embedded again, plus 1 where a number differs."""
        committed = self.committed
        status, _, _ = finish(self.start(seconds=0))
        twice = sum(number < committed for number in self.embedded()[since:])
        found = np.asarray(embed(ITEMS, Cosines(), out=self.out, progress=False))
        return int(status != 0) + twice + int(not same(found, self.right))


def kill(times: int, folder: Path, rng: random.Random) -> Found:
    attacked, found = Attacked(folder), Found(0, 0, 0)
    while found.times < times:
        attacked.again(found.times)
        for _ in range(min(KILLS_PER_FOLDER, times - found.times)):
            committed, since = attacked.committed, len(attacked.embedded())
            process = attacked.start()
            time.sleep(rng.uniform(0, 0.25))
            process.kill()
            process.communicate()
            twice = sum(number < committed for number in attacked.embedded()[since:])
            found += Found(1, 0, attacked.look() + twice)
        found += Found(0, 0, attacked.complete(len(attacked.embedded())))
    return found


def repeated(disturb: Disturb, times: int, folder: Path, rng: random.Random) -> Found:
    """Disturb a new folder each time, then embed the rest."""
    attacked, found = Attacked(folder), Found(0, 0, 0)
    for number in range(times):
        attacked.again(number)
        refused = disturb(attacked, rng)
        lost = attacked.look()
        found += Found(1, refused, lost + attacked.complete(len(attacked.embedded())))
    return found


def fill_disk(attacked: Attacked, rng: random.Random) -> int:
    status, _, said = finish(attacked.start(seconds=0, preexec_fn=small_files(rng.randrange(1, 40 * N))))
    assert status == 0 or "could not be written" in said, said
    return int(status != 0)


def stop_and_continue(attacked: Attacked, rng: random.Random) -> int:
    process = attacked.start()
    time.sleep(rng.uniform(0, 0.5))
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGSTOP)
        time.sleep(rng.uniform(0, 1))
        process.send_signal(signal.SIGCONT)
    return int(finish(process)[0] != 0)


def start_two(attacked: Attacked, rng: random.Random) -> int:
    first = attacked.start()
    time.sleep(rng.uniform(0, 0.5))
    second = attacked.start()
    ends = [finish(process) for process in (first, second)]
    assert all(status == 0 or "one process writes to it at a time" in said for status, _, said in ends), ends
    return sum(status != 0 for status, _, _ in ends)


PROMISES = (
    Promise(
        "killed embedding",
        "embedding that dies loses no text that was committed, and embeds none of them again",
        "SIGKILL to a process that embeds 400 texts, at random moments",
        kill,
    ),
    Promise(
        "embedding on full disks",
        "a full disk is one clear error, and what was committed is whole",
        "files that cannot grow beyond a random size",
        partial(repeated, fill_disk),
    ),
    Promise(
        "paused embedding",
        "a process that stands still for a while changes nothing",
        "SIGSTOP, and SIGCONT up to a second later",
        partial(repeated, stop_and_continue),
    ),
    Promise(
        "two writers",
        "one process writes to a folder",
        "two processes that embed into one folder",
        partial(repeated, start_two),
    ),
)
