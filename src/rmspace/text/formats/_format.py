"""What a format is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rmspace.text.records import Record

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Format:
    """A way in which files write preferences.

    Args:
        name: what `read_preferences(format=)` calls it.
        about: one line for people.
        columns: columns that every row has; a format is recognised by them.
        read: makes a record of a row; raises `Unreadable` with the reason where it cannot.
        optional: other columns that `read` looks at.
        fits: what else tells rows of this format from those of others with the same columns.

    >>> from rmspace.text.records import items_of
    >>> plain = Format("plain", "a text a row", ("text",), lambda row: Record(items_of((), [row["text"]])))
    >>> plain.recognises({"text": "4", "page": 7}), plain.recognises({"text": None})
    (True, False)
    """

    name: str
    about: str
    columns: tuple[str, ...]
    read: Callable[[Row], Record]
    optional: tuple[str, ...] = ()
    fits: Callable[[Row], bool] | None = None

    def recognises(self, row: Row) -> bool:
        """Say whether a row has the columns of the format, none of them null."""
        has_columns = all(row.get(name) is not None for name in self.columns)
        return has_columns and (self.fits is None or self.fits(row))
