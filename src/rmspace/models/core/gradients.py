"""The losses of an objective, and their gradient and curvature per item, by autograd."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rmspace._typing import Float64Array, IntArray
from rmspace.kinds import Objective
from rmspace.models.core.columns import Columns, bind, objective_name, to_tensors


class Slope(NamedTuple):
    """Summed loss, and its gradient and curvature with respect to each item's score."""

    loss: float
    gradient: Float64Array  # (n_items,)
    curvature: Float64Array | None  # (n_items,), the diagonal of the Hessian


def pair_losses(objective: Objective, winner: Tensor, loser: Tensor) -> Tensor:
    """Call an objective, and check that it returns one unreduced loss per pair that depends on the scores."""
    name = objective_name(objective)
    if not callable(objective):
        raise TypeError(f"objective must be a function of winner and loser scores; got {objective!r}")
    losses = objective(winner, loser)
    if not isinstance(losses, Tensor):
        raise TypeError(f"objective {name} must return a torch tensor; got {type(losses).__name__}")
    if losses.shape != winner.shape:
        raise ValueError(
            f"objective {name} must return one loss per pair, shape {tuple(winner.shape)}; "
            f"got shape {tuple(losses.shape)}; do not reduce (no .mean() or .sum())"
        )
    if winner.requires_grad and not losses.requires_grad:
        raise ValueError(f"objective {name} must be differentiable in the scores; its losses do not depend on them")
    return losses


def score_slope(
    objective: Objective,
    scores: Float64Array,
    pairs: IntArray,
    weights: Float64Array,
    *,
    curvature: bool = False,
) -> Slope:
    """Sum w_k L(s[i_k], s[j_k]) over comparisons and differentiate the sum with respect to each item's score.

    Each comparison gets its own copy of its two scores, so that one backward pass gives all first derivatives, and two
    more give all second ones. Each item then adds up those of its comparisons. The curvature is the diagonal of the
    Hessian; as in second-order boosting, the terms that couple the two items of a comparison are left out.

    Args:
        objective: (winner scores, loser scores) -> losses.
        scores: (n_items,).
        pairs: int64 (n_pairs, 2), column 0 won.
        weights: (n_pairs,).
        curvature: compute second derivatives too.

    Raises:
        ValueError: losses or slopes that are not finite.
    """
    sides = [torch.from_numpy(scores[pairs[:, k]]).requires_grad_() for k in (0, 1)]
    weight = torch.from_numpy(weights)
    loss = (weight * pair_losses(objective, *sides)).sum()
    slopes = torch.autograd.grad(loss, sides, create_graph=curvature, allow_unused=True)
    first = [torch.zeros_like(side) if slope is None else slope for side, slope in zip(sides, slopes, strict=True)]
    second = _second(sides, first) if curvature else None
    for name, values in (("losses", [loss]), ("gradients", first), ("curvatures", second or [])):
        if not all(bool(torch.isfinite(v).all()) for v in values):
            raise ValueError(f"objective {objective_name(objective)} gave {name} that are not finite for finite scores")
    return Slope(
        float(loss.detach()),
        _collect(first, pairs, len(scores)),
        None if second is None else _collect(second, pairs, len(scores)),
    )


def check_curvature(objective: Objective, columns: Columns | None = None) -> None:
    """Raise ValueError for an objective without curvature, tried at gaps from -3 to 3 around several levels.

    Args:
        objective: (winner scores, loser scores) -> losses.
        columns: the columns that it asks for, by name; some of the values are used.
    """
    levels, gaps = np.meshgrid(np.linspace(-2, 2, 5), np.linspace(-3, 3, 25))
    scores = np.concatenate([(levels + gaps / 2).ravel(), (levels - gaps / 2).ravel()])
    n = levels.size
    pairs = np.stack([np.arange(n), np.arange(n, 2 * n)], axis=1)
    some = to_tensors({name: np.resize(column, n) for name, column in (columns or {}).items()}, torch.float64)
    curvature = score_slope(bind(objective, some), scores, pairs, np.ones(n), curvature=True).curvature
    if curvature is None or not (curvature > 0).any():
        raise ValueError(
            f"objective {objective_name(objective)} has no curvature, and trees are fitted by curvature; "
            "use a smooth objective (bradley_terry, say), or LinearReward or MLPReward"
        )


def _second(sides: list[Tensor], first: list[Tensor]) -> list[Tensor]:
    """Differentiate each side's slope with respect to its own score; a constant slope has no curvature."""
    second = []
    for side, slope in zip(sides, first, strict=True):
        curve = None
        if slope.requires_grad:
            (curve,) = torch.autograd.grad(slope.sum(), side, retain_graph=True, allow_unused=True)
        second.append(torch.zeros_like(side) if curve is None else curve)
    return second


def _collect(sides: list[Tensor], pairs: IntArray, n_items: int) -> Float64Array:
    return np.asarray(
        sum(np.bincount(pairs[:, k], weights=side.numpy(force=True), minlength=n_items) for k, side in enumerate(sides))
    )
