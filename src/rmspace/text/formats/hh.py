"""HH-RLHF: chosen and rejected are whole transcripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmspace.text.formats._fields import item, number, text
from rmspace.text.formats._format import Format
from rmspace.text.records import Comparison, Record
from rmspace.text.transcripts import is_transcript, read_transcript


def read(row: Mapping[str, Any]) -> Record:
    """Return the record of two transcripts; their prompts end before the last turn of the assistant.

    Where they part before it, the two items have different prompts, of one group.

    Source: Bai et al., Training a Helpful and Harmless Assistant (arXiv 2204.05862).

    >>> start = "\\n\\nHuman: 2 + 2?\\n\\nAssistant:"
    >>> [item.response for item in read({"chosen": start + " 4", "rejected": start + " 5"}).items]
    ['4', '5']
    """
    both = (item(read_transcript(text(row, name))) for name in ("chosen", "rejected"))
    columns = {"margin": number(row, "margin")} if "margin" in row else {}
    return Record(tuple(both), [Comparison(0, 1, columns)])


def _are_transcripts(row: Mapping[str, Any]) -> bool:
    return row.get("prompt") is None and is_transcript(row["chosen"]) and is_transcript(row["rejected"])


FORMAT = Format(
    "hh",
    "HH-RLHF: chosen and rejected, whole transcripts of Human and Assistant",
    ("chosen", "rejected"),
    read,
    optional=("margin",),
    fits=_are_transcripts,
)
