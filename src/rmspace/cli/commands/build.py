"""`rmspace build`: from prompts to banks, with the steps that a YAML config names."""

from __future__ import annotations

import argparse

HELP = "build banks from prompts: generate, rate, embed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("config", metavar="CONFIG")
    add("overrides", nargs="*", metavar="key.path=value", help="replace values of the config")
    add("--out", required=True, metavar="DIR", help="folder of the steps and banks; a stopped build goes on there")
    add("--dry-run", action="store_true", help="print rows, tokens, time and disk, from a small sample; write nothing")
    add("--sample", type=int, default=32, metavar="N", help="with --dry-run, the responses that are made to measure")
    add("--allow", action="append", default=[], metavar="MODULE", help="let the config import this module; repeatable")


def run(options: argparse.Namespace) -> int:
    """Build the banks, or print what that costs."""
    from rmspace.config.keywords import load_keywords
    from rmspace.data.files import file_hash
    from rmspace.text.pipeline.building import Recipe, build_banks

    read = load_keywords(options.config, Recipe, options.overrides, allow=options.allow)
    if options.dry_run:
        return _estimate(read.value, options.sample)
    sources = {key: {name: file_hash(path) for name, path in own.items()} for key, own in read.modules.items()}
    banks = build_banks(read.value, options.out, sources=sources, say=print)
    for name, bank in zip(("train", "test"), banks, strict=True):
        for found in bank.health().itertuples():
            print(f"{name}: {found.severity}: {found.check}: {found.n_found} of {found.n_checked}, {found.detail}")
    return 0


def _estimate(recipe: object, sample: int) -> int:
    from rmspace.cli.amounts import print_costs
    from rmspace.text.pipeline.estimating import estimate_build

    print_costs(estimate_build(recipe, sample=sample))  # type: ignore[arg-type]
    return 0
