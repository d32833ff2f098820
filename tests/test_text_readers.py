"""Readers of preference text: every format, every kind of source, and bad input."""

import csv
import gzip
import json
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmspace.text import TextPreferences, read_preferences, read_records
from rmspace.text.formats import Format, formats, recognise
from rmspace.text.records import Record, Unreadable, items_of
from rmspace.text.row_files import READERS

DATA = Path(__file__).parents[2] / "shared" / "data"

Judged = tuple[tuple[tuple[str, str], ...], str, str]  # prompt, winner, loser

read = partial(read_preferences, verbose=False)


@pytest.fixture(autouse=True)
def _no_warning_unless_asked() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def real(name: str) -> Path:
    if not (DATA / name).is_dir():
        pytest.skip(f"the data is not there: {DATA / name}")
    return DATA / name


def judged(data: TextPreferences) -> list[Judged]:
    items = data.items
    return [(tuple(items[a].prompt), items[a].response, items[b].response) for a, b in data.comparisons.tolist()]


def user(text: str) -> tuple[tuple[str, str], ...]:
    return (("user", text),)


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def write_lines(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


PAIR = {"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}
CHAT = [turn("user", "2 + 2?")]
FOUR, FIVE = [turn("assistant", "4")], [turn("assistant", "5")]
BOTH = [(user("2 + 2?"), "4", "5")]
RATINGS = {"correctness": 4, "coherence": 4, "complexity": 0, "verbosity": 0}
PANDALM = {"instruction": "Add", "input": "2 + 2", "response1": "5", "response2": "4", "cmp_key": "a_b"}

FORMATS: list[tuple[str, dict[str, Any], list[Judged], dict[str, list[Any]]]] = [
    ("trl_preference", {**PAIR, "margin": 1}, BOTH, {"margin": [1.0]}),
    ("trl_preference", {"prompt": CHAT, "chosen": FOUR, "rejected": FIVE}, BOTH, {}),
    ("trl_preference", {"prompt": "2 + 2?", "chosen": CHAT + FOUR, "rejected": CHAT + FIVE}, BOTH, {}),
    ("trl_preference", {**PAIR, "rejected": ["5", "6"]}, [*BOTH, (user("2 + 2?"), "4", "6")], {}),
    ("trl_preference", {"prompt": CHAT, "chosen": [FOUR], "rejected": [FIVE]}, BOTH, {}),
    ("trl_preference", {**PAIR, "prompt": "\n\nHuman: 2 + 2?\n\nAssistant:"}, BOTH, {}),
    ("trl_implicit", {"chosen": CHAT + FOUR, "rejected": CHAT + FIVE}, BOTH, {}),
    ("trl_implicit", {"chosen": "It is four", "rejected": "It is five"}, [(user("It is "), "four", "five")], {}),
    ("trl_implicit", {"chosen": "4", "rejected": "5", "margin": "N/A"}, [((), "4", "5")], {"margin": [np.nan]}),
    (
        "hh",
        {"chosen": "\n\nHuman: 2 + 2?\n\nAssistant: 4", "rejected": "\n\nHuman: 2 + 2?\n\nAssistant: 5"},
        BOTH,
        {},
    ),
    ("ultrafeedback_binarized", {**PAIR, "score_chosen": 8, "score_rejected": 5.5}, BOTH, {"margin": [2.5]}),
    (
        "helpsteer2_preference",
        {"prompt": "2 + 2?", "response_1": "5", "response_2": "4", "preference_strength": 2},
        BOTH,
        {"margin": [2.0], "tie": [False], "first": [1]},
    ),
    (
        "helpsteer3",
        {"context": CHAT, "response1": "4", "response2": "5", "overall_preference": 0, "domain": "stem"},
        BOTH,
        {"margin": [0.0], "tie": [True], "first": [0], "subset": ["stem"]},
    ),
    (
        "nectar",
        {
            "prompt": "\n\nHuman: 2 + 2?\n\nAssistant: ",
            "answers": [{"answer": "5", "rank": 3.0}, {"answer": "4", "rank": 1.0}, {"answer": "2 + 2", "rank": 3.0}],
        },
        [*BOTH, (user("2 + 2?"), "4", "2 + 2")],
        {"margin": [2.0, 2.0]},
    ),
    (
        "pandalm",
        {**PANDALM, "annotator1": 2, "annotator2": 1, "annotator3": 0},
        [(user("Add\n\n2 + 2"), *pair) for pair in (("4", "5"), ("5", "4"), ("5", "4"))],
        {
            "annotator": ["annotator1", "annotator2", "annotator3"],
            "tie": [False, False, True],
            "first": [1, 0, 0],
            "subset": ["a_b"] * 3,
        },
    ),
    ("rewardbench", {**PAIR, "subset": "math", "id": 7}, BOTH, {"subset": ["math"], "id": ["7"]}),
    (
        "rewardbench2",
        {**PAIR, "chosen": ["4", "four"], "rejected": ["5"], "subset": "Ties", "id": "ref:7", "num_correct": 2},
        [*BOTH, (user("2 + 2?"), "four", "5")],
        {"subset": ["Ties"] * 2, "id": ["ref:7"] * 2, "num_correct": [2.0, 2.0]},
    ),
    ("responses", {"prompt": "2 + 2?", "responses": ["5", "4"], "preferred_index": 1}, BOTH, {}),
    (
        "pair",
        {"prompt": "2 + 2?", "response1": "5", "response2": "4", "preferred": 2, "margin": 3},
        BOTH,
        {"tie": [False], "first": [1], "margin": [3.0]},
    ),
]


@pytest.mark.parametrize(("name", "row", "expected", "columns"), FORMATS)
def test_each_format_is_recognised_and_read(
    name: str, row: dict[str, Any], expected: list[Judged], columns: dict[str, list[Any]]
) -> None:
    data = read([row])
    assert data.metadata["format"] == name
    assert judged(data) == expected
    assert {name: list(value) for name, value in data.columns.items()} == {
        name: pytest.approx(value, nan_ok=True) if isinstance(value[0], float) else value
        for name, value in columns.items()
    }
    assert judged(read([row], format=name)) == expected
    assert data.left_out.empty


SCORED: list[tuple[str, list[dict[str, Any]], str, list[tuple[str, str, float]], int]] = [
    (
        "trl_unpaired",
        [{"prompt": "2 + 2?", "completion": text, "label": text == "4"} for text in ("5", "4", "6")],
        "label",
        [("4", "5", 1.0), ("4", "6", 1.0)],
        3,
    ),
    (
        "helpsteer2",
        [{"prompt": "2 + 2?", "response": text, "helpfulness": n, **RATINGS} for text, n in (("5", 1), ("4", 4))],
        "helpfulness",
        [("4", "5", 3.0)],
        2,
    ),
    (
        "ultrafeedback",
        [
            {
                "source": "sums",
                "instruction": "2 + 2?",
                "models": ["a", "b", "c"],
                "completions": [
                    {"response": text, "overall_score": 5, "annotations": {"honesty": {"Rating": rating}}}
                    for text, rating in (("4", "5"), ("5", "1"), ("6", "N/A"))
                ],
            }
        ],
        "honesty",
        [("4", "5", 4.0)],
        3,
    ),
    (
        "xstest",
        [
            {"type": "contrast_sums", "prompt": "2 + 2?", "completion": text, "label": label, "id": "1"}
            for text, label in (("4", "1_full_compliance"), ("No", "2_full_refusal"), ("Well", "3_partial_refusal"))
        ],
        "appropriate",
        [("No", "4", 1.0), ("Well", "4", 0.5), ("No", "Well", 0.5)],
        3,
    ),
    (
        "responses",
        [{"prompt": "2 + 2?", "responses": ["5", "4", "6"], "correct": [False, True, None], "reference": "4"}],
        "correct",
        [("4", "5", 1.0)],
        3,
    ),
]


@pytest.mark.parametrize(("name", "rows", "score", "expected", "n_items"), SCORED)
def test_scores_make_comparisons(
    name: str, rows: list[dict[str, Any]], score: str, expected: list[tuple[str, str, float]], n_items: int
) -> None:
    plain = read(rows)
    assert (plain.metadata["format"], len(plain), len(plain.items)) == (name, 0, n_items)
    data = read(rows, score=score)
    found = [(win, lose, margin) for (_, win, lose), margin in zip(judged(data), data.columns["margin"], strict=True)]
    assert sorted(found) == sorted(expected)
    with pytest.raises(ValueError, match=rf"no score 'nope'; the items have .*{score}"):
        read(rows, score="nope")
    with pytest.raises(ValueError, match=rf"{n_items} items and no comparisons; compare_scores.*{score}"):
        plain.with_embeddings(np.zeros((n_items, 2), np.float32))


@given(
    st.dictionaries(
        st.sampled_from(sorted({name for each in formats().values() for name in (*each.columns, *each.optional)})),
        st.none() | st.booleans() | st.floats() | st.text() | st.lists(st.text() | st.integers()) | st.just({"a": [1]}),
    )
)
def test_any_row_is_read_or_unreadable(row: dict[str, Any]) -> None:
    recognise(row)
    for each in formats().values():
        try:
            assert isinstance(each.read(row), Record)
        except Unreadable as error:
            assert str(error)


def test_every_format_has_a_test() -> None:
    assert {row[0] for row in FORMATS} | {row[0] for row in SCORED} == set(formats())
    assert all(each.about and each.columns for each in formats().values())


def test_helpsteer_turns_become_messages() -> None:
    prompt = "Hi\n<extra_id_1>Assistant\nHello\n<extra_id_1>User\n2 + 2?"
    data = read([{"prompt": prompt, "response_1": "4", "response_2": "5", "preference_strength": -1}])
    assert judged(data)[0][0] == (("user", "Hi"), ("assistant", "Hello"), ("user", "2 + 2?"))


def test_the_guess_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    read_preferences([PAIR])
    assert "rows: read as 'trl_preference'" in capsys.readouterr().err
    read_preferences([PAIR], format="trl_preference")
    read([PAIR])
    assert capsys.readouterr() == ("", "")


# Sources.


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    pytest.importorskip("pyarrow.parquet")
    pd.DataFrame(rows).to_parquet(path)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], delimiter: str = ",") -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        table.writeheader()
        table.writerows(rows)


WRITERS: Mapping[str, Callable[[Path, Sequence[Any]], object]] = {
    ".jsonl": write_lines,
    ".ndjson": write_lines,
    ".json": lambda path, rows: path.write_text(json.dumps(rows), encoding="utf-8"),
    ".csv": write_csv,
    ".tsv": lambda path, rows: write_csv(path, rows, "\t"),
    ".parquet": write_parquet,
}

PAIRS: list[dict[str, Any]] = [
    {"prompt": f"{k} + 1?\né", "chosen": f'"{k + 1}", yes', "rejected": "no", "margin": k / 2} for k in range(5)
]
EXPECTED: list[Judged] = [(user(row["prompt"]), row["chosen"], row["rejected"]) for row in PAIRS]


def test_every_extension_is_tested() -> None:
    assert set(WRITERS) == set(READERS)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("extension", WRITERS)
def test_each_kind_of_file(tmp_path: Path, extension: str, packed: bool) -> None:
    path = tmp_path / f"pairs{extension}"
    WRITERS[extension](path, PAIRS)
    if packed:
        content, path = path.read_bytes(), path.with_name(path.name + ".gz")
        path.write_bytes(gzip.compress(content))
    for source in (path, str(path), path.parent if not packed else path, [path]):
        data = read(source)
        assert judged(data) == EXPECTED
        np.testing.assert_array_equal(data.columns["margin"], np.arange(5) / 2)
    assert data.metadata == {"source": str(path), "format": "trl_preference", "rows": 5}


def test_a_mark_of_byte_order_is_no_text(tmp_path: Path) -> None:
    for extension in (".jsonl", ".json", ".csv"):
        path = tmp_path / f"pairs{extension}"
        WRITERS[extension](path, PAIRS)
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert judged(read(path)) == EXPECTED


def test_rows_in_memory() -> None:
    for source in (PAIRS, pd.DataFrame(PAIRS), iter(PAIRS)):
        assert judged(read(source)) == EXPECTED
    table = pd.DataFrame({"prompt": ["p"], "responses": [np.array(["a", "b"])], "stars": [np.array([1, 2])]})
    assert judged(read(table, score="stars")) == [(user("p"), "b", "a")]
    table = pd.DataFrame([PAIR, {**PAIR, "prompt": "q", "margin": 2.0}])
    np.testing.assert_array_equal(read(table).columns["margin"], [np.nan, 2.0])
    for wrong in (7, PAIR, b"pairs"):
        with pytest.raises(TypeError, match="a source is a path"):
            read(wrong)
    with pytest.raises(ValueError, match=r"rows, line 1: a row is no object with columns.*all 2 rows"):
        read([3, "x"])


def test_several_files_and_folders(tmp_path: Path) -> None:
    for k, name in enumerate(("b.jsonl", "a.jsonl")):
        write_lines(tmp_path / name, PAIRS[k : k + 1])
    write_lines(tmp_path / ".hidden.jsonl", PAIRS)
    (tmp_path / "meta.json").write_text("{}")
    (tmp_path / "README.md").write_text("about")
    assert judged(read(tmp_path)) == [EXPECTED[1], EXPECTED[0]]
    assert judged(read([tmp_path / "b.jsonl", tmp_path / "a.jsonl"])) == EXPECTED[:2]


def test_splits_of_files_and_of_a_column(tmp_path: Path) -> None:
    write_lines(tmp_path / "train_prefs-00000-of-00002.jsonl", PAIRS[:1])
    write_lines(tmp_path / "train_prefs-00001-of-00002.jsonl", PAIRS[1:2])
    write_lines(tmp_path / "test.jsonl", [{**PAIRS[2], "split": "other"}])
    with pytest.raises(ValueError, match=r"splits test, train_prefs; name one: split='test'"):
        read(tmp_path)
    assert judged(read(tmp_path, split="train_prefs")) == EXPECTED[:2]
    assert judged(read(tmp_path, split="test")) == EXPECTED[2:3]
    assert judged(read(tmp_path, split="other")) == EXPECTED[2:3]
    with pytest.raises(ValueError, match="no split 'dev'; the column 'split' has other"):
        read(tmp_path, split="dev")
    with pytest.raises(ValueError, match="no split 'dev', nor a column"):
        read(tmp_path / "train_prefs-00000-of-00002.jsonl", split="dev")


def test_data_sets_of_hugging_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_list(PAIRS, info=datasets.DatasetInfo(license="mit"))
    both = datasets.DatasetDict({"train": made, "test": made.select([3])})
    made.save_to_disk(tmp_path / "one")
    both.save_to_disk(tmp_path / "both")
    asked: list[Mapping[str, Any]] = []

    def load_dataset(name: str, **options: Any) -> Any:
        asked.append(options)
        if name == "some/configs":
            raise ValueError("a configuration must be named")
        if name != "some/pairs":
            raise ConnectionError("the hub is not reached\nfor many reasons")
        return both if options["split"] is None else both[options["split"]]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    for source in (made, tmp_path / "one", made.to_iterable_dataset(), datasets.DatasetDict({"train": made})):
        assert judged(read(source)) == EXPECTED
    assert read(made).metadata["licence"] == "mit"
    for several in (both, tmp_path / "both", "some/pairs"):
        assert judged(read(several, split="test")) == EXPECTED[3:4]
        with pytest.raises(ValueError, match="has the splits train, test; name one: split='train'"):
            read(several)
    with pytest.raises(ValueError, match="has no split 'dev'; it has train, test"):
        read(both, split="dev")
    assert judged(read("some/pairs", split="train", hub={"streaming": True})) == EXPECTED
    assert asked[-1] == {"split": "train", "streaming": True}
    with pytest.raises(FileNotFoundError, match=r"no file or folder no/pairs, and no such data set.*is not reached$"):
        read("no/pairs")
    with pytest.raises(ValueError, match=r"some/configs: a configuration must be named; options .* go in hub="):
        read("some/configs")
    with pytest.raises(ValueError, match="never run"):
        read("some/pairs", hub={"trust_remote_code": True})


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pairs.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"reward-space\[text\]"):
        read(path)


def test_records_are_read_one_by_one_and_not_ahead() -> None:
    taken: list[int] = []

    def rows() -> Iterator[Mapping[str, Any]]:
        for k, row in enumerate(PAIRS):
            taken.append(k)
            yield row

    reader = read_records(rows(), verbose=False)
    assert (reader.format, taken) == ("", [])
    assert isinstance(next(reader), Record)
    assert (reader.format, taken, reader.n_rows) == ("trl_preference", [0], 1)
    assert len(list(reader)) == 4
    assert len(list(read_records(rows(), verbose=False, limit=2))) == 2
    assert taken == [*range(5), 0, 1]


# Names: of columns, and of formats.


def test_columns_are_mapped_and_kept() -> None:
    rows = [
        {"question": "2 + 2?", "good": "4", "bad": "5", "area": "sums", "person": 3, "year": 2020},
        {"question": "3 + 3?", "good": "6", "bad": "5", "area": None, "person": 4, "year": 2021},
    ]
    names = {"prompt": "question", "chosen": "good", "rejected": "bad", "annotator": "person", "field": "area"}
    data = read(rows, columns=names)
    assert judged(data) == [(user("2 + 2?"), "4", "5"), (user("3 + 3?"), "6", "5")]
    assert {name: value.tolist() for name, value in data.columns.items()} == {
        "annotator": [3, 4],
        "field": ["sums", ""],
    }
    swapped = read([PAIR], columns={"chosen": "rejected", "rejected": "chosen"})
    assert judged(swapped) == [(user("2 + 2?"), "5", "4")]


def test_columns_that_mean_the_same_in_every_format() -> None:
    known = {"weight": 0.5, "annotator": "a", "subset": "s"}
    rows = [{**PAIR, **known, "group": 3}, {**PAIR, "prompt": "Two and two?", "group": 3}]
    told = {"annotator": ["a", ""], "subset": ["s", ""]}
    data = read(rows, columns={"weight": "weight", "group": "group"})
    assert {name: value.tolist() for name, value in data.columns.items()} == {"weight": [0.5, 1.0], **told}
    assert set(data.groups) == {"3"}
    data = read(rows)  # a weight and a group change results, so they must be asked for
    assert {name: value.tolist() for name, value in data.columns.items()} == told
    assert len(set(data.groups)) == 2


def test_own_formats() -> None:
    def lines(row: Mapping[str, Any]) -> Record:
        return Record(items_of("2 + 2?", row["lines"].split("\n")))

    assert [item.response for item in read([{"lines": "4\n5"}], format=lines).items] == ["4", "5"]
    with pytest.raises(KeyError) as caught:
        read([{"lines": "4"}, {"words": "5"}], format=lines)
    assert "rows, line 2" in "".join(caught.value.__notes__)
    assert isinstance(recognise(PAIR), Format)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "nope"}, "no format 'nope'; it is one of helpsteer2, helpsteer2_preference"),
        ({"columns": {"prompt": "question"}}, r"columns= names 'question', which no row has"),
        ({"columns": {"chosen": "best"}}, r"rows, line 1: .* 'prompt', 'rejected' is of no .*names 'best', which it"),
        ({"score": "nope"}, "no score 'nope'; the items have length"),
        ({"empty": "drop"}, "empty must be 'keep' or 'leave_out'; got 'drop'"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"format": "pair"}, r"rows, line 1: no column 'preferred'; .*all 1 rows, read as 'pair': give format="),
    ],
)
def test_wrong_options(options: Mapping[str, Any], message: str) -> None:
    rows = [{key: value for key, value in PAIR.items() if key != "chosen" or "best" not in str(options)}]
    with pytest.raises(ValueError, match=message):
        read(rows, **options)


# Bad input.

LONE = "\ud800"
BAD_ROWS: list[tuple[Mapping[str, Any], str]] = [
    ({"prompt": "p", "chosen": "a"}, "no column 'rejected'"),
    ({**PAIR, "chosen": None}, "no column 'chosen'"),
    ({**PAIR, "chosen": True}, "chosen is neither text nor a list: True"),
    ({**PAIR, "rejected": "4"}, "the two responses are equal"),
    ({**PAIR, "rejected": "5" + LONE}, "a text has a lone surrogate, which no tokenizer takes: repair it"),
    ({**PAIR, "prompt": LONE}, "a text has a lone surrogate, which no tokenizer takes: repair it"),
    ({"prompt": " ", "chosen": "4", "rejected": "\n"}, "prompt and response are both empty"),
    ({**PAIR, "chosen": [turn("assistant", "4"), turn("user", "?")]}, "the last message must be of the assistant"),
    ({**PAIR, "chosen": [turn("assistant", "4"), "5"]}, "chosen must list messages with role and content: '5'"),
    ({**PAIR, "chosen": [{"role": "assistant", "content": 4}]}, "chosen must list messages whose role and content are"),
    ({**PAIR, "chosen": []}, "chosen has no responses"),
    ({**PAIR, "prompt": []}, "prompt has no messages"),
    ({**PAIR, "prompt": 3}, "prompt is neither text nor a list: 3"),
    ({**PAIR, "margin": "large"}, "margin is not a number: 'large'"),
    ({**PAIR, "margin": "Infinity"}, "margin must be finite"),
    ({"prompt": CHAT, "chosen": CHAT + FOUR, "rejected": [*CHAT, *FIVE, *CHAT]}, "the last message must be of the"),
    (
        {"prompt": [turn("system", "s"), *CHAT], "chosen": CHAT + FOUR, "rejected": CHAT + FIVE},
        "chosen and rejected must have the whole prompt or nothing of it",
    ),
    ({**PAIR, "subset": ["a"]}, "column 'subset' must have numbers or text: a list"),
]


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS, ids=range(len(BAD_ROWS)))
def test_a_bad_row_is_left_out_with_file_line_and_reason(tmp_path: Path, row: Mapping[str, Any], reason: str) -> None:
    path = write_lines(tmp_path / "pairs.jsonl", [*PAIRS[:2], row, PAIRS[2]])
    with pytest.warns(UserWarning, match=r"1 of 4 rows: 1 because .*pairs\.jsonl, line 3\)"):
        data = read(path)
    assert judged(data) == EXPECTED[:3]
    assert data.left_out[["file", "line"]].values.tolist() == [[str(path), 3]]
    assert reason in data.left_out.reason[0]


BAD_OF_A_FORMAT: list[tuple[str, Mapping[str, Any], str]] = [
    ("trl_implicit", {"chosen": "4", "rejected": FIVE}, "chosen and rejected must both be text, or both be messages"),
    ("hh", {"chosen": "4", "rejected": "5"}, "a transcript must have turns that begin with"),
    ("hh", {"chosen": "Human: 4", "rejected": "Human: 5"}, "the last message must be of the assistant: 'user'"),
    ("hh", {"chosen": 4, "rejected": "5"}, "chosen is not text: 4"),
    ("ultrafeedback", {"instruction": "p", "completions": ["a"]}, "completions must list objects with a response"),
    ("ultrafeedback", {"instruction": "p", "completions": [{"model": "m"}]}, "response is not text: None"),
    ("ultrafeedback", {"instruction": "p", "completions": []}, "no response"),
    (
        "ultrafeedback_binarized",
        {**PAIR, "chosen": ["a", "b"], "score_chosen": 1, "score_rejected": 2},
        "chosen and rejected must be one response each",
    ),
    (
        "helpsteer3",
        {"context": CHAT, "response1": "4", "response2": "5", "overall_preference": 4},
        "must be one of -3,",
    ),
    ("nectar", {"prompt": "p", "answers": ["a", "b"]}, "answers must list objects with answer and rank"),
    ("pandalm", {**PANDALM, "annotator1": 1, "annotator2": 3, "annotator3": 0}, "annotator2 must be one of 1, 2, 0: 3"),
    ("xstest", {"type": "t", "prompt": "p", "completion": "c", "label": "good"}, "label must be one of 1_full"),
    ("rewardbench", {**PAIR, "subset": "s", "id": 0.5}, "id must be text or a whole number: 0.5"),
    ("responses", {"prompt": "p", "responses": "[a, b]"}, "responses is not a list: '[a, b]'"),
    ("responses", {"prompt": "p", "responses": ["a", 3]}, "a response is not text: 3"),
    (
        "responses",
        {"prompt": "p", "responses": ["a", "b"], "preferred_index": 2},
        "preferred_index must be one of 0, 1",
    ),
    (
        "pair",
        {"prompt": "p", "response1": "a", "response2": "b" * 99, "preferred": "b" * 99},
        "a text of 99 characters",
    ),
]


@pytest.mark.parametrize(("name", "row", "reason"), BAD_OF_A_FORMAT, ids=range(len(BAD_OF_A_FORMAT)))
def test_a_row_that_breaks_the_rules_of_its_format(name: str, row: Mapping[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=f"^rows, line 1: .*{re.escape(reason)}.*, read as '{name}'"):
        read([row], format=name)


def test_other_ways_to_write_conversations_and_lists(tmp_path: Path) -> None:
    parts = {"role": "user", "content": [{"type": "text", "text": "2 + "}, "2?"]}
    shared = [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "5"}]
    assert judged(read([{"chosen": [parts, *FOUR], "rejected": shared}])) == BOTH
    image = {"role": "user", "content": [{"type": "image"}]}
    with pytest.raises(ValueError, match="content is not text: None"):
        read([{"chosen": [image, *FOUR], "rejected": [image, *FIVE]}])
    write_csv(tmp_path / "lists.csv", [{"prompt": "2 + 2?", "responses": '["4", "5"]', "preferred_index": "0"}])
    assert judged(read(tmp_path / "lists.csv")) == BOTH
    write_lines(tmp_path / "lines.json", [PAIR])
    assert judged(read(tmp_path / "lines.json")) == BOTH
    ended = "\n<extra_id_1>User\n2 + 2?\n<extra_id_1>Assistant\n"
    row = {"prompt": ended, "response_1": "4", "response_2": "5", "preference_strength": -1}
    assert judged(read([row])) == BOTH


BAD_LINES = [
    (b'{"prompt": "p", "chos', "the line is not JSON: "),
    (b"\xff\xfe\x00", "the line is not UTF-8: byte 1"),
    (b"\x00\x00\x00", "the line is not JSON: Expecting value at character 1"),
    (b'"text"', "a row is no object with columns"),
    (b"[" * 100_000, "too many lists within lists"),
    (b'{"margin": ' + b"1" * 5000 + b"}", "a number is too long"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_bad_line_is_left_out(tmp_path: Path, line: bytes, reason: str) -> None:
    path = tmp_path / "pairs.jsonl"
    good = json.dumps(PAIR).encode()
    path.write_bytes(line + b"\n\n" + good + b"\r\n" + line)
    with pytest.warns(UserWarning, match=r"2 of 3 rows: 2 because .*pairs\.jsonl, line 1\)"):
        data = read(path)
    assert judged(data) == BOTH
    assert data.left_out.line.tolist() == [1, 4]
    assert data.left_out.reason.str.contains(reason, regex=False).all()
    path.write_bytes(line)
    with pytest.raises(ValueError, match=r"pairs\.jsonl, line 1: .*so it is, or similar, with all 1 rows"):
        read(path)


def test_rows_of_another_schema_are_left_out(tmp_path: Path) -> None:
    other = {"instruction": "2 + 2?", "completions": []}
    with pytest.warns(UserWarning, match="left out all or a part of 2 of 3 rows: 2 because no column 'prompt'"):
        data = read(write_lines(tmp_path / "pairs.jsonl", [PAIR, other, {"chosen": "4", "rejected": "5"}]))
    assert judged(data) == BOTH  # a row without a prompt does not get an implicit one


def test_the_first_row_of_a_known_format_settles_it() -> None:
    with pytest.warns(UserWarning, match=r"1 of 2 rows: 1 because no column 'rejected' \(first: rows, line 1\)"):
        data = read([{"prompt": "p", "chosen": "a"}, PAIR])
    assert judged(data) == BOTH
    with pytest.raises(ValueError, match="rows, line 1: a row with the columns 'a' is of no known format"):
        read([{"a": 1}] * 100 + [PAIR])


def test_unpaired_labels_that_are_none_are_no_zeros() -> None:
    rows = [{"prompt": "p", "completion": str(k), "label": label} for k, label in enumerate([True, None, False])]
    data = read(rows, score="label")
    assert [(win, lose) for _, win, lose in judged(data)] == [("0", "2")]


def test_empty_texts_are_kept_and_told_or_left_out() -> None:
    rows = [PAIR, {**PAIR, "rejected": " \n"}, {**PAIR, "prompt": ""}]
    with pytest.warns(UserWarning, match=r"response is empty in 1 rows, the prompt is empty in 1 rows \(empty='leave"):
        data = read(rows)
    assert (len(data), len(data.left_out)) == (3, 0)
    with pytest.warns(UserWarning, match="2 of 3 rows: 1 because the response is empty"):
        data = read(rows, empty="leave_out")
    assert judged(data) == BOTH
    assert data.left_out.line.tolist() == [2, 3]


def test_a_part_of_a_row_is_left_out() -> None:
    row = {"prompt": "2 + 2?", "responses": ["4", "5" + LONE, "5", "4"], "correct": [1, 0, 0, 1], "preferred_index": 0}
    with pytest.warns(UserWarning, match="left out all or a part of 1 of 1 rows"):
        data = read([row])
    assert judged(data) == BOTH
    assert [item.response for item in data.items] == ["4", "5"]
    assert data.features["correct"].tolist() == [1.0, 0.0]
    assert sorted(reason[:12] for reason in data.left_out.reason) == ["a text has a", "the two resp"]


def test_nul_and_ten_megabytes_are_text(tmp_path: Path) -> None:
    long, longer_than_csv_takes = "a b\0c " * 1_750_000, "a b\0c " * 50_000
    path = write_lines(tmp_path / "pairs.jsonl", [{"chosen": long + "yes", "rejected": long + "no"}])
    data = read(path)
    assert judged(data) == [(user(long), "yes", "no")]
    assert data.health().set_index("check").n_found["nul_characters"] == 2
    write_csv(tmp_path / "pairs.csv", [{**PAIR, "rejected": longer_than_csv_takes}])
    assert judged(read(tmp_path / "pairs.csv")) == [(user("2 + 2?"), "4", longer_than_csv_takes)]


def test_contradictory_pairs_are_kept_and_found() -> None:
    data = read([PAIR, {**PAIR, "chosen": "5", "rejected": "4"}])
    assert len(data) == 2
    assert data.health().set_index("check").n_found["contradictions"] == 2


def test_files_that_are_cut_off_or_damaged(tmp_path: Path) -> None:
    rows = [{**PAIR, "prompt": f"{k} {k * 7919}?"} for k in range(5000)]
    whole = gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())
    path = tmp_path / "pairs.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"pairs\.jsonl\.gz is cut off after line [1-9]\d+ .*fetch the file again"):
        read(path)
    path.write_bytes(whole[:200] + b"damage" + whole[206:])
    with pytest.raises(ValueError, match=r"pairs\.jsonl\.gz is damaged after line \d+"):
        read(path)
    path.write_bytes(whole[:100])
    with pytest.raises(ValueError, match="is cut off after line 0"):
        read(path)
    path.write_bytes(b"not packed\n")
    with pytest.raises(ValueError, match=r"line 1: the line is not JSON"):
        read(path)


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("pairs.txt", b"{}", ValueError, r"pairs\.txt must end in one of \.jsonl, .*rename it"),
        ("pairs", b"{}", ValueError, "must end in one of"),
        ("pairs.jsonl", b"", ValueError, "has no rows"),
        ("pairs.json", b'[{"prompt": "p"},\n{"prompt": ]', ValueError, r"pairs\.json, line 2: not JSON"),
        ("pairs.json", b'["\xff"]', ValueError, r"pairs\.json must be UTF-8; byte 2"),
        ("pairs.json", b"[" * 100_000, ValueError, "lists within lists too deep"),
        ("pairs.csv", b"prompt,chosen\np,\xff\n", ValueError, r"pairs\.csv, line 2: not UTF-8 \(byte 3\)"),
        ("pairs.csv", b'prompt,chosen\np,"a\n', ValueError, r"pairs\.csv, line 2: not CSV"),
        ("pairs.csv", b"prompt,prompt\na,b\n", ValueError, r"pairs\.csv, line 1: the header has 'prompt' twice"),
        ("pairs.jsonl", b'{"a": 1, "b": 2}\n', ValueError, r"pairs\.jsonl, line 1: a row with the columns 'a', 'b' is"),
        ("pairs.parquet", b"PAR1 damaged", ValueError, r"pairs\.parquet is no whole Parquet file"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes, error: type[Exception], message: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        read(tmp_path / name)


def test_missing_files_and_folders_without_data(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*pairs\.jsonl"):
        read(tmp_path / "pairs.jsonl")
    with pytest.raises(FileNotFoundError, match=r"no file or folder data/pairs\.jsonl$"):
        read("data/pairs.jsonl")
    (tmp_path / "notes.txt").write_text("about")
    with pytest.raises(FileNotFoundError, match="has no data: no file that ends in"):
        read(tmp_path)


def test_rows_of_csv_files_with_other_numbers_of_fields_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text('prompt,chosen,rejected\n"2\n+ 2?",4,5\n3 + 3?,6\n\n4 + 4?,8,9\n')
    with pytest.warns(UserWarning, match="1 of 3 rows"):
        data = read(path)
    assert judged(data) == [(user("2\n+ 2?"), "4", "5"), (user("4 + 4?"), "8", "9")]
    assert data.left_out.values.tolist() == [[str(path), 4, "the row must have 3 fields, like the header: 2"]]


# Property-based: what is written in a format is read from it, and every row is accounted for.

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8).filter(
    lambda text: bool(text.strip())
)
ROWS = st.lists(st.tuples(TEXT, TEXT, TEXT, st.integers(-3, 3)), min_size=1, max_size=8)


def as_trl(prompt: str, a: str, b: str, strength: int) -> Mapping[str, Any]:
    win, lose = (b, a) if strength > 0 else (a, b)
    return {"prompt": prompt, "chosen": win, "rejected": lose, "margin": abs(strength)}


def as_messages(prompt: str, a: str, b: str, strength: int) -> Mapping[str, Any]:
    row = as_trl(prompt, a, b, strength)
    chats = {name: [turn("user", prompt), turn("assistant", row[name])] for name in ("chosen", "rejected")}
    return {**chats, "margin": row["margin"]}


def as_strength(prompt: str, a: str, b: str, strength: int) -> Mapping[str, Any]:
    return {"context": [turn("user", prompt)], "response1": a, "response2": b, "overall_preference": strength}


def as_verdict(prompt: str, a: str, b: str, strength: int) -> Mapping[str, Any]:
    verdict = 0 if strength == 0 else 1 + (strength > 0)
    return {"prompt": prompt, "response1": a, "response2": b, "preferred": verdict, "margin": abs(strength)}


@pytest.mark.parametrize(
    ("extension", "write"),
    [
        (".jsonl", as_trl),
        (".csv", as_trl),
        (".tsv", as_verdict),
        (".json", as_messages),
        (".jsonl", as_strength),
        (".csv", as_verdict),
        (".parquet", as_messages),
    ],
)
@settings(max_examples=30)
@given(rows=ROWS)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    extension: str,
    write: Callable[..., Mapping[str, Any]],
    rows: list[tuple[str, str, str, int]],
) -> None:
    path = tmp_path_factory.mktemp("rows") / f"pairs{extension}"
    WRITERS[extension](path, [write(*row) for row in rows])
    good = [row for row in rows if row[1] != row[2]]
    with warnings.catch_warnings(action="ignore"):
        if not good:
            with pytest.raises(ValueError, match="the two responses are equal"):
                read(path)
            return
        data = read(path)
    expected = [(user(p), b, a) if strength > 0 else (user(p), a, b) for p, a, b, strength in good]
    assert judged(data) == expected
    assert data.columns["margin"].tolist() == [abs(row[3]) for row in good]
    assert len(data) + len(data.left_out) == data.metadata["rows"] == len(rows)
    assert len(set(data.items)) == len(data.items)
    assert len(np.unique(data.groups)) == len({row[0] for row in good})


@given(
    prompts=st.lists(st.lists(st.tuples(TEXT, st.none() | st.integers(0, 3)), min_size=1, max_size=5), max_size=4),
    ties=st.booleans(),
)
def test_comparisons_of_scores_against_brute_force(prompts: list[list[tuple[str, int | None]]], ties: bool) -> None:
    rows: list[dict[str, Any]] = [
        {
            "prompt": f"{k}",
            "responses": [f"{j} {text}" for j, (text, _) in enumerate(rated)],
            "stars": [s for _, s in rated],
        }
        for k, rated in enumerate(prompts)
        if any(score is not None for _, score in rated)
    ]
    expected: Counter[tuple[Judged, float]] = Counter()
    for row in rows:
        for (a, x), (b, y) in combinations(zip(row["responses"], row["stars"], strict=True), 2):
            if x is not None and y is not None and (ties or x != y):
                expected[((user(row["prompt"]), a, b) if x >= y else (user(row["prompt"]), b, a), abs(x - y))] += 1
    if not expected:
        return
    data = read(rows, score="stars", ties=ties)
    assert Counter(zip(judged(data), data.columns["margin"].tolist(), strict=True)) == expected
    assert ("tie" in data.columns) == ties


# Real files, in place.


def test_hh_harmless() -> None:
    with pytest.warns(UserWarning, match="response is empty in 4 rows"):
        data = read(real("hh_harmless"))
    assert (data.metadata["format"], len(data), len(np.unique(data.groups))) == ("hh", 2312, 2310)
    first, second = data.comparisons.T
    assert (data.groups[first] == data.groups[second]).all()
    apart = sum(data.items[a].prompt != data.items[b].prompt for a, b in data.comparisons.tolist())
    assert apart == 5  # the transcripts part before the last reply
    roles = {role for item in data.items for role, _ in item.prompt}
    assert roles == {"user", "assistant"}


def test_hh_texts_are_those_of_the_file() -> None:
    path = real("hh_harmless") / "pairs.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    names = {"user": "Human", "assistant": "Assistant"}
    with pytest.warns(UserWarning):
        reader = read_records(path, verbose=False)
        for row, record in zip(rows, reader, strict=True):
            for name, item in zip(("chosen", "rejected"), record.items, strict=True):
                again = "".join(f"\n\n{names[turn.role]}: {turn.content}" for turn in item.messages)
                assert again.replace(" ", "") == row[name].replace(" ", "")


def test_pandalm() -> None:
    with pytest.warns(UserWarning, match="left out all or a part of 6 of 999 rows"):
        data = read(real("pandalm"))
    assert len(data) == 3 * 993
    assert data.left_out.reason.value_counts().to_dict() == {
        "response1 is not text: True": 4,
        "response2 is not text: True": 2,
    }
    assert sorted(set(data.columns["annotator"])) == ["annotator1", "annotator2", "annotator3"]
    with gzip.open(DATA / "pandalm" / "pairs.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    good = [row for row in rows if isinstance(row["response1"], str) and isinstance(row["response2"], str)]
    verdicts = [row[f"annotator{k}"] for row in good for k in (1, 2, 3)]
    assert data.columns["tie"].tolist() == [verdict == 0 for verdict in verdicts]
    assert data.columns["first"].tolist() == [int(verdict == 2) for verdict in verdicts]


def test_xstest() -> None:
    data = read(real("xstest"))
    assert (data.metadata["format"], len(data), len(np.unique(data.groups))) == ("xstest", 0, 450)
    assert len(data.items) <= 2250
    assert set(data.compare_scores("appropriate").columns) == {"margin", "subset"}


def test_gsm8k_solutions_and_alpacaeval() -> None:
    data = read(real("gsm8k_solutions"), score="correct")
    assert (data.columns["margin"] == 1).all()
    with pytest.warns(UserWarning, match="response is empty in 14 rows"):
        texts = read(real("alpacaeval"), split="train")
    assert len(texts) == 0
    assert len(np.unique(texts.groups)) == texts.metadata["rows"] < 797
