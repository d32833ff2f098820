"""An objective whose best score is a quantile of an item's ratings."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from rmspace._checks import check_number
from rmspace.objectives._checks import check_ratings, check_unused_ties, gap_of

__all__ = ["quantile_rating"]


def quantile_rating(
    winner: Tensor,
    loser: Tensor,
    *,
    winner_rating: Tensor,
    loser_rating: Tensor,
    tie: Tensor | None = None,
    quantile: float = 0.5,
    smoothing: float = 0.1,
    lowest: float | None = None,
    highest: float | None = None,
) -> Tensor:
    """Smooth pinball loss of both scores, whose best score is the quantile q of the ratings of an item.

        L(e) = q e + h log(1 + exp(-e / h)),   e = rating - score,   h = smoothing

    With h near 0 this is the pinball loss, q e for e above 0 and (q - 1) e below. Its expectation is that of the
    pinball loss for ratings with additional logistic noise of scale h. So h biases far quantiles outwards where it is
    not small beside the spread of ratings, and a small h makes the fit slower. Trees step by curvature, which only
    ratings within some h of the score have: give `LightGBMReward` a `min_child_samples` of about 100.

    Args:
        winner, loser: scores (n_pairs,).
        winner_rating, loser_rating: (n_pairs,), columns of the comparisons.
        tie: not used.
        quantile: q, in [0.001, 0.999]; with 1/2 the score is the median.
        smoothing: h, above 0, in units of the ratings.
        lowest, highest: the ends of the scale of ratings, where it has any: a rating outside is refused.

    Returns:
        Losses (n_pairs,), the sum over both items; this objective fixes the constant and the scale.

    Raises:
        ValueError: shapes that differ, an option out of range, ratings outside their scale.

    Source: Koenker and Bassett, "Regression quantiles", Econometrica 46 (1978); smoothed as in He et al. (arXiv
    2012.05187), with a logistic kernel.

    >>> rated = {"winner_rating": torch.tensor([3.0]), "loser_rating": torch.tensor([0.0])}
    >>> quantile_rating(torch.zeros(1), torch.zeros(1), **rated, quantile=0.9, smoothing=0.01).tolist()
    [2.706931]
    """
    gap = gap_of(winner, loser)
    check_unused_ties(tie, gap)
    q = check_number("quantile", quantile, low=0.001, high=0.999)
    h = check_number("smoothing", smoothing, low=1e-9)
    loss = torch.zeros_like(gap)
    rated = check_ratings(winner_rating, loser_rating, gap, lowest, highest)
    for scores, ratings in zip((winner, loser), rated, strict=True):
        error = ratings - scores
        loss = loss + q * error + h * softplus(-error / h)
    return loss
