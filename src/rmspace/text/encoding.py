"""Encoders from other things: a model of sentence-transformers, a function, or a description."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from rmspace.kinds import Encoder
from rmspace.text.descriptions import check_same
from rmspace.text.encoders.function import FunctionEncoder
from rmspace.text.encoders.sentence_transformers import SentenceTransformersEncoder

__all__ = ["as_encoder", "encoder_from"]

_KINDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "transformers": ("transformers", "TransformersEncoder"),
        "endpoint": ("endpoint", "EndpointEncoder"),
        "function": ("function", "FunctionEncoder"),
        "sentence-transformers": ("sentence_transformers", "SentenceTransformersEncoder"),
    }
)


def as_encoder(value: Any, *, name: str | None = None, template: Literal["plain", "hh"] = "plain") -> Encoder:
    """Return an encoder: `value` itself, or one made of a model of sentence-transformers or of a function of texts.

    Args:
        value: an encoder, a `SentenceTransformer`, or a function from a list of texts to numbers (n, dim).
        name: of a function, see `FunctionEncoder`; its own name when None.
        template: for a model or a function.

    Raises:
        TypeError: something else, or a function without a name of its own.

    >>> def lengths(texts):
    ...     return [[len(text)] for text in texts]
    >>> as_encoder(lengths).describe()["name"].endswith("lengths")
    True
    """
    if hasattr(value, "describe") and hasattr(value, "encode"):
        return value
    if hasattr(value, "max_seq_length") and hasattr(value, "encode"):
        return SentenceTransformersEncoder(value, template=template)
    if not callable(value):
        advice = "; use rmspace.text.TransformersEncoder(...)" if isinstance(value, str) else ""
        raise TypeError(
            "an encoder must have describe and encode, be a model of sentence-transformers, or a function of a list "
            f"of texts; got {value!r}{advice}"
        )
    own = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
    if name is None and (own.endswith(".") or "<lambda>" in own):
        raise TypeError("a function without a name needs one, so that its embeddings can be told apart: name='...'")
    return FunctionEncoder(value, name=name or own, template=template)


def encoder_from(description: Mapping[str, Any], **options: Any) -> Encoder:
    """Make an encoder again from what its `describe` returned, and check that it is the same.

    Args:
        description: of an encoder of rmspace.
        options: what a description does not hold, such as `device`, `batch_size`, another place of the `model` or
            another `url`, `trust_remote_code`; `function=` or `model=` where the encoder was made of one.

    Raises:
        ValueError: the encoder that was found gives other embeddings: its files or its template changed.
        TypeError: a description of no encoder of rmspace, or one that needs an option.

    >>> count = FunctionEncoder(lambda texts: [[len(text)] for text in texts], name="length")
    >>> encoder_from(count.describe(), function=count.function)
    FunctionEncoder(name='length', template='plain')
    """
    kind = str(description.get("kind"))
    if kind not in _KINDS:
        raise TypeError(f"a description must be of {', '.join(_KINDS)}; got kind {kind!r}; make the encoder yourself")
    module, name = _KINDS[kind]
    found = getattr(importlib.import_module(f"rmspace.text.encoders.{module}"), name)
    try:
        encoder: Encoder = found.from_description(dict(description), **options)
    except KeyError as error:
        raise ValueError(f"the description of the encoder is damaged: it has no {error}") from error
    check_same(f"the description of the encoder {encoder!r}", description, encoder.describe())
    return encoder
