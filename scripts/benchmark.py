"""Measure rmspace at the paper's sizes against this machine's own ceilings and against the published protocol.

    python scripts/benchmark.py [--quick] [--bank FOLDER] [--real FOLDER] [--out FOLDER]

Every stage runs in a process of its own. A share is of the best matrix-product rate kept up for two seconds, measured
in that process before and after; ratios are within it, too; seconds are the least of the repetitions. `--quick` takes
smaller sizes, shorter measurements and about two minutes. Studies are measured by `--only study workers`. `--out` gets
table.md and rows.json.
"""

import argparse
import json
import shlex
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
from benchmarks.measure import machine
from benchmarks.stages import STAGES, STUDIES, Row, real_bank


def as_markdown(rows: list[Row]) -> str:
    columns = ["stage", "size", "seconds", "GFLOP/s", "share", "peak MB", "ratio", "target", "note"]
    table = pd.DataFrame(rows, columns=columns)
    shapes = {"seconds": "{:.3g}", "GFLOP/s": "{:.0f}", "share": "{:.0%}", "peak MB": "{:,.0f}", "ratio": "{:.3g}"}
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in table.to_dict("records"):
        cells = [("" if pd.isna(row[c]) else shapes.get(c, "{}").format(row[c])) for c in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, about two minutes")
    parser.add_argument("--bank", type=Path, help="folder for the synthetic banks (5 GB, 1 GB with --quick), kept")
    parser.add_argument("--real", type=Path, help="a real bank for open_generators; its stage is left out without")
    parser.add_argument("--out", type=Path, help="folder for table.md and rows.json")
    parser.add_argument("--only", nargs="*", choices=[*STAGES, *STUDIES, "real_bank"], help="only these stages")
    options = parser.parse_args()
    chosen = options.only or [*STAGES, *(["real_bank"] if options.real else [])]
    folder = options.bank or Path(tempfile.mkdtemp(prefix="rmspace-benchmark-"))
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    print(machine(), flush=True)
    try:
        for name in chosen:
            stage = real_bank if name == "real_bank" else {**STAGES, **STUDIES}[name]
            place = options.real if name == "real_bank" else folder
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                found = pool.submit(stage, place, options.quick).result()
            rows += found
            print(*as_markdown(found).splitlines()[2:], sep="\n", flush=True)
    finally:
        if options.bank is None:
            shutil.rmtree(folder, ignore_errors=True)
    command = shlex.join(["python", "scripts/benchmark.py", *sys.argv[1:]])
    text = f"{machine()}\n\n`{command}`\n\n{as_markdown(rows)}\n"
    print("\n" + text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "table.md").write_text(text, encoding="utf-8")
        (options.out / "rows.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
