"""`rmspace health`: check the values of banks or of preferences, and whether they are the embeddings of their texts."""

from __future__ import annotations

import argparse
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from rmspace.cli.text_options import add_model, encoder_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from rmspace.data.bank import ResponseBank
    from rmspace.data.preferences import Preferences

HELP = "check the values of a bank or of preferences"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("data", metavar="FOLDER", nargs="+", help="a saved bank, saved preferences, or a folder with meta.json")
    add("--texts", metavar="FILE", help="the texts of the folders: check them too, and look for missing prompts")
    add("--sample", type=int, default=64, metavar="N", help="with --encoder, the texts that are embedded again")
    add_model(parser, required=False)


def run(options: argparse.Namespace) -> int:
    """Print the findings; the status is 1 where one of them is an error."""
    if options.encoder is not None and options.texts is None:
        raise ValueError("--encoder embeds texts again, so it needs --texts FILE")
    banks, tables = [_open(Path(folder)) for folder in options.data], []
    for data in banks:
        print(data)
        tables.append(_print(data.health()))
    if options.texts is not None:
        tables += [_print(table) for table in _of_texts(options, banks)]
    return int(any((table.severity == "error").any() for table in tables))


def _of_texts(options: argparse.Namespace, banks: list[ResponseBank | Preferences]) -> Iterator[pd.DataFrame]:
    """Yield what is found in the texts, and then in the rows of each bank."""
    from rmspace.data.finding import table_of
    from rmspace.text.bank_texts import match_texts, missing_prompts, missing_texts
    from rmspace.text.embedding_health import check_embeddings
    from rmspace.text.reading import read_preferences

    texts = read_preferences(options.texts, keep_texts=False)
    matches = [match_texts(data, texts) for data in banks]
    print(texts)
    yield texts.health()
    print(f"{options.texts}, beside {' and '.join(options.data)}")
    yield table_of([*missing_prompts(matches, texts), *chain(*map(missing_texts, banks, matches))])
    if options.encoder is None:
        return
    encoder = encoder_of(options)
    for folder, data, matched in zip(options.data, banks, matches, strict=True):
        print(f"{folder}, beside {encoder!r}")
        yield check_embeddings(data, texts.items, encoder, rows=matched.rows, sample=options.sample)


def _print(table: pd.DataFrame) -> pd.DataFrame:
    print("no findings" if table.empty else table.to_string(index=False))
    return table


def _open(folder: Path) -> ResponseBank | Preferences:
    from rmspace.data.bank import ResponseBank
    from rmspace.data.preferences import Preferences
    from rmspace.readers.generators import read_generators

    if (folder / "meta.json").is_file():
        return read_generators(str(folder))
    return (Preferences if (folder / "preferences.json").is_file() else ResponseBank).open(folder)
