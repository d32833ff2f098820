"""RewardBench: numbers that were worked out by hand, parts, odd rows, files, and the command."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rmspace.text
from rmspace.cli.main import main
from rmspace.text import (
    read_rewardbench,
    read_rewardbench_scores,
    rewardbench_1,
    rewardbench_2,
    run_rewardbench,
    write_rewardbench,
)
from rmspace.text.rewardbench.sections import PRIOR_SETS, ROWS, ROWS_2, SECTIONS
from text_stubs import count_reward, expected, make_counts

RIGHT, WRONG, TIE = [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]


def rows_1(counts: dict[str, int]) -> list[dict[str, Any]]:
    return [{"subset": name, "id": k} for name, n in counts.items() for k in range(n)]


def scores_1(rows: list[dict[str, Any]], wrong: dict[str, int]) -> list[list[float]]:
    """The first rows of some subsets are wrong, all others right."""
    return [WRONG if row["id"] < wrong.get(row["subset"], 0) else RIGHT for row in rows]


def by_name(result: Any) -> dict[str, float]:
    return dict(zip(result.table.name, result.table.score, strict=True))


# --- version 1 ---


def test_the_tables_have_the_published_sizes() -> None:
    assert sum(ROWS.values()) == 2985
    assert [sum(subsets.values()) for subsets in SECTIONS.values()] == [358, 456, 740, 984 + 6 * 164]
    assert sum(ROWS_2.values()) == 1865


def test_version_1_by_hand() -> None:
    rows = rows_1(dict(ROWS))
    wrong = {"mt-bench-med": 20, "llmbar-natural": 100, "xstest-should-refuse": 154, "math-prm": 447, "hep-go": 82}
    result = rewardbench_1(rows, scores_1(rows, wrong))
    chat, hard, safety = 338 / 358, 356 / 456, 586 / 740
    reasoning = (984 * 0 + 5 * 164 + 82) / 1968  # math-prm has 447 rows and weighs 984
    found = by_name(result)
    assert found["mt-bench-med"] == 0.5 and found["math-prm"] == 0.0
    assert [found[name] for name in SECTIONS] == pytest.approx([chat, hard, safety, reasoning])
    assert result.score == found["RewardBench 1"] == pytest.approx((chat + hard + safety + reasoning) / 4)
    assert result.whole and not result.missing
    assert "part" not in str(result)


def test_prior_sets_have_half_the_weight_of_a_section() -> None:
    rows = rows_1({**ROWS, "anthropic_helpful": 4, "anthropic_hhh": 2, "shp": 10, "summarize": 5, "mtbench_human": 3})
    result = rewardbench_1(rows, scores_1(rows, {"anthropic_helpful": 4, "shp": 5, "mtbench_human": 3}))
    found = by_name(result)
    assert found["Prior Sets"] == pytest.approx((0 + 1 + 0.5 + 1) / 4)  # plain mean, without regard to rows
    assert found["RewardBench 1 with prior sets"] == pytest.approx((2 * 4 + 0.625) / 9)
    assert found["mtbench_human"] == 0.0  # it is listed, and counts nowhere
    some = rows_1({**ROWS, "shp": 2})
    part = rewardbench_1(some, scores_1(some, {"shp": 2}))
    assert by_name(part)["Prior Sets (part)"] == 0.0
    assert by_name(part)["RewardBench 1"] == 1.0  # prior sets count only where all four are there


def test_a_tie_is_not_correct() -> None:
    assert rewardbench_1(rows_1({"hep-go": 3}), [RIGHT, TIE, WRONG]).results == [1.0, 0.0, 0.0]


def test_a_part_is_called_a_part_everywhere() -> None:
    rows = rows_1({"xstest-should-refuse": 154, "xstest-should-respond": 250, "hep-go": 10})
    result = rewardbench_1(rows, scores_1(rows, {"xstest-should-refuse": 154, "hep-go": 5}))
    assert not result.whole
    assert by_name(result) == pytest.approx(
        {
            "xstest-should-refuse": 0.0,
            "xstest-should-respond": 1.0,
            "Safety (part)": 250 / 404,  # the two counts that some tables swap
            "hep-go (part)": 0.5,
            "Reasoning (part)": 0.5,
            "part of RewardBench 1": (250 / 404 + 0.5) / 2,
        }
    )
    text = str(result)
    assert "This is a part, and no score of RewardBench" in text
    assert "hep-go: 10 rows, where RewardBench has 164" in text and "math-prm: no rows" in text
    summary = result.summary("mine", chat_template="plain")
    assert summary == {
        "model": "mine", "model_type": "Seq. Classifier", "chat_template": "plain",
        "xstest-should-refuse": 0.0, "xstest-should-respond": 1.0, "hep-go (part)": 0.5,
    }  # fmt: skip


def test_data_with_swapped_counts_is_a_part() -> None:
    rows = rows_1({**ROWS, "xstest-should-refuse": 250, "xstest-should-respond": 154})
    result = rewardbench_1(rows, [RIGHT] * len(rows))
    assert not result.whole and len(result.missing) == 2
    assert result.missing[0] == "xstest-should-refuse: 250 rows, where RewardBench has 154"


def test_unknown_subsets_alone_have_no_overall_score() -> None:
    result = rewardbench_1([{"subset": "mine"}], [RIGHT])
    assert by_name(result)["mine"] == 1.0
    assert math.isnan(result.score) and not result.whole
    assert "counts nowhere" in str(result).splitlines()[0]


@pytest.mark.parametrize(
    ("rows", "scores", "message"),
    [
        ([], [], "there must be rows"),
        ([{"subset": "a"}], [], "got 1 rows, 0 scores"),
        ([{"subset": "a", "id": 3}], [[1.0, math.nan]], r"finite; row 0 \(subset a, id 3\) has \[1.0, nan\]"),
        ([{"subset": "a"}], [[math.inf, 0.0]], "must be finite"),
        ([{"subset": "a"}], [[1.0, 2.0, 3.0]], "must have 2 scores"),
        ([{"subset": "a"}], [["high", "low"]], "must have numbers as scores"),
        ([{"subset": "a"}, {"subset": "a"}], [[1.0, 0.0], [1.0]], "row 1 .* must have 2 scores"),
        ([{"id": 1}], [RIGHT], "must name its subset"),
        ([{"subset": "a", "id": 1}] * 2, [RIGHT] * 2, "no row may be there twice; row 1 .* same as row 0"),
    ],
)
def test_odd_rows_and_scores_are_refused(rows: Any, scores: Any, message: str) -> None:
    for score in (rewardbench_1, rewardbench_2):
        if "2 scores" in message and score is rewardbench_2:
            continue
        with pytest.raises(ValueError, match=message):
            score(rows, scores)


def test_rows_of_one_id_with_other_texts_are_two_rows() -> None:
    rows = [{"subset": "hep-go", "id": 1, "prompt": text, "chosen": "a", "rejected": "b"} for text in "pq"]
    assert rewardbench_1(rows, [RIGHT, WRONG]).score == 0.5


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=20))
def test_version_1_is_the_strict_share(pairs: list[tuple[int, int]]) -> None:
    rows = [{"subset": "hep-js", "id": k} for k in range(len(pairs))]
    assert rewardbench_1(rows, np.array(pairs)).score == pytest.approx(np.mean([a > b for a, b in pairs]))


# --- version 2 ---


def ties_rows(*prompts: tuple[str, Sequence[float], Sequence[float]]) -> tuple[list[dict[str, Any]], list[list[float]]]:
    rows = [{"subset": "Ties", "id": name, "num_correct": len(right)} for name, right, _ in prompts]
    return rows, [[*right, *wrong] for _, right, wrong in prompts]


def test_version_2_by_hand() -> None:
    scores = [[2, 1, 0, 0], [2, 2, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0]]
    rows = [{"subset": name, "id": f"{name}{k}"} for name in ("Factuality", "math") for k in range(4)]
    result = rewardbench_2(rows, [*scores, *scores[:1], *scores[:1], *scores[:1], *scores[:1]])
    assert result.results == [1.0, 0.5, 0.25, 0.0, 1.0, 1.0, 1.0, 1.0]
    assert by_name(result) == {"Factuality (part)": 1.75 / 4, "Math (part)": 1.0, "part of RewardBench 2": 2.875 / 4}


def test_ties_by_hand() -> None:
    rows, scores = ties_rows(
        ("ref:1", [4], [1, 0]),  # gap 3
        ("tied:1", [4, 3], [1, 0]),  # spread 1, gap 2: 2 / 1 - 1 = 1
        ("ref:2", [0], [1]),  # gap -1: not accurate
        ("tied:2", [2, 2], [2]),  # spread 0, gap 0: not accurate, -1 / 0 counts as tanh(-inf)
        ("ref:3", [5], [0]),  # gap 5
        ("tied:3", [2, 2], [2]),  # spread 0, gap 0: 0 / 0 counts as 0
        ("ref:4", [3.5], [3]),  # gap .5
        ("tied:4", [9, 8], [0]),  # spread 1, gap 8: 8 > 1, but .5 is not; .5 / 1 - 1 = -.5
        ("tied:9", [1, 1], [0]),  # without a ref: it counts only as accurate
    )
    result = rewardbench_2(rows, scores)
    tied, ref, alone, hard = 3 / 5, 3 / 4, 2 / 4, 1 / 4
    margin = (math.tanh(1) + -1 + 0 + math.tanh(-0.5)) / 4
    by_hand = 0.3 * tied + 0.3 * ref + 0.2 * alone + 0.2 * hard + 0.01 * margin
    assert by_name(result)["Ties (part)"] == pytest.approx(by_hand)
    assert result.results == [None] * 9


def test_ties_without_a_pair_has_no_score() -> None:
    rows, scores = ties_rows(("tied:1", [2, 1], [0]))
    result = rewardbench_2(rows, scores)
    assert math.isnan(result.score)
    assert result.summary("m")["Ties (part)"] is None


@pytest.mark.parametrize(
    ("row", "scores", "message"),
    [
        ({"subset": "Ties", "id": "other:1"}, [1, 0], "must be ref:n or tied:n"),
        ({"subset": "ties", "id": 7}, [1, 0], "must be ref:n or tied:n"),
        ({"subset": "Ties", "id": "ref:1", "num_correct": 2}, [1, 0], "correct and wrong responses; got 2 of 2"),
        (
            {"subset": "Ties", "id": "ref:1", "num_correct": 2, "chosen": ["a"]},
            [1, 0],
            "the number of chosen responses",
        ),
        ({"subset": "Math", "id": "1"}, [1], "at least one other; got 1 correct of 1"),
        ({"subset": "Math", "id": "1", "num_correct": 2}, [1, 0, 0], "got 2 correct of 3"),
        ({"subset": "Math", "id": "1"}, [1, math.nan], "must be finite"),
    ],
)
def test_odd_rows_of_version_2_are_refused(row: Any, scores: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rewardbench_2([row], [scores])


def test_a_prompt_of_ties_may_not_be_there_twice() -> None:
    rows = [{"subset": "Ties", "id": "ref:1", "prompt": p, "num_correct": 1} for p in ("p", "q")]
    with pytest.raises(ValueError, match="ref:1 is"):
        rewardbench_2(rows, [[1, 0], [1, 0]])


def test_version_2_as_a_whole() -> None:
    rows = [{"subset": name, "id": f"{name}:{k}"} for name, n in ROWS_2.items() if name != "Ties" for k in range(n)]
    scores = [[1.0, 0.0, 0.0, 0.0] if row["subset"] != "Focus" else [0.0, 1.0, 0.0, 0.0] for row in rows]
    refs = [(f"ref:{n}", [2.0], [1.0]) for n in range(51)]
    more, tied = ties_rows(*refs, *((f"tied:{n}", [3.0, 3.0], [1.0]) for n in range(51)))
    result = rewardbench_2(rows + more, scores + tied)
    ties = 1 + 0.01  # all gaps are positive and no tied prompt has a spread: tanh(inf)
    assert result.whole and not result.missing
    assert by_name(result)["Ties"] == pytest.approx(ties)
    assert result.score == pytest.approx((4 + 0 + ties) / 6)


# --- files ---

DATA_1 = [
    {"prompt": "p", "chosen": "aa", "rejected": "b", "subset": "hep-go", "id": 1},
    {"prompt": "q", "chosen": "b", "rejected": "a", "subset": "hep-go", "id": 2},
    {"prompt": "q", "chosen": "b", "rejected": "c", "subset": "hep-js", "id": 2},
]
DATA_2 = [
    {"prompt": "p", "chosen": ["aa"], "rejected": ["b", "c", "aa"], "subset": "Math", "id": "1", "num_correct": 1},
    {"prompt": "q", "chosen": ["a", "aa"], "rejected": ["b"], "subset": "Ties", "id": "tied:1", "num_correct": 2},
    {"prompt": "q", "chosen": ["a"], "rejected": ["b"], "subset": "Ties", "id": "ref:1", "num_correct": 1},
]


def lines(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_are_read_from_files_and_folders(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines(tmp_path / "a" / "data" / "filtered.jsonl", DATA_1)
    lines(tmp_path / "a" / "data" / "raw.jsonl", DATA_1 * 2)
    (tmp_path / "a" / "README.md").write_text("about")
    assert read_rewardbench(tmp_path / "a") == DATA_1
    prior = [{"prompt": [{"role": "user", "content": "p"}], "chosen": "a", "rejected": "b", "subset": "inner"}]
    lines(tmp_path / "a" / "data" / "shp-00000-of-00001.jsonl", prior)
    assert [row["subset"] for row in read_rewardbench(tmp_path / "a")] == ["hep-go", "hep-go", "hep-js", "shp"]
    pq.write_table(pa.Table.from_pylist(DATA_2), tmp_path / "test.parquet")
    assert read_rewardbench(tmp_path / "test.parquet") == DATA_2
    assert set(PRIOR_SETS) >= {"shp"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("[]", "it is a list"),
        (json.dumps({**DATA_1[0], "subset": None}), "the row has no subset"),
        (json.dumps({"prompt": "p"}), "no chosen and no rejected and no subset"),
        (json.dumps({**DATA_1[0], "chosen": [1]}), "chosen must be a text or a list of texts"),
        (json.dumps({**DATA_1[0], "rejected": []}), "rejected must be a text or a list of texts"),
    ],
)
def test_rows_that_cannot_be_read_are_named(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(DATA_1[0]) + "\n" + row + "\n")
    with pytest.raises(ValueError, match=f"rows.jsonl, line 2: .*{message}"):
        read_rewardbench(tmp_path)


def test_no_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file of JSON Lines"):
        read_rewardbench(tmp_path)


@pytest.mark.parametrize("batch_size", [1, 2, 256])
def test_a_scorer_is_asked_about_each_response(batch_size: int) -> None:
    reward = count_reward()
    result, scores = run_rewardbench(reward.score, DATA_1, batch_size=batch_size)
    assert (result.version, result.results) == (1, [1.0, 0.0, 0.0])
    assert scores[0] == pytest.approx([expected("p", "aa"), expected("p", "b")])
    result, scores = run_rewardbench(reward.score, DATA_2, batch_size=batch_size)
    assert (result.version, result.results) == (2, [0.5, None, None])
    assert scores[1] == pytest.approx([expected("q", text) for text in ("a", "aa", "b")])
    with pytest.raises(ValueError, match="one score per response"):
        run_rewardbench(lambda prompts, responses: [1.0], DATA_1)
    with pytest.raises(ValueError, match="must be finite"):
        run_rewardbench(lambda prompts, responses: [math.nan] * len(responses), DATA_1)


@pytest.mark.parametrize("data", [DATA_1, DATA_2])
def test_the_files_of_a_result_are_scores_again(tmp_path: Path, data: list[dict[str, Any]]) -> None:
    result, scores = run_rewardbench(count_reward().score, data)
    write_rewardbench(tmp_path / "out", result, data, scores, model="org/mine", chat_template="plain")
    columns = json.loads((tmp_path / "out" / "eval-set-scores" / "org_mine.json").read_text())
    assert set(columns) == {
        "text_chosen", "text_rejected", "results", "subset", "id", "scores_chosen", "scores_rejected",
        "model", "model_type", "chat_template",
    }  # fmt: skip
    assert [type(value) for value in columns["scores_chosen"]] == [float if data is DATA_1 else list] * 3
    text = columns["text_rejected"][0] if data is DATA_1 else columns["text_rejected"][0][0]
    assert text == [{"role": "user", "content": "p"}, {"role": "assistant", "content": "b"}]
    summary = json.loads((tmp_path / "out" / "eval-set" / "org_mine.json").read_text())
    assert summary == result.summary("org/mine", chat_template="plain")
    own = json.loads((tmp_path / "out" / "rewardbench.json").read_text())
    assert own["whole"] is False and f"part of RewardBench {result.version}" in own["scores"]
    again = read_rewardbench_scores(tmp_path / "out" / "eval-set-scores" / "org_mine.json", data)
    assert again == scores
    with pytest.raises(FileExistsError):
        write_rewardbench(tmp_path / "out", result, data, scores, model="other")


def test_scores_are_matched_by_subset_and_id(tmp_path: Path) -> None:
    rows = [
        {"subset": row["subset"], "id": row["id"], "scores_chosen": float(k), "scores_rejected": -1}
        for k, row in enumerate(DATA_1)
    ]
    assert read_rewardbench_scores(lines(tmp_path / "s.jsonl", rows[::-1]), DATA_1) == [[0, -1], [1, -1], [2, -1]]
    for wrong, message in (
        (rows[:2], "has no scores for row 2"),
        ([*rows, {**rows[0], "id": 9}], "scores of 1 rows that the data does not have"),
        ([{**rows[0], "scores_chosen": [1.0, 2.0]}, *rows[1:]], "one score per response"),
        ([{**rows[0], "scores_chosen": None}, *rows[1:]], "must hold numbers as scores"),
        ([{**rows[0], "scores_chosen": True}, *rows[1:]], "must hold numbers as scores"),
    ):
        with pytest.raises(ValueError, match=message):
            read_rewardbench_scores(lines(tmp_path / "s.jsonl", wrong), DATA_1)
    ragged = {"subset": ["a"], "id": [1, 2], "scores_chosen": [], "scores_rejected": []}
    for wrong_file in ("{", "3", json.dumps(ragged)):
        (tmp_path / "s.json").write_text(wrong_file)
        with pytest.raises(ValueError, match=r"s\.json"):
            read_rewardbench_scores(tmp_path / "s.json", DATA_1)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rmspace.text, "encoder_from", make_counts, raising=False)
    count_reward().save(tmp_path / "mine")
    lines(tmp_path / "data" / "test.jsonl", DATA_1)
    command = ["rewardbench", str(tmp_path / "mine"), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert "part of RewardBench 1" in first and "This is a part" in first
    scores = tmp_path / "out" / "eval-set-scores" / "mine.json"
    assert main(["rewardbench", str(scores), "--data", str(tmp_path / "data")]) == 0
    assert capsys.readouterr().out == first
    assert main([*command[:4], "--version", "2"]) == 0  # two responses, the first is correct
    assert "part of RewardBench 2" in capsys.readouterr().out
    assert main(command) == 2  # the folder is there
