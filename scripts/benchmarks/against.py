"""Time the same stages in this checkout and in another one, by turns."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.against_stages import QUICK, Sizes, as_json, make_stages

SCRIPTS = Path(__file__).resolve().parents[1]
THIS = SCRIPTS.parent
ROUNDS, QUICK_ROUNDS = 3, 2
IMPORT = "import"


def measure(other: Path, *, quick: bool) -> list[dict[str, Any]]:
    """Return a row per stage: the least seconds in either checkout, and their ratio (below 1: this one is faster)."""
    sizes, rounds = (QUICK, QUICK_ROUNDS) if quick else (Sizes(), ROUNDS)
    checkouts = (THIS, other.resolve())
    with tempfile.TemporaryDirectory(prefix="rmspace-against-") as place:
        folders = [Path(place, "this"), Path(place, "other")]  # each reads the files that it wrote
        for folder in folders:
            folder.mkdir()
        names = [IMPORT, *make_stages(folders[0], sizes)]
        seconds: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in names}
        for turn in range(rounds):
            for name in names:
                for side in (0, 1) if turn % 2 == 0 else (1, 0):
                    checkout, folder = checkouts[side], folders[side]
                    found = _import(checkout) if name == IMPORT else _run(checkout, folder, sizes, name)
                    seconds[name][side].extend(found)
                print(f"round {turn + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
    return compare_seconds(seconds)


def compare_seconds(seconds: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> list[dict[str, Any]]:
    """Return a row per stage from the seconds of all its runs; a stage that failed has none."""
    rows = []
    for name, sides in seconds.items():
        this, other = (min(side) if side else None for side in sides)
        ratio = None if this is None or other is None else this / other
        rows.append({"stage": name, "this": this, "other": other, "ratio": ratio})
    return rows


def as_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ["| stage | this, seconds | other, seconds | this / other |", "|---|---|---|---|"]
    return "\n".join([*head, *(_line(row) for row in rows)])


def _line(row: Mapping[str, Any]) -> str:
    forms = {"this": "{:.3g}", "other": "{:.3g}", "ratio": "{:.2f}"}
    cells = ["" if row[name] is None else form.format(row[name]) for name, form in forms.items()]
    return f"| {row['stage']} | {' | '.join(cells)} |"


def _run(checkout: Path, folder: Path, sizes: Sizes, name: str) -> list[float]:
    """Run one stage in a new process of a checkout; the stage file is this checkout's."""
    module = [sys.executable, "-m", "benchmarks.against_stages", str(folder), as_json(sizes), name]
    done = _start(module, checkout)
    if done.returncode != 0:
        print(f"{name} failed in {checkout}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return []
    return [json.loads(line)["seconds"] for line in done.stdout.splitlines() if line.startswith("{")]


def _import(checkout: Path) -> list[float]:
    """Time a new process that imports the package and one model."""
    command = [sys.executable, "-c", "import rmspace; rmspace.MLPReward"]
    start = time.perf_counter()
    done = _start(command, checkout)
    return [time.perf_counter() - start] if done.returncode == 0 else []


def _start(command: list[str], checkout: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(checkout / "src"), str(SCRIPTS)])
    return subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, cwd=SCRIPTS, capture_output=True, text=True, check=False
    )
