"""Reading preferences as text: rows of any source, recognised by their columns, as records."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, Literal

import numpy as np
import pandas as pd

from rmspace._checks import check_int
from rmspace.text._sound import sound
from rmspace.text.formats import Format, formats, recognise
from rmspace.text.preferences import TextPreferences
from rmspace.text.records import Record, Unreadable
from rmspace.text.row_files import LeftOut, Place, Row
from rmspace.text.sources import Source, open_source

__all__ = ["RecordReader", "read_preferences", "read_records"]

FormatLike = str | Callable[[Mapping[str, Any]], Record] | None

_COMMON = ("annotator", "subset", "weight", "group")  # mean the same in every format; the last two if columns= says so
_TRIED = 100  # rows that are looked at until one is of a known format
_SHOWN = 5


def read_preferences(
    source: Any,
    *,
    format: FormatLike = None,
    columns: Mapping[str, str] | None = None,
    score: str | None = None,
    ties: bool = False,
    split: str | None = None,
    limit: int | None = None,
    empty: Literal["keep", "leave_out"] = "keep",
    hub: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    keep_texts: bool = True,
    verbose: bool = True,
) -> TextPreferences:
    """Read preferences as text from files or data sets of many formats.

    The format is recognised by the columns of the rows, and one line on standard error says which one it is.
    `rmspace.text.formats.formats()` lists all. Equal texts become one item, and equal prompts one group. A row that
    cannot be read is left out: a warning counts such rows by reason, and `left_out` of the result lists each one with
    its file and line.

    Args:
        source: a file (.jsonl, .ndjson, .json, .csv, .tsv, .parquet, also with .gz), or several in a list; a folder of
            such files, or one that `datasets` saved; an id "owner/name" of the Hugging Face hub; a data set of that
            package, also a streamed one; a table of pandas; rows as mappings.
        format: the name of a format, or a function that makes a `Record` of a row; None to recognise it.
        columns: names of columns of the source by the names that the format expects, {"prompt": "question"}. "weight"
            and "group" (the id of the prompt) are only taken from the source when they are named here. Any other name
            keeps a column of the source as a column of the comparisons, {"domain": "category"}.
        score: make the comparisons from this score instead, as `TextPreferences.compare_scores` does.
        ties: with `score`, also keep pairs with equal scores.
        split: of a data set or folder with several splits, or of a file with a column "split".
        limit: read at most so many rows.
        empty: what to do with responses and prompts that are empty or only white space. They are kept, because people
            judged them, and a warning counts them; "leave_out" leaves them out. Where both are empty they are left out.
        hub: options of `datasets.load_dataset` for an id of the hub, such as {"revision": "main", "streaming": True}.
        metadata: what else to keep in `metadata`, such as the licence.
        keep_texts: keep the texts in memory. Without it, each use of `items`, such as `embed`, reads the source again.
            So the memory does not grow with the length of the texts; an item needs about 700 bytes.
        verbose: say which format was recognised.

    Returns:
        The preferences. `metadata` has the source, the format, the licence if the data set states it, and the number of
        rows that were read.

    Raises:
        FileNotFoundError: no such file; a folder without data.
        ValueError: rows of no known format; no row that can be read; a file that is cut off or damaged; a name of a
            format, column, split or score that is not there.
        TypeError: a source that can be read only once, with `keep_texts=False`.

    >>> rows = [{"question": "2 + 2?", "chosen": "4", "rejected": "5"}, {"question": "3 + 3?", "chosen": "6"}]
    >>> with warnings.catch_warnings(action="ignore"):
    ...     data = read_preferences(rows, columns={"prompt": "question"}, verbose=False)
    >>> data.left_out.values.tolist()
    [['rows', 2, "no column 'rejected'"]]
    """
    read = partial(read_records, source, format=format, columns=columns, split=split, limit=limit, empty=empty, hub=hub)
    if not keep_texts and isinstance(source, Iterator):
        raise TypeError("keep_texts=False reads the source several times; give its path, or a list of rows")
    records = read(verbose=verbose)
    data = TextPreferences.from_records(records, again=None if keep_texts else partial(read, verbose=False))
    data.left_out = pd.DataFrame(records.left_out, columns=list(LeftOut._fields))
    known = {"source": records.source, "format": records.format, "rows": records.n_rows}
    licence = {} if records.licence is None else {"licence": records.licence}
    data.metadata |= known | licence | dict(metadata or {})
    return data if score is None else data.compare_scores(score, ties=ties)


def read_records(
    source: Any,
    *,
    format: FormatLike = None,
    columns: Mapping[str, str] | None = None,
    split: str | None = None,
    limit: int | None = None,
    empty: Literal["keep", "leave_out"] = "keep",
    hub: Mapping[str, Any] | None = None,
    verbose: bool = True,
) -> RecordReader:
    """Read records one by one, without keeping them; the arguments are those of `read_preferences`.

    >>> reader = read_records([{"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}], verbose=False)
    >>> [record.items[0].response for record in reader], reader.format
    (['4'], 'trl_preference')
    """
    if empty not in ("keep", "leave_out"):
        raise ValueError(f"empty must be 'keep' or 'leave_out'; got {empty!r}")
    if limit is not None:
        check_int("limit", limit, low=1)
    named = _named(format)
    opened = open_source(source, split=split, hub=hub)
    return RecordReader(opened, named, columns or {}, limit=limit, keep_empty=empty == "keep", verbose=verbose)


class RecordReader(Iterator[Record]):
    """An iterator over records, which accounts for every row.

    When it ends, a warning tells what was left out.

    Attributes:
        source: name of the source.
        licence: that the data set states, or None.
        format: name of the format; "" before the first row.
        n_rows: rows that were read so far, those that were left out among them.
        left_out: what was left out so far, with file, line and reason.

    >>> reader = read_records([{"prompt": "2 + 2?", "completion": "4", "label": True}], verbose=False)
    >>> next(reader).scores, reader.n_rows, reader.left_out
    ({'label': [1.0]}, 1, [])
    """

    def __init__(
        self,
        source: Source,
        format: Format | None,
        columns: Mapping[str, str],
        *,
        limit: int | None,
        keep_empty: bool,
        verbose: bool,
    ) -> None:
        self.source, self.licence = source.name, source.licence
        self.n_rows, self.left_out = 0, list[LeftOut]()
        self._format, self._columns = format, columns
        self._keep_empty, self._verbose = keep_empty, verbose and format is None
        self._odd: Counter[str] = Counter()
        self._seen: set[str] = set()
        self._records = self._read(islice(source.rows, limit))

    @property
    def format(self) -> str:
        """Name of the format."""
        return "" if self._format is None else self._format.name

    def __next__(self) -> Record:
        return next(self._records)

    def _read(self, rows: Iterator[Row | LeftOut]) -> Iterator[Record]:
        n_records = 0
        for row in self._of_known_format(rows):
            self.n_rows += 1
            if isinstance(row, LeftOut):
                self.left_out.append(row)
            elif (record := self._record(row)) is not None:
                n_records += 1
                yield record
        self._check(n_records)
        self._warn()

    def _of_known_format(self, rows: Iterator[Row | LeftOut]) -> Iterator[Row | LeftOut]:
        """Yield the rows with the names of the format; the first that is of a known one settles which it is."""
        waiting: list[Row] = []
        for row in rows:
            if isinstance(row, LeftOut):
                yield row
                continue
            row = Row(row.place, _renamed(row.value, self._columns))
            self._seen |= self._columns.keys() & row.value.keys()
            waiting.append(row)
            self._format = self._format or recognise(row.value)
            if self._format is not None:
                self._say()
                yield from waiting
                waiting = []
            elif len(waiting) == _TRIED:
                break
        if waiting:
            raise ValueError(self._unknown(waiting[0]))

    def _record(self, row: Row) -> Record | None:
        if self._format is None:
            return None
        try:
            made = _completed(self._format.read(row.value), row.value, self._kept(self._format), self._columns)
        except Unreadable as error:
            self.left_out.append(LeftOut(*row.place, str(error)))
            return None
        except Exception as error:
            error.add_note(f"{_at(row.place)}: a format raises Unreadable for a row that it cannot read")
            raise
        record, reasons, odd = sound(made, keep_empty=self._keep_empty)
        self.left_out += [LeftOut(*row.place, reason) for reason in reasons]
        self._odd.update(odd)
        return record

    def _say(self) -> None:
        if self._verbose and self._format is not None:
            about = f"read as {self.format!r} ({self._format.about}); format= names another"
            sys.stderr.write(f"{self.source}: {about}\n")
        self._verbose = False

    def _unknown(self, row: Row) -> str:
        missing = [name for target, name in self._columns.items() if target not in row.value]
        absent = f" (columns= names {', '.join(map(repr, missing))}, which it has not)" if missing else ""
        return (
            f"{_at(row.place)}: a row with the columns {', '.join(map(repr, row.value)) or 'none'} is of no known "
            f"format{absent}; say which of its columns are prompt, chosen and rejected, columns={{'prompt': ...}}, or "
            f"give format= one of {', '.join(formats())}"
        )

    def _kept(self, format: Format) -> list[str]:
        return [name for name in self._columns if name not in (*format.columns, *format.optional, *_COMMON)]

    def _check(self, n_records: int) -> None:
        if self.n_rows and (absent := [name for target, name in self._columns.items() if target not in self._seen]):
            raise ValueError(f"{self.source}: columns= names {', '.join(map(repr, absent))}, which no row has")
        if n_records:
            return
        if not self.n_rows:
            raise ValueError(f"{self.source} has no rows")
        first = self.left_out[0]
        raise ValueError(
            f"{_at(first)}: {first.reason}; so it is, or similar, with all {self.n_rows} rows"
            + (f", read as {self.format!r}: give format= one of {', '.join(formats())}" if self.format else "")
        )

    def _warn(self) -> None:
        parts = []
        if self.left_out:
            lines = len({(each.file, each.line) for each in self.left_out})
            parts.append(f"left out all or a part of {lines} of {self.n_rows} rows: {_by_reason(self.left_out)}")
        if self._odd:
            kept = ", ".join(f"{name} in {n} rows" for name, n in self._odd.items())
            parts.append(f"kept although {kept} (empty='leave_out' leaves them out)")
        if parts:
            listed = "; left_out lists each one" if self.left_out else ""
            warnings.warn(f"{self.source}: {'; '.join(parts)}{listed}", UserWarning, stacklevel=4)


def _named(format: FormatLike) -> Format | None:
    if format is None or isinstance(format, Format):
        return format
    if callable(format):
        return Format(getattr(format, "__name__", "own"), "a function", (), format)
    if format not in formats():
        raise ValueError(f"no format {format!r}; it is one of {', '.join(formats())}, or a function of a row")
    return formats()[format]


def _renamed(row: Mapping[str, Any], columns: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the row with the names of the format; columns that got another name lose their own."""
    if not columns:
        return row
    others = {name: value for name, value in row.items() if name not in columns.values() and name not in columns}
    return others | {target: row[name] for target, name in columns.items() if name in row}


def _completed(record: Record, row: Mapping[str, Any], kept: Sequence[str], columns: Mapping[str, str]) -> Record:
    """Return the record with the columns that mean the same in every format, and those that the user asked for."""
    names = ["annotator", *kept, *(["weight"] if "weight" in columns else [])]
    own = {name: value for name in names if (value := _plain(row.get(name), name)) is not None}
    group = _plain(row.get("group"), "group") if "group" in columns else None
    subset = _plain(row.get("subset"), "subset") if record.subset is None else None
    if not own and group is None and subset is None:
        return record
    return replace(
        record,
        columns={**own, **record.columns},
        group=record.group if group is None else str(group),
        subset=record.subset if subset is None else str(subset),
    )


def _plain(value: Any, name: str) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    if plain is not None and not isinstance(plain, str | int | float):
        raise Unreadable(f"column {name!r} must have numbers or text: a {type(plain).__name__}")
    return plain


def _by_reason(left_out: Sequence[LeftOut]) -> str:
    counts = Counter(each.reason.split(": ")[0] for each in left_out)
    firsts = {each.reason.split(": ")[0]: each for each in reversed(left_out)}
    parts = [f"{n} because {reason} (first: {_at(firsts[reason])})" for reason, n in counts.most_common(_SHOWN)]
    others = sum(counts.values()) - sum(n for _, n in counts.most_common(_SHOWN))
    return ", ".join(parts) + (f", {others} for other reasons" if others else "")


def _at(place: Place | LeftOut) -> str:
    return f"{place.file}, line {place.line}"
