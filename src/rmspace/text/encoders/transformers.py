"""Any language model of transformers as an encoder."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rmspace._checks import check_int
from rmspace._typing import FloatArray, IntArray, PathLike
from rmspace.text.encoders import _folder
from rmspace.text.encoders._text_model import TEMPLATE_NAMES, check_word, limits_of, place, template_of
from rmspace.text.encoders._tokens import Tokens
from rmspace.text.records import TextItem
from rmspace.text.templates import ChatTemplate, template_hash

if TYPE_CHECKING:
    from rmspace.text.encoders._forward import Forward

__all__ = ["TransformersEncoder"]


class TransformersEncoder:
    """A model of transformers, read at one layer and pooled to one vector per prompt-response pair.

    A text that is too long is cut in its prompt, so that the reply stays whole; `embed` counts what was cut. Texts are
    sorted by length into batches. The size of a batch changes an embedding by about 1e-7 and is not a part of what the
    embeddings depend on.

    Args:
        model: a folder with a model and its tokenizer, or the id of one on the Hugging Face hub. Only safetensors
            weights are read, because pickled ones can run code.
        pooling: "mean" over all tokens, "last" for the last one, "cls" for the first one. Padding is masked.
        layer: the layer whose states are pooled; -1 is the last, 0 the token embeddings.
        template: "chat" is the tokenizer's chat template, with the system prompt that it may add; "plain" joins the
            turns by blank lines; "hh" writes "Human: " and "Assistant: "; "auto" is "chat" where the tokenizer has
            one, else "plain". With "last", a chat text ends with the end of the turn, and any other text with what the
            tokenizer ends it with, or else with the last token of the reply.
        max_length: the most tokens of a text; None is the model's own limit.
        max_prompt: the most tokens of a prompt; None for all that fit.
        side: "left" cuts the beginning of a prompt, and a reply only if it alone is too long, at its end. "right"
            keeps the first `max_prompt` tokens of a prompt and cuts the reply at its end.
        normalize: scale each embedding to unit length.
        batch_size: the most texts at once; on a CPU a batch also has at most 2,048 tokens.
        device: "auto" is the GPU where there is one; else any name that torch knows.
        dtype: of the weights and products: "float32", "bfloat16", "float16", or "auto", which is bfloat16 where this
            machine multiplies it at least 1.5 times faster. float32 gives the same embeddings on every machine.
        padding_side: "right" or "left"; the embeddings are the same.
        revision: of a model on the hub.
        trust_remote_code: run Python code that comes with the model. Without it, nothing of the folder is run.

    Raises:
        FileNotFoundError: no such folder or model.
        ValueError: a folder without weights in safetensors, with weights missing, or without a tokenizer; an option
            that the model cannot follow.

    >>> encoder = TransformersEncoder("sentence-transformers/all-MiniLM-L6-v2")  # doctest: +SKIP
    >>> encoder.encode(rm.text.items_of("2 + 2?", ["4", "5"])).shape  # doctest: +SKIP
    (2, 384)
    """

    def __init__(
        self,
        model: PathLike,
        *,
        pooling: Literal["mean", "last", "cls"] = "mean",
        layer: int = -1,
        template: Literal["auto", "chat", "plain", "hh"] = "auto",
        max_length: int | None = None,
        max_prompt: int | None = None,
        side: Literal["left", "right"] = "left",
        normalize: bool = False,
        batch_size: int = 32,
        device: str = "auto",
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32",
        padding_side: Literal["right", "left"] = "right",
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        given = {"pooling": pooling, "template": template, "side": side, "dtype": dtype, "padding_side": padding_side}
        for name, value in given.items():
            check_word(name, value, _WORDS[name])
        self._options = given | {"layer": layer, "max_prompt": max_prompt, "normalize": normalize, "device": device}
        self._options |= {"batch_size": batch_size, "trust_remote_code": trust_remote_code}
        self.model, self.revision = str(model), revision
        self.pooling, self.normalize = pooling, bool(normalize)
        self.batch_size = check_int("batch_size", batch_size, low=1)
        self._folder = _folder.find_folder(self.model, revision, code=trust_remote_code)
        self.padding_side, self._code = padding_side, trust_remote_code
        self._tokenizer = _folder.load_tokenizer(self._folder, code=trust_remote_code)
        config = _folder.load_config(self._folder, code=trust_remote_code)
        self._device, self._precision, self.dtype = place(device, dtype)
        self.layer = _check_layer(layer, config)
        self.limits = limits_of(
            max_length, max_prompt, side, *_folder.most_tokens(self._folder, config, self._tokenizer)
        )
        self.template, self._template = template_of(template, self._tokenizer)
        chat = self._template
        self.template_hash = chat.hash if isinstance(chat, ChatTemplate) else template_hash(self.template)
        self._warn_of_another_pooling()

    def __repr__(self) -> str:
        return (
            f"TransformersEncoder({self.model!r}, pooling={self.pooling!r}, layer={self.layer}, "
            f"template={self.template!r}, max_length={self.limits.length})"
        )

    def describe(self) -> dict[str, Any]:
        """Return all that the embeddings depend on; what stands under "about" is recorded, but not compared.

        The hashes of the weights and the tokenizer say which model it is, so its name is under "about", with the
        versions of the libraries: another version of them changes an embedding by less than a batch does.
        """
        at = str(self._folder.absolute()) if Path(self.model).is_dir() else self.model
        return {
            "kind": "transformers",
            **_folder.hashes(self._folder),
            "template": self.template,
            "template_sha256": self.template_hash,
            "pooling": self.pooling,
            "layer": self.layer,
            "normalize": self.normalize,
            "max_length": self.limits.length,
            "max_prompt": self.limits.prompt,
            "side": self.limits.side,
            "dtype": self.dtype,
            "about": {
                "model": at,
                "revision": self.revision,
                **{name: version(name) for name in ("torch", "transformers", "tokenizers")},
            },
        }

    def encode(self, items: Sequence[TextItem], /) -> FloatArray:
        """Embed items: float32 (n, dim), in their order.

        Raises:
            ValueError: an item that the template refuses, or an embedding that is not finite.
        """
        return self.encode_noted(items)[0]

    def encode_noted(
        self, items: Sequence[TextItem], done: Callable[[int], object] = lambda _: None
    ) -> tuple[FloatArray, IntArray]:
        """Embed items, and note what was changed in each: (float32 (n, dim), (n,) of `Note`).

        Args:
            items: the items.
            done: called after each batch with the number of its texts.
        """
        tokens, forward = self._loaded
        rows, notes = tokens(items)
        if not rows:
            config: Any = forward.model.config
            return np.empty((0, config.hidden_size), dtype=np.float32), notes
        embeddings = forward(rows, self.batch_size, done)
        self._check_finite(embeddings)
        if self.normalize:
            embeddings /= np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
        return embeddings, notes

    def count_tokens(self, items: Sequence[TextItem], /) -> IntArray:
        """Return how many tokens the model reads of each item (n,), after the cut of those that are too long."""
        return np.array([len(row) for row in self._loaded[0](items)[0]], dtype=np.int64)

    @property
    def folder(self) -> Path:
        """The folder of the model and its tokenizer."""
        return self._folder

    def load(self) -> tuple[Tokens, Any]:
        """Return what makes the tokens of items, and the model, which later calls share."""
        tokens, forward = self._loaded
        return tokens, forward.model

    def with_model(self, model: PathLike, *, revision: str | None = None, **options: Any) -> TransformersEncoder:
        """Return an encoder of another model, or of a new copy of this one, with the same options and lengths.

        Args:
            model, revision: as in the class.
            options: of the class, which take the place of this encoder's.
        """
        return type(self)(model, revision=revision, **{**self._options, "max_length": self.limits.length, **options})

    @classmethod
    def from_description(cls, description: dict[str, Any], **options: Any) -> TransformersEncoder:
        """Make the encoder that `describe` described; `options` may give the model another place or device."""
        names = ("pooling", "layer", "template", "normalize", "max_length", "max_prompt", "side", "dtype")
        about = {name: description["about"][name] for name in ("model", "revision")}
        given = {**about, **{name: description[name] for name in names}, **options}
        return cls(given.pop("model"), **given)

    @cached_property
    def _loaded(self) -> tuple[Tokens, Forward]:
        """Load the weights: only here, since texts that a folder holds already need none."""
        from rmspace.text.encoders._forward import Forward

        model = _folder.load_model(self._folder, self._precision, code=self._code).to(self._device)
        tokens = Tokens(self._tokenizer, self._template, self.limits, model.get_input_embeddings().weight.shape[0])
        ids = (self._tokenizer.pad_token_id, model.config.pad_token_id, 0)
        pad_id = next(i for i in ids if i is not None)
        return tokens, Forward(model, pooling=self.pooling, layer=self.layer, pad_id=pad_id, side=self.padding_side)

    def _check_finite(self, embeddings: FloatArray) -> None:
        bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
        if not len(bad):
            return
        from rmspace.text.encoders._forward import bad_weights

        names = bad_weights(self._loaded[1].model)
        reason = f"its weights are not: {', '.join(names[:3])}" if names else f"{self.dtype} overflows: use 'float32'"
        raise ValueError(f"embeddings must be finite; {self.model} gives {len(bad)} that are not, and {reason}")

    def _warn_of_another_pooling(self) -> None:
        own = _folder.own_pooling(self._folder)
        if own is not None and own != self.pooling:
            warnings.warn(
                f"{self.model} was trained with pooling={own!r}, and is used with {self.pooling!r}", stacklevel=3
            )


_WORDS: dict[str, tuple[str, ...]] = {
    "pooling": ("mean", "last", "cls"),
    "template": TEMPLATE_NAMES,
    "side": ("left", "right"),
    "dtype": ("auto", "float32", "bfloat16", "float16"),
    "padding_side": ("right", "left"),
}


def _check_layer(layer: int, config: Any) -> int:
    n = config.get_text_config().num_hidden_layers
    check_int("layer", layer, low=-n - 1, high=n)
    return layer - n - 1 if layer >= 0 else layer
