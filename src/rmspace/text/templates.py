"""Templates: from the messages of an item to the one text that an encoder reads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from rmspace.text.records import Message, TextItem, digest


class Rendered(NamedTuple):
    """An item as text, in four parts: they can be cut apart, and joined they are the whole text."""

    prompt: str
    header: str
    """What leads from the prompt to the reply, such as a blank line or "Assistant: "."""
    reply: str
    tail: str = ""
    """What ends the reply, such as an end-of-turn token."""

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self)

    @property
    def reply_start(self) -> int:
        """The character where the reply starts."""
        return len(self.prompt) + len(self.header)


Template = Callable[[TextItem], Rendered]
Render = Callable[[Sequence[Mapping[str, str]], bool], str]
"""(messages, whether to end with the header of a reply) -> text, as a tokenizer's chat template does."""


def plain(item: TextItem) -> Rendered:
    r"""Join the turns by a blank line; roles are left out.

    >>> plain(TextItem((Message("user", "2 + 2?"),), "4")).text
    '2 + 2?\n\n4'
    """
    return Rendered(
        "\n\n".join(message.content for message in item.prompt), "\n\n" if item.prompt else "", item.response
    )


def hh(item: TextItem) -> Rendered:
    r"""Write the turns as the HH-RLHF transcripts do.

    >>> hh(TextItem((Message("user", "2 + 2?"),), "4")).text
    '\n\nHuman: 2 + 2?\n\nAssistant: 4'
    """
    turns = "".join(f"\n\n{_SPEAKERS.get(turn.role, turn.role.title())}: {turn.content}" for turn in item.prompt)
    return Rendered(turns, "\n\nAssistant: ", item.response)


_SPEAKERS = {"user": "Human", "assistant": "Assistant"}

TEMPLATES: Mapping[str, Template] = MappingProxyType({"plain": plain, "hh": hh})


def find_template(name: str) -> Template:
    """Return a template by name.

    Raises:
        ValueError: a name that is not in `TEMPLATES`.
    """
    if not isinstance(name, str) or name not in TEMPLATES:
        raise ValueError(f"template must be one of {', '.join(TEMPLATES)}; got {name!r}")
    return TEMPLATES[name]


def template_hash(name: str) -> str:
    """Return the SHA-256 of what a template of `TEMPLATES` makes of one conversation.

    >>> template_hash("plain") == template_hash("hh")
    False
    """
    return digest(find_template(name)(_SAMPLE))


_SAMPLE = TextItem((Message("system", "s"), Message("user", "u"), Message("assistant", "a"), Message("user", "v")), "r")


def opening(template: Template, prompt: tuple[Message, ...]) -> str:
    r"""Return the text of a prompt after which a model writes the reply.

    It does not end with a space, which would be a token that replies in a training text do not follow.

    >>> opening(hh, (Message("user", "2 + 2?"),))
    '\n\nHuman: 2 + 2?\n\nAssistant:'
    """
    if isinstance(template, ChatTemplate):
        return template.opening(prompt)
    rendered = template(TextItem(prompt, ""))
    return (rendered.prompt + rendered.header).rstrip(" ")


class ChatTemplate:
    """The chat template of a tokenizer, which runs in the sandbox that transformers gives it.

    The text is what the template writes for the conversation, system prompt included, without the white space that it
    writes after the reply: so the last token is the end of the turn, or the last one of the reply where the template
    marks no end.

    Args:
        render: applies the template.
        source: the text of the template, for its hash.
    """

    def __init__(self, render: Render, source: str) -> None:
        self._render = render
        self.hash = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
        self._last: tuple[tuple[Message, ...], tuple[str, str]] | None = None

    def __call__(self, item: TextItem) -> Rendered:
        """Render an item.

        Raises:
            ValueError: the template refuses the conversation.
        """
        try:
            whole = self._render(_messages(item), False)
            other, prompt = self._frame(item.prompt)
        except Exception as error:  # a template raises what it likes
            raise ValueError(
                f"the chat template refuses the conversation ({error}); its roles are "
                f"{', '.join(message.role for message in item.messages)}; use template='plain'"
            ) from error
        start = _common(whole, other)
        end = len(whole) - min(_common(whole[::-1], other[::-1]), len(whole) - start)
        first = min(_common(whole, prompt), start)
        return Rendered(whole[:first], whole[first:start], whole[start:end], whole[end:].rstrip())

    def opening(self, prompt: tuple[Message, ...]) -> str:
        """Return the text after which a model writes the reply.

        Raises:
            ValueError: the template refuses the conversation.
        """
        try:
            return self._render([message._asdict() for message in prompt], True)
        except Exception as error:  # a template raises what it likes
            raise ValueError(f"the chat template refuses the conversation ({error}); use template='plain'") from error

    def _frame(self, prompt: tuple[Message, ...]) -> tuple[str, str]:
        """Return the text with a reply that no data holds, and the text of the prompt alone; keep the last prompt's."""
        if self._last is None or self._last[0] != prompt:
            other = self._render(_messages(TextItem(prompt, _NO_REPLY)), False)
            self._last = prompt, (other, self._prompt_alone(prompt))
        return self._last[1]

    def _prompt_alone(self, prompt: tuple[Message, ...]) -> str:
        try:
            return self._render([message._asdict() for message in prompt], False)
        except Exception:  # many templates refuse to render nothing, or a prompt that ends with another role
            return ""


_NO_REPLY = "\U0010fffd"  # a character for private use


def _messages(item: TextItem) -> list[Mapping[str, str]]:
    return [message._asdict() for message in item.messages]


def _common(a: str, b: str) -> int:
    """Return the length of the common beginning of two texts."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[:middle] == b[:middle] else (low, middle - 1)
    return low
