"""The configs in configs/text: each goes through its loader, and the recipe for 8B trains a tiny model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmspace.cli.main import main
from rmspace.config import load_config
from rmspace.config.keywords import load_keywords
from rmspace.study.plan.grid import read_grid
from rmspace.text.finetune.recipes import GeneratorRecipe, RewardRecipe
from rmspace.text.pipeline.building import Recipe
from text_models import CHATML, save_causal, save_model

CONFIGS = Path(__file__).parents[1] / "configs" / "text"
ENCODER, DATA, LANGUAGE_MODEL = "encoder.model=", "path=", "generator.model="


def study(path: Path, overrides: list[str]) -> Any:
    grid = read_grid(path, overrides)
    return list(grid.cells())


def recipe(target: Callable[..., Any]) -> Callable[[Path, list[str]], Any]:
    return lambda path, overrides: load_keywords(path, target, overrides).value


LOADERS: dict[str, tuple[Callable[[Path, list[str]], Any], list[str]]] = {
    "bradley_terry_8b.yaml": (recipe(RewardRecipe), [DATA, ENCODER, "encoder.max_length=128"]),
    "encoders.yaml": (study, ["base.data.path=", "base.data.encoder.model=", "grid.data.path={HH: DATA}"]),
    "endtoend.yaml": (recipe(Recipe), [DATA, ENCODER, LANGUAGE_MODEL, "generator.max_prompt=32"]),
    "endtoend_models.yaml": (load_config, ["data.train=.", "data.test=."]),
    "endtoend_study.yaml": (study, ["base.data.train=.", "base.data.test=."]),
    "finetuned_reward.yaml": (recipe(RewardRecipe), [DATA, ENCODER]),
    "learning_curve.yaml": (study, []),
    "sft.yaml": (recipe(GeneratorRecipe), [DATA, LANGUAGE_MODEL, "generator.max_new_tokens=8"]),
    "train.yaml": (load_config, ["data.path=", "data.encoder.model="]),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the configs name, here: a file of comparisons, an encoder, and a language model that answers chats."""
    folder = tmp_path_factory.mktemp("places")
    rows = [{"prompt": f"{k} + 1?", "chosen": f"The light {k}.", "rejected": f"system {k}"} for k in range(8)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    models = {"encoder": save_model(folder / "bert", "bert"), "chat": save_model(folder / "llama", chat=CHATML)}
    return {**models, "data": str(folder / "rows.jsonl"), "generator": save_causal(folder / "causal", chat=CHATML)}


def filled(overrides: list[str], places: dict[str, str]) -> list[str]:
    """Return overrides with the places of what they name."""
    chat = "encoder.max_length=128" in overrides
    ends = {"path=": "data", LANGUAGE_MODEL: "generator", "encoder.model=": "chat" if chat else "encoder"}
    own = [each + next((places[to] for end, to in ends.items() if each.endswith(end)), "") for each in overrides]
    return [each.replace("DATA", places["data"]) for each in own]


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIGS.glob("*.yaml")))
def test_each_config_goes_through_its_loader(name: str, places: dict[str, str]) -> None:
    load, overrides = LOADERS[name]  # a new config needs a loader here
    found = load(CONFIGS / name, filled(overrides, places))
    assert not isinstance(found, list) or found


def test_the_commands_for_a_large_encoder_are_valid(places: dict[str, str]) -> None:
    """Those of docs/text.md for RewardBench, with a tiny model and fewer tokens."""
    encoder = ["pooling=last", "normalize=false", "dtype=bfloat16", "max_length=128"]
    frozen = [f"data.path={places['data']}", f"data.encoder.model={places['chat']}", "data.score=overall_score"]
    given = load_config(CONFIGS / "train.yaml", [*frozen, *(f"data.encoder.{each}" for each in encoder)]).resolved
    assert given["data"]["score"] == "overall_score"
    tuned = [*filled(LOADERS["bradley_terry_8b.yaml"][1], places), "score=overall_score"]
    made = load_keywords(CONFIGS / "bradley_terry_8b.yaml", RewardRecipe, tuned).value
    assert (made.score, made.encoder.template, made.encoder.pooling) == ("overall_score", "chat", "last")


def test_the_recipe_for_8b_trains(places: dict[str, str], tmp_path: Path) -> None:
    """Its settings are kept, except three: a tiny model, one step of 8 pairs, and AdamW without pages."""
    pytest.importorskip("trl", reason="pip install 'reward-space[finetune]'")
    own = ["settings.batch_size=8", "settings.optimizer=adamw_torch"]
    given = filled(LOADERS["bradley_terry_8b.yaml"][1], places)
    assert main(["finetune", str(CONFIGS / "bradley_terry_8b.yaml"), *given, *own, "--out", str(tmp_path / "out")]) == 0
    record = json.loads((tmp_path / "out" / "finetune.json").read_text())
    assert record["settings"]["checkpointing"] is True
    assert record["settings"]["optimizer"] == "adamw_torch"
    assert record["counts"] == {"comparisons": 8, "items": 16, "steps": 1}
    words = ["score", str(tmp_path / "out" / "reward"), places["data"], "--out", str(tmp_path / "scored.jsonl")]
    assert main(words) == 0
    assert len((tmp_path / "scored.jsonl").read_text().splitlines()) == 8
