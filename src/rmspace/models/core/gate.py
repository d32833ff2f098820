"""A gating network: from the embeddings of prompts to weights that sum to 1."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from torch import Tensor

from rmspace._typing import Float64Array
from rmspace.models.core.network import check_sizes


def gate_weights(prompts: Tensor, layers: Sequence[Tensor]) -> Tensor:
    """Return the gate weights (n, n_attributes) of prompts (n, width); `layers` are weights and biases in turn."""
    hidden = prompts
    for k in range(0, len(layers), 2):
        hidden = (hidden.tanh() if k else hidden) @ layers[k] + layers[k + 1]
    return hidden.softmax(dim=1)


def first_layers(
    width: int, hidden_sizes: Sequence[int], n_attributes: int, rng: np.random.RandomState | None
) -> list[Float64Array]:
    """Return the first weights and biases: equal gate weights; hidden layers are drawn, or 0 without an rng."""
    sizes = [width, *check_sizes(hidden_sizes), n_attributes]
    layers: list[Float64Array] = []
    for k, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        is_drawn = rng is not None and k < len(sizes) - 2
        weight = rng.normal(size=(fan_in, fan_out)) if is_drawn and rng is not None else np.zeros((fan_in, fan_out))
        layers += [weight / max(1.0, fan_in) ** 0.5, np.zeros(fan_out)]
    return layers
