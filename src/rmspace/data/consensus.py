"""One soft label for each pair that several annotators judged, by how reliable each of them is."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from rmspace._checks import check_int, check_number
from rmspace._typing import Float64Array, IntArray
from rmspace.data.arrays import check_ties
from rmspace.data.preferences import Preferences, check_preferences


class Consensus(NamedTuple):
    """What annotators say together.

    Attributes:
        preferences: each judged pair once, the item that is better more probably in column 0, with the columns
            `probability` and `n_verdicts`.
        annotators, accuracies: (n_annotators,) names in ascending order, and the share of true verdicts of each.
        n_steps: rounds until nothing changed.
    """

    preferences: Preferences
    annotators: npt.NDArray[Any]
    accuracies: Float64Array
    n_steps: int


def consensus(preferences: Preferences, *, max_steps: int = 1000, tol: float = 1e-9) -> Consensus:
    """Estimate the better item of each pair, and the accuracy of each annotator, by expectation and maximisation.

    Each pair has one better item, either alike before any verdict. Annotator a names it with probability q_a, whatever
    the pair. The two steps, repeated from the shares of votes:

        probability of a pair = sigma(sum over its verdicts of +-log(q_a / (1 - q_a)))
        q_a = (1 + expected true verdicts) / (2 + verdicts)

    The 1 and 2 keep q_a from 0 and 1; an annotator seen once has q_a between 1/3 and 2/3. Two labels that are swapped
    everywhere fit equally well, so the annotators must be right more often than not.

    The model has no hard and easy pairs: where annotators disagree because two items are nearly alike, it calls them
    inaccurate, and its probabilities are too sure. `AnnotatorReward` reads such disagreement as doubt.

    Args:
        preferences: with the column `annotator`, at least two of them, and without ties. Each verdict counts alike:
            `weight` and other columns are not used.
        max_steps, tol: stop when no accuracy changes by more than `tol`.

    Raises:
        ValueError: no column `annotator`, one annotator, a tie; no convergence.

    Source: Dawid and Skene, "Maximum likelihood estimation of observer error-rates", Appl. Stat. 28 (1979), with one
    error rate for each annotator, since the order of the items of a pair has no meaning.

    >>> items = np.eye(4, dtype=np.float32)
    >>> data = Preferences(items, [[0, 1], [0, 1], [1, 0], [2, 3], [2, 3], [3, 2]], groups=[0, 0, 1, 1],
    ...                    annotator=["a", "b", "c"] * 2)
    >>> found = consensus(data)
    >>> found.preferences.comparisons.tolist(), found.accuracies.round(2).tolist()
    ([[0, 1], [2, 3]], [0.72, 0.72, 0.28])
    """
    check_preferences("preferences", preferences)
    names, who = _annotators(preferences)
    ordered = np.sort(preferences.comparisons, axis=1)
    pairs, unit = np.unique(ordered, axis=0, return_inverse=True)
    unit = unit.reshape(-1)
    first = preferences.comparisons[:, 0] == ordered[:, 0]  # whether the verdict is for the lower id
    counts = np.bincount(unit)
    accuracies, steps = _estimate(
        unit, who, first, check_int("max_steps", max_steps, low=1), check_number("tol", tol, low=0.0)
    )
    chance = _chances(unit, who, first, accuracies)
    comparisons = np.where((chance >= 0.5)[:, None], pairs, pairs[:, ::-1])
    columns = {"probability": np.maximum(chance, 1 - chance), "n_verdicts": counts}
    judged = Preferences(
        preferences.items,
        comparisons,
        preferences.groups,
        columns=columns,
        features=preferences.features,
        metadata=preferences.metadata,
    )
    return Consensus(judged, names, accuracies, steps)


def _annotators(preferences: Preferences) -> tuple[npt.NDArray[Any], IntArray]:
    """Return the names of the annotators, and the number of the one of each verdict."""
    if "annotator" not in preferences.columns:
        raise ValueError("a consensus needs the column 'annotator'; give it in Preferences")
    if "tie" in preferences.columns and check_ties(preferences.columns["tie"]).any():
        raise ValueError("a consensus knows no ties; leave out comparisons that are marked in the column 'tie'")
    names, who = np.unique(preferences.columns["annotator"], return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"a consensus needs at least two annotators; got {names.tolist()}")
    return names, who


def _estimate(
    unit: IntArray, who: IntArray, first: npt.NDArray[np.bool_], max_steps: int, tol: float
) -> tuple[Float64Array, int]:
    """Return the accuracies, and the number of steps."""
    chance = np.bincount(unit, first) / np.bincount(unit)  # the shares of votes
    accuracies = np.zeros(who.max() + 1)
    for step in range(1, max_steps + 1):
        true = np.where(first, chance[unit], 1 - chance[unit])
        found = (1 + np.bincount(who, true)) / (2 + np.bincount(who))
        if np.abs(found - accuracies).max() <= tol:
            return found, step
        accuracies = found
        chance = _chances(unit, who, first, accuracies)
    raise ValueError(f"the accuracies still change after {max_steps} steps; raise max_steps, or tol")


def _chances(unit: IntArray, who: IntArray, first: npt.NDArray[np.bool_], accuracies: Float64Array) -> Float64Array:
    """Return the probability that the item with the lower id is the better one of each pair."""
    evidence = np.where(first, 1.0, -1.0) * logit(accuracies)[who]
    return np.asarray(expit(np.bincount(unit, evidence)))
