"""`rmspace study`: run the cells of a grid, or estimate their cost."""

from __future__ import annotations

import argparse
import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmspace.study.plan.grid import Grid
    from rmspace.study.results import Study

HELP = "run the cells of a YAML grid; the same command continues a study that was stopped"
_MOST_ERRORS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("grid", metavar="GRID")
    add("overrides", nargs="*", metavar="key.path=value", help="such as grid.seed=[0] or base.n_pairs=500")
    add("--out", metavar="DIR", help="folder of the study")
    add("--dry-run", action="store_true", help="only count cells and estimate core-hours")
    add("--timed", type=int, default=8, metavar="N", help="cells that --dry-run times; 0 for none")
    add("--synthetic", action="store_true", help="run on the synthetic stand-in of the grid")
    add("--allow", action="append", default=[], metavar="MODULE", help="let the grid import this module; repeatable")
    add("--sample", type=int, metavar="N", help="run only N cells, spread over the grid")
    add("--workers", type=int, default=0, metavar="N", help="processes to compute on (0: in this one)")
    add("--scheduler", metavar="ADDRESS", help="a running Dask scheduler, whose workers compute")
    add("--threads", type=int, metavar="N", help="threads of each cell (1, and fixed for a study)")
    add("--cell-timeout", type=float, metavar="SECONDS", help="stop a cell after this long")
    add("--retry-failed", action="store_true", help="run cells again that failed before")
    add("--verify", action="store_true", help="run cells again whose rows in the file are damaged")
    add("--take-over", action="store_true", help="take the lock of a dead process on another host")


def run(options: argparse.Namespace) -> int:
    """Run the study; the status is 1 where a cell failed."""
    if options.dry_run:
        from rmspace.study.plan.grid import read_grid

        grid = read_grid(options.grid, options.overrides, synthetic=options.synthetic, allow=options.allow)
        return _estimate(grid, options.timed, options.threads or 1)
    if options.out is None:
        raise ValueError("a study needs a folder: --out DIR")
    from rmspace.study.run import run_study

    chosen = {name: getattr(options, name) for name in inspect.signature(run_study).parameters}
    return _print_counts(run_study(**chosen), options.out)


def _estimate(grid: Grid, timed: int, threads: int) -> int:
    from rmspace.study.estimate import describe, estimate

    for _ in grid.cells():  # builds each cell, so that mistakes are found before the run
        pass
    print(describe(grid), flush=True)
    if timed:
        found = estimate(grid, timed=timed, threads=threads, on_cell=_print_cell)
        print(
            f"about {found.core_hours:.3g} core-hours: {found.timed} cells of {found.kinds} kinds were timed here, "
            f"{found.quickest:.3g} to {found.slowest:.3g} s each with {threads} threads"
        )
    return 0


def _print_cell(labels: str, seconds: float) -> None:
    print(f"  {labels}: {seconds:.3g} s", flush=True)


def _print_counts(study: Study, out: str) -> int:
    print(f"{out}: {', '.join(f'{count} {status}' for status, count in study.counts().items())}")
    failed = study.cells().query("status != 'done' and status.notna()")
    for row in failed.head(_MOST_ERRORS).itertuples():
        print(f"  {row.status}: {row.error}")
    if len(failed):
        print(f"  rmspace report {out} -o report.html shows all; --retry-failed runs them again")
    return int(len(failed) > 0)
