"""Objectives for rankings of more than two items, as choices of one item from several."""

from __future__ import annotations

import torch
from torch import Tensor

from rmspace.objectives._checks import check_column, check_marks, gap_of

__all__ = ["plackett_luce"]


def plackett_luce(
    winner: Tensor, loser: Tensor, *, choice: Tensor, n_alternatives: Tensor, tie: Tensor | None = None
) -> Tensor:
    """Negative log-likelihood of Plackett and Luce: in each choice one item is taken from all that are left.

        -log(exp(s_c) / (exp(s_c) + sum_j exp(s_j))),    j over the alternatives that were not taken

    A choice is one row for each alternative j, with the taken item c as its winner. A ranking is a row of choices: the
    best of all, the best of the rest, and so on; `rmspace.data.rankings.choices_of` makes them. With one alternative
    this is Bradley-Terry. Each row carries an equal share of the loss of its choice.

    The rows of a choice must come together. `LinearReward` and `LightGBMReward` always see all rows. Give `MLPReward` a
    `batch_size` of at least the number of comparisons, and all rows of a choice one weight. The curvature of a taken
    item is an upper bound.

    Args:
        winner, loser: scores (n_pairs,).
        choice: (n_pairs,) the number of the choice that a row belongs to, a column of the comparisons.
        n_alternatives: (n_pairs,) how many rows this choice has, a column of the comparisons.
        tie: (n_pairs,) all False: a ranking has no ties.

    Returns:
        Losses (n_pairs,), in nats; scores are fixed only up to a constant.

    Raises:
        ValueError: shapes that differ, a tie, a choice of which rows are missing.

    Source: R. L. Plackett, "The analysis of permutations", Appl. Stat. 24 (1975); R. D. Luce (1959).

    >>> from rmspace.data.rankings import choices_of
    >>> comparisons, columns = choices_of([[2, 0, 1]])
    >>> scores, columns = torch.zeros(3), {name: torch.from_numpy(column) for name, column in columns.items()}
    >>> plackett_luce(scores[comparisons[:, 0]], scores[comparisons[:, 1]], **columns).sum().exp().tolist()
    6.0
    """
    gap = gap_of(winner, loser)
    if tie is not None and check_marks("tie", tie, gap).any():
        raise ValueError("a ranking has no ties; leave tied items out, or take an objective that knows ties")
    check_column("choice", choice, gap)
    numbers, position = choice.unique(return_inverse=True)
    size = check_column("n_alternatives", n_alternatives, gap, low=1)
    _check_whole(position, size)
    # In log Z = log(1 + sum_j exp(-g_j)) a row sees the other rows as constants. Its slope and curvature are then those
    # of log Z by its own gap, and no curvature between two losers is counted as one loser's own.
    shift = torch.zeros(len(numbers), dtype=gap.dtype, device=gap.device)
    shift = shift.scatter_reduce(0, position, -gap.detach(), "amax")  # starts at 0, the taken item itself
    parts = (-gap - shift[position]).exp()
    fixed = parts.detach()
    total = (-shift).exp().scatter_add(0, position, fixed)[position]
    log_z = (total - fixed + parts).log() + shift[position]
    return log_z - log_z.detach() * (1 - 1 / size)


def _check_whole(position: Tensor, size: Tensor) -> None:
    """Raise ValueError where the rows of a choice are not all here, or are here twice."""
    count = torch.bincount(position)[position]
    if (wrong := count != size).any():
        row = int(wrong.to(torch.uint8).argmax())
        raise ValueError(
            f"all rows of a choice must come together, once; of {int(size[row])} alternatives {int(count[row])} came: "
            "keep choices whole, and give MLPReward a batch_size of at least the number of comparisons"
        )
