"""Objectives of the gap between the two scores of a comparison."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from rmspace.objectives._checks import check_each, check_marks, gap_of

__all__ = ["bradley_terry", "hinge", "margin_bradley_terry", "thurstone"]

# Above a gap of 9 the Thurstone loss is under 1e-18, and its exact derivatives overflow. Below -30 these lose their
# digits by cancellation; there, four terms of the tail's asymptotic series are exact to 1e-9.
_CERTAIN, _HOPELESS = 9.0, -30.0


def bradley_terry(winner: Tensor, loser: Tensor) -> Tensor:
    """Negative log-likelihood of Bradley and Terry: -log sigma(s_w - s_l).

    Args:
        winner, loser: scores (n_pairs,).

    Returns:
        Losses (n_pairs,), in nats; scores are fixed only up to a constant.

    Raises:
        ValueError: shapes that differ.

    Source: Bradley and Terry, Biometrika 39 (1952); as a reward model's loss see arXiv 2411.04991.

    >>> bradley_terry(torch.tensor([0.0, -1e4]), torch.tensor([0.0, 0.0])).tolist()
    [0.6931471824645996, 10000.0]
    """
    return -logsigmoid(gap_of(winner, loser))


def thurstone(winner: Tensor, loser: Tensor) -> Tensor:
    """Negative log-likelihood of Thurstone's case V: -log Phi(s_w - s_l).

    Args:
        winner, loser: scores (n_pairs,).

    Returns:
        Losses (n_pairs,), in nats; scores are fixed only up to a constant.

    Raises:
        ValueError: shapes that differ.

    Source: L. L. Thurstone, Psychological Review 34 (1927).

    >>> thurstone(torch.tensor([0.0]), torch.tensor([0.0])).tolist()
    [0.6931471824645996]
    """
    gap = gap_of(winner, loser)
    x = gap.clamp(max=_HOPELESS)
    tail = x**2 / 2 + torch.log(-x) + math.log(2 * math.pi) / 2 - torch.log1p(-(x**-2) + 3 * x**-4 - 15 * x**-6)
    return torch.where(gap > _HOPELESS, -torch.special.log_ndtr(gap.clamp(_HOPELESS, _CERTAIN)), tail)


def hinge(winner: Tensor, loser: Tensor, *, margin: float | Tensor = 1.0, tie: Tensor | None = None) -> Tensor:
    """Hinge loss of a ranking support-vector machine: max(0, margin - (s_w - s_l)).

    Its second derivative is 0, so `LightGBMReward` cannot use it.

    Args:
        winner, loser: scores (n_pairs,).
        margin: the gap above which the loss is 0, at least 0: one number, or one per pair. Where the comparisons have
            a column `margin`, that column is used.
        tie: (n_pairs,) True where neither won: half a win of each order. A tie has the margin 0 in a column of margins.

    Returns:
        Losses (n_pairs,); scores are fixed only up to a constant.

    Raises:
        ValueError: shapes that differ, a negative number, a column in which a tie has a margin.

    Source: Herbrich, Graepel and Obermayer, "Large margin rank boundaries for ordinal regression" (2000).

    >>> hinge(torch.tensor([2.0, 0.5]), torch.tensor([0.0, 0.0])).tolist()
    [0.0, 0.5]
    """
    return _beyond(margin, gap_of(winner, loser), tie, lambda rest: relu(-rest))


def margin_bradley_terry(
    winner: Tensor, loser: Tensor, *, margin: float | Tensor = 1.0, tie: Tensor | None = None
) -> Tensor:
    """Bradley-Terry loss that asks for a margin: -log sigma(s_w - s_l - margin).

    Args:
        winner, loser: scores (n_pairs,).
        margin: how far apart the scores should be, at least 0: one number, or one per pair. Where the comparisons have
            a column `margin`, that column is used.
        tie: (n_pairs,) True where neither won: half a win of each order. A tie has the margin 0 in a column of margins.

    Returns:
        Losses (n_pairs,), in nats; scores are fixed only up to a constant.

    Raises:
        ValueError: shapes that differ, a negative number, a column in which a tie has a margin.

    Source: Touvron et al., "Llama 2" (arXiv 2307.09288), section 3.2.2.

    >>> margin_bradley_terry(torch.tensor([1.0]), torch.tensor([0.0])).tolist()
    [0.6931471824645996]
    >>> margin_bradley_terry(torch.tensor([1.0, 3.0]), torch.zeros(2), margin=torch.tensor([1.0, 3.0])).tolist()
    [0.6931471824645996, 0.6931471824645996]
    """
    return _beyond(margin, gap_of(winner, loser), tie, lambda rest: -logsigmoid(rest))


def _beyond(margin: float | Tensor, gap: Tensor, tie: Tensor | None, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the loss of what a gap has beyond its margin; for a tie, its mean over both orders."""
    asked = check_each("margin", margin, gap, low=0.0)
    if tie is None or not (tied := check_marks("tie", tie, gap)).any():
        return loss(gap - asked)
    if isinstance(asked, Tensor) and (wrong := tied & (asked > 0)).any():
        raise ValueError(
            f"a tie has no margin: margin must be 0 where neither won; got {float(asked[wrong][0]):g}; set it to 0"
        )
    return torch.where(tied, (loss(gap - asked) + loss(-gap - asked)) / 2, loss(gap - asked))
