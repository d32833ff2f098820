"""From a file of texts to a reward model that scores text: the notebook lines, the config, and the commands."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rmspace as rm
from rmspace.cli.main import main
from text_models import save_model

WORDS = ["red", "blue", "green", "round", "small", "old", "new", "fast"]


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(save_model(tmp_path_factory.mktemp("model") / "bert", "bert"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write comparisons in which the reply with more words wins."""
    rng = np.random.default_rng(0)
    rows = []
    for k in range(60):
        short, long = (" ".join(rng.choice(WORDS, size=size)) for size in (2, 7))
        rows.append({"prompt": f"Describe thing {k}.", "chosen": long, "rejected": short, "subset": "ab"[k % 2]})
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def test_the_lines_of_a_notebook(pairs: Path, encoder_folder: Path, tmp_path: Path) -> None:
    data = rm.text.read_preferences(pairs)
    encoder = rm.text.TransformersEncoder(encoder_folder)
    train, test = rm.split_prompts(rm.text.embed(data, encoder, out=tmp_path / "embedded"), 0.2, seed=0)
    model = rm.LinearReward().fit(train)
    table = rm.evaluate_preferences({"BT": model.predict(test.items)}, test, by="subset")
    assert table[table.metric == "accuracy"].value.min() > 0.8
    scorer = rm.text.TextReward(encoder, model)
    scorer.save(tmp_path / "my_reward")
    again = rm.text.TextReward.load(tmp_path / "my_reward")
    scores = again.score(["Describe a ball."] * 2, ["red blue green round small old new", "red blue"])
    assert scores[0] > scores[1]


def config(pairs: Path, encoder_folder: Path, folder: Path) -> list[str]:
    """Return the command that trains on the pairs, with the shipped config."""
    shipped = Path(__file__).parents[1] / "configs" / "text" / "train.yaml"
    return [
        str(shipped),
        f"data.path={pairs}",
        f"data.encoder.model={encoder_folder}",
        f"data.out={folder / 'embedded'}",
        "models={Linear: {use: LinearReward}}",
    ]


def test_one_command_makes_a_model_that_scores_text(
    pairs: Path, encoder_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = config(pairs, encoder_folder, tmp_path)
    assert main(["run", *command, "--out", str(tmp_path / "run"), "--save-models"]) == 0
    assert "accuracy" in capsys.readouterr().out
    reward = rm.text.TextReward.load(tmp_path / "run" / "models" / "Linear")
    table = pd.read_csv(tmp_path / "run" / "results.csv").set_index("metric")
    assert table.value["accuracy"] > 0.8
    model, scored = str(tmp_path / "run" / "models" / "Linear"), str(tmp_path / "scored.jsonl")
    assert main(["score", model, str(pairs), "--out", scored]) == 0
    row = json.loads(Path(scored).read_text().splitlines()[0])
    np.testing.assert_allclose(
        reward.score([row["prompt"]] * 2, [row["chosen"], row["rejected"]]),
        [row["score_chosen"], row["score_rejected"]],
        rtol=1e-5,
    )


def test_the_embed_command_saves_preferences(
    pairs: Path, encoder_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["embed", str(pairs), "--encoder", str(encoder_folder), "--out", str(tmp_path / "embedded")]
    assert main([*command, "--save", str(tmp_path / "saved")]) == 0
    assert "n_comparisons=60" in capsys.readouterr().out
    data = rm.Preferences.open(tmp_path / "saved")
    assert data.health().empty or not (data.health().severity == "error").any()
    assert main(["embed", str(tmp_path / "nothing.jsonl"), "--encoder", "x", "--out", str(tmp_path / "e")]) == 2
    assert "nothing.jsonl" in capsys.readouterr().err


def test_a_study_may_change_encoders_and_seeds(pairs: Path, encoder_folder: Path, tmp_path: Path) -> None:
    text = f"""\
base:
  data: {{use: embed_preferences, path: {pairs}, out: {tmp_path / "embedded"}, seed: 0,
         encoder: {{use: TransformersEncoder, model: {encoder_folder}, pooling: mean}}}}
  models: {{Linear: {{use: LinearReward}}}}
  metrics: {{accuracy: {{use: accuracy}}}}
grid: {{"data.seed, seed": [[0, 0], [1, 1]]}}
"""
    (tmp_path / "grid.yaml").write_text(text)
    study = rm.run_study(tmp_path / "grid.yaml", tmp_path / "out")
    assert study.counts() == {"done": 2}
    assert study.cells().test.nunique() == 2


def test_something_else_in_place_of_an_encoder(pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        f"data: {{use: embed_preferences, path: {pairs}, out: e, encoder: MiniLM}}\n"
        "models: {L: {use: LinearReward}}\n"
    )
    with pytest.raises(ValueError, match=r"data\.encoder.*an encoder, such as \{use: TransformersEncoder"):
        rm.load_config(tmp_path / "c.yaml")
