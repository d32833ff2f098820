"""The arguments that commands share which read a file of texts and embed it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from rmspace.kinds import Encoder
    from rmspace.text.encoders.transformers import TransformersEncoder
    from rmspace.text.records import TextItem

_OF_ENCODER = ("pooling", "template", "layer", "max_length", "max_prompt", "side", "normalize", "device")


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Declare what is read."""
    add = parser.add_argument
    add("file", metavar="FILE", help="JSON Lines, JSON, CSV or Parquet, a folder of a data set, or an id of a hub")
    add("--format", help="name of the format, where the columns do not say")
    add("--columns", action="append", default=[], metavar="NAME=COLUMN", help="prompt=question; repeatable")
    add("--split", help="of a data set with several")
    add("--limit", type=int, metavar="N", help="read at most N rows")


def reading_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `read_preferences`."""
    if wrong := [each for each in options.columns if not all(each.partition("=")[::2])]:
        raise ValueError(f"--columns must be NAME=COLUMN, such as prompt=question; got {wrong[0]!r}")
    columns = dict(each.split("=", 1) for each in options.columns)
    given = {name: getattr(options, name) for name in ("format", "split", "limit")}
    return {**given, "columns": columns or None}


def add_encoder(parser: argparse.ArgumentParser) -> None:
    """Declare the encoder, and what it costs."""
    add_model(parser, required=True)
    add = parser.add_argument
    add("--dry-run", action="store_true", help="print texts, tokens, time and disk, from a sample; write nothing")
    add("--sample", type=int, default=256, metavar="N", help="with --dry-run, the texts that are embedded to measure")


def add_model(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Declare the encoder."""
    add = parser.add_argument
    add("--encoder", required=required, metavar="MODEL", help="folder of a model of transformers, or its id on a hub")
    add("--pooling", choices=("mean", "last", "cls"), default="mean")
    add("--template", choices=("auto", "chat", "plain", "hh"), default="auto")
    add("--layer", type=int, default=-1)
    add("--max-length", type=int, metavar="TOKENS", help="the most of a text")
    add("--max-prompt", type=int, metavar="TOKENS", help="the most of a prompt")
    add("--side", choices=("left", "right"), default="left", help="where a text that is too long is cut")
    add("--normalize", action="store_true", help="scale each embedding to unit length")
    add("--device", default="auto")


def encoder_of(options: argparse.Namespace) -> TransformersEncoder:
    """Return the encoder."""
    from rmspace.text.encoders.transformers import TransformersEncoder

    return TransformersEncoder(options.encoder, **{name: getattr(options, name) for name in _OF_ENCODER})


def print_cost(items: Sequence[TextItem], encoder: Encoder, *, sample: int, dtype: str, copies: int) -> None:
    """Print what embedding the items costs; `copies` is how often the embeddings are written."""
    from rmspace.cli.amounts import print_costs
    from rmspace.text.embedding_cost import estimate_embedding

    print_costs(estimate_embedding(items, encoder, sample=sample, dtype=dtype, copies=copies))


def print_findings(what: str, table: pd.DataFrame) -> None:
    """Print what `health` found, a line each."""
    for found in table.itertuples():
        print(f"{what}: {found.severity}: {found.check}: {found.n_found} of {found.n_checked}, {found.detail}")
