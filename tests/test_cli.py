import json
import os
import runpy
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
ONE = "models={linear: {use: LinearReward}}"
RHO = "metrics={rho: {use: spearman}}"  # no figures, which take most of the time


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "a.yaml"
    path.write_text(CONFIG)
    return str(path)


def test_run_fills_the_folder(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert manifest["data"]["train"]["sha256"] == train.fingerprint()
    assert manifest["versions"]["rmspace"] == rm.__version__
    assert table[table.model == "dense"].precision.unique().tolist() == ["float32"]
    assert "linear" in capsys.readouterr().out
    # The resolved config alone makes the same table again, and the same figures to the byte.
    assert main(["run", str(out / "config.yaml"), "--out", str(tmp_path / "again")]) == 0
    again = pd.read_csv(tmp_path / "again" / "results.csv")
    pd.testing.assert_frame_equal(table.drop(columns="fit_seconds"), again.drop(columns="fit_seconds"))
    for figure in ("best_of_n.png", "best_of_n.svg", "normalized_gain.png", "normalized_gain.svg"):
        assert (out / figure).read_bytes() == (tmp_path / "again" / figure).read_bytes()


def test_an_existing_folder_needs_asking(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    assert main(["run", config, RHO, ONE, "--out", out]) == 0
    assert main(["run", config, "--out", out]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["run", config, RHO, ONE, "--out", out, "--overwrite"]) == 0
    assert main(["run", config, "--out", str(tmp_path), "--overwrite"]) == 2
    assert "no manifest.json of rmspace's" in capsys.readouterr().err
    assert Path(config).exists()


def test_an_existing_folder_is_noticed_before_work_begins(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    monkeypatch.setattr("rmspace.experiment.run", lambda **_: pytest.fail("it ran"))
    assert main(["run", config, "--out", str(tmp_path / "out")]) == 2


def test_finished_models_survive_a_failure(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
def test_interruption_keeps_what_was_finished(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], restore_sigterm: None, stop: Any
) -> None:
    (tmp_path / "stopped_for_tests.py").write_text(
        f"import os\ndef stopped(winner, loser):\n    os.kill(os.getpid(), {int(stop)})\n    return winner\n"
    )
    slow = "models.slow={use: LinearReward, objective: {use: stopped_for_tests.stopped}}"
    assert main(["run", config, slow, "--out", str(tmp_path / "out")]) == 130
    forget(tmp_path)
    error = capsys.readouterr().err
    assert "interrupted" in error
    assert "Traceback" not in error
    (kept,) = tmp_path.glob("out.unfinished*")
    assert str(kept) in error
    assert set(pd.read_csv(kept / "results.csv").model) >= {"linear", "trees"}


def forget(folder: Path) -> None:
    """Forget the modules of a folder, so that another test may have one of the same name."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(folder)):
            del sys.modules[name]
    sys.path[:] = [path for path in sys.path if path != str(folder)]


@pytest.fixture
def restore_sigterm() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def test_models_are_saved_as_soon_as_they_are_fitted(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    pipe = "models.a/b={use: sklearn.pipeline.Pipeline, steps: [[n, {use: sklearn.preprocessing.Normalizer}], " \
        "[l, {use: LinearReward}]]}"  # fmt: skip
    assert main(["run", config, pipe, RHO, "--save-models", "--out", out]) == 0
    assert "models saved: linear, trees, dense, a/b" in capsys.readouterr().out
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["models"]["a/b"] == "models/a_b"
    _, test = rm.make_synthetic_banks(60, 30, 6, 32)
    table = pd.read_csv(tmp_path / "out" / "results.csv").set_index("model").value
    for name, place in manifest["models"].items():
        scores = rm.load(tmp_path / "out" / place).predict(test.items)
        rho = rm.spearman(scores, test.rewards).mean()
        assert rho == pytest.approx(table[name], abs=1e-6), name


def test_a_model_is_kept_where_its_measurement_fails(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "late_for_tests.py").write_text(
        "def late(scores, rewards):\n    if (scores != scores[0, 0]).any() and (scores != rewards).any():\n"
        "        raise RuntimeError('too late')\n    return scores[:, 0]\n"
    )
    late = "metrics={late: {use: late_for_tests.late}}"
    assert main(["run", config, late, "--save-models", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "too late (in 'linear') (models kept: linear)" in error
    (kept,) = tmp_path.glob("out.unfinished*")
    assert (kept / "models" / "linear").is_dir()


def test_models_that_were_saved_stay_when_the_run_fails(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = "models.broken={use: LightGBMReward, objective: {use: hinge}}"
    assert main(["run", config, broken, RHO, "--save-models", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "(models kept: linear, trees, dense)" in error
    (kept,) = tmp_path.glob("out.unfinished*")
    assert str(kept) in error
    assert sorted(path.name for path in (kept / "models").iterdir()) == ["dense", "linear", "trees"]
    assert rm.load(kept / "models" / "linear").predict(np.zeros((1, 32), np.float32)).shape == (1,)


def test_a_model_that_cannot_be_saved_does_not_cost_the_run(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "unsaved_for_tests.py").write_text(
        "import numpy as np\nfrom sklearn.base import BaseEstimator\n"
        "class Mean(BaseEstimator):\n"
        "    def fit(self, items, comparisons, sample_weight=None, groups=None):\n        return self\n"
        "    def predict(self, items):\n        return np.asarray(items).mean(axis=1)\n"
    )
    models = "models={mine: {use: unsaved_for_tests.Mean}, linear: {use: LinearReward}}"
    assert main(["run", config, models, RHO, "--save-models", "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "models saved: linear\n" in out
    assert "not saved: mine (" in out


def test_preferences_from_a_config_to_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, test = rm.make_synthetic_banks(40, 20, 6, 16)
    rng = np.random.default_rng(0)
    for name, bank in (("a", train), ("b", test)):
        pairs = rm.same_prompt(bank, 60, rng)
        rm.Preferences.from_bank(bank, pairs, rm.oracle, rng=rng).save(tmp_path / name)
    path = tmp_path / "p.yaml"
    path.write_text("data: {use: open_preferences, train: a, test: b}\nmodels: {BT: {use: LinearReward}}\n")
    assert main(["run", str(path), "n_pairs=50", "--out", str(tmp_path / "out")]) == 0
    table = pd.read_csv(tmp_path / "out" / "results.csv")
    assert table.model.unique().tolist() == ["BT"]
    assert table.n_pairs.unique().tolist() == [50]
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["data"]["test"]["n_comparisons"] == 60
    assert "accuracy" in capsys.readouterr().out
    assert main(["health", str(tmp_path / "a")]) == 0


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0
    assert capsys.readouterr().out == f"rmspace {rm.__version__}\n"


def test_the_demo_needs_nothing_but_the_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["data.n_prompts=60", "data.n_test_prompts=20", "data.dim=32", "n_pairs=100",
             "models={BT: {use: LinearReward}}"]  # fmt: skip
    assert main(["demo", *small]) == 0
    assert main(["demo", *small]) == 0  # again, in the same folder
    assert "BT" in capsys.readouterr().out
    assert {"results.csv", "best_of_n.png", "normalized_gain.svg"} <= {p.name for p in Path("rmspace-demo").iterdir()}


def test_the_demo_runs_the_quickstart() -> None:
    inside = Path(rm.__file__).parent / "cli" / "quickstart.yaml"
    assert inside.read_text() == (Path(__file__).parents[1] / "configs" / "quickstart.yaml").read_text()


def test_every_command_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for command in ("demo", "figures", "health", "report", "results", "run", "study"):
        assert f"\n    {command}  " in shown


def test_config_errors_are_one_line(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", config, "n_pair=3", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "did you mean n_pairs?" in error
    assert not (tmp_path / "out").exists()


def test_user_modules_go_into_the_folder(config: str, tmp_path: Path) -> None:
    (tmp_path / "losses_for_tests.py").write_text(
        "def mine(winner, loser):\n    return (1 - winner + loser).square()\n"
    )
    mine = "models.mine={use: LinearReward, objective: {use: losses_for_tests.mine}}"
    assert main(["run", config, ONE, mine, RHO, "--out", str(tmp_path / "out")]) == 0
    del sys.modules["losses_for_tests"]
    sys.path.remove(str(tmp_path))
    (tmp_path / "losses_for_tests.py").unlink()
    assert main(["run", str(tmp_path / "out" / "config.yaml"), "--out", str(tmp_path / "again")]) == 0


def test_own_metrics_and_no_figures(config: str, tmp_path: Path) -> None:
    metrics = "metrics={bon: {use: best_of_n, n: [1, 3]}, rho: {use: spearman}}"
    assert main(["run", config, ONE, metrics, "--out", str(tmp_path / "out")]) == 0
    assert set(pd.read_csv(tmp_path / "out" / "results.csv").metric) == {"bon", "rho"}
    assert (tmp_path / "out" / "best_of_n.png").exists()
    assert not (tmp_path / "out" / "normalized_gain.png").exists()


def test_health(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_output_that_nobody_reads_ends_quietly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rm.ResponseBank(np.ones((4, 2, 3), np.float32)).save(tmp_path / "bank")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert main(["health", str(tmp_path / "bank")]) == 141
        monkeypatch.undo()
    assert capsys.readouterr().err == ""


def test_a_broken_pipe_elsewhere_is_an_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise BrokenPipeError(32, "a worker is gone")

    monkeypatch.setattr(rm.ResponseBank, "health", broken)
    rm.ResponseBank(np.ones((4, 2, 3), np.float32)).save(tmp_path / "bank")
    assert main(["health", str(tmp_path / "bank")]) == 2
    assert "a worker is gone" in capfd.readouterr().err


def test_a_warning_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def warn(*_: Any) -> pd.DataFrame:
        warnings.warn("one row\nwas left out", UserWarning, stacklevel=2)
        return pd.DataFrame({"severity": []})

    rm.ResponseBank(np.ones((4, 2, 3), np.float32)).save(tmp_path / "bank")
    monkeypatch.setattr(rm.ResponseBank, "health", warn)
    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        main(["health", str(tmp_path / "bank")])
    assert capsys.readouterr().err == "rmspace: warning: one row was left out\n"
    assert warnings.showwarning is before


def test_the_script_is_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    script = Path(__file__).parents[1] / "scripts" / "run.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(script), run_name="__main__")
    assert done.value.code == 0
    assert "CONFIG" in capsys.readouterr().out


def test_the_shipped_configs_are_valid() -> None:
    for path in (Path(__file__).parents[1] / "configs").glob("*.yaml"):
        needs_data = "shared/data" in path.read_text()
        if needs_data and not (Path(__file__).parents[2] / "shared" / "data").exists():
            continue
        rm.load_config(path)
