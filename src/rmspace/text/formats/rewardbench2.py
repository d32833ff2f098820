"""RewardBench 2: one or several right responses per row, and several wrong ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmspace.text.formats import rewardbench
from rmspace.text.formats._fields import number
from rmspace.text.formats._format import Format
from rmspace.text.records import Record


def read(row: Mapping[str, Any]) -> Record:
    """Return the record of a row: each right response beats each wrong one; columns id and num_correct.

    Source: Malik et al., RewardBench 2 (arXiv 2506.01937).

    >>> row = {"prompt": "2 + 2?", "chosen": ["4", "four"], "rejected": ["5"], "subset": "Ties", "id": "ref:1"}
    >>> record = read({**row, "num_correct": 2})
    >>> len(record.comparisons), record.columns
    (2, {'id': 'ref:1', 'num_correct': 2.0})
    """
    return rewardbench.read(row, num_correct=number(row, "num_correct"))


FORMAT = Format(
    "rewardbench2",
    "RewardBench 2: prompt, chosen and rejected (lists), subset, id, num_correct",
    ("prompt", "chosen", "rejected", "subset", "id", "num_correct"),
    read,
)
