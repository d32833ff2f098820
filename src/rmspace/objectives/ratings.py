"""Pointwise objectives: each item has a rating of its own, and the comparison only brings two items along.

The ratings are the columns `winner_rating` and `loser_rating` of the comparisons; `rmspace.data.pointwise.pair_up`
makes comparisons of rated items. A mark of a tie changes nothing here, because the ratings say all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import huber_loss, logsigmoid

from rmspace._checks import check_int, check_number
from rmspace.objectives._checks import check_ratings, check_unused_ties, gap_of

__all__ = ["huber_rating", "ordinal_rating", "squared_rating"]


def squared_rating(
    winner: Tensor,
    loser: Tensor,
    *,
    winner_rating: Tensor,
    loser_rating: Tensor,
    tie: Tensor | None = None,
    lowest: float | None = None,
    highest: float | None = None,
) -> Tensor:
    """Half the squared error of both scores: ((s_w - r_w)^2 + (s_l - r_l)^2) / 2.

    Args:
        winner, loser: scores (n_pairs,).
        winner_rating, loser_rating: r, (n_pairs,), columns of the comparisons.
        tie: not used.
        lowest, highest: the ends of the scale of ratings, where it has any: a rating outside is refused.

    Returns:
        Losses (n_pairs,); this objective fixes the constant and the scale.

    Raises:
        ValueError: shapes that differ, ratings outside their scale.

    Source: regression on ratings, as in HelpSteer2 (arXiv 2406.08673).

    >>> import torch
    >>> squared_rating(torch.tensor([3.0]), torch.tensor([1.0]), winner_rating=torch.tensor([4.0]),
    ...                loser_rating=torch.tensor([1.0])).tolist()
    [0.5]
    """
    gap = gap_of(winner, loser)
    check_unused_ties(tie, gap)
    rated = check_ratings(winner_rating, loser_rating, gap, lowest, highest)
    errors = winner - rated[0], loser - rated[1]
    return (errors[0].square() + errors[1].square()) / 2


def huber_rating(
    winner: Tensor,
    loser: Tensor,
    *,
    winner_rating: Tensor,
    loser_rating: Tensor,
    tie: Tensor | None = None,
    delta: float = 1.0,
    lowest: float | None = None,
    highest: float | None = None,
) -> Tensor:
    """Huber's loss of both scores: e^2 / 2 for an error e up to delta, and delta (|e| - delta / 2) above.

    Its curvature is 0 above delta. Trees start at scores of 0: give them ratings of which many are within delta of 0.

    Args:
        winner, loser: scores (n_pairs,).
        winner_rating, loser_rating: (n_pairs,), columns of the comparisons.
        tie: not used.
        delta: above 0, in units of the ratings.
        lowest, highest: the ends of the scale of ratings, where it has any: a rating outside is refused.

    Returns:
        Losses (n_pairs,); this objective fixes the constant and the scale.

    Raises:
        ValueError: shapes that differ, delta out of range, ratings outside their scale.

    Source: P. J. Huber, "Robust estimation of a location parameter", Ann. Math. Stat. 35 (1964).

    >>> import torch
    >>> huber_rating(torch.tensor([3.0]), torch.tensor([1.0]), winner_rating=torch.tensor([5.0]),
    ...              loser_rating=torch.tensor([1.0])).tolist()
    [1.5]
    """
    delta = check_number("delta", delta, low=1e-12)
    gap = gap_of(winner, loser)
    check_unused_ties(tie, gap)
    rated = check_ratings(winner_rating, loser_rating, gap, lowest, highest)
    losses = [huber_loss(s, r, reduction="none", delta=delta) for s, r in zip((winner, loser), rated, strict=True)]
    return losses[0] + losses[1]


def ordinal_rating(
    winner: Tensor,
    loser: Tensor,
    *,
    winner_rating: Tensor,
    loser_rating: Tensor,
    tie: Tensor | None = None,
    thresholds: Sequence[float] = (-1.5, -0.5, 0.5, 1.5),
    lowest: int = 1,
) -> Tensor:
    """Negative log-likelihood of two ordinal ratings in the cumulative logit model, with given thresholds.

        P(rating <= lowest + k) = sigma(thresholds[k] - s)

    Args:
        winner, loser: scores (n_pairs,).
        winner_rating, loser_rating: (n_pairs,) whole numbers from `lowest` to `lowest` + the number of thresholds,
            columns of the comparisons.
        tie: not used.
        thresholds: ascending, at least one, in units of the score.
        lowest: the lowest rating.

    Returns:
        Losses (n_pairs,), in nats, the sum over both items; this objective fixes the constant and the scale.

    Raises:
        ValueError: shapes that differ, thresholds that do not ascend, ratings outside their scale.

    Source: P. McCullagh, "Regression models for ordinal data", J. R. Stat. Soc. B 42 (1980).

    >>> import torch
    >>> ordinal_rating(torch.zeros(1), torch.zeros(1), winner_rating=torch.tensor([2]), loser_rating=torch.tensor([1]),
    ...                thresholds=[0.0]).exp().tolist()
    [4.0]
    """
    gap = gap_of(winner, loser)
    check_unused_ties(tie, gap)
    cuts = check_thresholds(thresholds)
    lowest = check_int("lowest", lowest)
    rated = check_ratings(winner_rating, loser_rating, gap, lowest, lowest + len(cuts))
    for name, ratings in zip(("winner_rating", "loser_rating"), rated, strict=True):
        if not (ratings == ratings.round()).all():
            raise ValueError(f"{name} must be whole numbers; got {ratings[ratings != ratings.round()][:5].tolist()}")
    classes = [ratings.long() - lowest for ratings in rated]
    return _ordinal_loss(winner, classes[0], cuts) + _ordinal_loss(loser, classes[1], cuts)


def check_thresholds(thresholds: Sequence[float]) -> list[float]:
    """Return ascending thresholds."""
    if not isinstance(thresholds, Sequence) or not len(thresholds):
        raise ValueError(f"thresholds must be at least one number; got {thresholds!r}")
    cuts = [check_number(f"thresholds[{k}]", cut) for k, cut in enumerate(thresholds)]
    if any(b <= a for a, b in pairwise(cuts)):
        raise ValueError(f"thresholds must ascend; got {cuts}")
    return cuts


def _ordinal_loss(scores: Tensor, category: Tensor, cuts: Sequence[float]) -> Tensor:
    """Return -log(sigma(b - s) - sigma(a - s)), a and b the thresholds around each category, infinite at the ends."""
    below, above = (torch.tensor(x, dtype=scores.dtype, device=scores.device) for x in ([0.0, *cuts], [*cuts, 0.0]))
    # sigma(y) - sigma(x) = sigma(y) sigma(-x) (1 - e^(x - y))
    widths = [0.0, *(-math.log1p(-math.exp(a - b)) for a, b in pairwise(cuts)), 0.0]
    constant = torch.tensor(widths, dtype=scores.dtype, device=scores.device)[category]
    is_first, is_last = category == 0, category == len(cuts)
    over = torch.where(is_first, 0.0, -logsigmoid(scores - below[category]))
    under = torch.where(is_last, 0.0, -logsigmoid(above[category] - scores))
    return over + under + constant
