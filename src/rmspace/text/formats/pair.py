"""Two responses in the order in which they were shown, and which one is preferred."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmspace.text.formats._fields import choice, items, number, present, shown_pair, text
from rmspace.text.formats._format import Format
from rmspace.text.records import Record

_STRENGTH = {1: -1, 2: 1, 0: 0}  # of the verdicts: the first, the second, a tie


def read(row: Mapping[str, Any]) -> Record:
    """Return the record of `response1` and `response2`, of which `preferred` is 1, 2, or 0 for a tie.

    >>> read({"prompt": "2 + 2?", "response1": "5", "response2": "4", "preferred": 2}).comparisons
    [Comparison(winner=1, loser=0, columns={'tie': False, 'first': 1})]
    """
    columns = {"margin": number(row, "margin")} if "margin" in row else {}
    pair = shown_pair(_STRENGTH[choice(row, "preferred", tuple(_STRENGTH))], **columns)
    return Record(items(present(row, "prompt"), [text(row, "response1"), text(row, "response2")]), [pair])


FORMAT = Format(
    "pair",
    "two responses: prompt, response1, response2, preferred (1, 2, or 0 for a tie), margin or none",
    ("prompt", "response1", "response2", "preferred"),
    read,
    optional=("margin",),
)
