"""RewardBench 1: a pair per row, with its subset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rmspace.text.formats import trl_preference
from rmspace.text.formats._fields import shown, text
from rmspace.text.formats._format import Format
from rmspace.text.records import Record, Unreadable


def read(row: Mapping[str, Any], **columns: Any) -> Record:
    """Return the record of a row, with its subset and the column id.

    Source: Lambert et al., RewardBench (arXiv 2403.13787).

    >>> record = read({"prompt": "2 + 2?", "chosen": "4", "rejected": "5", "subset": "math", "id": 7})
    >>> record.subset, record.columns
    ('math', {'id': '7'})
    """
    if not isinstance(row.get("id"), str | int):
        raise Unreadable(f"id must be text or a whole number: {shown(row.get('id'))}")
    record = trl_preference.read(row)
    return replace(record, subset=text(row, "subset"), columns={"id": str(row["id"]), **columns})


FORMAT = Format(
    "rewardbench",
    "RewardBench 1: prompt, chosen, rejected, subset, id",
    ("prompt", "chosen", "rejected", "subset", "id"),
    read,
)
