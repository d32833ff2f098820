"""Numbers that describe how a response is written, not how good it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from rmspace._checks import shown
from rmspace._typing import IntArray

__all__ = ["text_features"]

_LIST_ITEM = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+\S", re.MULTILINE)
_MARKDOWN = re.compile(
    r"^#{1,6}[ \t]+\S|^[ \t]*```|\*\*[^*\n]{1,200}\*\*|`[^`\n]{1,200}`|\[[^\]\n]{1,200}\]\([^)\n]{1,500}\)",
    re.MULTILINE,
)
_REFUSAL = re.compile(
    r"\b(?:i'm|i am|we're|we are) (?:very |so |really )?sorry\b|\bi (?:must |have to )?(?:apologi[sz]e|decline)\b"
    r"|\b(?:i'm|i am) (?:unable|not able) to\b|\bas an ai\b"
    r"|\bi (?:can't|cannot|can not|won't|will not) (?:help|assist|provide|answer|comply|fulfil|create|write|support"
    r"|engage|share|give|continue|do that)"
)
_BEGINNING = 150  # characters in which a refusal is sought


def text_features(texts: Sequence[str]) -> dict[str, IntArray]:
    """Measure how texts are written, for `bias_table` and as features of a bank.

    - length: characters;
    - words: parts between spaces;
    - list_items: lines that begin with a bullet or a number;
    - markdown: headings, fences of code, and bold, code or links in a line;
    - refusal: 1 where the first 150 characters have an English phrase of a refusal, such as "I cannot help". This is a
      guess by words: a text may have such a phrase and go on to answer.

    Args:
        texts: the responses.

    Returns:
        name -> int64 (n_texts,).

    Raises:
        TypeError: one text instead of several, or something that is no text.

    >>> found = text_features(["I'm sorry, I cannot help with that.", "# Plan\\n1. Buy **flour**\\n2. Bake"])
    >>> {name: values.tolist() for name, values in found.items()}
    {'length': [35, 31], 'words': [7, 7], 'list_items': [0, 2], 'markdown': [0, 2], 'refusal': [1, 0]}
    """
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise TypeError(f"texts must be a list of texts; got {shown(texts)}")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts must be texts; row {row} is {shown(text)}")
    measures = {
        "length": len,
        "words": lambda text: len(text.split()),
        "list_items": lambda text: len(_LIST_ITEM.findall(text)),
        "markdown": lambda text: len(_MARKDOWN.findall(text)),
        "refusal": _is_refusal,
    }
    return {name: np.array([measure(text) for text in texts], dtype=np.int64) for name, measure in measures.items()}


def _is_refusal(text: str) -> int:
    return int(_REFUSAL.search(text[:_BEGINNING].lower().replace("\u2019", "'")) is not None)
