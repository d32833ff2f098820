"""Rows that are not the embeddings of their texts: faults that are planted with real models, and what finds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rmspace as rm
from rmspace._typing import FloatArray
from rmspace.text.records import TextItem, items_of
from text_models import save_model
from text_stubs import CountEncoder

pytest.importorskip("transformers", reason="pip install 'reward-space[text]'")

import torch

from rmspace.text import TransformersEncoder, check_embeddings
from rmspace.text.encoders._pooling import pad

WORDS = ["the", "sky", "is", "blue", "because", "of", "way", "that", "air", "scatters", "light"]
N = 6  # responses to a prompt


def texts(n_prompts: int = 20) -> list[TextItem]:
    """Every fourth prompt has more tokens than the model takes; the turns of a reply go on in every fifth."""
    rng = np.random.default_rng(0)

    def words(n: int) -> str:
        return " ".join(rng.choice(WORDS, n))

    prompts = [words(200 if k % 4 == 0 else 6) + f" {k}?" for k in range(n_prompts)]
    return [item for prompt in prompts for item in items_of(prompt, [words(3 + 4 * k) for k in range(N)])]


ITEMS = texts()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(tmp_path_factory.mktemp("llama"), pad="</s>", bos=True)


@pytest.fixture(scope="module")
def encoder(model: str) -> TransformersEncoder:
    return TransformersEncoder(model, pooling="last", template="plain")


def bank_of(embeddings: FloatArray) -> rm.ResponseBank:
    rewards = np.random.default_rng(1).normal(size=(len(embeddings) // N, N))
    return rm.ResponseBank(np.asarray(embeddings).reshape(len(rewards), N, -1).astype(np.float32), rewards)


def last_position(encoder: TransformersEncoder, items: list[TextItem]) -> FloatArray:
    """The state at the last of 128 positions, which is padding for every shorter text: the published pipeline."""
    tokens, whole = encoder.load()
    ids, mask = pad(tokens(items)[0] + [[0] * 128], 1, "right")
    with torch.inference_mode():
        states = whole(input_ids=ids[:-1], attention_mask=mask[:-1]).last_hidden_state
    return np.asarray(states[:, -1].numpy(), dtype=np.float32)


def cut_on_the_right(encoder: TransformersEncoder, items: list[TextItem]) -> FloatArray:
    """The first 128 tokens of each text: the default of tokenizers."""
    _, whole = encoder.load()
    texts = [f"{item.prompt[0].content}\n\n{item.response}" for item in items]
    rows = encoder._tokenizer(texts, truncation=True, max_length=128)["input_ids"]
    with torch.inference_mode():
        states = [whole(input_ids=torch.tensor([row])).last_hidden_state[0, -1].numpy() for row in rows]
    return np.asarray(states, dtype=np.float32)


def uncut(items: list[TextItem]) -> list[TextItem]:
    return [item._replace(response=f"{item.response}\n\nHuman: And then?") for item in items]


def shifted(encoder: TransformersEncoder, items: list[TextItem]) -> FloatArray:
    return np.roll(encoder.encode(items), 1, axis=0)


def found(data: Any, encoder: Any, **options: Any) -> pd.DataFrame:
    return check_embeddings(data, options.pop("items", ITEMS), encoder, **options).set_index("check")


def test_a_sound_bank_has_no_findings(encoder: TransformersEncoder) -> None:
    rows = encoder.encode(ITEMS)
    assert check_embeddings(bank_of(rows), ITEMS, encoder).empty
    assert check_embeddings(bank_of(rows.astype(np.float16)), ITEMS, encoder).empty
    noisy = rows * (1 + 1e-4 * np.random.default_rng(0).normal(size=rows.shape)).astype(np.float32)
    assert check_embeddings(bank_of(noisy), ITEMS, encoder, sample=500).empty
    assert bank_of(rows).health().empty


Fault = Callable[[TransformersEncoder, list[TextItem]], FloatArray]


def _other(**options: Any) -> Fault:
    return lambda encoder, items: encoder.with_model(encoder.model, **options).encode(items)


FAULTS: dict[str, tuple[Fault, range]] = {
    "the last position is padding": (last_position, range(90, 91)),  # of 120 rows; 30 texts leave no padding
    "the reply is not cut": (lambda encoder, items: encoder.encode(uncut(items)), range(110, 121)),
    "another template": (_other(template="hh"), range(80, 121)),
    "another pooling": (_other(pooling="mean"), range(110, 121)),
    "another layer": (_other(layer=1), range(110, 121)),
    "cut on the right": (cut_on_the_right, range(30, 31)),  # the texts that are cut at all
    "a smaller limit": (_other(max_length=64), range(25, 31)),
    "shifted by one": (shifted, range(110, 121)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(encoder: TransformersEncoder, fault: str) -> None:
    make, n_rows = FAULTS[fault]
    bank = bank_of(make(encoder, ITEMS))
    whole = found(bank, encoder, sample=len(ITEMS))
    assert whole.n_found["other_embeddings"] in n_rows
    assert ("rows_in_another_order" in whole.index) == (fault == "shifted by one")
    sampled = found(bank, encoder, sample=16)
    assert sampled.n_checked["other_embeddings"] == 16
    assert sampled.n_found["other_embeddings"] >= 4


def test_padding_cannot_be_seen_in_the_numbers_alone(encoder: TransformersEncoder) -> None:
    """States at padding differ from text to text, so `health` of the bank says nothing of them."""
    assert bank_of(last_position(encoder, ITEMS)).health().empty


def test_a_reply_that_was_cut_off_is_seen_in_the_numbers(encoder: TransformersEncoder) -> None:
    """Batches and precision change the last bits, so the rows of a prompt are not equal to the bit."""
    rows = cut_on_the_right(encoder, ITEMS)
    noise = 1 + 2e-7 * np.random.default_rng(0).choice([-1, 1], size=rows.shape)
    for changed in (rows * noise, (rows * noise).astype(np.float16)):
        table = bank_of(changed).health().set_index("check")
        assert table.n_found["reply_not_embedded"] == 5
        assert table.n_found["duplicated_rows"] == 5 * (N - 1)
    left = bank_of(encoder.encode(ITEMS)).health()
    assert left.empty


def test_where_a_row_is_instead(encoder: TransformersEncoder) -> None:
    table = found(bank_of(shifted(encoder, ITEMS)), encoder)
    assert table.n_found["rows_in_another_order"] == table.n_found["other_embeddings"]
    assert "that of row" in table.detail["rows_in_another_order"]
    swapped = encoder.encode(ITEMS)
    swapped[[3, 4]] = swapped[[4, 3]]
    table = found(bank_of(swapped), encoder, sample=len(ITEMS))
    assert table.n_found.tolist() == [2, 2]
    assert "that of row 3 is at row 4" in table.detail["rows_in_another_order"]


def test_the_detail_counts_texts_that_are_cut(encoder: TransformersEncoder) -> None:
    table = found(bank_of(cut_on_the_right(encoder, ITEMS)), encoder, sample=len(ITEMS))
    assert "the encoder cuts 30 of their texts, and 30 in all" in table.detail["other_embeddings"]


def test_preferences_and_some_rows_of_a_saved_bank(encoder: TransformersEncoder, tmp_path: Path) -> None:
    rows = encoder.encode(ITEMS)
    data = rm.Preferences(rows, [[0, 1]], np.arange(len(ITEMS)) // N)
    assert check_embeddings(data, ITEMS, encoder).empty
    bank_of(rows).save(tmp_path / "bank")
    opened = rm.ResponseBank.open(tmp_path / "bank")
    chosen = np.arange(0, len(ITEMS), 3)
    some = [ITEMS[k] for k in chosen]
    assert check_embeddings(opened, some, encoder, rows=chosen).empty
    table = found(opened[::-1], encoder, items=some, rows=chosen)
    assert table.n_found["rows_in_another_order"] == table.n_found["other_embeddings"] > 30
    function = rm.text.as_encoder(lambda texts: [[len(t), t.count("a")] for t in texts], name="counts")
    assert check_embeddings(bank_of(function.encode(ITEMS)), ITEMS, function).empty


def test_a_row_that_is_not_finite_is_found(encoder: TransformersEncoder) -> None:
    rows = encoder.encode(ITEMS)
    rows[7] = np.nan
    assert found(bank_of(rows), encoder, sample=len(ITEMS)).n_found.tolist() == [1]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"items": ITEMS[:3]}, ValueError, "items must have the text of each of the 120 rows, in their order; got 3"),
        (
            {"items": ITEMS[:3], "rows": [1, 2]},
            ValueError,
            r"the row of each of the 3 items; got int64 of shape \(2,\)",
        ),
        ({"items": ITEMS[:2], "rows": [0, 120]}, ValueError, r"rows must be in \[0, 120\), or -1; got 0 to 120"),
        ({"items": ITEMS[:2], "rows": [-1, -1]}, ValueError, "or -1; got -1 to -1"),
        ({"items": ITEMS[:2], "rows": [0.5, 1.0]}, ValueError, "rows must be integers"),
        ({"sample": 4}, ValueError, "sample must be at least 8; got 4"),
        ({"limit": 1.5}, ValueError, "limit must be"),
        ({"encoder": CountEncoder()}, ValueError, "rows of 16 numbers are not of this encoder, which gives 3"),
        ({"data": [1]}, TypeError, "data must be a ResponseBank or Preferences"),
        ({"encoder": "a model"}, TypeError, "an encoder must have describe and encode"),
    ],
)
def test_bad_input(encoder: TransformersEncoder, options: dict[str, Any], error: type[Exception], match: str) -> None:
    given: dict[str, Any] = {"data": bank_of(encoder.encode(ITEMS)), "items": ITEMS, "encoder": encoder}
    with pytest.raises(error, match=match):
        check_embeddings(**{**given, **options})
    one = rm.text.as_encoder(lambda texts: [[1.0] * 16 for _ in texts], name="one")
    with pytest.raises(ValueError, match="one embedding for all texts of the sample"):
        check_embeddings(**{**given, "encoder": one})
