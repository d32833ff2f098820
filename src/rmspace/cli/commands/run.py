"""`rmspace run`: run the experiment of a config."""

from __future__ import annotations

import argparse

HELP = "run the experiment of a YAML config"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("config", metavar="CONFIG")
    add("overrides", nargs="*", metavar="key.path=value", help="replace values of the config")
    add("--out", required=True, metavar="DIR", help="folder for table, config, manifest and figures")
    add("--overwrite", action="store_true", help="replace the folder of an earlier run")
    add("--save-models", action="store_true", help="save each model in DIR/models as soon as it is fitted")
    add("--allow", action="append", default=[], metavar="MODULE", help="let the config import this module; repeatable")


def run(options: argparse.Namespace) -> int:
    """Run the experiment, fill its folder, print the table."""
    from rmspace.cli.run_experiment import run_experiment

    run_experiment(
        options.config,
        options.out,
        overrides=options.overrides,
        overwrite=options.overwrite,
        save_models=options.save_models,
        allow=options.allow,
    )
    return 0
