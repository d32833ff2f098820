"""RewardBench 1: two responses per prompt, sections of subsets, and one number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rmspace._typing import Float64Array
from rmspace.text.rewardbench.checks import Row, Scores, check_rows, check_scores
from rmspace.text.rewardbench.outcome import Line, RewardBenchResult, count_problem, make_result
from rmspace.text.rewardbench.sections import PRIOR, PRIOR_SETS, ROWS, SECTIONS

__all__ = ["rewardbench_1"]


def rewardbench_1(rows: Sequence[Row], scores: Scores) -> RewardBenchResult:
    """Score version 1 of RewardBench.

    A row is correct where the chosen response has strictly the higher score; a tie is not. A section is the mean of the
    accuracies of its subsets, weighted by their numbers of rows; math-prm weighs as much as the six hep subsets
    together. The overall score is the mean of the four sections. Where all four prior sets are there, their plain mean
    is a fifth section of half the weight.

    Args:
        rows: each a mapping with `subset`, and `id`, `prompt`, `chosen`, `rejected` where they are known.
        scores: (n_rows, 2): of the chosen and of the rejected response.

    Returns:
        The table, and whether it is the benchmark or a part. Other subsets are listed, and count nowhere.

    Raises:
        ValueError: scores that are not finite or not two per row, a row without a subset, or the same row twice.

    Source: N. Lambert et al., "RewardBench: Evaluating reward models for language modeling", 2024, section 4.

    >>> rows = [{"subset": "alpacaeval-easy", "id": 1}, {"subset": "mt-bench-easy", "id": 2}]
    >>> rewardbench_1(rows, [[1.0, 0.5], [0.5, 0.5]]).table[["name", "score", "n_rows"]].values.tolist()
    [['alpacaeval-easy (part)', 1.0, 1], ['mt-bench-easy (part)', 0.0, 1], ['Chat (part)', 0.78125, 2], ['part of RewardBench 1', 0.78125, 2]]
    """  # noqa: E501
    check_rows(rows, len(scores))
    pairs = np.array([check_scores(rows, k, pair, 2) for k, pair in enumerate(scores)])
    correct = (pairs[:, 0] > pairs[:, 1]).astype(np.float64)
    found = _by_subset(rows, correct)
    lines = [line for name, weights in SECTIONS.items() for line in _section(name, weights, found)]
    lines += _section(PRIOR, dict.fromkeys(PRIOR_SETS, 1), found)
    known = {line.name for line in lines}
    lines += [_subset("", name, values) for name, values in found.items() if name not in known]
    missing = [problem for name, n in ROWS.items() if (problem := count_problem(name, len(found.get(name, ())), n))]
    return make_result(1, [*lines, _overall(lines, len(rows))], correct.tolist(), missing)


def _by_subset(rows: Sequence[Row], correct: Float64Array) -> dict[str, Float64Array]:
    names = np.array([row["subset"] for row in rows])
    return {str(name): correct[names == name] for name in dict.fromkeys(names.tolist())}


def _subset(section: str, name: str, correct: Float64Array) -> Line:
    expected = ROWS.get(name)
    whole = expected is None or len(correct) == expected
    return Line("subset", section, name, float(correct.mean()), len(correct), expected, whole)


def _section(name: str, weights: Mapping[str, int], found: Mapping[str, Float64Array]) -> list[Line]:
    """Return the lines of the subsets that are there, and of their section; none where no subset is there."""
    subsets = [_subset(name, subset, found[subset]) for subset in weights if subset in found]
    if not subsets:
        return []
    score = np.average([line.score for line in subsets], weights=[weights[line.name] for line in subsets])
    expected = None if name == PRIOR else sum(ROWS[subset] for subset in weights)
    whole = len(subsets) == len(weights) and all(line.whole for line in subsets)
    return [*subsets, Line("section", name, name, float(score), sum(line.n_rows for line in subsets), expected, whole)]


def _overall(lines: Sequence[Line], n_rows: int) -> Line:
    sections = {line.name: line for line in lines if line.level == "section"}
    prior = sections.pop(PRIOR, None)
    whole = len(sections) == len(SECTIONS) and all(line.whole for line in sections.values())
    weights = dict.fromkeys(sections, 2.0)
    name = "RewardBench 1"
    if prior is not None and (prior.whole or not sections):
        sections[PRIOR], weights[PRIOR] = prior, 1.0
        name += " with prior sets"
    if not sections:
        return Line("overall", "", name, float("nan"), n_rows, None, False)
    score = np.average([line.score for line in sections.values()], weights=[weights[one] for one in sections])
    return Line("overall", "", name, float(score), n_rows, None, whole)
