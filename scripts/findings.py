"""Run the studies of the paper's claims and fill their results into docs/findings.md.

    python scripts/findings.py [--quick] [--workers N] [--out FOLDER] [--page FILE]

Everything is kept in --out, so that a stopped run goes on where it was. The full run takes about two hours on two cores
and fills docs/findings.md in place; `--quick` takes fewer pairs and two seeds, about ten minutes, and writes its page
into --out. The numbers of a quick run are for a look at the form, not for citing.
"""

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from benchmarking.measure import machine
from claims.empirical import annotations, designs, gaps, noise, plan, reasons
from claims.leak import leak
from claims.page import Block, as_markdown, write
from claims.protocol import perfect, protocol
from claims.theory import propositions

import rmspace as rm

ROOT = Path(__file__).resolve().parent.parent
BANK = ROOT.parent / "shared" / "data" / "alpacaeval"
CLAIMS: dict[str, Callable[[pd.DataFrame], dict[str, Block]]] = {
    "claim1": protocol,
    "claim1_perfect": perfect,
    "claim2": noise,
    "claim3": annotations,
    "claim4": designs,
    "claim4_why": reasons,
    "claim5": gaps,
}
QUICK = {
    "claim1": ["grid.n_pairs=[500]", "include=[]"],
    "claim1_perfect": ["base.n_pairs=500"],
    "claim2": ["base.n_pairs=500", "grid.annotator.beta=[0.5, 3]"],
    "claim3": ["grid.n_pairs=[200, 500]"],
    "claim4": ["grid.n_pairs=[300]", "include=[]"],
    "claim4_why": ["base.n_pairs=300"],
    "claim5": ["base.n_pairs=200"],
}


SEEDS = "grid.data.seed, seed=[[0, 0], [1, 1]]"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a look at the form in minutes")
    parser.add_argument("--workers", type=int, default=2, help="processes; 0 computes in this one")
    parser.add_argument("--out", type=Path, help="folder of the studies; results/findings, or -quick")
    parser.add_argument("--page", type=Path, help="what is written; docs/findings.md, or OUT/findings.md with --quick")
    options = parser.parse_args()
    out = options.out or ROOT / "results" / ("findings-quick" if options.quick else "findings")
    template = ROOT / "docs" / "findings.md"
    page = options.page or (out / "findings.md" if options.quick else template)
    if not BANK.is_dir():
        parser.error(f"the claims are tested on the real bank, which is not at {BANK}")
    blocks: dict[str, Block] = {}
    facts = []
    for name, tables in CLAIMS.items():
        changes = [*QUICK[name], SEEDS] if options.quick else []
        config = ROOT / "configs" / "findings" / f"{name}.yaml"
        study = rm.run_study(config, out / name, workers=options.workers, overrides=changes)
        cells = study.cells()
        if not (cells.status == "done").all():
            print(cells[cells.status != "done"], file=sys.stderr)
            raise SystemExit(f"{name} has cells that are not done; see above")
        facts.append(
            {
                "study": f"configs/findings/{name}.yaml",
                "cells": len(cells),
                "seeds": cells.seed.nunique(),
                "core-minutes": f"{cells.seconds.sum() / 60:.0f}",
            }
        )
        blocks |= tables(study.results())
    size = {"n_pairs": 300, "seeds": 2} if options.quick else {"n_pairs": 5000, "seeds": 5}
    blocks |= plan(str(BANK))
    blocks |= leak(str(BANK), **size)
    blocks |= propositions(str(BANK), draws=100_000 if options.quick else 1_000_000)
    command = shlex.join(["python", "scripts/findings.py", *sys.argv[1:]])
    blocks["run"] = f"`{command}`\n\n{machine()}; one thread a cell.\n\n{as_markdown(facts)}"
    page.parent.mkdir(parents=True, exist_ok=True)
    write(template, page, blocks, "Not in a quick run." if options.quick else None)
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
