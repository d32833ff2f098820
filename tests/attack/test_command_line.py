"""The command where its streams are closed, full or narrow, where it is killed, and with packages beside the config."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import rmspace as rm
import rmspace.cli
from rmspace.cli.main import main
from rmspace.cli.run_folder import copy_modules
from rmspace.data.files import left_behind
from study_cases import LINEAR, write_grid

CONFIG = """\
data: {use: make_synthetic_banks, n_prompts: 30, n_test_prompts: 10, n_responses: 4, dim: 16}
pairs: {use: same_prompt}
n_pairs: 50
annotator: {use: oracle}
models:
  linear: {use: LinearReward}
  größer: {use: LinearReward, alpha: 0.5}
metrics: {rho: {use: spearman}}
"""
FULL = Path("/dev/full")
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX's shell")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "a.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def shell(config: Path, redirected: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = f'exec "{sys.executable}" -m rmspace run "{config}" --out "{config.parent / "out"}" {redirected}'
    return subprocess.run(
        ["sh", "-c", command], env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )


@POSIX
@pytest.mark.parametrize(
    ("redirected", "status", "says"),
    [
        pytest.param("2>&-", 0, "", marks=pytest.mark.slow),
        pytest.param(">&-", 0, "", marks=pytest.mark.slow),
        ("<&- >&- 2>&-", 0, ""),
        pytest.param(
            f">{FULL}",
            74,
            "could not be written in full; files are complete (No space left on device)",
            marks=pytest.mark.slow,
        ),
        pytest.param(f"2>{FULL}", 0, "", marks=pytest.mark.slow),
    ],
)
def test_the_results_are_kept_whatever_becomes_of_the_streams(
    config: Path, redirected: str, status: int, says: str
) -> None:
    if str(FULL) in redirected and not FULL.exists():
        pytest.skip("there is no /dev/full")
    done = shell(config, redirected)
    assert done.returncode == status, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    table = pd.read_csv(config.parent / "out" / "results.csv")
    assert {"linear", "größer"} <= set(table.model)


@POSIX
@pytest.mark.slow
def test_output_that_the_encoding_lacks_is_escaped(config: Path) -> None:
    done = shell(config, "", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert "gr\\xf6\\xdfer" in done.stdout


def test_an_interruption_at_the_start_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rmspace.cli._main", interrupted)
    assert rmspace.cli.main(["--version"]) == 130
    assert capsys.readouterr().err == "rmspace: interrupted\n"


SLOW_MODULE = """\
import time
from pathlib import Path

def slow(scores, rewards):
    Path(__file__).with_name("began").touch()
    time.sleep(300)
"""


def test_a_folder_that_was_left_is_mentioned(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left = config.parent / ".out.k5vnb7iw"
    for folder in (left, config.parent / ".other.k5vnb7iw", config.parent / ".out"):
        folder.mkdir()
    assert main(["run", str(config), "--out", str(config.parent / "out")]) == 0
    said = capsys.readouterr().err
    assert f"{left} was left by a run that was killed, or that still runs" in said
    assert "other" not in said


@POSIX
@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_a_full_disk_ends_no_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def told(_: object) -> int:
        sys.stdout.write("word " * 10_000 + "\n")
        return 0

    monkeypatch.setattr("rmspace.cli._main", told)
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert rmspace.cli.main([]) == 74
    says = "could not be written in full; files are complete (No space left on device)"
    assert capsys.readouterr().err == f"rmspace: the output {says}\n"


@POSIX
@pytest.mark.slow
def test_a_killed_run_is_mentioned_by_the_next_one(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "sleeper.py").write_text(SLOW_MODULE)
    arguments = ["run", str(config), "--out", str(config.parent / "out")]
    killed = subprocess.Popen([sys.executable, "-m", "rmspace", *arguments, "metrics={s: {use: sleeper.slow}}"])
    while not (config.parent / "began").exists():
        assert killed.poll() is None
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    (left,) = left_behind(config.parent / "out")
    assert main(arguments) == 0
    assert f"{left} was left by a run that was killed, or that still runs" in capsys.readouterr().err
    assert left_behind(config.parent / "other") == []


def with_package(folder: Path) -> str:
    """Write a package with a metric and a file that it reads, and return the override that uses it."""
    package = folder / "pack_of_mine" / "inner"
    package.mkdir(parents=True)
    for each in (package, package.parent):
        (each / "__init__.py").touch()
    (package / "weights.txt").write_text("2.0")
    (package / "top.py").write_text(
        "from pathlib import Path\nFACTOR = float(Path(__file__).with_name('weights.txt').read_text())\n"
        "def top(scores, rewards):\n    return FACTOR * scores[:, 0]\n"
    )
    return "metrics={top: {use: pack_of_mine.inner.top.top}}"


@pytest.mark.slow
def test_the_copied_config_runs_with_the_copied_package(tmp_path: Path, config: Path) -> None:
    use = with_package(tmp_path)
    out, again = tmp_path / "out", tmp_path / "again"
    run = [sys.executable, "-m", "rmspace", "run"]
    subprocess.run([*run, str(config), use, "--out", str(out)], check=True)
    subprocess.run([*run, str(out / "config.yaml"), "--out", str(again)], check=True)
    one, other = (pd.read_csv(folder / "results.csv").drop(columns="fit_seconds") for folder in (out, again))
    pd.testing.assert_frame_equal(one, other)
    subprocess.run([*run, str(config), use, "--out", str(out), "--overwrite"], check=True)


def test_packages_are_copied_whole(tmp_path: Path) -> None:
    with_package(tmp_path)
    package, out = tmp_path / "pack_of_mine", tmp_path / "out"
    out.mkdir()
    files = {path.relative_to(tmp_path).with_suffix("").as_posix(): path for path in package.rglob("*.py")}
    assert copy_modules(out, {**files, "own": package / "__init__.py"}) == ["__init__.py", "pack_of_mine"]
    for path in package.rglob("*"):
        assert (out / path.relative_to(tmp_path)).exists()


@pytest.mark.parametrize("n", ["1", "[1]"])
def test_a_figure_of_nothing_is_left_out(config: Path, n: str) -> None:
    text = config.read_text(encoding="utf-8").replace("metrics: {rho: {use: spearman}}\n", f"n: {n}\n")
    config.write_text(text, encoding="utf-8")
    out = config.parent / "out"
    assert main(["run", str(config), "--out", str(out)]) == 0
    assert not (out / "normalized_gain.png").exists()
    assert (out / "best_of_n.png").exists()


def test_a_report_needs_a_place_before_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rm.run_study(write_grid(tmp_path, LINEAR), tmp_path / "study")
    monkeypatch.chdir(tmp_path)
    for out, message in ((".", ". is a folder; give the name"), ("no/report.html", "there is no folder no; make it")):
        assert main(["report", "study", "--out", out]) == 2
        assert message in capsys.readouterr().err
