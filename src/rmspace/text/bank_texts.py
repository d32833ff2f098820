"""Which text of a file belongs to which row of a bank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rmspace._typing import IntArray
from rmspace.data.arrays import number_ids
from rmspace.data.bank import ResponseBank
from rmspace.data.finding import Finding
from rmspace.data.preferences import Preferences
from rmspace.text.preferences import TextPreferences

_ID = 16  # characters of the hash of a prompt; the banks of a build have more of them


class Matched(NamedTuple):
    """The texts of a file beside the rows of a bank."""

    rows: IntArray
    """(n_texts,) the row of each text, -1 where it has none."""
    known: npt.NDArray[np.bool_]
    """(n_texts,) whether the bank has the prompt of the text."""


def match_texts(data: ResponseBank | Preferences, texts: TextPreferences) -> Matched:
    """Find the row of each text, prompt by prompt.

    Prompts are matched by their ids, which are hashes of the prompts where the source has no ids; or by their order,
    where no id is the same and there are as many prompts. A prompt with another number of distinct responses than rows
    is not matched. The items of preferences are matched by their order.

    Raises:
        ValueError: nothing fits.

    >>> from rmspace.text import Record, records
    >>> texts = TextPreferences.from_records([Record(records.items_of("2 + 2?", ["4", "5"]))])
    >>> bank = ResponseBank(np.zeros((1, 2, 3), np.float32), prompt_ids=texts.groups[:1])
    >>> match_texts(bank, texts).rows.tolist()
    [0, 1]
    """
    n = len(texts.items)
    if isinstance(data, Preferences):
        if len(data.items) != n:
            raise ValueError(f"the {len(data.items)} items are not those of the file, which has {n}; give their file")
        return Matched(np.arange(n), np.full(n, True))
    rows, known = np.full(n, -1), np.full(n, False)
    parts = _items_by_prompt(texts)
    for prompt, name in enumerate(_names(data, parts)):
        items = parts.get(name)
        if items is None:
            continue
        known[items] = True
        if len(items) == data.counts[prompt]:
            rows[items] = np.arange(data.offsets[prompt], data.offsets[prompt + 1])
    if not (rows >= 0).any():
        raise ValueError(
            f"no prompt of the bank has its responses in the file ({known.sum()} of its {n} texts are of a prompt of "
            "the bank); give the file that the bank was made of"
        )
    return Matched(rows, known)


def missing_texts(data: ResponseBank | Preferences, matched: Matched) -> Iterator[Finding]:
    """Yield a finding for the rows of which the file has no text."""
    if without := len(data.items) - int((matched.rows >= 0).sum()):
        detail = "rows that were not compared with texts: equal responses to one prompt, or a prompt of another file"
        yield Finding("rows_without_texts", "note", without, len(data.items), detail)


def missing_prompts(matches: Sequence[Matched], texts: TextPreferences) -> Iterator[Finding]:
    """Yield a finding for the prompts of the file that none of the banks has."""
    groups = number_ids(texts.groups)
    known = np.any([matched.known for matched in matches], axis=0)
    n = int(groups.max()) + 1
    if missing := n - len(np.unique(groups[known])):
        detail = "prompts of the file that none of these banks has; were they skipped or lost in silence?"
        yield Finding("missing_prompts", "warning", missing, n, detail)


def _items_by_prompt(texts: TextPreferences) -> dict[str, IntArray]:
    numbers = number_ids(texts.groups)
    order = np.argsort(numbers, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)
    return {str(texts.groups[part[0]]): part for part in parts}


def _names(bank: ResponseBank, parts: Mapping[str, IntArray]) -> list[str]:
    """Return the name of each prompt among those of the texts."""
    ids = [str(each) for each in bank.prompt_ids.tolist()]
    names = [each if each in parts else each[:_ID] for each in ids]
    if not any(name in parts for name in names) and len(names) == len(parts):
        return list(parts)
    return names
