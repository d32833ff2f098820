"""Compare rules that choose pairs, and write docs/active.md.

    python scripts/active.py --out FOLDER [--data FOLDER] [--quick] [--page FILE]

Each seed of each setting is a file in --out, so a command that was stopped goes on where it was. --data is the folder
that holds `alpacaeval` (../shared/data). `--quick` shows the form of the page in a minute, from two synthetic worlds
and two seeds; its page goes to OUT/active.md.
"""

import argparse
import shlex
import sys
from pathlib import Path

import torch

from findings.page import write
from selection.page import blocks
from selection.study import FULL, QUICK, gains_by_alpha, results

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "active.md"


def main() -> int:
    options = _parse()
    torch.set_num_threads(1)
    plan = QUICK if options.quick else FULL
    if options.alphas:
        print(gains_by_alpha(plan, options.data).to_string(index=False))
        return 0
    table = results(options.out / "cells", plan, options.data)
    target = options.page or (options.out / "active.md" if options.quick else PAGE)
    write(PAGE, target, blocks(table, shlex.join(["python", "scripts/active.py", *sys.argv[1:]])))
    print(target)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the results by seed")
    add("--data", type=Path, default=ROOT.parent / "shared" / "data", metavar="FOLDER", help="folder of alpacaeval")
    add("--quick", action="store_true", help="two synthetic worlds, two seeds, two rounds")
    add("--alphas", action="store_true", help="only print what random pairs gain with each strength of the penalty")
    add("--page", type=Path, help="page to write; docs/active.md")
    return parser.parse_args()
