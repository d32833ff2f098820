"""Checkpoints of a training: a run that was stopped takes the steps of an undisturbed one, and mixes nothing."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmspace as rm
from rmspace.text.records import Comparison, Record, items_of

pytest.importorskip("trl", reason="pip install 'reward-space[finetune]'")
pytest.importorskip("peft", reason="pip install 'reward-space[finetune]'")

from safetensors.numpy import load_file

from rmspace.text import FineTuning, TransformersEncoder, TransformersGenerator, finetune_generator, finetune_reward
from rmspace.text.finetune import _checkpoints
from text_models import CHATML, save_causal, save_model

Train = Callable[[Path, FineTuning], object]
ITEMS = [items_of(f"{k} + 1?", [f"It is {k + 1}."])[0] for k in range(6)]
JUDGED = [Record(items_of(f"Why {k}?", [f"light {k}", f"system {k}"]), [Comparison(0, 1)]) for k in range(6)]
LORA = FineTuning(rank=4, dropout=0.1, learning_rate=1e-2, epochs=3, batch_size=2, warmup=0.2, schedule="cosine")
WHOLE = replace(LORA, rank=None, dropout=0.0)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_causal(folder / "causal", pad="<pad>", chat=CHATML)
    save_model(folder / "bert", "bert")
    return folder


@pytest.fixture(params=["generator", "reward"])
def train(request: pytest.FixtureRequest, models: Path) -> Train:
    """Each kind of fine-tuning, on a few texts."""
    if request.param == "generator":
        generator = TransformersGenerator(models / "causal", max_new_tokens=8)
        return lambda out, settings: finetune_generator(ITEMS, generator, settings, out=out)
    data, encoder = rm.text.TextPreferences.from_records(JUDGED), TransformersEncoder(models / "bert", template="plain")
    return lambda out, settings: finetune_reward(data, encoder, settings, out=out)


def weights_of(out: Path) -> dict[str, Any]:
    """All arrays of the trained model."""
    (file,) = (out / name / "model.safetensors" for name in ("model", "encoder") if (out / name).is_dir())
    return load_file(file)


def record_of(out: Path) -> dict[str, Any]:
    (file,) = (out / name for name in ("manifest.json", "finetune.json") if (out / name).is_file())
    return json.loads(file.read_text())


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int, error: BaseException, *, whole: bool = True) -> list[int]:
    """Write a checkpoint after each step, and raise an error in the one of `step`; return the steps that were taken."""
    monkeypatch.setattr(_checkpoints, "EVERY", 0.0)
    said, taken = _checkpoints.Checkpoints.on_save, []

    def on_save(self: Any, args: Any, state: Any, control: Any, **options: Any) -> None:
        taken.append(state.global_step)
        if whole:
            said(self, args, state, control, **options)
        if state.global_step == step:
            raise error
        if not whole:
            said(self, args, state, control, **options)

    monkeypatch.setattr(_checkpoints.Checkpoints, "on_save", on_save)
    return taken


@pytest.mark.parametrize("settings", [LORA, WHOLE], ids=["lora", "whole"])
def test_a_stopped_training_takes_the_steps_of_an_undisturbed_one(
    train: Train, settings: FineTuning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path / "whole", settings)
    with monkeypatch.context() as patch:
        stop_after(patch, 4, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt) as caught:
            train(tmp_path / "out", settings)
    assert "goes on from" in caught.value.__notes__[0]
    assert [path.name for path in (tmp_path / "out.unfinished").glob("checkpoint-*")] == ["checkpoint-4"]
    assert not (tmp_path / "out").exists()
    with monkeypatch.context() as patch:
        taken = stop_after(patch, -1, KeyboardInterrupt())
        train(tmp_path / "out", settings)
    assert taken == list(range(5, 9))
    assert not (tmp_path / "out.unfinished").exists()
    one, other = weights_of(tmp_path / "whole"), weights_of(tmp_path / "out")
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_allclose(other[name], array, atol=1e-5, err_msg=name)
    losses = [[log["loss"] for log in record_of(tmp_path / name)["losses"]] for name in ("whole", "out")]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)


@pytest.mark.parametrize("train", ["reward"], indirect=True)
def test_a_checkpoint_that_was_cut_off_is_not_used(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path / "whole", WHOLE)
    with monkeypatch.context() as patch:
        stop_after(patch, 4, KeyboardInterrupt(), whole=False)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "out", WHOLE)
    left = tmp_path / "out.unfinished"
    assert {path.name for path in left.glob("checkpoint-*")} == {"checkpoint-3", "checkpoint-4"}
    for path in (left / "checkpoint-4").iterdir():
        path.write_bytes(b"")
    train(tmp_path / "out", WHOLE)
    for name, array in weights_of(tmp_path / "whole").items():
        np.testing.assert_allclose(weights_of(tmp_path / "out")[name], array, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("train", ["generator"], indirect=True)
def test_another_training_is_refused_and_the_stopped_one_stays(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 2, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "out", LORA)
    other = replace(LORA, learning_rate=1e-3)
    with pytest.raises(FileExistsError, match=r"stopped -> now: settings.learning_rate: 0.01 -> 0.001; remove that"):
        train(tmp_path / "out", other)
    assert (tmp_path / "out.unfinished" / "checkpoint-2").is_dir()
    train(tmp_path / "out", LORA)


@pytest.mark.parametrize("train", ["reward"], indirect=True)
def test_what_diverged_or_has_no_checkpoint_leaves_nothing(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 1, KeyboardInterrupt(), whole=False)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "out", LORA)
    assert not list(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        stop_after(patch, 2, FloatingPointError("not finite"))
        with pytest.raises(FloatingPointError):
            train(tmp_path / "out", LORA)
    assert not list(tmp_path.iterdir())


def test_two_trainings_of_one_folder_are_refused(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "out.unfinished"
    with _checkpoints.unfinished(tmp_path / "out", {}, overwrite=False):
        with pytest.raises(BlockingIOError, match="one process writes to it at a time"):
            train(tmp_path / "out", LORA)
        assert place.is_dir()
    assert not place.exists()


def test_a_build_goes_on_with_a_stopped_tuning(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "rows.jsonl"
    lines = [json.dumps({"prompt": f"{k} + 1?", "chosen": "It is so.", "rejected": "No."}) for k in range(6)]
    data.write_text("\n".join(lines) + "\n")
    recipe = rm.text.Recipe(
        data,
        TransformersGenerator(models / "causal", max_new_tokens=8),
        {"size": rm.text.FunctionGold(lambda prompts, texts: [len(text) for text in texts], name="size")},
        rm.text.FunctionEncoder(lambda texts: [[len(text), 1.0] for text in texts], name="length"),
        n=2,
        test_size=2,
        demonstrations=data,
        sft={"rank": None, "learning_rate": 0.01, "epochs": 2, "batch_size": 2},
    )
    whole, _ = rm.text.build_banks(recipe, tmp_path / "whole", progress=False)
    with monkeypatch.context() as patch:
        stop_after(patch, 3, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            rm.text.build_banks(recipe, tmp_path / "built", progress=False)
    with monkeypatch.context() as patch:
        taken = stop_after(patch, -1, KeyboardInterrupt())
        built, _ = rm.text.build_banks(recipe, tmp_path / "built", progress=False)
    assert taken == [4, 5]
    np.testing.assert_array_equal(built.rewards, whole.rewards)
    assert [path.name for path in (tmp_path / "built" / "steps").glob("sft-*.unfinished")] == []
