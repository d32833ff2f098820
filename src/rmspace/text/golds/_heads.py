"""Batches of tokens through a model with a classification head."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rmspace._typing import Float64Array
from rmspace.text.encoders._forward import batches
from rmspace.text.encoders._pooling import pad

_CPU_TOKENS, _GPU_TOKENS = 2048, 1 << 17


class Heads:
    """A sequence-classification model.

    The head of a decoder looks for the last token that is not the padding id of its config. So that no token of a text
    is taken for padding, the padding of a batch is an id that the batch does not hold. The places of an encoder may be
    counted from its own padding id, which it keeps; it pools at a fixed token, or by the mask.

    Args:
        model: of transformers, on its device.
        n_known: number of ids that it knows.
        pad_id: of an encoder.
    """

    def __init__(self, model: Any, n_known: int, pad_id: int) -> None:
        self.model, self.n_known, self.pad_id = model, n_known, pad_id
        self._is_decoder = hasattr(model, "score") or not hasattr(model, "classifier")

    def __call__(self, rows: list[list[int]], batch_size: int, activation: str) -> Float64Array:
        """Return the outputs (n, n_outputs) of texts given as token ids."""
        budget = _CPU_TOKENS if self.model.device.type == "cpu" else _GPU_TOKENS
        found = np.empty((len(rows), self.model.config.num_labels), dtype=np.float64)
        for batch in batches([len(row) for row in rows], batch_size, budget):
            with torch.inference_mode():
                found[batch] = _activated(self._logits([rows[k] for k in batch]), activation).cpu().numpy()
        return found

    def _logits(self, rows: list[list[int]]) -> Tensor:
        fill = self._unused(rows) if self._is_decoder else self.pad_id
        if self._is_decoder:
            self.model.config.get_text_config().pad_token_id = fill
        ids, mask = (tensor.to(self.model.device) for tensor in pad(rows, fill, "right"))
        return self.model(input_ids=ids, attention_mask=mask).logits

    def _unused(self, rows: list[list[int]]) -> int:
        """Return an id that no row holds."""
        held = {one for row in rows for one in row}
        return next(k for k in range(self.n_known - 1, -1, -1) if k not in held)


def _activated(logits: Tensor, activation: str) -> Tensor:
    values = logits.double()
    return values.sigmoid() if activation == "sigmoid" else values.softmax(-1) if activation == "softmax" else values
