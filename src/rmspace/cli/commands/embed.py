"""`rmspace embed`: embed a file of preference text, and save preferences that any model can be fitted on."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "embed a file of preference text"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("file", metavar="FILE", help="JSON Lines, JSON, CSV or Parquet, a folder of a data set, or an id of a hub")
    add("--encoder", required=True, metavar="MODEL", help="folder of a model of transformers, or its id on a hub")
    add("--out", required=True, metavar="FOLDER", help="folder of the embeddings; a stopped command goes on there")
    add("--save", metavar="FOLDER", help="also write the preferences for open_preferences and `rmspace health`")
    add("--format", help="name of the format, where the columns do not say")
    add("--score", help="make the comparisons from this rating")
    add("--split", help="of a data set with several")
    add("--limit", type=int, metavar="N", help="read at most N rows")
    add("--pooling", choices=("mean", "last", "cls"), default="mean")
    add("--template", choices=("auto", "chat", "plain", "hh"), default="auto")
    add("--layer", type=int, default=-1)
    add("--max-length", type=int, metavar="TOKENS")
    add("--normalize", action="store_true", help="scale each embedding to unit length")
    add("--device", default="auto")


def run(options: argparse.Namespace) -> int:
    """Embed the file, and print what was made and what was left out."""
    from rmspace.text.embedding import embed
    from rmspace.text.encoders.transformers import TransformersEncoder
    from rmspace.text.reading import read_preferences

    given: dict[str, Any] = {
        name: getattr(options, name) for name in ("pooling", "template", "layer", "max_length", "normalize", "device")
    }
    texts = read_preferences(
        options.file, format=options.format, score=options.score, split=options.split, limit=options.limit
    )
    texts.check_comparisons()
    data = embed(texts, TransformersEncoder(options.encoder, **given), out=options.out, progress=None)
    if options.save is not None:
        data.save(options.save)
    print(data)
    for reason, count in texts.left_out.reason.value_counts().items():
        print(f"  left out: {count} ({reason})")
    print(", ".join(f"{name} {count}" for name, count in data.metadata["embedding"].items()))
    return 0
