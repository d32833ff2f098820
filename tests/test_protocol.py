"""The paper's protocol: each flaw does what its documentation says, and without flaws it trains correctly."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

import rmspace as rm
from conftest import BanksAndComparisons
from rmspace.models.core.base import draw_seed
from rmspace.models.core.network import build_network
from rmspace.paper.protocol import ProtocolMLPReward, protocol_best_of_n, protocol_pairs
from rmspace.paper.protocol_training import (
    Schedule,
    batches,
    cross_entropy,
    make_rows,
    row_losses,
    split_rows,
    split_rows_by_prompt,
    stops,
    train,
)

CORRECTED = {
    "mirrored_rows": False,
    "row_split": False,
    "redrawn_batches": False,
    "window_stopping": False,
    "last_weights": False,
    "sigmoid_bce": False,
}
PUBLISHED = Schedule(
    learning_rate=1e-3,
    batch_size=10_240,
    max_epochs=30,
    patience=3,
    redrawn_batches=True,
    window_stopping=True,
    last_weights=True,
    sigmoid_bce=True,
)


def changed(**options: Any) -> Schedule:
    return Schedule(**{**vars(PUBLISHED), **options})


@pytest.fixture(scope="module")
def banks() -> BanksAndComparisons:
    bank, test = rm.make_synthetic_banks(300, 80, 8, 16, seed=0)
    rng = np.random.default_rng(0)
    comparisons = rm.annotate(rm.same_prompt(bank, 1500, rng), bank.rewards, partial(rm.logistic, beta=3.0), rng=rng)
    return bank, test, comparisons


@pytest.mark.parametrize("objective", ["bradley_terry", "classification"])
@pytest.mark.parametrize("flaws", [{}, CORRECTED], ids=["published", "corrected"])
def test_it_learns_is_repeatable_and_comes_back_from_a_folder(
    banks: BanksAndComparisons, objective: Any, flaws: dict[str, Any], tmp_path: Path
) -> None:
    bank, test, comparisons = banks
    options: dict[str, Any] = {
        "batch_size": 256,
        "learning_rate": 1e-2,
        "max_epochs": 8,
        "hidden_sizes": (32,),
        "random_state": 0,
    }
    model, again = (ProtocolMLPReward(objective, **options, **flaws) for _ in range(2))
    scores = model.fit(bank.items, comparisons, groups=bank.groups).predict(test.items)
    assert rm.normalized_gain(scores, test.rewards).mean() > 0.4
    data = rm.Preferences(bank.items, comparisons, bank.groups)
    np.testing.assert_array_equal(again.fit(data).predict(test.items), scores)
    model.save(tmp_path / "model")
    loaded = rm.load(tmp_path / "model")
    assert type(loaded) is ProtocolMLPReward
    assert loaded.get_params() == model.get_params()
    np.testing.assert_array_equal(loaded.predict(test.items), scores)
    assert (loaded.history_, loaded.kept_epoch_) == (model.history_, model.kept_epoch_)


@pytest.mark.parametrize("objective", [rm.bradley_terry, rm.classification])
def test_without_flaws_it_trains_as_the_library_does(
    banks: BanksAndComparisons, objective: Callable[..., Tensor]
) -> None:
    """From the same weights, with the whole data in each batch, both take the same steps and stop at the same epoch."""
    train_bank, test, comparisons = banks
    some = rm.same_prompt(test, 200, np.random.default_rng(1))
    held_out = rm.Preferences.from_bank(test, some, rm.oracle, rng=np.random.default_rng(2))
    options: dict[str, Any] = {
        "hidden_sizes": (32,),
        "learning_rate": 3e-2,
        "batch_size": 4000,
        "max_epochs": 25,
        "patience": 3,
    }
    library = rm.MLPReward(objective, random_state=0, precision="float32", device="cpu", **options)
    library.fit(train_bank.items, comparisons, groups=train_bank.groups, eval_set=held_out)

    generator = torch.Generator().manual_seed(draw_seed(0))
    network = build_network(train_bank.dim, options.pop("hidden_sizes"), 0.0, generator)
    items = torch.from_numpy(np.concatenate([train_bank.items, test.items]))
    shifted = held_out.comparisons + train_bank.n_items
    rows = [make_rows(pairs, objective.__name__, mirrored=False) for pairs in (comparisons, shifted)]
    flaws = dict.fromkeys(("redrawn_batches", "window_stopping", "last_weights", "sigmoid_bce"), False)
    losses = train(network, items, rows[0], rows[1], Schedule(**options, **flaws), generator)
    assert losses.kept_epoch == library.best_epoch_
    per_comparison = 1 if objective is rm.bradley_terry else 2  # a classifier has two rows per comparison
    found, expected = pd.DataFrame(losses.records), pd.DataFrame(library.history_)
    for name in ("training_loss", "validation_loss"):
        np.testing.assert_allclose(per_comparison * found[name], expected[name], rtol=2e-3)
    ours = network(items[train_bank.n_items :]).squeeze(1).detach().numpy()
    assert np.corrcoef(ours, library.predict(test.items))[0, 1] > 0.999  # Bradley-Terry leaves a constant open


def test_the_mirror_image_of_a_row_leaks_into_validation() -> None:
    # Nobody can learn these labels: a loss that falls with the training loss is a loss on rows seen in training.
    rng = np.random.default_rng(1)
    items = rng.standard_normal((1600, 32)).astype(np.float32)
    comparisons = rng.permutation(1600).reshape(800, 2)
    others = rng.standard_normal((800, 32)).astype(np.float32), np.arange(800).reshape(400, 2)
    watched = rm.Preferences(*others, np.arange(800))
    options: dict[str, Any] = {
        "batch_size": 128,
        "hidden_sizes": (128,),
        "max_epochs": 35,
        "random_state": 0,
        "patience": 35,
    }
    options["learning_rate"] = 2e-3
    leaky = pd.DataFrame(ProtocolMLPReward(**options).fit(items, comparisons, eval_set=watched).history_)
    assert leaky.training_loss.iloc[-1] < 0.3
    assert leaky.validation_loss.iloc[-1] < 0.45 < 0.6 < leaky.validation_loss.iloc[0]
    assert leaky.eval_loss.iloc[-1] > leaky.eval_loss.iloc[0] + 0.2
    sound = ProtocolMLPReward(**options, row_split=False).fit(items, comparisons, groups=np.arange(1600))
    assert sound.history_[-1]["validation_loss"] > math.log(2)


def test_the_row_split_separates_mirror_images_and_the_prompt_split_does_not() -> None:
    bank, _ = rm.make_synthetic_banks(60, 1, 4, 16, seed=1)
    comparisons = rm.cross_prompt(bank, 400, np.random.default_rng(0))
    rows = make_rows(comparisons, "bradley_terry", mirrored=True)
    generator = torch.Generator().manual_seed(0)
    training, validation = split_rows(rows, 0.2, generator)
    assert (len(training), len(validation)) == (640, 160)
    assert np.isin(validation.comparison, training.comparison).mean() > 0.7
    sides = split_rows_by_prompt(rows, comparisons, bank.groups, 0.2, generator)
    seen, held_out = (set(bank.groups[comparisons[side.comparison]].ravel()) for side in sides)
    assert seen
    assert held_out
    assert not seen & held_out


def test_rows_and_steps_are_counted_as_published() -> None:
    comparisons = np.arange(20_000).reshape(10_000, 2)
    generator = torch.Generator()
    for mirrored, rows, steps in ((True, 16_000, 2), (False, 8_000, 1)):  # two steps per epoch for 10,000 pairs
        every = make_rows(comparisons, "bradley_terry", mirrored=mirrored)
        training, validation = split_rows(every, 0.2, generator)
        assert (len(training), len(validation)) == (rows, rows // 4)
        assert len(list(batches(len(training), PUBLISHED, generator))) == steps
    model = ProtocolMLPReward(hidden_sizes=(2,), max_epochs=1, random_state=0)
    model.fit(np.random.default_rng(2).standard_normal((200, 2)), comparisons[:100])
    assert (model.n_training_, model.n_validation_) == (160, 40)


def test_mirrored_rows_are_both_orders_with_both_labels() -> None:
    rows = make_rows(np.array([[5, 3], [1, 2]]), "bradley_terry", mirrored=True)
    assert rows.second is not None
    found = {tuple(row) for row in zip(rows.first, rows.second, rows.target, rows.comparison, strict=True)}
    assert found == {(5, 3, 1, 0), (3, 5, 0, 0), (1, 2, 1, 1), (2, 1, 0, 1)}
    single = make_rows(np.array([[5, 3], [1, 2]]), "classification", mirrored=True)
    assert single.second is None
    assert set(zip(single.first, single.target, strict=True)) == {(5, 1), (3, 0), (1, 1), (2, 0)}


def test_a_redrawn_batch_misses_rows_and_a_whole_epoch_does_not() -> None:
    generator = torch.Generator().manual_seed(3)
    for redrawn in (True, False):
        found = list(batches(320, changed(batch_size=32, redrawn_batches=redrawn), generator))
        assert [len(batch) for batch in found] == [32] * 10
        assert all(len(np.unique(batch)) == 32 for batch in found)
        assert (len(np.unique(np.concatenate(found))) < 320) == redrawn


@pytest.mark.parametrize(
    ("losses", "expected"),
    [([4, 3, 2], False), ([1, 2, 3], False), ([3, 2, 1, 4], True), ([5, 2, 1, 4], False), ([9, 1, 2, 3, 4], True)],
)
def test_the_published_rule_stops_above_each_of_three(losses: list[int], expected: bool) -> None:
    assert stops(losses, 0, PUBLISHED) is expected
    for since_best in range(5):
        assert stops(losses, since_best, changed(window_stopping=False)) is (since_best >= 3)


def test_last_weights_are_kept_or_the_best(banks: BanksAndComparisons) -> None:
    bank, _, comparisons = banks
    options: dict[str, Any] = {
        "batch_size": 256,
        "window_stopping": False,
        "learning_rate": 5e-2,
        "max_epochs": 12,
        "patience": 3,
    }
    options |= {"row_split": False, "hidden_sizes": (32,), "random_state": 0}
    last, best = (ProtocolMLPReward(last_weights=flaw, **options) for flaw in (True, False))
    for model in (last, best):
        model.fit(bank.items, comparisons, groups=bank.groups)
    assert last.history_ == best.history_
    losses = pd.DataFrame(best.history_).validation_loss
    assert last.kept_epoch_ == len(losses)
    assert best.kept_epoch_ == 1 + int(losses.argmin()) < last.kept_epoch_


def test_sigmoid_and_cross_entropy_lose_large_gaps() -> None:
    gaps = torch.tensor([-200.0, -50.0, 0.0, 3.0])
    won = np.ones(4, np.float32)
    exact = cross_entropy(gaps, won, changed(sigmoid_bce=False))
    np.testing.assert_allclose(exact, -logsigmoid(gaps), rtol=1e-5)
    lossy = cross_entropy(gaps, won, PUBLISHED)
    np.testing.assert_allclose(lossy, [100.0, 50.0, math.log(2), float(-logsigmoid(gaps[3]))], rtol=1e-4)


@pytest.mark.parametrize("objective", [rm.bradley_terry, rm.classification])
def test_the_corrected_loss_is_that_of_the_library(objective: Callable[..., Tensor]) -> None:
    rng = np.random.default_rng(3)
    table = torch.from_numpy(rng.standard_normal((30, 6)).astype(np.float32))
    network = torch.nn.Linear(6, 1)
    pairs = rng.integers(30, size=(50, 2))
    rows = make_rows(pairs, objective.__name__, mirrored=False)
    found = row_losses(network, table, rows, changed(sigmoid_bce=False)).mean()
    winner, loser = network(table).squeeze(1)[torch.from_numpy(pairs.T)]
    per_comparison = 1 if objective is rm.bradley_terry else 2  # a classifier has two rows per comparison
    torch.testing.assert_close(found, objective(winner, loser).mean() / per_comparison)


def test_each_epoch_is_told_and_an_eval_set_decides_nothing(
    banks: BanksAndComparisons,
) -> None:
    bank, test, comparisons = banks
    pairs = rm.same_prompt(test, 100, np.random.default_rng(1))
    watched = rm.Preferences.from_bank(test, pairs, rm.oracle, rng=np.random.default_rng(2))
    options: dict[str, Any] = {"hidden_sizes": (8,), "max_epochs": 3, "random_state": 0}
    told: list[dict[str, Any]] = []
    model = ProtocolMLPReward(**options).fit(bank.items, comparisons, eval_set=watched, on_epoch=told.append)
    assert told == model.history_
    assert [record["epoch"] for record in told] == [1, 2, 3]
    winner, loser = model.predict(test.items)[watched.comparisons.T]
    assert told[-1]["eval_loss"] == pytest.approx(np.log1p(np.exp(loser - winner)).mean(), rel=1e-4)
    alone = ProtocolMLPReward(**options).fit(bank.items, comparisons)
    np.testing.assert_array_equal(alone.predict(test.items), model.predict(test.items))


def test_permutations_agree_with_the_exact_expectation_and_ties_take_a_random_one() -> None:
    rng = np.random.default_rng(4)
    scores, rewards = rng.standard_normal((30, 12)), np.sort(rng.standard_normal((30, 12)), axis=1)
    exact = rm.best_of_n(scores, rewards, n=[1, 3, 12])
    several = np.stack([protocol_best_of_n(scores, rewards, n=[1, 3, 12], seed=seed) for seed in range(20)])
    error = several.std(axis=0) / math.sqrt(20)
    assert (np.abs(several.mean(axis=0) - exact)[:, :2] < 5 * error[:, :2]).all()
    np.testing.assert_allclose(several[:, :, 2], np.broadcast_to(exact[:, 2], (20, 30)))
    np.testing.assert_allclose(protocol_best_of_n(scores, rewards, n=3, permutations=0), exact[:, 1], atol=1e-12)
    constant = np.zeros_like(scores)
    taken = np.stack([protocol_best_of_n(constant, rewards, n=12, permutations=1, seed=seed) for seed in range(400)])
    assert all(np.isin(taken[k], rewards).all() for k in range(400))
    error = taken.std(axis=0) / 20
    assert (np.abs(taken.mean(axis=0) - rewards.mean(axis=1)) < 5 * error).all()
    shared = protocol_best_of_n(constant, rewards, n=12, first_wins=False)
    np.testing.assert_allclose(shared, rewards.mean(axis=1))


def test_a_shared_permutation_does_not_average_out_over_prompts() -> None:
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


def test_each_prompt_in_turn_meets_a_random_one_and_maybe_itself() -> None:
    bank = rm.ResponseBank(np.zeros((20, 5, 2), np.float32))
    pairs = protocol_pairs(bank, 20_000, np.random.default_rng(6))
    assert bank.groups[pairs[:, 0]].tolist() == list(range(20)) * 1000
    share = (bank.groups[pairs[:, 0]] == bank.groups[pairs[:, 1]]).mean()
    expected = (1 / 20 - 1 / 100) / (1 - 1 / 100)  # of all ordered pairs of different items
    assert abs(share - expected) < 4 * math.sqrt(expected / 20_000)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    corrected = protocol_pairs(bank, 50, np.random.default_rng(7), independent_sides=False)
    np.testing.assert_array_equal(corrected, rm.cross_prompt(bank, 50, np.random.default_rng(7)))
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
def test_bad_input_is_named(call: Callable[..., Any], match: str) -> None:
    def fit(**options: Any) -> None:
        items = np.random.default_rng(0).standard_normal((8, 2))
        ProtocolMLPReward(hidden_sizes=(2,), **options).fit(items, np.arange(8).reshape(4, 2))

    with pytest.raises(ValueError, match=match):
        call(fit)


def test_weights_are_refused_and_scores_that_are_not_finite_are_named() -> None:
    items = np.random.default_rng(0).standard_normal((40, 2)).astype(np.float32)
    comparisons = np.arange(40).reshape(20, 2)
    with pytest.raises(ValueError, match="no sample_weight"):
        ProtocolMLPReward().fit(items, comparisons, sample_weight=np.arange(20))
    with pytest.raises(FloatingPointError, match="no longer finite at learning_rate=1e"):
        ProtocolMLPReward(hidden_sizes=(4,), learning_rate=1e20).fit(items, comparisons)
    with pytest.raises(FloatingPointError, match="no longer finite"):
        ProtocolMLPReward(hidden_sizes=(4,), learning_rate=1e30, sigmoid_bce=False, max_epochs=1).fit(
            items, comparisons
        )
    with pytest.raises(ValueError, match="training dim 2; got 3"):
        ProtocolMLPReward().fit(items, comparisons, eval_set=rm.Preferences(np.zeros((4, 3)), [[0, 1]], range(4)))
