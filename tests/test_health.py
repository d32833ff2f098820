from typing import Any

import numpy as np
import pandas as pd
import pytest

import rmspace as rm
from conftest import Banks, make_bank
from rmspace._typing import FloatArray


def found(bank: rm.ResponseBank) -> pd.DataFrame:
    return bank.health().set_index("check")


def prompt_bank(
    n_prompts: int = 40, n_responses: int = 8, dim: int = 16, seed: int = 0
) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    prompts = rng.normal(size=(n_prompts, 1, dim))
    embeddings = prompts + 0.5 * rng.normal(size=(n_prompts, n_responses, dim))
    return embeddings.astype(np.float32), rng.normal(size=(n_prompts, n_responses))


def test_a_sound_bank_has_no_findings(banks: Banks) -> None:
    assert found(rm.ResponseBank(*prompt_bank())).empty
    assert found(banks[0]).empty


def test_every_finding() -> None:
    embeddings, rewards = prompt_bank()
    embeddings[0, 0, 0] = np.nan
    embeddings[1, :2] = 3.0
    embeddings[2, 1] = embeddings[5, 1]
    embeddings[3, 0, 0] = 1e5
    embeddings[:, :, 7] = 2.0
    rewards[4] = [0, 0, 0, 1, 1, 1, 1, 1]
    table = found(rm.ResponseBank(embeddings, rewards))
    assert table.loc["non_finite_embeddings", ["severity", "n_found", "n_checked"]].to_numpy().tolist() == [
        "error",
        1,
        320,
    ]
    assert table.n_found["duplicated_rows"] == 2
    assert "1 of them inside one prompt" in table.detail["duplicated_rows"]
    assert table.n_found["constant_dimensions"] == 1
    assert "float16_overflow" in table.index
    assert table.n_found["few_distinct_rewards"] == 1
    assert table.n_found["tied_rewards"] == 3 + 10
    rewards[0, 0] = np.inf
    assert found(rm.ResponseBank(embeddings, rewards)).severity["infinite_rewards"] == "error"


def test_padding_rows_are_constant() -> None:
    embeddings, rewards = prompt_bank()
    embeddings[1, :2] = 3.0
    assert found(rm.ResponseBank(embeddings, rewards)).n_found["constant_rows"] == 2


def test_only_ten_rewards_scored_again_and_again() -> None:
    embeddings, _ = prompt_bank(20, 50)
    rewards = np.tile(np.random.default_rng(0).normal(size=(20, 10)), (1, 5))
    table = found(rm.ResponseBank(embeddings, rewards))
    assert table.n_found["few_distinct_rewards"] == 20
    assert "fewest: 10" in table.detail["few_distinct_rewards"]


@pytest.mark.parametrize("sign", [1, -1])
def test_sorted_rewards(sign: int) -> None:
    embeddings, rewards = prompt_bank()
    assert found(rm.ResponseBank(embeddings, sign * np.sort(rewards, axis=1))).n_found["sorted_by_reward"] == 40


def test_swapped_layout() -> None:
    embeddings, rewards = prompt_bank()
    swapped = rm.ResponseBank(np.ascontiguousarray(embeddings.swapaxes(0, 1)), rewards.T.copy())
    assert "layout_looks_swapped" in found(swapped).index
    assert found(make_bank(30, 10)).empty  # no structure at all tells nothing


def test_the_real_bank(alpacaeval: Banks) -> None:
    table = found(alpacaeval[0])
    assert set(table.index) <= {
        "duplicated_rows",
        "constant_dimensions",
        "empty_responses",
        "few_distinct_rewards",
        "tied_rewards",
    }
    assert table.n_found["tied_rewards"] > 0


def test_replies_that_are_not_in_the_embedding() -> None:
    """A text that is cut at its end loses the reply where the prompt is long."""
    embeddings, rewards = prompt_bank()
    embeddings[:3] = embeddings[:3, :1]
    rewards[2] = 1.0  # equal rewards are no sign of it
    assert found(rm.ResponseBank(embeddings, rewards)).n_found["reply_not_embedded"] == 2
    assert "reply_not_embedded" not in found(rm.ResponseBank(embeddings)).index


def test_empty_responses() -> None:
    embeddings, rewards = prompt_bank()
    lengths = np.full(rewards.shape, 9)
    lengths[0, :3] = 0
    assert found(rm.ResponseBank(embeddings, rewards, features={"length": lengths})).n_found["empty_responses"] == 3


def test_rows_that_are_equal_except_for_rounding_are_duplicates() -> None:
    embeddings, rewards = prompt_bank()
    embeddings[1, 1:4] = embeddings[1, :1]
    noise = 1 + 2e-7 * np.random.default_rng(0).choice([-1, 1], size=embeddings.shape)
    near = (embeddings * noise).astype(np.float32)
    for rows in (near, near.astype(np.float16)):
        table = found(rm.ResponseBank(rows, rewards))
        assert table.n_found["duplicated_rows"] == 3
        assert "3 of them inside one prompt" in table.detail["duplicated_rows"]
    ragged = rm.ResponseBank(near.reshape(-1, 16), offsets=np.arange(0, 321, 2))
    assert found(ragged).n_found["duplicated_rows"] == 2  # the four are now of two prompts


@pytest.mark.parametrize("dim", [1, 2, 16])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_rows_of_another_length_or_direction_are_no_duplicates(dim: int, scale: float) -> None:
    """Rows of a prompt differ by 1e-3 of their length or more, except one exact copy and one near copy."""
    embeddings = np.ones((20, 30, dim)) * (1 + 1e-3 * np.arange(30))[:, None]
    embeddings[:, :, 0] *= 1 + np.arange(20)[:, None]
    assert "duplicated_rows" not in found(rm.ResponseBank((scale * embeddings).astype(np.float32))).index
    embeddings[3, 4], embeddings[3, 9] = embeddings[3, 20], embeddings[3, 21] * (1 + 2e-7)
    assert found(rm.ResponseBank((scale * embeddings).astype(np.float32))).n_found["duplicated_rows"] == 2


def test_repeats_against_brute_force(rng: np.random.Generator) -> None:
    """Copies with rounding noise in many prompts of different sizes: each distance within a prompt is computed."""
    counts = rng.integers(1, 12, 40)
    rows = rng.normal(size=(counts.sum(), 6))
    prompts = np.repeat(np.arange(40), counts)
    for k in np.flatnonzero(rng.random(len(rows)) < 0.3):
        rows[k] = rows[rng.choice(np.flatnonzero(prompts == prompts[k]))] * (1 + 1e-7 * rng.normal(size=6))
    items = rows.astype(np.float32)
    expected = 0
    for prompt in range(40):
        own = items[prompts == prompt].astype(np.float64)
        near = np.linalg.norm(own[:, None] - own, axis=2) < 1e-5 * np.linalg.norm(own, axis=1)
        expected += int(np.tril(near, -1).any(axis=1).sum())
    table = found(rm.ResponseBank(items, offsets=np.concatenate([[0], np.cumsum(counts)])))
    assert expected > 20
    assert table.n_found["duplicated_rows"] == expected


def test_short_answers_that_are_the_same_are_no_cut_replies() -> None:
    """Half of the responses have one text, and a judge gave them different rewards."""
    embeddings, rewards = prompt_bank()
    embeddings[:, :4] = embeddings[:, :1]
    table = found(rm.ResponseBank(embeddings, rewards))
    assert table.n_found["duplicated_rows"] == 3 * 40
    assert "reply_not_embedded" not in table.index
    embeddings[3, 4:] = embeddings[3, 5]
    assert found(rm.ResponseBank(embeddings, rewards)).n_found["reply_not_embedded"] == 1
    rewards[3, 2:] = np.nan  # two rated responses, and one embedding
    assert found(rm.ResponseBank(embeddings, rewards)).n_found["reply_not_embedded"] == 1


BUILD: dict[str, Any] = {"prompts": 30, "responses": 240, "prompt_cut": 3, "reply_cut": 0}
GOLD = {"golds": {"rm": {"max_length": 512, "max_prompt": None}}, "encoder": {"max_length": 256, "max_prompt": None}}


@pytest.mark.parametrize(
    ("metadata", "check", "expected"),
    [
        ({"build": {**BUILD, "left_out_prompts": 2}}, "left_out_prompts", ["note", 2, 32]),
        (
            {"left_out": {"prompts": {"Why?": ["lazy"]}, "models": {}}, "prompts": ["a", "b", "c"]},
            "left_out_prompts",
            ["note", 1, 4],
        ),
        ({"build": {**BUILD, "finish": {"stop": 180, "length": 60}}}, "unfinished_responses", ["note", 60, 240]),
        ({"build": {**BUILD, "finish": {"stop": 40, "length": 200}}}, "unfinished_responses", ["warning", 200, 240]),
        (GOLD, "different_limits", ["note", 1, 1]),
        (
            {**GOLD, "build": {**BUILD, "gold_cuts": {"rm": {"prompt_cut": 1, "reply_cut": 0}}}},
            "texts_cut_differently",
            ["warning", 2, 240],
        ),
    ],
)
def test_what_the_metadata_records(metadata: dict[str, Any], check: str, expected: list[Any]) -> None:
    table = found(rm.ResponseBank(*prompt_bank(), metadata=metadata))
    assert table.index.tolist() == [check]
    assert table.loc[check, ["severity", "n_found", "n_checked"]].to_numpy().tolist() == expected


@pytest.mark.parametrize(
    "metadata",
    [
        {"build": {**BUILD, "left_out_prompts": 0, "finish": {"stop": 240}}},
        {**GOLD, "encoder": {"max_length": 512, "max_prompt": None}},
        {**GOLD, "build": {**BUILD, "gold_cuts": {"rm": {"prompt_cut": 3, "reply_cut": 0}}}},
        {"golds": {"words": {"name": "words"}}, "encoder": {"max_length": 256}},
        {"build": [1], "left_out": 3, "golds": "none", "encoder": None},
        {"build": {"left_out_prompts": "many", "finish": [], "gold_cuts": {"rm": 3}, "prompt_cut": None}},
    ],
)
def test_metadata_that_says_nothing(metadata: dict[str, Any]) -> None:
    assert found(rm.ResponseBank(*prompt_bank(), metadata=metadata)).empty
