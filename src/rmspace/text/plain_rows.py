"""Rows of JSON Lines and Parquet files, one after the other, as they stand in the file."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from rmspace._typing import PathLike
from rmspace.text._extras import need


class PlainRow(NamedTuple):
    """One row of a file, or why it is none."""

    file: str
    line: int
    """From 1; in a Parquet file, the number of the row."""
    row: dict[str, Any]
    reason: str = ""
    """Why the line is no row; "" where it is one."""


def read_rows(path: PathLike) -> Iterator[PlainRow]:
    """Read the rows of a file: JSON Lines (.jsonl, also .gz), a JSON list (.json), or Parquet (.parquet).

    Rows are read as they are asked for; only a JSON list is held whole. Empty lines are passed over.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut short or damaged, or is of another kind.
        ImportError: a Parquet file, without pyarrow.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not a file; give a file of JSON Lines or Parquet")
    name = file.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        yield from _parquet(file)
    elif name.endswith(".json"):
        yield from _json_list(file)
    elif name.endswith((".jsonl", ".ndjson")):
        yield from _json_lines(file)
    else:
        raise ValueError(f"{file} must end in .jsonl, .json or .parquet, .gz allowed; got {file.suffix or 'no ending'}")


def parse_row(line: bytes) -> tuple[dict[str, Any], str]:
    """Return the row of one line, or an empty one and why it is none.

    >>> parse_row(b'{"prompt": "2 + 2?"}')
    ({'prompt': '2 + 2?'}, '')
    >>> parse_row(b"[]")
    ({}, 'it is a list, not an object')
    """
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return {}, "it is not UTF-8"
    except RecursionError:
        return {}, "it is nested too deeply"
    except ValueError:
        return {}, "it is not JSON"
    return (row, "") if isinstance(row, dict) else ({}, f"it is a {type(row).__name__}, not an object")


def _json_lines(file: Path) -> Iterator[PlainRow]:
    number = 0
    try:
        with _open(file) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield PlainRow(str(file), number, *parse_row(line))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{file} is cut short or damaged after line {number} ({error}); fetch it again") from error


def _json_list(file: Path) -> Iterator[PlainRow]:
    with _open(file) as whole:
        try:
            rows = json.loads(whole.read())
        except (ValueError, RecursionError, EOFError, zlib.error) as error:
            raise ValueError(
                f"{file} is not one list of JSON ({error}); a file with one object per line must end in .jsonl"
            ) from error
    if not isinstance(rows, list):
        raise ValueError(f"{file} must be a list of objects; got a {type(rows).__name__}")
    for number, row in enumerate(rows, start=1):
        known = isinstance(row, dict)
        reason = "" if known else f"it is a {type(row).__name__}, not an object"
        yield PlainRow(str(file), number, row if known else {}, reason)


def _parquet(file: Path) -> Iterator[PlainRow]:
    parquet = need("pyarrow.parquet")
    number = 0
    try:
        for batch in parquet.ParquetFile(file).iter_batches(batch_size=256):
            for row in batch.to_pylist():
                number += 1
                yield PlainRow(str(file), number, row)
    except need("pyarrow").ArrowException as error:
        raise ValueError(f"{file} is damaged after row {number} ({error}); fetch it again") from error


def _open(file: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(file, "rb")) if file.name.endswith(".gz") else file.open("rb")
