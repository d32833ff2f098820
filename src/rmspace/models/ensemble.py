"""Ensembles of reward models, and the ways to combine their scores."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from rmspace._checks import as_numbers, check_bool, check_function, check_int, describe, shown
from rmspace._typing import Float64Array, FloatArray
from rmspace.data.arrays import check_weights
from rmspace.data.mapped import choose
from rmspace.data.progress import progress
from rmspace.kinds import Reduction, RewardModel
from rmspace.models.core.base import BaseReward, draw_seed, may_compare, scores_in_blocks
from rmspace.models.core.data import FitData, OnEpoch
from rmspace.models.core.fitting import fit_member
from rmspace.models.core.precision import on_device
from rmspace.models.core.reuse import reuse_items
from rmspace.models.core.scoring import Scorer, finite_scores, score_blocks
from rmspace.models.io.state import check_fitted_array
from rmspace.models.mlp import MLPReward, batching_pays, train_models
from rmspace.reductions import mean

__all__ = ["EnsembleReward"]


class EnsembleReward(BaseReward):
    """Ensemble of reward models that differ in their seeds, and, with `bootstrap`, in their comparisons.

    score(x) = reduce over members k of (s_k(x) - m_k) / d_k, with m_k and d_k the mean and standard deviation of
    member k's scores over the items of the training comparisons. Rewards are fixed only up to a constant and, across
    members, a scale; without this step the member with the largest scores would decide.

    `predict(items, return_std=True)` also gives the standard deviation of the members' scores (of a sample).

    Args:
        member: the reward model, or pipeline ending in one, that is cloned; an `MLPReward` when None.
        n_members: the number of members.
        reduce: (n_members, n_items) -> (n_items,): a function of `rmspace.reductions`, or your own. It gets the scores
            of all items of a call of `predict`.
        bootstrap: give each member its own sample of the comparisons, drawn with replacement (as weights). Members
            whose training has no randomness differ only by this sample.
        batched: train the members as one program of batched products, which is possible for `MLPReward` without
            dropout. "auto" does so on a GPU, and on a CPU for members of at most 32,768 weights whose batches take at
            most 33 million multiplications to score. Members are the same either way, up to rounding. Give False for
            an objective that draws at random or looks at more than one pair at a time.
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
        member: RewardModel | None = None,
        n_members: int = 10,
        *,
        reduce: Reduction = mean,
        bootstrap: bool = False,
        batched: bool | Literal["auto"] = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.member = member
        self.n_members = n_members
        self.reduce = reduce
        self.bootstrap = bootstrap
        self.batched = batched
        self.random_state = random_state

    def _fit(self, data: FitData) -> None:
        n_members = check_int("n_members", self.n_members, low=1)
        check_bool("bootstrap", self.bootstrap)
        check_function("reduce", self.reduce, "of scores (n_members, n_items)")
        prototype = self._prototype()
        streams = np.random.default_rng(draw_seed(self.random_state)).spawn(n_members)
        members = [_reseeded(prototype, int(rng.integers(2**31 - 1))) for rng in streams]
        if self.bootstrap:  # a column that is missing or not finite must not depend on what is drawn
            last = prototype[-1] if isinstance(prototype, Pipeline) else prototype
            data.for_objective(getattr(last, "objective", None))
        parts = [_resampled(data, rng) if self.bootstrap else data for rng in streams]
        if data.on_epoch is not None:
            parts = [replace(part, on_epoch=_numbered(data.on_epoch, k)) for k, part in enumerate(parts)]
        with reuse_items():
            if not (self._is_batched(data.dim) and _fit_batched(members, parts)):
                for member, part in zip(progress(members, "members"), parts, strict=True):
                    fit_member(member, part)
        used = choose(data.items, np.unique(data.comparisons[data.weights > 0]))
        table = _member_table(members, used)
        if n_members > 1 and (table == table[0]).all():
            warnings.warn(
                f"all {n_members} members are the same: {type(prototype).__name__} draws nothing at random here; "
                "pass bootstrap=True",
                UserWarning,
                stacklevel=3,
            )
        spread = table.std(axis=1)
        self.members_ = members
        self.locations_, self.scales_ = table.mean(axis=1), np.where(spread > 0, spread, 1.0)

    def check_state(self) -> None:
        """Raise ValueError where there are no members, or not one location and scale of each."""
        if not isinstance(self.members_, list) or not self.members_:
            raise ValueError(f"members_ must list at least one model; got {shown(self.members_)}")
        n = self.n_features_in_
        if wrong := [each for each in self.members_ if not hasattr(each, "predict") or each.n_features_in_ != n]:
            raise ValueError(f"each member must be a model of {n} features; got {shown(wrong[0])}")
        for name in ("locations_", "scales_"):
            check_fitted_array(name, getattr(self, name), (len(self.members_),))
        if self.scales_.min() <= 0:
            raise ValueError(f"scales_ must be above 0; got {self.scales_.min():g}")
        super().check_state()

    def _prototype(self) -> Any:
        if isinstance(self.member, type):
            raise TypeError(f"member must be a reward model, not its class; write {self.member.__name__}()")
        return MLPReward() if self.member is None else self.member

    def _select(self, data: FitData) -> FitData:
        return data  # each member selects what its own objective asks for

    def _has_epochs(self) -> bool:
        member = self._prototype()
        last = member[-1] if isinstance(member, Pipeline) else member
        return isinstance(last, BaseReward) and last._has_epochs()

    def _is_batched(self, dim: int) -> bool:
        """Say whether the members are to be trained as one program."""
        if self.batched != "auto" and not isinstance(self.batched, bool | np.bool_):
            raise ValueError(f"batched must be True, False or 'auto'; got {self.batched!r}")
        member = self._prototype()
        possible = type(member) is MLPReward and member.dropout == 0
        if self.batched is True and not possible:
            raise ValueError(
                f"batched=True needs an MLPReward without dropout as member; got {member!r}; take 'auto' or False"
            )
        pays = possible and batching_pays(member, dim) if self.batched == "auto" else bool(self.batched)
        return pays and self.n_members > 1

    def _device(self) -> torch.device:
        return _device_of(self.members_)

    def predict_members(self, items: npt.ArrayLike) -> Float64Array:
        """Score items with each member, on the one scale of the ensemble: (s_k(x) - m_k) / d_k.

        Args:
            items: (n_items, dim), finite.

        Returns:
            float64 (n_members, n_items).

        Raises:
            sklearn.exceptions.NotFittedError, ValueError, FloatingPointError, RuntimeError: as `predict`.
        """
        return self._member_scores(self._checked(items))

    def _member_scores(self, items: FloatArray) -> Float64Array:
        return (_member_table(self.members_, items) - self.locations_[:, None]) / self.scales_[:, None]

    def _predict(self, items: FloatArray) -> FloatArray:
        return self._combine(self._member_scores(items))

    def _predict_with_std(self, items: FloatArray) -> tuple[FloatArray, FloatArray]:
        if len(self.members_) < 2:
            raise ValueError("return_std needs two members, since it is their spread; got 1; raise n_members")
        table = self._member_scores(items)
        return self._combine(table), table.std(axis=0, ddof=1)

    def _combine(self, table: Float64Array) -> FloatArray:
        """Reduce the members' scores of all items, so that a reduction may compare items with one another."""
        combined = as_numbers("reduced scores", self.reduce(table))
        if combined.shape != table.shape[1:]:
            raise ValueError(f"reduce must return one score per item, {table.shape[1:]}; got {describe(combined)}")
        return finite_scores(combined)


def _resampled(data: FitData, rng: np.random.Generator) -> FitData:
    """Draw as many comparisons as have weight, with replacement; multiply each weight by how often it was drawn."""
    if not data.weights.all():
        data = data.select(data.weights > 0)
    n = len(data.comparisons)
    counts = rng.multinomial(n, np.full(n, 1 / n))
    return replace(data, weights=check_weights(data.weights * counts, n))


def _numbered(on_epoch: OnEpoch, member: int) -> OnEpoch:
    """Return an `on_epoch` that adds the member's number to each record."""
    return lambda record: on_epoch({"member": member, **record})


def _fit_batched(members: Sequence[MLPReward], parts: Sequence[FitData]) -> bool:
    """Fit all members as one program; warn and return False where the device's memory holds only one at a time."""
    data = [member._select(part) for member, part in zip(members, parts, strict=True)]
    seeds = [draw_seed(member.random_state) for member in members]
    members[0]._warn_without_groups(data[0])
    try:
        train_models(members, data, seeds, members[0]._device())
    except torch.OutOfMemoryError as error:
        reason = str(error).partition(". ")[0]
    else:
        return True
    warnings.warn(
        f"too little memory left for {len(members)} members at once ({reason}); training them one by one",
        UserWarning,
        stacklevel=4,
    )
    return False


def _device_of(members: Sequence[Any]) -> torch.device:
    return members[0]._device() if scores_in_blocks(members[0]) else torch.device("cpu")


def _member_table(members: Sequence[Any], items: FloatArray) -> Float64Array:
    """Score items with each member, (n_members, n_items)."""
    if may_compare(members[0]):
        return np.stack([finite_scores(member.predict(items)) for member in members])
    return on_device(_device_of(members), lambda device: score_blocks(items, _members_scorer(members, device)))


def _members_scorer(members: Sequence[Any], device: torch.device) -> Scorer:
    """Return the function that scores a block with each member, -> (n_members, n_rows); a block is converted once."""
    scorers = [member._scorer(device) if scores_in_blocks(member) else _predict_scorer(member) for member in members]
    return lambda block: np.stack([finite_scores(score(block)) for score in scorers])


def _predict_scorer(member: Any) -> Scorer:
    return lambda block: member.predict(block.array())


def _reseeded(prototype: Any, seed: int) -> Any:
    """Clone a member and give it its own seed, also in its nested parts, in place of any seed of the prototype."""
    model = clone(prototype)
    names = [name for name in model.get_params() if name == "random_state" or name.endswith("__random_state")]
    return model.set_params(**dict.fromkeys(names, seed))
