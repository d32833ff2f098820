"""HelpSteer2-Preference: two responses per row, and how much better one is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmspace.text.formats._fields import choice, items, shown_pair, text
from rmspace.text.formats._format import Format
from rmspace.text.formats._turns import turns_of
from rmspace.text.records import Record

_STRENGTHS = range(-3, 4)


def read(row: Mapping[str, Any]) -> Record:
    """Return the record of two responses; the strength is -3 (the first is much better) to 3, and 0 is a tie.

    Source: Wang et al., HelpSteer2-Preference (arXiv 2410.01257).

    >>> read({"prompt": "2 + 2?", "response_1": "4", "response_2": "5", "preference_strength": -3}).comparisons
    [Comparison(winner=0, loser=1, columns={'tie': False, 'first': 0, 'margin': 3.0})]
    """
    strength = choice(row, "preference_strength", _STRENGTHS)
    both = [text(row, "response_1"), text(row, "response_2")]
    pair = shown_pair(strength, margin=float(abs(strength)))
    return Record(items(turns_of(text(row, "prompt")), both), [pair])


FORMAT = Format(
    "helpsteer2_preference",
    "HelpSteer2-Preference: prompt, response_1, response_2, preference_strength from -3 to 3",
    ("prompt", "response_1", "response_2", "preference_strength"),
    read,
)
