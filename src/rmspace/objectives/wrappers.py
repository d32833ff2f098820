"""Objectives around another objective: a penalty, or a scale."""

from __future__ import annotations

from torch import Tensor

from rmspace._checks import check_number
from rmspace.kinds import Objective
from rmspace.objectives._checks import check_each, gap_of
from rmspace.objectives.gap import bradley_terry

__all__ = ["centred", "scaled"]


def centred(winner: Tensor, loser: Tensor, *, strength: float = 0.01, objective: Objective = bradley_terry) -> Tensor:
    """Loss with a penalty that draws scores towards the mean 0: L(s_w, s_l) + strength (s_w + s_l)^2.

    Objectives of the gap alone leave the constant of the scores open. This penalty fixes it, and changes the gaps only
    where the model cannot move the mean of two scores without their gap.

    Args:
        winner, loser: scores (n_pairs,).
        strength: at least 0.
        objective: L, any objective; it receives the columns that it names.

    Returns:
        Losses (n_pairs,).

    Raises:
        ValueError: shapes that differ, a negative strength.

    Source: Eisenstein et al., "Helping or herding?" (arXiv 2312.09244).

    >>> import torch
    >>> centred(torch.tensor([1.0]), torch.tensor([1.0]), strength=0.5).tolist()
    [2.693147]
    """
    gap_of(winner, loser)
    return objective(winner, loser) + check_number("strength", strength, low=0.0) * (winner + loser).square()


def scaled(
    winner: Tensor, loser: Tensor, *, beta: float | Tensor = 1.0, objective: Objective = bradley_terry
) -> Tensor:
    """Loss of a judge who sees gaps beta times as large: L(beta s_w, beta s_l).

    Args:
        winner, loser: scores (n_pairs,).
        beta: how sure the judge is, at least 0: one number, or one per pair. Where the comparisons have a column
            `beta`, that column is used; `AnnotatorReward` learns such a number for each annotator.
        objective: L, any objective; it receives the columns that it names.

    Returns:
        Losses (n_pairs,).

    Raises:
        ValueError: shapes that differ, a negative number.

    Source: the Boltzmann-rational choice of Jeon, Milli and Dragan (arXiv 2002.04833), beta its rationality.

    >>> import torch
    >>> scaled(torch.tensor([1.0, 1.0]), torch.zeros(2), beta=torch.tensor([0.0, 2.0])).tolist()
    [0.693147, 0.126928]
    """
    beta = check_each("beta", beta, gap_of(winner, loser), low=0.0)
    return objective(beta * winner, beta * loser)
