"""Rows of one file: JSON Lines, JSON, CSV or Parquet, plain or compressed by gzip."""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from rmspace.text._extras import need

_LONGEST_FIELD = 2**31 - 1  # characters of one field of a CSV file; Python's own limit is 131,072
_BATCH = 1000  # rows of a Parquet file that are in memory at a time


class Place(NamedTuple):
    """Where a row stands."""

    file: str
    line: int
    """The line of a text file; elsewhere the number of the row. Both count from 1."""


class Row(NamedTuple):
    """One row of a source."""

    place: Place
    value: Mapping[str, Any]


class LeftOut(NamedTuple):
    """A row, or a part of one, that is not read, and why."""

    file: str
    line: int
    reason: str


Rows = Iterator[Row | LeftOut]


def rows_of_file(path: Path) -> Rows:
    """Yield the rows of a file; a line that is no row is left out.

    Raises:
        ValueError: an extension that is not known; a file that is cut off or damaged. The message has file and line.
    """
    read = READERS[kind_of(path)]
    place = Place(str(path), 0)
    with path.open("rb") as raw, _unpacked(raw) as file:
        rows = read(file, str(path))
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                what = "is cut off" if isinstance(error, EOFError) else "is damaged"
                raise ValueError(f"{path} {what} after line {place.line} ({error}); fetch the file again") from error
            place = row.place if isinstance(row, Row) else Place(row.file, row.line)
            yield row


def kind_of(path: Path) -> str:
    """Return the extension that tells how a file is read, without .gz.

    >>> kind_of(Path("pairs.jsonl.gz"))
    '.jsonl'
    """
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    if plain.suffix not in READERS:
        raise ValueError(
            f"{path} must end in one of {', '.join(READERS)} (or these with .gz), so that it is known how to read it; "
            "rename it"
        )
    return plain.suffix


def json_lines(file: BinaryIO, name: str) -> Rows:
    """Yield the rows of a file with one JSON object per line; blank lines are no rows."""
    for number, line in enumerate(file, 1):
        content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if content.strip():
            yield _parsed(content, Place(name, number))


def json_array(file: BinaryIO, name: str) -> Rows:
    """Yield the rows of a JSON file: a list of objects, or one object per line."""
    start = file.read(1024).removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    file.seek(0)
    if start != b"[":
        yield from json_lines(file, name)
        return
    try:
        rows = json.loads(file.read().removeprefix(codecs.BOM_UTF8).decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} must be UTF-8; byte {error.start} is not; convert it") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{name}, line {error.lineno}: not JSON ({error.msg}); fetch the file again") from error
    except RecursionError as error:
        raise ValueError(f"{name} has lists within lists too deep to read") from error
    for number, row in enumerate(rows, 1):
        yield _row(row, Place(name, number))


def comma_separated(file: BinaryIO, name: str, delimiter: str = ",") -> Rows:
    """Yield the rows of a CSV file, every value as text."""
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    reader = csv.reader(_decoded(file, name), delimiter=delimiter, strict=True)
    start, header = 1, None
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(f"{name}, line {reader.line_num}: not CSV ({error}); check its quotes") from error
        place, start = Place(name, start), reader.line_num + 1
        if not fields:
            continue
        if header is None:
            header = _header(fields, place)
        elif len(fields) != len(header):
            reason = f"the row must have {len(header)} fields, like the header: {len(fields)}"
            yield LeftOut(*place, reason)
        else:
            yield Row(place, dict(zip(header, fields, strict=True)))


def tab_separated(file: BinaryIO, name: str) -> Rows:
    """Yield the rows of a file with tabs between its fields."""
    yield from comma_separated(file, name, delimiter="\t")


def parquet(file: BinaryIO, name: str) -> Rows:
    """Yield the rows of a Parquet file, some of them in memory at a time."""
    arrow = need("pyarrow")
    number = 0
    try:
        for batch in need("pyarrow.parquet").ParquetFile(file).iter_batches(batch_size=_BATCH):
            for row in batch.to_pylist():
                number += 1
                yield Row(Place(name, number), row)
    except (arrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"{name} is no whole Parquet file (after row {number}: {error}); fetch it again") from error


READERS: Mapping[str, Callable[[BinaryIO, str], Rows]] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_array,
    ".csv": comma_separated,
    ".tsv": tab_separated,
    ".parquet": parquet,
}


@contextmanager
def _unpacked(raw: BinaryIO) -> Iterator[BinaryIO]:
    """Yield the file, or what gzip packed into it; the first two bytes tell."""
    start = raw.read(2)
    raw.seek(0)
    if start != b"\x1f\x8b":
        yield raw
        return
    with gzip.open(raw, "rb") as file:
        yield cast(BinaryIO, file)


def _parsed(line: bytes, place: Place) -> Row | LeftOut:
    try:
        return _row(json.loads(line.decode()), place)
    except UnicodeDecodeError as error:
        return LeftOut(*place, f"the line is not UTF-8: byte {error.start + 1}")
    except json.JSONDecodeError as error:
        return LeftOut(*place, f"the line is not JSON: {error.msg} at character {error.pos + 1}")
    except RecursionError:
        return LeftOut(*place, "the line is not JSON that can be read: too many lists within lists")
    except ValueError:  # a whole number of thousands of digits
        return LeftOut(*place, "the line is not JSON that can be read: a number is too long")


def _row(value: Any, place: Place) -> Row | LeftOut:
    if not isinstance(value, dict):
        return LeftOut(*place, "a row is no object with columns")
    return Row(place, value)


def _decoded(file: BinaryIO, name: str) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        try:
            yield (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{name}, line {number}: not UTF-8 (byte {error.start + 1}); convert the file") from error


def _header(fields: list[str], place: Place) -> list[str]:
    if twice := sorted({name for name in fields if fields.count(name) > 1}):
        raise ValueError(f"{place.file}, line {place.line}: the header has {', '.join(map(repr, twice))} twice")
    return fields
