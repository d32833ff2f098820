"""Objectives for comparisons that may end in a tie.

Both are likelihoods of three outcomes: the first item wins, the second wins, neither wins. So a tie is a fact of its
own, not half a win of each order.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rmspace._checks import check_number
from rmspace.objectives._checks import check_marks, gap_of

__all__ = ["davidson", "rao_kupper"]


def rao_kupper(winner: Tensor, loser: Tensor, *, tie: Tensor | None = None, theta: float = 1.5) -> Tensor:
    """Negative log-likelihood of Rao and Kupper, where scores closer than a threshold often tie.

        P(w wins) = sigma(s_w - s_l - log theta),    P(tie) = 1 - P(w wins) - P(l wins)

    Of two equal items a share (theta - 1) / (theta + 1) ties. theta = 1 is Bradley-Terry.

    Args:
        winner, loser: scores (n_pairs,).
        tie: (n_pairs,) True where neither won, the column `tie` of the comparisons; None where there are no ties.
        theta: at least 1, and above 1 where there are ties.

    Returns:
        Losses (n_pairs,), in nats; scores are fixed only up to a constant.

    Raises:
        ValueError: shapes that differ, theta out of range, marks that are not True or False.

    Source: Rao and Kupper, "Ties in paired-comparison experiments", JASA 62 (1967).

    >>> rao_kupper(torch.zeros(2), torch.zeros(2), tie=torch.tensor([False, True]), theta=3.0).exp().tolist()
    [4.0, 2.0]
    """
    gap = gap_of(winner, loser)
    threshold = math.log(check_number("theta", theta, low=1.0))
    wins = -logsigmoid(gap - threshold)
    if tie is None or not (tied := check_marks("tie", tie, gap)).any():
        return wins
    if threshold == 0:
        raise ValueError("theta must be above 1 where there are ties; got 1, with which no pair ties")
    # P(tie) = (theta^2 - 1) P(w wins) P(l wins)
    return torch.where(tied, wins - logsigmoid(-gap - threshold) - math.log(theta**2 - 1), wins)


def davidson(winner: Tensor, loser: Tensor, *, tie: Tensor | None = None, nu: float = 1.0) -> Tensor:
    """Negative log-likelihood of Davidson, where the odds of a tie go with the geometric mean of both strengths.

        P(w wins) : P(tie) : P(l wins) = exp(g / 2) : nu : exp(-g / 2),    g = s_w - s_l

    Of two equal items a share nu / (2 + nu) ties. nu = 0 is Bradley-Terry.

    Args:
        winner, loser: scores (n_pairs,).
        tie: (n_pairs,) True where neither won, the column `tie` of the comparisons; None where there are no ties.
        nu: at least 0, and above 0 where there are ties.

    Returns:
        Losses (n_pairs,), in nats; scores are fixed only up to a constant.

    Raises:
        ValueError: shapes that differ, nu out of range, marks that are not True or False.

    Source: R. R. Davidson, "On extending the Bradley-Terry model to accommodate ties", JASA 65 (1970).

    >>> davidson(torch.zeros(2), torch.zeros(2), tie=torch.tensor([False, True]), nu=2.0).exp().tolist()
    [4.0, 2.0]
    """
    gap = gap_of(winner, loser)
    nu = check_number("nu", nu, low=0.0)
    if nu == 0:
        wins = -logsigmoid(gap)
    else:
        wins = torch.stack([torch.zeros_like(gap), -gap, math.log(nu) - gap / 2]).logsumexp(dim=0)
    if tie is None or not (tied := check_marks("tie", tie, gap)).any():
        return wins
    if nu == 0:
        raise ValueError("nu must be above 0 where there are ties; got 0, with which no pair ties")
    return torch.where(tied, wins + gap / 2 - math.log(nu), wins)
