"""Golds of sequence classification: the last token is read whatever the padding is, and the reply is never cut off."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rmspace as rm
from rmspace.cli.main import main
from rmspace.data.files import file_hash
from rmspace.text import ClassifierGold, FunctionGold, Message, TextItem
from rmspace.text.notes import Note
from rmspace.text.ratings import Ratings, check_ratings
from rmspace.text.records import items_of
from rmspace.text.sources_of_code import source_hash

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", reason="pip install 'reward-space[text]'")

import text_models  # noqa: E402

GROUPS = [
    items_of("Why is the sky blue?", ["Because of the way that air scatters light.", "It is.", ""]),
    items_of("2 + 2?", ["4", "The answer is four, because 2 + 2 = 4, as everybody knows."]),
]


def save_classifier(folder: Path, kind: str, labels: list[str], **options: Any) -> str:
    torch.manual_seed(0)
    tokenizer = text_models.word_tokenizer() if kind == "Bert" else text_models.bpe_tokenizer(**options)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(tokenizer),
        max_position_embeddings=64 if kind == "Bert" else 128,
        id2label=dict(enumerate(labels)),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **sizes,
    )
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn(weight.shape))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("pad", ["</s>", "<pad>", None])
@pytest.mark.parametrize("template", ["plain", "chat"])
def test_a_decoder_is_read_at_its_last_token(tmp_path: Path, pad: str | None, template: Any) -> None:
    """With padding that is the end of text, or with none, the head of transformers reads another token, or fails."""
    folder = save_classifier(
        tmp_path, "Llama", ["reward"], pad=pad, chat=text_models.CHATML.replace("<|im_end|>", "</s>")
    )
    gold = ClassifierGold(folder, template=template, batch_size=3)
    found = gold.rate(GROUPS).columns[""]
    own = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokens, _ = gold._loaded
    for row, value in zip(tokens([item for group in GROUPS for item in group])[0], found, strict=True):
        assert template == "plain" or row[-1] == gold._text_model.tokenizer.eos_token_id
        with torch.no_grad():
            state = own.model(torch.tensor([row])).last_hidden_state[0, -1]
            assert value == pytest.approx(float(own.score(state)), abs=1e-5)


def test_an_encoder_gives_many_attributes_by_name(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path, "Bert", ["helpful", "honest", "long"])
    every = ClassifierGold(folder, batch_size=2).rate(GROUPS).columns
    assert list(every) == ["helpful", "honest", "long"]
    chosen = ClassifierGold(folder, attributes=["long", "helpful"], batch_size=5).rate(GROUPS).columns
    assert list(chosen) == ["long", "helpful"]
    np.testing.assert_allclose(chosen["long"], every["long"], atol=1e-5)
    soft = ClassifierGold(folder, activation="softmax").rate(GROUPS).columns
    np.testing.assert_allclose(sum(soft.values()), 1.0)
    sigmoid = ClassifierGold(folder, activation="sigmoid").rate(GROUPS).columns
    np.testing.assert_allclose(sigmoid["honest"], 1 / (1 + np.exp(-every["honest"])), atol=1e-5)
    with pytest.raises(
        ValueError, match="attributes must be a list of outputs of the model, helpful, honest, long; got"
    ):
        ClassifierGold(folder, attributes=["kind"])


def test_a_long_prompt_does_not_cut_the_reply(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path, "Bert", ["reward"])
    long = "sky blue air light " * 40
    found = ClassifierGold(folder).rate([items_of(long, ["4", "human", "the way"])])
    assert len(set(found.columns[""].tolist())) == 3
    assert found.notes is not None
    assert found.notes.tolist() == [Note.PROMPT_CUT] * 3


def test_a_model_without_a_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="they would be random numbers"):
        ClassifierGold(text_models.save_model(tmp_path)).rate(GROUPS)


def test_functions_and_their_columns() -> None:
    gold = FunctionGold(lambda prompts, responses: {"a": [len(p) for p in prompts], "b": np.arange(5)}, name="f")
    found = gold.rate(GROUPS).columns
    assert found["a"].tolist() == [20, 20, 20, 6, 6]
    assert found["b"].dtype == np.float64
    turns = (Message("user", "Hi."), Message("assistant", "Hello."), Message("user", "Bye."))
    seen: list[str] = []

    def listen(prompts: list[str], responses: list[str]) -> list[float]:
        seen.extend(prompts)
        return [0.0]

    FunctionGold(listen).rate([[TextItem(turns, "r")]])
    assert seen == ["Hi.\n\nHello.\n\nBye."]
    with pytest.raises(TypeError, match="needs one, so that its rewards can be told apart"):
        FunctionGold(lambda prompts, responses: [0.0])
    with pytest.raises(TypeError, match=r"must return rmspace\.text\.Ratings"):
        check_ratings("mine", [0.0], 1)
    with pytest.raises(TypeError, match="got text"):
        check_ratings("mine", Ratings({"": np.array(["a"])}), 1)


def from_notebook(code: str) -> Any:
    """Return the function `gold` of a cell, which has no file."""
    names: dict[str, Any] = {}
    exec(code, names)
    return names["gold"]


CELL = """
import dataclasses, functools
WEIGHT, WORDS = 1.0, {"good", "fine"}

def count(text):
    return sum(word in WORDS for word in text.split())

class Base:
    bonus = 5

    @staticmethod
    def half(value):
        return value / 2

@dataclasses.dataclass
class Setting:
    factor: int

class Scorer(Base):
    def __init__(self, scale):
        self.scale = scale

    def __call__(self, prompts, responses):
        return [self.scale * count(text) + self.half(self.bonus) for text in responses]

def scaled(factor, prompts, responses):
    return [factor * len(text) for text in responses]

def settled(setting, prompts, responses):
    return [setting.factor * len(text) for text in responses]

def closed(factor):
    return lambda prompts, responses: [factor * len(text) for text in responses]

def plain(prompts, responses, power=2):
    return [WEIGHT * count(text) ** power for text in responses]
"""


@pytest.mark.parametrize(
    ("gold", "edits"),
    [
        (
            "plain",
            [("1.0", "1.5"), ("fine", "nice"), ("sum(", "len("), ("power=2", "power=3"), ("WEIGHT *", "WEIGHT +")],
        ),
        (
            "Scorer(2.0)",
            [("Scorer(2.0)", "Scorer(3.0)"), ("self.scale *", "self.scale +"), ("in WORDS", "not in WORDS")],
        ),
        ("Scorer(2.0)", [("bonus = 5", "bonus = 6"), ("value / 2", "value / 3")]),
        ("Scorer(2.0).__call__", [("Scorer(2.0)", "Scorer(3.0)"), ("self.scale *", "self.scale +"), ("= 5", "= 6")]),
        ("functools.partial(settled, Setting(2))", [("Setting(2)", "Setting(3)"), ("setting.factor *", "3 *")]),
        ("functools.partial(scaled, 2)", [("scaled, 2", "scaled, 3"), ("factor * len", "factor + len")]),
        ("closed(2)", [("closed(2)", "closed(3)"), ("factor * len", "factor + len")]),
    ],
)
def test_an_edited_function_of_a_notebook_is_another_gold(gold: str, edits: list[tuple[str, str]]) -> None:
    cell = f"{CELL}\ngold = {gold}\n"

    def describe(code: str) -> dict[str, Any]:
        return FunctionGold(from_notebook(code), name="mine").describe()

    assert describe(cell) == describe(cell) == describe(f"# moved\n\n{cell}")
    for before, after in edits:
        assert before in cell
        assert describe(cell.replace(before, after)) != describe(cell)


def test_what_is_bound_to_a_function_of_a_file_counts() -> None:
    def with_bound(factor: float, unused: object = None) -> FunctionGold:
        return FunctionGold(lambda prompts, responses: [factor for _ in responses or (unused,)], name="mine")

    assert with_bound(1.0, object()).describe() == with_bound(1.0, object()).describe()
    assert with_bound(1.0).describe() != with_bound(2.0).describe()
    assert with_bound(np.ones(2)).describe() != with_bound(np.zeros(2)).describe()  # type: ignore[arg-type]
    assert source_hash(test_functions_and_their_columns) == file_hash(__file__)


def test_the_shipped_config_with_small_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole way of configs/text/endtoend.yaml with random models, to a Best-of-N curve and a report."""
    prompts, out = tmp_path / "prompts.csv", tmp_path / "out"
    prompts.write_text("prompt\n" + "".join(f"What is {k} + {k}?\n" for k in range(20)), encoding="utf-8")
    model = text_models.save_causal(tmp_path / "model", pad="</s>", chat=text_models.CHATML)
    rater = save_classifier(tmp_path / "rater", "Bert", ["reward"])
    words = [
        *(f"path={prompts}", "limit=12", "test_size=4", "n=4"),
        *(f"generator.model={model}", "generator.max_new_tokens=12", "generator.max_prompt=100"),
        *(f"encoder.model={model}", "encoder.pooling=last", "encoder.max_length=120"),
        f"golds.rater={{use: ClassifierGold, model: {rater}}}",
    ]
    configs = Path(__file__).parents[1] / "configs" / "text"
    assert main(["build", str(configs / "endtoend.yaml"), *words, "--out", str(out)]) == 0, capsys.readouterr().err
    train, test = rm.open_banks(str(out / "train"), str(out / "test"))
    assert (train.n_prompts, train.n_responses, test.n_prompts, test.n_responses) == (8, 4, 4, 4)
    assert sorted(train.features) == ["length", "overlap", "rater"]
    assert "error" not in {*train.health().severity, *test.health().severity}
    small = ["n_pairs=20", "n=[1,2,4]"]
    data = [f"data.train={out / 'train'}", f"data.test={out / 'test'}", *small]
    assert main(["run", str(configs / "endtoend_models.yaml"), *data, "--out", str(tmp_path / "run")]) == 0
    table = pd.read_csv(tmp_path / "run" / "results.csv")
    curve = table[(table.metric == "best_of_n") & ~table.model.str.contains("length")]
    assert {"BT-linear", "BT-MLP", "CLF-MLP"} <= set(curve.model)
    assert set(curve.n) == {1, 2, 4}
    assert curve.value.notna().all()
    assert list((tmp_path / "run").glob("*.png"))
    study = [str(configs / "endtoend_study.yaml"), *(f"base.{word}" for word in data), "grid.seed=[0]"]
    assert main(["study", *study, "--out", str(tmp_path / "study")]) == 0, capsys.readouterr().err
    assert main(["report", str(tmp_path / "study"), "-o", str(tmp_path / "report.html")]) == 0
    assert "CLF-MLP" in (tmp_path / "report.html").read_text(encoding="utf-8")
