"""Run the studies of the paper's claims and fill their results into docs/findings.md.

    python scripts/findings.py [--quick] [--bank FOLDER] [--workers N] [--out FOLDER] [--page FILE]

The script keeps every result in --out, so a run that was stopped continues where it was. The full run takes about two
hours on two cores and fills docs/findings.md in place. `--quick` takes fewer pairs and two seeds, needs about ten
minutes, and writes its page into --out. The numbers of a quick run show the form of the page; do not cite them.
"""

import argparse
import shlex
import sys
from pathlib import Path

from benchmarks.measure import machine
from findings.claims import plan
from findings.contrasts import FAMILIES
from findings.leak import leak
from findings.page import Block, as_markdown, write
from findings.studies import BANK, ROOT, run_studies
from findings.theory import propositions


def main() -> int:
    options = _parse()
    out = options.out or ROOT / "results" / ("findings-quick" if options.quick else "findings")
    template = ROOT / "docs" / "findings.md"
    page = options.page or (out / "findings.md" if options.quick else template)
    blocks, facts = run_studies(out, options.bank, quick=options.quick, workers=options.workers)
    blocks |= _other_blocks(options.bank, quick=options.quick)
    command = shlex.join(["python", "scripts/findings.py", *sys.argv[1:]])
    blocks["run"] = f"`{command}`\n\n{machine()}; one thread per cell.\n\n{as_markdown(facts)}"
    page.parent.mkdir(parents=True, exist_ok=True)
    write(template, page, blocks, "Not in a quick run." if options.quick else None)
    print(page)
    return 0


def _parse() -> argparse.Namespace:
    text = __doc__ or ""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="show the form of the page, in minutes")
    parser.add_argument("--bank", type=Path, default=BANK, help=f"folder of the AlpacaEval bank; {BANK} by default")
    parser.add_argument("--workers", type=int, default=2, help="number of processes; 0 computes in this one")
    parser.add_argument("--out", type=Path, help="folder of the studies; results/findings, or -quick")
    parser.add_argument("--page", type=Path, help="page to write; docs/findings.md, or OUT/findings.md with --quick")
    options = parser.parse_args()
    if not options.bank.is_dir():
        parser.error(f"there is no bank at {options.bank}; docs/findings.md says how to make it")
    return options


def _other_blocks(bank: Path, *, quick: bool) -> dict[str, Block]:
    """Return the blocks that need no study."""
    blocks: dict[str, Block] = {"tests": FAMILIES}
    blocks |= plan(bank)
    blocks |= leak(bank, n_pairs=300 if quick else 5000, seeds=2 if quick else 5)
    blocks |= propositions(bank, draws=100_000 if quick else 1_000_000)
    return blocks
