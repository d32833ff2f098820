"""Checks of preferences as text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rmspace.data.finding import Finding, table_of
from rmspace.text.records import TextItem, digest

if TYPE_CHECKING:
    from rmspace.text.preferences import TextPreferences

_ASPECTS = ("instruction_following", "truthfulness", "honesty", "helpfulness")
_LOW = 2.0  # a mean rating from 1 to 5 that does not go with the highest overall score
_LENGTH_SHARE = 0.6
_SURE = 3.0  # standard errors
_NEXT_TURN = re.compile(r"\n ?(?:Human|Assistant|User) ?:|\n\nHuman\Z|<\|im_start\|>|<\|start_header_id\|>|\[INST\]")
_WORDS = 20  # of a response that is long enough to be cut


def findings(data: TextPreferences) -> pd.DataFrame:
    """Return one row per finding: columns check, severity (error, warning, note), n_found, n_checked, detail.

    Checks of comparisons: `contradictions` (A beat B, and B beat A), `repeated_comparisons`, `one_contains_the_other`,
    `length_decides` (the longer response wins more than 60% or less than 40%, by three standard errors). Ties are no
    contradictions, and they are not counted for the lengths.

    Checks of items: `empty_responses`, `next_turn_in_response` (a response goes on with "Human:" or another mark of a
    turn), `responses_cut_short` (more than half of the responses of 20 words or more end inside a sentence),
    `nul_characters`, `suspicious_overall_scores` (10 although the aspects are rated 2 or less on average, in the first
    release of UltraFeedback), `prompts_that_differ_in_spaces`.
    """
    items = [*_item_findings(data), *_score_findings(data), *_prompts(data)]
    return table_of([*_comparison_findings(data), *_length_findings(data), *items])


def _comparison_findings(data: TextPreferences) -> Iterator[Finding]:
    pairs, n = data.comparisons, len(data)
    decided = _decided(data)
    keys = pairs[:, 0] * len(data.items) + pairs[:, 1]
    turned = pairs[:, 1] * len(data.items) + pairs[:, 0]
    if against := int((np.isin(turned, keys[decided]) & decided).sum()):
        detail = "comparisons of which another says the opposite: A beat B, and B beat A"
        yield Finding("contradictions", "note", against, n, detail)
    if repeated := n - len(np.unique(keys)):
        detail = "comparisons that repeat an earlier one: the same winner and the same loser"
        yield Finding("repeated_comparisons", "note", repeated, n, detail)
    texts = [item.response.strip() for item in data.items] if n else []
    if contained := sum(bool(texts[a] and texts[b]) and _contains(texts[a], texts[b]) for a, b in pairs.tolist()):
        yield Finding("one_contains_the_other", "note", contained, n, "comparisons of a response with a part of it")


def _length_findings(data: TextPreferences) -> Iterator[Finding]:
    lengths = data.features["length"][data.comparisons[_decided(data)]]
    gap = lengths[:, 0] - lengths[:, 1]
    longer, n = int((gap > 0).sum()), int((gap != 0).sum())
    share = longer / n if n else 0.5
    if abs(share - 0.5) > max(_LENGTH_SHARE - 0.5, _SURE * 0.5 / max(n, 1) ** 0.5):
        detail = f"comparisons that the longer response won ({share:.0%}); compare models with length as a baseline"
        yield Finding("length_decides", "note", longer, n, detail)


def _item_findings(data: TextPreferences) -> Iterator[Finding]:
    n, seen = len(data.items), Counter(mark for item in data.items for mark in _marks(item))
    if empty := seen["empty"]:
        yield Finding("empty_responses", "note", empty, n, "responses that are empty or only white space")
    if turns := seen["turn"]:
        detail = "responses that go on with the next turn; cut them there before they are rated and embedded"
        yield Finding("next_turn_in_response", "warning", turns, n, detail)
    if 2 * seen["open"] > (long := seen["long"]):
        detail = (
            f"responses of {_WORDS} words or more that end inside a sentence: did their generator stop only at its "
            "limit of tokens?"
        )
        yield Finding("responses_cut_short", "warning", seen["open"], long, detail)
    if nul := seen["nul"]:
        yield Finding("nul_characters", "warning", nul, n, "items with the character NUL, which some tokenizers drop")


def _marks(item: TextItem) -> Iterator[str]:
    """Yield what is noted of one item."""
    text = item.response.strip()
    if not text:
        yield "empty"
    if _NEXT_TURN.search(item.response.rstrip()):
        yield "turn"
    if len(text.split()) >= _WORDS:
        yield "long"
        if text[-1].isalpha() or text[-1] in ",;":
            yield "open"
    if any("\0" in turn.content for turn in item.messages):
        yield "nul"


def _score_findings(data: TextPreferences) -> Iterator[Finding]:
    aspects = [data.features[name] for name in _ASPECTS if name in data.features]
    if "overall_score" in data.features and aspects:
        rated = ~np.isnan(aspects)
        total = np.where(rated, aspects, 0.0).sum(axis=0)
        low = (total <= _LOW * rated.sum(axis=0)) & rated.any(axis=0)
        if wrong := int((low & (data.features["overall_score"] == 10)).sum()):
            detail = f"responses with overall_score 10 whose aspects are rated {_LOW:g} or less on average"
            yield Finding("suspicious_overall_scores", "warning", wrong, len(data.items), detail)


def _prompts(data: TextPreferences) -> Iterator[Finding]:
    """Find prompts that are one prompt for a reader, but are kept apart as two."""
    groups: dict[str, set[str]] = {}  # by hashes, because there may be too many prompts to hold
    for item, group in zip(data.items, data.groups.tolist(), strict=True):
        if item.prompt:
            words = " ".join(f"{turn.role}: {turn.content}" for turn in item.prompt).split()
            groups.setdefault(digest(" ".join(words)), set()).add(str(group))
    if apart := sum(len(names) for names in groups.values() if len(names) > 1):
        n = len(np.unique(data.groups))
        detail = "prompts that equal another one except for white space; a split may part them"
        yield Finding("prompts_that_differ_in_spaces", "warning", apart, n, detail)


def _decided(data: TextPreferences) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    tie = data.columns.get("tie")
    return np.full(len(data), True) if tie is None else tie == 0


def _contains(a: str, b: str) -> bool:
    return a in b or b in a
