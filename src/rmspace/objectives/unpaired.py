"""Objectives for items that were called good or bad one by one.

The labels are the columns `winner_label` and `loser_label` of the comparisons; `rmspace.data.pointwise.pair_up` makes
comparisons of labelled items. A mark of a tie changes nothing here, because the labels say all.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rmspace._checks import check_number
from rmspace.objectives._checks import check_marks, check_unused_ties, gap_of

__all__ = ["good_or_bad", "kahneman_tversky"]


def good_or_bad(
    winner: Tensor,
    loser: Tensor,
    *,
    winner_label: Tensor,
    loser_label: Tensor,
    tie: Tensor | None = None,
) -> Tensor:
    """Logistic loss of two items with labels of their own: -log sigma(s) for a good one, -log sigma(-s) for a bad one.

    With a good winner and a bad loser it is `classification`.

    Args:
        winner, loser: scores (n_pairs,).
        winner_label, loser_label: (n_pairs,) True for good, columns of the comparisons.
        tie: not used.

    Returns:
        Losses (n_pairs,), in nats, the sum over both items; this objective fixes the constant.

    Raises:
        ValueError: shapes that differ, labels that are not True or False.

    Source: logistic regression, D. R. Cox, J. R. Stat. Soc. B 20 (1958).

    >>> import torch
    >>> good = torch.tensor([True])
    >>> good_or_bad(torch.tensor([1.0]), torch.tensor([1.0]), winner_label=good, loser_label=good).tolist()
    [0.626523]
    """
    gap = gap_of(winner, loser)
    check_unused_ties(tie, gap)
    loss = torch.zeros_like(gap)
    for name, scores, labels in (("winner_label", winner, winner_label), ("loser_label", loser, loser_label)):
        good = check_marks(name, labels, gap)
        loss = loss - logsigmoid(torch.where(good, scores, -scores))
    return loss


def kahneman_tversky(
    winner: Tensor,
    loser: Tensor,
    *,
    winner_label: Tensor,
    loser_label: Tensor,
    tie: Tensor | None = None,
    reference: float = 0.0,
    desirable: float = 1.0,
    undesirable: float = 1.0,
) -> Tensor:
    """Loss of KTO's form on scores: desirable sigma(z - s) for a good item, undesirable sigma(s - z) for a bad one.

    KTO takes z from the policy that it trains. A reward model has no policy, so z is a number that you give. The loss
    is bounded and not convex; an item that the scores call wrong by far pulls on them less. Its curvature at s = z is
    0, so that `LightGBMReward` finds no split where z is 0.

    Args:
        winner, loser: scores (n_pairs,).
        winner_label, loser_label: (n_pairs,) True for good, columns of the comparisons.
        tie: not used.
        reference: z, the score that counts as neither good nor bad.
        desirable, undesirable: weights of good and of bad items, at least 0.

    Returns:
        Losses (n_pairs,), the sum over both items; this objective fixes the constant.

    Raises:
        ValueError: shapes that differ, labels that are not True or False, a negative weight.

    Source: Ethayarajh et al., "KTO: Model alignment as prospect theoretic optimization" (arXiv 2402.01306).

    >>> import torch
    >>> good, bad = torch.tensor([True]), torch.tensor([False])
    >>> kahneman_tversky(torch.zeros(1), torch.zeros(1), winner_label=good, loser_label=bad, undesirable=3.0).tolist()
    [2.0]
    """
    gap = gap_of(winner, loser)
    check_unused_ties(tie, gap)
    z = check_number("reference", reference)
    good_weight = check_number("desirable", desirable, low=0.0)
    bad_weight = check_number("undesirable", undesirable, low=0.0)
    loss = torch.zeros_like(gap)
    for name, scores, labels in (("winner_label", winner, winner_label), ("loser_label", loser, loser_label)):
        good = check_marks(name, labels, gap)
        loss = loss + torch.where(good, good_weight * torch.sigmoid(z - scores), bad_weight * torch.sigmoid(scores - z))
    return loss
