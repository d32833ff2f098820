"""Objectives that read the two items of a comparison one by one."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from rmspace.objectives._checks import gap_of

__all__ = ["classification"]


def classification(winner: Tensor, loser: Tensor) -> Tensor:
    """Cross-entropy of a classifier that sees single items: -log sigma(s_w) - log sigma(-s_l).

    The winner is a row of class 1, the loser one of class 0, and the logit is the reward. Unlike the others, this
    objective fixes the constant.

    Args:
        winner, loser: scores (n_pairs,).

    Returns:
        Losses (n_pairs,), in nats, the sum over the two rows.

    Raises:
        ValueError: shapes that differ.

    Source: arXiv 2411.04991, where it is called the classification-based reward model.

    >>> import torch
    >>> classification(torch.tensor([0.0]), torch.tensor([0.0])).tolist()
    [1.3862943649291992]
    """
    gap_of(winner, loser)
    return -logsigmoid(winner) - logsigmoid(-loser)
