"""Objectives for labels of which some are wrong."""

from __future__ import annotations

from torch import Tensor

from rmspace._checks import check_number
from rmspace.kinds import Objective
from rmspace.objectives.gap import bradley_terry

__all__ = ["label_smoothed"]


def label_smoothed(
    winner: Tensor,
    loser: Tensor,
    *,
    smoothing: float = 0.1,
    objective: Objective = bradley_terry,
) -> Tensor:
    """Loss expected when a share of the labels is flipped: (1 - a) L(s_w, s_l) + a L(s_l, s_w), a = smoothing.

    Args:
        winner, loser: scores (n_pairs,).
        smoothing: a, in [0, 0.5]; at 0.5 both orders cost the same and nothing can be learned.
        objective: L, any objective; it receives the columns that it names.

    Returns:
        Losses (n_pairs,).

    Raises:
        ValueError: shapes that differ, smoothing out of range.

    Source: E. Mitchell, "A note on DPO with noisy preferences" (2023), for L = Bradley-Terry.

    >>> import torch
    >>> label_smoothed(torch.tensor([0.0]), torch.tensor([0.0])).tolist()
    [0.6931471824645996]
    """
    share = check_number("smoothing", smoothing, low=0.0, high=0.5)
    return (1 - share) * objective(winner, loser) + share * objective(loser, winner)
