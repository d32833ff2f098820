import csv
import json
import os
import platform
import sqlite3
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import rmspace as rm
from rmspace.cli.main import main
from rmspace.study.lock import process_start
from rmspace.study.store import Store
from study_cases import BASE, SMALL, assert_same, faulty_grid, numbers, write_grid


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    rm.run_study(write_grid(folder, SMALL), folder / "out")
    return folder


def test_a_cell_is_one_call_of_run(small):
    study = rm.Study.open(small / "out")
    cells = study.cells()
    assert study.counts() == {"done": 12}
    row = cells.query("`annotator.beta` == 10 and models == 'MLP' and seed == 1").iloc[0]
    config = small / "cell.yaml"
    config.write_text(rm.config.dump_yaml(study.config(row.key)))
    experiment = rm.load_config(config)
    train, test = experiment.data()
    expected = rm.run(train=train, test=test, **experiment.options)
    table = study.results()
    found = table[(table["annotator.beta"] == 10) & (table.models == "MLP") & (table.seed == 1)]
    for column in ("metric", "n", "value", "low", "high", "error_rate", "mean_abs_gap"):
        assert found[column].tolist() == expected[column].tolist(), column


def test_results_are_tidy(small):
    table = rm.Study.open(small / "out").results()
    assert list(table.columns) == [
        "annotator.beta", "models", "seed", "model", "metric", "n", "value", "low", "high",
        "error_rate", "mean_abs_gap", "fit_seconds", "precision", "device",
    ]  # fmt: skip
    assert table.dtypes[["annotator.beta", "seed", "n", "value"]].astype(str).tolist() == [
        "int64", "int64", "Int64", "float64",
    ]  # fmt: skip
    assert len(table) == 12 * 3
    assert (table.low <= table.value).all()
    assert (table.value <= table.high).all()
    assert set(table[table.model == "MLP"].precision) == {"float32"}
    assert table[table.model == "BT"].precision.isna().all()


def test_in_parts_and_in_another_order_the_numbers_are_the_same(small, tmp_path):
    path = write_grid(tmp_path, SMALL)
    rm.run_study(path, tmp_path / "out", sample=5)
    assert rm.Study.open(tmp_path / "out").counts() == {"waiting": 7, "done": 5}
    rm.run_study(path, tmp_path / "out", overrides=["grid.seed=[1, 0]", "grid.annotator.beta=[10]"])
    rm.run_study(path, tmp_path / "out")
    pd.testing.assert_frame_equal(
        *(
            table.sort_values(["annotator.beta", "models", "seed", "metric", "n"]).reset_index(drop=True)
            for table in (numbers(small / "out"), numbers(tmp_path / "out"))
        ),
        check_exact=True,
    )


def test_what_is_done_is_not_done_again(small):
    before = rm.Study.open(small / "out").cells()
    rm.run_study(small / "grid.yaml", small / "out")
    pd.testing.assert_frame_equal(rm.Study.open(small / "out").cells(), before)


def test_a_study_grows(tmp_path):
    path = write_grid(tmp_path, SMALL)
    rm.run_study(path, tmp_path / "out", overrides=["grid.seed=[0]"])
    first = rm.Study.open(tmp_path / "out").cells()
    rm.run_study(path, tmp_path / "out")
    both = rm.Study.open(tmp_path / "out").cells()
    assert len(both) == 12
    assert set(first.key) < set(both.key)
    assert both.set_index("key").ended[first.key].tolist() == first.ended.tolist()


def test_failed_cells_stop_nothing_and_can_be_tried_again(tmp_path, capsys):
    path = write_grid(tmp_path, faulty_grid(["ok", "fail"], [0, 1]))
    assert main(["study", str(path), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().out
    assert "2 done, 2 failed" in said
    assert "failed: RuntimeError: no luck (in 'BT')" in said
    study = rm.Study.open(tmp_path / "out")
    failed = study.cells().query("status == 'failed'")
    assert all('raise RuntimeError("no luck")' in text for text in failed.traceback)
    assert set(study.results()["models.BT.kind"]) == {"ok"}
    assert main(["study", str(path), "--out", str(tmp_path / "out")]) == 1
    assert study.cells().query("status == 'failed'").ended.tolist() == failed.ended.tolist()
    done = study.cells().query("status == 'done'").ended.tolist()
    assert main(["study", str(path), "--out", str(tmp_path / "out"), "--retry-failed"]) == 1
    assert study.counts() == {"done": 2, "failed": 2}
    assert study.cells().query("status == 'done'").ended.tolist() == done


def test_another_grid_or_base_is_refused(small, tmp_path):
    grid = SMALL.replace("  seed: [0, 1]", "  n_pairs: [10, 20]")
    with pytest.raises(ValueError, match=r"another grid, .* it lacks seed, it has n_pairs besides; choose another"):
        rm.run_study(write_grid(tmp_path, grid), small / "out")
    base = SMALL.replace("n_resamples: 100", "n_resamples: 200")
    with pytest.raises(ValueError, match="another base: n_resamples was 100 and is 200"):
        rm.run_study(write_grid(tmp_path, base), small / "out")
    with pytest.raises(ValueError, match="begun with 1 threads a cell"):
        rm.run_study(small / "grid.yaml", small / "out", threads=2)
    overridden = SMALL.replace("beta: 1.0", "beta: 2.0")  # what an axis sets anyway is no other base
    rm.run_study(write_grid(tmp_path, overridden), small / "out")


def test_a_first_attempt_that_fails_settles_nothing(tmp_path):
    path, out = write_grid(tmp_path, SMALL.replace("n_pairs: 50", "n_pairs: fifty")), tmp_path / "out"
    with pytest.raises(ValueError, match="must be a whole number"):
        rm.run_study(path, out)
    with pytest.raises(ValueError, match="processes of 64 threads"):
        rm.run_study(write_grid(tmp_path, SMALL), out, threads=64)
    assert rm.run_study(path, out, sample=1).counts() == {"waiting": 11, "done": 1}


def test_the_results_are_those_of_the_grid_that_was_run_last(tmp_path):
    path, out = write_grid(tmp_path, SMALL), tmp_path / "out"
    rm.run_study(path, out)
    study = rm.run_study(path, out, overrides=["grid.seed=[1]"])
    assert set(study.results().seed) == {1}
    assert sorted(study.results(old=True).current.value_counts().items()) == [(False, 18), (True, 18)]
    ended = study.cells(old=True).ended.sort_values().tolist()
    assert len(rm.run_study(path, out).results()) == 36
    assert study.cells().ended.sort_values().tolist() == ended
    named = SMALL.replace("{BT: {use: LinearReward}, MLP", "{Linear: {use: LinearReward}, MLP")
    rm.run_study(write_grid(tmp_path, named), out)  # the model's name is part of its cell
    assert set(study.results().models) == {"Linear", "MLP", "LGB"}


def test_an_exit_inside_a_cell_is_a_failure(tmp_path):
    study = rm.run_study(write_grid(tmp_path, faulty_grid(["ok", "leave"], [0])), tmp_path / "out")
    assert study.counts() == {"done": 1, "failed": 1}
    assert study.cells().error[1] == "SystemExit: giving up"


def test_a_linked_bank_that_changed_is_noticed(tmp_path):
    def save(seed):
        for side, bank in zip(("train", "test"), rm.make_synthetic_banks(40, 15, 6, 16, seed=seed), strict=True):
            bank.save(tmp_path / "elsewhere" / "Helpful" / side, overwrite=True)

    save(0)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "Gemma2b").symlink_to(tmp_path / "elsewhere")
    world = "{use: make_synthetic_banks, n_prompts: 40, n_test_prompts: 15, n_responses: 6, dim: 16}"
    data = "{use: open_paper_banks, root: root, base_model: Gemma2b, dataset: Helpful}"
    path = write_grid(tmp_path, BASE.replace(world, data) + "grid: {seed: [0]}\n")
    first = rm.run_study(path, tmp_path / "out").results().value.tolist()
    save(1)
    assert rm.run_study(path, tmp_path / "out").results().value.tolist() != first


def test_mistakes_leave_no_study_behind(tmp_path):
    path = write_grid(tmp_path, SMALL)
    for arguments in ({"overrides": ["grid.n_pair=[1]"]}, {"workers": -1}, {"workers": 1, "scheduler": "x:1"}):
        with pytest.raises(ValueError):
            rm.run_study(path, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="2 processes of 64 threads would share"):
        rm.run_study(path, tmp_path / "out", threads=64, workers=2)


def test_a_bank_that_changed_makes_new_cells(tmp_path):
    def save(seed):
        for side, bank in zip(("train", "test"), rm.make_synthetic_banks(40, 15, 6, 16, seed=seed), strict=True):
            bank.save(tmp_path / "banks" / side, overwrite=True)

    save(0)
    data = "{use: open_banks, train: banks/train, test: banks/test}"
    world = "{use: make_synthetic_banks, n_prompts: 40, n_test_prompts: 15, n_responses: 6, dim: 16}"
    path = write_grid(tmp_path, BASE.replace(world, data) + "grid: {seed: [0, 1]}\n")
    study = rm.run_study(path, tmp_path / "out")
    first = numbers(tmp_path / "out")
    save(1)
    rm.run_study(path, tmp_path / "out")
    assert not first.value.equals(study.results().value)
    old = study.results(old=True)
    assert old.current.tolist() == [True] * 6 + [False] * 6
    assert old[~old.current].value.tolist() == first.value.tolist()
    assert study.cells(old=True).train.nunique() == 2
    save(0)  # and back: nothing is computed again
    ended = study.cells(old=True).ended.sort_values().tolist()
    rm.run_study(path, tmp_path / "out")
    pd.testing.assert_frame_equal(numbers(tmp_path / "out"), first)
    assert study.cells(old=True).ended.sort_values().tolist() == ended


def test_a_bank_whose_function_is_not_repeatable_is_noticed(tmp_path):
    (tmp_path / "moody_bank.py").write_text(
        "import itertools, rmspace as rm\ncount = itertools.count()\n"
        "def make():\n    return rm.make_synthetic_banks(40, 15, 6, 16, seed=next(count))\n"
    )
    world = "{use: make_synthetic_banks, n_prompts: 40, n_test_prompts: 15, n_responses: 6, dim: 16}"
    text = BASE.replace(world, "{use: moody_bank.make}") + "grid: {seed: [0]}\n"
    study = rm.run_study(write_grid(tmp_path, text), tmp_path / "out")
    assert study.counts() == {"failed": 1}
    assert "its function gives another one each time" in study.cells().error[0]


def test_files_that_are_no_study(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no study at"):
        rm.Study.open(tmp_path)
    (tmp_path / "study.sqlite").write_bytes(b"something else, longer than a header of SQLite" * 100)
    with pytest.raises(ValueError, match="is no study, or is damaged"):
        rm.Study.open(tmp_path)
    with pytest.raises(ValueError, match="is no study, or is damaged"):
        rm.run_study(write_grid(tmp_path, SMALL), tmp_path)
    (tmp_path / "study.sqlite").unlink()
    sqlite3.connect(tmp_path / "study.sqlite").execute("CREATE TABLE x (y)").connection.commit()
    with pytest.raises(ValueError, match="is no study of rmspace's"):
        rm.Study.open(tmp_path)


def test_a_newer_version_is_refused(small, tmp_path):
    (tmp_path / "study.sqlite").write_bytes((small / "out" / "study.sqlite").read_bytes())
    with sqlite3.connect(tmp_path / "study.sqlite") as connection:
        connection.execute("UPDATE meta SET value = '2' WHERE name = 'version'")
    for use in (lambda: rm.Study.open(tmp_path), lambda: rm.run_study(small / "grid.yaml", tmp_path)):
        with pytest.raises(ValueError, match=r"written by a newer rmspace .* upgrade rmspace"):
            use()


def set_driver(folder, host, pid, started):
    store = Store.open(folder / "study.sqlite")
    with store.transaction():
        store.connection.execute("INSERT INTO driver VALUES (1, ?, ?, ?, 'today', 'token')", (host, pid, started))
    store.close()


def test_the_lock(tmp_path):
    path = write_grid(tmp_path, faulty_grid(["ok"], [0]))
    out = tmp_path / "out"
    rm.run_study(path, out)
    me = os.getpid()
    set_driver(out, platform.node(), me, process_start(me))
    with pytest.raises(BlockingIOError, match=f"run by process {me} on {platform.node()} since today.*wait for it"):
        rm.run_study(path, out)
    assert rm.Study.open(out).counts() == {"done": 1}  # reading needs no lock
    store = Store.open(out / "study.sqlite")
    with store.transaction():
        store.connection.execute(
            "UPDATE driver SET started = substr(started, 1, instr(started, ' ')) || '1'"
        )  # the number was given to another process since
    store.close()
    with pytest.warns(UserWarning, match=f"took over .* from process {me}, which is dead"):
        rm.run_study(path, out)
    set_driver(out, "elsewhere", 7, "1")
    with pytest.raises(
        BlockingIOError, match=r"process 7 on elsewhere .* if that process is dead, run with --take-over"
    ):
        rm.run_study(path, out)
    with pytest.warns(UserWarning, match="took over .* on elsewhere, as asked"):
        rm.run_study(path, out, take_over=True)


def test_a_dead_processes_lock_is_taken_over(tmp_path):
    path = write_grid(tmp_path, faulty_grid(["ok"], [0]))
    rm.run_study(path, tmp_path / "out")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    set_driver(tmp_path / "out", platform.node(), dead.pid, process_start(os.getpid()).partition(" ")[0] + " 5")
    with pytest.warns(UserWarning, match="which is dead"):
        rm.run_study(path, tmp_path / "out")


def test_a_module_edited_while_the_study_runs_fails_its_cells(tmp_path):
    (tmp_path / "judge_mod.py").write_text("def judge(gap):\n    return (gap > 0) * 1.0\n")
    (tmp_path / "edit_mod.py").write_text(
        "import pathlib\ndef score(train, test):\n"
        f"    pathlib.Path({str(tmp_path / 'judge_mod.py')!r}).write_text('def judge(gap):\\n    return gap * 0\\n')\n"
        "    return test.rewards\n"
    )
    text = BASE.replace("{use: logistic, beta: 1.0}", "{use: judge_mod.judge}")
    text += "  baselines: {edit: {use: edit_mod.score}}\ngrid: {seed: [0, 1]}\n"
    study = rm.run_study(write_grid(tmp_path, text), tmp_path / "out")
    assert study.counts() == {"done": 1, "failed": 1}
    assert "judge_mod.py was edited after this process had imported it" in study.cells().error.dropna().iloc[0]


def test_the_commands(small, capsys, tmp_path):
    out = str(small / "out")
    assert main(["study", str(small / "grid.yaml"), "--dry-run", "--timed", "2"]) == 0
    said = capsys.readouterr().out
    assert "12 cells\n  annotator.beta: 2 (1, 10)" in said
    assert "core-hours: 2 cells of 3 kinds were timed here" in said
    assert main(["study", str(small / "grid.yaml")]) == 2
    assert "a study needs a folder: --out DIR" in capsys.readouterr().err
    assert main(["results", out, "--csv"]) == 0
    file = tmp_path / "table.csv"
    file.write_text(capsys.readouterr().out)
    values = [float(row["value"]) for row in csv.DictReader(file.read_text().splitlines())]
    assert values == rm.Study.open(out).results().value.tolist()
    assert main(["results", out]) == 0
    assert "12 done" in capsys.readouterr().out
    assert main(["results", str(tmp_path)]) == 2
    assert "there is no study at" in capsys.readouterr().err


def test_values_survive_the_file_to_the_last_bit(tmp_path):
    (tmp_path / "odd_values.py").write_text(
        "import numpy as np\ndef odd(scores, rewards):\n    return np.full(len(rewards), {value})\n"
    )
    for k, value in enumerate(["0.1 + 0.2", "5e-324", "np.nan", "1.7976931348623157e308 / 15"]):
        module = f"odd_values_{k}"
        (tmp_path / f"{module}.py").write_text((tmp_path / "odd_values.py").read_text().replace("{value}", value))
        metrics = "{gain: {use: gain, n: [2, 6]}, spearman: {use: spearman}}"
        text = BASE.replace(metrics, f"{{odd: {{use: {module}.odd}}}}") + "grid: {seed: [0]}\n"
        table = rm.run_study(write_grid(tmp_path, text), tmp_path / f"out{k}").results()
        expected = float(np.full(15, eval(value)).mean())
        assert np.array_equal(table.value, [expected], equal_nan=True)


def test_sharing_between_cells_changes_nothing(small, tmp_path):
    from rmspace.study.engine import cell as compute

    class Alone(compute.Computer):
        def __call__(self, task):
            self.close()
            return super().__call__(task)

    import rmspace.study.engine.in_process as local

    kept = local.Computer
    local.Computer = Alone
    try:
        rm.run_study(write_grid(tmp_path, SMALL), tmp_path / "out")
    finally:
        local.Computer = kept
    assert_same(tmp_path / "out", small / "out")


def test_labels_keep_their_kinds(tmp_path):
    text = BASE + "grid:\n  pairs.repeats: [true, false]\n  reward_scale: [std, 2.5]\n  n_pairs: [10]\n"
    study = rm.run_study(write_grid(tmp_path, text), tmp_path / "out")
    cells = study.cells()
    assert cells[["pairs.repeats", "reward_scale", "n_pairs"]].drop_duplicates().to_numpy(object).tolist() == [
        [True, "std", 10], [True, 2.5, 10], [False, "std", 10], [False, 2.5, 10],
    ]  # fmt: skip
    assert json.loads(json.dumps(study.environments()[0]))["cells"] == 4
