"""Objectives for labels that are probabilities."""

from __future__ import annotations

from torch import Tensor

from rmspace.kinds import Objective
from rmspace.objectives._checks import check_column, gap_of, in_both_orders
from rmspace.objectives.gap import bradley_terry

__all__ = ["soft_labelled"]


def soft_labelled(
    winner: Tensor, loser: Tensor, *, probability: Tensor, objective: Objective = bradley_terry
) -> Tensor:
    """Loss of a label that is a probability p: p L(s_w, s_l) + (1 - p) L(s_l, s_w).

    Where L is a negative log-likelihood this is the cross-entropy from the label to the model. It equals two
    comparisons, one of each order, with the weights p and 1 - p.

    Args:
        winner, loser: scores (n_pairs,) of the items in column 0 and column 1; here neither has won.
        probability: (n_pairs,) in [0, 1], the column `probability` of the comparisons: that the item in column 0 is
            the better one, as a share of votes or the word of a judge.
        objective: L, any objective; it receives the columns that it names, the same for both orders.

    Returns:
        Losses (n_pairs,).

    Raises:
        ValueError: shapes that differ, a probability out of range.

    Source: the cross-entropy of arXiv 1706.03741, section 2.2.3, whose labels are distributions over both items.

    >>> import torch
    >>> soft_labelled(torch.tensor([1.0]), torch.tensor([0.0]), probability=torch.tensor([0.75])).tolist()
    [0.563262]
    """
    p = check_column("probability", probability, gap_of(winner, loser), low=0.0, high=1.0)
    first, second = in_both_orders(objective, winner, loser)
    return p * first + (1 - p) * second
