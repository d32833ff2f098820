"""Embedding into a folder: each text once, whatever stops the run, and never two encoders in one folder."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rmspace as rm
from rmspace._typing import FloatArray
from rmspace.data.mapped import mapped
from rmspace.text import FunctionEncoder, TextItem, TextPreferences, embed
from rmspace.text.descriptions import differences
from rmspace.text.folder_lock import folder_lock
from rmspace.text.records import Comparison, Record, items_of
from rmspace.text.vector_store import INDEX, ROWS

# A process that embeds texts slowly and writes down each one: the tests stop it.
SLOW = """
import sys, time, warnings
import numpy as np
from rmspace.text import TextItem, embed
from text_stub import Stub
folder, log, n, shard, seconds = sys.argv[1], sys.argv[2], *map(float, sys.argv[3:6])
items = [TextItem((), f"text {k}") for k in range(int(n))]
print("start", flush=True)
embed(items, Stub(log=log, seconds=seconds), out=folder, shard=int(shard), progress=False)
"""


def words(n: int, start: int = 0) -> list[TextItem]:
    return [TextItem((), f"text {k}") for k in range(start, start + n)]


class Stub:
    """An encoder of numbers that depend on the text alone; it remembers what it was asked."""

    def __init__(self, dim: int = 3, version: str = "1") -> None:
        self.dim, self.version = dim, version
        self.asked: list[list[TextItem]] = []

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "stub", "version": self.version, "about": {"time": time.time()}}

    def encode(self, items: Sequence[TextItem], /) -> FloatArray:
        self.asked.append(list(items))
        return np.stack([vector(item, self.dim) for item in items])


def vector(item: TextItem, dim: int = 3) -> FloatArray:
    seed = [len(item.prompt), *(item.response.encode("utf-8", "surrogatepass"))]
    return np.random.default_rng(seed).normal(size=dim).astype(np.float32)


def expected(items: Sequence[TextItem]) -> FloatArray:
    return np.stack([vector(item) for item in items])


# What is embedded


def test_preferences() -> None:
    first, second = items_of("2 + 2?", ["4", "5"]), items_of("3 + 3?", ["6", "7", "6"])
    records = [
        Record(first, [Comparison(0, 1, {"margin": 2.0})], scores={"rating": [5.0, 1.0]}),
        Record(second, [Comparison(0, 1), Comparison(2, 1)], scores={"rating": [4.0, 2.0, 4.0]}),
    ]
    texts = TextPreferences.from_records(records, metadata={"source": "here"})
    data = embed(texts, Stub(), progress=False)
    assert isinstance(data, rm.Preferences)
    np.testing.assert_array_equal(data.items, expected(texts.items))
    assert data.comparisons.tolist() == texts.comparisons.tolist() == [[0, 1], [2, 3], [2, 3]]
    assert data.features["rating"].tolist() == [5.0, 1.0, 4.0, 2.0]
    assert data.metadata["source"] == "here"
    assert data.metadata["encoder"]["kind"] == "stub"
    assert data.metadata["embedding"] == {"prompt_cut": 0, "reply_cut": 0, "replaced": 0, "empty": 0}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_folder_gives_what_memory_gives(tmp_path: Path, dtype: Any) -> None:
    items = words(25)
    memory = embed(items, Stub(), dtype=dtype, shard=7, progress=False)
    folder = embed(items, Stub(), out=tmp_path / "out", dtype=dtype, shard=7, progress=False)
    assert memory.dtype == folder.dtype == dtype
    assert mapped(folder)
    assert not mapped(memory)
    np.testing.assert_array_equal(np.asarray(folder), memory)
    np.testing.assert_array_equal(memory, expected(items).astype(dtype))


@given(numbers=st.lists(st.integers(0, 9), min_size=1, max_size=30), shard=st.integers(1, 12))
def test_equal_texts_are_embedded_once(numbers: list[int], shard: int) -> None:
    stub = Stub()
    items = [TextItem((), f"text {k}") for k in numbers]
    np.testing.assert_array_equal(embed(items, stub, shard=shard, progress=False), expected(items))
    asked = [item for part in stub.asked for item in part]
    assert asked == list(dict.fromkeys(items))  # once, in their order
    assert all(len(part) <= shard for part in stub.asked)


def test_more_texts_are_added_and_the_old_ones_stay(tmp_path: Path) -> None:
    stub = Stub()
    before = embed(words(10), stub, out=tmp_path, progress=False)
    after = embed([*words(5, 8), *words(3)], stub, out=tmp_path, progress=False)
    np.testing.assert_array_equal(np.asarray(after), expected([*words(5, 8), *words(3)]))
    assert [len(part) for part in stub.asked] == [10, 3]
    np.testing.assert_array_equal(np.asarray(before), expected(words(10)))  # still readable
    embed(words(13), stub, out=tmp_path, progress=False)
    assert len(stub.asked) == 2


def test_items_with_lone_surrogates_have_a_key() -> None:
    stub = Stub()
    embed([TextItem((), "\ud800"), TextItem((), "\udfff"), TextItem((), "\ud800")], stub, progress=False)
    assert len(stub.asked[0]) == 2


def test_what_was_changed_is_counted_over_the_texts_that_were_asked_for(tmp_path: Path) -> None:
    encoder = FunctionEncoder(lambda texts: [[len(text)] for text in texts], name="length")
    with pytest.warns(UserWarning, match="of 4 texts: 2 texts whose lone surrogates were replaced"):
        embed([TextItem((), t) for t in ("\ud800", "a", "b", "\ud801")], encoder, out=tmp_path, progress=False)
    with pytest.warns(UserWarning, match="of 2 texts: 1 texts whose lone"):  # known from the folder
        embed([TextItem((), t) for t in ("b", "\ud801")], encoder, out=tmp_path, progress=False)


def test_the_bar_shows_the_rate_and_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    embed(words(5), Stub(), progress=True)
    said = capsys.readouterr().err
    assert "5/5" in said
    assert "texts/s" in said
    embed(words(5), Stub(), progress=False)
    embed(words(5), Stub(), progress=None)  # no terminal here
    assert capsys.readouterr().err == ""


def test_embeddings_are_split_without_being_read(tmp_path: Path) -> None:
    records = [Record(items_of(f"{k}?", [f"a {k}", f"b {k}"]), [Comparison(0, 1)]) for k in range(30)]
    data = embed(TextPreferences.from_records(records), Stub(), out=tmp_path, progress=False)
    train, test = rm.split_prompts(data, 0.3, seed=0)
    assert mapped(train.items)
    assert (train.n_items, test.n_items) == (42, 18)
    assert mapped(test.items)


# What is refused


def test_another_encoder_is_refused_with_what_differs(tmp_path: Path) -> None:
    embed(words(3), Stub(), out=tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"another encoder; before -> now: version: '1' -> '2'"):
        embed(words(3), Stub(version="2"), out=tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"holds float32 and not float16; use dtype='float32'"):
        embed(words(3), Stub(), out=tmp_path, dtype="float16", progress=False)


def test_differences_of_nested_descriptions() -> None:
    one = {"a": {"b": 1, "c": [1]}, "about": {"x": 1}}
    assert differences(one, {"a": {"b": 1, "c": [1]}, "about": {"x": 2}}) == []
    assert differences(one, {"a": {"b": 2, "c": [1]}, "d": None}) == ["a.b: 1 -> 2", "d: 'nothing' -> None"]
    assert differences({"a": 1}, {}) == ["a: 1 -> 'nothing'"]
    with pytest.raises(TypeError, match="what JSON can hold"):
        differences({"a": {1}}, {})


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda n: np.zeros((n + 1, 2)), r"must return numbers \(4, dim\)"),
        (lambda n: np.zeros(n), r"must return numbers \(4, dim\)"),
        (lambda n: np.zeros((n, 0)), r"must return numbers \(4, dim\)"),
        (lambda n: np.array([["a"]] * n), r"must return numbers \(4, dim\)"),
        (lambda n: np.array([[1.0]] * (n - 1) + [[np.nan]]), "those of item 7 are not"),
        (lambda n: np.zeros((n, 2 if n == 4 else 3)), "the encoder gave 3 numbers per text, and 2 before"),
    ],
)
@pytest.mark.parametrize("out", [False, True])
def test_encoders_that_return_something_else(
    tmp_path: Path, returned: Callable[[int], Any], message: str, out: bool
) -> None:
    class Wrong(Stub):
        def encode(self, items: Sequence[TextItem], /) -> FloatArray:
            good = message.startswith("those") and items[0].response == "text 0"
            return np.zeros((len(items), 1)) if good else returned(len(items))

    with pytest.raises(ValueError, match=message):
        embed(words(10), Wrong(), out=tmp_path if out else None, shard=4, progress=False)


@pytest.mark.parametrize("out", [False, True])
def test_numbers_that_do_not_fit_float16(tmp_path: Path, out: bool) -> None:
    large = FunctionEncoder(lambda texts: [[1e6]] * len(texts), name="large")
    with pytest.raises(OverflowError, match="must fit float16; the largest is 1e"):
        embed(words(2), large, out=tmp_path if out else None, dtype="float16", progress=False)


def test_options_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there must be at least one text"):
        embed([], Stub())
    with pytest.raises(ValueError, match="shard must be at least 1"):
        embed(words(1), Stub(), shard=0)
    with pytest.raises(ValueError, match="dtype must be 'float32' or 'float16'"):
        embed(words(1), Stub(), dtype="int8")
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"holds thesis.txt and no manifest.json"):
        embed(words(1), Stub(), out=tmp_path)
    with pytest.raises(FileExistsError, match="is not a folder"):
        embed(words(1), Stub(), out=tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", [ROWS, INDEX])
@pytest.mark.parametrize("size", [0, -1, None])
def test_a_damaged_folder_is_noticed(tmp_path: Path, name: str, size: int | None) -> None:
    embed(words(50), Stub(), out=tmp_path, shard=20, progress=False)
    data = bytearray((tmp_path / name).read_bytes())
    if size is None:
        data[len(data) // 2] ^= 1
    (tmp_path / name).write_bytes(data if size is None else data[:size])
    for items in (words(50), words(60)):
        message = r"is damaged: shard 1 is not what was written" if size is None else r"is cut short \([0-9,]+ bytes"
        with pytest.raises(ValueError, match=message):
            embed(items, Stub(), out=tmp_path, progress=False)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": "rmspace-embeddings", "version": 2}'])
def test_a_damaged_manifest_is_noticed(tmp_path: Path, content: str) -> None:
    embed(words(5), Stub(), out=tmp_path, progress=False)
    (tmp_path / "manifest.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"damaged|does not describe|of version 2; .* upgrade"):
        embed(words(5), Stub(), out=tmp_path, progress=False)


@pytest.mark.parametrize("shards", [[1], [{"n": 5}], [{"n": "x", "rows_sha256": "", "index_sha256": ""}]])
def test_a_manifest_with_other_shards(tmp_path: Path, shards: Any) -> None:
    embed(words(5), Stub(), out=tmp_path, progress=False)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"shards": shards}), encoding="utf-8")
    with pytest.raises(ValueError, match="damaged"):
        embed(words(5), Stub(), out=tmp_path, progress=False)


def test_the_unfinished_end_of_a_run_is_dropped(tmp_path: Path) -> None:
    embed(words(5), Stub(), out=tmp_path, progress=False)
    for name in (ROWS, INDEX):
        with (tmp_path / name).open("ab") as file:
            file.write(b"half a shard")
    (tmp_path / "manifest.json.part").write_text("{", encoding="utf-8")
    stub = Stub()
    np.testing.assert_array_equal(np.asarray(embed(words(5), stub, out=tmp_path, progress=False)), expected(words(5)))
    assert stub.asked == []
    np.testing.assert_array_equal(np.asarray(embed(words(9), stub, out=tmp_path, progress=False)), expected(words(9)))


def test_a_second_writer_is_refused_and_a_reader_is_not(tmp_path: Path) -> None:
    embed(words(5), Stub(), out=tmp_path, progress=False)
    with folder_lock(tmp_path):
        with pytest.raises(BlockingIOError, match=rf"is being written by process {os.getpid()} on .* since .*wait for"):
            embed(words(6), Stub(), out=tmp_path, progress=False)
        np.testing.assert_array_equal(np.asarray(embed(words(5), Stub(), out=tmp_path)), expected(words(5)))
    embed(words(6), Stub(), out=tmp_path, progress=False)


# What stops a run

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL and no limits of file size")


def start(folder: Path, log: Path, n: int, shard: int, seconds: float, **options: Any) -> subprocess.Popen[bytes]:
    tests = str(Path(__file__).parent)
    path = os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])])
    words = [sys.executable, "-c", SLOW, folder, log, n, shard, seconds]
    process = subprocess.Popen(
        [str(word) for word in words],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )
    assert process.stdout is not None
    process.stdout.readline()  # it runs
    return process


def committed(folder: Path) -> int:
    path = folder / "manifest.json"
    return int(json.loads(path.read_text(encoding="utf-8"))["rows"]) if path.exists() else 0


@pytest.mark.slow
@posix
def test_a_run_killed_ten_times_at_random(tmp_path: Path) -> None:
    from text_stub import Stub as Same

    n, shard, kills = 400, 10, 10
    whole = embed(words(n), Same(), progress=False)
    rng, log, out = random.Random(0), tmp_path / "log", tmp_path / "out"
    done: list[int] = []
    lines: list[int] = []
    for _ in range(kills):
        process = start(out, log, n, shard, 0.004)
        time.sleep(rng.uniform(0, 0.25))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "the run ended before the kill"
        done.append(committed(out))
        lines.append(len(log.read_text(encoding="utf-8").split()) if log.exists() else 0)
    assert done == sorted(done)
    assert 0 < done[-1] < n
    process = start(out, log, n, shard, 0)
    _, said = process.communicate()
    assert process.returncode == 0, said.decode()
    found = embed(words(n), Same(), out=out, progress=False)
    np.testing.assert_allclose(np.asarray(found), whole, atol=1e-5)
    asked = [int(line) for line in log.read_text(encoding="utf-8").split()]
    assert set(asked) == set(range(n))
    assert len(asked) - n <= kills * shard  # nothing twice but the shard in hand
    for line, before in zip(lines, done, strict=True):
        assert min(asked[line:]) >= before


@posix
def test_a_full_disk(tmp_path: Path) -> None:
    import resource

    from text_stub import Stub as Same

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))

    process = start(tmp_path / "out", tmp_path / "log", 200, 50, 0, preexec_fn=small_files)
    _, said = process.communicate()
    assert process.returncode == 1
    assert b"could not be written: the disk is full, or the limit" in said
    kept = committed(tmp_path / "out")
    assert f"; {kept} texts are committed and stay: free space" in said.decode()
    assert 0 < kept < 200
    before = len((tmp_path / "log").read_text(encoding="utf-8").split())
    process = start(tmp_path / "out", tmp_path / "log", 200, 50, 0)
    assert process.wait() == 0
    asked = [int(line) for line in (tmp_path / "log").read_text(encoding="utf-8").split()][before:]
    assert sorted(asked) == list(range(kept, 200))
    found = embed(words(200), Same(), out=tmp_path / "out", progress=False)
    np.testing.assert_array_equal(np.asarray(found), embed(words(200), Same(), progress=False))


@pytest.mark.slow
def test_a_hundred_thousand_texts(tmp_path: Path) -> None:
    """At no time does the writer hold more than a shard."""

    class Wide(Stub):
        largest = 0

        def encode(self, items: Sequence[TextItem], /) -> FloatArray:
            self.largest = max(self.largest, len(items))
            return np.repeat(np.array([[float(item.response[5:])] for item in items], dtype=np.float32), 384, axis=1)

    wide = Wide()
    found = embed(words(100_000), wide, out=tmp_path, progress=False)
    assert mapped(found)
    assert wide.largest == 1024
    assert found.shape == (100_000, 384)
    np.testing.assert_array_equal(found[:, 0], np.arange(100_000, dtype=np.float32))
    assert (tmp_path / ROWS).stat().st_size == 100_000 * 384 * 4
