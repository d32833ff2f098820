"""HelpSteer and HelpSteer2: one response per row, with five ratings from 0 to 4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmspace.text.formats._fields import items, number, text
from rmspace.text.formats._format import Format
from rmspace.text.formats._turns import turns_of
from rmspace.text.records import Record

_RATINGS = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")


def read(row: Mapping[str, Any]) -> Record:
    """Return the record of one rated response; the other responses to its prompt are in other rows.

    Source: Wang et al., HelpSteer2 (arXiv 2406.08673).

    >>> row = {"prompt": "2 + 2?", "response": "4", **dict.fromkeys(_RATINGS, 4)}
    >>> read(row).scores["helpfulness"]
    [4.0]
    """
    scores = {name: [number(row, name)] for name in _RATINGS}
    return Record(items(turns_of(text(row, "prompt")), [text(row, "response")]), scores=scores)


FORMAT = Format(
    "helpsteer2",
    "HelpSteer2: prompt, response, helpfulness, correctness, coherence, complexity, verbosity",
    ("prompt", "response", *_RATINGS),
    read,
)
