"""A model of sentence-transformers as an encoder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from rmspace._checks import check_int
from rmspace._typing import FloatArray, IntArray
from rmspace.text.encoders.function import check_rows
from rmspace.text.notes import Note, clean_item
from rmspace.text.records import TextItem
from rmspace.text.templates import Rendered, find_template, template_hash

__all__ = ["SentenceTransformersEncoder"]

_WORD = 32  # characters; a cut goes to the next white space that is as near as this


class SentenceTransformersEncoder:
    """A loaded model of sentence-transformers; pooling and normalisation are its own.

    A prompt is cut at its beginning where the text is too long, as by `TransformersEncoder`, but between words.

    Args:
        model: a `sentence_transformers.SentenceTransformer`.
        template: "plain" joins the turns by blank lines; "hh" writes "Human: " and "Assistant: ".
        batch_size: texts at once.

    >>> from sentence_transformers import SentenceTransformer  # doctest: +SKIP
    >>> encoder = SentenceTransformersEncoder(SentenceTransformer("all-MiniLM-L6-v2"))  # doctest: +SKIP
    """

    def __init__(self, model: Any, *, template: Literal["plain", "hh"] = "plain", batch_size: int = 32) -> None:
        self.model, self.template = model, template
        self.batch_size = check_int("batch_size", batch_size, low=1)
        self._render = find_template(template)

    def __repr__(self) -> str:
        return f"SentenceTransformersEncoder({self._names()}, template={self.template!r})"

    def describe(self) -> dict[str, Any]:
        """Return all that the embeddings depend on: the hashes of weights and tokenizer, the modules, the prompts."""
        return {
            "kind": "sentence-transformers",
            "weights_sha256": _weights_hash(self.model),
            "tokenizer_sha256": _tokenizer_hash(self.model),
            "modules": self._names(),
            "max_length": self.model.max_seq_length,
            "dim": getattr(self.model, "truncate_dim", None),
            "prompt": (self.model.prompts or {}).get(self.model.default_prompt_name),
            "template": self.template,
            "template_sha256": template_hash(self.template),
        }

    def encode(self, items: Sequence[TextItem], /) -> FloatArray:
        """Embed items: float32 (n, dim), in their order."""
        return self.encode_noted(items)[0]

    def encode_noted(
        self, items: Sequence[TextItem], done: Callable[[int], object] = lambda _: None
    ) -> tuple[FloatArray, IntArray]:
        """Embed items, and note what was changed in each: (float32 (n, dim), (n,) of `Note`)."""
        texts, notes = [], []
        for item in items:
            cleaned, changed = clean_item(item)
            text, cut = self._fit(self._render(cleaned))
            texts.append(text)
            notes.append(int(changed | cut))
        found = self.model.encode(texts, batch_size=self.batch_size, show_progress_bar=False, convert_to_numpy=True)
        done(len(texts))
        return check_rows(repr(self), np.asarray(found, dtype=np.float32), len(texts)), np.array(notes, dtype=np.int64)

    @classmethod
    def from_description(cls, description: dict[str, Any], **options: Any) -> SentenceTransformersEncoder:
        """Make the encoder that `describe` described, from its `model`; a description cannot hold it."""
        if "model" not in options:
            raise TypeError("the encoder is a model of sentence-transformers; give it: model=SentenceTransformer(...)")
        return cls(options.pop("model"), template=description["template"], **options)

    def _names(self) -> list[str]:
        return [type(module).__name__ for module in self.model]

    def _fit(self, rendered: Rendered) -> tuple[str, Note]:
        """Cut words from the beginning of the prompt until the text fits, or the prompt is gone."""
        limit = self.model.max_seq_length
        if limit is None or not getattr(self.model.tokenizer, "is_fast", False):
            return rendered.text, Note(0)
        note = Note(0)
        while (excess := len(self._offsets(rendered.text, special=True)) - limit) > 0 and rendered.prompt:
            spans = self._offsets(rendered.prompt, special=False)
            start = spans[excess][0] if excess < len(spans) else len(rendered.prompt)
            space = re.compile(r"\s").search(rendered.prompt, max(0, start - 1), start + _WORD)
            rendered = rendered._replace(prompt=rendered.prompt[max(1, space.start() if space else start) :])
            note |= Note.PROMPT_CUT
        return rendered.text, note | (Note.REPLY_CUT if excess > 0 else Note(0))

    def _offsets(self, text: str, *, special: bool) -> list[tuple[int, int]]:
        found = self.model.tokenizer(
            text, add_special_tokens=special, truncation=False, return_offsets_mapping=True, verbose=False
        )
        return found["offset_mapping"]


def _weights_hash(model: Any) -> str:
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        array = tensor.detach().cpu().contiguous()
        found.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        found.update(array.reshape(-1).view(_bytes()).numpy().data)
    return found.hexdigest()


def _bytes() -> Any:
    import torch

    return torch.uint8


def _tokenizer_hash(model: Any) -> str:
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        return f"not known ({type(model.tokenizer).__name__})"
    content = json.loads(backend.to_str())
    for setting in ("truncation", "padding"):  # encode sets these
        content.pop(setting, None)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
