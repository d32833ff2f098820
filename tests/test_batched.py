"""Members of an ensemble trained as one batch: they equal members trained one by one; when this is done."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from torch import Tensor, nn

import rmspace as rm
from conftest import BanksAndComparisons
from rmspace._typing import FloatArray, IntArray
from rmspace.kinds import Objective
from rmspace.models import mlp
from rmspace.models.core import network, precision, scoring, training
from rmspace.models.core.network import RewardNetwork
from rmspace.models.core.training import Comparisons, Learner, Schedule, train
from rmspace.models.io.tensors import fill


@pytest.fixture(scope="module")
def banks() -> BanksAndComparisons:
    train, test = rm.make_synthetic_banks(200, 50, 6, 16, seed=0)
    rng = np.random.default_rng(0)
    return train, test, rm.annotate(rm.cross_prompt(train, 900, rng), train.rewards, rm.oracle, rng=rng)


def own(winner: Tensor, loser: Tensor) -> Tensor:
    return (1 - (winner - loser)).square() + 0.1 * winner.square()


def both_ways(
    banks: BanksAndComparisons,
    member: rm.MLPReward,
    *,
    weights: FloatArray | None = None,
    **options: Any,
) -> list[rm.EnsembleReward]:
    train, _, comparisons = banks
    return [
        rm.EnsembleReward(member, 4, batched=batched, random_state=0, **options).fit(
            train.items, comparisons, weights, groups=train.groups
        )
        for batched in (False, True)
    ]


def learners_of(
    rows: Tensor, sizes: list[int], hidden: tuple[int, ...], *, validation: bool, seed: int = 0
) -> list[Learner]:
    """Return learners in double precision, where rounding hides nothing, each with its own number of comparisons."""
    rng = np.random.default_rng(seed)
    found = []
    for k, size in enumerate(sizes):
        torch.manual_seed(k)
        widths = [rows.shape[1], *hidden, 1]
        layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b).double(), nn.ReLU())]
        pairs = [torch.from_numpy(rng.integers(len(rows), size=(n, 2))) for n in (size, 40)]
        data = [Comparisons(rows, chosen, torch.from_numpy(rng.random(len(chosen)))) for chosen in pairs]
        network = RewardNetwork(*layers[:-1])
        found.append(Learner(network, data[0], data[1] if validation else None, torch.Generator().manual_seed(k)))
    return found


@given(
    objective=st.sampled_from([rm.bradley_terry, rm.classification, own]),
    validation=st.booleans(),
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=4),
    hidden=st.sampled_from([(), (5,), (6, 3)]),
    batch_size=st.integers(4, 50),
    patience=st.integers(1, 3),
)
@settings(max_examples=15, deadline=None)
def test_learners_do_not_influence_each_other(
    objective: Objective,
    validation: bool,
    sizes: list[int],
    hidden: tuple[int, ...],
    batch_size: int,
    patience: int,
) -> None:
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(30, 4)))
    schedule = Schedule(0.02, 0.01, batch_size, 4, patience)
    batched = learners_of(rows, sizes, hidden, validation=validation)
    train(batched, objective, schedule)
    alone = learners_of(rows, sizes, hidden, validation=validation)
    for a, b in zip(alone, batched, strict=True):
        train([a], objective, schedule)
        assert a.best_epoch == b.best_epoch
        for name in ("training_loss", "validation_loss", "validation_accuracy"):
            one, other = ([record[name] for record in learner.history] for learner in (a, b))
            np.testing.assert_allclose(other, one, rtol=1e-8)
        for found, expected in zip(b.network.parameters(), a.network.parameters(), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("bootstrap", [False, True])
@pytest.mark.parametrize("objective", [rm.bradley_terry, rm.classification])
def test_an_ensemble_has_the_same_members_either_way(
    banks: BanksAndComparisons, objective: Objective, bootstrap: bool
) -> None:
    _, test, _ = banks
    member = rm.MLPReward(objective, hidden_sizes=(8, 4), batch_size=64, patience=1, learning_rate=0.02, max_epochs=12)
    alone, batched = both_ways(banks, member, bootstrap=bootstrap)
    for a, b in zip(alone.members_, batched.members_, strict=True):
        assert a.random_state == b.random_state
        assert (a.n_training_, a.n_validation_) == (b.n_training_, b.n_validation_)
        assert a.history_[0]["training_loss"] == pytest.approx(b.history_[0]["training_loss"], rel=1e-4)
        assert np.corrcoef(a.predict(test.items), b.predict(test.items))[0, 1] > 0.995
    assert len({len(member.history_) for member in batched.members_}) > 1  # some stopped before others
    assert np.corrcoef(batched.members_[0].predict(test.items), batched.members_[1].predict(test.items))[0, 1] < 0.95


def test_weights_reach_every_member(banks: BanksAndComparisons) -> None:
    _, test, comparisons = banks
    weights = np.random.default_rng(1).random(len(comparisons)) * (np.arange(len(comparisons)) % 4 > 0)
    member = rm.MLPReward(hidden_sizes=(8,), max_epochs=3)
    alone, batched = both_ways(banks, member, weights=weights)
    np.testing.assert_allclose(batched.predict(test.items), alone.predict(test.items), rtol=0, atol=1e-3)
    _, unweighted = both_ways(banks, member)
    assert np.abs(unweighted.predict(test.items) - alone.predict(test.items)).max() > 0.05


@pytest.mark.parametrize("gain", [0.1, 2.0], ids=["rounded float32", "bfloat16"])
@pytest.mark.filterwarnings("ignore:this cpu multiplies")
def test_in_bfloat16_too(banks: BanksAndComparisons, gain: float, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (precision, network):
        monkeypatch.setattr(module, "bfloat16_gain", lambda _: gain)
    _, test, _ = banks
    member = rm.MLPReward(hidden_sizes=(16, 8), max_epochs=3, precision="bfloat16")
    alone, batched = both_ways(banks, member)
    assert {m.precision_ for m in batched.members_} == {"bfloat16"}
    assert np.corrcoef(alone.predict(test.items), batched.predict(test.items))[0, 1] > 0.999


def test_a_member_that_diverges_stops_all_with_its_place(
    banks: BanksAndComparisons,
) -> None:
    train, _, comparisons = banks

    def steep(winner: Tensor, loser: Tensor) -> Tensor:  # infinite once a gap exceeds what the first steps reach
        return (winner - loser).abs().mul(200).exp()

    for batched in (False, True):
        model = rm.EnsembleReward(rm.MLPReward(steep, learning_rate=1.0, hidden_sizes=(8,)), 3, batched=batched)
        with pytest.raises(FloatingPointError, match=r"loss became inf in epoch 1, batch \d+ at learning_rate=1"):
            model.fit(train.items, comparisons, groups=train.groups)


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (rm.MLPReward(hidden_sizes=(8,)), True),
        (rm.MLPReward(hidden_sizes=(1024, 512)), False),
        (rm.MLPReward(hidden_sizes=(1024, 512), batch_size=4), False),
        (rm.MLPReward(hidden_sizes=(64,), batch_size=20_000), False),
        (rm.MLPReward(hidden_sizes=(8,), dropout=0.1), False),
        (make_pipeline(Normalizer(), rm.MLPReward(hidden_sizes=(8,))), False),
    ],
)
def test_auto_is_for_tiny_members_and_for_gpus(member: Any, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rm.EnsembleReward(member, 2)._is_batched(16) is expected
    assert not rm.EnsembleReward(rm.MLPReward(), 1, batched=True)._is_batched(16)  # one member: nothing to batch
    monkeypatch.setattr(mlp, "find_device", lambda _: torch.device("cuda"))
    assert mlp.batching_pays(rm.MLPReward(hidden_sizes=(1024, 512)), 2048)


@pytest.mark.parametrize("batched", [True, False])
def test_members_are_trained_as_one_program_or_one_by_one(
    banks: BanksAndComparisons, monkeypatch: pytest.MonkeyPatch, batched: bool
) -> None:
    train, _, comparisons = banks
    seen: list[int] = []
    learn = training.train

    def watch(learners: Sequence[Learner], *args: Any, **options: Any) -> Any:
        seen.append(len(learners))
        return learn(learners, *args, **options)

    monkeypatch.setattr(mlp, "train", watch)
    member = rm.MLPReward(hidden_sizes=(8,), max_epochs=1)
    rm.EnsembleReward(member, 2, batched=batched).fit(train.items, comparisons, groups=train.groups)
    assert seen == ([2] if batched else [1, 1])


@pytest.mark.parametrize("batched", [True, False])
def test_every_member_reports_its_epochs_and_stops_by_the_eval_set(banks: BanksAndComparisons, batched: bool) -> None:
    train, test, comparisons = banks
    seen: list[dict[str, Any]] = []
    held_out = rm.Preferences.from_bank(
        test, rm.same_prompt(test, 100, np.random.default_rng(1)), rm.oracle, rng=np.random.default_rng(1)
    )
    model = rm.EnsembleReward(rm.MLPReward(hidden_sizes=(8,), max_epochs=2), 2, batched=batched, random_state=0)
    model.fit(train.items, comparisons, groups=train.groups, eval_set=held_out, on_epoch=seen.append)
    for number, member in enumerate(model.members_):
        assert [{**record, "member": number} for record in member.history_] == [
            r for r in seen if r["member"] == number
        ]
        assert (member.n_training_, member.n_validation_) == (len(comparisons), 100)
        assert member.score(held_out) == pytest.approx(member.history_[member.best_epoch_ - 1]["validation_accuracy"])


def test_a_pipeline_as_member_transforms_the_eval_set(banks: BanksAndComparisons) -> None:
    train, _, comparisons = banks
    member = make_pipeline(Normalizer(), rm.MLPReward(hidden_sizes=(8,), max_epochs=2))
    preferences = rm.Preferences(train.items, comparisons, train.groups)
    model = rm.EnsembleReward(member, 2, random_state=0).fit(preferences, eval_set=preferences)
    for pipeline in model.members_:
        best = pipeline[-1].history_[pipeline[-1].best_epoch_ - 1]
        assert pipeline.score(train.items, comparisons) == pytest.approx(best["validation_accuracy"])


@pytest.mark.parametrize("member", [rm.LinearReward(), rm.MLPReward(dropout=0.1)])
def test_members_that_cannot_be_trained_batched_are_refused(
    banks: BanksAndComparisons, member: rm.LinearReward | rm.MLPReward
) -> None:
    train, _, comparisons = banks
    with pytest.raises(ValueError, match="batched=True needs an MLPReward without dropout as member; got"):
        rm.EnsembleReward(member, 2, batched=True).fit(train.items, comparisons)
    with pytest.raises(TypeError, match="batch_size must be an integer"):
        rm.EnsembleReward(rm.MLPReward(batch_size="many"), 2).fit(train.items, comparisons)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batched must be True, False or 'auto'; got 'yes'"):
        rm.EnsembleReward(rm.MLPReward(), 2, batched="yes").fit(train.items, comparisons)  # type: ignore[arg-type]


def test_members_that_do_not_fit_at_once_are_trained_one_by_one(
    banks: BanksAndComparisons, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test, comparisons = banks
    member = rm.MLPReward(hidden_sizes=(8,), max_epochs=2)
    expected = rm.EnsembleReward(member, 2, batched=False, random_state=0)
    expected.fit(train.items, comparisons, groups=train.groups)
    learn = training.train

    def full(learners: Sequence[Learner], *args: Any, **options: Any) -> None:
        if len(learners) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        learn(learners, *args, **options)

    monkeypatch.setattr(mlp, "train", full)
    model = rm.EnsembleReward(member, 2, batched=True, random_state=0)
    with pytest.warns(UserWarning, match=r"too little memory left for 2 members at once \(CUDA out of memory\)"):
        model.fit(train.items, comparisons, groups=train.groups)
    np.testing.assert_array_equal(model.predict(test.items), expected.predict(test.items))


def test_a_saved_ensemble_keeps_how_it_was_trained(banks: BanksAndComparisons, tmp_path: Path) -> None:
    train, test, comparisons = banks
    model = rm.EnsembleReward(rm.MLPReward(hidden_sizes=(8,), max_epochs=1), 2, batched=True, random_state=0)
    model.fit(train.items, comparisons, groups=train.groups).save(tmp_path / "model")
    again = rm.load(tmp_path / "model")
    assert again.batched is True
    np.testing.assert_array_equal(again.predict(test.items), model.predict(test.items))


class Negated(rm.LinearReward):
    """A member with a `predict` of its own."""

    def predict(self, items: npt.ArrayLike) -> FloatArray:  # type: ignore[override]
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
def test_an_ensemble_scores_as_its_members_do(banks: BanksAndComparisons, name: str, dtype: type[Any]) -> None:
    train, test, comparisons = banks
    items, unseen = train.items.astype(dtype), test.items.astype(dtype)
    groups = None if name == "pipeline" else train.groups
    model = rm.EnsembleReward(MEMBERS[name], 3, bootstrap=True, random_state=0).fit(items, comparisons, groups=groups)
    each = np.stack([m.predict(unseen.astype(np.float32)) for m in model.members_])
    expected = ((each - model.locations_[:, None]) / model.scales_[:, None]).mean(axis=0)
    np.testing.assert_allclose(model.predict(unseen), expected, rtol=1e-5, atol=1e-6)
    used = np.stack([m.predict(items[np.unique(comparisons)].astype(np.float32)) for m in model.members_])
    np.testing.assert_allclose(model.locations_, used.mean(axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.scales_, used.std(axis=1), rtol=1e-4)


def test_a_block_is_filled_once_for_all_members(banks: BanksAndComparisons, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test, comparisons = banks
    model = rm.EnsembleReward(MEMBERS["mlp"], 5, random_state=0).fit(train.items, comparisons, groups=train.groups)
    monkeypatch.setattr(scoring, "_BLOCK_NUMBERS", 50 * train.dim)
    seen: list[tuple[int, int]] = []

    def watch(out: Tensor, block: FloatArray, ids: IntArray | None = None) -> None:
        seen.append((out.data_ptr(), len(out)))
        fill(out, block, ids)

    monkeypatch.setattr(scoring, "fill", watch)
    model.predict(test.items)
    assert [size for _, size in seen] == [50] * 6
    assert len({place for place, _ in seen}) == 1


def test_what_an_objective_says_of_nan_does_not_hide_where_the_loss_overflowed(
    banks: BanksAndComparisons,
) -> None:
    train, _, comparisons = banks

    def fussy(winner: Tensor, loser: Tensor) -> Tensor:
        if winner.isnan().any():
            raise ValueError("these scores are no numbers")
        return (winner - loser - 200).square().square().exp()

    model = rm.MLPReward(fussy, hidden_sizes=(8,), batch_size=64, random_state=0)
    with pytest.raises(FloatingPointError, match="loss became inf in epoch 1, batch 0"):
        model.fit(train.items, comparisons, groups=train.groups)


def test_a_member_whose_scores_overflow_is_not_hidden_by_the_others(
    banks: BanksAndComparisons,
) -> None:
    train, test, comparisons = banks
    model = rm.EnsembleReward(rm.MLPReward(hidden_sizes=(8,), max_epochs=1), 2, reduce=rm.minimum, random_state=0)
    model.fit(train.items, comparisons, groups=train.groups)
    with torch.no_grad():
        model.members_[0].network_[-1].bias.fill_(float("inf"))
    with pytest.raises(FloatingPointError, match="the scores overflow"):
        model.predict(test.items)
