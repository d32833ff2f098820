"""Records: a prompt, its responses, and what is known of them, as text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = ["Comparison", "Message", "Record", "TextItem", "Unreadable"]

_JSON = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Unreadable(ValueError):
    """A row of a source that cannot be a record; the message is the reason, without the file and the line.

    Where the reason has two parts, "rule: what came", rows are counted by the first.

    >>> raise Unreadable("chosen is not text: 3")
    Traceback (most recent call last):
    rmspace.text.records.Unreadable: chosen is not text: 3
    """


class Message(NamedTuple):
    """One turn of a conversation.

    >>> Message("user", "Why is the sky blue?").role
    'user'
    """

    role: str
    """"system", "user", "assistant", or another role of the source."""
    content: str


class TextItem(NamedTuple):
    """One prompt-response pair: what one row of embeddings stands for.

    >>> item = TextItem((Message("user", "2 + 2?"),), "4")
    >>> [message.role for message in item.messages]
    ['user', 'assistant']
    """

    prompt: tuple[Message, ...]
    """The turns before the response; empty for a text without a prompt."""
    response: str
    """The last reply of the assistant."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The whole conversation."""
        return (*self.prompt, Message("assistant", self.response))


class Comparison(NamedTuple):
    """A judged pair of responses of one record.

    >>> Comparison(winner=1, loser=0, columns={"margin": 2.0}).columns["margin"]
    2.0
    """

    winner: int
    """Place in `Record.items`; with a tie, the response that was shown first."""
    loser: int
    columns: Mapping[str, Any] = _NOTHING
    """What is known of the judgement: weight, margin, tie, annotator, first (0: the winner was shown first, 1: the
    loser was), or any other column."""


@dataclass(frozen=True, slots=True)
class Record:
    """What one row of a source says: responses to a prompt, and judgements of them.

    Args:
        items: the responses, each with its prompt. Nearly always the prompt is the same for all of them; in a few
            sources two conversations part before the last reply.
        comparisons: judged pairs of `items`.
        scores: numbers per item by name, such as ratings; NaN where a rating is missing.
        group: the id of the prompt, where the source has one; None for the text of the prompt.
        subset: the part of the source; None where it has no parts.
        columns: what else the source says of the row, by name.

    >>> Record(items_of("2 + 2?", ["4", "5"]), comparisons=[Comparison(0, 1)]).group_id
    'e811b04f06c60130'
    """

    items: tuple[TextItem, ...]
    comparisons: Sequence[Comparison] = ()
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)
    group: str | None = None
    subset: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def group_id(self) -> str:
        """The id of the prompt: the one of the source, or 16 characters of a hash of the turns that the prompts share.

        Where they share none, the hash is of all the texts, because records without a prompt are not of one prompt.
        """
        if self.group is not None:
            return self.group
        shared: list[Message] = []
        for turns in zip(*(item.prompt for item in self.items), strict=False):
            if len(set(turns)) > 1:
                break
            shared.append(turns[0])
        return digest(shared or self.items)[:16]


def items_of(prompt: str | Sequence[Message], responses: Sequence[str]) -> tuple[TextItem, ...]:
    """Return the items of one prompt; a prompt of plain text is one turn of the user.

    >>> [item.response for item in items_of("2 + 2?", ["4", "5"])]
    ['4', '5']
    """
    turns = (Message("user", prompt),) if isinstance(prompt, str) else tuple(prompt)
    return tuple(TextItem(turns, response) for response in responses)


def digest(value: object) -> str:
    """Return the SHA-256 of items, messages or texts, as 64 hexadecimal digits.

    Equal texts have equal digests on every machine. A lone surrogate, which UTF-8 cannot hold, is hashed as the escape
    that JSON writes for it.

    >>> digest("a") == digest(["a"])
    False
    """
    return hashlib.sha256(_JSON.encode(value).encode()).hexdigest()
