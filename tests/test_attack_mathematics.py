"""Spot checks by brute force of what was new: columns in batches, folds, search, intervals with clusters."""

from __future__ import annotations

import warnings
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

import rmspace as rm
from rmspace.data.split import split_comparisons
from rmspace.kinds import Objective
from rmspace.results.intervals import mean_interval


@pytest.mark.parametrize("batched", [None, True, False])
def test_each_comparison_meets_its_own_column(batched: bool | None) -> None:
    """The scores of a network with no training are known, so a column of their gaps tells the comparison."""
    rng = np.random.default_rng(0)
    items = rng.normal(size=(60, 4)).astype(np.float32)
    comparisons = rng.permutation(60).reshape(30, 2)
    code = comparisons[:, 0] * 100.0 + comparisons[:, 1]
    data = rm.Preferences(items, comparisons, np.arange(60) // 2, tie=np.arange(30) % 4 == 0, columns={"code": code})
    seen: list[Tensor] = []

    def objective(winner: Tensor, loser: Tensor, code: Tensor) -> Tensor:
        seen.append(torch.stack([winner.detach(), loser.detach(), code.float()], dim=1))
        return -torch.nn.functional.logsigmoid(winner - loser)

    member = rm.MLPReward(
        cast(Objective, objective),
        hidden_sizes=(5,),
        batch_size=7,
        max_epochs=1,
        learning_rate=1e-12,
        validation_fraction=0.0,
        precision="float32",
        random_state=0,
    )
    model = member if batched is None else rm.EnsembleReward(member, 2, batched=batched, random_state=0)
    model.fit(data)
    members = [model] if batched is None else model.members_
    scores = np.stack([each.predict(items) for each in members])
    rows = torch.cat(seen).numpy()
    first, second = (rows[:, 2] // 100).astype(int), (rows[:, 2] % 100).astype(int)
    straight = np.abs(scores[:, first] - rows[:, 0]) + np.abs(scores[:, second] - rows[:, 1])
    turned = np.abs(scores[:, second] - rows[:, 0]) + np.abs(scores[:, first] - rows[:, 1])
    assert (np.minimum(straight, turned).min(axis=0) < 1e-4).all()
    tied = np.isin(rows[:, 2], code[::4])
    assert (straight[:, ~tied].min(axis=0) < 1e-4).all()


def test_folds_have_no_prompt_on_both_sides_and_lose_only_what_joins_them() -> None:
    rng = np.random.default_rng(1)
    groups = rng.choice(list("abcdefghijkl"), 200)
    comparisons = np.array([rng.choice(200, 2, replace=False) for _ in range(150)])
    comparisons = np.concatenate([comparisons, [[i, j] for i in range(0, 199, 2) for j in [i + 1]]])
    data = rm.Preferences(np.eye(200, dtype=np.float32), comparisons, groups)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folds = list(rm.prompt_folds(data, 4, seed=3))
    tested: list[str] = []
    for train, test in folds:
        sides = [set(side.groups[side.comparisons].ravel().tolist()) for side in (train, test)]
        assert not sides[0] & sides[1]
        both = groups[comparisons]
        held = set(both.ravel().tolist()) - sides[0]
        inside = np.isin(both, list(held))
        assert len(test) == inside.all(axis=1).sum()
        assert len(train) == (~inside).all(axis=1).sum()
        tested += held
    assert sorted(tested) == sorted(set(groups.tolist()))


def test_validation_by_text_groups_has_no_prompt_on_both_sides() -> None:
    rng = np.random.default_rng(2)
    groups = rng.choice(list("abcdefghijklmnop"), 100)
    pairs = np.array([rng.choice(100, 2, replace=False) for _ in range(60)])
    pairs = np.concatenate([pairs, *[np.flatnonzero(groups == g)[:2][None] for g in np.unique(groups)]])
    training, validation = split_comparisons(pairs, groups, 0.3, rng)
    assert not set(groups[pairs[training]].ravel()) & set(groups[pairs[validation]].ravel())


def test_search_takes_the_best_mean_accuracy() -> None:
    train, _ = rm.make_synthetic_banks(60, 10, 5, 16, seed=0)
    rng = np.random.default_rng(0)
    data = rm.Preferences.from_bank(train, rm.same_prompt(train, 150, rng), rm.oracle, rng=rng)
    found = rm.search(rm.LinearReward(), {"alpha": [1e-4, 1e-2, 10.0]}, data, n_splits=3, seed=0)
    means = []
    for alpha in (1e-4, 1e-2, 10.0):
        folds = rm.prompt_folds(data, 3, seed=0)
        means.append(np.mean([rm.LinearReward(alpha=alpha).fit(a).score(b) for a, b in folds]))
    assert found.table.groupby("alpha").accuracy.mean().tolist() == pytest.approx(means)
    assert found.parameters["alpha"] == (1e-4, 1e-2, 10.0)[int(np.argmax(means))]


def test_intervals_of_clusters_and_weights_cover_the_mean() -> None:
    """Clusters of unequal size with a common effect: the interval must widen, and cover at its level."""
    rng = np.random.default_rng(0)
    covered, runs = 0, 200
    for _ in range(runs):
        sizes = rng.integers(1, 6, size=60)
        groups = np.repeat(np.arange(60), sizes)
        values = rng.normal(size=60)[groups] + 0.3 * rng.normal(size=len(groups))
        _, low, high = mean_interval(values, groups=groups, weights=rng.uniform(0.5, 2, len(groups)))
        covered += low <= 0 <= high
    assert 0.90 <= covered / runs <= 0.99  # 0.95 -+ 3 standard errors
