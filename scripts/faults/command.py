"""Attack files and processes at random, and write what was found into docs/reliability.md.

    python scripts/reliability.py [--damages N] [--kills N] [--faults N] [--seed N] [--only TEXT] [--page FILE]

`--damages` are spread over everything that can be saved, `--kills` over studies, their workers and embedding, and
`--faults` is the number of times of each other fault. The run of the page takes about an hour on two cores; the page
says its command. The status is 1 where something was lost.
"""

from __future__ import annotations

import argparse
import random
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import machine
from faults import damages, embeddings, studies
from faults.promise import Found, Promise
from findings.page import as_markdown, write

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
KILLS = ("killed drivers", "killed workers", "killed embedding")


def main() -> int:
    options = _parse()
    found = {}
    for promise, times in _attacks(options):
        found[promise] = _attack(promise, times, options.seed)
        print(f"{promise.name}: {_words(found[promise])}", flush=True)
    total = sum(found.values(), Found(0, 0, 0))
    command = shlex.join(["python", "scripts/reliability.py", *sys.argv[1:]])
    blocks = {
        "files": as_markdown(_row(each, one) for each, one in found.items() if each in damages.PROMISES),
        "processes": as_markdown(
            {"what": each.name, "promise": each.promise, "attack": each.attack, **_row(each, one)}
            for each, one in found.items()
            if each not in damages.PROMISES
        ),
        "run": f"`{command}`\n\n{machine()}.\n\nIn all: {_words(total)}.",
    }
    write(PAGE, options.page, blocks)
    return int(total.lost > 0)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--damages", type=int, default=20_000, help="number of damages of files in all; 20000 by default"
    )
    parser.add_argument("--kills", type=int, default=120, help="number of SIGKILLs in all; 120 by default")
    parser.add_argument("--faults", type=int, default=5, help="number of times of each other fault; 5 by default")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments and places")
    parser.add_argument("--only", default="", help="run the attacks whose name has this text")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write; docs/reliability.md by default")
    return parser.parse_args()


def _attacks(options: argparse.Namespace) -> Iterator[tuple[Promise, int]]:
    """Yield each attack that is asked for, and how many times it is made."""
    for promise in (*damages.PROMISES, *studies.PROMISES, *embeddings.PROMISES):
        times = options.faults
        if promise in damages.PROMISES:
            times = -(-options.damages // len(damages.PROMISES))
        elif promise.name in KILLS:
            times = -(-options.kills // len(KILLS))
        if times and options.only in promise.name:
            yield promise, times


def _attack(promise: Promise, times: int, seed: int) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        return promise.run(times, Path(folder), random.Random(f"{promise.name} {seed}"))


def _row(promise: Promise, found: Found) -> dict[str, str]:
    return {
        "what": promise.name,
        "times": f"{found.times:,}",
        "errors": f"{found.refused:,}",
        "lost": str(found.lost),
    }


def _words(found: Found) -> str:
    return f"{found.times:,} attacks, {found.refused:,} ended in an error that says so, {found.lost} lost something"
