"""UltraFeedback as it was published: four completions per row, rated in four aspects and as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmspace.text.formats._fields import as_number, as_text, items, listed, text
from rmspace.text.formats._format import Format
from rmspace.text.records import Record, Unreadable

_WHOLE = ("overall_score", "fine-grained_score")
_ASPECTS = ("instruction_following", "truthfulness", "honesty", "helpfulness")


def read(row: Mapping[str, Any]) -> Record:
    """Return the record of all completions: ratings by aspect and overall scores, NaN where one is "N/A".

    Source: Cui et al., UltraFeedback (arXiv 2310.01377).

    >>> completion = {"response": "4", "overall_score": 8.5, "annotations": {"honesty": {"Rating": "N/A"}}}
    >>> read({"instruction": "2 + 2?", "completions": [completion]}).scores
    {'overall_score': [8.5], 'honesty': [nan]}
    """
    completions = listed(row, "completions")
    if not all(isinstance(each, Mapping) for each in completions):
        raise Unreadable("completions must list objects with a response")
    responses = [as_text(each.get("response"), "response") for each in completions]
    ratings = [_ratings(each) for each in completions]
    names = dict.fromkeys(name for each in ratings for name in each)
    scores = {name: [each.get(name, float("nan")) for each in ratings] for name in names}
    subset = row.get("source")
    return Record(
        items(text(row, "instruction"), responses), scores=scores, subset=subset if isinstance(subset, str) else None
    )


def _ratings(completion: Mapping[str, Any]) -> dict[str, float]:
    found = {name.replace("-", "_"): as_number(completion[name], name) for name in _WHOLE if name in completion}
    notes = completion.get("annotations")
    aspects = notes if isinstance(notes, Mapping) else {}
    return found | {name: as_number(_rating(aspects[name]), name) for name in _ASPECTS if name in aspects}


def _rating(aspect: Any) -> Any:
    """Return the rating of an aspect; a list of several notes on it has none that counts alone."""
    return aspect.get("Rating") if isinstance(aspect, Mapping) else None


FORMAT = Format(
    "ultrafeedback",
    "UltraFeedback: instruction, completions with response, overall_score and annotations",
    ("instruction", "completions"),
    read,
    optional=("source",),
)
