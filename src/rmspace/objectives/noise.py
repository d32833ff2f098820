"""Objectives for labels of which some are wrong.

`forward_corrected` and `class_corrected` are likelihoods of noisy labels, so that values of their rates can be compared
by the loss on held-out comparisons. `label_smoothed` and `backward_corrected` mix the losses of both orders. Those of
the module `bounded` need no rate.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rmspace._checks import check_number
from rmspace.kinds import Objective
from rmspace.objectives._checks import check_each, check_marks, gap_of, in_both_orders
from rmspace.objectives.gap import bradley_terry

__all__ = ["backward_corrected", "class_corrected", "forward_corrected", "label_smoothed"]


def label_smoothed(
    winner: Tensor,
    loser: Tensor,
    *,
    smoothing: float = 0.1,
    objective: Objective = bradley_terry,
) -> Tensor:
    """Loss expected when a share of the labels is flipped: (1 - a) L(s_w, s_l) + a L(s_l, s_w), a = smoothing.

    Args:
        winner, loser: scores (n_pairs,).
        smoothing: a, in [0, 0.5).
        objective: L, any objective; it receives the columns that it names.

    Returns:
        Losses (n_pairs,).

    Raises:
        ValueError: shapes that differ, smoothing out of range.

    Source: E. Mitchell, "A note on DPO with noisy preferences" (2023), for L = Bradley-Terry.

    >>> label_smoothed(torch.tensor([0.0]), torch.tensor([0.0])).tolist()
    [0.6931471824645996]
    """
    share = check_number("smoothing", smoothing, low=0.0)
    if share >= 0.5:
        raise ValueError(f"smoothing must be below 0.5, where both orders cost the same; got {share:g}")
    given, flipped = in_both_orders(objective, winner, loser)
    return (1 - share) * given + share * flipped


def forward_corrected(winner: Tensor, loser: Tensor, *, rate: float | Tensor = 0.1) -> Tensor:
    """Negative log-likelihood of a Bradley-Terry label that was then flipped with probability e = rate.

        -log((1 - e) sigma(g) + e sigma(-g)),    g = s_w - s_l

    The loss is at most -log e: no single label weighs without bound. It is not convex, and its curvature is negative
    where the scores call a label wrong by far.

    Args:
        winner, loser: scores (n_pairs,).
        rate: e, in [0, 0.5): one number, or one per pair. Where the comparisons have a column `rate`, that column is
            used, for example with one rate for each annotator or subset.

    Returns:
        Losses (n_pairs,), in nats; scores are fixed only up to a constant.

    Raises:
        ValueError: shapes that differ, a rate out of range.

    Source: the forward correction of Patrini et al. (arXiv 1609.03683), theorem 2, for two classes.

    >>> forward_corrected(torch.tensor([0.0, 50.0]), torch.tensor([0.0, 0.0]), rate=0.2).exp().tolist()
    [2.0, 1.25]
    """
    gap = gap_of(winner, loser)
    e = torch.as_tensor(_rate(rate, gap), dtype=gap.dtype, device=gap.device)
    return -_log_mixed(gap, 1 - e, e)


def class_corrected(
    winner: Tensor,
    loser: Tensor,
    *,
    winner_class: Tensor,
    tie: Tensor | None = None,
    rate_0: float | Tensor = 0.1,
    rate_1: float | Tensor = 0.1,
) -> Tensor:
    """Negative log-likelihood of a Bradley-Terry label that was flipped at a rate that depends on the better item.

    Each comparison has one item of class 0 and one of class 1, told apart by something that the judgement does not
    change: the first and the second on the screen, the shorter and the longer, the model of each. Where the item of
    class c is truly better, a share e_c of the labels is wrong. A winner of class c has the loss

        -log((1 - e_c) sigma(g) + e_(1 - c) sigma(-g)),    g = s_w - s_l

    Args:
        winner, loser: scores (n_pairs,).
        winner_class: (n_pairs,) 0 or 1, the class of the item that won, a column of the comparisons.
        tie: (n_pairs,) True where neither won: the loss is the mean of both orders.
        rate_0, rate_1: e_0 and e_1, each at least 0, with a sum below 1: one number, or one per pair.
            `estimate_options` finds both.

    Returns:
        Losses (n_pairs,), in nats; scores are fixed only up to a constant.

    Raises:
        ValueError: shapes that differ, rates out of range, classes other than 0 and 1.

    Source: the forward correction of Patrini et al. (arXiv 1609.03683), theorem 2, for two classes.

    >>> first = torch.tensor([0, 1])
    >>> class_corrected(torch.zeros(2), torch.zeros(2), winner_class=first, rate_0=0.0, rate_1=0.5).exp().tolist()
    [1.3333333, 4.0]
    """
    gap = gap_of(winner, loser)
    e_0, e_1 = _class_rates(rate_0, rate_1, gap)
    is_1 = check_marks("winner_class", winner_class, gap)
    of_winner, of_loser = torch.where(is_1, e_1, e_0), torch.where(is_1, e_0, e_1)
    loss = -_log_mixed(gap, 1 - of_winner, of_loser)
    if tie is None or not (tied := check_marks("tie", tie, gap)).any():
        return loss
    other = -_log_mixed(-gap, 1 - of_loser, of_winner)
    return torch.where(tied, (loss + other) / 2, loss)


def backward_corrected(
    winner: Tensor, loser: Tensor, *, rate: float | Tensor = 0.1, objective: Objective = bradley_terry
) -> Tensor:
    """Loss whose mean over random flips at the rate e is that of the true labels.

        ((1 - e) L(s_w, s_l) - e L(s_l, s_w)) / (1 - 2 e)

    It has no lower bound: a model that can fit every label, such as boosted trees of many rounds, makes it as low as it
    likes. So does a linear one where, by chance, a smaller share than e of the labels is wrong, which is likely where
    pairs are far apart. Give such a model `forward_corrected`, or few rounds or a penalty.

    Args:
        winner, loser: scores (n_pairs,).
        rate: e, in [0, 0.5): one number, or one per pair. Where the comparisons have a column `rate`, that column is
            used.
        objective: L, any objective; it receives the columns that it names, the same for both orders.

    Returns:
        Losses (n_pairs,).

    Raises:
        ValueError: shapes that differ, a rate out of range.

    Source: Natarajan et al., "Learning with noisy labels" (2013), lemma 1; for preferences arXiv 2403.00409.

    >>> backward_corrected(torch.tensor([0.0]), torch.tensor([0.0]), rate=0.2).tolist()
    [0.693147]
    """
    e = _rate(rate, gap_of(winner, loser))
    given, flipped = in_both_orders(objective, winner, loser)
    return ((1 - e) * given - e * flipped) / (1 - 2 * e)


def _log_mixed(gap: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
    """Return log(right sigma(gap) + wrong sigma(-gap)), right above 0; exact, with its derivatives, at any gap."""
    some = wrong.clamp(min=torch.finfo(gap.dtype).tiny)
    ratio = (some / right).log()
    above = right.log() - logsigmoid(gap - ratio) + logsigmoid(gap)
    below = some.log() - logsigmoid(-gap + ratio) + logsigmoid(-gap)
    # the same number in two ways: each keeps its digits on one side
    mixed = torch.where(gap > 0, above, below)
    return torch.where(wrong == 0, right.log() + logsigmoid(gap), mixed)


def _rate(rate: float | Tensor, gap: Tensor) -> float | Tensor:
    """Return a rate of wrong labels, checked."""
    checked = check_each("rate", rate, gap, low=0.0)
    largest = checked if not isinstance(checked, Tensor) else float(checked.max()) if checked.numel() else 0.0
    if largest >= 0.5:
        raise ValueError(f"rate must be below 0.5, from where on labels say nothing of the order; got {largest:g}")
    return checked


def _class_rates(rate_0: float | Tensor, rate_1: float | Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rates of wrong labels where an item of class 0 is better, and where one of class 1 is."""
    first, second = (
        torch.as_tensor(check_each(name, rate, gap, low=0.0), dtype=gap.dtype, device=gap.device)
        for name, rate in (("rate_0", rate_0), ("rate_1", rate_1))
    )
    total = first + second
    if total.numel() and float(total.max()) >= 1:
        raise ValueError(
            f"rate_0 and rate_1 must have a sum below 1, from where on labels say nothing; got {float(total.max()):g}"
        )
    return first, second
