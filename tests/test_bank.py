import contextlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmspace as rm
from conftest import make_bank
from rmspace.data.files import FolderKind, new_folder
from rmspace.data.mapped import mapped


def test_items_and_ids_agree() -> None:
    bank = make_bank(5, 3)
    for prompt in range(5):
        for response in range(3):
            item = prompt * 3 + response
            np.testing.assert_array_equal(bank.items[item], bank.embeddings[prompt, response])
            assert bank.groups[item] == prompt
    assert bank.n_items == len(bank.items) == len(bank.groups) == 15


@pytest.mark.parametrize(
    "choice", [slice(1, 4), [3, 0, 2], np.array([True, False, True, False, True]), 2, slice(None, None, -1)]
)
def test_selection_takes_everything_along(choice: Any) -> None:
    bank = rm.ResponseBank(
        np.arange(30.0, dtype=np.float32).reshape(5, 3, 2),
        np.arange(15.0).reshape(5, 3),
        features={"length": np.arange(15).reshape(5, 3)},
        prompt_ids=np.arange(10, 15),
    )
    rows = np.atleast_1d(np.arange(5)[choice])
    for chosen in (bank[choice], bank[choice][:]):
        np.testing.assert_array_equal(chosen.embeddings, bank.embeddings[rows])
        np.testing.assert_array_equal(chosen.rewards, bank.rewards[rows])
        np.testing.assert_array_equal(chosen.features["length"], bank.features["length"][rows])
        np.testing.assert_array_equal(chosen.prompt_ids, rows + 10)
        assert chosen.groups.max() == len(rows) - 1
    np.testing.assert_array_equal(bank[[4, 1, 0]][[2, 0]].prompt_ids, [10, 14])


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_save_and_open(tmp_path: Path, dtype: str) -> None:
    bank = rm.ResponseBank(
        make_bank(4, 3).embeddings.astype(dtype),
        make_bank(4, 3).rewards,
        features={"length": np.arange(12).reshape(4, 3)},
        metadata={"source": "é"},
    )
    bank.save(tmp_path / "bank")
    again = rm.ResponseBank.open(tmp_path / "bank")
    assert mapped(again.embeddings)
    assert not mapped(again.rewards)
    np.testing.assert_array_equal(again.embeddings, bank.embeddings)
    np.testing.assert_array_equal(again.rewards, bank.rewards)
    np.testing.assert_array_equal(again.features["length"], bank.features["length"])
    assert again.metadata == bank.metadata
    assert again.fingerprint() == bank.fingerprint()
    assert again[1:].fingerprint() != bank.fingerprint()


@pytest.mark.skipif(os.name != "posix", reason="Windows lets nobody change a file that is mapped")
def test_nothing_is_read_until_it_is_used(tmp_path: Path) -> None:
    """The file is cut after the bank was opened. A read raises, so what does not raise has not read."""
    make_bank(2000, 4, 256).save(tmp_path / "bank")
    bank = rm.ResponseBank.open(tmp_path / "bank")
    train, test = rm.split_prompts(bank, 500, 0)
    os.truncate(tmp_path / "bank" / "items.npy", 4096)
    chosen = [bank[:10], bank[[5, 3]], train[::-1], rm.split_prompts(train, 100, 0)[1]]
    assert [part.items.shape[1] for part in (*chosen, train, test)] == [256] * 6
    for part in (bank, train, *chosen):
        with pytest.raises(RuntimeError, match=r"items\.npy changed after it was opened"):
            list(part.item_blocks())


def test_split_is_by_prompt_and_seeded() -> None:
    bank = make_bank(40, 3)
    for size, expected in ((10, 10), (0.25, 10)):
        train, test = rm.split_prompts(bank, size, seed=3)
        assert test.n_prompts == expected
        assert sorted([*train.prompt_ids, *test.prompt_ids]) == list(range(40))
    again = rm.split_prompts(bank, 10, seed=3)[1]
    np.testing.assert_array_equal(test.prompt_ids, again.prompt_ids)
    assert set(rm.split_prompts(bank, 10, seed=4)[1].prompt_ids) != set(test.prompt_ids)


def test_float16_overflow_on_save_keeps_the_old_bank(tmp_path: Path) -> None:
    make_bank(2, 2).save(tmp_path / "bank")
    old = rm.ResponseBank.open(tmp_path / "bank").fingerprint()
    loud = rm.ResponseBank(np.full((2, 2, 4), 1e5, np.float32))
    with pytest.raises(OverflowError, match=r"fit float16 \(at most 65504\); prompt 0 has 100000; save as float32"):
        loud.save(tmp_path / "bank", dtype="float16", overwrite=True)
    assert rm.ResponseBank.open(tmp_path / "bank").fingerprint() == old
    assert [path.name for path in tmp_path.iterdir()] == ["bank"]


def test_a_full_disk_keeps_the_old_bank(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits the size of files, which only POSIX systems can")
    make_bank(2, 2).save(tmp_path / "bank")
    old = rm.ResponseBank.open(tmp_path / "bank").fingerprint()
    large = rm.ResponseBank(np.ones((100, 10, 64), np.float32))
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(OSError, match="bank could not be written: the disk is full, or the limit"):
            large.save(tmp_path / "bank", overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert rm.ResponseBank.open(tmp_path / "bank").fingerprint() == old
    assert [path.name for path in tmp_path.iterdir()] == ["bank"]


def test_folders_are_replaced_only_when_asked_and_only_their_own_kind(tmp_path: Path) -> None:
    bank = make_bank(2, 2)
    bank.save(tmp_path / "bank")
    with pytest.raises(FileExistsError, match="exists already"):
        bank.save(tmp_path / "bank")
    bank.save(tmp_path / "bank", overwrite=True)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"no bank\.json of rmspace's"):
        bank.save(tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"


KIND = FolderKind("test", "m.json", r"m\.json|table")


def test_other_peoples_files_are_never_deleted(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "bank.json").write_text('{"name": "my web app"}')
    with pytest.raises(FileExistsError, match=r"no bank\.json of rmspace's"):
        make_bank(2, 2).save(tmp_path / "web", overwrite=True)
    make_bank(2, 2).save(tmp_path / "bank")
    (tmp_path / "bank" / "notes.md").write_text("mine")
    with pytest.raises(FileExistsError, match=r"also holds notes\.md, which rmspace did not write"):
        make_bank(2, 2).save(tmp_path / "bank", overwrite=True)
    with pytest.raises(FileExistsError, match="exists already"), new_folder(tmp_path / "race", KIND) as folder:
        (folder / "m.json").write_text("{}")
        (tmp_path / "race").mkdir()
        (tmp_path / "race" / "precious.txt").write_text("mine")
    assert (tmp_path / "race" / "precious.txt").read_text() == "mine"


def test_links_lead_to_the_folder(tmp_path: Path) -> None:
    make_bank(2, 2).save(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    make_bank(3, 2).save(tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert rm.ResponseBank.open(tmp_path / "real").n_prompts == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


@pytest.mark.parametrize("position", range(6, 60))
def test_a_changed_byte_in_a_header_is_an_exception_or_nothing(tmp_path: Path, position: int) -> None:
    make_bank(3, 2).save(tmp_path / "bank")
    path = tmp_path / "bank" / "items.npy"
    content = bytearray(path.read_bytes())
    content[position] ^= 0x15
    path.write_bytes(content)
    with contextlib.suppress(ValueError, TypeError):
        assert rm.ResponseBank.open(tmp_path / "bank").embeddings.shape == (3, 2, 4)


def test_what_was_finished_is_kept(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as caught, new_folder(tmp_path / "out", KIND, keep=["table"]) as folder:
        (folder / "table").write_text("1")
        raise RuntimeError
    (kept,) = tmp_path.iterdir()
    assert str(kept) in caught.value.__notes__[0]
    assert (kept / "table").read_text() == "1"


@pytest.mark.parametrize("name", ["items.npy", "rewards.npy", "prompt_ids.npy", "offsets.npy"])
@pytest.mark.parametrize("keep", [0, 20, -1])
def test_truncated_files(tmp_path: Path, name: str, keep: int) -> None:
    make_bank(3, 2).save(tmp_path / "bank")
    path = tmp_path / "bank" / name
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=rf"{name} is (not a whole \.npy file|damaged)"):
        rm.ResponseBank.open(tmp_path / "bank")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "is a bank of version 2; this rmspace reads 3; write it again"),
        ({"version": 4}, "is a bank of version 4; this rmspace reads 3; upgrade"),
        ({"shape": [6, 5]}, r"bank\.json is damaged: its content is not what was written"),
        ({"metadata": {"licence": "none"}}, r"bank\.json is damaged: its content is not what was written"),
        ({"hashes": {}}, r"bank\.json is damaged: its content is not what was written"),
        ({"format": "x"}, "does not describe a bank"),
        ({"rewards": None}, "rewards is missing"),
        ({"features": 5}, "features is missing or not what"),
        ({"shape": 5}, "shape is missing or not what"),
    ],
)
def test_damaged_heads(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    make_bank(3, 2).save(tmp_path / "bank")
    path = tmp_path / "bank" / "bank.json"
    head = {**json.loads(path.read_text()), **change}
    if head["rewards"] is None:
        del head["rewards"]
    path.write_text(json.dumps(head))
    with pytest.raises(ValueError, match=message):
        rm.ResponseBank.open(tmp_path / "bank")
    path.write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        rm.ResponseBank.open(tmp_path / "bank")
    path.unlink()
    with pytest.raises(FileNotFoundError, match="not a saved bank"):
        rm.ResponseBank.open(tmp_path / "bank")


EMBEDDINGS = np.zeros((3, 2, 4), np.float32)


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda: rm.ResponseBank(EMBEDDINGS[0]), ValueError, r"must be \(n_prompts, n_responses, dim\)"),
        (lambda: rm.ResponseBank(EMBEDDINGS.astype(int)), TypeError, "float16 or float32; got int64"),
        (lambda: rm.ResponseBank(EMBEDDINGS, np.zeros((2, 3))), ValueError, r"= \(3, 2\) of the embeddings; got"),
        (lambda: rm.ResponseBank(EMBEDDINGS, np.zeros((3, 2), int)), TypeError, "floating-point"),
        (lambda: rm.ResponseBank(EMBEDDINGS).rewards, ValueError, "no gold rewards"),
        (lambda: rm.ResponseBank(EMBEDDINGS, features={"a": np.zeros(3)}), ValueError, "feature 'a' must be"),
        (lambda: rm.ResponseBank(EMBEDDINGS)[[0, 3]], IndexError, r"\[0, 3\); got 0 to 3"),
        (lambda: rm.ResponseBank(EMBEDDINGS)[[0.5]], TypeError, "rows of prompts, or a mask"),
        (lambda: rm.ResponseBank(EMBEDDINGS)[1, 2], TypeError, "got a tuple; for one response use"),
        (lambda: rm.ResponseBank(EMBEDDINGS)[[]], ValueError, "at least one prompt"),
        (
            lambda: rm.ResponseBank(EMBEDDINGS).save("x", dtype="int8"),  # type: ignore[arg-type]
            ValueError,
            "dtype must be 'float16' or 'float32'",
        ),
        (
            lambda: rm.ResponseBank(EMBEDDINGS, metadata={"a": np.int64(3)}).save("x"),
            TypeError,
            "metadata must be what",
        ),
        (lambda: rm.ResponseBank(EMBEDDINGS)[3:], ValueError, "at least one prompt"),
        (lambda: rm.split_prompts(rm.ResponseBank(EMBEDDINGS), 3, 0), ValueError, "leave a training prompt"),
        (lambda: rm.split_prompts(rm.ResponseBank(EMBEDDINGS), 1.5, 0), ValueError, r"share in \(0, 1\)"),
    ],
)
def test_bad_input(act: Callable[..., Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        act()


@pytest.mark.parametrize("layout", ["prompts_first", "responses_first"])
@pytest.mark.parametrize("choice", [slice(None), slice(2, 5), slice(None, None, -2), [4, 0, 1]], ids=str)
def test_a_selection_of_a_bank_in_a_file_is_read_only_where_it_is_used(
    tmp_path: Path, layout: Any, choice: Any
) -> None:
    whole = make_bank(6, 3)
    first, second = (0, 1) if layout == "prompts_first" else (1, 0)
    np.save(tmp_path / "e.npy", np.ascontiguousarray(whole.embeddings.transpose(first, second, 2)))
    np.save(tmp_path / "r.npy", np.ascontiguousarray(whole.rewards.transpose(first, second)))
    bank = rm.read_published(tmp_path / "e.npy", tmp_path / "r.npy", layout=layout)[choice]
    expected = whole[choice]
    assert mapped(bank.embeddings) and mapped(bank.items)
    np.testing.assert_array_equal(bank.items, expected.items)
    np.testing.assert_array_equal(bank.embeddings, expected.embeddings)
    np.testing.assert_array_equal(bank[1:].items[2], expected[1:].items[2])
    assert bank.fingerprint() == expected.fingerprint()
    bank.save(tmp_path / "saved")
    assert rm.ResponseBank.open(tmp_path / "saved").fingerprint() == expected.fingerprint()


def test_a_strided_view_of_a_file_is_a_bank_too(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32))
    array = np.load(tmp_path / "e.npy", mmap_mode="r")
    bank = rm.ResponseBank(array[:, :3])
    np.testing.assert_array_equal(bank.items, array[:, :3].reshape(-1, 4))
    np.testing.assert_array_equal(bank[[4, 1]].items, array[[4, 1], :3].reshape(-1, 4))
