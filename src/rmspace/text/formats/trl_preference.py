"""TRL's preference format, and chosen and rejected lists of any length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmspace.text.formats._fields import conversations, each_beats_each, items, number, present
from rmspace.text.formats._format import Format
from rmspace.text.records import Record


def read(row: Mapping[str, Any]) -> Record:
    """Return the record of `chosen` and `rejected`: each chosen response beats each rejected one.

    Source: the documentation of TRL 1.16, "Dataset formats and types".

    >>> record = read({"prompt": "2 + 2?", "chosen": ["4", "four"], "rejected": "5", "margin": 2})
    >>> [(pair.winner, pair.loser, dict(pair.columns)) for pair in record.comparisons]
    [(0, 2, {'margin': 2.0}), (1, 2, {'margin': 2.0})]
    """
    return read_pair(row, present(row, "prompt"))


def read_pair(row: Mapping[str, Any], prompt: Any) -> Record:
    """Return the record of `chosen` and `rejected` with a prompt, or with an implicit one for None."""
    chosen, rejected = conversations(row, "chosen"), conversations(row, "rejected")
    columns = {"margin": number(row, "margin")} if "margin" in row else {}
    pairs = each_beats_each(len(chosen), len(rejected), **columns)
    return Record(items(prompt, chosen + rejected), pairs)


FORMAT = Format(
    "trl_preference",
    "TRL preference: prompt, chosen, rejected (text, messages, or lists of either), margin or none",
    ("prompt", "chosen", "rejected"),
    read,
    optional=("margin",),
)
