"""Ensembles of reward models, and the ways to combine their scores."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import clone
from tqdm import tqdm

from rmspace._checks import check_int, describe
from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.data.arrays import check_items, check_pairs, check_weights
from rmspace.data.mapped import choose
from rmspace.kinds import Reduction
from rmspace.models.core.base import BaseReward, Scorer, draw_seed, score_blocks
from rmspace.models.core.fitting import fit_model
from rmspace.models.core.precision import on_device
from rmspace.models.core.reuse import reuse_items
from rmspace.models.mlp import MLPReward, prepare_fits, together_pays
from rmspace.reductions import mean

__all__ = ["EnsembleReward"]


class EnsembleReward(BaseReward):
    """Ensemble of reward models that differ in their seeds, and, with `bootstrap`, in their comparisons.

    score(x) = reduce over members k of (s_k(x) - m_k) / d_k, with m_k and d_k the mean and standard deviation of
    member k's scores over the items of the training comparisons. Rewards are fixed only up to a constant and, across
    members, a scale, so without this step the loudest member would decide.

    Args:
        member: the reward model, or pipeline ending in one, that is cloned; an `MLPReward` when None.
        n_members: how many.
        reduce: (n_members, n_items) -> (n_items,): `mean`, `minimum`, `lower_confidence` or your own.
        bootstrap: give each member its own sample of the comparisons, drawn with replacement (as weights); members
            without randomness of their own need it to differ.
        together: train the members as one program of batched products, which `MLPReward` without dropout can: True,
            False, or "auto", which does so on a GPU, and on a CPU for members of at most 32,768 weights whose batches
            take at most 33 million multiplications to score. Members are the same either way, but for what training
            makes of rounding; False for an objective that draws at random or looks at more than a pair.
        random_state: seed of the members' seeds and samples.

    Attributes:
        members_: the fitted members.
        locations_, scales_: m and d, (n_members,).

    >>> from rmspace import make_synthetic_banks, same_prompt, annotate, oracle, spearman, LinearReward
    >>> train, test = make_synthetic_banks(100, 50, 8, 32, noise_std=0.0, seed=0)
    >>> rng = np.random.default_rng(0)
    >>> comparisons = annotate(same_prompt(train, 1000, rng), train.rewards, oracle, rng=rng)
    >>> model = EnsembleReward(LinearReward(), n_members=3, bootstrap=True, random_state=0)
    >>> model = model.fit(train.items, comparisons)
    >>> bool(spearman(model.predict(test.items), test.rewards).mean() > 0.4)
    True
    """

    def __init__(
        self,
        member: Any = None,
        n_members: int = 10,
        *,
        reduce: Reduction = mean,
        bootstrap: bool = False,
        together: bool | Literal["auto"] = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.member = member
        self.n_members = n_members
        self.reduce = reduce
        self.bootstrap = bootstrap
        self.together = together
        self.random_state = random_state

    def fit(
        self,
        items: npt.ArrayLike,
        comparisons: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
    ) -> Self:
        """Learn from comparisons of items; arguments and errors are the member's.

        Raises:
            ValueError, TypeError: as the member; fewer than one member; a member that is no reward model;
                `together=True` with members that cannot be.
        """
        n_members = check_int("n_members", self.n_members, low=1)
        member = MLPReward() if self.member is None else self.member
        array = check_items(items)
        ids = check_pairs("comparisons", comparisons, len(array))
        weights = check_weights(sample_weight, len(ids))
        touched = choose(array, np.unique(ids[weights > 0]))
        members, drawn = [], []
        even = np.full(len(ids), 1 / len(ids))
        for rng in np.random.default_rng(draw_seed(self.random_state)).spawn(n_members):
            members.append(_reseeded(member, int(rng.integers(2**31 - 1))))
            drawn.append(weights * rng.multinomial(len(ids), even) if self.bootstrap else sample_weight)
        with reuse_items():
            together = self._is_together(member, array.shape[1]) and n_members > 1
            if not (together and _fitted_together(members, array, ids, drawn, groups)):
                for model, own in zip(tqdm(members, desc="members", leave=False, disable=None), drawn, strict=True):
                    fit_model(model, array, ids, own, groups)
        table = on_device(_device_of(members), lambda device: _table(members, touched, device))
        if n_members > 1 and (table == table[0]).all():
            warnings.warn(
                f"all {n_members} members are the same: {type(member).__name__} draws nothing at random here; "
                "pass bootstrap=True",
                UserWarning,
                stacklevel=2,
            )
        spread = table.std(axis=1)
        self.members_ = members
        self.locations_, self.scales_ = table.mean(axis=1), np.where(spread > 0, spread, 1.0)
        self.n_features_in_ = array.shape[1]
        return self

    def _is_together(self, member: Any, dim: int) -> bool:
        """Say whether the members are to be trained as one program."""
        if self.together != "auto" and not isinstance(self.together, bool | np.bool_):
            raise ValueError(f"together must be True, False or 'auto'; got {self.together!r}")
        possible = type(member) is MLPReward and member.dropout == 0
        if self.together == "auto":
            return possible and together_pays(member, dim)
        if self.together and not possible:
            raise ValueError(
                f"together=True needs an MLPReward without dropout as member; got {member!r}; take 'auto' or False"
            )
        return bool(self.together)

    def _device(self) -> torch.device:
        return _device_of(self.members_)

    def _scorers(self, device: torch.device) -> list[Scorer]:
        return [scorer for member in self.members_ for scorer in _scorers_of(member, device)]

    def _combine(self, table: Float64Array) -> Float64Array:
        scores = _member_scores(self.members_, table)
        combined = np.asarray(self.reduce((scores - self.locations_[:, None]) / self.scales_[:, None]))
        if combined.shape != scores.shape[1:]:
            raise ValueError(f"reduce must return one score an item, {scores.shape[1:]}; got {describe(combined)}")
        return combined

    def _write(self, folder: Path) -> dict[str, Any]:
        from rmspace.models.io.format import write_model

        for k, member in enumerate(self.members_):
            write_model(member, folder / f"member_{k}")
        return {
            "n_members": len(self.members_),
            "n_features_in": self.n_features_in_,
            "locations": self.locations_.tolist(),
            "scales": self.scales_.tolist(),
        }

    def _read(self, folder: Path, state: dict[str, Any], trusted: Sequence[str]) -> None:
        from rmspace.models.io.format import read_model

        self.members_ = [read_model(folder / f"member_{k}", trusted) for k in range(state["n_members"])]
        self.locations_, self.scales_ = np.array(state["locations"]), np.array(state["scales"])
        self.n_features_in_ = state["n_features_in"]


def _is_plain(member: Any) -> bool:
    """Say whether a member scores as the base class does; one that overrides `predict` must be asked for it."""
    return isinstance(member, BaseReward) and type(member).predict is BaseReward.predict


def _device_of(members: Sequence[Any]) -> torch.device:
    return members[0]._device() if _is_plain(members[0]) else torch.device("cpu")


def _scorers_of(member: Any, device: torch.device) -> list[Scorer]:
    return member._scorers(device) if _is_plain(member) else [Scorer(None, member.predict)]


def _member_scores(members: Sequence[Any], table: Float64Array) -> Float64Array:
    """Make one row a member of the rows of their scorers, of which an ensemble has several."""
    parts = np.array_split(table, len(members))  # members are clones of one prototype
    return np.stack([m._combine(part) if _is_plain(m) else part[0] for m, part in zip(members, parts, strict=True)])


def _table(members: Sequence[Any], items: FloatArray, device: torch.device) -> Float64Array:
    """Score items by each member, (n_members, n_items)."""
    scorers = [scorer for member in members for scorer in _scorers_of(member, device)]
    return score_blocks(items, scorers, device, partial(_member_scores, members))


def _fitted_together(
    members: Sequence[MLPReward],
    items: FloatArray,
    comparisons: IntArray,
    sample_weights: Sequence[npt.ArrayLike | None],
    groups: npt.ArrayLike | None,
) -> bool:
    """Fit all members as one program and say so, or warn where the device's memory holds only one at a time."""
    try:
        prepare_fits(members, items, comparisons, sample_weights, groups)(members[0]._device())
    except torch.OutOfMemoryError as error:
        reason = str(error).partition(". ")[0]
    else:
        return True
    warnings.warn(
        f"too little memory left for {len(members)} members at once ({reason}); training them one by one",
        UserWarning,
        stacklevel=3,
    )
    return False


def _reseeded(prototype: Any, seed: int) -> Any:
    """Clone a member and give it its own seed, nested ones included, in place of any that its prototype had."""
    model = clone(prototype)
    names = [name for name in model.get_params() if name == "random_state" or name.endswith("__random_state")]
    return model.set_params(**dict.fromkeys(names, seed))
