"""Prompts with several turns, as HelpSteer2 writes them in one text."""

from __future__ import annotations

import re

from rmspace.text.records import Message

_MARK = re.compile(r"\n?<extra_id_1>(User|Assistant)\n")


def turns_of(prompt: str) -> tuple[Message, ...]:
    """Return the turns of a prompt of HelpSteer2; the first, and often the only one, is the user's.

    >>> [message.role for message in turns_of("Hi\\n<extra_id_1>Assistant\\nHello\\n<extra_id_1>User\\n2 + 2?")]
    ['user', 'assistant', 'user']
    """
    first, *parts = _MARK.split(prompt)
    turns = zip(parts[::2], parts[1::2], strict=True)
    later = [Message(role.lower(), content) for role, content in turns]
    if later and later[-1].role == "assistant" and not later[-1].content.strip():  # the mark before the response
        later.pop()
    return (Message("user", first), *later) if first or not later else tuple(later)
