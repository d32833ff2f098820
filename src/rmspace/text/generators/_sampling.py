"""Sampling in which each response has a seed of its own, so that it does not depend on what it is generated with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rmspace.text._extras import need
from rmspace.text.encoders._pooling import pad
from rmspace.text.replies import Reply, cut_at


class Sampler:
    """A causal language model with its settings.

    Args:
        model: of transformers, on its device.
        tokenizer: its tokenizer.
        pad_id: fills the batches on the left; it is masked.
        ends: ids of tokens that end a reply.
        temperature, top_p, max_new_tokens, stop: as in `TransformersGenerator`.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        pad_id: int,
        ends: Sequence[int],
        temperature: float,
        top_p: float,
        max_new_tokens: int,
        stop: Sequence[str],
    ) -> None:
        self.model, self.tokenizer, self.pad_id, self.ends = model, tokenizer, pad_id, list(ends)
        self.temperature, self.top_p, self.max_new_tokens, self.stop = temperature, top_p, max_new_tokens, stop
        # The settings that come with a model, such as a penalty for repetitions, are not asked for.
        self.model.generation_config = need("transformers").GenerationConfig(
            max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=pad_id, eos_token_id=self.ends or None
        )

    def __call__(self, rows: list[list[int]], seeds: Sequence[int]) -> list[Reply]:
        """Answer prompts that are given as token ids; where memory ends, in two halves."""
        try:
            with torch.inference_mode():
                made = self._generate(rows, seeds)
        except torch.OutOfMemoryError:
            if len(rows) == 1:
                raise
            half = len(rows) // 2
            return [*self(rows[:half], seeds[:half]), *self(rows[half:], seeds[half:])]
        return [self._reply(row) for row in made.tolist()]

    def _generate(self, rows: list[list[int]], seeds: Sequence[int]) -> Tensor:
        ids, mask = (tensor.to(self.model.device) for tensor in pad(rows, self.pad_id, "left"))
        numbers = np.stack([np.random.default_rng(seed).random(self.max_new_tokens) for seed in seeds])
        uniforms, width = torch.from_numpy(numbers), ids.shape[1]

        def choose(before: Tensor, scores: Tensor) -> Tensor:
            """Leave only the token that is drawn, so that the most likely one is this one."""
            drawn = draw(scores, uniforms[:, before.shape[1] - width].to(scores.device), self.temperature, self.top_p)
            return torch.full_like(scores, -torch.inf).scatter(1, drawn.unsqueeze(1), 0.0)

        def stopped(before: Tensor, _scores: Any, **_: Any) -> Tensor:
            texts = self.tokenizer.batch_decode(before[:, width:], skip_special_tokens=True)
            return torch.tensor([cut_at(text, self.stop)[1] for text in texts], device=before.device)

        found = need("transformers")
        made = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            logits_processor=found.LogitsProcessorList([choose]),
            stopping_criteria=found.StoppingCriteriaList([stopped] if self.stop else []),
        )
        return made[:, width:]

    def _reply(self, ids: list[int]) -> Reply:
        end = next((k for k, one in enumerate(ids) if one in self.ends), None)
        tokens = len(ids) if end is None else end
        text, found = cut_at(self.tokenizer.decode(ids[:end], skip_special_tokens=True), self.stop)
        return Reply(text.strip(), "length" if end is None and not found else "stop", tokens)


def draw(scores: Tensor, uniforms: Tensor, temperature: float, top_p: float) -> Tensor:
    """Draw one token per row by inverting the distribution function at a uniform number.

    The probabilities are softmax(scores / temperature), of the fewest tokens that together have at least `top_p`. At
    temperature 0 the most likely token is taken.

    Args:
        scores: (n, n_tokens).
        uniforms: (n,) in [0, 1).

    Returns:
        Ids of tokens (n,).

    Source: Holtzman et al. 2020, The Curious Case of Neural Text Degeneration (top-p).

    >>> scores = torch.tensor([[0.0, 0.0, 0.0, 0.0]]).expand(4, 4)
    >>> draw(scores, torch.tensor([0.0, 0.3, 0.6, 0.9]), 1.0, 1.0).tolist()
    [0, 1, 2, 3]
    """
    if temperature == 0:
        return scores.argmax(dim=-1)
    chances = (scores.double() / temperature).softmax(dim=-1)
    if top_p < 1:
        ordered, ids = chances.sort(dim=-1, descending=True, stable=True)
        kept = ordered.cumsum(dim=-1) - ordered < top_p
        chances = torch.zeros_like(chances).scatter(1, ids, ordered * kept)
    total = chances.cumsum(dim=-1)
    aim = uniforms.double() * (1 - 1e-12) * total[:, -1]  # below the total, whatever is rounded
    return (total <= aim.unsqueeze(-1)).sum(dim=-1)
