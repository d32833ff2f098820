"""Conversations that a source writes as one text: "\\n\\nHuman: ...\\n\\nAssistant: ..."."""

from __future__ import annotations

import re

from rmspace.text.records import Message, Unreadable

__all__ = ["read_transcript"]

_MARK = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def read_transcript(text: str) -> tuple[Message, ...]:
    """Return the turns of a transcript; what stands before the first one is the message of the system.

    One space after the colon belongs to the mark. All other white space is kept, so the turns give the text back.

    Raises:
        Unreadable: no turn.

    Source: the files of Bai et al., Training a Helpful and Harmless Assistant (arXiv 2204.05862).

    >>> read_transcript("\\n\\nHuman: 2 + 2?\\n\\nAssistant: 4")
    (Message(role='user', content='2 + 2?'), Message(role='assistant', content='4'))
    """
    before, *parts = _MARK.split(text)
    if not parts:
        raise Unreadable("a transcript must have turns that begin with 'Human:' or 'Assistant:'")
    system = (Message("system", before),) if before.strip() else ()
    turns = zip(parts[::2], parts[1::2], strict=True)
    return (*system, *(Message(_ROLES[role], content.removeprefix(" ")) for role, content in turns))


def is_transcript(text: object) -> bool:
    """Say whether a value is a text that begins with a turn of the human and has one of the assistant.

    >>> is_transcript("\\n\\nHuman: 2 + 2?\\n\\nAssistant:"), is_transcript("Human: 2 + 2?")
    (True, False)
    """
    return isinstance(text, str) and text.lstrip().startswith("Human:") and "\n\nAssistant:" in text
