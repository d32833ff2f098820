"""Measure what frozen embeddings give up against a fine-tuned encoder, on the same pairs.

    python scripts/frozen_or_finetuned.py --model FOLDER --out FOLDER [--data FOLDER] [--quick] [--memory N] [--dry-run]

--model is the folder of all-MiniLM-L6-v2, and --data that of AlpacaEval's texts and HH-RLHF (../shared/data). Each cell
is a file in --out, so a script that was stopped goes on where it was. The tables are then in tables.md, the figure in
figure.png. Processes that share --out need `--only` with different names of cells, and a last call without it writes
the tables. `--memory` runs no cells: it measures the memory of each way of training with N pairs, in a process of its
own, and the next call without it puts that into the tables. `--dry-run` prints the cells and their time; `--quick`
shows the form in a minute, with numbers to be thrown away. Needs pip install 'reward-space[finetune]'.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import machine
from finetuning import memory
from finetuning.cells import FULL, MOST_PAIRS, QUICK, Bench, Cell, Plan, best_rate
from finetuning.data import DATA, FOLDERS
from finetuning.tables import draw, page
from rmspace.data.files import write_whole

ROOT = Path(__file__).resolve().parents[2]
FEWEST_PAIRS = 20  # with fewer, trees find no split
_SECONDS_PER_PAIR, _TEXTS_PER_SECOND = 0.28, 33  # MiniLM with up to 256 tokens, on one core


def main() -> int:
    options = _parse()
    plan = QUICK if options.quick else FULL
    if options.dry_run:
        return _say_plan(plan)
    torch.set_num_threads(1)
    folder = options.out / "cells"
    folder.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, Any]] = []
    bench = Bench(plan, options.model, options.data)
    if options.memory:
        memory.measure(bench, options.memory, _peaks(options))
        return 0
    for cell in plan.cells():
        path = folder / f"{cell.name}.json"
        new = not path.exists()
        if new and any(part not in cell.name for part in options.only):
            continue
        if new:
            rate = cell.rate if cell.rate is not None or cell.kind == "frozen" else best_rate(found, cell.kind)
            write_whole(path, json.dumps(bench.run(cell, rate), indent=1))
            print(cell.name, flush=True)
        found.append(json.loads(path.read_text()))
        if new:
            _write(plan, found, options)
    _write(plan, found, options)
    return 0


def _write(plan: Plan, found: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Write the tables and the figure of the blocks that are complete."""
    done = {(one["cell"]["data"], one["cell"]["kind"], one["cell"]["n_pairs"], one["cell"]["seed"]) for one in found}
    whole = [
        (data, n)
        for data, n in plan.blocks
        if all((cell.data, cell.kind, n, cell.seed) in done for cell in plan.of_block(data, n))
    ]
    kept = [
        one
        for one in found
        if one["cell"]["kind"] in ("rate", "lora_rate") or (one["cell"]["data"], one["cell"]["n_pairs"]) in whole
    ]
    if not whole or len(kept) == options.shown:
        return
    options.shown = len(kept)
    overlaps = {name: DATA[name](options.data / FOLDERS[name], plan.sizes).overlap for name in plan.seeds}
    peaks = memory.measured(_peaks(options))
    write_whole(options.out / "tables.md", f"{machine()}\n\n{page(kept, overlaps, peaks)}")
    draw(kept, overlaps, options.out / "figure.png")


def _peaks(options: argparse.Namespace) -> Path:
    return Path(options.out, "memory-quick.json" if options.quick else "memory.json")


def _say_plan(plan: Plan) -> int:
    total = 0.0
    for cell in plan.cells():
        seconds = _estimate(plan, cell)
        total += seconds
        print(f"{cell.name}: about {seconds / 60:.1f} CPU-minutes")
    print(f"together about {total / 60:.0f} CPU-minutes")
    return 0


def _estimate(plan: Plan, cell: Cell) -> float:
    sizes = plan.sizes
    tests = {"AlpacaEval": sizes.test * sizes.responses, "HH": int(2 * 2080 * sizes.share)}[cell.data]
    if cell.kind == "frozen":
        return (2 * cell.n_pairs + tests) / _TEXTS_PER_SECOND
    return _SECONDS_PER_PAIR * cell.n_pairs + tests / _TEXTS_PER_SECOND


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--memory", type=_pairs, metavar="N")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="run only cells with TEXT in their name, such as HH"
    )
    parser.set_defaults(shown=0)  # cells in the tables that were written
    return parser.parse_args()


def _pairs(text: str) -> int:
    n = int(text)
    if not FEWEST_PAIRS <= n <= MOST_PAIRS:
        raise argparse.ArgumentTypeError(f"must be from {FEWEST_PAIRS} to {MOST_PAIRS} pairs; got {n}")
    return n


if __name__ == "__main__":
    sys.exit(main())
