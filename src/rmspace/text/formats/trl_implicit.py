"""TRL's preference format without a column for the prompt: chosen and rejected begin with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmspace.text.formats._format import Format
from rmspace.text.formats.trl_preference import read_pair
from rmspace.text.records import Record


def read(row: Mapping[str, Any]) -> Record:
    """Return the record of `chosen` and `rejected`, which share their beginning.

    Of messages, the prompt is all but the last one. Of text, it is the common beginning in whole words; TRL cuts at the
    first character that differs.

    Source: the documentation of TRL 1.16, "Dataset formats and types".

    >>> item = read({"chosen": "The sky is blue.", "rejected": "The sky is black."}).items[0]
    >>> item.prompt[0].content, item.response
    ('The sky is ', 'blue.')
    """
    return read_pair(row, None)


FORMAT = Format(
    "trl_implicit",
    "TRL preference with an implicit prompt: chosen, rejected, which begin with the prompt, margin or none",
    ("chosen", "rejected"),
    read,
    optional=("margin",),
)
