"""A reward model of text: scores, its folder, TRL's form, and `rmspace score`."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rmspace as rm
import rmspace.text
from rmspace.cli.main import main
from rmspace.text import TextReward, as_trl_reward
from rmspace.text.records import Message
from text_stubs import CountEncoder, count_reward, expected, linear, make_counts

TEXTS = st.text(max_size=8)
REWARD = count_reward()


@pytest.fixture(autouse=True)
def _counts_can_be_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rmspace.text, "encoder_from", make_counts, raising=False)


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=6))
def test_scores_are_those_of_the_model_on_the_embeddings(pairs: list[tuple[str, str]]) -> None:
    scores = REWARD.score([p for p, _ in pairs], [r for _, r in pairs])
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, [expected(*pair) for pair in pairs], rtol=1e-6)


def test_messages_and_texts_score_alike() -> None:
    one = {"role": "user", "content": "Why?"}
    scores = REWARD.score(
        ["Why?", [one], [Message("user", "Why?")], ()], ["aha", [{"role": "assistant", "content": "aha"}], "aha", "aha"]
    )
    np.testing.assert_allclose(scores[:3], expected("Why?", "aha"))
    np.testing.assert_allclose(scores[3], expected("", "aha"))


def test_turns_of_a_response_before_its_last_belong_to_the_prompt() -> None:
    turns = [("assistant", "one"), ("user", "two"), ("assistant", "aha")]
    response = [{"role": role, "content": text} for role, text in turns]
    np.testing.assert_allclose(REWARD.score(["x"], [response]), expected("x" + "onetwo", "aha"))


@pytest.mark.parametrize(
    ("prompts", "responses", "message"),
    [
        ("one", ["a"], "prompts must be a list; got str; for one, write \\[prompt\\]"),
        (["one"], "a", "responses must be a list"),
        (["one"], ["a", "b"], "got 1 prompts, 2 responses"),
        ([3], ["a"], "prompt must be a text or a list of messages"),
        (["one"], [None], "response must be a text or a list"),
        (["one"], [[{"role": "user", "content": "a"}]], "must be of the role 'assistant'; got 'user'"),
        (["one"], [[]], "got nothing|got 'user'"),
        ([[{"role": "user"}]], ["a"], r"prompt\[0\].content must be a text; got NoneType"),
        ([["one"]], ["a"], r"prompt\[0\] must be a message"),
    ],
)
def test_wrong_input_is_named(prompts: Any, responses: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        REWARD.score(prompts, responses)


def test_rank_and_best_of_keep_the_first_of_equal_scores() -> None:
    assert REWARD.rank("p", ["bb", "a", "cc", "aa"]).tolist() == [3, 1, 0, 2]
    best = REWARD.best_of(["p", "q"], [["bb", "cc"], ["b", "a", "aa"]])
    assert (best.index.tolist(), best.responses) == ([0, 2], ["bb", "aa"])
    np.testing.assert_allclose(best.scores, [expected("p", "bb"), expected("q", "aa")])
    empty = REWARD.best_of([], [])
    assert (len(empty.index), empty.responses, len(empty.scores)) == (0, [], 0)
    with pytest.raises(ValueError, match=r"candidates\[1\] is empty"):
        REWARD.best_of(["p", "q"], [["a"], []])
    with pytest.raises(TypeError, match=r"candidates\[0\] must be a list"):
        REWARD.best_of(["p"], ["abc"])


def test_the_temperature_divides_scores() -> None:
    warm = count_reward(temperature=4.0)
    np.testing.assert_allclose(warm.score(["p"], ["abc"]), expected("p", "abc") / 4)
    gap = (expected("p", "bbbb") - expected("p", "b")) / 4
    np.testing.assert_allclose(warm.preference_probability(["p"], ["bbbb"], ["b"]), 1 / (1 + np.exp(-gap)))
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="temperature must be"):
            count_reward(temperature=wrong)


def test_what_cannot_score_is_refused() -> None:
    with pytest.raises(TypeError, match="encoder must have encode and describe"):
        TextReward(len, linear([1.0, 1.0]))
    with pytest.raises(TypeError, match="model must be a fitted reward model"):
        TextReward(CountEncoder(), object())
    with pytest.raises(ValueError, match="must have the 2 numbers of the fit; got 3"):
        TextReward(CountEncoder(), linear([1.0, 2.0])).score(["p"], ["r"])

    class OneRow(CountEncoder):
        def encode(self, items: Any, /) -> Any:
            return super().encode(items)[:1]

    with pytest.raises(ValueError, match=r"one row per item, \(2, dim\); got float32 of shape \(1, 3\)"):
        count_reward(OneRow()).score(["p", "q"], ["r", "s"])


def test_a_folder_scores_as_before(tmp_path: Path) -> None:
    prompts, responses = ["p", "q", "r"], ["aa", "b", "ccc"]
    pipeline = make_pipeline(StandardScaler(), rm.LinearReward())
    pipeline.fit(CountEncoder().encode(rmspace.text.records.items_of("p", responses)), np.array([[0, 1], [0, 2]]))
    for name, model in (("linear", linear([1.0, 2.0, 3.0])), ("pipeline", pipeline)):
        reward = TextReward(CountEncoder(template="hh"), model, temperature=2.5)
        reward.save(tmp_path / name)
        again = TextReward.load(tmp_path / name)
        np.testing.assert_array_equal(again.score(prompts, responses), reward.score(prompts, responses))
        assert again.temperature == 2.5
    with pytest.raises(FileExistsError):
        reward.save(tmp_path / "linear")
    count_reward().save(tmp_path / "linear", overwrite=True)
    np.testing.assert_array_equal(
        TextReward.load(tmp_path / "linear").score(["p"], ["aa"]), REWARD.score(["p"], ["aa"])
    )


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    class Odd:
        def predict(self, items: Any) -> Any:
            return items[:, 0]

    with pytest.raises(TypeError, match="Odd is not registered"):
        TextReward(CountEncoder(), Odd()).save(tmp_path / "odd")

    class Vague(CountEncoder):
        def describe(self) -> dict[str, Any]:
            return {"kind": object()}

    with pytest.raises(TypeError, match="must be what JSON can hold"):
        count_reward(Vague()).save(tmp_path / "vague")
    assert list(tmp_path.iterdir()) == []


def test_another_encoder_is_refused_with_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count_reward(CountEncoder("counts", "plain")).save(tmp_path / "reward")
    for wrong in (CountEncoder("others"), CountEncoder(template="hh")):
        with pytest.raises(ValueError, match=r"another encoder.*: 'counts' -> 'others'|template.name: 'plain' -> 'hh'"):
            TextReward.load(tmp_path / "reward", encoder=wrong)
    monkeypatch.setattr(rmspace.text, "encoder_from", lambda description: CountEncoder("moved"))
    with pytest.raises(ValueError, match="name: 'counts' -> 'moved'"):
        TextReward.load(tmp_path / "reward")
    assert TextReward.load(tmp_path / "reward", encoder=CountEncoder()).score(["p"], ["a"]).shape == (1,)


def test_what_is_only_recorded_may_differ(tmp_path: Path) -> None:
    class Elsewhere(CountEncoder):
        def describe(self) -> dict[str, Any]:
            return {**super().describe(), "about": {"model": "there"}}

    count_reward().save(tmp_path / "reward")
    TextReward.load(tmp_path / "reward", encoder=Elsewhere())


def test_an_own_function_must_be_given_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(description: Any) -> Any:
        raise TypeError("it is a function")

    count_reward().save(tmp_path / "reward")
    monkeypatch.setattr(rmspace.text, "encoder_from", refuse)
    with pytest.raises(ValueError, match=r"cannot be made again here \(it is a function\); load it with encoder="):
        TextReward.load(tmp_path / "reward")


def test_a_folder_does_not_decide_which_server_gets_the_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Server(CountEncoder):
        def describe(self) -> dict[str, Any]:
            return {"kind": "endpoint", "about": {"url": "http://elsewhere", "api_key_env": "HOME"}}

    count_reward(Server()).save(tmp_path / "reward")
    asked: list[Any] = []

    def make(description: Any, **options: Any) -> Server:
        asked.append(options)
        return Server()

    monkeypatch.setattr(rmspace.text, "encoder_from", make)
    with pytest.raises(ValueError, match="the server 'http://elsewhere', which would get all texts"):
        TextReward.load(tmp_path / "reward")
    path = _write(tmp_path / "rows.jsonl", ROWS[:1])
    assert main(["score", str(tmp_path / "reward"), path]) == 2
    assert "--encoder-url" in capsys.readouterr().err
    assert asked == []
    assert main(["score", str(tmp_path / "reward"), path, "--encoder-url", "http://here"]) == 0
    assert asked == [{"url": "http://here"}]


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "reward"
    count_reward().save(whole)
    for k, damage in enumerate(_damages()):
        copy = tmp_path / str(k)
        shutil.copytree(whole, copy)
        damage(copy)
        with pytest.raises(
            (ValueError, FileNotFoundError), match=r"damaged|cut short|also holds|has no|version|describe"
        ):
            TextReward.load(copy)


def _damages() -> list[Any]:
    def change(name: str, old: bytes, new: bytes) -> Any:
        def damage(folder: Path) -> None:
            raw = (folder / name).read_bytes()
            assert old in raw
            (folder / name).write_bytes(raw.replace(old, new, 1))

        return damage

    def cut(name: str) -> Any:
        return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-9])

    def swap_model(folder: Path) -> None:
        linear([9.0, 9.0, 9.0]).save(folder / "model", overwrite=True)

    return [
        change("reward.json", b'"plain"', b'"hh"'),
        change("reward.json", b'"temperature": 1.0', b'"temperature": 2.0'),
        change("reward.json", b'"version": 1', b'"version": 2'),
        change("reward.json", b"rmspace-text-reward", b"rmspace-model"),
        change("model/model.json", b"LinearReward", b"MLPReward"),
        cut("reward.json"),
        cut("model/model.json"),
        cut("model/arrays.safetensors"),
        swap_model,
        lambda folder: shutil.rmtree(folder / "model"),
        lambda folder: (folder / "reward.json").unlink(),
        lambda folder: (folder / "more.txt").write_text("x"),
    ]


def test_lone_surrogates_become_the_replacement_character() -> None:
    seen: list[str] = []

    class Strict(CountEncoder):
        def encode(self, items: Any, /) -> Any:
            seen.extend(item.response for item in items)
            return super().encode(items)

    with pytest.warns(UserWarning, match="of 2 texts: 1 texts whose lone surrogates were replaced"):
        count_reward(Strict()).score(["\ud800", ""], ["a\udfff \ud83d\ude00", ""])
    assert seen == ["a\ufffd \U0001f600", ""]


def test_what_the_encoder_changes_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cutting(CountEncoder):
        def encode_noted(self, items: Any) -> Any:
            return self.encode(items), np.array([int(len(item.prompt[0].content) > 3) for item in items])

    reward = count_reward(Cutting())
    with pytest.warns(UserWarning, match="of 2 texts: 1 prompts cut"):
        reward.score(["long one", "p"], ["a", "a"])
    reward.save(tmp_path / "reward")
    path = _write(tmp_path / "rows.jsonl", [{"prompt": p, "response": "a"} for p in ("long one", "p", "longer")])
    monkeypatch.setattr(rmspace.text, "encoder_from", lambda description: Cutting())
    assert main(["score", str(tmp_path / "reward"), path]) == 0
    assert "changed before they were scored: prompt cut 2 times" in capsys.readouterr().err


def test_trl_calls_the_reward_with_texts_and_with_messages() -> None:
    function = as_trl_reward(REWARD, name="counts")
    assert function.__name__ == "counts"
    plain = function(
        prompts=["p", "p"], completions=["a", "bb"], completion_ids=[[1], [2, 3]], trainer_state=None, answer=["x", "y"]
    )
    chat = function(
        prompts=[[{"role": "user", "content": "p"}]] * 2,
        completions=[[{"role": "assistant", "content": "a"}], [{"role": "assistant", "content": "bb"}]],
        completion_ids=[[1], [2, 3]],
    )
    assert plain == chat == pytest.approx([expected("p", "a"), expected("p", "bb")])
    assert all(type(value) is float for value in plain)


def _write(path: Path, lines: list[Any]) -> str:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


ROWS: list[dict[str, Any]] = [
    {"prompt": "p", "response": "aa", "kept": [1, None]},
    {"prompt": "p", "responses": ["a", "bb"]},
    {"prompt": "p", "chosen": "aa", "rejected": "b"},
    {"chosen": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "aa"}], "rejected": []},
    {"messages": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "aa"}]},
]


def test_score_writes_the_rows_with_their_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    REWARD.save(tmp_path / "reward")
    good = [row for row in ROWS if row.get("rejected") != []]
    aa, a, b, bb = (expected("p", text) for text in ("aa", "a", "b", "bb"))
    scores: list[dict[str, Any]] = [
        {"score": aa},
        {"scores": [a, bb]},
        {"score_chosen": aa, "score_rejected": b},
        {"score": aa},
    ]
    for name in ("rows.jsonl", "rows.jsonl.gz"):
        out = tmp_path / "out.jsonl"
        assert main(["score", str(tmp_path / "reward"), _write(tmp_path / name, good), "--out", str(out)]) == 0
        written = [json.loads(line) for line in out.read_text().splitlines()]
        assert written == [{**row, **score} for row, score in zip(good, scores, strict=True)]
        assert "4 rows scored, 0 not" in capsys.readouterr().err
    assert main(["score", str(tmp_path / "reward"), str(tmp_path / name)]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == written


def test_rows_that_cannot_be_scored_are_counted_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    REWARD.save(tmp_path / "reward")
    bad: list[Any] = [
        "{", "[1]", "[" * 100_000, {"prompt": "p"}, {"response": "a"}, {"prompt": "p", "response": 3},
        {"prompt": "p", "response": "a", "score": 1}, ROWS[3], {"chosen": "x", "rejected": "y"}, {"messages": "x"},
    ]  # fmt: skip
    path = _write(tmp_path / "rows.jsonl", [ROWS[0], "", *bad, *["{"] * 3, ROWS[1]])
    assert main(["score", str(tmp_path / "reward"), path, "--out", str(tmp_path / "out.jsonl")]) == 1
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2
    err = capsys.readouterr().err
    assert f"2 rows scored, {len(bad) + 3} not" in err
    for k, reason in enumerate(
        ["not JSON", "a list, not an object", "not JSON|nested", "must have prompt and response"]
    ):
        assert any(f"line {k + 3}:" in line and any(r in line for r in reason.split("|")) for line in err.splitlines())
    assert "and 3 more:\n  3 times: it is not JSON" in err


def test_a_row_that_the_encoder_refuses_costs_no_other_row(tmp_path: Path) -> None:
    from rmspace.text.plain_rows import PlainRow
    from rmspace.text.row_scores import score_rows
    from text_stubs import SlowEncoder

    rows = [PlainRow("f", k, {"prompt": "p", "response": text}) for k, text in enumerate(["a", "poison", "aa"])]
    found = list(score_rows(count_reward(SlowEncoder()), rows))
    assert [one.row.get("score") for one in found] == pytest.approx([expected("p", "a"), None, expected("p", "aa")])
    assert "cannot score it" in found[1].reason


def test_a_file_that_is_cut_short_leaves_no_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    REWARD.save(tmp_path / "reward")
    path = Path(_write(tmp_path / "rows.jsonl.gz", ROWS[:3] * 50))
    path.write_bytes(path.read_bytes()[:-20])
    assert main(["score", str(tmp_path / "reward"), str(path), "--out", str(tmp_path / "out.jsonl")]) == 2
    assert "cut short or damaged after line" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["reward", "rows.jsonl.gz"]
    assert main(["score", str(tmp_path / "reward"), str(tmp_path / "none.jsonl")]) == 2
    assert main(["score", str(tmp_path / "reward"), _write(tmp_path / "rows.txt", [])]) == 2


def test_rows_of_parquet_and_of_a_json_list(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from rmspace.text.plain_rows import read_rows

    rows = [{"prompt": f"p{k}", "response": "a"} for k in range(600)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    (tmp_path / "rows.json").write_text(json.dumps([*rows, 3]))
    assert [(one.line, one.row) for one in read_rows(tmp_path / "rows.parquet")] == list(enumerate(rows, start=1))
    listed = list(read_rows(tmp_path / "rows.json"))
    assert [one.row for one in listed[:-1]] == rows
    assert listed[-1].reason == "it is a int, not an object"
    for name, raw in (("bad.parquet", b"PAR1PAR1"), ("bad.json", b"[1"), ("object.json", b"{}")):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(ValueError, match=name):
            list(read_rows(tmp_path / name))
