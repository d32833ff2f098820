"""`rmspace figures`: draw the results of a study."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "draw the results of a study"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("study", metavar="DIR")
    parser.add_argument("-o", "--out", metavar="DIR", help="folder for the figures (DIR/figures)")


def run(options: argparse.Namespace) -> int:
    """Draw the figures that the axes of the study allow, and print where they are."""
    from rmspace.plots.choose import save_figures
    from rmspace.study.results import Study

    out = Path(options.out or Path(options.study) / "figures")
    for path in save_figures(Study.open(options.study).results(), out):
        print(path)
    return 0
