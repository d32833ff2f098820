"""From prompts to banks: every prompt is there, nothing is done twice, and whatever stops a build, it goes on."""

import json
import math
import os
import random
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmspace as rm
from build_stub import Embedder, Logged, Rater, Writer, answer, prompts_file, step, stub_recipe
from rmspace.cli.main import main
from rmspace.text import FunctionEncoder, FunctionGenerator, FunctionGold, Ratings, Reply, Unread, build_banks
from rmspace.text.folder_lock import folder_lock
from rmspace.text.pipeline.estimating import estimate_build
from rmspace.text.records import TextItem

RUN = """
import sys
from build_stub import stub_recipe
from rmspace.text.pipeline.building import build_banks
path, out, log, seconds = sys.argv[1:5]
build_banks(stub_recipe(path, log=log, seconds=float(seconds), n=20), out)
"""
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL and no limits of file size")


def folders(out: Path) -> set[str]:
    return {path.name for path in (out / "steps").iterdir()}


# What is built, and the faults of the published scripts that it does not have


def test_no_prompt_is_lost_and_every_response_is_rated(tmp_path: Path) -> None:
    path = prompts_file(tmp_path, 13, ["0 + 1?", "a long one?"])  # 13 is no multiple of anything; one comes again
    train, test = build_banks(stub_recipe(path, n=3, n_test=11, test_size=4), tmp_path / "out")
    assert isinstance(train, rm.ResponseBank)
    left_out = step(tmp_path / "out", "generate", "left_out.jsonl")
    assert [line["reason"] for line in left_out] == ["the prompt is too long: 9 tokens"]
    assert train.n_prompts + test.n_prompts == 13
    assert train.n_responses == 3
    assert test.n_responses == 11
    lines = step(tmp_path / "out", "generate", "responses.jsonl")
    assert {line["prompt"][0]["content"] for line in lines} == {f"{k} + 1?" for k in range(13)}
    assert all(len(set(row)) == len(row) for row in test.rewards.tolist())  # no reward is used again
    for bank, split in ((train, "train"), (test, "test")):
        own = [line for line in lines if line["split"] == split]
        expected = [[float(text.split()[0]) for text in line["responses"]] for line in own]
        assert bank.rewards.tolist() == expected  # in the order in which they were generated, not in that of rewards
        assert bank.prompt_ids.tolist() == [line["id"] for line in own]
        assert bank.features["length"].tolist() == [[len(text) for text in line["responses"]] for line in own]
        items = [
            TextItem(tuple(rm.text.Message(**t) for t in line["prompt"]), r) for line in own for r in line["responses"]
        ]
        np.testing.assert_array_equal(np.asarray(bank.items), Embedder().encode(items))


def test_a_sound_build_has_no_findings(tmp_path: Path) -> None:
    train, test = build_banks(stub_recipe(prompts_file(tmp_path, 40), n=8), tmp_path / "out")
    assert train.health().empty, train.health().to_string()
    assert test.health().empty, test.health().to_string()
    assert test.metadata["build"]["left_out_prompts"] == 0


def test_prompts_are_asked_for_together(tmp_path: Path) -> None:
    recipe = stub_recipe(prompts_file(tmp_path, 32), n=4)
    build_banks(recipe, tmp_path / "out")
    assert isinstance(recipe.generator, Writer)
    assert recipe.generator.calls == [64, 64]


def test_golds_and_encoder_get_the_same_text(tmp_path: Path) -> None:
    seen: dict[str, list[TextItem]] = {"gold": [], "encoder": []}

    class Listening(Rater):
        def rate(self, groups: Sequence[Sequence[TextItem]], /) -> Ratings:
            seen["gold"] += [item for group in groups for item in group]
            return super().rate(groups)

    class Reading(Embedder):
        def encode(self, items: Sequence[TextItem], /) -> Any:
            seen["encoder"] += list(items)
            return super().encode(items)

    build_banks(stub_recipe(prompts_file(tmp_path), golds={"a": Listening()}, encoder=Reading()), tmp_path / "out")
    assert seen["gold"] == seen["encoder"]


def test_several_golds_stand_side_by_side(tmp_path: Path) -> None:
    golds = {
        "number": Rater(),
        "many": FunctionGold(lambda p, r: {"size": [len(t) for t in r], "asked": [len(t) for t in p]}, name="many"),
    }
    train, _ = build_banks(stub_recipe(prompts_file(tmp_path), golds=golds), tmp_path / "out")
    assert sorted(train.features) == ["length", "many.asked", "many.size"]
    assert train.features["many.size"].tolist() == train.features["length"].tolist()
    build_banks(stub_recipe(tmp_path / "prompts.jsonl", golds=dict(reversed(golds.items()))), tmp_path / "out")
    again = rm.ResponseBank.open(tmp_path / "out" / "train")  # the first one is the reward now
    assert again.rewards.tolist() == train.features["many.size"].tolist()
    assert again.features["number"].tolist() == train.rewards.tolist()


def test_seeds_do_not_depend_on_the_other_prompts(tmp_path: Path) -> None:
    recipe = stub_recipe(prompts_file(tmp_path, 9))
    build_banks(recipe, tmp_path / "all")
    build_banks(replace(recipe, limit=5), tmp_path / "some")
    more, fewer = (step(tmp_path / name, "generate", "responses.jsonl") for name in ("all", "some"))
    known = {line["id"]: line["seeds"] for line in more}
    assert all(known[line["id"]] == line["seeds"] for line in fewer)
    assert len({seed for line in more for seed in line["seeds"]}) == 36
    for line in more:
        assert line["responses"] == [answer(line["prompt"][0]["content"], seed) for seed in line["seeds"]]


@pytest.mark.parametrize(
    ("row", "options"),
    [
        ({"question": "Why?"}, {"columns": {"prompt": "question"}}),
        ({"chosen": "\n\nHuman: Why?\n\nAssistant: A.", "rejected": "\n\nHuman: Why?\n\nAssistant: B."}, {}),
        ({"prompt": [{"role": "user", "content": "Why?"}], "chosen": "a", "rejected": "b"}, {}),
    ],
)
def test_prompts_of_other_formats(tmp_path: Path, row: dict[str, Any], options: dict[str, Any]) -> None:
    rows = [json.loads(json.dumps(row).replace("Why?", f"Why {k}?")) for k in range(4)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows) + "no json\n", encoding="utf-8")
    with pytest.warns(UserWarning, match="left out all or a part of 1 of 5 rows"):
        build_banks(stub_recipe(path, **options), tmp_path / "out")
    found = [line["prompt"][-1]["content"].strip() for line in step(tmp_path / "out", "prompts", "prompts.jsonl")]
    assert found == [f"Why {k}?" for k in range(4)]
    assert [line["line"] for line in step(tmp_path / "out", "prompts", "left_out.jsonl")] == [5]


def test_repeated_prompts_are_counted(tmp_path: Path) -> None:
    path, out, said = prompts_file(tmp_path, 13, ["0 + 1?", "1 + 1?", "0 + 1?"]), tmp_path / "out", list[str]()
    for _ in range(2):  # the second one reads nothing
        build_banks(stub_recipe(path), out, say=said.append)
    assert said.count("prompts: 13; 0 rows left out; 3 repeated prompts read once") == 2
    build_banks(stub_recipe(prompts_file(tmp_path, 13)), out, say=said.append)
    assert "prompts: 13; 0 rows left out" in said


# What is done again


def test_a_second_build_does_nothing(tmp_path: Path) -> None:
    path = prompts_file(tmp_path)
    first = build_banks(stub_recipe(path), tmp_path / "out")
    stamp = (tmp_path / "out" / "train" / "items.npy").stat().st_mtime_ns
    recipe = stub_recipe(path)
    again = build_banks(recipe, tmp_path / "out")
    assert [bank.fingerprint() for bank in first] == [bank.fingerprint() for bank in again]
    parts = (recipe.generator, *recipe.golds.values(), recipe.encoder)
    assert [part.calls for part in parts if isinstance(part, Logged)] == [[], [], []]
    assert (tmp_path / "out" / "train" / "items.npy").stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        ({"generator": Writer(name="new")}, {"generate"}),  # whose responses are the same
        ({"golds": {"number": Rater(name="new")}}, {"gold-number"}),
        ({"golds": {"number": Rater(), "other": Rater(name="other")}}, {"gold-other"}),
        ({"encoder": Embedder(name="new")}, {"embed"}),
        ({"dtype": "float16"}, {"embed"}),
        ({"seed": 1}, {"generate", "gold-number", "embed"}),
        ({"limit": 7}, {"prompts", "generate", "gold-number", "embed"}),
    ],
)
def test_a_change_repeats_what_depends_on_it(tmp_path: Path, change: dict[str, Any], steps: set[str]) -> None:
    path, out = prompts_file(tmp_path), tmp_path / "out"
    build_banks(stub_recipe(path), out)
    before, said = folders(out), list[str]()
    changed = build_banks(stub_recipe(path, **change), out, say=said.append)
    assert {name.rpartition("-")[0] for name in folders(out) - before} == steps
    assert before <= folders(out)  # nothing is lost
    assert sum("made again, because of" in line for line in said) == len(steps - {"gold-other"})
    alone = build_banks(stub_recipe(path, **change), tmp_path / "alone")
    assert [bank.fingerprint() for bank in changed] == [bank.fingerprint() for bank in alone]


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, True),
        ({"n": 3, "n_test": 2}, True),
        ({"n": 6}, False),  # there are 4 responses to each prompt so far
        ({"seed": 1}, False),
        ({"generator": Writer(name="new")}, False),
    ],
)
def test_more_prompts_keep_the_responses_to_the_others(tmp_path: Path, change: dict[str, Any], kept: bool) -> None:
    path, out = prompts_file(tmp_path), tmp_path / "out"
    build_banks(stub_recipe(path, limit=6), out)
    known = {line["id"] for line in step(out, "generate", "responses.jsonl")} if kept else set()
    recipe = stub_recipe(path, **change)
    banks = build_banks(recipe, out)
    assert isinstance(recipe.generator, Writer)
    made = sum(recipe.generator.calls)
    alone = build_banks(stub_recipe(path, **change), tmp_path / "alone")
    assert [bank.fingerprint() for bank in banks] == [bank.fingerprint() for bank in alone]
    (expected,) = (tmp_path / "alone" / "steps").glob("generate-*/responses.jsonl")
    found = [each.read_bytes() for each in (out / "steps").glob("generate-*/responses.jsonl")]
    assert expected.read_bytes() in found
    lines = step(tmp_path / "alone", "generate", "responses.jsonl")
    assert made == sum(len(line["responses"]) for line in lines if line["id"] not in known)


@pytest.mark.parametrize(
    ("change", "rated", "embedded"),
    [
        ({}, True, True),
        ({"test_size": 5}, True, True),
        ({"n": 3, "n_test": 3}, False, True),  # a gold may compare the responses to a prompt
        ({"golds": {"number": Rater(name="new")}}, False, True),
        ({"encoder": Embedder(name="new")}, True, False),
        ({"dtype": "float16"}, True, False),
        ({"seed": 1}, False, False),
    ],
)
def test_more_prompts_keep_the_rewards_and_the_embeddings_of_the_others(
    tmp_path: Path, change: dict[str, Any], rated: bool, embedded: bool
) -> None:
    path, out = prompts_file(tmp_path, 40), tmp_path / "out"
    build_banks(stub_recipe(path, limit=30), out)
    (first,) = (out / "steps").glob("generate-*/responses.jsonl")
    known = {json.loads(line)["id"] for line in first.read_text(encoding="utf-8").splitlines()}
    recipe = stub_recipe(path, **{"golds": {"number": Rater()}, "encoder": Embedder(), **change})
    assert isinstance(recipe.golds["number"], Rater)
    assert isinstance(recipe.encoder, Embedder)
    banks = build_banks(recipe, out)
    n_rated, n_embedded = sum(recipe.golds["number"].calls), sum(recipe.encoder.calls)
    alone = build_banks(stub_recipe(path, **change), tmp_path / "alone")
    for found, expected in zip(banks, alone, strict=True):
        assert found.prompt_ids.tolist() == expected.prompt_ids.tolist()
        assert found.rewards.tolist() == expected.rewards.tolist()
        np.testing.assert_allclose(np.asarray(found.items), np.asarray(expected.items), atol=1e-5)
    lines = step(tmp_path / "alone", "generate", "responses.jsonl")
    new, every = (sum(len(line["responses"]) for line in lines if line["id"] not in ids) for ids in (known, set()))
    assert n_rated == (new if rated else every)
    assert n_embedded == (new if embedded else every)


def test_answers_that_could_not_be_read_are_asked_for_again(tmp_path: Path) -> None:
    class Judge(Rater):
        def rate(self, groups: Sequence[Sequence[TextItem]], /) -> Ratings:
            values = super().rate(groups).columns[""].copy()
            bad = [k for k, value in enumerate(values) if value % 7 == 0]
            values[bad] = np.nan
            return Ratings({"": values}, [Unread(k, "Both are good.") for k in bad])

    path, out = prompts_file(tmp_path, 20), tmp_path / "out"
    build_banks(stub_recipe(path, golds={"judge": Judge()}, limit=15), out)
    unread = {line["id"] for line in step(out, "gold-judge", "unread.jsonl")}
    assert 0 < len(unread) < 15
    recipe = stub_recipe(path, golds={"judge": Judge()})
    train, test = build_banks(recipe, out)
    assert isinstance(recipe.golds["judge"], Judge)
    assert sum(recipe.golds["judge"].calls) == 4 * (5 + len(unread))
    n_unread = sum(int(np.isnan(bank.item_rewards).sum()) for bank in (train, test))
    assert train.metadata["build"]["unread_answers"] == {"judge": n_unread}


def test_an_edited_module_of_the_user_keeps_no_embeddings(tmp_path: Path) -> None:
    path, out = prompts_file(tmp_path, 20), tmp_path / "out"
    build_banks(stub_recipe(path, limit=15), out, sources={"encoder": {"own": "1"}})
    recipe = stub_recipe(path)
    build_banks(recipe, out, sources={"encoder": {"own": "2"}})
    assert isinstance(recipe.encoder, Embedder)
    assert sum(recipe.encoder.calls) == 80


def test_another_model_under_the_same_name_is_told(tmp_path: Path) -> None:
    class Versioned(Writer):
        version = "1"

        def describe(self) -> dict[str, Any]:
            return {"weights": {"model.safetensors": self.version}, "about": {"model": "same name"}}

    path, said = prompts_file(tmp_path), list[str]()
    build_banks(stub_recipe(path, generator=Versioned()), tmp_path / "out")
    made = Versioned()
    made.version = "2"
    build_banks(stub_recipe(path, generator=made), tmp_path / "out", say=said.append)
    assert any("because of generator.weights.model.safetensors: '1' -> '2'" in line for line in said)
    assert len(list((tmp_path / "out" / "steps").glob("generate-*"))) == 2


# What stops a build


def start(path: Path, out: Path, log: Path, seconds: float, **options: Any) -> subprocess.Popen[bytes]:
    tests = str(Path(__file__).parent)
    found = os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])])
    words = [sys.executable, "-c", RUN, path, out, log, seconds]
    return subprocess.Popen(
        [str(word) for word in words],
        env={**os.environ, "PYTHONPATH": found},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def run_python(code: str, *words: object) -> int:
    tests = str(Path(__file__).parent)
    found = os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": found}, check=False).returncode


def size_of(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


@posix
@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_a_build_killed_at_random(tmp_path: Path, kills: int) -> None:
    """There are 260 responses, so 780 letters; each kill comes somewhere in the next stretch of them."""
    path, log, out = prompts_file(tmp_path), tmp_path / "log", tmp_path / "out"
    rng = random.Random(kills)
    whole = build_banks(stub_recipe(path, n=20), tmp_path / "whole")
    for _ in range(kills):
        aim = size_of(log) + rng.randint(1, 2 * 780 // (kills + 2))
        process = start(path, out, log, 0.002)
        while size_of(log) < aim and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        process.communicate()
    process = start(path, out, log, 0)
    _, said = process.communicate()
    assert process.returncode == 0, said.decode()
    for name, file in (("generate", "responses.jsonl"), ("gold-number", "rewards.jsonl")):
        assert step(out, name, file) == step(tmp_path / "whole", name, file)
    for bank, expected in zip(("train", "test"), whole, strict=True):
        found = rm.ResponseBank.open(out / bank)
        assert found.rewards.tolist() == expected.rewards.tolist()
        np.testing.assert_allclose(np.asarray(found.items), np.asarray(expected.items), atol=1e-5)
    assert size_of(log) - 780 <= kills * 80  # nothing twice but the shard in hand
    assert not list(out.glob(".*"))


@posix
def test_a_full_disk(tmp_path: Path) -> None:
    import resource

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))

    path, out = prompts_file(tmp_path), tmp_path / "out"
    process = start(path, out, tmp_path / "log", 0, preexec_fn=small_files)
    _, said = process.communicate()
    assert process.returncode == 1
    assert b"could not be written: the disk is full, or the limit" in said
    assert b"are committed and stay: free space" in said
    (responses,) = (out / "steps").glob("generate-*/responses.jsonl")
    kept = responses.read_bytes()[:3000]
    build_banks(stub_recipe(path, n=20), out)
    assert responses.read_bytes()[:3000] == kept


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes, as on a full disk."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@posix
@pytest.mark.parametrize("size", [100, 1000])
@pytest.mark.parametrize("name", ["prompts", "generate", "gold-number", "embed", "train", "test"])
def test_a_full_disk_at_any_step(tmp_path: Path, name: str, size: int) -> None:
    """Within 100 bytes not even a manifest has place; within 1,000 it has, and the content has not."""
    path, out = prompts_file(tmp_path, 40), tmp_path / "out"
    whole = [bank.fingerprint() for bank in build_banks(stub_recipe(path, n=20), out)]
    (folder,) = [out / name] if (out / name).exists() else (out / "steps").glob(f"{name}-*")
    shutil.rmtree(folder)
    kept = sorted(each for each in out.rglob("*") if each.is_file())
    with (
        full_disk(size),
        pytest.raises(OSError, match="could not be written: the disk is full, or the limit") as caught,
    ):
        build_banks(stub_recipe(path, n=20), out)
    place = out if name in ("train", "test") else folder
    assert str(caught.value).startswith(f"[Errno {caught.value.errno}] {place} could not be written")
    assert "stay: free space" in str(caught.value) or "stays: free space" in str(caught.value)
    assert "and run the same again" in str(caught.value)
    assert all(each.exists() for each in kept)
    again = build_banks(stub_recipe(path, n=20), out)
    assert [bank.fingerprint() for bank in again] == whole
    assert not list(out.glob(".*"))


@posix
def test_a_bank_on_a_full_disk(tmp_path: Path) -> None:
    bank = rm.ResponseBank(np.ones((50, 2, 8), np.float32), np.ones((50, 2)))
    bank.save(tmp_path / "bank")
    with (
        full_disk(1000),
        pytest.raises(OSError, match=r"bank could not be written: .*; what was there before stays: free"),
    ):
        bank[:40].save(tmp_path / "bank", overwrite=True)
    assert rm.ResponseBank.open(tmp_path / "bank").n_prompts == 50


KILL = """
import os, signal, sys
from pathlib import Path
from build_stub import stub_recipe
from rmspace.text.pipeline.building import build_banks
path, out, after = sys.argv[1:4]
rename, seen = Path.rename, []

def counted(self, target):
    if len(seen) == int(after):
        os.kill(os.getpid(), signal.SIGKILL)
    seen.append(target)
    return rename(self, target)

Path.rename = counted
build_banks(stub_recipe(path, seed=1), out)
"""


@posix
def test_no_kill_leaves_banks_of_two_builds(tmp_path: Path) -> None:
    """Each kill comes before another one of the renames with which the banks are replaced."""
    path = prompts_file(tmp_path)
    build_banks(stub_recipe(path), tmp_path / "old")
    expected = build_banks(stub_recipe(path, seed=1), tmp_path / "alone")
    left = []
    for after in range(5):
        out = tmp_path / str(after)
        shutil.copytree(tmp_path / "old", out)
        code = run_python(KILL, path, out, after)
        names = [name for name in ("train", "test") if (out / name).exists()]
        left.append(names)
        assert code == -9 or after == 4
        assert len({rm.ResponseBank.open(out / name).metadata["build"]["key"] for name in names}) <= 1
        again = build_banks(stub_recipe(path, seed=1), out)
        assert [bank.fingerprint() for bank in again] == [bank.fingerprint() for bank in expected]
        assert not list(out.glob(".*"))
    assert [len(names) for names in left] == [2, 1, 0, 1, 2]


def test_two_builds_in_one_folder(tmp_path: Path) -> None:
    path, out = prompts_file(tmp_path), tmp_path / "out"
    out.mkdir()
    with folder_lock(out), pytest.raises(BlockingIOError, match="is being written by process"):
        build_banks(stub_recipe(path), out)


def test_a_gold_that_fails_keeps_what_was_done(tmp_path: Path) -> None:
    class Breaking(Rater):
        def rate(self, groups: Sequence[Sequence[TextItem]], /) -> Ratings:
            if len(self.calls) == 1:
                raise ConnectionError("the server is gone")
            return super().rate(groups)

    path, out = prompts_file(tmp_path, 40), tmp_path / "out"
    with pytest.raises(ConnectionError, match="the server is gone"):
        build_banks(stub_recipe(path, golds={"number": Breaking()}), out)
    recipe = stub_recipe(path)
    build_banks(recipe, out)
    assert [part.calls for part in (recipe.generator, recipe.golds["number"]) if isinstance(part, Logged)] == [
        [],
        [64, 32],
    ]


# Bad input


def gold_of(function: Callable[[list[str]], Any]) -> dict[str, Any]:
    return {"golds": {"bad": FunctionGold(lambda _, responses: function(responses), name="bad")}}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 1}, "n must be at least 2, because a bank compares responses to one prompt; got 1"),
        ({"n_test": 1}, "n_test must be at least 2"),
        ({"golds": {}}, "golds must name at least one gold"),
        ({"golds": {"length": Rater()}}, "the name of a gold must be"),
        ({"test_size": 13}, "test_size must leave a training prompt"),
        (gold_of(lambda r: [math.nan] * len(r)), "gold rewards must be finite; the gold 'bad' gave nan for 52 of 52"),
        (gold_of(lambda r: [math.inf, *[0.0] * (len(r) - 1)]), "gave inf for 1 of 52 responses, first for number 0"),
        (gold_of(lambda r: [1.0] * (len(r) - 1)), r"'bad' must give one number per response, \(52,\); got float64 of"),
        (gold_of(lambda r: [0.5] * len(r)), "a gold must tell responses apart; 'bad' gives 0.5 for all of them"),
        ({"generator": FunctionGenerator(lambda p, s: p[:-1], name="few")}, "few must return one text per prompt, 52"),
        ({"encoder": FunctionEncoder(lambda t: [[math.nan]] * len(t), name="nan")}, "embeddings must be finite"),
    ],
)
def test_recipes_that_cannot_be(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path, out = prompts_file(tmp_path), tmp_path / "out"
    with pytest.raises(ValueError, match=message):
        build_banks(stub_recipe(path, **{"n": 4, **options}), out)
    assert not (out / "train").exists()
    recipe = stub_recipe(path)
    build_banks(recipe, out)  # the folder is not spoilt
    assert isinstance(recipe.generator, Writer)
    if "golds" in options and out.exists() and len(options["golds"]) == 1 and "bad" in options["golds"]:
        assert recipe.generator.calls == []  # and the responses are kept


@pytest.mark.parametrize("unread", [False, True])
def test_a_gold_that_is_corrected_rates_again(tmp_path: Path, unread: bool) -> None:
    """The server behind it was corrected, so that nothing of its description changes."""

    class Served(Rater):
        works = False

        def rate(self, groups: Sequence[Sequence[TextItem]], /) -> Ratings:
            found = super().rate(groups).columns[""]
            if self.works:
                return Ratings({"": found})
            if unread:
                return Ratings({"": found * np.nan}, [Unread(k, "?") for k in range(len(found))])
            return Ratings({"": found * 0 + 0.5})

    path, out, gold = prompts_file(tmp_path), tmp_path / "out", Served()
    for _ in range(2):
        with pytest.raises(
            ValueError, match=r"a gold must tell responses apart; .* is in .*\.refused, and is not used"
        ):
            build_banks(stub_recipe(path, golds={"g": gold}), out)
    gold.works = True
    train, _ = build_banks(stub_recipe(path, golds={"g": gold}), out)
    assert len(set(train.item_rewards.tolist())) > 1
    assert len(list(out.glob("steps/gold-g-*.refused/rewards.jsonl"))) == 1  # what it gave is kept to be looked at


def test_no_prompt_is_left_after_the_limit(tmp_path: Path) -> None:
    path = prompts_file(tmp_path, 0, [f"a long one, {k}?" for k in range(6)])
    with pytest.raises(
        ValueError, match="no prompt is left for train and test: the prompt is too long: 9 tokens; raise"
    ):
        build_banks(stub_recipe(path), tmp_path / "out")


def test_an_empty_bank_is_told_before_anything_is_generated(tmp_path: Path) -> None:
    path = prompts_file(tmp_path, 20)
    _, test = build_banks(stub_recipe(path), tmp_path / "whole")
    lines = step(tmp_path / "whole", "prompts", "prompts.jsonl")
    refused = {line["prompt"][0]["content"] for line in lines if line["id"] in set(test.prompt_ids.tolist())}

    class Strict(Writer):
        def refusals(self, prompts: Sequence[Any], /) -> list[str | None]:
            return ["it is too long" if prompt[-1].content in refused else None for prompt in prompts]

    made = Strict()
    with pytest.raises(ValueError, match="no prompt is left for test: it is too long; raise the limit"):
        build_banks(stub_recipe(path, generator=made), tmp_path / "out")
    assert made.calls == []
    refused.pop()
    assert build_banks(stub_recipe(path, generator=made), tmp_path / "out")[1].n_prompts == 1


def test_empty_responses_are_kept_and_reported(tmp_path: Path) -> None:
    class Silent(Writer):
        def generate(self, prompts: Any, seeds: Sequence[int], /) -> list[Reply]:
            return [
                each if seed % 4 else Reply("")
                for each, seed in zip(super().generate(prompts, seeds), seeds, strict=True)
            ]

    train, _ = build_banks(stub_recipe(prompts_file(tmp_path, 30), generator=Silent()), tmp_path / "out")
    found = train.health().set_index("check")
    empty = int((train.features["length"] == 0).sum())
    assert empty > 0
    assert found.n_found["empty_responses"] == empty
    assert train.metadata["build"]["empty_responses"] >= empty


def test_what_the_steps_count_is_in_the_metadata_and_found(tmp_path: Path) -> None:
    """A generator that never stops, a prompt over the limit, and a gold that cuts a text that the encoder does not."""

    class Endless(Writer):
        def generate(self, prompts: Any, seeds: Sequence[int], /) -> list[Reply]:
            return [each._replace(finish="length") for each in super().generate(prompts, seeds)]

    class Cutting(Rater):
        def describe(self) -> dict[str, Any]:
            return {**super().describe(), "max_length": 9, "max_prompt": None}

        def rate(self, groups: Sequence[Sequence[TextItem]], /) -> Ratings:
            columns = super().rate(groups).columns
            return Ratings(columns, notes=np.array([1] + [0] * (len(columns[""]) - 1)))

    recipe = stub_recipe(prompts_file(tmp_path, 12, ["a long one"]), generator=Endless(), golds={"g": Cutting()})
    train, _ = build_banks(recipe, tmp_path / "out")
    found = train.health().set_index("check")
    assert found[["severity", "n_found", "n_checked"]].T.to_dict("list") == {
        "left_out_prompts": ["note", 1, 13],
        "unfinished_responses": ["warning", 48, 48],
        "texts_cut_differently": ["warning", 1, 48],
    }


def test_answers_that_cannot_be_read_are_listed_and_not_guessed(tmp_path: Path) -> None:
    class Judge(Rater):
        def rate(self, groups: Sequence[Sequence[TextItem]], /) -> Ratings:
            values = super().rate(groups).columns[""].copy()
            values[5] = np.nan
            return Ratings({"": values}, [Unread(5, "Both are good.")])

    path, out = prompts_file(tmp_path), tmp_path / "out"
    train, test = build_banks(stub_recipe(path, golds={"judge": Judge()}), out)
    assert np.isnan(train.item_rewards).sum() + np.isnan(test.item_rewards).sum() == 1
    second = step(out, "generate", "responses.jsonl")[1]["id"]
    assert step(out, "gold-judge", "unread.jsonl") == [{"id": second, "response": 1, "answer": "Both are good."}]
    assert train.metadata["build"]["unread_answers"] == {"judge": 1}


@pytest.mark.parametrize("name", ["responses.jsonl", "manifest.json"])
def test_a_damaged_step_is_noticed(tmp_path: Path, name: str) -> None:
    path, out = prompts_file(tmp_path), tmp_path / "out"
    build_banks(stub_recipe(path), out)
    (folder,) = (out / "steps").glob("generate-*")
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        build_banks(stub_recipe(path), out)


# What it will cost


def test_the_estimate_is_what_the_build_takes(tmp_path: Path) -> None:
    """Each response takes 3 seconds of a pretended clock to make, 1 to rate and 2 to embed."""
    now = [0.0]

    def takes(part: Logged, seconds: float) -> Logged:
        def note(n: int) -> None:
            now[0] += seconds * n

        part.note = note  # type: ignore[method-assign]
        return part

    recipe = stub_recipe(
        prompts_file(tmp_path, 60, ["a long one?"]),
        generator=takes(Writer(), 3.0),
        golds={"number": takes(Rater(), 1.0)},
        encoder=takes(Embedder(), 2.0),
        n=10,
        n_test=30,
    )
    table = estimate_build(recipe, sample=61, clock=lambda: now[0]).set_index("step")
    now[0] = 0.0
    train, test = build_banks(recipe, tmp_path / "out")
    n = train.n_items + test.n_items
    assert abs(table.rows["generate"] / n - 1) < 0.05
    assert now[0] == 6 * n
    assert max(table.seconds.sum() / now[0], now[0] / table.seconds.sum()) < 1.5
    written = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert max(table.bytes.sum() / written, written / table.bytes.sum()) < 1.5


@pytest.mark.slow
def test_memory_does_not_grow_with_the_prompts(tmp_path: Path) -> None:
    """Beside the arrays of the banks and one hash per prompt, at most 50 bytes per response may be held."""

    def peak(n: int) -> int:
        recipe = stub_recipe(prompts_file(tmp_path, n), n=10)
        tracemalloc.start()
        build_banks(recipe, tmp_path / str(n))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        shutil.rmtree(tmp_path / str(n))
        return found

    small, large = peak(5_000), peak(50_000)
    arrays = 45_000 * (10 * 8 * 6 + 500)  # reward, length and row, and a copy of each; ids and hashes of the prompts
    assert large - small < arrays + 45_000 * 10 * 50


# The command


def config(folder: Path) -> Path:
    prompts_file(folder)
    (folder / "own_models.py").write_text(
        "def write(prompts, seeds):\n    return [f'{seed} of {p}' for p, seed in zip(prompts, seeds)]\n\n\n"
        "def rate(prompts, responses):\n    return [float(r.split()[0]) for r in responses]\n\n\n"
        "def embed(texts):\n    return [[len(t), t.count('1'), t.count('2')] for t in texts]\n",
        encoding="utf-8",
    )
    path = folder / "build.yaml"
    path.write_text(
        "path: prompts.jsonl\nn: 4\n"
        "generator: {use: FunctionGenerator, name: own, function: {use: own_models.write}}\n"
        "golds: {number: {use: FunctionGold, function: {use: own_models.rate}}}\n"
        "encoder: {use: FunctionEncoder, name: own, function: {use: own_models.embed}}\n",
        encoding="utf-8",
    )
    return path


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = config(tmp_path), tmp_path / "out"
    assert main(["build", str(path), "--out", str(out), "--dry-run"]) == 0
    assert "together about" in capsys.readouterr().out
    assert not out.exists()
    assert main(["build", str(path), "n_test=6", "--out", str(out)]) == 0
    assert "test: ResponseBank(n_prompts=3, n_responses=6, dim=3" in capsys.readouterr().out
    assert main(["build", str(path), "n=1", "--out", str(out)]) == 2
    assert "n must be at least 2" in capsys.readouterr().err
    assert main(["build", str(path), "m=1", "--out", str(out)]) == 2
    assert "unknown key" in capsys.readouterr().err
    assert main(["build", str(path), "encoder=null", "--out", str(out)]) == 2
    assert "an encoder, such as {use: TransformersEncoder, model:" in capsys.readouterr().err
