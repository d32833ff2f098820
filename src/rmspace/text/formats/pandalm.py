"""PandaLM's test set: two responses per row, judged by three people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmspace.text.formats._fields import choice, items, shown_pair, text
from rmspace.text.formats._format import Format
from rmspace.text.records import Record

_JUDGES = ("annotator1", "annotator2", "annotator3")
_STRENGTH = {1: -1, 2: 1, 0: 0}  # of the verdicts: the first, the second, a tie


def read(row: Mapping[str, Any]) -> Record:
    """Return the record of three judgements of one pair, each with its annotator; the prompt is instruction and input.

    Source: Wang et al., PandaLM (arXiv 2306.05087).

    >>> row = {"instruction": "Add", "input": "2 + 2", "response1": "4", "response2": "5", **dict.fromkeys(_JUDGES, 1)}
    >>> row["annotator3"] = 0
    >>> [(pair.winner, pair.columns["tie"], pair.columns["annotator"]) for pair in read(row).comparisons]
    [(0, False, 'annotator1'), (0, False, 'annotator2'), (0, True, 'annotator3')]
    """
    pairs = [shown_pair(_STRENGTH[choice(row, judge, tuple(_STRENGTH))], annotator=judge) for judge in _JUDGES]
    prompt = "\n\n".join(part for part in (text(row, "instruction"), row.get("input")) if part)
    models = row.get("cmp_key")
    subset = models if isinstance(models, str) else None
    return Record(items(prompt, [text(row, "response1"), text(row, "response2")]), pairs, subset=subset)


FORMAT = Format(
    "pandalm",
    "PandaLM: instruction, input, response1, response2, annotator1 to annotator3 (1, 2, or 0 for a tie)",
    ("instruction", "response1", "response2", *_JUDGES),
    read,
    optional=("input", "cmp_key"),
)
