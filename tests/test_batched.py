"""Members trained as one program: the same members, however uneven their work, and when it is done."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from torch import nn

import rmspace as rm
from rmspace.models import ensemble, mlp
from rmspace.models.core import base as _base
from rmspace.models.core import network as _network
from rmspace.models.core import precision as _hardware
from rmspace.models.core.training import Comparisons, Learner, Schedule, train


@pytest.fixture(scope="module")
def world():
    train, test = rm.make_synthetic_banks(200, 50, 6, 16, seed=0)
    rng = np.random.default_rng(0)
    return train, test, rm.annotate(rm.cross_prompt(train, 900, rng), train.rewards, rm.oracle, rng=rng)


def own(winner, loser):
    return (1 - (winner - loser)).square() + 0.1 * winner.square()


def both_ways(world, member, *, weights=None, **options):
    train, _, comparisons = world
    return [
        rm.EnsembleReward(member, 4, together=together, random_state=0, **options).fit(
            train.items, comparisons, weights, groups=train.groups
        )
        for together in (False, True)
    ]


def learners_of(rows, sizes, hidden, *, validation, seed=0):
    """Learners in double precision, where rounding hides nothing, with different numbers of weighted comparisons."""
    rng = np.random.default_rng(seed)
    found = []
    for k, size in enumerate(sizes):
        torch.manual_seed(k)
        widths = [rows.shape[1], *hidden, 1]
        layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b).double(), nn.ReLU())]
        pairs = [torch.from_numpy(rng.integers(len(rows), size=(n, 2))) for n in (size, 40)]
        data = [Comparisons(chosen, torch.from_numpy(rng.random(len(chosen)))) for chosen in pairs]
        network = nn.Sequential(*layers[:-1])
        found.append(Learner(network, data[0], data[1] if validation else None, torch.Generator().manual_seed(k)))
    return found


@pytest.mark.parametrize("objective", [rm.bradley_terry, rm.classification, own])
@pytest.mark.parametrize("validation", [True, False])
@given(
    sizes=st.lists(st.integers(1, 60), min_size=2, max_size=5),
    hidden=st.sampled_from([(), (5,), (6, 3)]),
    batch_size=st.integers(1, 70),
    patience=st.integers(1, 3),
)
@settings(max_examples=8, deadline=None)
def test_learners_do_not_touch_each_other(objective, validation, sizes, hidden, batch_size, patience):
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(30, 4)))
    schedule = Schedule(0.02, 0.01, batch_size, 5, patience)
    together = learners_of(rows, sizes, hidden, validation=validation)
    train(together, rows, objective, schedule)
    alone = learners_of(rows, sizes, hidden, validation=validation)
    for a, b in zip(alone, together, strict=True):
        train([a], rows, objective, schedule)
        assert a.best_epoch == b.best_epoch
        np.testing.assert_allclose(b.training_losses, a.training_losses, rtol=1e-8)
        np.testing.assert_allclose(b.validation_losses, a.validation_losses, rtol=1e-8)
        for found, expected in zip(b.network.parameters(), a.network.parameters(), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("bootstrap", [False, True])
@pytest.mark.parametrize("objective", [rm.bradley_terry, rm.classification])
def test_an_ensemble_has_the_same_members_either_way(world, objective, bootstrap):
    _, test, _ = world
    member = rm.MLPReward(objective, hidden_sizes=(8, 4), batch_size=64, patience=1, learning_rate=0.02)
    alone, together = both_ways(world, member, bootstrap=bootstrap)
    for a, b in zip(alone.members_, together.members_, strict=True):
        assert a.random_state == b.random_state
        assert (a.history_.n_training, a.history_.n_validation) == (b.history_.n_training, b.history_.n_validation)
        np.testing.assert_allclose(a.history_.training[0], b.history_.training[0], rtol=1e-4)
        assert np.corrcoef(a.predict(test.items), b.predict(test.items))[0, 1] > 0.995
    assert len({len(member.history_.training) for member in together.members_}) > 1  # some stopped before others
    assert np.corrcoef(together.members_[0].predict(test.items), together.members_[1].predict(test.items))[0, 1] < 0.95


def test_weights_reach_every_member(world):
    _, test, comparisons = world
    weights = np.random.default_rng(1).random(len(comparisons)) * (np.arange(len(comparisons)) % 4 > 0)
    member = rm.MLPReward(hidden_sizes=(8,), max_epochs=3)
    alone, together = both_ways(world, member, weights=weights)
    np.testing.assert_allclose(together.predict(test.items), alone.predict(test.items), rtol=0, atol=1e-3)
    _, unweighted = both_ways(world, member)
    assert np.abs(unweighted.predict(test.items) - alone.predict(test.items)).max() > 0.05


@pytest.mark.parametrize("gain", [0.1, 2.0], ids=["rounded float32", "bfloat16"])
@pytest.mark.filterwarnings("ignore:this cpu multiplies")
def test_in_bfloat16_too(world, gain, monkeypatch):
    for room in (_hardware, _network):
        monkeypatch.setattr(room, "bfloat16_gain", lambda _: gain)
    _, test, _ = world
    member = rm.MLPReward(hidden_sizes=(16, 8), max_epochs=3, precision="bfloat16")
    alone, together = both_ways(world, member)
    assert {m.precision_ for m in together.members_} == {"bfloat16"}
    assert np.corrcoef(alone.predict(test.items), together.predict(test.items))[0, 1] > 0.999


def test_a_member_that_diverges_stops_all_with_its_place(world):
    train, _, comparisons = world

    def steep(winner, loser):  # infinite once a gap exceeds what the first steps reach
        return (winner - loser).abs().mul(200).exp()

    for together in (False, True):
        model = rm.EnsembleReward(rm.MLPReward(steep, learning_rate=1.0, hidden_sizes=(8,)), 3, together=together)
        with pytest.raises(FloatingPointError, match=r"loss became inf in epoch 1, batch \d+ at learning_rate=1"):
            model.fit(train.items, comparisons, groups=train.groups)


def test_auto_trains_tiny_members_together_and_others_one_by_one(world, monkeypatch):
    train, _, comparisons = world
    seen = []

    def watch(models, *args):
        seen.append(len(models))
        return mlp.prepare_fits(models, *args)

    monkeypatch.setattr(ensemble, "prepare_fits", watch)
    fit = partial(rm.EnsembleReward, random_state=0)
    cases = [
        (rm.MLPReward(hidden_sizes=(8,), max_epochs=1), True),
        (rm.MLPReward(hidden_sizes=(1024, 512), max_epochs=1), False),
        (rm.MLPReward(hidden_sizes=(1024, 512), max_epochs=1, batch_size=4), False),
        (rm.MLPReward(hidden_sizes=(64,), max_epochs=1, batch_size=20_000), False),
        (rm.MLPReward(hidden_sizes=(8,), max_epochs=1, dropout=0.1), False),
        (make_pipeline(Normalizer(), rm.MLPReward(hidden_sizes=(8,), max_epochs=1, validation_fraction=0)), False),
    ]
    for member, expected in cases:
        seen.clear()
        groups = train.groups if isinstance(member, rm.MLPReward) else None
        fit(member, 2).fit(train.items, comparisons, groups=groups)
        assert seen == ([2] if expected else [])
    seen.clear()
    fit(cases[0][0], 1, together=True).fit(train.items, comparisons, groups=train.groups)
    assert not seen  # there is nobody to train with
    monkeypatch.setattr(mlp, "find_device", lambda _: torch.device("cuda"))
    assert mlp.together_pays(rm.MLPReward(hidden_sizes=(1024, 512)), 2048)


@pytest.mark.parametrize("member", [rm.LinearReward(), rm.MLPReward(dropout=0.1)])
def test_members_that_cannot_be_trained_together_are_refused(world, member):
    train, _, comparisons = world
    with pytest.raises(ValueError, match="together=True needs an MLPReward without dropout as member; got"):
        rm.EnsembleReward(member, 2, together=True).fit(train.items, comparisons)
    with pytest.raises(TypeError, match="batch_size must be an integer"):
        rm.EnsembleReward(rm.MLPReward(batch_size="many"), 2).fit(train.items, comparisons)
    with pytest.raises(ValueError, match="together must be True, False or 'auto'; got 'yes'"):
        rm.EnsembleReward(rm.MLPReward(), 2, together="yes").fit(train.items, comparisons)


def test_members_that_do_not_fit_at_once_are_trained_one_by_one(world, monkeypatch):
    train, test, comparisons = world
    member = rm.MLPReward(hidden_sizes=(8,), max_epochs=2)
    expected = rm.EnsembleReward(member, 2, together=False, random_state=0)
    expected.fit(train.items, comparisons, groups=train.groups)
    learn = mlp.train

    def full(learners, *args):
        if len(learners) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        learn(learners, *args)

    monkeypatch.setattr(mlp, "train", full)
    model = rm.EnsembleReward(member, 2, together=True, random_state=0)
    with pytest.warns(UserWarning, match=r"too little memory left for 2 members at once \(CUDA out of memory\)"):
        model.fit(train.items, comparisons, groups=train.groups)
    np.testing.assert_array_equal(model.predict(test.items), expected.predict(test.items))


def test_a_saved_ensemble_keeps_how_it_was_trained(world, tmp_path):
    train, test, comparisons = world
    model = rm.EnsembleReward(rm.MLPReward(hidden_sizes=(8,), max_epochs=1), 2, together=True, random_state=0)
    model.fit(train.items, comparisons, groups=train.groups).save(tmp_path / "model")
    again = rm.load(tmp_path / "model")
    assert again.together is True
    np.testing.assert_array_equal(again.predict(test.items), model.predict(test.items))


class Negated(rm.LinearReward):
    """A member with a `predict` of its own."""

    def predict(self, items):
        return -super().predict(items)


MEMBERS = {
    "mlp": rm.MLPReward(hidden_sizes=(8,), max_epochs=1),
    "linear": rm.LinearReward(),
    "own predict": Negated(),
    "pipeline": make_pipeline(Normalizer(), rm.LinearReward()),
    "ensemble": rm.EnsembleReward(rm.LinearReward(), 3, bootstrap=True),
    "ensemble of mlps": rm.EnsembleReward(rm.MLPReward(hidden_sizes=(8,), max_epochs=1), 2, reduce=rm.minimum),
}


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_an_ensemble_scores_as_its_members_do(world, name, dtype):
    train, test, comparisons = world
    items, unseen = train.items.astype(dtype), test.items.astype(dtype)
    groups = None if name == "pipeline" else train.groups
    model = rm.EnsembleReward(MEMBERS[name], 3, bootstrap=True, random_state=0).fit(items, comparisons, groups=groups)
    each = np.stack([m.predict(unseen.astype(np.float32)) for m in model.members_])
    expected = ((each - model.locations_[:, None]) / model.scales_[:, None]).mean(axis=0)
    np.testing.assert_allclose(model.predict(unseen), expected, rtol=1e-5, atol=1e-6)
    touched = np.stack([m.predict(items[np.unique(comparisons)].astype(np.float32)) for m in model.members_])
    np.testing.assert_allclose(model.locations_, touched.mean(axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.scales_, touched.std(axis=1), rtol=1e-4)


def test_a_block_is_filled_once_for_all_members(world, monkeypatch):
    train, test, comparisons = world
    model = rm.EnsembleReward(MEMBERS["mlp"], 5, random_state=0).fit(train.items, comparisons, groups=train.groups)
    monkeypatch.setattr(_base, "_BLOCK_NUMBERS", 50 * train.dim)
    fill, seen = _base.fill, []
    monkeypatch.setattr(_base, "fill", lambda out, *args: seen.append((out.data_ptr(), len(out))) or fill(out, *args))
    model.predict(test.items)
    assert [size for _, size in seen] == [50] * 6
    assert len({place for place, _ in seen}) == 1


def test_what_an_objective_says_of_nan_does_not_hide_where_the_loss_overflowed(world):
    train, _, comparisons = world

    def fussy(winner, loser):
        if winner.isnan().any():
            raise ValueError("these scores are no numbers")
        return (winner - loser - 200).square().square().exp()

    model = rm.MLPReward(fussy, hidden_sizes=(8,), batch_size=64, random_state=0)
    with pytest.raises(FloatingPointError, match="loss became inf in epoch 1, batch 0"):
        model.fit(train.items, comparisons, groups=train.groups)


def test_a_member_whose_scores_overflow_is_not_hidden_by_the_others(world):
    train, test, comparisons = world
    model = rm.EnsembleReward(rm.MLPReward(hidden_sizes=(8,), max_epochs=1), 2, reduce=rm.minimum, random_state=0)
    model.fit(train.items, comparisons, groups=train.groups)
    with torch.no_grad():
        model.members_[0].network_[-1].bias.fill_(float("inf"))
    with pytest.raises(FloatingPointError, match="the scores overflow"):
        model.predict(test.items)
