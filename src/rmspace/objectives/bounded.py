"""Objectives with a bounded part: its pull goes to 0 where the scores call a label wrong by far."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rmspace._checks import check_number
from rmspace.objectives._checks import gap_of

__all__ = ["generalized_cross_entropy", "symmetric_cross_entropy"]


def symmetric_cross_entropy(
    winner: Tensor, loser: Tensor, *, alpha: float = 1.0, beta: float = 1.0, floor: float = -4.0
) -> Tensor:
    """Bradley-Terry loss plus the reverse cross-entropy: -alpha log sigma(g) - beta floor sigma(-g), g = s_w - s_l.

    The reverse term swaps label and prediction, and reads the logarithm of a label of 0 as `floor`. It is bounded, and
    its slope goes to 0 where the scores call a label wrong by far.

    Args:
        winner, loser: scores (n_pairs,).
        alpha, beta: weights of the two terms, at least 0.
        floor: at most 0.

    Returns:
        Losses (n_pairs,); scores are fixed only up to a constant.

    Raises:
        ValueError: shapes that differ, an option out of range.

    Source: Wang et al., "Symmetric cross entropy for robust learning with noisy labels" (arXiv 1908.06112).

    >>> symmetric_cross_entropy(torch.tensor([0.0]), torch.tensor([0.0])).tolist()
    [2.693147]
    """
    gap = gap_of(winner, loser)
    alpha, beta = (check_number(name, value, low=0.0) for name, value in (("alpha", alpha), ("beta", beta)))
    return -alpha * logsigmoid(gap) - beta * check_number("floor", floor, high=0.0) * torch.sigmoid(-gap)


def generalized_cross_entropy(winner: Tensor, loser: Tensor, *, q: float = 0.5) -> Tensor:
    """Bounded loss between the Bradley-Terry loss and the absolute error: (1 - p^q) / q, p = sigma(s_w - s_l).

    It is at most 1 / q. q near 0 is the Bradley-Terry loss; q = 1 is 1 - p, the absolute error, on which equal shares
    of flipped labels do not change the best order. The loss is not convex: its curvature is negative where
    p < q / (1 + q). With q = 1 it is 0 at equal scores, so that trees do not start.

    Args:
        winner, loser: scores (n_pairs,).
        q: in [1e-6, 1].

    Returns:
        Losses (n_pairs,), in [0, 1 / q]; scores are fixed only up to a constant.

    Raises:
        ValueError: shapes that differ, q out of range.

    Source: Zhang and Sabuncu, "Generalized cross entropy loss" (arXiv 1805.07836), equation 6.

    >>> generalized_cross_entropy(torch.tensor([0.0, -1e4]), torch.tensor([0.0, 0.0]), q=1.0).tolist()
    [0.5, 1.0]
    """
    q = check_number("q", q, low=1e-6, high=1.0)
    return -torch.expm1(q * logsigmoid(gap_of(winner, loser))) / q
