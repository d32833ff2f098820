"""An objective for pairs, ratings and labels in one fit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rmspace._checks import check_number, shown
from rmspace.objectives._checks import check_column, check_marks, gap_of

__all__ = ["mixture"]


def mixture(
    winner: Tensor,
    loser: Tensor,
    *,
    source: Tensor,
    winner_rating: Tensor,
    loser_rating: Tensor,
    winner_label: Tensor,
    loser_label: Tensor,
    tie: Tensor | None = None,
    beta: float = 1.0,
    threshold: float = 0.0,
    weights: Sequence[float] = (1.0, 1.0, 1.0),
) -> Tensor:
    """Loss of what is known of each row: a comparison, two ratings, or two labels, all of the same score s.

        source 0, a comparison:  -log sigma(beta (s_w - s_l)), and the mean of both orders for a tie
        source 1, two ratings:   ((s_w - r_w)^2 + (s_l - r_l)^2) / 2
        source 2, two labels:    -log sigma(beta (s - threshold)) for a good item, -log sigma(beta (threshold - s))
                                 for a bad one, summed over both

    A score is in the unit of the ratings; beta is how many log-odds one such unit is worth to those who compare and
    label. `rmspace.mix` makes the rows; what does not apply to a row is 0.

    Args:
        winner, loser: scores (n_pairs,).
        source: (n_pairs,) 0, 1 or 2, a column of the comparisons.
        winner_rating, loser_rating: (n_pairs,) columns, of rows of source 1.
        winner_label, loser_label: (n_pairs,) columns, True for good, of rows of source 2.
        tie: (n_pairs,) True where neither won, of rows of source 0.
        beta: above 0; `estimate_option` finds it on held-out rows.
        threshold: the score of an item that is as often called good as bad.
        weights: of the three sources, at least 0.

    Returns:
        Losses (n_pairs,); rows of sources 1 and 2 fix the constant.

    Raises:
        ValueError: shapes that differ, a source that is not 0, 1 or 2, an option out of range.

    Source: the sum of the log-likelihoods of Bradley and Terry (1952), of normal ratings with variance 1, and of
    logistic regression.

    >>> zeros = torch.zeros(3)
    >>> columns = {name: zeros for name in ("loser_rating", "winner_label", "loser_label")}
    >>> mixture(zeros, zeros, source=torch.arange(3), winner_rating=torch.ones(3), **columns).tolist()
    [0.693147, 0.5, 1.386294]
    """
    gap = gap_of(winner, loser)
    beta, threshold = check_number("beta", beta, low=1e-9), check_number("threshold", threshold)
    kinds = _kinds(source, gap)
    pairs = _pair_loss(beta * gap, tie, kinds == 0)
    sides = (("winner", winner, winner_rating, winner_label), ("loser", loser, loser_rating, loser_label))
    ratings, labels = torch.zeros_like(gap), torch.zeros_like(gap)
    for name, scores, rating, label in sides:
        ratings = ratings + (scores - check_column(f"{name}_rating", rating, gap)).square() / 2
        odds = beta * (scores - threshold)
        labels = labels - logsigmoid(torch.where(check_marks(f"{name}_label", label, gap), odds, -odds))
    parts = [size * part for size, part in zip(_sizes(weights), (pairs, ratings, labels), strict=True)]
    return torch.stack(parts).gather(0, kinds[None]).squeeze(0)


def _kinds(source: Tensor, gap: Tensor) -> Tensor:
    column = check_column("source", source, gap)
    if not torch.isin(column, torch.arange(3, dtype=gap.dtype, device=gap.device)).all():
        raise ValueError(f"source must be 0 (pair), 1 (ratings) or 2 (labels); got {column.unique()[:5].tolist()}")
    return column.long()


def _pair_loss(odds: Tensor, tie: Tensor | None, is_pair: Tensor) -> Tensor:
    loss = -logsigmoid(odds)
    if tie is None:
        return loss
    return torch.where(check_marks("tie", tie, odds) & is_pair, (loss - logsigmoid(-odds)) / 2, loss)


def _sizes(weights: Sequence[float]) -> list[float]:
    if isinstance(weights, str) or not isinstance(weights, Sequence) or len(weights) != 3:
        raise ValueError(f"weights must be three numbers, of pairs, ratings and labels; got {shown(weights)}")
    return [check_number(f"weights[{k}]", weight, low=0.0) for k, weight in enumerate(weights)]
