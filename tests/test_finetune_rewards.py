"""A fine-tuned reward model: the same comparisons as a frozen one, and a result that scores as its folder does."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmspace as rm
from rmspace.text.records import Comparison, Record, items_of

pytest.importorskip("trl", reason="pip install 'reward-space[finetune]'")
pytest.importorskip("peft", reason="pip install 'reward-space[finetune]'")

import torch

from rmspace.text.encoders import TransformersEncoder
from rmspace.text.finetune.settings import FineTuning
from text_models import save_model

WHOLE = FineTuning(rank=None, learning_rate=3e-3, epochs=8, batch_size=4)
LONG = " ".join(["scatters light in the air"] * 30)


def judged(n: int = 12, *, columns: Any = None, prompt: str = "Why {}?") -> rm.text.TextPreferences:
    """Comparisons in which the reply about light wins."""
    records = [
        Record(items_of(prompt.format(k), [f"The light {k}.", f"system {k} human"]), [Comparison(0, 1, columns or {})])
        for k in range(n)
    ]
    return rm.text.TextPreferences.from_records(records)


def share_right(reward: rm.text.TextReward, data: rm.text.TextPreferences) -> float:
    scores, _ = reward.score_items(data.items)
    return float((scores[data.comparisons[:, 0]] > scores[data.comparisons[:, 1]]).mean())


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> TransformersEncoder:
    return TransformersEncoder(save_model(tmp_path_factory.mktemp("bert"), "bert"), template="plain")


@pytest.fixture(scope="module")
def tuned(bert: TransformersEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tuned") / "out"
    rm.text.finetune_reward(judged(), bert, WHOLE, out=out)
    return out


# What is learned


@pytest.mark.parametrize("kind", ["llama", "roberta"])
@pytest.mark.parametrize("rank", [None, 4])
def test_it_learns_which_reply_wins(tmp_path: Path, kind: str, rank: int | None) -> None:
    encoder = TransformersEncoder(save_model(tmp_path / "model", kind), template="plain", pooling="last")
    settings = FineTuning(rank=rank, learning_rate=1e-2, epochs=10, batch_size=4, warmup=0.1, schedule="cosine")
    reward = rm.text.finetune_reward(judged(), encoder, settings, out=tmp_path / "out")
    assert share_right(reward, judged()) == 1
    record = json.loads((tmp_path / "out" / "finetune.json").read_text())
    assert record["losses"][-1]["loss"] < record["losses"][0]["loss"]
    assert record["counts"] == {"comparisons": 12, "items": 24, "steps": 30}


def test_one_step_is_that_of_the_bradley_terry_loss(bert: TransformersEncoder, tmp_path: Path) -> None:
    """Without decay, the first step of AdamW moves each weight by lr, against the sign of its gradient."""
    from rmspace.text.finetune._scalar_head import ScalarHead

    settings = FineTuning(rank=None, learning_rate=1e-3, epochs=1, batch_size=4, schedule="constant")
    data = judged(4)
    reward = rm.text.finetune_reward(data, bert, settings, out=tmp_path / "out")
    torch.manual_seed(settings.seed)
    tokens, body = bert.with_model(bert.model).load()
    model = ScalarHead(body, "mean")
    before = model.weights.numpy()
    rows, _ = tokens(data.items)
    scores = torch.cat([model(torch.tensor([r]), torch.ones(1, len(r), dtype=torch.int64)).logits[0] for r in rows])
    winner, loser = data.comparisons.T
    (-torch.nn.functional.logsigmoid(scores[winner] - scores[loser])).mean().backward()
    assert model.score.weight.grad is not None
    step = -1e-3 * np.sign(model.score.weight.grad[0].numpy())
    np.testing.assert_allclose(reward.model.coef_ - before, step, atol=1e-5)


def test_the_same_seed_gives_the_same_model(bert: TransformersEncoder, tuned: Path, tmp_path: Path) -> None:
    np.random.seed(1)  # noqa: NPY002
    state: Any = np.random.get_state()  # noqa: NPY002
    again = rm.text.finetune_reward(judged(), bert, WHOLE, out=tmp_path / "out")
    first = rm.text.TextReward.load(tuned / "reward")
    np.testing.assert_allclose(again.model.coef_, first.model.coef_, atol=1e-7)
    after: Any = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(after[1], state[1])


def test_steps_in_parts_are_the_same_steps(bert: TransformersEncoder, tuned: Path, tmp_path: Path) -> None:
    parts = FineTuning(**{**WHOLE.describe(), "at_once": 2})
    reward = rm.text.finetune_reward(judged(), bert, parts, out=tmp_path / "out")
    first = rm.text.TextReward.load(tuned / "reward")
    np.testing.assert_allclose(reward.model.coef_, first.model.coef_, atol=1e-3)


# The same comparisons


def test_long_texts_are_cut_and_none_is_left_out(bert: TransformersEncoder, tmp_path: Path) -> None:
    data = judged(8, prompt=LONG + " {}?")
    with pytest.warns(UserWarning, match="of 16 texts: 16 prompts cut"):
        rm.text.finetune_reward(data, bert, WHOLE, out=tmp_path / "out")
    record = json.loads((tmp_path / "out" / "finetune.json").read_text())
    assert record["counts"]["comparisons"] == 8 and record["notes"]["prompt_cut"] == 16


def test_pairs_that_are_equal_after_the_cut_are_counted(bert: TransformersEncoder, tmp_path: Path) -> None:
    records = [Record(items_of(f"{k}?", [LONG + " 4", LONG + " 2"]), [Comparison(0, 1)]) for k in range(4)]
    data = rm.text.TextPreferences.from_records(records)
    with pytest.warns(UserWarning, match="8 replies cut at their end; 4 of 4 comparisons are of two texts"):
        rm.text.finetune_reward(data, bert, WHOLE, out=tmp_path / "out")


def test_a_trainer_that_drops_examples_is_refused() -> None:
    from rmspace.text.finetune._training import train

    class Dropping:
        train_dataset = [0] * 3

    with pytest.raises(RuntimeError, match="must train on all 4 examples; it kept 3"):
        train(Dropping(), 4)


@pytest.mark.parametrize("columns, what", [({"tie": True}, "12 ties"), ({"weight": 0.5}, None)])
def test_ties_are_refused_and_equal_weights_are_not(
    bert: TransformersEncoder, tmp_path: Path, columns: Any, what: str | None
) -> None:
    data = judged(columns=columns)
    if what is None:
        rm.text.finetune_reward(data, bert, FineTuning(epochs=0.1), out=tmp_path / "out")
        return
    with pytest.raises(ValueError, match=f"takes no ties and no weights; got {what}"):
        rm.text.finetune_reward(data, bert, WHOLE, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_different_weights_are_refused(bert: TransformersEncoder, tmp_path: Path) -> None:
    data = judged()
    data.columns["weight"] = np.arange(1.0, 13.0)
    with pytest.raises(ValueError, match="got different weights"):
        rm.text.finetune_reward(data, bert, WHOLE, out=tmp_path / "out")


# The folder


def test_the_folder_scores_as_the_model_did(bert: TransformersEncoder, tuned: Path, tmp_path: Path) -> None:
    reward = rm.text.TextReward.load(tuned / "reward")
    assert share_right(reward, judged()) == 1
    moved = Path(shutil.copytree(tuned, tmp_path / "moved"))
    other = rm.text.TextReward.load(moved / "reward", model=moved / "encoder")
    items = judged().items
    np.testing.assert_allclose(reward.score_items(items)[0], other.score_items(items)[0], atol=1e-6)
    with pytest.raises(ValueError, match="cannot be made again here"):
        rm.text.TextReward.load(moved / "reward", model=bert.model)


def test_the_scores_are_those_of_the_trained_head(tuned: Path) -> None:
    reward = rm.text.TextReward.load(tuned / "reward")
    embeddings = TransformersEncoder(tuned / "encoder", template="plain").encode(judged().items)
    expected = embeddings.astype(np.float64) @ reward.model.coef_
    np.testing.assert_allclose(reward.score_items(judged().items)[0], expected, atol=1e-6)


def test_the_tokenizer_stays_the_same_to_the_byte(bert: TransformersEncoder, tuned: Path) -> None:
    assert (tuned / "encoder" / "tokenizer.json").read_bytes() == (bert.folder / "tokenizer.json").read_bytes()


def test_the_frozen_encoder_stays_as_it_is(bert: TransformersEncoder, tmp_path: Path) -> None:
    before = bert.encode(judged().items)
    rm.text.finetune_reward(judged(), bert, WHOLE, out=tmp_path / "out")
    np.testing.assert_array_equal(bert.encode(judged().items), before)


def test_a_folder_that_exists_is_refused_before_the_training(bert: TransformersEncoder, tuned: Path) -> None:
    with pytest.raises(FileExistsError, match="exists already"):
        rm.text.finetune_reward(judged(), bert, WHOLE, out=tuned)


def test_a_run_that_fails_leaves_nothing(bert: TransformersEncoder, tmp_path: Path) -> None:
    wild = FineTuning(rank=None, learning_rate=1e30, epochs=20, batch_size=4)
    with pytest.raises(FloatingPointError, match="are not finite from step"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rm.text.finetune_reward(judged(), bert, wild, out=tmp_path / "out")
    assert not list(tmp_path.iterdir())


# Settings


@pytest.mark.parametrize(
    "wrong, what",
    [
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"epochs": float("nan")}, "epochs must be finite"),
        ({"batch_size": 4, "at_once": 3}, "at_once must divide batch_size, 4; got 3"),
        ({"schedule": "step"}, "schedule must be one of constant, linear, cosine; got 'step'"),
        ({"warmup": 1.5}, "warmup must be"),
        ({"dropout": 1.0}, "dropout must be"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        FineTuning(**wrong)


def test_another_layer_is_refused(bert: TransformersEncoder, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs an encoder of the last layer"):
        rm.text.finetune_reward(judged(), bert.with_model(bert.model, layer=0), WHOLE, out=tmp_path / "out")
