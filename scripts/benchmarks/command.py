"""Measure rmspace at the paper's sizes, or against another checkout.

    python scripts/benchmark.py [--quick] [--bank FOLDER] [--real FOLDER] [--out FOLDER]
    python scripts/benchmark.py --encoder FOLDER --texts FILE [--quick] [--out FOLDER]
    python scripts/benchmark.py --against FOLDER [--quick] [--out FOLDER]

The first form measures this checkout against the ceilings of the machine and against the published protocol. Every
stage runs in its own process. A share is of the best rate of matrix products over two seconds, measured in that process
before and after the stage; a ratio is of seconds within that process; seconds are the least of the repetitions.
`--quick` takes smaller sizes and about two minutes. Studies and the server are measured only on request:
`--only study workers serve`.

The second form measures the embedding of texts with a model of sentence-transformers, and nothing else. The file is
JSON Lines, plain or gz, whose rows have `prompt` and `responses`.

The third form runs each stage in this checkout and in the other one by turns, and prints the ratio of the least
seconds per stage. `--quick` takes about five minutes.

`--out` receives table.md and rows.json.
"""

import argparse
import json
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import against
from benchmarks.measure import machine
from benchmarks.stages import STAGES, STUDIES, Row, real_bank
from benchmarks.text import encoder

COLUMNS = ("stage", "size", "seconds", "GFLOP/s", "share", "peak MB", "ratio", "target", "note")
FORMS = {"seconds": "{:.3g}", "GFLOP/s": "{:.0f}", "share": "{:.0%}", "peak MB": "{:,.0f}", "ratio": "{:.3g}"}


def main() -> int:
    options = _parse()
    print(machine(), flush=True)
    if options.against:
        rows = against.measure(options.against, quick=options.quick)
        table = against.as_markdown(rows)
    else:
        rows = _measure(options)
        table = as_markdown(rows)
    command = shlex.join(["python", "scripts/benchmark.py", *sys.argv[1:]])
    text = f"{machine()}\n\n`{command}`\n\n{table}\n"
    print("\n" + text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "table.md").write_text(text, encoding="utf-8")
        (options.out / "rows.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


def as_markdown(rows: list[Row]) -> str:
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def in_own_process(stage: Callable[[Path, bool], list[Row]], folder: Path, quick: bool) -> list[Row]:
    """Run a stage in a new process, whose memory and thread pools are its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(stage, folder, quick).result()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller sizes")
    parser.add_argument("--against", type=Path, help="another checkout of this project, such as an earlier commit")
    parser.add_argument("--bank", type=Path, help="folder where the synthetic banks are kept (5 GB, 1 GB with --quick)")
    parser.add_argument("--real", type=Path, help="a real bank for open_generators; without it that stage is left out")
    parser.add_argument("--encoder", type=Path, help="folder of a model of sentence-transformers")
    parser.add_argument("--texts", type=Path, help="the texts that it embeds")
    parser.add_argument("--out", type=Path, help="folder for table.md and rows.json")
    parser.add_argument("--only", nargs="*", help=f"only these stages: {', '.join([*STAGES, *STUDIES, 'real_bank'])}")
    options = parser.parse_args()
    if options.against and not (options.against / "src" / "rmspace").is_dir():
        parser.error(f"{options.against} is no checkout of this project: it has no src/rmspace")
    if (options.encoder is None) != (options.texts is None):
        parser.error("--encoder and --texts come together")
    if unknown := set(options.only or ()) - {*STAGES, *STUDIES, "real_bank"}:
        parser.error(f"there is no stage {', '.join(sorted(unknown))}")
    return options


def _measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the chosen stages and print each row as it comes."""
    if options.encoder:
        return in_own_process(partial(encoder, texts=options.texts), options.encoder, options.quick)
    chosen = options.only or [*STAGES, *(["real_bank"] if options.real else [])]
    folder = options.bank or Path(tempfile.mkdtemp(prefix="rmspace-benchmark-"))
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    try:
        for name in chosen:
            stage, place = (real_bank, options.real) if name == "real_bank" else ({**STAGES, **STUDIES}[name], folder)
            found = in_own_process(stage, place, options.quick)
            print("\n".join(map(_line, found)), flush=True)
            rows += found
    finally:
        if options.bank is None:
            shutil.rmtree(folder, ignore_errors=True)
    return rows


def _line(row: Row) -> str:
    cells = ["" if pd.isna(row.get(name)) else FORMS.get(name, "{}").format(row[name]) for name in COLUMNS]
    return "| " + " | ".join(cells) + " |"
