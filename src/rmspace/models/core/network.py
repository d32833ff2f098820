"""The network of `MLPReward`: hidden products in the precision of the rows, weights and scores in float32."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rmspace._checks import check_int, shown
from rmspace.models.core.precision import bfloat16_gain


class HiddenLayer(nn.Linear):
    """Linear layer that multiplies in the precision of its input; its weights stay float32.

    Where bfloat16 products are slower than float32 ones, the rounded numbers are multiplied in float32 and the result
    is rounded. The values are the same up to the order of sums, since bfloat16 hardware also adds in float32.
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


class RewardNetwork(nn.Sequential):
    """Hidden layers with ReLU and dropout between them, then a score: (n, dim) -> (n, 1)."""

    @property
    def dim(self) -> int:
        """Length of one input."""
        return self._layers()[0].in_features

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """Widths of the hidden layers."""
        return tuple(layer.out_features for layer in self._layers()[:-1])

    @property
    def dropout(self) -> float:
        """Share of hidden units dropped in training."""
        return next((layer.p for layer in self if isinstance(layer, nn.Dropout)), 0.0)

    def to_arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return the weights by name."""
        return {name: value.numpy(force=True) for name, value in self.state_dict().items()}

    @classmethod
    def from_arrays(
        cls, dim: int, hidden_sizes: Sequence[int], dropout: float, weights: Mapping[str, Tensor]
    ) -> RewardNetwork:
        """Build a network with these weights, ready to score."""
        network = build_network(dim, hidden_sizes, dropout, torch.Generator())
        network.load_state_dict(weights)
        network.eval()
        return network

    def _layers(self) -> list[nn.Linear]:
        return [layer for layer in self if isinstance(layer, nn.Linear)]


def check_sizes(hidden_sizes: object) -> tuple[int, ...]:
    """Return the widths of hidden layers as a tuple of integers of at least 1."""
    if isinstance(hidden_sizes, str) or not isinstance(hidden_sizes, Sequence | np.ndarray):
        advice = f"; for one layer give ({hidden_sizes},)" if isinstance(hidden_sizes, int) else ""
        raise TypeError(f"hidden_sizes must list integers, such as (1024, 512); got {shown(hidden_sizes)}{advice}")
    return tuple(check_int("hidden_sizes", size, low=1) for size in hidden_sizes)


def build_network(dim: int, hidden_sizes: Sequence[int], dropout: float, generator: torch.Generator) -> RewardNetwork:
    """Build dim -> hidden_sizes -> 1 with torch's own initial distribution, drawn from `generator`."""
    sizes = [dim, *hidden_sizes, 1]
    layers: list[nn.Module] = []
    for k, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        layer = nn.utils.skip_init(HiddenLayer if k < len(hidden_sizes) else ScoreLayer, fan_in, fan_out)
        bound = 1 / math.sqrt(fan_in)
        for parameter in (layer.weight, layer.bias):
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
        layers += [layer, nn.ReLU(), nn.Dropout(dropout)]
    return RewardNetwork(*layers[:-2])
