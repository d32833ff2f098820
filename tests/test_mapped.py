"""Arrays in files: they are read in blocks, only the used rows are read, and changes on disk are noticed."""

import gc
import mmap
import os
import pickle
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rmspace as rm
from rmspace._typing import FloatArray
from rmspace.data.mapped import Rows, blocks, choose, map_array, mapped

SHAPE = (40, 3, 5)
posix = pytest.mark.skipif(os.name != "posix", reason="Windows lets nobody change a file that is mapped")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mapped") / "array.npy"
    np.save(path, np.random.default_rng(0).normal(size=SHAPE).astype(np.float16))
    return path


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_mapped_array_is_the_file(file: Path) -> None:
    array = map_array(file)
    np.testing.assert_array_equal(array, np.load(file))
    assert mapped(array) and mapped(array[3:].reshape(-1, 5)) and mapped(np.load(file, mmap_mode="r"))
    assert not mapped(np.load(file)) and not mapped(np.load(file, mmap_mode="c"))


def test_fortran_order_is_kept(tmp_path: Path) -> None:
    table = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    np.save(tmp_path / "f.npy", table)
    np.testing.assert_array_equal(map_array(tmp_path / "f.npy"), table)


@given(
    ids=st.lists(st.integers(0, SHAPE[0] - 1), min_size=1, max_size=60),
    size=st.integers(1, 70),
    where=st.sampled_from(["file", "memmap", "memory", "swapped"]),
)
def test_blocks_are_the_rows(file: Path, ids: list[int], size: int, where: str) -> None:
    array = {
        "file": map_array(file),
        "memmap": np.load(file, mmap_mode="r"),
        "memory": np.load(file),
        "swapped": map_array(file).swapaxes(0, 1),
    }[where]
    chosen = np.array(ids) % len(array)
    for whole, found in (
        (array, blocks(array, size=size)),
        (array[chosen], blocks(array, chosen, size=size)),
        (array[chosen], blocks(choose(array, chosen), size=size)),
        (array[chosen][::-1], blocks(choose(array, chosen), np.arange(len(chosen))[::-1], size=size)),
    ):
        parts = [(part, np.array(block)) for part, block in found]
        assert max(len(block) for _, block in parts) <= size
        assert [k for part, _ in parts for k in range(part.start, part.stop)] == list(range(len(whole)))
        np.testing.assert_array_equal(np.concatenate([block for _, block in parts]), whole)


KEYS = [
    0,
    -1,
    np.int64(2),
    slice(1, 4),
    slice(None, None, -2),
    [3, 0, 3],
    np.array([1, -2]),
    np.arange(6) % 2 == 0,
    (2, 1),
    (slice(1, 3), 2),
    (slice(0, 2), [0, 1]),
    ([0, 1], [2, 0]),
    (0, slice(1), 3),
    ...,
    (..., 1),
    None,
    np.array([[0, 1], [2, 3]]),
    (),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_rows_index_as_an_array_does(file: Path, key: Any) -> None:
    ids = np.array([5, 5, 0, 39, 7, 2])
    rows = Rows(map_array(file), ids)
    np.testing.assert_array_equal(rows[key], np.load(file)[ids][key])


def test_rows_do_what_an_array_does(file: Path) -> None:
    ids = np.array([4, 1, 30])
    rows, array = Rows(map_array(file), ids), np.load(file)[ids]
    assert (rows.shape, rows.dtype, rows.ndim, len(rows)) == (array.shape, array.dtype, array.ndim, len(array))
    for mine, theirs in (
        (rows + 1, array + 1),
        (2 - rows, 2 - array),
        (rows @ np.ones(5), array @ np.ones(5)),
        (np.exp(rows), np.exp(array)),
        (rows.mean(axis=0), array.mean(axis=0)),
        (rows.T, array.T),
        (rows.astype(np.float64), array.astype(np.float64)),
        (np.concatenate([rows, rows]), np.concatenate([array, array])),
        (np.asarray(rows, dtype=np.float32), array.astype(np.float32)),
        (pickle.loads(pickle.dumps(rows)), array),
        (np.stack(list(rows)), array),
    ):
        np.testing.assert_array_equal(mine, theirs)
    assert not hasattr(rows, "iloc") and not hasattr(rows, "toarray")
    with pytest.raises(IndexError):
        rows[3]


def test_rows_in_a_file_cannot_be_written_to(file: Path) -> None:
    rows: Any = Rows(map_array(file), np.array([4, 1]))
    for write in (lambda: rows.__setitem__(0, 1), lambda: np.add(rows, 1, out=rows), lambda: rows.__iadd__(1)):
        with pytest.raises(TypeError, match=r"cannot be written to; numpy\.asarray\(rows\) is a copy"):
            write()


def test_rows_of_rows_are_rows_of_the_file(file: Path) -> None:
    rows = choose(choose(map_array(file), np.array([7, 3, 9])), np.array([2, 0]))
    assert isinstance(rows, Rows)
    np.testing.assert_array_equal(rows.ids, [9, 7])
    table = choose(map_array(file).reshape(-1, 5), np.arange(4))
    np.testing.assert_array_equal(pd.DataFrame(table), np.load(file).reshape(-1, 5)[:4])
    assert float(table[0, 0]) in table


@posix
def test_memory_that_only_looks_like_a_file_keeps_what_was_written(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4000, 16), np.float32))
    private = np.load(tmp_path / "a.npy", mmap_mode="c")
    behind = np.ndarray(private.shape, private.dtype, private._mmap, private.offset)
    anonymous = np.ndarray(
        (4000, 16), np.float32, mmap.mmap(-1, 4000 * 64, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    )
    for array in (private, behind, anonymous):
        array[:] = 1
        for _ in blocks(array, size=100):
            pass
        assert (array == 1).all()
        assert not mapped(array)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_opening_banks_takes_one_descriptor_a_file(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    rm.ResponseBank(np.ones((4, 2, 3), np.float32), np.ones((4, 2))).save(tmp_path / "bank")
    before = descriptors()
    banks = [rm.ResponseBank.open(tmp_path / "bank") for _ in range(10)]
    gc.collect()
    assert descriptors() - before <= 10 * 3  # embeddings, rewards, prompt ids
    del banks
    assert not [w for w in recwarn if w.category is ResourceWarning]


@posix
@pytest.mark.parametrize("change", ["truncate", "rewrite"])
def test_a_file_that_changes_is_noticed(tmp_path: Path, change: str) -> None:
    path = tmp_path / "array.npy"
    np.save(path, np.zeros((1000, 8), np.float32))
    array = map_array(path)
    found = blocks(array, size=100)
    next(found)
    if change == "truncate":
        os.truncate(path, 4096)
    else:
        with path.open("r+b") as file:
            file.seek(200)
            file.write(b"1")
        os.utime(path, ns=(1, 1))
    with pytest.raises(RuntimeError, match=r"array\.npy changed after it was opened"):
        for _ in found:
            pass


@posix
def test_a_bank_that_is_replaced_whole_stays_readable(tmp_path: Path) -> None:
    ones = rm.ResponseBank(np.ones((4, 2, 3), np.float32))
    ones.save(tmp_path / "bank")
    bank = rm.ResponseBank.open(tmp_path / "bank")
    rm.ResponseBank(np.zeros((4, 2, 3), np.float32)).save(tmp_path / "bank", overwrite=True)
    assert bank.fingerprint() == ones.fingerprint()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> FloatArray:
    path = tmp_path_factory.mktemp("mapped") / "large.npy"
    table = np.lib.format.open_memmap(path, "w+", np.float16, (20_000, 512))  # 20 MB
    table[:] = np.random.default_rng(0).normal(size=512)
    table[::3] *= -1
    table.flush()
    del table
    return map_array(path)


def peak_of_arrays(act: Callable[..., Any]) -> int:
    """Bytes of numpy arrays at the peak of a call; pages of a file are not among them."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not hasattr(mmap.mmap, "madvise"), reason="this system takes no advice on pages")
@pytest.mark.parametrize("step", [None, 1, 2, 15, 500])
def test_reading_a_large_file_takes_little_memory(
    large: FloatArray, step: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every page that is read ahead is released later, and at most two blocks wait for their release."""
    held: Counter[int] = Counter()
    most = 0

    def advise(mapping: Any, advice: str, spans: list[tuple[int, int]]) -> None:
        nonlocal most
        for start, length in spans:
            pages = range(start // mmap.PAGESIZE, (start + length) // mmap.PAGESIZE)
            if advice == "MADV_WILLNEED":
                held.update(pages)
                most = max(most, len(held))
            else:
                for page in pages:
                    held.pop(page, None)

    monkeypatch.setattr("rmspace.data.mapped._advise", advise)
    ids = None if step is None else np.arange(0, len(large), step)

    def read() -> None:
        for _, block in blocks(large, ids, size=1000):
            block.max()

    assert peak_of_arrays(read) < 4 * 1000 * 512 * 2 + 1_000_000
    assert not held
    assert 0 < most <= 3 * (1000 * 512 * 2 * max(1, min(step or 1, 4)) // mmap.PAGESIZE + 2)


def test_a_fit_holds_the_rows_that_it_uses_and_little_else(large: FloatArray) -> None:
    comparisons = np.random.default_rng(0).permutation(np.arange(0, len(large), 5)).reshape(-1, 2)
    groups = np.arange(len(large))
    model = rm.MLPReward(hidden_sizes=(8,), max_epochs=1, random_state=0, precision="float32")
    model.fit(large[:100], np.arange(100).reshape(-1, 2), groups=groups[:100])  # so that all modules are imported
    assert peak_of_arrays(lambda: model.fit(large, comparisons, groups=groups)) < 2 * comparisons.size * 512 * 4
    whole = len(large) * 512 * 4  # as float32, which is what a copy for the model would take
    assert peak_of_arrays(lambda: model.predict(large)) < whole / 2
