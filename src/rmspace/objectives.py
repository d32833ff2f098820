"""Objectives: (winner scores, loser scores) -> one loss a pair.

An objective is any function of two equally long tensors that returns one loss a pair, of that pair's two scores alone;
it never reduces and never calls a model. It must be differentiable once for `LinearReward` and `MLPReward`, twice for
`LightGBMReward`.
Objectives of the gap alone (all here but `classification`) fix a reward only up to a constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from rmspace._checks import check_number

__all__ = ["bradley_terry", "classification", "hinge", "label_smoothed", "margin_bradley_terry", "thurstone"]

# Past a gap of 9 the Thurstone loss is under 1e-18 and its exact derivatives overflow; under -30 they cancel, and
# four terms of the tail's asymptotic series are exact to 1e-9.
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
    """Cross-entropy of a classifier that sees responses alone: -log sigma(s_w) - log sigma(-s_l).

    The winner is a row of class 1, the loser one of class 0, and the logit is the reward; unlike the others, this
    objective fixes the constant.

    Args:
        winner, loser: scores (n_pairs,).

    Returns:
        Losses (n_pairs,), in nats, the sum of the two rows'.

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


def hinge(winner: Tensor, loser: Tensor, *, margin: float = 1.0) -> Tensor:
    """Hinge loss of a ranking support-vector machine: max(0, margin - (s_w - s_l)).

    It has no curvature, so trees cannot be fitted by it.

    Args:
        winner, loser: scores (n_pairs,).
        margin: gap that costs nothing, at least 0.

    Returns:
        Losses (n_pairs,); scores are fixed only up to a constant.

    Raises:
        ValueError: shapes that differ, a negative margin.

    Source: Herbrich, Graepel and Obermayer, "Large margin rank boundaries for ordinal regression" (2000).

    >>> hinge(torch.tensor([2.0, 0.5]), torch.tensor([0.0, 0.0])).tolist()
    [0.0, 0.5]
    """
    return relu(check_number("margin", margin, low=0.0) - _gap(winner, loser))


def margin_bradley_terry(winner: Tensor, loser: Tensor, *, margin: float = 1.0) -> Tensor:
    """Bradley-Terry loss that asks for a margin: -log sigma(s_w - s_l - margin).

    Args:
        winner, loser: scores (n_pairs,).
        margin: how far apart the scores should be, at least 0.

    Returns:
        Losses (n_pairs,), in nats; scores are fixed only up to a constant.

    Raises:
        ValueError: shapes that differ, a negative margin.

    Source: Touvron et al., "Llama 2" (arXiv 2307.09288), section 3.2.2, with one margin for all pairs.

    >>> margin_bradley_terry(torch.tensor([1.0]), torch.tensor([0.0])).tolist()
    [0.6931471824645996]
    """
    return -logsigmoid(_gap(winner, loser) - check_number("margin", margin, low=0.0))


def label_smoothed(
    winner: Tensor,
    loser: Tensor,
    *,
    smoothing: float = 0.1,
    objective: Callable[[Tensor, Tensor], Tensor] = bradley_terry,
) -> Tensor:
    """Loss expected when a share of the labels is flipped: (1 - a) L(s_w, s_l) + a L(s_l, s_w), a = smoothing.

    Args:
        winner, loser: scores (n_pairs,).
        smoothing: a, in [0, 0.5]; at 0.5 both orders cost the same and nothing can be learned.
        objective: L, any objective.

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


def _gap(winner: Tensor, loser: Tensor) -> Tensor:
    if winner.shape != loser.shape:
        raise ValueError(
            f"winner and loser scores must have one shape; got {tuple(winner.shape)} and {tuple(loser.shape)}"
        )
    return winner - loser
