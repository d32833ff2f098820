"""Run the studies of the leaderboard and write its page.

    python scripts/leaderboard.py --out FOLDER [--encoder FOLDER] [--source FOLDER] [--workers N] [key.path=value ...]

One command embeds the texts, runs one study per section of configs/leaderboard/rows.yaml, tests each row, and writes
docs/leaderboard.md and its table in README.md and docs/objectives.md. A stopped command goes on where it was, and a row
that was added later runs alone. `--dry-run` says what this costs, and `--quick` shows the form of the page, on two
synthetic worlds. `key.path=value` changes study.yaml, such as `base.data.n_comparisons=5000`.
"""

import argparse
import shlex
import sys
import warnings
from pathlib import Path

from sklearn.exceptions import ConvergenceWarning

from findings.page import write
from leaderboard.page import blocks
from leaderboard.prepare import MODEL, SYNTHETIC, prepare
from leaderboard.results import read_results
from leaderboard.rows import as_override, read_rows
from leaderboard.studies import OWN, SEEDS, Setup, cost, run_studies, worlds_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "leaderboard.md"
EVIDENCE = (ROOT / "README.md", ROOT / "docs" / "objectives.md")  # pages that show one of its tables
CONFIGS, SOURCE = ROOT / "configs" / "leaderboard", ROOT.parent / "shared" / "data"
QUICK = (as_override(f"grid.{SEEDS}", [[0, 0], [1, 1]]), as_override("base.data.n_comparisons", 200))


def main() -> int:
    options = _parse()
    warnings.simplefilter("ignore", ConvergenceWarning)  # of hinge, which has kinks
    worlds = worlds_of(options.configs)
    if options.quick:
        worlds = [[world, 1] for world in SYNTHETIC]
    changes = (*(QUICK if options.quick else ()), *options.overrides)
    setup = Setup(options.configs, options.out, worlds, changes)
    sheet = read_rows(options.configs / "rows.yaml")
    if not options.page_only:
        setup.data.mkdir(parents=True, exist_ok=True)
        prepare(setup.data, options.source, options.encoder, dict.fromkeys(world for world, _ in worlds))
    if options.dry_run:
        print(cost(setup, sheet, timed=options.timed))
        return 0
    if not options.page_only:
        run_studies(setup, sheet, workers=options.workers)
    results = read_results(setup, sheet)
    target = options.page or (options.out / "leaderboard.md" if options.quick else PAGE)
    command = shlex.join(["python", "scripts/leaderboard.py", *sys.argv[1:]])
    target.parent.mkdir(parents=True, exist_ok=True)
    made = blocks(setup, sheet, results, command)
    evidence = {"evidence": made.pop("evidence")}
    write(PAGE, target, made)
    if target == PAGE:
        for page in EVIDENCE:
            write(page, page, evidence)
    print(target)
    print("\n".join(results.missing), file=sys.stderr)
    return int(bool(results.missing))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("overrides", nargs="*", metavar="key.path=value", help="such as base.data.n_comparisons=5000")
    add("--out", type=Path, required=True, help="folder of the data and the studies")
    add("--quick", action="store_true", help="two synthetic worlds, two seeds, few comparisons; the page goes to OUT")
    add(
        "--dry-run",
        action="store_true",
        help="embed, and then only say the number of fits, the core-hours and the disk",
    )
    add("--timed", type=int, default=2, metavar="N", help="worlds in which --dry-run times each row; 2")
    add("--page-only", action="store_true", help="run nothing; write the page from what is done")
    add("--source", type=Path, default=SOURCE, metavar="FOLDER", help="folder of the texts and of the AlpacaEval bank")
    add("--encoder", default=MODEL, help=f"model that embeds the texts, a folder or an id; {MODEL}")
    add("--workers", type=int, default=0, metavar="N", help="processes; 0 computes in this one")
    add("--configs", type=Path, default=CONFIGS, metavar="FOLDER", help="study.yaml, rows.yaml, worlds.py, measures.py")
    add("--page", type=Path, help="page to write; docs/leaderboard.md")
    options = parser.parse_args()
    if fixed := [change for change in options.overrides if change.startswith(OWN)]:
        parser.error(f"rows.yaml and study.yaml say what the sections have; {fixed[0]} cannot change it")
    return options
