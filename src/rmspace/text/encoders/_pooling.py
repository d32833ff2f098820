"""Token states to one embedding per text, by the mask and never by an id of a token."""

from __future__ import annotations

import torch
from torch import Tensor

POOLINGS = ("mean", "last", "cls")


def pool(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Return one vector per text, float32 (n, dim), from the states (n, length, dim) where the mask (n, length) is 1.

    "mean" averages over the tokens, "last" takes the last one and "cls" the first one; the padding may be on any side.

    >>> states = torch.tensor([[[1.0], [3.0], [9.0]], [[9.0], [5.0], [7.0]]])
    >>> mask = torch.tensor([[1, 1, 0], [0, 1, 1]])
    >>> [pool(states, mask, pooling).ravel().tolist() for pooling in POOLINGS]
    [[2.0, 6.0], [3.0, 7.0], [1.0, 5.0]]
    """
    if pooling == "mean":
        kept = mask.unsqueeze(-1)  # a state of padding may be NaN, so it is left out and not multiplied by 0
        return states.float().masked_fill(kept == 0, 0.0).sum(dim=1) / kept.sum(dim=1)
    order = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    place = (order * mask if pooling == "last" else mask).argmax(dim=1)
    return states[torch.arange(len(states), device=states.device), place].float()


def pad(rows: list[list[int]], pad_id: int, side: str) -> tuple[Tensor, Tensor]:
    """Return the token ids (n, longest) and their mask; what the padding is does not matter, because it is masked.

    >>> pad([[5, 6], [7]], 0, "left")[0].tolist()
    [[5, 6], [0, 7]]
    """
    length = max(map(len, rows))
    ids = torch.full((len(rows), length), pad_id, dtype=torch.int64)
    mask = torch.zeros((len(rows), length), dtype=torch.int64)
    for k, row in enumerate(rows):
        part = slice(0, len(row)) if side == "right" else slice(length - len(row), length)
        ids[k, part], mask[k, part] = torch.tensor(row, dtype=torch.int64), 1
    return ids, mask
