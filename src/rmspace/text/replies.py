"""Replies: what a generator answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Reply"]


class Reply(NamedTuple):
    """One response of a generator, without white space around it.

    >>> Reply("4").finish
    'stop'
    """

    text: str
    finish: str = "stop"
    """Why it ends: "stop" (the model or a stop string ended it), "length" (the limit was reached), or what a server
    says."""
    tokens: int | None = None
    """How many tokens were made, where that is known."""


def cut_at(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    r"""Return a text up to the first of some strings, and whether there is one.

    >>> cut_at("4.\n\nHuman: 3 + 3?", ["\n\nHuman", "?"])
    ('4.', True)
    """
    places = [place for each in stop if (place := text.find(each)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


def check_stop(stop: Sequence[str]) -> tuple[str, ...]:
    """Return stop strings; ValueError where one is empty, TypeError where they are no list of texts."""
    if isinstance(stop, str) or not all(isinstance(each, str) for each in stop):
        raise TypeError(f"stop must be a list of texts; got {stop!r}")
    if not all(stop):
        raise ValueError("stop must hold no empty text, because every response contains one")
    return tuple(stop)
