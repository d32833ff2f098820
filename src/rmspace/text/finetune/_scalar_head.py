"""An encoder with one linear output: what TRL trains as a reward model."""

from __future__ import annotations

import copy
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from rmspace.text.encoders._pooling import pool


class ScalarHead(transformers.PreTrainedModel):
    """Token states -> one vector per text, pooled by the mask -> one number: reward = w . pool(states).

    The classifiers of transformers pool in their own ways, such as at the first token. This one pools as the encoder
    does, so that the trained encoder and w are an encoder and a linear reward model. There is no bias, because
    comparisons say nothing about it.

    Args:
        body: an encoder or decoder of transformers, without a head.
        pooling: "mean", "last" or "cls".
    """

    base_model_prefix = "body"
    supports_gradient_checkpointing = True
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True  # the body decides

    def __init__(self, body: Any, pooling: str) -> None:
        config = copy.deepcopy(body.config)  # the body keeps its own, which is saved with it
        config.num_labels = 1
        super().__init__(config)
        self.body, self.pooling = body, pooling
        self.score = nn.Linear(config.get_text_config().hidden_size, 1, bias=False, dtype=body.dtype)
        nn.init.normal_(self.score.weight, std=getattr(config, "initializer_range", 0.02))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> SequenceClassifierOutput:
        """Return the rewards as logits (n, 1) of texts, padded (n, length)."""
        states = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return SequenceClassifierOutput(logits=self.score(pool(states, attention_mask, self.pooling).to(states.dtype)))

    def get_input_embeddings(self) -> Any:
        """Return the embeddings of the tokens."""
        return self.body.get_input_embeddings()

    @property
    def weights(self) -> Tensor:
        """The weights w of the head, float64 (dim,)."""
        return self.score.weight.detach()[0].to("cpu", torch.float64)
