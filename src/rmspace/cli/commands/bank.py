"""`rmspace bank`: from a file of rated responses, or a clone of AlpacaEval, to a train bank and a test bank."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rmspace.cli.text_options import (
    add_encoder,
    add_reading,
    encoder_of,
    print_cost,
    print_findings,
    reading_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rmspace.data.bank import ResponseBank
    from rmspace.kinds import Encoder
    from rmspace.text.records import TextItem

HELP = "make banks of a file of rated responses, or of a clone of AlpacaEval"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_reading(parser)
    add_encoder(parser)
    add = parser.add_argument
    add("--out", required=True, metavar="DIR", help="folder of embeddings and banks; a stopped command goes on there")
    add("--reward", metavar="RATING", help="the rating that is the gold reward")
    add("--test-size", type=_number, default=0.2, metavar="N", help="prompts of the test bank: a number, or a share")
    add("--seed", type=int, help="of the split (0; of AlpacaEval, a fixed split)")
    add("--models", metavar="FILE", help="of AlpacaEval: a file with the names of models, one a line (all)")
    add("--dtype", choices=("float32", "float16"), default="float32", help="of the embeddings")


def run(options: argparse.Namespace) -> int:
    """Write the banks, and print what they are and what was found in them."""
    from rmspace.readers.alpaca_files import is_alpaca_eval

    make = _alpaca_eval if is_alpaca_eval(options.file) else _rated
    banks = make(options)
    for name, bank in zip(("train", "test"), banks or (), strict=False):
        bank.save(Path(options.out, name), overwrite=True)
        print(f"{name}: {bank}")
        print_findings(name, bank.health())
    return 0


def _rated(options: argparse.Namespace) -> tuple[ResponseBank, ResponseBank] | None:
    from rmspace.readers.texts import check_rated, split_rated
    from rmspace.text.reading import read_preferences

    if options.models is not None:
        raise ValueError(f"--models belongs to AlpacaEval, and {options.file} is no clone of its repository")
    texts = read_preferences(options.file, keep_texts=False, **reading_of(options))
    check_rated(texts, options.reward, options.test_size)
    print_findings("texts", texts.health())
    encoder = encoder_of(options)
    if options.dry_run:
        _print_cost(options, texts.items, encoder)
        return None
    out, given = _embedded(options), {"reward": options.reward, "test_size": options.test_size, "dtype": options.dtype}
    return split_rated(texts, encoder, out=out, seed=options.seed or 0, **given)


def _alpaca_eval(options: argparse.Namespace) -> tuple[ResponseBank, ResponseBank] | None:
    from rmspace.data.split import count_of_test
    from rmspace.readers.alpaca_eval import embed_table, split_prompts_of
    from rmspace.readers.alpaca_files import read_table

    if unknown := [name for name in ("reward", "format", "columns", "split", "limit") if getattr(options, name)]:
        raise ValueError(f"{options.file} is a clone of AlpacaEval: leave out --{' and --'.join(unknown)}")
    names = None if options.models is None else Path(options.models).read_text(encoding="utf-8").split()
    table, encoder = read_table(options.file, models=names), encoder_of(options)
    if options.dry_run:
        _print_cost(options, table.items, encoder)
        return None
    n = len(table.prompts)
    n_train = n - count_of_test(options.test_size, n)
    bank = embed_table(table, encoder=encoder, out=_embedded(options), n_train=n_train, dtype=options.dtype)
    return split_prompts_of(bank, options.seed)


def _print_cost(options: argparse.Namespace, items: Sequence[TextItem], encoder: Encoder) -> None:
    print_cost(items, encoder, sample=options.sample, dtype=options.dtype, copies=2)


def _embedded(options: argparse.Namespace) -> Path:
    folder = Path(options.out, "embedded")
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def _number(text: str) -> int | float:
    """Return a number of prompts, or a share of them.

    >>> _number("200"), _number("0.2")
    (200, 0.2)
    """
    return int(text) if text.isdecimal() else float(text)
