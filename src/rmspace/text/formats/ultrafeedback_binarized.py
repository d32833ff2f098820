"""UltraFeedback binarized: chosen and rejected with the score of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rmspace.text.formats._fields import number
from rmspace.text.formats._format import Format
from rmspace.text.formats.trl_preference import read_pair
from rmspace.text.records import Record, Unreadable


def read(row: Mapping[str, Any]) -> Record:
    """Return the record of a pair whose margin is the difference of the two scores.

    Source: the card of HuggingFaceH4/ultrafeedback_binarized.

    >>> row = {"prompt": "2 + 2?", "chosen": "4", "rejected": "5", "score_chosen": 9.0, "score_rejected": 6.5}
    >>> read(row).comparisons[0].columns, read(row).scores
    ({'margin': 2.5}, {'score': [9.0, 6.5]})
    """
    scores = [number(row, "score_chosen"), number(row, "score_rejected")]
    record = read_pair({**row, "margin": scores[0] - scores[1]}, row.get("prompt"))
    if len(record.items) != 2:
        raise Unreadable("chosen and rejected must be one response each, as they have one score each")
    return replace(record, scores={"score": scores})


FORMAT = Format(
    "ultrafeedback_binarized",
    "UltraFeedback binarized: chosen, rejected, score_chosen, score_rejected, prompt or none",
    ("chosen", "rejected", "score_chosen", "score_rejected"),
    read,
    optional=("prompt",),
)
