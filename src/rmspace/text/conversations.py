"""One prompt and one response, as texts or as messages, to the item that an encoder reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rmspace.text.records import Message, TextItem

Prompt = str | Sequence[Message | Mapping[str, Any]]
"""A text, which is one turn of the user, or the turns before the response."""
Response = str | Sequence[Message | Mapping[str, Any]]
"""A text, or the turns that follow the prompt; the assistant writes the last one."""


def item_of(prompt: Prompt, response: Response) -> TextItem:
    """Return the item of a prompt and a response.

    Turns of a response before its last one go to the prompt.

    Raises:
        TypeError: neither a text nor messages.
        ValueError: a message without a text, or a response whose last turn is not the assistant's.

    >>> item_of("2 + 2?", [{"role": "assistant", "content": "4"}])
    TextItem(prompt=(Message(role='user', content='2 + 2?'),), response='4')
    """
    turns = (Message("user", prompt),) if isinstance(prompt, str) else messages_of("prompt", prompt)
    if isinstance(response, str):
        return TextItem(turns, response)
    return conversation((*turns, *messages_of("response", response)))


def conversation(turns: Sequence[Message]) -> TextItem:
    """Return the item of a whole conversation, which the assistant ends.

    Raises:
        ValueError: it is empty, or another role ends it.
    """
    if not turns or turns[-1].role != "assistant":
        last = repr(turns[-1].role) if turns else "nothing"
        raise ValueError(f"the last turn of a response must be of the role 'assistant'; got {last}")
    return TextItem(tuple(turns[:-1]), turns[-1].content)


def messages_of(name: str, value: Any) -> tuple[Message, ...]:
    """Return a list of {"role", "content"} as messages; `name` names it in errors.

    Raises:
        TypeError: it is not a list of messages.
        ValueError: a message without a role or a text.
    """
    if isinstance(value, Mapping) or not isinstance(value, Sequence):
        raise TypeError(f"{name} must be a text or a list of messages {{role, content}}; got {type(value).__name__}")
    return tuple(_message(f"{name}[{k}]", one) for k, one in enumerate(value))


def _message(name: str, value: Any) -> Message:
    if not isinstance(value, Message | Mapping):
        raise TypeError(f"{name} must be a message {{role, content}}; got {type(value).__name__}")
    known = value._asdict() if isinstance(value, Message) else value
    for key in Message._fields:
        if not isinstance(known.get(key), str):
            raise ValueError(f"{name}.{key} must be a text; got {type(known.get(key)).__name__}")
    return Message(known["role"], known["content"])
