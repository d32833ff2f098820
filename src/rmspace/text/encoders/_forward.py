"""Batches of tokens through a model: sorted by length, within a budget of tokens, and halved where memory ends."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rmspace._typing import FloatArray
from rmspace.text.encoders._pooling import pad, pool

_CPU_TOKENS = 2048  # a larger batch does not fit the caches of a processor, and is slower
_GPU_TOKENS = 1 << 17


class Forward:
    """A model with the way to read its token states.

    Args:
        model: an encoder or decoder of transformers, on its device.
        pooling: "mean", "last" or "cls".
        layer: the layer whose states are pooled; -1 is the last one and 0 the token embeddings.
        pad_id: fills the batches; it is masked.
        side: "right" or "left" padding.
    """

    def __init__(self, model: nn.Module, *, pooling: str, layer: int, pad_id: int, side: str) -> None:
        self.model, self.pooling, self.layer, self.pad_id, self.side = model, pooling, layer, pad_id, side
        self.device = next(model.parameters()).device
        takes_places = "position_ids" in inspect.signature(model.forward).parameters
        self._places = side == "left" and takes_places and not _counts_from_padding(model)

    def __call__(self, rows: list[list[int]], batch_size: int, done: Callable[[int], object]) -> FloatArray:
        """Embed texts given as token ids, none of them empty: float32 (n, dim), in their order."""
        parts: list[tuple[list[int], FloatArray]] = []
        for batch in batches([len(row) for row in rows], batch_size, self._budget):
            parts.append((batch, self._embed([rows[k] for k in batch])))
            done(len(batch))
        embeddings = np.empty((len(rows), parts[0][1].shape[1]), dtype=np.float32)
        for batch, part in parts:
            embeddings[batch] = part
        return embeddings

    @property
    def _budget(self) -> int:
        return _CPU_TOKENS if self.device.type == "cpu" else _GPU_TOKENS

    def _embed(self, rows: list[list[int]]) -> FloatArray:
        try:
            with torch.inference_mode():
                return self._pooled(rows).cpu().numpy()
        except torch.OutOfMemoryError:
            if len(rows) == 1:
                raise
        half = len(rows) // 2
        return np.concatenate([self._embed(rows[:half]), self._embed(rows[half:])])

    def _pooled(self, rows: list[list[int]]) -> Tensor:
        ids, mask = (tensor.to(self.device) for tensor in pad(rows, self.pad_id, self.side))
        options: dict[str, Any] = {"output_hidden_states": True} if self.layer != -1 else {}
        if self._places:
            options["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0)
        output = self.model(input_ids=ids, attention_mask=mask, **options)
        states = output.last_hidden_state if self.layer == -1 else output.hidden_states[self.layer]
        return pool(states, mask, self.pooling)


def batches(lengths: list[int], batch_size: int, budget: int) -> list[list[int]]:
    """Return the places of texts in batches of like lengths, the longest first, so that memory ends early or never.

    A batch has at most `batch_size` texts, and at most `budget` tokens with its padding, or one text.

    >>> batches([1, 5, 2, 4], batch_size=3, budget=8)
    [[1], [3, 2], [0]]
    """
    found: list[list[int]] = []
    for k in sorted(range(len(lengths)), key=lambda k: -lengths[k]):
        if found and len(found[-1]) < batch_size and lengths[found[-1][0]] * (len(found[-1]) + 1) <= budget:
            found[-1].append(k)
        else:
            found.append([k])
    return found


def bad_weights(model: nn.Module) -> list[str]:
    """Return the names of the weights that are not finite."""
    return [name for name, weight in model.named_parameters() if not bool(torch.isfinite(weight).all())]


def _counts_from_padding(model: nn.Module) -> bool:
    """Say whether a model works out the places of tokens from the id of the padding, as RoBERTa does."""
    return any(hasattr(module, "create_position_ids_from_input_ids") for module in model.modules())
