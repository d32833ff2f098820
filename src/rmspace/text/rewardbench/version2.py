"""RewardBench 2: the best of four responses, and ties between correct ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rmspace._typing import Float64Array
from rmspace.text.rewardbench.checks import Row, Scores, check_rows, check_scores, name_row
from rmspace.text.rewardbench.outcome import Line, RewardBenchResult, count_problem, make_result
from rmspace.text.rewardbench.sections import ROWS_2, TIES
from rmspace.text.rewardbench.ties import TiedPrompt, ties_score

__all__ = ["rewardbench_2"]


def rewardbench_2(rows: Sequence[Row], scores: Scores) -> RewardBenchResult:
    """Score version 2 of RewardBench.

    In all subsets except Ties, the first response is the correct one. A row earns 1 where it has the highest score, and
    1/k where k responses, it among them, share the highest score. Ties has a score of its own: see `ties_score`. The
    overall score is the plain mean of the six subsets.

    Args:
        rows: each a mapping with `subset`, `id`, and `num_correct` or `chosen`.
        scores: for each row, the scores of its responses: the correct ones first.

    Returns:
        The table, and whether it is the benchmark or a part. Other subsets are listed, and count nowhere.

    Raises:
        ValueError: scores that are not finite, a row with fewer than two responses, an id of Ties that is not
            `ref:n` or `tied:n` or is there twice, or the same row twice.

    Source: S. Malik et al., "RewardBench 2: Advancing reward model evaluation", 2025.

    >>> rows = [{"subset": "Math", "id": "1"}, {"subset": "Math", "id": "2"}]
    >>> result = rewardbench_2(rows, [[3, 3, 1, 0], [0, 1, 2, 3]])
    >>> result.results, result.table.score.tolist()
    ([0.5, 0.0], [0.25, 0.25])
    """
    check_rows(rows, len(scores))
    subsets: list[str] = [_KNOWN.get(row["subset"].casefold(), str(row["subset"])) for row in rows]
    checked = [check_scores(rows, k, one) for k, one in enumerate(scores)]
    results = [None if name == TIES else _share(rows, k, checked[k]) for k, name in enumerate(subsets)]
    tied = [_tied(rows, k, checked[k]) for k, name in enumerate(subsets) if name == TIES]
    lines = []
    for name in dict.fromkeys([*ROWS_2, *subsets]):
        earned = [value for value, subset in zip(results, subsets, strict=True) if subset == name]
        if earned:
            score = ties_score(tied) if name == TIES else float(np.mean(np.array(earned, dtype=np.float64)))
            expected, section = ROWS_2.get(name), name if name in ROWS_2 else ""
            lines.append(Line("subset", section, name, score, len(earned), expected, expected in (None, len(earned))))
    missing = [problem for name, n in ROWS_2.items() if (problem := count_problem(name, subsets.count(name), n))]
    return make_result(2, [*lines, _overall(lines, len(rows))], results, missing)


_KNOWN = {name.casefold(): name for name in ROWS_2}


def _share(rows: Sequence[Row], k: int, scores: Float64Array) -> float:
    if len(scores) < 2 or _n_correct(rows[k]) != 1:
        raise ValueError(
            f"{name_row(rows, k)} must have one correct response and at least one other; got {_n_correct(rows[k])} "
            f"correct of {len(scores)}"
        )
    return 1 / int((scores == scores[0]).sum()) if scores[0] == scores.max() else 0.0


def _tied(rows: Sequence[Row], k: int, scores: Float64Array) -> TiedPrompt:
    kind, _, number = str(rows[k].get("id")).partition(":")
    if kind not in ("ref", "tied") or not number.isdecimal():
        raise ValueError(f"the id of a row of {TIES} must be ref:n or tied:n; got {rows[k].get('id')!r} in row {k}")
    n_correct = _n_correct(rows[k])
    if not 0 < n_correct < len(scores):
        raise ValueError(f"{name_row(rows, k)} must have correct and wrong responses; got {n_correct} of {len(scores)}")
    return TiedPrompt(kind, int(number), scores[:n_correct], scores[n_correct:])


def _n_correct(row: Row) -> int:
    """Return how many responses of a row are correct: `num_correct`, or the length of `chosen`, or 1."""
    chosen = row.get("chosen")
    listed = len(chosen) if isinstance(chosen, list | tuple) else 1
    found = int(row.get("num_correct", listed))
    if isinstance(chosen, list | tuple) and found != listed:
        raise ValueError(
            f"num_correct must be the number of chosen responses, {listed}; got {found} (id {row.get('id')})"
        )
    return found


def _overall(lines: Sequence[Line], n_rows: int) -> Line:
    counted = [line for line in lines if line.name in ROWS_2]
    whole = len(counted) == len(ROWS_2) and all(line.whole for line in counted)
    score = float(np.mean([line.score for line in counted])) if counted else float("nan")
    return Line("overall", "", "RewardBench 2", score, n_rows, sum(ROWS_2.values()), whole)
