"""Draw worlds whose truth is known, learn from them in each way, and fill docs/known-truth.md.

    python scripts/known_truth.py --out FOLDER [--worlds N] [--only TEXT] [--page FILE]

A study is a file in --out, so a script that was stopped goes on where it was; delete a file to run its study again.
`--only` runs the studies with TEXT in their name. `--worlds 3` shows the form in a minute, with numbers to be thrown
away. The page is known-truth.md in --out, or FILE.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from benchmarks.measure import machine
from findings.page import write
from known_truth import annotators, cycles, length, noise, rankings, ratings, ties, uncertainty
from known_truth.study import Study, as_table
from rmspace.data.files import write_whole

PAGE = Path(__file__).parents[2] / "docs" / "known-truth.md"
PARTS = (ties, annotators, noise, length, cycles, rankings, ratings, uncertainty)
STUDIES: tuple[Study, ...] = tuple(study for part in PARTS for study in part.STUDIES)


def main() -> int:
    options = _parse()
    options.out.mkdir(parents=True, exist_ok=True)
    found = {}
    for study in STUDIES:
        path = options.out / f"{study.name}.json"
        if not path.exists() and options.only in study.name:
            write_whole(path, json.dumps(_run(study, options.worlds or study.worlds)))
        if path.exists():
            found[study] = json.loads(path.read_text())
            print(f"{study.name}: {_facts(found[study])}\n{as_table(study, found[study]['worlds'])}\n", flush=True)
    minutes = sum(each["seconds"] for each in found.values()) / 60
    blocks = {
        study.name: f"{len(each['worlds'])} worlds.\n\n{as_table(study, each['worlds'])}"
        for study, each in found.items()
    }
    blocks["run"] = f"`python scripts/known_truth.py --out FOLDER`, {minutes:.0f} core-minutes; {machine()}."
    write(PAGE, options.page or options.out / PAGE.name, blocks, missing="Not run.")
    return 0


def _run(study: Study, n_worlds: int) -> dict[str, Any]:
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # bounded losses stop on plateaus
        worlds = [study.run(seed) for seed in range(n_worlds)]
    return {"worlds": worlds, "seconds": time.process_time() - start}


def _facts(found: dict[str, Any]) -> str:
    return f"{len(found['worlds'])} worlds, {found['seconds']:.0f} CPU-seconds"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--worlds", type=int, help="worlds of each study; 50 to 100 by default")
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--page", type=Path)
    return parser.parse_args()
