"""Scores for the rows of a file: which texts a row holds, and where its scores go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple

import numpy as np

from rmspace.text.conversations import conversation, item_of, messages_of
from rmspace.text.notes import count_notes
from rmspace.text.plain_rows import PlainRow
from rmspace.text.records import TextItem
from rmspace.text.reward import TextReward

_FORMS = "prompt and response; prompt and responses; prompt, chosen and rejected; or messages"


class Scored(NamedTuple):
    """One row with its scores, or why it has none."""

    line: int
    row: dict[str, Any]
    reason: str = ""


def score_rows(
    reward: TextReward, rows: Iterable[PlainRow], *, batch_size: int = 256, changed: Counter[str] | None = None
) -> Iterator[Scored]:
    """Score rows in their order, some at a time, so that a file is never held whole.

    A row gets `score` where it has one response, `scores` where it has `responses`, and `score_chosen` and
    `score_rejected` where it has those two. Where one row of a batch makes the encoder fail, only that row is left out.

    Args:
        reward: the reward model.
        rows: as `read_rows` gives them.
        batch_size: rows scored at a time.
        changed: receives how many texts were changed before they were scored, by `Note`.
    """
    source = iter(rows)
    while batch := list(islice(source, batch_size)):
        read = [_read(one) for one in batch]
        good = [one for one in read if not one.reason]
        scores = iter(_score_all(reward, [one.items for one in good], Counter() if changed is None else changed))
        for plain, one in zip(batch, read, strict=True):
            found = one.reason or next(scores)
            if isinstance(found, str):
                yield Scored(plain.line, {}, found)
            else:
                yield Scored(plain.line, {**plain.row, **_columns(one.names, found)})


class _Texts(NamedTuple):
    items: Sequence[TextItem]
    names: Sequence[str]
    """The column of each score; for one list of scores, its name alone."""
    reason: str = ""


def _read(plain: PlainRow) -> _Texts:
    """Return the texts of a row, or why it has none."""
    if plain.reason:
        return _Texts((), (), plain.reason)
    try:
        found = _items(plain.row)
    except (TypeError, ValueError) as error:
        return _Texts((), (), str(error))
    taken = [name for name in found.names if name in plain.row]
    return _Texts((), (), f"it has {' and '.join(taken)} already") if taken else found


def _items(row: dict[str, Any]) -> _Texts:
    prompt = row.get("prompt")
    if "response" in row and prompt is not None:
        return _Texts([item_of(prompt, row["response"])], ["score"])
    if isinstance(row.get("responses"), list) and prompt is not None:
        return _Texts([item_of(prompt, response) for response in row["responses"]], ["scores"])
    if "chosen" in row and "rejected" in row:
        items = [_whole(name, row[name]) if prompt is None else item_of(prompt, row[name]) for name in _PAIR]
        return _Texts(items, [f"score_{name}" for name in _PAIR])
    if "messages" in row:
        return _Texts([_whole("messages", row["messages"])], ["score"])
    raise ValueError(f"it must have {_FORMS}; it has {', '.join(map(repr, row)) or 'nothing'}")


_PAIR = ("chosen", "rejected")


def _whole(name: str, turns: Any) -> TextItem:
    if isinstance(turns, str):
        raise ValueError(f"{name} is a text, so the row must have its prompt")
    return conversation(messages_of(name, turns))


def _score_all(
    reward: TextReward, groups: Sequence[Sequence[TextItem]], changed: Counter[str]
) -> list[list[float] | str]:
    """Return the scores of each row, or why it has none; rows are scored alone only where they fail together."""
    try:
        found, notes = reward.score_items([item for group in groups for item in group])
    except (ValueError, FloatingPointError) as error:
        if len(groups) == 1:
            return [f"the reward model cannot score it ({error})"]
        return [one for group in groups for one in _score_all(reward, [group], changed)]
    changed.update(count_notes(notes))
    edges = np.cumsum([0, *map(len, groups)]).tolist()
    scores = found.tolist()
    return [scores[a:b] for a, b in pairwise(edges)]


def _columns(names: Sequence[str], scores: list[float]) -> dict[str, Any]:
    return {"scores": scores} if list(names) == ["scores"] else dict(zip(names, scores, strict=True))
