"""A list of responses per prompt, with scores, or with the place of the preferred one, or with neither."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rmspace.text.formats._fields import as_list, as_number, as_text, choice, items, listed, present
from rmspace.text.formats._format import Format
from rmspace.text.records import Comparison, Record


def read(row: Mapping[str, Any]) -> Record:
    """Return the record of `responses`.

    Each other column with a list of as many numbers is a score. `preferred_index`, from 0, is the response that beats
    all others.

    >>> record = read({"prompt": "2 + 2?", "responses": ["5", "4"], "correct": [False, True], "preferred_index": 1})
    >>> record.scores, [(pair.winner, pair.loser) for pair in record.comparisons]
    ({'correct': [0.0, 1.0]}, [(1, 0)])
    """
    responses = [as_text(each, "a response") for each in listed(row, "responses")]
    pairs: list[Comparison] = []
    if row.get("preferred_index") is not None:
        best = choice(row, "preferred_index", range(len(responses)))
        pairs = [Comparison(best, other) for other in range(len(responses)) if other != best]
    lists = {name: as_list(value, name) for name, value in row.items() if isinstance(value, list | tuple | np.ndarray)}
    scores = {
        name: [as_number(each, name) for each in values]
        for name, values in lists.items()
        if len(values) == len(responses) and _are_numbers(values)
    }
    return Record(items(present(row, "prompt"), responses), pairs, scores=scores)


def _are_numbers(values: list[Any]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(value, int | float | np.number | np.bool_) for value in known)


FORMAT = Format(
    "responses",
    "responses of a prompt: prompt, responses (a list), lists of scores or none, preferred_index (from 0) or none",
    ("prompt", "responses"),
    read,
    optional=("preferred_index",),
)
