"""The measures of the leaderboard, for test banks and for comparisons of people."""

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from rmspace.metrics.preference import accuracy
from rmspace.metrics.selection import normalized_gain

Floats = npt.NDArray[np.float64]
BEST_OF, BINS = 4, 10


def skill(scores: Floats, others: Floats, tie: npt.NDArray[np.bool_] | None = None) -> Floats:
    """Share of the possible gain: 0 is a random choice, 1 the best one.

    It is the normalised gain of Best-of-4 in a bank. For a comparison it is 2 accuracy - 1: that is the normalised
    gain of Best-of-2 where the gold reward is who won.

    Args:
        scores, others: scores and gold rewards (n_prompts, width), or winner and loser scores (n_comparisons,).
        tie: (n_comparisons,) True where neither won.
    """
    if scores.ndim == 2:
        return normalized_gain(scores, others, n=BEST_OF)
    return 2 * accuracy(scores, others, tie) - 1


def calibration_error(scores: Floats, others: Floats, tie: npt.NDArray[np.bool_] | None = None) -> Floats:
    """|predicted - true| of the bin of each comparison, so that the mean is the expected calibration error.

    The scores choose one of two items, and give it the probability sigma(|gap|). In a bank all pairs of a prompt are
    compared, a row has the mean of its pairs, and sigma of the gap in reward is the true probability. For comparisons
    of people it is the share that won.

    Args:
        scores, others, tie: as in `skill`.
    """
    if scores.ndim == 1:
        gap, true = np.abs(scores - others), accuracy(scores, others, tie)
        return _errors_of_bins(expit(gap), true)
    first, second = np.triu_indices(scores.shape[1], k=1)
    gap, gold = scores[:, first] - scores[:, second], others[:, first] - others[:, second]
    rated = ~np.isnan(gold)
    true = np.where(gap == 0, 0.5, expit(np.sign(gap) * gold))
    errors = np.full(gap.shape, np.nan)
    errors[rated] = _errors_of_bins(expit(np.abs(gap[rated])), true[rated])
    counts = rated.sum(axis=1)
    return np.divide(np.nansum(errors, axis=1), counts, out=np.full(len(counts), np.nan), where=counts > 0)


def _errors_of_bins(predicted: Floats, true: Floats) -> Floats:
    number = np.clip(np.searchsorted(np.linspace(0.5, 1.0, BINS + 1), predicted, side="right") - 1, 0, BINS - 1)
    counts = np.maximum(np.bincount(number, minlength=BINS), 1)
    means = [np.bincount(number, values, BINS) / counts for values in (predicted, true)]
    return np.abs(means[0] - means[1])[number]
