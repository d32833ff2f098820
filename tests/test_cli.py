import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rmspace as rm
from rmspace.cli.main import main

CONFIG = """\
data: {use: make_synthetic_banks, n_prompts: 60, n_test_prompts: 30, n_responses: 6, dim: 32}
pairs: {use: same_prompt}
n_pairs: 300
annotator: {use: logistic, beta: 2.0}
models:
  linear: {use: LinearReward}
  trees: {use: LightGBMReward, n_estimators: 5}
  dense: {use: MLPReward, hidden_sizes: [4], max_epochs: 1, precision: float32}
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(CONFIG)
    return str(path)


def test_run_fills_the_folder(config, tmp_path, capsys):
    out = tmp_path / "deep" / "out"
    assert main(["run", config, "n_pairs=100", "--out", str(out), "n_pairs=200"]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "best_of_n.png", "best_of_n.svg", "config.yaml", "manifest.json", "normalized_gain.png", "normalized_gain.svg",
        "results.csv",
    ]  # fmt: skip
    table = pd.read_csv(out / "results.csv")
    assert set(table.model) == {"random response", "best response", "linear", "trees", "dense"}
    assert table.n_pairs.unique().tolist() == [200]
    manifest = json.loads((out / "manifest.json").read_text())
    train, _ = rm.make_synthetic_banks(60, 30, 6, 32)
    assert manifest["banks"]["train"]["sha256"] == train.fingerprint()
    assert manifest["versions"]["rmspace"] == rm.__version__
    assert manifest["computed"]["dense"]["precision"] == "float32"
    assert "linear" in capsys.readouterr().out
    # The resolved config alone makes the same table again, and the same figures to the byte.
    assert main(["run", str(out / "config.yaml"), "--out", str(tmp_path / "again")]) == 0
    again = pd.read_csv(tmp_path / "again" / "results.csv")
    pd.testing.assert_frame_equal(table.drop(columns="fit_seconds"), again.drop(columns="fit_seconds"))
    for figure in ("best_of_n.png", "best_of_n.svg", "normalized_gain.png", "normalized_gain.svg"):
        assert (out / figure).read_bytes() == (tmp_path / "again" / figure).read_bytes()


def test_an_existing_folder_needs_asking(config, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["run", config, "--out", out]) == 0
    assert main(["run", config, "--out", out]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["run", config, "--out", out, "--overwrite"]) == 0
    assert main(["run", config, "--out", str(tmp_path), "--overwrite"]) == 2
    assert "no manifest.json of rmspace's" in capsys.readouterr().err
    assert Path(config).exists()


def test_an_existing_folder_is_noticed_before_work_begins(config, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    monkeypatch.setattr("rmspace.experiment.run", lambda **_: pytest.fail("it ran"))
    assert main(["run", config, "--out", str(tmp_path / "out")]) == 2


def test_finished_models_survive_a_failure(config, tmp_path, capsys):
    broken = "models.broken={use: LightGBMReward, objective: {use: hinge}}"
    assert main(["run", config, broken, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "no curvature" in error
    assert "(in 'broken')" in error
    (kept,) = tmp_path.glob("out.unfinished*")
    assert str(kept) in error
    assert set(pd.read_csv(kept / "results.csv").model) >= {"linear", "trees"}
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_interruption_keeps_what_was_finished(config, tmp_path, stop):
    (tmp_path / "slow_for_tests.py").write_text(
        "import time, pathlib\n"
        "def slow(winner, loser):\n"
        "    pathlib.Path(__file__).with_name('started').touch()\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-m", "rmspace", "run", config, "--out", str(tmp_path / "out")]
    command.append("models.slow={use: LinearReward, objective: {use: slow_for_tests.slow}}")
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background jobs inherit it ignored
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(stop)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error
    (kept,) = tmp_path.glob("out.unfinished*")
    assert str(kept) in error
    assert set(pd.read_csv(kept / "results.csv").model) >= {"linear", "trees"}


def test_config_errors_are_one_line(config, tmp_path, capsys):
    assert main(["run", config, "n_pair=3", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "did you mean n_pairs?" in error
    assert not (tmp_path / "out").exists()


def test_user_modules_go_into_the_folder(config, tmp_path):
    (tmp_path / "losses_for_tests.py").write_text(
        "def mine(winner, loser):\n    return (1 - winner + loser).square()\n"
    )
    mine = "models.mine={use: LinearReward, objective: {use: losses_for_tests.mine}}"
    assert main(["run", config, mine, "--out", str(tmp_path / "out")]) == 0
    del sys.modules["losses_for_tests"]
    sys.path.remove(str(tmp_path))
    (tmp_path / "losses_for_tests.py").unlink()
    assert main(["run", str(tmp_path / "out" / "config.yaml"), "--out", str(tmp_path / "again")]) == 0


def test_own_metrics_and_no_figures(config, tmp_path):
    metrics = "metrics={bon: {use: best_of_n, n: [1, 3]}, rho: {use: spearman}}"
    assert main(["run", config, metrics, "--out", str(tmp_path / "out")]) == 0
    assert set(pd.read_csv(tmp_path / "out" / "results.csv").metric) == {"bon", "rho"}
    assert (tmp_path / "out" / "best_of_n.png").exists()
    assert not (tmp_path / "out" / "normalized_gain.png").exists()


def test_health(tmp_path, capsys):
    embeddings = np.random.default_rng(0).normal(size=(10, 4, 8)).astype(np.float32)
    rm.ResponseBank(embeddings).save(tmp_path / "good")
    assert main(["health", str(tmp_path / "good")]) == 0
    assert "no findings" in capsys.readouterr().out
    embeddings[0, 0, 0] = np.nan
    rm.ResponseBank(embeddings).save(tmp_path / "bad")
    assert main(["health", str(tmp_path / "bad")]) == 1
    assert "non_finite_embeddings" in capsys.readouterr().out
    assert main(["health", str(tmp_path / "nothing")]) == 2
    assert "not a saved bank" in capsys.readouterr().err


def test_the_script_is_the_command():
    script = Path(__file__).parents[1] / "scripts" / "run.py"
    done = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True, check=True)
    assert "CONFIG" in done.stdout


def test_the_shipped_configs_are_valid():
    for path in (Path(__file__).parents[1] / "configs").glob("*.yaml"):
        needs_data = "shared/data" in path.read_text()
        if needs_data and not (Path(__file__).parents[2] / "shared" / "data").exists():
            continue
        rm.load_config(path)
