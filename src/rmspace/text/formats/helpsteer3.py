"""HelpSteer3-Preference: a conversation, two responses, and how much better one is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmspace.text.formats._fields import choice, items, present, shown_pair, text
from rmspace.text.formats._format import Format
from rmspace.text.records import Record

_STRENGTHS = range(-3, 4)


def read(row: Mapping[str, Any]) -> Record:
    """Return the record of two responses; the preference is -3 (the first is much better) to 3, and 0 is a tie.

    Source: Wang et al., HelpSteer3-Preference (arXiv 2505.11475).

    >>> context = [{"role": "user", "content": "2 + 2?"}]
    >>> row = {"context": context, "response1": "5", "response2": "4", "overall_preference": 1, "domain": "stem"}
    >>> read(row).comparisons, read(row).subset
    ([Comparison(winner=1, loser=0, columns={'tie': False, 'first': 1, 'margin': 1.0})], 'stem')
    """
    strength = choice(row, "overall_preference", _STRENGTHS)
    both = [text(row, "response1"), text(row, "response2")]
    pair = shown_pair(strength, margin=float(abs(strength)))
    domain = row.get("domain")
    return Record(items(present(row, "context"), both), [pair], subset=domain if isinstance(domain, str) else None)


FORMAT = Format(
    "helpsteer3",
    "HelpSteer3-Preference: context (messages), response1, response2, overall_preference from -3 to 3",
    ("context", "response1", "response2", "overall_preference"),
    read,
    optional=("domain",),
)
