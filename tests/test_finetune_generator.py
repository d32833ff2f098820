"""Fine-tuning on demonstrations: the loss is that of the reply, its end is taught, and nothing is left out unsaid."""

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmspace as rm
from rmspace.cli.main import main
from rmspace.text.records import Comparison, Message, Record, TextItem, items_of

pytest.importorskip("trl", reason="pip install 'reward-space[finetune]'")
pytest.importorskip("peft", reason="pip install 'reward-space[finetune]'")

import torch

from rmspace.text import FineTuning, FunctionGenerator, TransformersGenerator, demonstrations_of, finetune_generator
from rmspace.text.finetune import demonstrations
from rmspace.text.finetune._training import quiet
from text_models import CHATML, change_json, save_causal, save_model

LORA = FineTuning(rank=8, alpha=16, learning_rate=1e-2, epochs=20, batch_size=2)
WHOLE = FineTuning(rank=None, learning_rate=1e-2, epochs=40, batch_size=2)
ITEMS = [items_of(f"{k} + 1?", [f"It is {k + 1}."])[0] for k in range(6)]
LONG = "light " * 200


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> TransformersGenerator:
    """A model whose padding is its end of text, as after the paper's fine-tuning."""
    folder = save_causal(tmp_path_factory.mktemp("causal"), pad="</s>", chat=CHATML)
    return TransformersGenerator(folder, max_new_tokens=12, temperature=0.0)


@pytest.fixture(scope="module")
def tuned(base: TransformersGenerator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tuned") / "out"
    finetune_generator([*ITEMS, TextItem(ITEMS[0].prompt, LONG)], base, LORA, out=out)
    return out


@pytest.fixture(scope="module")
def whole(base: TransformersGenerator, tmp_path_factory: pytest.TempPathFactory) -> TransformersGenerator:
    return finetune_generator(ITEMS, base, WHOLE, out=tmp_path_factory.mktemp("whole") / "out")


def loss_of(folder: Any, items: list[TextItem]) -> float:
    """The mean loss of the replies, with the end of each, by hand."""
    own = TransformersGenerator(folder, max_new_tokens=12)
    losses = []
    for item in items:
        prompt = own.prompt_tokens(item.prompt)
        whole = own.text_model.tokenizer(own.text_model.template(item).text, add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            logits = own.text_model.weights(torch.tensor([whole])).logits[0]
        found = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(whole[1:]), reduction="none")
        losses += found[len(prompt) - 1 :].tolist()
    return float(np.mean(losses))


# The loss


def test_the_tokens_are_those_of_the_prompt_and_then_of_the_reply(base: TransformersGenerator) -> None:
    (example,), _ = demonstrations.examples_of(ITEMS[:1], base, None)
    assert example.ids[: example.n_prompt] == base.prompt_tokens(ITEMS[0].prompt)
    said = base.text_model.tokenizer.decode(example.ids[example.n_prompt :])
    assert said == "It is 1.<|im_end|>"


@pytest.mark.parametrize("template", ["plain", "hh"])
def test_a_reply_ends_with_the_end_of_text(base: TransformersGenerator, template: Any) -> None:
    own = TransformersGenerator(base.text_model.model, template=template, max_new_tokens=12)
    (example,), _ = demonstrations.examples_of(ITEMS[:1], own, None)
    assert own.text_model.tokenizer.decode(example.ids[example.n_prompt :]).strip() == "It is 1.</s>"
    assert own.text_model.tokenizer.decode(example.ids) == own.text_model.template(ITEMS[0]).text + "</s>"


def test_only_the_reply_and_its_end_are_learned(
    base: TransformersGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The labels of a batch, as TRL makes them: -100 where nothing is learned."""
    trl: Any = importlib.import_module("trl")
    batches: list[Any] = []
    whole = trl.SFTTrainer.compute_loss

    def watched(self: Any, model: Any, inputs: Any, *args: Any, **options: Any) -> Any:
        batches.append({name: value.clone() for name, value in inputs.items() if hasattr(value, "clone")})
        return whole(self, model, inputs, *args, **options)

    monkeypatch.setattr(trl.SFTTrainer, "compute_loss", watched)
    short = TextItem(ITEMS[0].prompt, "4")
    settings = FineTuning(rank=None, epochs=1, batch_size=2, learning_rate=1e-5)
    finetune_generator([ITEMS[0], short], base, settings, out=tmp_path / "out")
    examples, _ = demonstrations.examples_of([ITEMS[0], short], base, None)
    (batch,) = batches
    end = base.text_model.tokenizer.convert_tokens_to_ids("<|im_end|>")
    width = max(len(one.ids) for one in examples)
    expected = {
        (*([-100] * one.n_prompt), *one.ids[one.n_prompt :], *([-100] * (width - len(one.ids)))) for one in examples
    }
    assert {tuple(row) for row in batch["labels"].tolist()} == expected
    assert all(end in row for row in batch["labels"].tolist())
    eos = base.text_model.tokenizer.eos_token_id
    filled = batch["input_ids"][batch["attention_mask"] == 0]
    assert len(filled) and eos not in filled.tolist()
    record = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert record["losses"][0]["loss"] == pytest.approx(loss_of(base.text_model.model, [ITEMS[0], short]), rel=1e-3)


@pytest.mark.parametrize("pad", [None, "</s>", "<pad>"])
def test_the_filling_token_is_not_the_end_of_text(tmp_path: Path, pad: str | None) -> None:
    tokenizer = TransformersGenerator(save_causal(tmp_path, pad=pad), max_new_tokens=4).text_model.tokenizer
    assert demonstrations.filling_token(tokenizer) != tokenizer.eos_token


# The result


def test_it_says_the_demonstrations_and_where_they_end(whole: TransformersGenerator) -> None:
    made = whole.generate([item.prompt for item in ITEMS], [0] * len(ITEMS))
    assert [reply.text for reply in made] == [item.response for item in ITEMS]
    assert {reply.finish for reply in made} == {"stop"}


def test_adapters_learn_too(base: TransformersGenerator, tuned: Path) -> None:
    assert loss_of(tuned / "model", ITEMS) < 0.8 * loss_of(base.text_model.model, ITEMS)


def test_the_base_settings_and_the_tokenizer_stay(base: TransformersGenerator, tuned: Path) -> None:
    before, after = (
        json.loads((folder / "config.json").read_text()) for folder in (base.text_model.folder, tuned / "model")
    )
    assert {**after, "transformers_version": None} == {**before, "transformers_version": None}
    own = (tuned / "model" / "tokenizer.json").read_bytes()
    assert own == (base.text_model.folder / "tokenizer.json").read_bytes()
    assert base.describe()["tokenizer"] == base.with_model(tuned / "model").describe()["tokenizer"]


def test_long_demonstrations_are_listed(tuned: Path) -> None:
    (line,) = [json.loads(text) for text in (tuned / "left_out.jsonl").read_text().splitlines()]
    assert line["reason"].startswith("it is over 128 tokens: ") and line["response"] == LONG
    counts = json.loads((tuned / "manifest.json").read_text())["counts"]
    assert counts == {"demonstrations": 7, "trained": 6, "left_out": 1}


def test_nothing_left_is_one_clear_error(base: TransformersGenerator, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no demonstration is left of 2: it is over 4 tokens: \d+; give others"):
        finetune_generator(ITEMS[:2], base, LORA, out=tmp_path / "out", max_length=4)
    with pytest.raises(ValueError, match="no demonstration is left of 1: the reply is empty"):
        finetune_generator([TextItem(ITEMS[0].prompt, " ")], base, LORA, out=tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_winners_are_the_demonstrations_and_each_text_comes_once() -> None:
    four, five = items_of("2 + 2?", ["4", "5"])
    alone = Record(items_of("Hi.", ["Hello.", "Hi."]))
    judged = Record((four, five), [Comparison(0, 1), Comparison(0, 1)])
    assert demonstrations_of([judged, judged, alone]) == [four, *alone.items]
    assert demonstrations_of([Record((four, five), [Comparison(1, 0, {"tie": True})])]) == [four, five]


# Adapters


def test_merged_adapters_are_the_tuned_model(base: TransformersGenerator, tuned: Path, tmp_path: Path) -> None:
    merged = rm.text.merge_adapter(tuned / "adapter", base.text_model.folder, tmp_path / "merged")
    assert loss_of(merged, ITEMS) == pytest.approx(loss_of(tuned / "model", ITEMS), abs=1e-4)


def test_adapters_for_another_base_are_refused(tuned: Path, tmp_path: Path) -> None:
    other = save_causal(tmp_path / "other", pad="<pad>", chat=CHATML)
    (tmp_path / "other" / "note.txt").write_text("another model of the same shape")
    model = TransformersGenerator(other, max_new_tokens=4).text_model.weights
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    model.save_pretrained(other)
    with pytest.raises(ValueError, match=r"were trained for .* and not for .*weights.model.safetensors"):
        rm.text.merge_adapter(tuned / "adapter", other, tmp_path / "merged")
    (tuned / "adapter" / "base.json").rename(tmp_path / "base.json")
    try:
        wide = save_model(tmp_path / "wide", "gpt2")
        with pytest.raises(ValueError, match="were trained for"):
            rm.text.merge_adapter(tuned / "adapter", wide, tmp_path / "merged")
    finally:
        (tmp_path / "base.json").rename(tuned / "adapter" / "base.json")
    with pytest.raises(ValueError, match=r"is an adapter for .*merge_adapter"):
        TransformersGenerator(tuned / "adapter")
    assert not (tmp_path / "merged").exists()


def foreign_adapter(base: TransformersGenerator, folder: Path, stated: str | None) -> Path:
    """Adapters as peft alone writes them: they state a name, and no hashes."""
    peft: Any = importlib.import_module("peft")
    model = base.with_model(base.text_model.model).text_model.weights
    with quiet():
        made = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
        made.save_pretrained(folder)
    change_json(folder / "adapter_config.json", base_model_name_or_path=stated)
    return folder


@pytest.mark.parametrize(
    ("stated", "given", "error"),
    [
        ("owner/base-1B", None, None),  # the name of its folder
        ("owner/base-1B", "owner/base-1B", None),
        ("owner/base-1B-Instruct", None, r"were trained for 'owner/base-1B-Instruct' and not for .*trained_for='owner"),
        ("owner/base-1B-Instruct", "owner/base-1B-Instruct", None),  # the same model under another name
        ("owner/base-1B-Instruct", "owner/base-1B", "must be the name that they state, 'owner/base-1B-Instruct'; got"),
        (None, None, "they state no model"),
        (None, "owner/base-1B", None),
    ],
)
def test_adapters_of_others_name_their_base(
    base: TransformersGenerator, tmp_path: Path, stated: str | None, given: str | None, error: str | None
) -> None:
    """All of these fit in names and shapes, because the model is the same."""
    own = tmp_path / "base-1B"
    shutil.copytree(base.text_model.folder, own)
    adapter = foreign_adapter(base, tmp_path / "adapter", stated)
    if error is None:
        merged = rm.text.merge_adapter(adapter, own, tmp_path / "merged", trained_for=given)
        assert loss_of(merged, ITEMS[:1]) != pytest.approx(loss_of(own, ITEMS[:1]), abs=1e-6)
    else:
        with pytest.raises(ValueError, match=error) as caught:
            rm.text.merge_adapter(adapter, own, tmp_path / "merged", trained_for=given)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "merged").exists()


def test_a_folder_of_the_same_name_elsewhere_is_not_the_base(base: TransformersGenerator, tmp_path: Path) -> None:
    for place in ("here", "there"):
        shutil.copytree(base.text_model.folder, tmp_path / place / "model")
    adapter = foreign_adapter(base, tmp_path / "adapter", str(tmp_path / "there" / "model"))
    with pytest.raises(ValueError, match=r"were trained for .*there"):
        rm.text.merge_adapter(adapter, tmp_path / "here" / "model", tmp_path / "merged")
    shutil.rmtree(tmp_path / "there")  # it was moved
    rm.text.merge_adapter(adapter, tmp_path / "here" / "model", tmp_path / "merged")


def test_a_name_does_not_take_the_place_of_hashes(base: TransformersGenerator, tuned: Path, tmp_path: Path) -> None:
    other = save_causal(tmp_path / "other", pad="<pad>", chat=CHATML)
    model = TransformersGenerator(other, max_new_tokens=4).text_model.weights
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    model.save_pretrained(other)
    stated = json.loads((tuned / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"]
    with pytest.raises(ValueError, match=r"weights.model.safetensors"):
        rm.text.merge_adapter(tuned / "adapter", other, tmp_path / "merged", trained_for=stated)


# The command, and the step of a build


def rows(path: Path, prompts: list[str]) -> Path:
    lines = [json.dumps({"prompt": prompt, "chosen": "It is so.", "rejected": "No."}) for prompt in prompts]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_command_trains_a_generator_and_an_encoder(
    base: TransformersGenerator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = Path(__file__).parents[1] / "configs" / "text"
    data = rows(tmp_path / "rows.jsonl", [f"{k}?" for k in range(6)])
    quick = "settings={rank: 4, epochs: 0.5, learning_rate: 0.001}"
    given = [f"path={data}", f"generator.model={base.text_model.folder}", quick, "max_length=100"]
    options = ["generator.max_new_tokens=8"]
    assert main(["finetune", str(configs / "sft.yaml"), *given, *options, "--out", str(tmp_path / "sft")]) == 0
    assert "left_out.jsonl" in capsys.readouterr().out
    encoder = save_model(tmp_path / "bert", "bert")
    given = [f"path={data}", f"encoder.model={encoder}", quick]
    assert main(["finetune", str(configs / "finetuned_reward.yaml"), *given, "--out", str(tmp_path / "tuned")]) == 0
    assert main(["score", str(tmp_path / "tuned" / "reward"), str(data), "--out", str(tmp_path / "scored.jsonl")]) == 0


def test_a_build_tunes_its_generator_once(base: TransformersGenerator, tmp_path: Path) -> None:
    base = TransformersGenerator(base.text_model.model, max_new_tokens=12)
    data = rows(tmp_path / "rows.jsonl", [f"{k} + 1?" for k in range(6)])
    golds = {"size": rm.text.FunctionGold(lambda prompts, texts: [len(text) for text in texts], name="size")}
    encoder = rm.text.FunctionEncoder(lambda texts: [[len(text), 1.0] for text in texts], name="length")
    sft = {"rank": None, "learning_rate": 0.01, "epochs": 20, "batch_size": 2}
    plain = rm.text.Recipe(data, base, golds, encoder, n=2, test_size=2)
    recipe = rm.text.Recipe(data, base, golds, encoder, n=2, test_size=2, demonstrations=data, sft=sft)
    said: list[str] = []
    train, _ = rm.text.build_banks(recipe, tmp_path / "built", say=said.append, progress=False)
    assert said[0].startswith("sft: 6 demonstrations; 0 left out")
    tuned = next((tmp_path / "built" / "steps").glob("sft-*"))
    trained = (tuned / "model" / "model.safetensors").stat().st_mtime_ns
    again, _ = rm.text.build_banks(recipe, tmp_path / "built", say=said.append, progress=False)
    assert (tuned / "model" / "model.safetensors").stat().st_mtime_ns == trained
    np.testing.assert_array_equal(again.rewards, train.rewards)
    other, _ = rm.text.build_banks(plain, tmp_path / "plain", progress=False)
    cost = rm.text.estimate_build(recipe, sample=4).set_index("step").loc["sft"]
    size = sum(file.stat().st_size for file in tuned.rglob("*") if file.is_file())
    assert cost.rows == 6
    assert size / 1.5 < cost.bytes < 1.5 * size
    assert cost.seconds > 0
    names = [bank.metadata["generator"]["weights"]["model.safetensors"] for bank in (train, other)]
    assert names[0] != names[1]
    lines = (next((tmp_path / "built" / "steps").glob("generate-*")) / "responses.jsonl").read_text().splitlines()
    assert any("It is so." in text for line in lines for text in json.loads(line)["responses"])


def test_sft_needs_demonstrations_and_a_model_here(base: TransformersGenerator, tmp_path: Path) -> None:
    data = rows(tmp_path / "rows.jsonl", ["1?", "2?"])
    golds = {"size": rm.text.FunctionGold(lambda prompts, texts: [len(text) for text in texts], name="size")}
    encoder = rm.text.FunctionEncoder(lambda texts: [[len(text)] for text in texts], name="length")
    with pytest.raises(ValueError, match="sft needs demonstrations"):
        rm.text.build_banks(rm.text.Recipe(data, base, golds, encoder, n=2, sft={}), tmp_path / "built")
    function = FunctionGenerator(lambda prompts, seeds: ["a" for _ in seeds], name="a")
    with pytest.raises(TypeError, match="fine-tuning needs a TransformersGenerator"):
        rm.text.build_banks(
            rm.text.Recipe(data, function, golds, encoder, n=2, demonstrations=data), tmp_path / "built"
        )


def test_a_prompt_with_turns_is_kept(base: TransformersGenerator) -> None:
    turns = (Message("user", "Hi."), Message("assistant", "Hello."), Message("user", "2 + 2?"))
    (example,), _ = demonstrations.examples_of([TextItem(turns, "4")], base, None)
    assert "Hello." in base.text_model.tokenizer.decode(example.ids[: example.n_prompt])
