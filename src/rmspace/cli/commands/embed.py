"""`rmspace embed`: embed a file of preference text, and save preferences that any model can be fitted on."""

from __future__ import annotations

import argparse

from rmspace.cli.text_options import add_encoder, add_reading, encoder_of, print_cost, reading_of

HELP = "embed a file of preference text"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_reading(parser)
    add_encoder(parser)
    add = parser.add_argument
    add("--out", required=True, metavar="FOLDER", help="folder of the embeddings; a stopped command goes on there")
    add("--save", metavar="FOLDER", help="also write the preferences for open_preferences and `rmspace health`")
    add("--score", help="make the comparisons from this rating")


def run(options: argparse.Namespace) -> int:
    """Embed the file, and print what was made and what was left out."""
    from rmspace.text.embedding import embed
    from rmspace.text.reading import read_preferences

    texts = read_preferences(options.file, score=options.score, keep_texts=False, **reading_of(options))
    texts.check_comparisons()
    encoder = encoder_of(options)
    if options.dry_run:
        copies = 1 if options.save is None else 2
        print_cost(texts.items, encoder, sample=options.sample, dtype="float32", copies=copies)
        return 0
    data = embed(texts, encoder, out=options.out, progress=None)
    if options.save is not None:
        data.save(options.save)
    print(data)
    for reason, count in texts.left_out.reason.value_counts().items():
        print(f"  left out: {count} ({reason})")
    print(", ".join(f"{name} {count}" for name, count in data.metadata["embedding"].items()))
    return 0
