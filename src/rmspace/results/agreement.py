"""How far annotators agree with one another: what a reward model can reach at best."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmspace._typing import Float64Array, IntArray
from rmspace.data.arrays import check_ties
from rmspace.data.preferences import Preferences, check_preferences
from rmspace.results.evaluate_preferences import prompts_of
from rmspace.results.intervals import mean_interval
from rmspace.results.schema import AGREEMENT, table_of


def agreement_table(preferences: Preferences, *, confidence: float = 0.95) -> pd.DataFrame:
    """Measure how often annotators agree on pairs that several of them judged.

    Two verdicts on a pair agree with 1 where they are the same, 0 where they are opposite, and 1/2 where one of them is
    a tie. Rows:

    - each annotator, against "another": the mean over the other annotators of the pair;
    - each annotator, against "majority": that of the others; where they are divided evenly, it is a tie;
    - all annotators, against "another" and "majority": the means over all verdicts;
    - all annotators, against "ceiling": the accuracy of scores that put each pair in the order of its own majority. No
      scores of items can have a higher accuracy on these verdicts.

    Args:
        preferences: with the column `annotator`, and `tie` where annotators may call a tie. Where an annotator judged a
            pair more than once, the first verdicts of all annotators are compared, then the second ones, and so on.
            Each verdict counts alike: `weight` is not used.
        confidence: of the intervals over prompts.

    Returns:
        Columns annotator ("all" for the means), against, n_verdicts, value, low, high, n_prompts.

    Raises:
        ValueError: no column `annotator`, or no pair that two annotators judged; an annotator who is missing or called
            "all"; a comparison of an item with itself.

    >>> items = np.eye(4, dtype=np.float32)
    >>> data = Preferences(items, [[0, 1], [0, 1], [1, 0], [2, 3], [2, 3], [2, 3]], groups=[0, 0, 1, 1],
    ...                    annotator=["a", "b", "c"] * 2)
    >>> table = agreement_table(data)
    >>> table[table.annotator == "all"][["against", "value"]].round(3).values.tolist()
    [['another', 0.667], ['majority', 0.667], ['ceiling', 0.833]]
    """
    verdicts = _verdicts_of(preferences)
    shared = verdicts.counts[verdicts.unit] > 1
    if not shared.any():
        raise ValueError("no pair was judged by two annotators, so nothing can agree")
    measured = {"another": _with_another(verdicts), "majority": _with_majority(verdicts)}
    rows: list[tuple[Any, ...]] = []
    parts = {str(name): shared & (verdicts.annotator == name) for name in pd.unique(verdicts.annotator)}
    for annotator, part in {**parts, "all": shared}.items():
        if part.any():
            rows += [_row(annotator, name, values, part, verdicts, confidence) for name, values in measured.items()]
    ceiling = (1 + verdicts.verdict * verdicts.best) / 2
    rows.append(_row("all", "ceiling", ceiling, shared, verdicts, confidence))
    return table_of(rows, AGREEMENT)


def krippendorff_alpha(preferences: Preferences) -> float:
    """Return Krippendorff's alpha of the verdicts (first, second, tie) on pairs that several annotators judged.

        alpha = 1 - (n - 1) sum_p sum_{c != k} n_pc n_pk / (m_p - 1) / E[sum_{c != k} n_c n_k]

    Pair p has m_p verdicts, n_pc of them of kind c; n and n_c are the sums over pairs with m_p > 1. 1 is full
    agreement, and 0 that of chance. Which item of a pair is called the first has no meaning, so E is the mean over both
    orders of every pair: with d_p = n_p,first - n_p,second, it is ((n - n_tie)^2 - sum_p d_p^2) / 2 + 2 (n - n_tie)
    n_tie. So it does not matter how the items are numbered.

    Raises:
        ValueError: as `agreement_table`; only ties, or one pair on which all agree: chance would agree always, too.

    Source: K. Krippendorff, Content Analysis (2004), nominal data.

    >>> items = np.eye(4, dtype=np.float32)
    >>> data = Preferences(items, [[0, 1], [0, 1], [3, 2], [3, 2]], groups=[0, 0, 1, 1], annotator=[1, 2, 1, 2])
    >>> krippendorff_alpha(data)
    1.0
    """
    verdicts = _verdicts_of(preferences)
    counts = np.zeros((len(verdicts.counts), 3))
    np.add.at(counts, (verdicts.unit, verdicts.verdict + 1), 1)
    counts = counts[counts.sum(axis=1) > 1]
    if len(counts) == 0:
        raise ValueError("no pair was judged by two annotators, so nothing can agree")
    m, (second, ties, first) = counts.sum(axis=1), counts.T
    decided = m.sum() - ties.sum()
    expected = (decided**2 - ((first - second) ** 2).sum()) / 2 + 2 * decided * ties.sum()
    if expected == 0:
        raise ValueError(
            "alpha is not defined for ties alone, or for one pair on which all agree: chance would agree always, too"
        )
    observed = ((m**2 - (counts**2).sum(axis=1)) / (m - 1)).sum()
    return float(1 - (m.sum() - 1) * observed / expected)


class _Verdicts(NamedTuple):
    """Each judgement as a verdict on a pair: 1 for the item with the smaller id, -1 for the other, 0 for a tie."""

    verdict: IntArray
    unit: IntArray  # (n,) equal where verdicts are compared with one another
    annotator: npt.NDArray[Any]
    prompt: IntArray  # (n,), or (n, 2) where some pair has two prompts
    counts: IntArray  # (n_units,) verdicts in each unit
    best: IntArray  # (n,) the verdict that most of the pair's annotators gave, 0 where they are divided evenly


def _verdicts_of(preferences: Preferences) -> _Verdicts:
    check_preferences("preferences", preferences)
    if "annotator" not in preferences.columns:
        raise ValueError(f"agreement needs the column 'annotator'; the preferences have {sorted(preferences.columns)}")
    annotator, (first, second) = preferences.columns["annotator"], preferences.comparisons.T
    if pd.Series(annotator).isin(["all", ""]).any() or pd.isna(annotator).any():
        raise ValueError('each comparison needs an annotator with a name other than "all"; give each a number or name')
    if (first == second).any():
        row = int(np.argmax(first == second))
        raise ValueError(f"comparison {row} is of an item with itself, which says nothing; leave it out; see health()")
    verdict = np.where(first < second, 1, -1).astype(np.int64)
    if "tie" in preferences.columns:
        verdict[check_ties(preferences.columns["tie"])] = 0
    pairs = np.sort(preferences.comparisons, axis=1)
    pair = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    again = pd.DataFrame({"pair": pair, "annotator": annotator}).groupby(["pair", "annotator"]).cumcount()
    unit = np.unique(np.stack([pair, again.to_numpy()]), axis=1, return_inverse=True)[1].reshape(-1)
    best = np.sign(np.bincount(pair, verdict))[pair]
    return _Verdicts(verdict, unit, annotator, prompts_of(preferences), np.bincount(unit), best.astype(np.int64))


def _with_another(verdicts: _Verdicts) -> Float64Array:
    """Return the mean of 1 - |v - u| / 2 of each verdict v over the other verdicts u on its pair."""
    counts = np.stack([np.bincount(verdicts.unit, verdicts.verdict == kind) for kind in (-1, 0, 1)], axis=1)
    others = counts[verdicts.unit]
    others[np.arange(len(others)), verdicts.verdict + 1] -= 1
    agreement = 1 - np.abs(verdicts.verdict[:, None] - np.array([-1, 0, 1])) / 2
    with np.errstate(invalid="ignore"):
        return np.asarray((others * agreement).sum(axis=1) / others.sum(axis=1))


def _with_majority(verdicts: _Verdicts) -> Float64Array:
    total = np.bincount(verdicts.unit, verdicts.verdict)[verdicts.unit]
    majority = np.sign(total - verdicts.verdict)
    return 1 - np.abs(verdicts.verdict - majority) / 2


def _row(
    annotator: str, against: str, values: Float64Array, part: Any, verdicts: _Verdicts, confidence: float
) -> tuple[Any, ...]:
    prompts = verdicts.prompt[part]
    interval = mean_interval(values[part], groups=prompts, confidence=confidence)
    return (annotator, against, int(part.sum()), *interval, len(np.unique(prompts)))
