"""A model of transformers for sequence classification as a gold: the usual form of a reward model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from rmspace._checks import check_int
from rmspace._typing import PathLike
from rmspace.text.encoders._text_model import TextModel, check_word, limits_of
from rmspace.text.encoders._tokens import Tokens
from rmspace.text.ratings import Ratings
from rmspace.text.records import TextItem

if TYPE_CHECKING:
    from rmspace.text.golds._heads import Heads

__all__ = ["ClassifierGold"]


class ClassifierGold:
    """A sequence-classification model as a gold: its one number, or some of its outputs by name.

    A text that is too long is cut in its prompt, so that the reply stays whole. Where the padding of a decoder is its
    end of text, the head still reads the last token of the text: each batch is filled with an id that it does not hold.

    Args:
        model: a folder with a model and its tokenizer, or the id of one on the Hugging Face hub; only safetensors
            weights are read. A model without a head is refused, because its head would be random numbers.
        attributes: names of the outputs to take, as the model's `id2label` has them; None for all of them.
        activation: of the outputs: "none", "sigmoid" (each by itself) or "softmax" (over all outputs of the model).
        template: as in `TransformersEncoder`.
        max_length: the most tokens of a text; None is the model's own limit.
        max_prompt: the most tokens of a prompt; None for all that fit.
        batch_size: the most texts at once.
        device, dtype, revision, trust_remote_code: as in `TransformersEncoder`.

    Raises:
        FileNotFoundError: no such folder or model.
        ValueError: a folder without weights in safetensors or without a tokenizer; an attribute that the model has not.

    >>> gold = ClassifierGold("OpenAssistant/reward-model-deberta-v3-large-v2")  # doctest: +SKIP
    >>> gold.rate([rm.text.items_of("2 + 2?", ["4", "5"])]).columns  # doctest: +SKIP
    {'': array([ 1.2, -3.4])}
    """

    def __init__(
        self,
        model: PathLike,
        *,
        attributes: Sequence[str] | None = None,
        activation: Literal["none", "sigmoid", "softmax"] = "none",
        template: Literal["auto", "chat", "plain", "hh"] = "auto",
        max_length: int | None = None,
        max_prompt: int | None = None,
        batch_size: int = 16,
        device: str = "auto",
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32",
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        check_word("activation", activation, ("none", "sigmoid", "softmax"))
        self.activation = activation
        self.batch_size = check_int("batch_size", batch_size, low=1)
        self._text_model = found = TextModel(
            str(model),
            "AutoModelForSequenceClassification",
            template=template,
            device=device,
            dtype=dtype,
            revision=revision,
            trust_remote_code=trust_remote_code,
        )
        self.limits = limits_of(max_length, max_prompt, "left", found.most, found.positions)
        self.outputs = _outputs(found.config, attributes)

    def __repr__(self) -> str:
        return f"ClassifierGold({self._text_model.model!r}, attributes={list(self.outputs)})"

    def describe(self) -> dict[str, Any]:
        """Return all that the rewards depend on; what stands under "about" is recorded, but not compared."""
        own = {"max_length": self.limits.length, "max_prompt": self.limits.prompt, "activation": self.activation}
        return {**self._text_model.describe(), **own, "outputs": dict(self.outputs)}

    def rate(self, groups: Sequence[Sequence[TextItem]], /) -> Ratings:
        """Rate the responses of each prompt.

        Raises:
            ValueError: an item that the template refuses, or that has no tokens.
        """
        tokens, heads = self._loaded
        rows, notes = tokens([item for group in groups for item in group])
        values = heads(rows, self.batch_size, self.activation)
        return Ratings({name: values[:, column] for name, column in self.outputs.items()}, notes=notes)

    @cached_property
    def _loaded(self) -> tuple[Tokens, Heads]:
        from rmspace.text.golds._heads import Heads

        found = self._text_model
        n_known = found.weights.get_input_embeddings().weight.shape[0]
        tokens = Tokens(found.tokenizer, found.template, self.limits, n_known)
        return tokens, Heads(found.weights, n_known, found.pad_id)


def _outputs(config: Any, attributes: Sequence[str] | None) -> dict[str, int]:
    """Return the column of each output to take; one without a choice is called ""."""
    labels = {str(name): int(column) for column, name in config.id2label.items()}
    if attributes is None:
        return labels if len(labels) > 1 else {"": 0}
    if (
        isinstance(attributes, str)
        or not attributes
        or (missing := [name for name in attributes if name not in labels])
    ):
        wrong = attributes if isinstance(attributes, str) or not attributes else ", ".join(missing)
        raise ValueError(f"attributes must be a list of outputs of the model, {', '.join(labels)}; got {wrong!r}")
    return {name: labels[name] for name in attributes}
