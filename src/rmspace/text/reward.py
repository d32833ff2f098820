"""A reward model of text: an encoder and the reward model that was fitted on its embeddings."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rmspace._checks import check_number, describe
from rmspace._typing import Float64Array, FloatArray, IntArray, PathLike
from rmspace.kinds import Encoder
from rmspace.text.conversations import Prompt, Response, item_of
from rmspace.text.notes import clean_item, say_notes
from rmspace.text.records import TextItem

__all__ = ["Best", "TextReward"]


@dataclass(frozen=True, slots=True)
class Best:
    """The best response to each prompt.

    >>> Best(np.array([1]), ["4"], np.array([0.5])).responses
    ['4']
    """

    index: IntArray
    """(n_prompts,) its place among the candidates; the first of those with the same score."""
    responses: list[Any]
    scores: Float64Array


class TextReward:
    """An encoder and a fitted reward model, which together score text.

    Args:
        encoder: what made the embeddings of the fit: it has `encode` and `describe`, as `TransformersEncoder`.
        model: a fitted reward model, or a pipeline that ends in one.
        temperature: what the model's scores are divided by. With the temperature of a calibration, the difference of
            two scores is the log-odds that the first response wins.

    Raises:
        TypeError: an encoder without `encode` and `describe`, or a model without `predict`.
        ValueError: a temperature that is not positive.

    >>> from rmspace import LinearReward
    >>> class Length:
    ...     def describe(self):
    ...         return {"kind": "length"}
    ...
    ...     def encode(self, items):
    ...         return np.array([[len(item.response), 1.0] for item in items], dtype=np.float32)
    >>> model = LinearReward().fit(np.array([[9.0, 1.0], [1.0, 1.0]]), np.array([[0, 1]]))
    >>> reward = TextReward(Length(), model)
    >>> reward.score(["2 + 2?", "3 + 3?"], ["4", "six"]).shape
    (2,)
    >>> reward.rank("2 + 2?", ["4", "four", "It is 4."]).tolist()
    [2, 1, 0]
    >>> reward.best_of(["2 + 2?"], [["4", "four"]]).responses
    ['four']
    """

    def __init__(self, encoder: Encoder, model: Any, *, temperature: float = 1.0) -> None:
        if missing := [name for name in ("encode", "describe") if not callable(getattr(encoder, name, None))]:
            raise TypeError(
                f"encoder must have {' and '.join(missing)}; got {type(encoder).__name__}; "
                "rmspace.text has encoders, and one for your own function"
            )
        if not callable(getattr(model, "predict", None)):
            raise TypeError(f"model must be a fitted reward model, with predict; got {type(model).__name__}")
        if check_number("temperature", temperature, low=0.0) == 0:
            raise ValueError("temperature must be positive; got 0")
        self.encoder, self.model, self.temperature = encoder, model, float(temperature)

    def __repr__(self) -> str:
        return f"TextReward({self.encoder!r}, {self.model!r}, temperature={self.temperature:g})"

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Response]) -> Float64Array:
        """Score responses: float64 (n,), higher is better.

        Args:
            prompts: n prompts, each a text or a list of messages {role, content}.
            responses: n responses, each a text or the messages that follow the prompt.

        Warns:
            UserWarning: texts that were changed, with how many: prompts that were cut, lone surrogates.

        Raises:
            TypeError, ValueError: as `item_of`; numbers of prompts and responses that differ; embeddings that the
                model was not fitted for.
        """
        check_list("prompts", prompts)
        check_list("responses", responses)
        if len(prompts) != len(responses):
            raise ValueError(f"each response needs its prompt; got {len(prompts)} prompts, {len(responses)} responses")
        scores, notes = self.score_items([item_of(*pair) for pair in zip(prompts, responses, strict=True)])
        if said := say_notes(notes):
            warnings.warn(f"texts were changed before they were scored; {said}", stacklevel=2)
        return scores

    def score_items(self, items: Sequence[TextItem]) -> tuple[Float64Array, IntArray]:
        """Score items: float64 (n,), in their order, and what was changed in each, (n,) of `Note`."""
        if not items:
            return np.empty(0), np.empty(0, dtype=np.int64)
        embeddings, notes = self._encode(items)
        if embeddings.ndim != 2 or len(embeddings) != len(items):
            raise ValueError(
                f"the encoder must return one row per item, ({len(items)}, dim); got {describe(embeddings)}"
            )
        scores = np.asarray(self.model.predict(embeddings), dtype=np.float64) / self.temperature
        if scores.shape != (len(items),) or not np.isfinite(scores).all():
            raise ValueError(f"the model must return one finite score per item; got {describe(scores)}")
        return scores, notes

    def rank(self, prompt: Prompt, responses: Sequence[Response]) -> IntArray:
        """Return the places of the responses, int64 (n,), best first; equal scores keep their order."""
        check_list("responses", responses)
        return order_of(self.score([prompt] * len(responses), responses))

    def best_of(self, prompts: Sequence[Prompt], candidates: Sequence[Sequence[Response]]) -> Best:
        """Choose the best of the candidates of each prompt; the numbers of candidates may differ.

        Raises:
            ValueError: a prompt without candidates, and as `score`.
        """
        check_list("prompts", prompts)
        check_list("candidates", candidates)
        if len(prompts) != len(candidates):
            raise ValueError(
                f"each prompt needs its candidates; got {len(prompts)} prompts, {len(candidates)} lists of candidates"
            )
        for k, some in enumerate(candidates):
            check_list(f"candidates[{k}]", some)
            if not some:
                raise ValueError(f"each prompt needs a candidate; candidates[{k}] is empty")
        sizes = [len(some) for some in candidates]
        repeated = [prompt for prompt, size in zip(prompts, sizes, strict=True) for _ in range(size)]
        scores = self.score(repeated, [response for some in candidates for response in some])
        parts = np.split(scores, np.cumsum(sizes)[:-1]) if sizes else []
        index = np.array([int(np.argmax(part)) for part in parts], dtype=np.int64)
        chosen = [some[k] for some, k in zip(candidates, index, strict=True)]
        return Best(index, chosen, np.array([part.max() for part in parts], dtype=np.float64))

    def preference_probability(
        self, prompts: Sequence[Prompt], first: Sequence[Response], second: Sequence[Response]
    ) -> Float64Array:
        """Return the probability, (n,), that the first response of each prompt wins: sigma(difference of scores)."""
        from scipy.special import expit

        return expit(self.score(prompts, first) - self.score(prompts, second))

    def _encode(self, items: Sequence[TextItem]) -> tuple[FloatArray, IntArray]:
        cleaned, replaced = zip(*map(clean_item, items), strict=True)
        notes = np.array(replaced, dtype=np.int64)
        if not hasattr(self.encoder, "encode_noted"):
            return np.asarray(self.encoder.encode(cleaned)), notes
        embeddings, noted = self.encoder.encode_noted(cleaned)
        return np.asarray(embeddings), notes | noted

    def save(self, folder: PathLike, *, overwrite: bool = False) -> None:
        """Write what the encoder is, and the model, as one folder for `load`; it appears whole or not at all.

        The encoder itself is not copied: the folder holds its description, with the hashes of its weights, tokenizer
        and template.

        Raises:
            FileExistsError: the folder exists, and `overwrite` is not set or it is no saved reward model of text.
            TypeError: a model that cannot be saved, or a description that JSON cannot hold.
        """
        from rmspace.text.reward_folder import write_reward

        description = self.encoder.describe()
        write_reward(folder, description, self.model, temperature=self.temperature, overwrite=overwrite)

    @classmethod
    def load(
        cls, folder: PathLike, *, encoder: Encoder | None = None, trusted: Sequence[str] = (), **options: Any
    ) -> TextReward:
        """Load what `save` wrote.

        The encoder is made again from its description, and must then be the saved one: the same weights, tokenizer,
        template, pooling and lengths.

        Args:
            folder: where it was saved.
            encoder: the encoder, in place of one made from the description: needed for own functions, and where the
                encoder's files lie elsewhere now. It is compared in the same way.
            trusted: as in `rmspace.load`.
            options: for the encoder that is made from the description, such as `model`, its place now, or `device`.
                The `url` of an encoder that is a server must be given: a folder must not decide where texts go.

        Raises:
            FileNotFoundError: there is no reward model of text at `folder`.
            ValueError: the folder is damaged, or the encoder differs from the saved one or cannot be made again; the
                message says what differs.
        """
        from rmspace.text.reward_folder import read_reward

        return cls(**read_reward(folder, encoder=encoder, trusted=trusted, options=options))


def order_of(scores: npt.ArrayLike) -> IntArray:
    """Return places by score, highest first; equal scores keep their order.

    >>> order_of([1.0, 2.0, 2.0]).tolist()
    [1, 2, 0]
    """
    return np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable").astype(np.int64)


def check_list(name: str, value: Any) -> None:
    """Raise TypeError where one text, or nothing that has an order, came in place of several.

    >>> check_list("prompts", "2 + 2?")
    Traceback (most recent call last):
    TypeError: prompts must be a list; got str; for one, write [prompt]
    """
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__len__") or not hasattr(value, "__getitem__"):
        single = name.partition("[")[0].removesuffix("s")
        raise TypeError(f"{name} must be a list; got {type(value).__name__}; for one, write [{single}]")
