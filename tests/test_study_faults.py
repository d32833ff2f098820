"""Studies whose drivers, workers and disks fail: real processes, real signals."""

import os
import platform
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import rmspace as rm
from faults.processes import finish, small_files, wait_for, workers_of
from rmspace.study.engine import pool
from rmspace.study.engine.dispatch import Batch
from rmspace.study.engine.task import Outcome
from study_cases import (
    BASE,
    ENVIRONMENT,
    assert_same,
    faulty_grid,
    start,
    write_grid,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL, process groups or limits of file size"),
]
pytest.importorskip("distributed", reason="Dask is not installed: pip install 'reward-space[cluster]'")

Scheduler = tuple[str, Callable[..., subprocess.Popen[bytes]]]  # its address, and a function that starts a worker
MANY = BASE + "grid: {annotator.beta: [1, 3, 5, 10], n_pairs: [20, 30, 40, 50, 60, 70, 80, 90, 100, 110], seed: [%s]}\n"


def query(folder: Path, text: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{folder / 'study.sqlite'}?mode=ro", uri=True)) as connection:
        return connection.execute(text).fetchall()


def driver_began(folder: Path, pid: int) -> Callable[[], Any]:
    """Whether a driver holds the lock, and has written its plan."""
    return lambda: (pid,) in query(folder, "SELECT pid FROM driver") and query(folder, "SELECT * FROM plan")


def has_cells(folder: Path, count: int) -> Callable[[], bool]:
    """Whether so many cells have ended."""
    return lambda: query(folder, "SELECT COUNT(*) FROM cell")[0][0] >= count


def test_the_numbers_are_the_same_on_workers_and_without(tmp_path: Path) -> None:
    dense, trees = "{use: MLPReward, hidden_sizes: [64, 32]}", "{use: LightGBMReward, n_estimators: 10}"
    models = f"{{BT: {{use: LinearReward}}, MLP: {dense}, LGB: {trees}}}"
    grid = (
        "grid: {annotator.beta: [1, 10], pairs: {same: {use: same_prompt}, cross: {use: cross_prompt}}, seed: [0, 1]}\n"
    )
    path = write_grid(
        tmp_path, BASE.replace("{BT: {use: LinearReward}}", models).replace("n_pairs: 50", "n_pairs: 300") + grid
    )
    for workers in (0, 2):
        code, _, said = finish(start(path, "--out", tmp_path / str(workers), "--workers", workers))
        assert code == 0, said
    assert_same(tmp_path / "2", tmp_path / "0")


def test_only_the_cell_that_crashes_its_worker_is_given_up(tmp_path: Path) -> None:
    path = write_grid(
        tmp_path,
        faulty_grid(["ok", "kill"], range(12))
        + "exclude: [{models.BT.kind: kill, seed: [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]}]\n",
    )
    code, out, said = finish(start(path, "--out", tmp_path / "out", "--workers", 2))
    assert code == 1, said
    assert "12 done, 1 crashed" in out
    bad = rm.Study.open(tmp_path / "out").cells().query("status != 'done'")
    assert bad[["models.BT.kind", "seed", "attempts"]].to_numpy().tolist() == [["kill", 5, 4]]
    assert "was killed by SIGKILL (signal 9), and so 3 times more when it ran alone" in bad.error.iloc[0]


def test_a_cell_that_takes_too_long(tmp_path: Path) -> None:
    path = write_grid(tmp_path, faulty_grid(["ok", "hang"], [0]))
    code, out, said = finish(start(path, "--out", tmp_path / "out", "--cell-timeout", 15))
    assert (code, "1 done" in out) == (1, True), said
    assert "timeout: took over 15 seconds (--cell-timeout)" in out


def test_a_full_disk(tmp_path: Path) -> None:
    path = write_grid(tmp_path, MANY % "0")
    rm.run_study(path, tmp_path / "whole")
    code, _, said = finish(start(path, "--out", tmp_path / "out", preexec_fn=small_files(100_000)))
    assert code == 2
    assert "study.sqlite could not be read or written" in said
    assert "free space on the disk or correct the permissions, and run the same command again" in said
    assert "of 40 cells are in" in said
    done = rm.Study.open(tmp_path / "out").counts()
    assert 0 < done["done"] < 40
    code, _, said = finish(start(path, "--out", tmp_path / "out"))
    assert code == 0, said
    assert_same(tmp_path / "out", tmp_path / "whole")


def test_a_second_driver_is_refused_and_a_dead_ones_study_goes_on(tmp_path: Path) -> None:
    path = write_grid(tmp_path, faulty_grid(["ok"], [0, 1, 2], seconds=3.0))
    out = tmp_path / "out"
    first = start(path, "--out", out)
    wait_for(driver_began(out, first.pid), first)
    code, _, said = finish(start(path, "--out", out))
    assert code == 2
    assert f"is being run by process {first.pid} on {platform.node()} since" in said
    first.kill()
    finish(first)
    code, _, said = finish(start(path, "--out", out))
    assert code == 0
    assert f"from process {first.pid}, which is dead" in said


@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c(tmp_path: Path, workers: int) -> None:
    import psutil  # type: ignore[import-untyped]

    path = write_grid(tmp_path, faulty_grid(["ok"], range(16), seconds=0.4))
    out = tmp_path / "out"
    driver = start(path, "--out", out, "--workers", workers)
    wait_for(has_cells(out, 3), driver)
    processes = workers_of(driver.pid)
    os.killpg(driver.pid, signal.SIGINT)  # like a terminal: the driver and its workers get the signal
    code, _, said = finish(driver)
    assert code == 130, said
    assert "interrupted" in said
    assert "of 16 cells are in" in said
    assert workers or "Traceback" not in said  # worker processes hear Ctrl-C themselves, and may print where
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in processes))
    before = rm.Study.open(out).counts()["done"]
    assert query(out, "SELECT * FROM driver") == []
    code, out_text, said = finish(start(path, "--out", out, "--workers", 2))
    assert (code, "16 done" in out_text) == (0, True), said
    assert before < 16


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[Scheduler]:
    """A Dask scheduler of its own, as on a cluster; yields (address, start a worker)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    processes: list[subprocess.Popen[bytes]] = []

    def launch(kind: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        log = (tmp_path / f"{kind}{len(processes)}.log").open("w")
        command = [sys.executable, "-m", "distributed.cli." + kind, *arguments]
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**ENVIRONMENT, **environment}, start_new_session=True
        )
        processes.append(process)
        return process

    launch("dask_scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard")
    yield address, lambda *more, **environment: launch("dask_worker", address, "--no-dashboard", *more, **environment)
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_workers_of_a_scheduler(tmp_path: Path, scheduler: Scheduler) -> None:
    address, worker = scheduler
    path = write_grid(tmp_path, MANY % "0")
    rm.run_study(path, tmp_path / "whole")
    nannies = [worker("--nthreads", "1") for _ in range(2)]
    driver = start(path, "--out", tmp_path / "out", "--scheduler", address)
    wait_for(has_cells(tmp_path / "out", 3), driver)
    os.kill(workers_of(nannies[0].pid)[0], signal.SIGKILL)
    code, out, said = finish(driver)
    assert (code, "40 done" in out) == (0, True), said
    assert_same(tmp_path / "out", tmp_path / "whole")


def test_a_late_cell_on_a_scheduler(tmp_path: Path, scheduler: Scheduler) -> None:
    address, worker = scheduler
    worker("--nthreads", "1")
    path = write_grid(tmp_path, faulty_grid(["ok", "hang"], [0]))
    code, out, said = finish(start(path, "--out", tmp_path / "out", "--scheduler", address, "--cell-timeout", 15))
    assert (code, "1 done" in out) == (1, True), said
    assert "timeout: took over 15 seconds" in out


@pytest.mark.parametrize("local", [True, False])
def test_a_result_that_is_lost_while_its_worker_lives(
    tmp_path: Path, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, local: bool
) -> None:
    """The only worker loses two results and lives: the study must not wait for another worker."""
    address, worker = scheduler
    worker("--nthreads", "1", "--no-nanny")
    outcomes = pool.WorkerPool._outcomes
    lost: list[Batch] = []

    def forgetful(workers: pool.WorkerPool, address: str, batch: Batch, future: Any) -> list[Outcome]:
        if len(lost) < 2:
            lost.append(batch)
            return []
        return outcomes(workers, address, batch, future)

    monkeypatch.setattr(pool.WorkerPool, "_outcomes", forgetful)
    path = write_grid(tmp_path, MANY % "0")
    options = {"workers": 1} if local else {"scheduler": address}
    rm.run_study(path, tmp_path / "out", **options)
    assert len(lost) == 2
    rm.run_study(path, tmp_path / "whole")
    assert_same(tmp_path / "out", tmp_path / "whole")


def test_a_scheduler_that_forgets_its_workers_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask, asked = pool.WorkerPool._ask, []

    def forgetful(workers: pool.WorkerPool) -> dict[str, Any]:
        asked.append(bool(workers.ready))
        return {} if asked[-1] and sum(asked) == 2 else ask(workers)

    monkeypatch.setattr(pool.WorkerPool, "_ask", forgetful)
    path = write_grid(tmp_path, MANY % "0")
    rm.run_study(path, tmp_path / "out", workers=2)
    assert sum(asked) > 2
    rm.run_study(path, tmp_path / "whole")
    assert_same(tmp_path / "out", tmp_path / "whole")


def test_workers_that_cannot_be_used(tmp_path: Path, scheduler: Scheduler) -> None:
    address, worker = scheduler
    path = write_grid(tmp_path, MANY % "0")
    two = worker("--nthreads", "2")
    code, _, said = finish(start(path, "--out", tmp_path / "out", "--scheduler", address))
    assert code == 2
    assert "runs 2 cells at once; start workers with --nthreads 1" in said
    os.killpg(two.pid, signal.SIGKILL)
    source = Path(rm.__file__).parent
    shutil.copytree(source, tmp_path / "other" / "rmspace")
    text = (source / "__init__.py").read_text().replace(f'"{rm.__version__}"', '"99.0"')
    (tmp_path / "other" / "rmspace" / "__init__.py").write_text(text)
    worker("--nthreads", "1", PYTHONPATH=str(tmp_path / "other"))
    code, _, said = finish(start(path, "--out", tmp_path / "out", "--scheduler", address))
    assert code == 2
    assert f"runs other versions: rmspace 99.0 (here {rm.__version__}); install the same there" in said
    assert rm.Study.open(tmp_path / "out").counts() == {"waiting": 40}


def test_a_script_without_a_guard_is_told(tmp_path: Path) -> None:
    path = write_grid(tmp_path, MANY % "0")
    script = tmp_path / "script.py"
    script.write_text(f"import rmspace as rm\nrm.run_study({str(path)!r}, {str(tmp_path / 'out')!r}, workers=1)\n")
    ended = subprocess.run([sys.executable, str(script)], env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert "the workers did not start" in ended.stderr
    assert "under `if __name__ == '__main__':`" in ended.stderr


def test_one_percent_of_the_full_grid(tmp_path: Path) -> None:
    grid = Path(__file__).parents[1] / "configs" / "paper" / "full_grid.yaml"
    arguments = ("--synthetic", "--sample", 130, "--workers", 2, "--out", tmp_path / "out")
    code, out, said = finish(start(grid, *arguments))
    assert (code, "130 done" in out) == (0, True), said
    table = rm.Study.open(tmp_path / "out").results()
    assert table["data.base_model"].nunique() == 6
    assert set(table.model) == {"BT-MLP", "CLF-MLP", "CLF-LGB"}


def test_a_scheduler_that_does_not_answer(tmp_path: Path) -> None:
    path = write_grid(tmp_path, MANY % "0")
    code, _, said = finish(start(path, "--out", tmp_path / "out", "--scheduler", "tcp://127.0.0.1:9"))
    assert code == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in said
    assert "Traceback" not in said
