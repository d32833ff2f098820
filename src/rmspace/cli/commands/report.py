"""`rmspace report`: write the report of a study."""

from __future__ import annotations

import argparse

HELP = "write the report of a study, one HTML page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("study", metavar="DIR")
    parser.add_argument("-o", "--out", required=True, metavar="FILE.html")


def run(options: argparse.Namespace) -> int:
    """Write one page that needs no other file."""
    from rmspace.study.report import write_report
    from rmspace.study.results import Study

    write_report(Study.open(options.study), options.out)
    print(options.out)
    return 0
