"""The bias of a judge for the place in which a response is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmspace._checks import as_numbers, describe
from rmspace._typing import Float64Array
from rmspace.data.arrays import check_groups
from rmspace.results.evaluate import named
from rmspace.results.intervals import mean_interval
from rmspace.results.schema import BIAS, table_of


def position_table(
    shown_first: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    shown_second: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    *,
    groups: npt.ArrayLike | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Measure how far a judge of pairs prefers the response that is shown first, from both orders of each pair.

    - first_place: mean of (p - q) / 2, p the probability that a response wins when it is shown first, and q when the
      same response is shown second. It is how much probability the first place adds; below 0, the second place does.
    - same_verdict: share of the pairs in which both orders prefer the same response; a probability of 1/2 counts half.

    A reward model scores each response alone, and `GeneralPreferenceReward` is skew-symmetric: both give 0 and 1 by
    construction. So this is a probe of judges.

    Args:
        shown_first: (n_pairs,) p of each pair; or name of the judge -> p.
        shown_second: (n_pairs,) q; or name -> q.
        groups: (n_pairs,) the prompt of each pair; each pair is its own when None.
        confidence: of each interval.

    Returns:
        Columns model, feature ("position"), measure, value, low, high, n_prompts, as `bias_table`.

    Raises:
        ValueError: arrays of different lengths, other judges in one than in the other, values outside [0, 1].

    Source: Zheng et al., "Judging LLM-as-a-judge with MT-Bench and Chatbot Arena" (arXiv 2306.05685), position bias and
    its consistency.

    >>> table = position_table([0.9, 0.6, 0.7], [0.7, 0.2, 0.1])
    >>> table[["measure", "value"]].round(2).values.tolist()
    [['first_place', 0.2], ['same_verdict', 0.33]]
    """
    first, second = named(shown_first), named(shown_second)
    if set(first) != set(second):
        raise ValueError(f"shown_second must have the judges of shown_first, {sorted(first)}; got {sorted(second)}")
    rows = []
    for name in first:
        p, q = (_probabilities(kind, each[name]) for kind, each in (("shown_first", first), ("shown_second", second)))
        if len(p) != len(q):
            raise ValueError(f"shown_first and shown_second must have the same pairs; got {len(p)} and {len(q)}")
        prompts = np.arange(len(p)) if groups is None else check_groups(groups, len(p))
        for measure, values, binary in _measures(p, q):
            ends = mean_interval(values, groups=prompts, confidence=confidence, binary=binary)
            rows.append((name, "position", measure, *ends, len(np.unique(prompts))))
    return table_of(rows, BIAS)


def _probabilities(name: str, values: npt.ArrayLike) -> Float64Array:
    array = as_numbers(name, values)
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"{name} must be one probability per pair, (n_pairs,); got {describe(array)}")
    if not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(f"{name} must be probabilities in [0, 1]; got {array.min():g} to {array.max():g}")
    return array


def _measures(p: Float64Array, q: Float64Array) -> Iterator[tuple[str, Float64Array, bool]]:
    yield "first_place", (p - q) / 2, False
    sides = np.sign(p - 0.5) * np.sign(q - 0.5)
    yield "same_verdict", (1 + sides) / 2, True
