"""The outcome of RewardBench: a table, and whether it is the benchmark or a part of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

__all__ = ["RewardBenchResult"]


class Line(NamedTuple):
    """One line of the table."""

    level: str
    """"subset", "section" or "overall"."""
    section: str
    name: str
    score: float
    n_rows: int
    n_expected: int | None
    """The rows that the benchmark has there; None where that is not known."""
    whole: bool
    """False where rows or subsets are missing, or are more than they should be."""


@dataclass(frozen=True)
class RewardBenchResult:
    """The outcome of RewardBench.

    Args:
        version: 1 or 2.
        table: columns level (subset, section, overall), section, name, score, n_rows, n_expected, whole. The name of
            anything that is not whole says "part".
        results: one value per row: 1 where the correct response won, 0 where not, 1/k where k responses share the
            highest score (version 2); None in the subset Ties, whose score is no mean over rows.
        missing: what is not as in the benchmark.

    >>> from rmspace.text import rewardbench_1
    >>> result = rewardbench_1([{"subset": "hep-go", "id": k} for k in range(4)], [[1, 0], [1, 0], [2, 0], [0, 1]])
    >>> result.whole, result.score
    (False, 0.75)
    >>> result.table.name.tolist()
    ['hep-go (part)', 'Reasoning (part)', 'part of RewardBench 1']
    """

    version: int
    table: pd.DataFrame
    results: list[float | None]
    missing: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether this is a score of RewardBench, and not of a part of it."""
        return bool(self.table.whole.iloc[-1])

    @property
    def score(self) -> float:
        """The overall score, or the mean over the sections of a part."""
        return float(self.table.score.iloc[-1])

    def summary(self, model: str, *, model_type: str = "Seq. Classifier", chat_template: str = "") -> dict[str, Any]:
        """Return the summary in RewardBench's form: model, model_type, chat_template, and a score per subset.

        A subset with other rows than the benchmark's has "(part)" in its name. A score that is not defined is None.
        """
        head = {"model": model, "model_type": model_type, "chat_template": chat_template}
        return {**head, **self.scores("subset")}

    def scores(self, *levels: str) -> dict[str, float | None]:
        """Return the scores of some levels of the table by name; None where a score is not defined."""
        rows = self.table[self.table.level.isin(levels)]
        pairs = zip(rows.name.tolist(), rows.score.tolist(), strict=True)
        return {name: None if math.isnan(score) else score for name, score in pairs}

    def __str__(self) -> str:
        rows = [_as_text(*row) for row in self.table.itertuples(index=False, name=None)]
        if not self.whole:
            rows.append("This is a part, and no score of RewardBench:")
        return "\n".join([*rows, *(f"  {reason}" for reason in self.missing)])


def make_result(
    version: int, lines: Sequence[Line], results: list[float | None], missing: Sequence[str]
) -> RewardBenchResult:
    """Collect lines into a result; the last one is the overall score."""
    table = pd.DataFrame([line._replace(name=_name(line)) for line in lines], columns=list(Line._fields))
    return RewardBenchResult(version, table.astype({"n_expected": "Int64"}), results, tuple(missing))


def _name(line: Line) -> str:
    if line.whole:
        return line.name
    return f"part of {line.name}" if line.level == "overall" else f"{line.name} (part)"


def _as_text(level: str, section: str, name: str, score: float, n_rows: int, *_: Any) -> str:
    other = "  counts nowhere" if level == "subset" and not section else ""
    return f"{name:<32} {score:7.2%}  {n_rows:>5} rows{other}"


def count_problem(name: str, found: int, expected: int | None) -> str:
    """Say what is wrong with the number of rows of a subset; "" where nothing is."""
    if expected is None or found == expected:
        return ""
    return f"{name}: no rows" if found == 0 else f"{name}: {found} rows, where RewardBench has {expected}"
