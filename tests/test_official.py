"""The published protocol: each trap does what is said of it, and nothing is left of them when they are off."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch.nn.functional import logsigmoid

import rmspace as rm
from rmspace.paper.protocol import ProtocolMLPReward, protocol_best_of_n, protocol_pairs

SMALL = {"hidden_sizes": (64,), "random_state": 0}
MENDED = {
    "mirrored_rows": False,
    "row_split": False,
    "redrawn_batches": False,
    "window_stopping": False,
    "last_weights": False,
    "sigmoid_bce": False,
}


@pytest.fixture(scope="module")
def world():
    train, test = rm.make_synthetic_banks(400, 100, 8, 32, seed=0)
    rng = np.random.default_rng(0)
    comparisons = rm.annotate(rm.same_prompt(train, 3000, rng), train.rewards, partial(rm.logistic, beta=3.0), rng=rng)
    return train, test, comparisons


@pytest.mark.parametrize("objective", ["bradley_terry", "classification"])
def test_it_learns_with_its_traps_and_without(world, objective):
    train, test, comparisons = world
    for traps in ({}, MENDED):
        model = ProtocolMLPReward(objective, batch_size=256, learning_rate=5e-3, max_epochs=10, **SMALL, **traps)
        model.fit(train.items, comparisons, groups=train.groups)
        gain = rm.normalized_gain(model.predict(test.items), test.rewards).mean()
        assert gain > 0.4, (traps, gain)
        again = clone(model).fit(train.items, comparisons, groups=train.groups)
        np.testing.assert_array_equal(again.predict(test.items), model.predict(test.items))


@pytest.mark.parametrize(("objective", "rows"), [(rm.bradley_terry, 256), (rm.classification, 512)])
def test_without_traps_it_agrees_with_the_library(world, objective, rows):
    train, test, comparisons = world
    options = {"hidden_sizes": (64,), "learning_rate": 5e-3, "max_epochs": 40, "validation_fraction": 0.2}
    ours = partial(rm.MLPReward, objective, batch_size=256, **options)
    theirs = partial(ProtocolMLPReward, objective.__name__, batch_size=rows, **options, **MENDED)
    reached = {make: [] for make in (ours, theirs)}
    for seed, make in itertools.product(range(3), reached):
        model = make(random_state=seed).fit(train.items, comparisons, groups=train.groups)
        reached[make].append(rm.best_of_n(model.predict(test.items), test.rewards, n=8))
    difference = np.mean(reached[ours], axis=0) - np.mean(reached[theirs], axis=0)
    low, high = rm.mean_interval(difference, confidence=0.99)[-2:]
    assert low <= 0 <= high


def test_the_mirror_image_of_a_row_leaks_into_validation():
    # Labels that nobody can learn: what falls with the training loss has been seen in training.
    rng = np.random.default_rng(1)
    items = rng.standard_normal((4000, 64)).astype(np.float32)
    comparisons = rng.permutation(4000).reshape(2000, 2)
    held_out = rng.standard_normal((1000, 64)).astype(np.float32), np.arange(1000).reshape(500, 2)
    options = {"batch_size": 256, "hidden_sizes": (256,), "max_epochs": 25, "random_state": 0, "patience": 25}
    leaky = ProtocolMLPReward(**options).fit(items, comparisons, held_out=held_out).history_
    assert leaky.training[-1] < 0.3
    assert leaky.validation[-1] < 0.45 < 0.6 < leaky.validation[0]
    assert leaky.held_out[-1] > leaky.held_out[0] + 0.2
    sound = ProtocolMLPReward(**options, row_split=False)
    sound.fit(items, comparisons, groups=np.arange(4000), held_out=held_out)
    assert sound.history_.validation[-1] > math.log(2)


def test_held_out_prompts_are_on_one_side_only():
    train, _ = rm.make_synthetic_banks(60, 1, 4, 16, seed=1)
    comparisons = rm.cross_prompt(train, 400, np.random.default_rng(0))
    seen = {}

    class Watching(ProtocolMLPReward):
        def _split(self, rows, comparisons, groups, generator):
            seen["sides"] = super()._split(rows, comparisons, groups, generator)
            return seen["sides"]

    Watching(row_split=False, hidden_sizes=(2,), max_epochs=1, random_state=0).fit(
        train.items, comparisons, groups=train.groups
    )
    training, validation = (set(train.groups[comparisons[side.comparison]].ravel()) for side in seen["sides"])
    assert training
    assert validation
    assert not training & validation


def test_rows_and_steps_are_counted_as_published():
    rng = np.random.default_rng(2)
    items = rng.standard_normal((20_000, 2)).astype(np.float32)
    comparisons = np.arange(20_000).reshape(10_000, 2)

    class Counting(ProtocolMLPReward):
        steps = 0

        def _losses(self, *arguments):
            self.steps += 1
            return super()._losses(*arguments)

    model = Counting(hidden_sizes=(2,), max_epochs=3, random_state=0).fit(items, comparisons)
    assert (model.history_.n_training, model.history_.n_validation) == (16_000, 4_000)
    assert model.steps == 2 * len(model.history_.training)  # two steps an epoch for 10,000 pairs
    single = Counting(mirrored_rows=False, hidden_sizes=(2,), max_epochs=3, random_state=0).fit(items, comparisons)
    assert single.history_.n_training == 8_000
    assert single.steps == len(single.history_.training)


def test_a_redrawn_batch_misses_rows_and_a_real_epoch_does_not():
    rng = np.random.default_rng(3)
    items = rng.standard_normal((400, 2)).astype(np.float32)
    comparisons = np.arange(400).reshape(200, 2)

    class Watching(ProtocolMLPReward):
        def _losses(self, network, table, rows):
            self.seen = np.append(getattr(self, "seen", []), rows.comparison)
            return super()._losses(network, table, rows)

    for redrawn in (True, False):
        model = Watching(redrawn_batches=redrawn, batch_size=32, hidden_sizes=(2,), max_epochs=1, random_state=0)
        model.fit(items, comparisons)
        assert len(model.seen) == 320
        assert (np.bincount(model.seen.astype(int)).max() > 2) == redrawn  # both orders of a pair, and no more


@pytest.mark.parametrize(
    ("losses", "stops"),
    [([4, 3, 2], False), ([1, 2, 3], False), ([3, 2, 1, 4], True), ([5, 2, 1, 4], False), ([9, 1, 2, 3, 4], True)],
)
def test_the_published_rule_stops_above_each_of_three(losses, stops):
    assert ProtocolMLPReward()._stops(losses, 0) is stops


def test_last_weights_are_kept_or_the_best(world):
    train, _, comparisons = world
    options = {"batch_size": 256, "window_stopping": False, "patience": 3, "learning_rate": 2e-2, **SMALL}
    last = ProtocolMLPReward(row_split=False, **options).fit(train.items, comparisons, groups=train.groups)
    best = ProtocolMLPReward(row_split=False, last_weights=False, **options)
    best.fit(train.items, comparisons, groups=train.groups)
    assert last.history_.validation == best.history_.validation
    assert last.history_.kept_epoch == len(last.history_.validation)
    assert best.history_.kept_epoch == 1 + int(np.argmin(best.history_.validation)) < last.history_.kept_epoch


def test_sigmoid_and_cross_entropy_lose_large_gaps():
    gaps = torch.tensor([-200.0, -50.0, 0.0, 3.0])
    won = np.ones(4, np.float32)
    np.testing.assert_allclose(
        ProtocolMLPReward(sigmoid_bce=False)._cross_entropy(gaps, won), -logsigmoid(gaps), rtol=1e-5
    )
    lossy = ProtocolMLPReward()._cross_entropy(gaps, won)
    np.testing.assert_allclose(lossy, [100.0, 50.0, math.log(2), -logsigmoid(gaps[3])], rtol=1e-4)


@pytest.mark.parametrize("objective", [rm.bradley_terry, rm.classification])
def test_the_mended_loss_is_the_librarys(objective):
    rng = np.random.default_rng(3)
    table = torch.from_numpy(rng.standard_normal((30, 6)).astype(np.float32))
    network = torch.nn.Linear(6, 1)
    model = ProtocolMLPReward(objective.__name__, sigmoid_bce=False, mirrored_rows=False)
    pairs = rng.integers(30, size=(50, 2))
    found = model._losses(network, table, model._rows(pairs)).mean()
    winner, loser = network(table).squeeze(1)[torch.from_numpy(pairs.T)]
    rows = 1 if objective is rm.bradley_terry else 2  # a classifier has two rows a comparison
    torch.testing.assert_close(found, objective(winner, loser).mean() / rows)


def test_permutations_agree_with_the_exact_expectation_and_ties_take_a_random_one():
    rng = np.random.default_rng(4)
    scores, rewards = rng.standard_normal((30, 12)), np.sort(rng.standard_normal((30, 12)), axis=1)
    exact = rm.best_of_n(scores, rewards, n=[1, 3, 12])
    several = np.stack([protocol_best_of_n(scores, rewards, n=[1, 3, 12], seed=seed) for seed in range(40)])
    error = several.std(axis=0) / math.sqrt(40)
    assert (np.abs(several.mean(axis=0) - exact)[:, :2] < 5 * error[:, :2]).all()
    np.testing.assert_allclose(several[:, :, 2], np.broadcast_to(exact[:, 2], (40, 30)))
    np.testing.assert_allclose(protocol_best_of_n(scores, rewards, n=3, permutations=0), exact[:, 1], atol=1e-12)
    constant = np.zeros_like(scores)
    taken = np.stack([protocol_best_of_n(constant, rewards, n=12, permutations=1, seed=seed) for seed in range(400)])
    assert all(np.isin(taken[k], rewards).all() for k in range(400))
    error = taken.std(axis=0) / 20
    assert (np.abs(taken.mean(axis=0) - rewards.mean(axis=1)) < 5 * error).all()
    mended = protocol_best_of_n(constant, rewards, n=12, first_wins=False)
    np.testing.assert_allclose(mended, rewards.mean(axis=1))


def test_a_shared_permutation_does_not_average_out_over_prompts():
    rng = np.random.default_rng(5)
    rewards = np.sort(rng.standard_normal((300, 10)), axis=1)  # the same place is good in every prompt
    spread = {
        shared: np.std(
            [
                protocol_best_of_n(rewards, rewards, n=2, permutations=5, shared_permutations=shared, seed=seed).mean()
                for seed in range(60)
            ]
        )
        for shared in (True, False)
    }
    assert spread[True] > 5 * spread[False]


def test_each_prompt_in_turn_meets_a_random_one_and_maybe_itself():
    bank = rm.ResponseBank(np.zeros((20, 5, 2), np.float32))
    pairs = protocol_pairs(bank, 20_000, np.random.default_rng(6))
    assert bank.groups[pairs[:, 0]].tolist() == list(range(20)) * 1000
    share = (bank.groups[pairs[:, 0]] == bank.groups[pairs[:, 1]]).mean()
    expected = (1 / 20 - 1 / 100) / (1 - 1 / 100)  # of all ordered pairs of different items
    assert abs(share - expected) < 4 * math.sqrt(expected / 20_000)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    mended = protocol_pairs(bank, 50, np.random.default_rng(7), independent_sides=False)
    np.testing.assert_array_equal(mended, rm.cross_prompt(bank, 50, np.random.default_rng(7)))
    sorted_bank = rm.ResponseBank(np.zeros((20, 5, 2), np.float32), np.tile(np.arange(5.0), (20, 1)))
    chosen = protocol_pairs(sorted_bank, 500, np.random.default_rng(8), candidates=rm.diversified)
    assert set(np.unique(chosen % 5)) == {0, 4}
    with pytest.raises(ValueError, match=r"each in \[0, 5\)"):
        protocol_pairs(bank, 5, np.random.default_rng(0), candidates=lambda bank: np.full((20, 2), [3, 9]))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda fit: fit(objective="hinge"), "objective must be"),
        (lambda fit: fit(row_split=False), "pass groups=bank.groups"),
        (lambda fit: fit(batch_size=0), "batch_size must be at least 1"),
        (lambda fit: fit(validation_fraction=0.0), "validation_fraction"),
        (lambda fit: fit(validation_fraction=0.01), "rows on both sides"),
        (lambda _: protocol_best_of_n([[1.0, 2.0]], [[1.0, 2.0]], n=3), "n must be at most"),
        (
            lambda _: protocol_pairs(rm.ResponseBank(np.zeros((1, 1, 2), np.float32)), 1, np.random.default_rng(0)),
            "two",
        ),
    ],
)
def test_bad_input_is_named(call, match):
    def fit(**options):
        items = np.random.default_rng(0).standard_normal((8, 2))
        ProtocolMLPReward(hidden_sizes=(2,), **options).fit(items, np.arange(8).reshape(4, 2))

    with pytest.raises(ValueError, match=match):
        call(fit)


def test_weights_are_refused_and_scores_that_are_not_finite_are_named():
    items = np.random.default_rng(0).standard_normal((40, 2)).astype(np.float32)
    comparisons = np.arange(40).reshape(20, 2)
    with pytest.raises(ValueError, match="no sample_weight"):
        ProtocolMLPReward().fit(items, comparisons, sample_weight=np.ones(20))
    with pytest.raises(FloatingPointError, match="no longer finite at learning_rate=1e"):
        ProtocolMLPReward(hidden_sizes=(4,), learning_rate=1e20).fit(items, comparisons)
    with pytest.raises(FloatingPointError, match="no longer finite"):
        ProtocolMLPReward(hidden_sizes=(4,), learning_rate=1e30, sigmoid_bce=False, max_epochs=1).fit(
            items, comparisons
        )
    with pytest.raises(ValueError, match="training dim 2; got 3"):
        ProtocolMLPReward().fit(items, comparisons, held_out=(np.zeros((4, 3)), [[0, 1]]))
