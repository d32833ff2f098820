"""Which text of a file belongs to which row of a bank, and which prompts of a file no bank has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rmspace._typing import IntArray
from rmspace.data.arrays import number_ids
from rmspace.data.bank import ResponseBank
from rmspace.data.finding import Finding
from rmspace.data.preferences import Preferences
from rmspace.text.formats._fields import items, present
from rmspace.text.preferences import TextPreferences
from rmspace.text.reading import read_records
from rmspace.text.records import Record, digest
from rmspace.text.row_files import Row
from rmspace.text.sources import open_source

_ID = 16  # characters of the hash of a prompt; the banks of a build have more of them


def match_texts(data: ResponseBank | Preferences, texts: TextPreferences) -> IntArray:
    """Return the row of each text (n_texts,), -1 where it has none.

    Prompts are matched by their ids, which are hashes of the prompts where the source has no ids; or by their order,
    where no id is the same and there are as many prompts. A prompt with another number of distinct responses than rows
    is not matched. The items of preferences are matched by their order.

    Raises:
        ValueError: nothing fits.

    >>> from rmspace.text import Record, records
    >>> texts = TextPreferences.from_records([Record(records.items_of("2 + 2?", ["4", "5"]))])
    >>> bank = ResponseBank(np.zeros((1, 2, 3), np.float32), prompt_ids=texts.groups[:1])
    >>> match_texts(bank, texts).tolist()
    [0, 1]
    """
    n = len(texts.items)
    if isinstance(data, Preferences):
        if len(data.items) != n:
            raise ValueError(f"the {len(data.items)} items are not those of the file, which has {n}; give their file")
        return np.arange(n)
    rows, n_known = np.full(n, -1), 0
    parts = _items_by_prompt(texts)
    for prompt, name in enumerate(_names(data, parts)):
        own = parts.get(name, rows[:0])
        n_known += len(own)
        if len(own) == data.counts[prompt]:
            rows[own] = np.arange(data.offsets[prompt], data.offsets[prompt + 1])
    if not (rows >= 0).any():
        raise ValueError(
            f"no prompt of the bank has its responses in the file ({n_known} of its {n} texts are of a prompt of the "
            "bank); give the file that the bank was made of"
        )
    return rows


def missing_texts(data: ResponseBank | Preferences, rows: IntArray) -> Iterator[Finding]:
    """Yield a finding for the rows of which the file has no text."""
    if without := len(data.items) - int((rows >= 0).sum()):
        detail = "rows that were not compared with texts: equal responses to one prompt, or a prompt of another file"
        yield Finding("rows_without_texts", "note", without, len(data.items), detail)


def read_prompt_ids(source: str) -> list[str]:
    """Return the id of each distinct prompt of a file: the start of its hash, as in banks whose source has no ids.

    Where the rows have a column `prompt`, it is all that is read of them.

    >>> import json, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = open(folder + "/a.jsonl", "w").write(json.dumps({"prompt": "2 + 2?"}))
    ...     read_prompt_ids(folder + "/a.jsonl")
    ['e811b04f06c60130']
    """
    rows = (row.value for row in open_source(source).rows if isinstance(row, Row))
    alone = "prompt" in next(rows, {})
    records = read_records(source, format=_prompt_alone if alone else None, verbose=False)
    return list(dict.fromkeys(digest(record.items[0].prompt)[:_ID] for record in records))


def missing_prompts(banks: Sequence[ResponseBank | Preferences], ids: Sequence[str]) -> Iterator[Finding]:
    """Yield a finding for the prompts that none of the banks has.

    Raises:
        ValueError: none of the prompts is in the banks.
    """
    held = (bank.prompt_ids if isinstance(bank, ResponseBank) else np.unique(bank.groups) for bank in banks)
    known = {str(each)[:_ID] for own in held for each in own.tolist()}
    missing = sum(each not in known for each in ids)
    if missing == len(ids):
        raise ValueError(
            f"none of the {missing} prompts is in the banks: give their file of prompts; banks with other ids than "
            "hashes of the prompts cannot be compared"
        )
    if missing:
        detail = "prompts of the file that none of these banks has; were they skipped or lost in silence?"
        yield Finding("missing_prompts", "warning", missing, len(ids), detail)


def _prompt_alone(row: Mapping[str, Any]) -> Record:
    return Record(items(present(row, "prompt"), ["?"]))


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
