"""Items to the token ids that a model reads: rendered, tokenised, and cut where they are too long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from rmspace._typing import IntArray
from rmspace.text._bad_item import BadItem
from rmspace.text.notes import Note, clean_item
from rmspace.text.records import TextItem
from rmspace.text.templates import ChatTemplate, Rendered, Template
from rmspace.text.truncation import Limits, cut_parts, part_sizes

# As many texts are tokenised at a time, so that the tokens of long ones are not held all at once.
_TEXTS, _CHARACTERS = 256, 1 << 20


class Tokens:
    """A tokenizer with its template and limits.

    Args:
        tokenizer: of transformers.
        template: renders an item. A `ChatTemplate` writes the special tokens itself, so the tokenizer adds none.
        limits: how many tokens a text may have.
        n_known: number of ids that the model knows.
    """

    def __init__(self, tokenizer: Any, template: Template, limits: Limits, n_known: int) -> None:
        self.tokenizer, self.template, self.limits, self.n_known = tokenizer, template, limits, n_known
        self.adds_special = not isinstance(template, ChatTemplate)

    def __call__(self, items: Sequence[TextItem]) -> tuple[list[list[int]], IntArray]:
        """Return the ids of each item, at least one, and its notes.

        Raises:
            BadItem: an item that the template refuses, that has no tokens, or whose tokens the model does not know.
        """
        rows: list[list[int]] = []
        notes: list[int] = []
        for part in _blocks(items):
            rendered, changed = zip(*(self._render(k + len(rows), item) for k, item in enumerate(part)), strict=True)
            for (ids, note), other in zip(self._tokenise(rendered), changed, strict=True):
                filled, empty = self._check(len(rows), ids)
                rows.append(filled)
                notes.append(int(note | other | empty))
        return rows, np.array(notes, dtype=np.int64)

    def _render(self, place: int, item: TextItem) -> tuple[Rendered, Note]:
        cleaned, note = clean_item(item)
        try:
            return self.template(cleaned), note
        except ValueError as error:
            raise BadItem(place, str(error)) from error

    def _tokenise(self, rendered: Sequence[Rendered]) -> Iterator[tuple[list[int], Note]]:
        if not self.tokenizer.is_fast:  # it does not say which characters a token covers
            return (cut_parts(self._separate(one), self.limits) for one in rendered)
        found = self.tokenizer(
            [one.text for one in rendered],
            add_special_tokens=self.adds_special,
            return_attention_mask=False,
            return_token_type_ids=False,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            verbose=False,
        )
        columns = found["input_ids"], found["offset_mapping"], found["special_tokens_mask"]
        return (self._cut(one, *row) for one, *row in zip(rendered, *columns, strict=True))

    def _cut(
        self, rendered: Rendered, ids: list[int], offsets: list[tuple[int, int]], special: list[int]
    ) -> tuple[list[int], Note]:
        if len(ids) <= self.limits.length and self.limits.prompt is None:
            return ids, Note(0)
        edges = np.cumsum([0, *part_sizes(rendered, offsets, special)]).tolist()
        return cut_parts([ids[a:b] for a, b in pairwise(edges)], self.limits)

    def _separate(self, rendered: Rendered) -> list[list[int]]:
        """Tokenise the parts one by one; a token across two of them is then two tokens."""
        parts = [self.tokenizer.encode(text, add_special_tokens=False) if text else [] for text in rendered]
        if not self.adds_special:
            return [[], *parts]
        whole = self.tokenizer.build_inputs_with_special_tokens([-1])
        place = whole.index(-1)
        return [whole[:place], *parts[:3], parts[3] + whole[place + 1 :]]

    def _check(self, place: int, ids: list[int]) -> tuple[list[int], Note]:
        empty = Note(0)
        if not ids:
            stand_ins = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
            ids, empty = [one for one in stand_ins if one is not None][:1], Note.EMPTY
        if not ids:
            raise BadItem(place, "it has no tokens, and the tokenizer has no special token that can stand for it")
        if max(ids) >= self.n_known:
            raise BadItem(
                place,
                f"it has token {max(ids)}, but the model knows only {self.n_known}; the tokenizer is of another model",
            )
        return ids, empty


def _blocks(items: Sequence[TextItem]) -> Iterator[Sequence[TextItem]]:
    """Yield the items in their order, in blocks of at most `_TEXTS` texts and `_CHARACTERS` characters, or one text."""
    start, size = 0, 0
    for k, item in enumerate(items):
        length = sum(len(message.content) for message in item.messages)
        if k > start and (k - start == _TEXTS or size + length > _CHARACTERS):
            yield items[start:k]
            start, size = k, 0
        size += length
    if len(items):
        yield items[start:]
