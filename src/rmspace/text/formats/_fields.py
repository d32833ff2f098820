"""Values of a row, checked: each function raises `Unreadable` with the reason."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmspace.text.records import Comparison, Message, TextItem, Unreadable
from rmspace.text.transcripts import is_transcript, read_transcript

_ROLES = {"human": "user", "gpt": "assistant"}  # of the lists of {from, value}
_NO_NUMBER = {"", "n/a", "na", "nan", "none", "null"}
_TRUTH = {"true": True, "false": False}
_NEITHER = "is neither text nor a list"
_SHOWN = 30


def present(row: Mapping[str, Any], name: str) -> Any:
    """Return the value of a column that must be there and not null."""
    if row.get(name) is None:
        raise Unreadable(f"no column {name!r}")
    return row[name]


def text(row: Mapping[str, Any], name: str) -> str:
    """Return a text."""
    return as_text(present(row, name), name)


def number(row: Mapping[str, Any], name: str) -> float:
    """Return a number, also one written as text; NaN where the value is null, missing, or "N/A"."""
    return as_number(row.get(name), name)


def choice(row: Mapping[str, Any], name: str, allowed: Sequence[int]) -> int:
    """Return a whole number out of `allowed`."""
    found = as_number(present(row, name), name)
    if found not in allowed:
        raise Unreadable(f"{name} must be one of {', '.join(map(str, allowed))}: {shown(row[name])}")
    return int(found)


def listed(row: Mapping[str, Any], name: str) -> list[Any]:
    """Return a list, also one written as JSON text, as CSV files have it."""
    return as_list(present(row, name), name)


def conversations(row: Mapping[str, Any], name: str) -> list[str | tuple[Message, ...]]:
    """Return one or more responses or conversations: a text, messages, or a list of either."""
    value = present(row, name)
    if isinstance(value, str):
        return [value]
    several = as_list(value, name, _NEITHER)
    if not several:
        raise Unreadable(f"{name} has no responses")
    if isinstance(several[0], Mapping):
        return [messages(several, name)]
    return [part if isinstance(part, str) else messages(part, name) for part in several]


def prompt_of(value: Any, name: str = "prompt") -> tuple[Message, ...]:
    """Return the turns of a prompt: messages, a transcript that ends with "Assistant:", or a text of the user."""
    if not isinstance(value, str):
        return messages(value, name)
    if is_transcript(value):
        turns = read_transcript(value)
        return turns[:-1] if turns[-1].role == "assistant" and not turns[-1].content.strip() else turns
    return (Message("user", value),)


def items(prompt: Any, completions: Sequence[str | tuple[Message, ...]]) -> tuple[TextItem, ...]:
    """Return the items of a prompt, which None makes implicit: it is then what the completions begin with."""
    texts = [part for part in completions if isinstance(part, str)]
    if prompt is None and texts:
        if len(texts) < len(completions):
            raise Unreadable("chosen and rejected must both be text, or both be messages")
        cut = _common_words(texts)
        turns = prompt_of(texts[0][:cut]) if cut else ()
        return tuple(TextItem(turns, part[cut:]) for part in texts)
    turns = () if prompt is None else prompt_of(prompt)
    return tuple(
        TextItem(turns, part) if isinstance(part, str) else item(_joined(prompt, turns, part)) for part in completions
    )


def item(conversation: Sequence[Message]) -> TextItem:
    """Return the item of a whole conversation: the last message is the response."""
    *prompt, last = conversation
    if last.role != "assistant":
        raise Unreadable(f"the last message must be of the assistant: {last.role!r}")
    return TextItem(tuple(prompt), last.content)


def messages(value: Any, name: str) -> tuple[Message, ...]:
    """Return a list of {role, content} or {from, value} as messages."""
    turns = as_list(value, name, _NEITHER)
    if not turns:
        raise Unreadable(f"{name} has no messages")
    return tuple(_message(turn, name) for turn in turns)


def each_beats_each(n_chosen: int, n_rejected: int, **columns: Any) -> list[Comparison]:
    """Compare each of the first `n_chosen` items with each of those that follow."""
    losers = range(n_chosen, n_chosen + n_rejected)
    return [Comparison(winner, loser, columns) for winner in range(n_chosen) for loser in losers]


def shown_pair(strength: float, **columns: Any) -> Comparison:
    """Return a judgement of two items that were shown in their order: below 0 the first is better, 0 is a tie.

    >>> shown_pair(2.0)
    Comparison(winner=1, loser=0, columns={'tie': False, 'first': 1})
    """
    winner = int(strength > 0)
    return Comparison(winner, 1 - winner, {"tie": strength == 0, "first": winner, **columns})


def as_text(value: Any, name: str) -> str:
    """Return a value that must be a text."""
    if not isinstance(value, str):
        raise Unreadable(f"{name} is not text: {shown(value)}")
    return value


def as_number(value: Any, name: str) -> float:
    """Return a value that must be a number, or NaN for none."""
    if value is None or (isinstance(value, str) and value.strip().lower() in _NO_NUMBER):
        return math.nan
    try:
        found = float(_TRUTH.get(value.strip().lower(), value) if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        raise Unreadable(f"{name} is not a number: {shown(value)}") from None
    if math.isinf(found):
        raise Unreadable(f"{name} must be finite: {shown(value)}")
    return found


def as_list(value: Any, name: str, rule: str = "is not a list") -> list[Any]:
    """Return a value that must be a list; a text that begins with [ is read as JSON."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise Unreadable(f"{name} {rule}: {shown(value)}") from None
    if not isinstance(value, list | tuple | np.ndarray):
        raise Unreadable(f"{name} {rule}: {shown(value)}")
    return list(value)


def shown(value: Any) -> str:
    """Return a short form of a value; of a text only its kind and length, since it may be offensive."""
    if isinstance(value, str) and len(value) > _SHOWN:
        return f"a text of {len(value)} characters"
    if isinstance(value, str | int | float | bool) or value is None:
        return repr(value)
    return f"a {type(value).__name__}"


def _message(turn: Any, name: str) -> Message:
    if isinstance(turn, Message):
        return turn
    if not isinstance(turn, Mapping):
        raise Unreadable(f"{name} must list messages with role and content: {shown(turn)}")
    role, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
    if not isinstance(content, str) and isinstance(content, list | tuple):  # parts of one message
        content = "".join(
            as_text(part.get("text") if isinstance(part, Mapping) else part, "content") for part in content
        )
    if not isinstance(role, str) or not isinstance(content, str):
        raise Unreadable(f"{name} must list messages whose role and content are text")
    return Message(_ROLES.get(role, role), content)


def _joined(prompt: Any, turns: tuple[Message, ...], part: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return prompt and completion as one conversation; many sources repeat the prompt in the completion."""
    repeats = part[: len(turns)] == turns or (isinstance(prompt, str) and any(turn.role == "user" for turn in part))
    if not repeats and part[0] == turns[-1]:
        raise Unreadable(
            "chosen and rejected must have the whole prompt or nothing of it; they begin with a part of it"
        )
    return part if repeats else turns + part


def _common_words(texts: Sequence[str]) -> int:
    """Return how many characters the texts share at their beginning, in whole words, of which each has one more."""
    first, last = (part(text.rstrip() for text in texts) for part in (min, max))  # what these share, all share
    low, high = 0, min(len(first), len(last))
    while low < high:  # halves the interval, so that long texts are compared a few times only
        middle = (low + high + 1) // 2
        low, high = (middle, high) if first[:middle] == last[:middle] else (low, middle - 1)
    shared = first[:low]
    if not shared.strip():
        return 0
    return low if shared[-1].isspace() else low - len(shared.rsplit(None, 1)[-1])
