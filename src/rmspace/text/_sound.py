"""What is wrong with the texts of a record."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from rmspace.text.records import Record, TextItem

EMPTY_RESPONSE = "the response is empty"
EMPTY_PROMPT = "the prompt is empty"


class Sound(NamedTuple):
    """What is left of a record, the reasons for what is not, and what was kept although it is odd."""

    record: Record | None
    left_out: list[str]
    odd: list[str]


def sound(record: Record, *, keep_empty: bool) -> Sound:
    """Take away the items that cannot be used, and the comparisons that say nothing.

    A lone surrogate cannot be encoded, so no tokenizer takes it. An item without any text has nothing to embed. Two
    equal texts cannot be compared. Nothing is left where a record had comparisons and has none now.

    >>> from rmspace.text.records import Comparison, items_of
    >>> sound(Record(items_of("2 + 2?", ["4", "4"]), [Comparison(0, 1)]), keep_empty=True).left_out
    ['the two responses are equal']
    """
    faults = [_fault(item, keep_empty) for item in record.items]
    odd = list(dict.fromkeys(name for item in record.items for name in _empties(item))) if keep_empty else []
    reasons = list(dict.fromkeys(fault for fault in faults if fault))
    good = [place for place, fault in enumerate(faults) if fault is None]
    if not good:
        return Sound(None, reasons or ["no response"], [])
    new = {old: place for place, old in enumerate(good)}
    pairs = [pair for pair in record.comparisons if pair.winner in new and pair.loser in new]
    kept = [pair for pair in pairs if record.items[pair.winner] != record.items[pair.loser]]
    if len(kept) < len(pairs):
        reasons.append("the two responses are equal")
    if record.comparisons and not kept and not record.scores:
        return Sound(None, reasons, [])
    if not reasons:
        return Sound(record, [], odd)
    whole = replace(
        record,
        items=tuple(record.items[place] for place in good),
        comparisons=[pair._replace(winner=new[pair.winner], loser=new[pair.loser]) for pair in kept],
        scores={name: [values[place] for place in good] for name, values in record.scores.items()},
    )
    return Sound(whole, reasons, odd)


def _fault(item: TextItem, keep_empty: bool) -> str | None:
    texts = [item.response, *(message.content for message in item.prompt)]
    if not all(_has_no_surrogate(text) for text in texts):
        return "a text has a lone surrogate, which no tokenizer takes: repair it"
    if not any(text.strip() for text in texts):
        return "prompt and response are both empty"
    return None if keep_empty else next(iter(_empties(item)), None)


def _empties(item: TextItem) -> list[str]:
    response = [] if item.response.strip() else [EMPTY_RESPONSE]
    prompt = [EMPTY_PROMPT] if item.prompt and not any(turn.content.strip() for turn in item.prompt) else []
    return response + prompt


def _has_no_surrogate(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
