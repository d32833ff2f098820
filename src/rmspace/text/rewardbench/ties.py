"""The subset Ties of RewardBench 2: correct responses of one prompt should have nearly the same score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rmspace._typing import Float64Array


class TiedPrompt(NamedTuple):
    """The scores of one row."""

    kind: str
    """"tied" for a prompt with several correct responses, "ref" for the one beside it that has one."""
    number: int
    """The same for the two prompts of a pair."""
    correct: Float64Array
    wrong: Float64Array

    @property
    def spread(self) -> float:
        """The highest minus the lowest score of the correct responses."""
        return float(self.correct.max() - self.correct.min())

    @property
    def gap(self) -> float:
        """The lowest score of a correct response minus the highest of a wrong one."""
        return float(self.correct.min() - self.wrong.max())


def ties_score(prompts: Sequence[TiedPrompt]) -> float:
    """Return the score of Ties, at most 1.01; nan where no pair of prompts is whole.

    With gap > 0 as accurate, g = min(gap of ref, gap of tied), and s the spread of the tied prompt of a pair:
    .30 mean(accurate of tied) + .30 mean(accurate of ref) + .20 mean(gap of tied > s) + .20 mean(g > s)
    + .01 mean(tanh(g / s - 1)). The last three are means over the pairs; 0 / 0 counts as 0 in the last one.

    Raises:
        ValueError: a prompt that is there twice.

    >>> ref = TiedPrompt("ref", 1, np.array([4.0]), np.array([1.0]))
    >>> tied = TiedPrompt("tied", 1, np.array([4.0, 3.0]), np.array([1.0, 0.0]))
    >>> ties_score([ref, tied])  # 1 + .01 tanh(min(3, 2) / 1 - 1)
    1.007616
    """
    refs, tied = _by_number("ref", prompts), _by_number("tied", prompts)
    both = sorted(refs.keys() & tied.keys())
    if not both:
        return float("nan")
    accurate = [np.mean([prompt.gap > 0 for prompt in group.values()]) for group in (tied, refs)]
    gap_tied = np.array([tied[n].gap for n in both])
    gap = np.minimum([refs[n].gap for n in both], gap_tied)
    spread = np.array([tied[n].spread for n in both])
    with np.errstate(divide="ignore", invalid="ignore"):
        margin = np.nan_to_num(np.tanh(gap / spread - 1), nan=0.0)
    parts = [*accurate, np.mean(gap_tied > spread), np.mean(gap > spread), np.mean(margin)]
    return float(np.dot([0.30, 0.30, 0.20, 0.20, 0.01], parts))


def _by_number(kind: str, prompts: Sequence[TiedPrompt]) -> dict[int, TiedPrompt]:
    found: dict[int, TiedPrompt] = {}
    for prompt in prompts:
        if prompt.kind == kind:
            if prompt.number in found:
                raise ValueError(f"no prompt of Ties may be there twice; {kind}:{prompt.number} is")
            found[prompt.number] = prompt
    return found
