"""`rmspace finetune`: train a generator on demonstrations, or an encoder on preferences, by TRL."""

from __future__ import annotations

import argparse

HELP = "fine-tune a generator on demonstrations, or an encoder on preferences"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("config", metavar="CONFIG", help="with a generator or an encoder, and the path of the data")
    add("overrides", nargs="*", metavar="key.path=value", help="replace values of the config")
    add("--out", required=True, metavar="DIR", help="a new folder for the model")


def run(options: argparse.Namespace) -> int:
    """Train, and print where the model is."""
    from pathlib import Path

    from rmspace.config.keywords import load_keywords
    from rmspace.config.node import read_config
    from rmspace.text.finetune.recipes import GeneratorRecipe, RewardRecipe

    given = read_config(Path(options.config), options.overrides)
    recipe = GeneratorRecipe if "generator" in given else RewardRecipe
    print(load_keywords(options.config, recipe, options.overrides).value.run(options.out))
    return 0
