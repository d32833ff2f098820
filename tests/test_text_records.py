"""Records, preferences as text, groups of prompts, and banks from ratings."""

import json
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rmspace as rm
from rmspace.text import Comparison, Message, Record, TextItem, TextPreferences, read_transcript, to_bank
from rmspace.text._columns import column_of, means_by_item
from rmspace.text._groups import PromptGroups
from rmspace.text.records import Unreadable, digest, items_of

from_records = TextPreferences.from_records


def pair(prompt: str | Sequence[Message], winner: str, loser: str, **known: Any) -> Record:
    return Record(items_of(prompt, [winner, loser]), [Comparison(0, 1, known)])


def checks(data: TextPreferences) -> dict[str, int]:
    table = data.health()
    return dict(zip(table.check, table.n_found, strict=True))


def test_equal_texts_are_one_item_and_equal_prompts_one_group() -> None:
    data = from_records([pair("p", "a", "b"), pair("q", "a", "b"), pair("p", "b", "c")])
    assert [(item.prompt[0].content, item.response) for item in data.items] == [
        ("p", "a"),
        ("p", "b"),
        ("q", "a"),
        ("q", "b"),
        ("p", "c"),
    ]
    assert data.comparisons.tolist() == [[0, 1], [2, 3], [1, 4]]
    assert len(set(data.groups[[0, 1, 4]])) == 1 and len(set(data.groups)) == 2
    assert data.features["length"].tolist() == [1] * 5


def test_ids_and_texts_unite_prompts_over_several_steps() -> None:
    def item(prompt: str, group: str | None) -> Record:
        return Record(items_of(prompt, ["a"]), group=group)

    data = from_records([item("p", "1"), item("q", "2"), item("r", "3"), item("q", "1"), item("s", None)])
    assert data.groups.tolist()[:3] == ["1", "1", "3"]  # p and q have one id in one of the rows
    assert data.groups[3] == digest([Message("user", "s")])[:16]


def test_items_of_two_prompts_in_one_record_are_of_one_group() -> None:
    start = (Message("user", "hello"), Message("assistant", "hi"))
    apart = [TextItem((*start, Message("user", text)), "a") for text in ("p", "q")]
    data = from_records([Record(tuple(apart), [Comparison(0, 1)]), pair([*start, Message("user", "q")], "b", "c")])
    assert len(set(data.groups)) == 1


def test_texts_without_prompt_are_of_one_group_only_where_they_meet() -> None:
    data = from_records([pair((), "a", "b"), pair((), "c", "d"), pair((), "b", "e")])
    groups = dict(zip([item.response for item in data.items], data.groups, strict=True))
    assert groups["a"] == groups["b"] == groups["e"] != groups["c"] == groups["d"]


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3), max_size=8))
def test_groups_against_brute_force(records: list[list[int]]) -> None:
    groups = PromptGroups()
    for keys in records:
        groups.add(keys)
    expected = [{k} for k in range(len(records))]
    for _ in records:
        for a, keys in enumerate(records):
            for b, others in enumerate(records):
                if expected[a] & expected[b] or set(keys) & set(others):
                    expected[a] |= expected[b]
    assert [groups.first_of(k) for k in range(len(records))] == [min(members) for members in expected]


def test_columns_that_some_comparisons_lack() -> None:
    known: list[dict[str, Any]] = [{"margin": 1, "tie": True, "who": "x", "code": 1}, {"weight": 2}, {"code": "b"}]
    data = from_records([pair("p", f"{k}", "z", **columns) for k, columns in enumerate(known)])
    np.testing.assert_array_equal(data.columns["margin"], [1, np.nan, np.nan])
    assert {name: value.tolist() for name, value in data.columns.items() if name != "margin"} == {
        "tie": [True, False, False],
        "weight": [1.0, 2.0, 1.0],
        "who": ["x", "", ""],
        "code": ["1", "", "b"],
    }
    embedded = data.with_embeddings(np.eye(4, dtype=np.float32))  # Preferences take numbers and text only
    assert set(embedded.columns) == set(data.columns)


def test_whole_numbers_stay_exact() -> None:
    assert column_of([2**53 + 1, 3]).tolist() == [2**53 + 1, 3]
    assert column_of([2**70, 3]).tolist() == [str(2**70), "3"]


@given(st.lists(st.tuples(st.integers(0, 4), st.none() | st.floats(-9, 9)), max_size=12))
def test_means_against_brute_force(rated: list[tuple[int, float | None]]) -> None:
    values = np.array([value for _, value in rated], dtype=np.float64)
    found = means_by_item(np.array([item for item, _ in rated], dtype=np.int64), values, 5)
    for item in range(5):
        known = [value for other, value in rated if other == item and value is not None]
        assert found[item] == pytest.approx(np.mean(known) if known else np.nan, nan_ok=True)


def test_a_selection_keeps_its_items_and_all_that_is_known() -> None:
    records = [
        Record(items_of(f"{k}", ["a", "b"]), [Comparison(0, 1, {"margin": k})], subset=f"s{k}") for k in range(4)
    ]
    data = from_records(records)[[2, 1]]
    assert [item.prompt[0].content for item in data.items] == ["1", "1", "2", "2"]
    assert data.comparisons.tolist() == [[2, 3], [0, 1]]
    assert data.columns["margin"].tolist() == [2, 1]
    assert data.subsets.tolist() == ["s1", "s1", "s2", "s2"]


def test_items_without_comparisons() -> None:
    data = from_records([Record(items_of("p", ["a", "b"]))])
    assert (len(data), data.health().empty) == (0, True)
    with pytest.raises(ValueError, match="2 items and no comparisons; the source has no scores"):
        data.check_comparisons()
    with pytest.raises(ValueError, match="at least one item; got none"):
        from_records([])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"comparisons": [[0, 0]]}, "row 0 has item 0 twice"),
        ({"comparisons": [[0, 2]]}, r"ids in \[0, 2\); got 2"),
        ({"groups": ["g"]}, "one prompt per item"),
        ({"columns": {"margin": [1.0, 2.0]}}, r"column 'margin' must have 1 values, one each; got float64 of shape"),
        ({"features": {"stars": [1.0]}}, "feature 'stars' must have 2 values"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    given_ = {"items": items_of("p", ["a", "b"]), "comparisons": [[0, 1]], "groups": ["g", "g"], **arguments}
    with pytest.raises(ValueError, match=message):
        TextPreferences(**given_)


def test_scores_are_compared_within_a_prompt_only() -> None:
    rated = [
        Record(items_of("p", ["a", "b"]), scores={"stars": [1.0, 1.0]}, subset="x"),
        Record(items_of("p", ["c"]), scores={"stars": [3.0]}),
        Record(items_of("q", ["a"]), scores={"stars": [9.0]}),
        Record(items_of("p", ["a"]), scores={"stars": [2.0]}),  # rated twice: 1.5 on average
    ]
    data = from_records(rated).compare_scores("stars")
    assert data.features["stars"].tolist() == [1.5, 1.0, 3.0, 9.0]
    assert data.comparisons.tolist() == [[0, 1], [2, 0], [2, 1]]
    assert data.columns["margin"].tolist() == [0.5, 1.5, 2.0]
    assert data.columns["subset"].tolist() == ["x", "", ""]
    assert data.metadata == {"score": "stars"}
    with pytest.raises(ValueError, match="no two responses to one prompt have different 'stars'"):
        from_records(rated[2:3]).compare_scores("stars")


def test_to_bank() -> None:
    rated = [
        Record(items_of("p", ["a", "bb"]), [Comparison(0, 1)], scores={"stars": [1.0, np.nan], "n": [1, 2]}),
        Record(items_of("q", ["c"]), scores={"stars": [5.0], "n": [3]}),
        Record(items_of("p", ["d"]), scores={"stars": [4.0], "n": [4]}),
    ]
    texts = from_records(rated)
    embeddings = np.arange(8, dtype=np.float32).reshape(4, 2)
    embedded = texts.with_embeddings(embeddings)
    for bank in (to_bank(texts, "stars", embeddings=embeddings), to_bank(embedded, "stars")):
        np.testing.assert_array_equal(bank.items, embeddings[[0, 1, 3, 2]])
        np.testing.assert_array_equal(bank.rewards, [[1, np.nan, 4], [5, np.nan, np.nan]])
        assert bank.prompt_ids.tolist() == [texts.groups[0], texts.groups[2]]
        assert bank.features["n"].tolist() == [1, 2, 4, 3]
    assert not to_bank(embedded).has_rewards
    with pytest.raises(ValueError, match="no score 'nope'; the items have length, n, stars"):
        to_bank(embedded, "nope")
    with pytest.raises(ValueError, match="one row for each of the 4 items; got 3 rows"):
        to_bank(texts, embeddings=embeddings[:3])
    with pytest.raises(ValueError, match="one row for each of the 4 items; got none"):
        to_bank(texts)
    with pytest.raises(ValueError, match="have embeddings; give no others"):
        to_bank(embedded, embeddings=embeddings)


def test_a_bank_of_saved_preferences(tmp_path: Any) -> None:
    records = [
        Record(items_of(p, [r]), scores={"stars": [float(k)]})
        for k, (p, r) in enumerate([("p", "a"), ("q", "b"), ("p", "c")])
    ]
    data = from_records([*records, pair("p", "a", "c")]).with_embeddings(np.eye(3, dtype=np.float32))
    data.save(tmp_path / "saved")
    bank = to_bank(rm.Preferences.open(tmp_path / "saved"), "stars")
    np.testing.assert_array_equal(bank.items, np.eye(3, dtype=np.float32)[[0, 2, 1]])
    np.testing.assert_array_equal(bank.item_rewards, [0, 2, 1])


def test_sound_texts_have_no_findings() -> None:
    texts = [pair(f"p{k}", f"yes {k}", f"no, {k}") for k in range(30)] + [
        pair(f"q{k}", f"no, {k}", f"yes {k}") for k in range(30)
    ]
    assert from_records(texts).health().empty


def test_every_finding_about_texts() -> None:
    records = [
        pair("p", "one", "two"),
        pair("p", "two", "one"),
        pair("p", "one", "two"),
        pair("p", "two", "one", tie=True),  # contradicts nothing
        pair(" p\n", "", "x\0"),
        pair("q", "a long response", "long"),
        *(pair(f"long {k}", f"a long response {k}", f"short {k}") for k in range(40)),
    ]
    assert checks(from_records(records)) == {
        "contradictions": 3,
        "repeated_comparisons": 2,
        "one_contains_the_other": 1,
        "length_decides": 41,
        "empty_responses": 1,
        "nul_characters": 1,
        "prompts_that_differ_in_spaces": 2,
    }


@pytest.mark.parametrize(
    "more",
    [
        "\n\nHuman: And then?",
        "\n\nHuman",  # cut at a limit of tokens
        "\nAssistant: Yes.",
        "\n User : Hi",
        "<|im_start|>user",
        "<|start_header_id|>user",
        " [INST] Hi [/INST]",
    ],
)
def test_replies_that_go_on_with_the_next_turn(more: str) -> None:
    texts = [
        "It is.",
        "A human: me.",
        "Human: this is how it begins.",
        "Two kinds.\n\nHuman beings.\n\nAssistant professors.",
    ]
    assert checks(from_records([Record(items_of("p", texts))])) == {}
    found = from_records([Record(items_of("p", [text + more for text in texts] + texts))])
    assert checks(found) == {"next_turn_in_response": 4}


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from(".!?\"')`}*\u3002\u2026"))
def test_replies_that_end_inside_a_sentence(seed: int, end: str) -> None:
    """Whole texts, and the same after their first words, as a generator that never stops leaves them."""
    rng = np.random.default_rng(seed)

    def text(n: int) -> str:
        return " ".join(" ".join(rng.choice(["light", "air", "the", "sky", "and"], 9)) + end for _ in range(n))

    whole = [text(5) + str(k) + end for k in range(30)]
    assert checks(from_records([Record(items_of("p", whole))])) == {}
    cut = [" ".join(each.split()[: 33 + k % 3]) for k, each in enumerate(whole)]
    assert checks(from_records([Record(items_of("p", sorted(set(cut))))])) == {"responses_cut_short": len(set(cut))}
    few = [*whole, *sorted(set(cut))[:9]]
    assert "responses_cut_short" not in checks(from_records([Record(items_of("p", few))]))
    short = [" ".join(each.split()[:12]) for each in whole]  # a short answer may lack its full stop
    assert checks(from_records([Record(items_of("p", sorted(set(short))))])) == {}


def test_suspicious_overall_scores() -> None:
    overall, honesty, truth = [10.0, 10.0, 2.0, 10.0], [1.0, 5.0, 1.0, np.nan], [3.0, 4.0, 1.0, np.nan]
    scores = {"overall_score": overall, "honesty": honesty, "truthfulness": truth}
    data = from_records([Record(items_of("p", ["aa", "bb", "cc", "dd"]), scores=scores)])
    assert checks(data) == {"suspicious_overall_scores": 1}


def test_transcripts() -> None:
    text = "Be kind.\n\nHuman: a\n\nb: c\n\nAssistant:  d \n\nHuman: e\n\nAssistant:"
    assert read_transcript(text) == (
        Message("system", "Be kind."),
        Message("user", "a\n\nb: c"),
        Message("assistant", " d "),
        Message("user", "e"),
        Message("assistant", ""),
    )
    with pytest.raises(Unreadable, match="must have turns"):
        read_transcript("Hello")


TURNS = st.lists(st.tuples(st.sampled_from(["Human", "Assistant"]), st.text("ab :\n", max_size=6)), min_size=1)


@given(TURNS)
def test_transcripts_give_their_text_back(turns: list[tuple[str, str]]) -> None:
    text = "".join(f"\n\n{name}: {content}" for name, content in turns)
    assert read_transcript(text) == tuple(
        Message({"Human": "user", "Assistant": "assistant"}[name], content) for name, content in turns
    )


def test_digests_take_any_text() -> None:
    assert digest("\ud800") != digest("\udfff")
    assert digest("é") == digest(json.loads('"\\u00e9"'))


def test_records_can_be_sent_to_other_processes() -> None:
    record = pair("p", "a", "b", margin=1.0)
    assert pickle.loads(pickle.dumps(record)) == record
