"""Nectar: seven ranked answers per row."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from rmspace.text.formats._fields import as_number, as_text, items, listed, present
from rmspace.text.formats._format import Format
from rmspace.text.records import Comparison, Record, Unreadable


def read(row: Mapping[str, Any]) -> Record:
    """Return the record of all answers: each beats those of a higher rank, by a margin of the difference.

    The score "minus_rank" is higher for better answers.

    Source: the card of berkeley-nest/Nectar.

    >>> answers = [{"answer": "five", "rank": 2.0}, {"answer": "4", "rank": 1.0}]
    >>> read({"prompt": "2 + 2?", "answers": answers}).comparisons
    [Comparison(winner=1, loser=0, columns={'margin': 1.0})]
    """
    answers = listed(row, "answers")
    if not all(isinstance(each, Mapping) for each in answers):
        raise Unreadable("answers must list objects with answer and rank")
    ranks = [as_number(each.get("rank"), "rank") for each in answers]
    pairs = [
        Comparison(
            a if ranks[a] < ranks[b] else b, b if ranks[a] < ranks[b] else a, {"margin": abs(ranks[a] - ranks[b])}
        )
        for a, b in combinations(range(len(answers)), 2)
        if ranks[a] < ranks[b] or ranks[a] > ranks[b]
    ]
    texts = [as_text(each.get("answer"), "answer") for each in answers]
    return Record(items(present(row, "prompt"), texts), pairs, scores={"minus_rank": [-rank for rank in ranks]})


FORMAT = Format("nectar", "Nectar: prompt, answers with answer and rank", ("prompt", "answers"), read)
