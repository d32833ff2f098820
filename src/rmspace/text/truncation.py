"""Where to cut a text that is longer than a model takes: in the prompt, so that the reply stays whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from rmspace.text.notes import Note
from rmspace.text.templates import Rendered

Side = Literal["left", "right"]


class Limits(NamedTuple):
    """How many tokens a text may have, and where it is cut."""

    length: int
    """The most tokens of the whole text, with those that the tokenizer and the template add."""
    prompt: int | None = None
    """The most tokens of the prompt; None for all that fit."""
    side: Side = "left"


class Cut(NamedTuple):
    """Which tokens of the prompt are kept, and how many of the reply."""

    prompt: slice
    reply: int
    note: Note


def find_cut(n_prompt: int, n_reply: int, n_fixed: int, limits: Limits) -> Cut:
    """Return what is kept of a prompt and a reply of so many tokens, beside `n_fixed` tokens that are always kept.

    On the left, the prompt loses its beginning until the text fits. A reply that does not even fit without its prompt
    loses its end. On the right, the prompt keeps its first tokens, and the reply loses its end.

    Raises:
        ValueError: the limit leaves no token for the reply.

    >>> find_cut(5, 3, 2, Limits(8))
    Cut(prompt=slice(2, 5, None), reply=3, note=<Note.PROMPT_CUT: 1>)
    >>> find_cut(5, 9, 2, Limits(8)).reply
    6
    >>> find_cut(5, 9, 2, Limits(8, prompt=4, side="right"))
    Cut(prompt=slice(0, 4, None), reply=2, note=<Note.PROMPT_CUT|REPLY_CUT: 3>)
    """
    free = limits.length - n_fixed
    most = n_prompt if limits.prompt is None else min(n_prompt, limits.prompt)
    if free < 1 or (limits.side == "right" and most >= free and n_reply):
        raise ValueError(
            f"max_length must leave tokens for the reply; {limits.length} tokens hold {n_fixed} of the template and "
            f"the tokenizer and {most if limits.side == 'right' else 0} of the prompt; raise max_length"
        )
    kept = most if limits.side == "right" else min(most, max(0, free - n_reply))
    reply = min(n_reply, free - kept)
    note = (Note.PROMPT_CUT if kept < n_prompt else Note(0)) | (Note.REPLY_CUT if reply < n_reply else Note(0))
    return Cut(slice(0, kept) if limits.side == "right" else slice(n_prompt - kept, n_prompt), reply, note)


def cut_parts(parts: Sequence[Sequence[int]], limits: Limits) -> tuple[list[int], Note]:
    """Cut a text whose tokens come as (beginning, prompt, header, reply, tail); only prompt and reply are cut.

    >>> cut_parts([[0], [1, 2, 3], [4], [5, 6], [9]], Limits(6))
    ([0, 3, 4, 5, 6, 9], <Note.PROMPT_CUT: 1>)
    """
    beginning, prompt, header, reply, tail = parts
    cut = find_cut(len(prompt), len(reply), len(beginning) + len(header) + len(tail), limits)
    return [*beginning, *prompt[cut.prompt], *header, *reply[: cut.reply], *tail], cut.note


def part_sizes(
    rendered: Rendered, offsets: Sequence[tuple[int, int]], special: Sequence[int]
) -> tuple[int, int, int, int, int]:
    """Return how many tokens are in (beginning, prompt, header, reply, tail), from the characters that each covers.

    A token that covers the end of one part and the start of the next belongs to the next, so that no character of the
    reply is cut with the prompt. The special tokens that a tokenizer adds are the beginning, and the end of the tail.

    >>> part_sizes(Rendered("ab", " ", "c"), [(0, 0), (0, 1), (1, 2), (2, 4), (0, 0)], [1, 0, 0, 0, 1])
    (1, 2, 0, 1, 1)
    """
    added = np.asarray(special, dtype=bool)
    n_lead = int(np.argmin(added)) if not added.all() else len(added)
    n_text = int(np.count_nonzero(~added))
    spans = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)[n_lead : n_lead + n_text]
    n_prompt = int(np.count_nonzero(spans[:, 1] <= len(rendered.prompt)))
    n_header = int(np.count_nonzero(spans[:, 1] <= rendered.reply_start)) - n_prompt
    n_tail = int(np.count_nonzero(spans[:, 0] >= rendered.reply_start + len(rendered.reply)))
    n_tail = min(n_tail, n_text - n_prompt - n_header)
    return n_lead, n_prompt, n_header, n_text - n_prompt - n_header - n_tail, len(added) - n_lead - n_text + n_tail
