"""Objectives: (winner scores, loser scores) -> one loss per pair.

An objective is any function of two equally long tensors that returns one loss per pair, from the two scores of that
pair alone. It never reduces (no mean, no sum) and never calls a model. It must be differentiable once for
`LinearReward` and `MLPReward`, twice for `LightGBMReward`. Objectives of the gap alone (all here except
`classification`) fix a reward only up to a constant.

Further parameters receive columns of the comparisons: a parameter named like a column (`margin`, `annotator`, any
other) gets that column as a tensor (n_pairs,), aligned with the scores. Fractions come in the precision of the scores,
integers as int64, bool as bool, and text as integer codes in alphabetical order. A parameter that is bound by
`functools.partial` keeps its value; one with a default keeps the default where there is no such column. A comparison
marked as a tie counts as half a win of each order, for every objective without a parameter `tie`.

>>> def heavier_when_clear(winner, loser, margin):  # your own objective, which needs the column `margin`
...     return margin * bradley_terry(winner, loser)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from rmspace._checks import check_number
from rmspace.kinds import Objective

__all__ = ["bradley_terry", "classification", "hinge", "label_smoothed", "margin_bradley_terry", "thurstone"]

# Above a gap of 9 the Thurstone loss is under 1e-18, and its exact derivatives overflow. Below -30 these lose their
# digits by cancellation; there, four terms of the tail's asymptotic series are exact to 1e-9.
_CERTAIN, _HOPELESS = 9.0, -30.0


def bradley_terry(winner: Tensor, loser: Tensor) -> Tensor:
    """Negative log-likelihood of Bradley and Terry: -log sigma(s_w - s_l).

    Args:
        winner, loser: scores (n_pairs,).

    Returns:
        Losses (n_pairs,), in nats; scores are fixed only up to a constant.

    Raises:
        ValueError: shapes that differ.

    Source: Bradley and Terry, Biometrika 39 (1952); as a reward model's loss see arXiv 2411.04991.

    >>> bradley_terry(torch.tensor([0.0, -1e4]), torch.tensor([0.0, 0.0])).tolist()
    [0.6931471824645996, 10000.0]
    """
    return -logsigmoid(_gap(winner, loser))


def classification(winner: Tensor, loser: Tensor) -> Tensor:
    """Cross-entropy of a classifier that sees single items: -log sigma(s_w) - log sigma(-s_l).

    The winner is a row of class 1, the loser one of class 0, and the logit is the reward. Unlike the others, this
    objective fixes the constant.

    Args:
        winner, loser: scores (n_pairs,).

    Returns:
        Losses (n_pairs,), in nats, the sum over the two rows.

    Raises:
        ValueError: shapes that differ.

    Source: arXiv 2411.04991, where it is called the classification-based reward model.

    >>> classification(torch.tensor([0.0]), torch.tensor([0.0])).tolist()
    [1.3862943649291992]
    """
    _gap(winner, loser)
    return -logsigmoid(winner) - logsigmoid(-loser)


def thurstone(winner: Tensor, loser: Tensor) -> Tensor:
    """Negative log-likelihood of Thurstone's case V: -log Phi(s_w - s_l).

    Args:
        winner, loser: scores (n_pairs,).

    Returns:
        Losses (n_pairs,), in nats; scores are fixed only up to a constant.

    Raises:
        ValueError: shapes that differ.

    Source: L. L. Thurstone, Psychological Review 34 (1927).

    >>> thurstone(torch.tensor([0.0]), torch.tensor([0.0])).tolist()
    [0.6931471824645996]
    """
    gap = _gap(winner, loser)
    x = gap.clamp(max=_HOPELESS)
    tail = x**2 / 2 + torch.log(-x) + math.log(2 * math.pi) / 2 - torch.log1p(-(x**-2) + 3 * x**-4 - 15 * x**-6)
    return torch.where(gap > _HOPELESS, -torch.special.log_ndtr(gap.clamp(_HOPELESS, _CERTAIN)), tail)


def hinge(winner: Tensor, loser: Tensor, *, margin: float | Tensor = 1.0) -> Tensor:
    """Hinge loss of a ranking support-vector machine: max(0, margin - (s_w - s_l)).

    Its second derivative is 0, so `LightGBMReward` cannot use it.

    Args:
        winner, loser: scores (n_pairs,).
        margin: the gap above which the loss is 0, at least 0: one number, or one per pair. Where the comparisons have
            a column `margin`, that column is used.

    Returns:
        Losses (n_pairs,); scores are fixed only up to a constant.

    Raises:
        ValueError: shapes that differ, a negative number.

    Source: Herbrich, Graepel and Obermayer, "Large margin rank boundaries for ordinal regression" (2000).

    >>> hinge(torch.tensor([2.0, 0.5]), torch.tensor([0.0, 0.0])).tolist()
    [0.0, 0.5]
    """
    gap = _gap(winner, loser)
    return relu(_margin(margin, gap) - gap)


def margin_bradley_terry(winner: Tensor, loser: Tensor, *, margin: float | Tensor = 1.0) -> Tensor:
    """Bradley-Terry loss that asks for a margin: -log sigma(s_w - s_l - margin).

    Args:
        winner, loser: scores (n_pairs,).
        margin: how far apart the scores should be, at least 0: one number, or one per pair. Where the comparisons have
            a column `margin`, that column is used.

    Returns:
        Losses (n_pairs,), in nats; scores are fixed only up to a constant.

    Raises:
        ValueError: shapes that differ, a negative number.

    Source: Touvron et al., "Llama 2" (arXiv 2307.09288), section 3.2.2.

    >>> margin_bradley_terry(torch.tensor([1.0]), torch.tensor([0.0])).tolist()
    [0.6931471824645996]
    >>> margin_bradley_terry(torch.tensor([1.0, 3.0]), torch.zeros(2), margin=torch.tensor([1.0, 3.0])).tolist()
    [0.6931471824645996, 0.6931471824645996]
    """
    gap = _gap(winner, loser)
    return -logsigmoid(gap - _margin(margin, gap))


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

    >>> label_smoothed(torch.tensor([0.0]), torch.tensor([0.0])).tolist()
    [0.6931471824645996]
    """
    share = check_number("smoothing", smoothing, low=0.0, high=0.5)
    return (1 - share) * objective(winner, loser) + share * objective(loser, winner)


def try_objective(objective: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Compute an objective on one pair with equal scores, to raise what its bound options raise.

    >>> from functools import partial
    >>> try_objective(partial(hinge, margin=-1.0))
    Traceback (most recent call last):
    ValueError: margin must be at least 0.0; got -1
    """
    objective(torch.zeros(1), torch.zeros(1))


def _gap(winner: Tensor, loser: Tensor) -> Tensor:
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


def _margin(margin: float | Tensor, gap: Tensor) -> float | Tensor:
    if not isinstance(margin, Tensor):
        return check_number("margin", margin, low=0.0)
    if margin.is_complex() or margin.layout != torch.strided:
        raise TypeError(f"margin must be a number or a dense tensor of real numbers; got {_kind(margin)}")
    if margin.shape != gap.shape:
        raise ValueError(f"margin must be one number per pair, {tuple(gap.shape)}; got shape {tuple(margin.shape)}")
    return margin


def _kind(value: object) -> str:
    return f"{value.dtype}, {value.layout}" if isinstance(value, Tensor) else type(value).__name__
