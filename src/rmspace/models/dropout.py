"""An ensemble of one network whose members differ in the hidden units that are dropped."""

from __future__ import annotations

from copy import copy, deepcopy
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import nn

from rmspace._checks import check_function, check_int, shown
from rmspace.kinds import Reduction
from rmspace.models.core.base import draw_seed
from rmspace.models.core.data import FitData
from rmspace.models.core.fitting import fit_member
from rmspace.models.core.network import RewardNetwork
from rmspace.models.ensemble import EnsembleReward
from rmspace.models.mlp import MLPReward
from rmspace.reductions import mean

__all__ = ["DropoutReward"]


class DropoutReward(EnsembleReward):
    """Ensemble of one network with dropout: one fit, and members in which different hidden units are dropped.

    A member drops each hidden unit with the probability `dropout` of the network, and multiplies the others by
    1 / (1 - dropout), as in training. The units are drawn once, when the model is fitted. So a member is one function
    of the item, and all items of any call meet the same members. `predict(items, return_std=True)` gives the standard
    deviation over members; `reduce` makes the score of them, such as `lower_confidence`.

    The members share their unit, so that their scores are not put on one scale. The cost is that of one fit. The spread
    grows with `dropout`, and is no calibrated probability.

    Args:
        member: an `MLPReward` with dropout and a hidden layer, which is cloned; one with dropout=0.1 when None.
        n_members: the number of members.
        reduce: as in `EnsembleReward`.
        random_state: seed of the network, where its own is None, and of the dropped units.

    Attributes:
        members_: `MLPReward`, one per member, with weights of 0 from the dropped units.
        locations_, scales_: 0 and 1, (n_members,).

    Source: Gal and Ghahramani, "Dropout as a Bayesian approximation" (arXiv 1506.02142).

    >>> rng = np.random.default_rng(0)
    >>> items, pairs = rng.normal(size=(400, 4)), np.arange(400).reshape(200, 2)
    >>> better = items[pairs[:, 0], 0] > items[pairs[:, 1], 0]
    >>> comparisons = np.where(better[:, None], pairs, pairs[:, ::-1])
    >>> member = MLPReward(hidden_sizes=(32,), dropout=0.2, learning_rate=1e-2, validation_fraction=0.0)
    >>> model = DropoutReward(member, n_members=20, random_state=0).fit(items, comparisons)
    >>> scores, std = model.predict(items, return_std=True)
    >>> model.score(items, comparisons) > 0.8, bool((std > 0).all())
    (True, True)
    """

    def __init__(
        self,
        member: MLPReward | None = None,
        n_members: int = 10,
        *,
        reduce: Reduction = mean,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.member = member
        self.n_members = n_members
        self.reduce = reduce
        self.random_state = random_state

    def _prototype(self) -> Any:
        return MLPReward(dropout=0.1) if self.member is None else self.member

    def _fit(self, data: FitData) -> None:
        n_members = check_int("n_members", self.n_members, low=1)
        check_function("reduce", self.reduce, "of scores (n_members, n_items)")
        network = _checked(self._prototype())
        seeds = np.random.default_rng(draw_seed(self.random_state))
        if network.random_state is None:
            network.set_params(random_state=int(seeds.integers(2**31 - 1)))
        fit_member(network, data)
        self.members_ = [_thinned(network, rng) for rng in seeds.spawn(n_members)]
        self.locations_, self.scales_ = np.zeros(n_members), np.ones(n_members)


def _checked(member: Any) -> MLPReward:
    """Return a clone of the member, which must be a network with hidden units to drop."""
    if not isinstance(member, MLPReward):
        raise TypeError(f"member must be an MLPReward with dropout; got {shown(member)}")
    found: MLPReward = clone(member)
    found._schedule()
    if not found.dropout or not len(found.hidden_sizes):
        raise ValueError(
            f"DropoutReward needs an MLPReward with dropout above 0 and a hidden layer; got dropout="
            f"{found.dropout:g} and hidden_sizes={tuple(found.hidden_sizes)}; its members would all be the same"
        )
    return found


def _thinned(model: MLPReward, rng: np.random.Generator) -> MLPReward:
    """Return a copy of a fitted model in which some hidden units are dropped: the weights that read them are 0."""
    network: RewardNetwork = deepcopy(model.network_)
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer in layers[1:]:
            kept = rng.random(layer.in_features) >= network.dropout
            layer.weight *= torch.from_numpy(kept / (1 - network.dropout)).to(layer.weight.dtype)
    member = copy(model)
    member.network_ = network
    return member
