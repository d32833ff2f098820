"""Notes on embedded items: what an encoder had to change in a text before it could embed it."""

from __future__ import annotations

from enum import IntFlag

import numpy as np

from rmspace._typing import IntArray
from rmspace.text.records import Message, TextItem

__all__ = ["Note"]


class Note(IntFlag):
    """What was changed in the text of an item; 0 where nothing was.

    >>> [note.name for note in Note.PROMPT_CUT | Note.REPLACED]
    ['PROMPT_CUT', 'REPLACED']
    """

    PROMPT_CUT = 1
    """The prompt was cut."""
    REPLY_CUT = 2
    """The reply was cut at its end, because it did not fit even alone."""
    REPLACED = 4
    """Lone surrogates, which UTF-8 cannot hold, were replaced by U+FFFD."""
    EMPTY = 8
    """The text gave no tokens; a special token of the tokenizer stands for it."""


_WORDS = {
    Note.PROMPT_CUT: "prompts cut",
    Note.REPLY_CUT: "replies cut at their end",
    Note.REPLACED: "texts whose lone surrogates were replaced by U+FFFD",
    Note.EMPTY: "texts without a token, embedded as a special token",
}


def count_notes(notes: IntArray) -> dict[str, int]:
    """Return how many items have each note, by its name in small letters.

    >>> count_notes(np.array([0, 1, 3]))
    {'prompt_cut': 2, 'reply_cut': 1, 'replaced': 0, 'empty': 0}
    """
    return {str(note.name).lower(): int(np.count_nonzero(notes & note)) for note in Note}


def say_notes(notes: IntArray) -> str:
    """Return the counts as a phrase, "" where there is nothing to say.

    >>> say_notes(np.array([0, 1, 1]))
    'of 3 texts: 2 prompts cut'
    """
    found = {note: int(np.count_nonzero(notes & note)) for note in Note}
    said = "; ".join(f"{count:,} {_WORDS[note]}" for note, count in found.items() if count)
    return f"of {len(notes):,} texts: {said}" if said else ""


def clean(text: str) -> tuple[str, Note]:
    """Return a text that UTF-8 can hold, and whether it had to be changed.

    Two surrogates that together stand for one character become that character.

    >>> clean("a\\ud83d\\ude00") == ("a\\U0001f600", Note(0))
    True
    >>> clean("a\\ud83d") == ("a\\ufffd", Note.REPLACED)
    True
    """
    if text.isascii():
        return text, Note(0)
    try:
        text.encode("utf-8")
        return text, Note(0)
    except UnicodeEncodeError:
        decoded = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return decoded, Note.REPLACED if decoded.count("\ufffd") > text.count("\ufffd") else Note(0)


def clean_item(item: TextItem) -> tuple[TextItem, Note]:
    """Return an item whose texts UTF-8 can hold, and whether it had to be changed."""
    response, note = clean(item.response)
    turns = []
    for message in item.prompt:
        content, changed = clean(message.content)
        turns.append(Message(message.role, content))
        note |= changed
    return TextItem(tuple(turns), response), note
