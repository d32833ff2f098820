"""TRL's unpaired format: one response per row, labelled good or bad."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmspace.text.formats._fields import conversations, items, number, present
from rmspace.text.formats._format import Format
from rmspace.text.records import Record


def read(row: Mapping[str, Any]) -> Record:
    """Return the record of one `completion`, whose score "label" is 1 for good and 0 for bad.

    Source: the documentation of TRL 1.16, "Dataset formats and types".

    >>> read({"prompt": "2 + 2?", "completion": "4", "label": True}).scores
    {'label': [1.0]}
    """
    completions = conversations(row, "completion")
    return Record(
        items(present(row, "prompt"), completions), scores={"label": [number(row, "label")] * len(completions)}
    )


def _is_label(row: Mapping[str, Any]) -> bool:
    return str(row["label"]).strip().lower() in {"true", "false", "0", "1", "0.0", "1.0"}


FORMAT = Format(
    "trl_unpaired",
    "TRL unpaired: prompt, completion, label (true or false)",
    ("prompt", "completion", "label"),
    read,
    fits=_is_label,
)
