"""`rmspace health`: check the values of banks or of preferences, and whether they are the embeddings of their texts."""

from __future__ import annotations

import argparse
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
    add("--prompts", metavar="FILE", help="look for prompts of this file that none of the folders has")
    add("--texts", metavar="FILE", help="the prompts and responses of the folders: check them too")
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
    if options.prompts is not None:
        tables.append(_print(_of_prompts(options.prompts, banks)))
    if options.texts is not None:
        tables += [_print(table) for table in _of_texts(options, banks)]
    return int(any((table.severity == "error").any() for table in tables))


def _of_prompts(file: str, banks: list[ResponseBank | Preferences]) -> pd.DataFrame:
    from rmspace.data.finding import table_of
    from rmspace.text.bank_texts import missing_prompts, read_prompt_ids

    ids = read_prompt_ids(file)
    print(f"{file}: {len(ids):,} prompts")
    return table_of(missing_prompts(banks, ids))


def _of_texts(options: argparse.Namespace, banks: list[ResponseBank | Preferences]) -> Iterator[pd.DataFrame]:
    """Yield what is found in the texts, and then in the rows of each bank."""
    import pandas as pd

    from rmspace.data.finding import table_of
    from rmspace.text.bank_texts import match_texts, missing_texts
    from rmspace.text.embedding_health import check_embeddings
    from rmspace.text.reading import read_preferences

    texts = read_preferences(options.texts, keep_texts=False)
    print(texts)
    yield texts.health()
    encoder = None if options.encoder is None else encoder_of(options)
    for folder, data in zip(options.data, banks, strict=True):
        rows = match_texts(data, texts)
        print(f"{folder}, beside {options.texts}" + (f" and {encoder!r}" if encoder else ""))
        found = table_of(missing_texts(data, rows))
        if encoder is not None:
            again = check_embeddings(data, texts.items, encoder, rows=rows, sample=options.sample)
            found = again if found.empty else pd.concat([found, again])
        yield found


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
