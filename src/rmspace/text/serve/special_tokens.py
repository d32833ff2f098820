"""Prompts and replies out of text that was decoded with its special tokens."""

from __future__ import annotations

import re

from rmspace.text.records import Message, TextItem

_TOKEN = r"(?:<\|[^|<>\s]{1,40}\|>|</?s>|<(?:pad|eos|bos|unk|end_of_turn|start_of_turn)>|\[(?:PAD|CLS|SEP)\])"
_ANY, _LAST = re.compile(_TOKEN), re.compile(_TOKEN + r"\Z")
_LONGEST = 48
_CHATS = {
    "<|im_start|>": re.compile(r"<\|im_start\|>([^\n<]*)\n(.*?)(?:<\|im_end\|>|\Z)", re.DOTALL),
    "<|start_header_id|>": re.compile(
        r"<\|start_header_id\|>([^\n<]*)<\|end_header_id\|>\n\n(.*?)(?:<\|eot_id\|>|\Z)", re.DOTALL
    ),
}


def split_query(query: str, prompt: str) -> TextItem:
    r"""Return the item of a decoded prompt and answer.

    The response is the query after its prompt, without the special tokens at its end. Special tokens before the prompt,
    such as padding, are left out. A prompt that was written by a chat template in the form of ChatML or of Llama 3 is
    read back into its turns; any other prompt is one turn of the user, as it stands.

    Raises:
        ValueError: the query does not begin with its prompt, special tokens aside.

    >>> split_query("<s>2 + 2? 4</s><pad>", "2 + 2?")
    TextItem(prompt=(Message(role='user', content='2 + 2?'),), response=' 4')
    >>> chat = "<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n"
    >>> split_query(chat + "4<|im_end|>\n", chat)
    TextItem(prompt=(Message(role='user', content='2 + 2?'),), response='4')
    """
    start = query.find(prompt)
    if start < 0 or _ANY.sub("", query[:start]).strip():
        raise ValueError("the query must begin with its prompt, special tokens aside, and it does not")
    return TextItem(turns_of(prompt), without_end(query[start + len(prompt) :]))


def without_end(text: str) -> str:
    r"""Leave out the special tokens at the end of a text, and the white space after and between them.

    >>> without_end("4 <|im_end|>\n<|endoftext|>")
    '4 '
    >>> without_end("4\n")
    '4\n'
    """
    end = len(text)
    while True:
        tail = text[max(0, end - 2 * _LONGEST) : end]
        found = _LAST.search(bare := tail.rstrip(), max(0, len(bare) - _LONGEST)) if (bare := tail.rstrip()) else None
        if found is None:
            return text[:end]
        end -= len(tail) - found.start()


def turns_of(prompt: str) -> tuple[Message, ...]:
    """Return the turns of a prompt that a chat template wrote; any other prompt is one turn of the user."""
    for mark, turn in _CHATS.items():
        if mark in prompt and not _ANY.sub("", turn.sub("", prompt)).strip():
            turns = [Message(found[1].strip(), found[2].strip()) for found in turn.finditer(prompt)]
            if turns[-1] == Message("assistant", ""):  # the header of the reply
                turns.pop()
            return tuple(turns)
    return (Message("user", prompt),)
