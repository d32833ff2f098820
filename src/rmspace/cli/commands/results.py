"""`rmspace results`: print the results of a study."""

from __future__ import annotations

import argparse
import sys

HELP = "print the results of a study"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("study", metavar="DIR")
    parser.add_argument("--csv", action="store_true", help="every row, in full precision")
    parser.add_argument(
        "--old", action="store_true", help="with --csv: also cells of earlier grids, where `current` is False"
    )


def run(options: argparse.Namespace) -> int:
    """Print a short table of means over seeds, or every row as CSV."""
    from rmspace.results.summarize import seed_means
    from rmspace.study.results import Study

    if options.old and not options.csv:
        raise ValueError("--old lists cells of several grids, which have no common mean; give --csv too")
    found = Study.open(options.study)
    table = found.results(old=options.old)
    if options.csv:
        table.to_csv(sys.stdout, index=False)
    else:
        print(seed_means(table).to_string(index=False, max_rows=60, float_format="{:.4g}".format, na_rep=""))
        print(", ".join(f"{count} {status}" for status, count in found.counts().items()))
    return 0
