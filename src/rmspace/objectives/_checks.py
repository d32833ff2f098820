"""Checks that objectives share: scores, and options that are one number or one per comparison."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from rmspace._checks import check_number
from rmspace.kinds import Objective

_OF_ONE_SIDE = ("winner_", "loser_", "choice")


def gap_of(winner: Tensor, loser: Tensor) -> Tensor:
    """Return winner minus loser scores, after a check of both."""
    for scores in (winner, loser):
        if not isinstance(scores, Tensor) or not scores.is_floating_point() or scores.layout != torch.strided:
            raise TypeError(
                f"winner and loser scores must be dense tensors of floating-point numbers; got {_kind(scores)}"
            )
    if winner.shape != loser.shape:
        raise ValueError(
            f"winner and loser scores must have one shape; got {tuple(winner.shape)} and {tuple(loser.shape)}"
        )
    return winner - loser


def check_each(
    name: str, value: float | Tensor, gap: Tensor, *, low: float | None = None, high: float | None = None
) -> float | Tensor:
    """Return an option that is one number, or one number per pair, in [low, high]."""
    if not isinstance(value, Tensor):
        return check_number(name, value, low=low, high=high)
    if value.is_complex() or value.layout != torch.strided:
        raise TypeError(f"{name} must be a number or a dense tensor of real numbers; got {_kind(value)}")
    if value.shape != gap.shape:
        raise ValueError(f"{name} must be one number per pair, {tuple(gap.shape)}; got shape {tuple(value.shape)}")
    if value.numel():
        check_number(name, float(value.min()), low=low)
        check_number(name, float(value.max()), high=high)
    return value


def check_column(
    name: str, value: Tensor | None, gap: Tensor, *, low: float | None = None, high: float | None = None
) -> Tensor:
    """Return a column that an objective cannot do without, in the precision of the scores."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor of one number per pair; got {_kind(value)}")
    check_each(name, value, gap, low=low, high=high)
    return value.to(gap.dtype)


def check_ratings(
    winner_rating: Tensor, loser_rating: Tensor, gap: Tensor, lowest: float | None, highest: float | None
) -> tuple[Tensor, Tensor]:
    """Return the ratings of winners and losers, none of them outside the scale; None where it has no such end."""
    ends = [check_number(name, end) for name, end in (("lowest", lowest), ("highest", highest)) if end is not None]
    if len(ends) == 2 and ends[0] >= ends[1]:
        raise ValueError(f"lowest must be below highest; got {ends[0]:g} and {ends[1]:g}")
    return (
        check_column("winner_rating", winner_rating, gap, low=lowest, high=highest),
        check_column("loser_rating", loser_rating, gap, low=lowest, high=highest),
    )


def check_marks(name: str, value: Tensor, gap: Tensor) -> Tensor:
    """Return marks, one True or False per pair, as bool."""
    column = check_column(name, value, gap)
    if not ((column == 0) | (column == 1)).all():
        raise ValueError(f"{name} must be True or False for each pair; got {column.unique()[:5].tolist()}")
    return column.bool()


def check_unused_ties(tie: Tensor | None, gap: Tensor) -> None:
    """Check marks of ties where an objective does not need them; without its parameter, ties would be turned."""
    if tie is not None:
        check_marks("tie", tie, gap)


def in_both_orders(objective: Objective, winner: Tensor, loser: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses of an objective for both orders; its columns stay the same, so none may belong to one side."""
    function = objective
    while isinstance(function, partial):
        if wrong := [name for name in function.keywords if name.startswith(_OF_ONE_SIDE)]:
            raise ValueError(
                f"an objective that is measured in both orders must have no column of one side; it has {wrong[0]!r}; "
                "take this objective alone"
            )
        function = function.keywords.get("objective", function.func)
    return objective(winner, loser), objective(loser, winner)


def _kind(value: object) -> str:
    return f"{value.dtype}, {value.layout}" if isinstance(value, Tensor) else type(value).__name__
