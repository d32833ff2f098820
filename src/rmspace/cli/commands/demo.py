"""`rmspace demo`: run the quickstart config, which needs no data."""

from __future__ import annotations

import argparse
from importlib.resources import as_file, files

HELP = "compare four reward models on synthetic data: one table and two figures, in about a minute"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="replace values of the config")
    parser.add_argument("--out", default="rmspace-demo", metavar="DIR", help="folder to fill (rmspace-demo)")


def run(options: argparse.Namespace) -> int:
    """Run the config; an earlier demo in the same folder is replaced."""
    from rmspace.cli.run_experiment import run_experiment

    with as_file(files("rmspace.cli") / "quickstart.yaml") as config:
        run_experiment(config, options.out, overrides=options.overrides, overwrite=True)
    return 0
