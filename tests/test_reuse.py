"""Fits that reuse what they read: the results are the same, items are read once, and memory is freed at the end."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from torch import Tensor

import rmspace as rm
from rmspace import reuse_items
from rmspace._typing import IntArray
from rmspace.kinds import Objective
from rmspace.models import mlp
from rmspace.models.core import bins
from rmspace.models.io.tensors import read_rows

Data = tuple[rm.ResponseBank, rm.ResponseBank, list[IntArray]]  # (train, test, several labels)


@pytest.fixture
def banks() -> Data:
    train, test = rm.make_synthetic_banks(100, 30, 8, 16, noise_std=0.0, seed=0)
    rng = np.random.default_rng(0)
    pairs = rm.same_prompt(train, 600, rng)
    comparisons = [rm.annotate(pairs, train.rewards, rm.oracle, rng=rng, scale=1.0) for _ in range(2)]
    comparisons[1][::3] = comparisons[1][::3, ::-1]  # other labels, same pairs
    return train, test, comparisons


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen = []
    read = read_rows

    def count(*args: Any) -> Tensor:
        rows = read(*args)
        seen.append(weakref.ref(rows))
        return rows

    monkeypatch.setattr(mlp, "read_rows", count)
    return seen


def model(seed: int | None = 0, **options: Any) -> rm.MLPReward:
    return rm.MLPReward(hidden_sizes=(8,), max_epochs=2, random_state=seed, **options)


def test_other_labels_seeds_and_objectives_read_nothing_again(banks: Data, reads: list[Any]) -> None:
    train, test, (some, other) = banks
    jobs = [(model(0), some), (model(1), some), (model(0), other), (model(objective=rm.classification), some)]
    alone = [job.fit(train.items, labels, groups=train.groups).predict(test.items) for job, labels in jobs]
    assert len(reads) == 4
    with reuse_items():
        reusing = [job.fit(train.items, labels, groups=train.groups).predict(test.items) for job, labels in jobs]
        assert len(reads) == 5
        assert reads[-1]() is not None
    gc.collect()
    assert reads[-1]() is None, "the rows outlive the block"
    np.testing.assert_array_equal(alone, reusing)


def test_fewer_of_the_same_rows_are_found_in_those_already_read(banks: Data, reads: list[Any]) -> None:
    train, test, (some, _) = banks
    alone = model().fit(train.items, some[:300], groups=train.groups).predict(test.items)
    with reuse_items():
        model().fit(train.items, some, groups=train.groups)
        reusing = model().fit(train.items, some[:300], groups=train.groups).predict(test.items)
    assert len(reads) == 2
    np.testing.assert_array_equal(alone, reusing)


def test_items_that_change_in_between_are_read_again(banks: Data, reads: list[Any]) -> None:
    train, test, (some, _) = banks
    items = np.array(train.items)
    with reuse_items():
        model().fit(items, some, groups=train.groups)
        items[some[0, 0]] *= -1
        changed = model().fit(items, some, groups=train.groups).predict(test.items)
        assert len(reads) == 2
    fresh = model().fit(items, some, groups=train.groups).predict(test.items)
    np.testing.assert_array_equal(changed, fresh)


def test_other_items_are_never_taken_for_these(banks: Data, reads: list[Any]) -> None:
    train, test, (some, _) = banks
    doubled = 2 * np.asarray(train.items)
    with reuse_items():
        model().fit(train.items, some, groups=train.groups)
        inside = model().fit(doubled, some, groups=train.groups).predict(test.items)
        fewer = np.array(train.items[:100])  # too short for the ids that were kept
        model().fit(fewer, some[(some < 100).all(axis=1)], groups=train.groups[:100])
    np.testing.assert_array_equal(inside, model().fit(doubled, some, groups=train.groups).predict(test.items))


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("bootstrap", [False, True])
def test_an_ensemble_reads_once_and_is_its_members(
    banks: Data, reads: list[Any], bootstrap: bool, batched: bool
) -> None:
    train, test, (some, _) = banks
    ensemble = rm.EnsembleReward(model(None), n_members=3, bootstrap=bootstrap, batched=batched, random_state=0)
    ensemble.fit(train.items, some, groups=train.groups)
    assert len(reads) == 1
    if not bootstrap:
        for member in ensemble.members_:
            alone = model(member.random_state).fit(train.items, some, groups=train.groups)
            expected, found = alone.predict(test.items), member.predict(test.items)
            if batched:
                np.testing.assert_allclose(found - found.mean(), expected - expected.mean(), atol=1e-5)
            else:
                np.testing.assert_array_equal(found, expected)


def test_an_experiment_reads_once(banks: Data, reads: list[Any]) -> None:
    train, test, _ = banks
    models = {"BT": model(None), "CLF": model(None, objective=rm.classification)}
    rm.run(train=train, test=test, pairs=rm.same_prompt, n_pairs=300, annotator=rm.oracle, n=4, models=models)
    assert len(reads) == 1


def test_a_bank_in_a_file_is_shared_by_its_place(banks: Data, reads: list[Any], tmp_path: Path) -> None:
    train, _, (some, _) = banks
    train.save(tmp_path / "bank")
    half = rm.ResponseBank.open(tmp_path / "bank")[::2]
    comparisons = some[(some < half.n_items).all(axis=1)]
    with reuse_items():
        for seed in range(2):
            model(seed).fit(half.items, comparisons, groups=half.groups)
        assert len(reads) == 1
        model().fit(rm.ResponseBank.open(tmp_path / "bank")[1::2].items, comparisons, groups=half.groups)
        assert len(reads) == 2


@pytest.fixture
def binnings(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen = []
    make = bins._bin

    def count(*args: Any) -> Any:
        seen.append(1)
        return make(*args)

    monkeypatch.setattr(bins, "_bin", count)
    return seen


def trees(objective: Objective = rm.bradley_terry, seed: int = 0, **options: Any) -> rm.LightGBMReward:
    return rm.LightGBMReward(objective, n_estimators=5, random_state=seed, n_jobs=1, **options)


@pytest.mark.parametrize("objective", [rm.bradley_terry, rm.classification])
def test_trees_bin_nothing_again_for_other_labels_weights_or_seeds(
    banks: Data, binnings: list[Any], objective: Objective
) -> None:
    train, test, (some, other) = banks
    heavy = np.where(np.arange(len(some)) % 2, 1.0, 3.0)
    jobs = [(some, heavy, 0), (some, None, 1), (other, None, 0), (other, heavy, 0), (some, np.ones(len(some)), 0)]
    alone = [trees(objective, seed).fit(train.items, y, sample_weight=w).predict(test.items) for y, w, seed in jobs]
    binnings.clear()
    with reuse_items():
        fits = [trees(objective, seed).fit(train.items, y, sample_weight=w).predict(test.items) for y, w, seed in jobs]
        assert len(binnings) == 1
        trees(objective, parameters={"max_bin": 15}).fit(train.items, some)
        assert len(binnings) == 2
        trees(objective).fit(train.items, some[:200])
        assert len(binnings) == 3
    np.testing.assert_array_equal(alone, fits)


@pytest.mark.parametrize("where", ["memory", "file"])
@pytest.mark.parametrize(
    "parameters", [None, {"max_bin": 31, "feature_fraction": 0.5}, {"max_bin_by_feature": [20] * 600}]
)
def test_bins_made_by_columns_are_those_that_lightgbm_makes_at_once(
    tmp_path: Path, rng: np.random.Generator, where: str, parameters: dict[str, Any] | None
) -> None:
    items = rng.normal(size=(400, 600)).astype(np.float16)  # three blocks of columns
    items[:, 5:9] *= rng.random((400, 4)) < 0.1
    items[:, [0, 300]] = rng.integers(0, 5, (400, 2))
    items[:, 301] = 1.0
    if where == "file":
        rm.ResponseBank(items.reshape(200, 2, 600)).save(tmp_path / "bank")
        items = rm.ResponseBank.open(tmp_path / "bank").items
    comparisons = np.arange(400).reshape(200, 2)[:, ::-1]
    model = trees(rm.classification, parameters=parameters).fit(items, comparisons)
    stacked = np.asarray(items, dtype=np.float32)[np.sort(comparisons, axis=1).T.ravel()]
    settings = {"objective": "binary", "verbosity": -1, "num_threads": 1, "deterministic": True, **(parameters or {})}
    settings |= {"force_col_wise": True, "seed": model._settings()["seed"]}
    plain = lightgbm.train(settings, lightgbm.Dataset(stacked, np.repeat([0.0, 1.0], 200), params=settings), 5)
    np.testing.assert_array_equal(model.predict(items), plain.predict(np.asarray(items, np.float32), raw_score=True))


def test_quantized_trees_learn(banks: Data) -> None:
    train, test, (some, _) = banks
    for objective in (rm.bradley_terry, rm.classification):
        model = rm.LightGBMReward(objective, quantized=True, n_jobs=1).fit(train.items, some)
        assert rm.spearman(model.predict(test.items), test.rewards).mean() > 0.3


@pytest.mark.parametrize("kind", [model, trees])
@pytest.mark.parametrize("where", ["shared memory", "file written by another"])
def test_memory_that_another_may_write_to_is_read_again(
    banks: Data, tmp_path: Path, where: str, kind: Callable[..., Any]
) -> None:
    train, test, (some, _) = banks
    items = np.asarray(train.items, dtype=np.float32)
    if where == "shared memory":
        memory = SharedMemory(create=True, size=items.nbytes)
        given = writable = np.ndarray(items.shape, items.dtype, memory.buf)
        writable[:] = items
    else:
        np.save(tmp_path / "items.npy", items)
        given, writable = (np.load(tmp_path / "items.npy", mmap_mode=mode) for mode in ("r", "r+"))
    with reuse_items():
        kind().fit(given, some, groups=train.groups)
        writable[::2] *= -1
        inside = kind().fit(given, some, groups=train.groups).predict(test.items)
    expected = kind().fit(np.array(given), some, groups=train.groups).predict(test.items)
    np.testing.assert_array_equal(inside, expected)
    if where == "shared memory":
        del given, writable
        memory.close()
        memory.unlink()


def test_another_thread_does_not_share(banks: Data) -> None:
    train, test, labels = banks
    fit = partial(trees, rm.classification)
    alone = [fit().fit(train.items, labels[k % 2]).predict(test.items) for k in range(6)]

    async def all_at_once() -> list[rm.LightGBMReward]:
        jobs = [asyncio.to_thread(fit().fit, train.items, labels[k % 2]) for k in range(6)]
        return await asyncio.gather(*jobs)

    with reuse_items():
        fitted = asyncio.run(all_at_once())
    np.testing.assert_array_equal([model.predict(test.items) for model in fitted], alone)


@pytest.mark.parametrize("kind", [model, trees])
def test_a_broken_item_of_weight_0_is_left_out_here_too(banks: Data, kind: Callable[..., Any]) -> None:
    train, test, (some, _) = banks
    items = np.array(train.items)
    items[some[0]] = np.nan
    some = some[1:][~np.isin(some[1:], some[0]).any(axis=1)]
    some = np.concatenate([banks[2][0][:1], some])
    weights = np.where(np.arange(len(some)) == 0, 0.0, 1.0)
    alone = kind().fit(items, some, sample_weight=weights, groups=train.groups).predict(test.items)
    with reuse_items():
        inside = kind().fit(items, some, sample_weight=weights, groups=train.groups).predict(test.items)
    np.testing.assert_array_equal(inside, alone)


def test_long_lists_of_parameters_are_told_apart(rng: np.random.Generator) -> None:
    items, comparisons = rng.normal(size=(80, 1200)).astype(np.float32), np.arange(80).reshape(40, 2)
    limits = [np.full(1200, 20), np.full(1200, 20)]
    limits[1][600] = 3
    fits = [trees(parameters={"max_bin_by_feature": limit}, min_child_samples=2) for limit in limits]
    alone = [fit.fit(items, comparisons).predict(items) for fit in fits]
    with reuse_items():
        np.testing.assert_array_equal([fit.fit(items, comparisons).predict(items) for fit in fits], alone)
