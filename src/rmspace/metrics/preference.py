"""Preference metrics: how well scores agree with comparisons, with no gold rewards."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from rmspace._checks import as_numbers, describe
from rmspace._typing import Float64Array
from rmspace.data.arrays import check_finite, check_ties

__all__ = ["accuracy", "brier", "log_loss"]


def accuracy(
    winner_scores: npt.ArrayLike,
    loser_scores: npt.ArrayLike,
    tie: npt.ArrayLike | None = None,
    *,
    strict: bool = False,
) -> Float64Array:
    """Whether the scores put each comparison in the right order: 1, 0, or 1/2 where the two scores are equal.

    Args:
        winner_scores, loser_scores: finite (n_comparisons,).
        tie: (n_comparisons,) True where neither item won: half a win of each, so the result is 1/2.
        strict: equal scores count 0, as in RewardBench.

    Returns:
        (n_comparisons,); the mean is the accuracy.

    Raises:
        ValueError: shapes that do not fit, scores that are not finite.

    >>> accuracy([2.0, 0.0, 1.0], [1.0, 3.0, 1.0]).tolist()
    [1.0, 0.0, 0.5]
    >>> accuracy([2.0, 0.0, 1.0], [1.0, 3.0, 1.0], strict=True).tolist()
    [1.0, 0.0, 0.0]
    """
    gap, tied = _gaps(winner_scores, loser_scores, tie)
    right = (gap > 0).astype(np.float64) if strict else (1 + np.sign(gap)) / 2
    return np.where(tied, 0.5, right)


def brier(winner_scores: npt.ArrayLike, loser_scores: npt.ArrayLike, tie: npt.ArrayLike | None = None) -> Float64Array:
    """Squared error of the probability of each outcome: (1 - sigma(winner - loser))^2.

    Like `log_loss`, it reads the difference of two scores as log-odds. Constant scores have 1/4.

    Args:
        winner_scores, loser_scores: finite (n_comparisons,).
        tie: (n_comparisons,) True where neither item won: the mean of both orders.

    Returns:
        (n_comparisons,), in [0, 1].

    Raises:
        ValueError: shapes that do not fit, scores that are not finite.

    Source: G. W. Brier, "Verification of forecasts expressed in terms of probability", Mon. Weather Rev. 78 (1950).

    >>> brier([0.0, 1000.0, 0.0], [0.0, 0.0, 1000.0]).tolist()
    [0.25, 0.0, 1.0]
    """
    gap, tied = _gaps(winner_scores, loser_scores, tie)
    error = expit(-gap) ** 2
    return np.where(tied, (error + expit(gap) ** 2) / 2, error)


def log_loss(
    winner_scores: npt.ArrayLike, loser_scores: npt.ArrayLike, tie: npt.ArrayLike | None = None
) -> Float64Array:
    """Negative log-likelihood of each comparison in the Bradley-Terry model: -log sigma(winner - loser), in nats.

    It reads the difference of two scores as the log-odds that the first item wins. Bradley-Terry models learn these
    log-odds. Other scores, such as those of the classification objective, put the items in order, but their differences
    are not the log-odds of a comparison: then compare models by `accuracy`. Constant scores have log 2 = 0.693.

    Args:
        winner_scores, loser_scores: finite (n_comparisons,).
        tie: (n_comparisons,) True where neither item won: the loss is half that of each order.

    Returns:
        (n_comparisons,), at least 0.

    Raises:
        ValueError: shapes that do not fit, scores that are not finite.

    Source: R. A. Bradley and M. E. Terry, "Rank analysis of incomplete block designs", Biometrika 39 (1952).

    >>> log_loss([0.0, 1000.0, 0.0], [0.0, 0.0, 1000.0]).round(4).tolist()
    [0.6931, 0.0, 1000.0]
    """
    gap, tied = _gaps(winner_scores, loser_scores, tie)
    loss = np.logaddexp(0.0, -gap)
    return np.where(tied, (loss + np.logaddexp(0.0, gap)) / 2, loss)


def _gaps(
    winner_scores: npt.ArrayLike, loser_scores: npt.ArrayLike, tie: npt.ArrayLike | None
) -> tuple[Float64Array, npt.NDArray[np.bool_]]:
    """Return winner - loser of each comparison, and whether it is a tie."""
    winner, loser = (as_numbers("scores", scores) for scores in (winner_scores, loser_scores))
    if winner.ndim != 1 or winner.shape != loser.shape:
        raise ValueError(
            "a preference metric needs the scores of winners and losers, both (n_comparisons,); got "
            f"{describe(winner)} and {describe(loser)}; to compare scores with gold rewards use pairwise_accuracy"
        )
    check_finite("winner_scores", winner)
    check_finite("loser_scores", loser)
    tied = np.zeros(winner.shape, dtype=bool) if tie is None else check_ties(tie)
    if tied.shape != winner.shape:
        raise ValueError(f"tie must have one value per comparison, {winner.shape}; got {describe(tied)}")
    return winner - loser, tied
