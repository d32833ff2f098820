"""Metrics of tables with unrated responses: the prompts with equal numbers of rated responses form a complete table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rmspace._checks import check_int
from rmspace._typing import Float64Array
from rmspace.data.arrays import check_scores

Rows = slice | npt.NDArray[np.intp]
ByN = Callable[[Float64Array, Float64Array, list[int]], Float64Array]


def measure(
    scores: npt.ArrayLike, rewards: npt.ArrayLike, metric: Callable[[Float64Array, Float64Array], Float64Array]
) -> Float64Array:
    """Return one value per prompt (n_prompts,) by a metric of complete tables; `nan` where nothing is rated."""
    score, gold = check_scores(scores, rewards)
    values = np.full(len(gold), np.nan)
    for rows, s, g in _complete_tables(score, gold):
        values[rows] = metric(s, g)
    return values


def measure_by_n(
    scores: npt.ArrayLike, rewards: npt.ArrayLike, n: int | Sequence[int] | None, metric: ByN, *, least: int = 1
) -> Float64Array:
    """Return one value per prompt and n by a metric of complete tables, `nan` where a prompt has too few responses.

    Args:
        scores, rewards: as in `best_of_n`.
        n: one number of responses, or several, or None for all rated responses of each prompt.
        metric: function of complete scores and rewards (n_prompts, n_responses) and a list of n, each at most
            n_responses, that gives (n_prompts, len(list)).
        least: the fewest rated responses for which the metric is defined.

    Returns:
        (n_prompts,) for one n or None, (n_prompts, len(n)) for several.

    Raises:
        ValueError: an n above the rated responses of every prompt; no prompt with `least` rated responses.
    """
    score, gold = check_scores(scores, rewards)
    most = int(_counts(gold).max())
    sizes = None if n is None else as_sizes(n)
    if sizes is not None and max(sizes) > most:
        raise ValueError(
            f"n must be at most {most}, the largest number of rated responses of a prompt; got {max(sizes)}; draws are "
            "without replacement"
        )
    if most < least:
        raise ValueError(f"this metric needs a prompt with {least} rated responses; the largest number is {most}")
    values = np.full((len(gold), 1 if sizes is None else len(sizes)), np.nan)
    for rows, s, g in _complete_tables(score, gold):
        width = g.shape[1]
        columns = [k for k, size in enumerate(sizes or [width]) if size <= width]
        if width >= least and columns:
            found = metric(s, g, [width] if sizes is None else [sizes[k] for k in columns])
            values[rows if isinstance(rows, slice) else rows[:, None], columns] = found
    return values[:, 0] if n is None or np.ndim(n) == 0 else values


def as_sizes(n: int | Sequence[int]) -> list[int]:
    """Return one n, or several, as a list of integers of at least 1."""
    several: Any = n
    sizes = list(several) if isinstance(n, Sequence | np.ndarray) and np.ndim(n) else [n]
    if not sizes:
        raise ValueError("n must name at least one number of responses; got none")
    return [check_int("n", size, low=1) for size in sizes]


def _complete_tables(score: Float64Array, gold: Float64Array) -> Iterator[tuple[Rows, Float64Array, Float64Array]]:
    """Yield (rows, scores, rewards) for the prompts with each number of rated responses, without unrated ones."""
    counts = _counts(gold)
    if counts.min() == gold.shape[1]:
        yield slice(None), score, gold
        return
    for count in np.unique(counts[counts > 0]).tolist():
        rows = np.flatnonzero(counts == count)
        chosen = ~np.isnan(gold[rows])
        yield rows, score[rows][chosen].reshape(-1, count), gold[rows][chosen].reshape(-1, count)


def _counts(gold: Float64Array) -> npt.NDArray[np.intp]:
    """Return the number of rated responses of each prompt."""
    return gold.shape[1] - np.count_nonzero(np.isnan(gold), axis=1)
