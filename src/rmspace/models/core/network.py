"""The network of `MLPReward`: hidden products in the precision of the rows, weights and scores in float32."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rmspace.models.core.precision import bfloat16_gain


class HiddenLayer(nn.Linear):
    """Linear layer whose products have the precision of what comes in; its weights stay float32.

    Where bfloat16 products are slower than float32 ones, the rounded numbers are multiplied in float32 and the result
    is rounded: the same up to the order of sums, since bfloat16 hardware also adds in float32.
    """

    def forward(self, rows: Tensor) -> Tensor:
        """Multiply, (n, fan_in) -> (n, fan_out)."""
        if rows.dtype == torch.float32:
            return super().forward(rows)
        weight, bias = self.weight.to(rows.dtype), self.bias.to(rows.dtype)
        if bfloat16_gain(rows.device.type) >= 1:
            return linear(rows, weight, bias)
        return linear(rows.float(), weight.float(), bias.float()).to(rows.dtype)


class ScoreLayer(nn.Linear):
    """Last layer, always in float32: in bfloat16 a few thousand items would share their scores."""

    def forward(self, rows: Tensor) -> Tensor:
        """Score, (n, fan_in) -> (n, 1)."""
        return super().forward(rows.float())


def build_network(dim: int, hidden_sizes: Sequence[int], dropout: float, generator: torch.Generator) -> nn.Sequential:
    """Build dim -> hidden_sizes -> 1 with torch's own initial distribution, drawn from `generator`."""
    sizes = [dim, *hidden_sizes, 1]
    layers: list[nn.Module] = []
    for k, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        layer = nn.utils.skip_init(HiddenLayer if k < len(hidden_sizes) else ScoreLayer, fan_in, fan_out)
        bound = 1 / math.sqrt(fan_in)
        for parameter in (layer.weight, layer.bias):
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
        layers += [layer, nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers[:-2])
