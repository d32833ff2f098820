"""Preference metrics: how well scores agree with comparisons, with no gold rewards."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rmspace._checks import as_numbers, describe
from rmspace._typing import Float64Array
from rmspace.data.arrays import check_finite, check_ties

__all__ = ["accuracy", "log_loss"]


def accuracy(
    winner_scores: npt.ArrayLike, loser_scores: npt.ArrayLike, tie: npt.ArrayLike | None = None
) -> Float64Array:
    """Whether the scores put each comparison in the right order: 1, 0, or 1/2 where the two scores are equal.

    Args:
        winner_scores, loser_scores: finite (n_comparisons,).
        tie: (n_comparisons,) True where neither item won: half a win of each, so the result is 1/2.

    Returns:
        (n_comparisons,); the mean is the accuracy.

    Raises:
        ValueError: shapes that do not fit, scores that are not finite.

    >>> accuracy([2.0, 0.0, 1.0], [1.0, 3.0, 1.0]).tolist()
    [1.0, 0.0, 0.5]
    """
    gap, tied = _gaps(winner_scores, loser_scores, tie)
    return np.where(tied, 0.5, (1 + np.sign(gap)) / 2)


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
