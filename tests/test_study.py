"""Running studies in this process, and reading them."""

import csv
import json
import os
import platform
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rmspace as rm
from rmspace.cli.main import main
from rmspace.config import ConfigError, dump_yaml
from rmspace.results.schema import CELL, FACTS, MEASURES, names
from rmspace.study.engine.cell import CellRunner, as_rows
from rmspace.study.fingerprints import Fingerprints, check_unchanged, file_signature
from rmspace.study.lock import process_start
from rmspace.study.plan.grid import read_grid
from rmspace.study.store import Driver, Store
from rmspace.study.tasks import make_tasks
from study_cases import ALLOW, BASE, LINEAR, SYNTHETIC, THREE_MODELS, assert_same, faulty_grid, numbers, write_grid


@pytest.fixture(scope="module")
def three_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three_models")
    rm.run_study(write_grid(folder, THREE_MODELS), folder / "out")
    return folder


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("linear")
    rm.run_study(write_grid(folder, LINEAR), folder / "out")
    return folder


def save_banks(folder: Path, seed: int) -> None:
    banks = rm.make_synthetic_banks(40, 15, 6, 16, seed=seed)
    for side, bank in zip(("train", "test"), banks, strict=True):
        bank.save(folder / side, overwrite=True)


def with_data(data: str, text: str = LINEAR) -> str:
    assert SYNTHETIC in text
    return text.replace(SYNTHETIC, data)


# What a study computes


def test_a_cell_is_one_call_of_run(three_models: Path) -> None:
    study = rm.Study.open(three_models / "out")
    cells = study.cells()
    assert study.counts() == {"done": 12}
    row = cells.query("`annotator.beta` == 10 and models == 'MLP' and seed == 1").iloc[0]
    config = three_models / "cell.yaml"
    config.write_text(dump_yaml(study.config(row.key)))
    experiment = rm.load_config(config)
    train, test = experiment.data()
    expected = rm.run(train=train, test=test, **experiment.options)
    table = study.results()
    found = table[(table["annotator.beta"] == 10) & (table.models == "MLP") & (table.seed == 1)]
    same = [name for name in names((*MEASURES, *FACTS)) if name != "fit_seconds"]
    found = found[same].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected[same], check_exact=True, check_dtype=False)


def test_results_have_the_axes_and_the_columns_of_the_schema(three_models: Path) -> None:
    table = rm.Study.open(three_models / "out").results()
    assert list(table.columns) == ["annotator.beta", "models", "seed", *names(MEASURES), *names(FACTS)]
    dtypes = {column.name: column.dtype for column in (*MEASURES, *FACTS) if column.dtype != "str"}
    assert {name: str(table.dtypes[name]) for name in dtypes} == dtypes
    assert [str(table.dtypes[axis]) for axis in ("annotator.beta", "seed")] == ["int64", "int64"]
    assert len(table) == 12 * 3
    assert (table.low <= table.value).all()
    assert (table.value <= table.high).all()
    assert set(table.n_prompts) == {15}
    assert set(table[table.model == "MLP"].precision) == {"float32"}
    assert table[table.model == "BT"].precision.isna().all()


def test_the_file_has_the_columns_of_the_schema(linear: Path) -> None:
    expected = {"cell": names(CELL), "result": names(MEASURES), "fit": ["model", *names(FACTS)]}
    with closing(Store.open(linear / "out" / "study.sqlite")) as store:
        for table, columns in expected.items():
            found = [name for _, name, *_ in store.rows(f"PRAGMA table_info({table})")]
            assert found[-len(columns) :] == columns


def test_in_parts_and_in_another_order_the_numbers_are_the_same(linear: Path, tmp_path: Path) -> None:
    path = write_grid(tmp_path, LINEAR)
    rm.run_study(path, tmp_path / "out", sample=1)
    assert rm.Study.open(tmp_path / "out").counts() == {"waiting": 3, "done": 1}
    rm.run_study(path, tmp_path / "out", overrides=["grid.seed=[1, 0]", "grid.annotator.beta=[10]"])
    rm.run_study(path, tmp_path / "out")
    pd.testing.assert_frame_equal(numbers(tmp_path / "out"), numbers(linear / "out"), check_exact=True)


def test_cells_that_reuse_items_give_the_numbers_of_cells_that_do_not(three_models: Path) -> None:
    grid = read_grid(three_models / "grid.yaml")
    tasks, _ = make_tasks(grid, grid.cells(), grid.columns, {})
    alone = [row for task in tasks for row in CellRunner().run(task).measures]
    table = rm.Study.open(three_models / "out").results()
    assert [row[names(MEASURES).index("value")] for row in alone] == table.value.tolist()


def test_values_survive_the_file_to_the_last_bit(tmp_path: Path) -> None:
    values = [0.1 + 0.2, 5e-324, float("nan"), 1.7976931348623157e308 / 15]
    (tmp_path / "constants.py").write_text(
        "import numpy as np\ndef constant(scores, rewards, value):\n    return np.full(len(rewards), value)\n"
    )
    metrics = [f"v{k}: {{use: constants.constant, value: {v!r}}}" for k, v in enumerate(values) if v == v]
    metrics.append("v2: {use: constants.constant, value: .nan}")
    text = BASE.replace("{gain: {use: gain, n: [2, 6]}, spearman: {use: spearman}}", f"{{{', '.join(metrics)}}}")
    table = rm.run_study(write_grid(tmp_path, text + "grid: {seed: [0]}\n"), tmp_path / "out").results()
    found = table.set_index("metric").value
    for k, value in enumerate(values):
        assert np.array_equal(found[f"v{k}"], np.full(15, value).mean(), equal_nan=True)


def test_labels_keep_their_types(tmp_path: Path) -> None:
    text = BASE + "grid:\n  pairs.repeats: [true, false]\n  reward_scale: [std, 2.5]\n  n_pairs: [10]\n"
    study = rm.run_study(write_grid(tmp_path, text), tmp_path / "out")
    cells = study.cells()
    assert cells[["pairs.repeats", "reward_scale", "n_pairs"]].drop_duplicates().to_numpy(object).tolist() == [
        [True, "std", 10], [True, 2.5, 10], [False, "std", 10], [False, 2.5, 10],
    ]  # fmt: skip
    assert json.loads(json.dumps(study.environments()[0]))["cells"] == 4


# Going on


def test_what_is_done_is_not_done_again(linear: Path) -> None:
    before = rm.Study.open(linear / "out").cells()
    rm.run_study(linear / "grid.yaml", linear / "out")
    pd.testing.assert_frame_equal(rm.Study.open(linear / "out").cells(), before)


def test_a_study_grows(tmp_path: Path) -> None:
    path = write_grid(tmp_path, LINEAR)
    rm.run_study(path, tmp_path / "out", overrides=["grid.seed=[0]"])
    first = rm.Study.open(tmp_path / "out").cells()
    rm.run_study(path, tmp_path / "out")
    both = rm.Study.open(tmp_path / "out").cells()
    assert len(both) == 4
    assert set(first.key) < set(both.key)
    assert both.set_index("key").ended[first.key].tolist() == first.ended.tolist()


def test_failed_cells_stop_nothing_and_can_be_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = write_grid(tmp_path, faulty_grid(["ok", "fail"], [0, 1])), tmp_path / "out"
    command = ["study", str(path), "--out", str(out), "--allow", *ALLOW]
    assert main(command) == 1
    said = capsys.readouterr().out
    assert "2 done, 2 failed" in said
    assert "failed: RuntimeError: no luck (in 'BT')" in said
    study = rm.Study.open(out)
    failed = study.cells().query("status == 'failed'")
    assert all('raise RuntimeError("no luck")' in text for text in failed.traceback)
    assert set(study.results()["models.BT.kind"]) == {"ok"}
    before = study.cells()
    assert main(command) == 1
    pd.testing.assert_frame_equal(study.cells(), before)
    assert main([*command, "--retry-failed"]) == 1
    assert study.counts() == {"done": 2, "failed": 2}
    done = before.query("status == 'done'")
    pd.testing.assert_frame_equal(study.cells().query("status == 'done'"), done)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("leave", "SystemExit: giving up"),
        ("interrupt", "KeyboardInterrupt:"),
        ("surrogate", "RuntimeError: bad \\ud800 (in 'BT')"),
        ("no_text", "NoText: (its text cannot be made: ZeroDivisionError)"),
    ],
)
def test_nothing_that_a_cell_raises_stops_the_study(tmp_path: Path, kind: str, error: str) -> None:
    study = rm.run_study(write_grid(tmp_path, faulty_grid([kind, "ok"], [0])), tmp_path / "out", allow=ALLOW)
    assert study.counts() == {"failed": 1, "done": 1}
    assert study.cells().error[0].startswith(error)
    assert error.split(":")[0] in study.cells().traceback[0]


def test_a_result_that_the_file_cannot_hold_is_a_failure(tmp_path: Path) -> None:
    text = BASE.replace("spearman: {use: spearman}", '"a\\ud800": {use: study_cases.unstorable}')
    study = rm.run_study(write_grid(tmp_path, text + "grid: {seed: [0]}"), tmp_path / "out", allow=ALLOW)
    assert study.counts() == {"failed": 1}
    assert "surrogates not allowed" in study.cells().error[0]
    for value in ("a\ud800", 2**63, 1j):
        with pytest.raises(ValueError, match="a result must be a number or text that UTF-8 can hold; column n has"):
            as_rows(pd.DataFrame({"n": [value]}, dtype=object), ["n"])


def test_a_bank_that_changes_in_place_under_a_cell_gives_no_result(tmp_path: Path) -> None:
    train, test = rm.make_synthetic_banks(n_prompts=20, n_test_prompts=10, n_test_responses=6, dim=16, seed=0)
    train.save(tmp_path / "banks" / "train")
    test.save(tmp_path / "banks" / "test")
    rewards = tmp_path / "banks" / "test" / "rewards.npy"
    text = BASE.replace(SYNTHETIC, "{use: open_banks, train: banks/train, test: banks/test}").replace(
        "{use: LinearReward}", f"{{use: study_cases.Overwriting, path: {rewards}}}"
    )
    path = write_grid(tmp_path, text + "grid: {seed: [0, 1, 2]}")
    rm.run_study(path, tmp_path / "undisturbed", allow=ALLOW)
    content = rewards.read_bytes()
    rewards.with_name("once").touch()
    study = rm.run_study(path, tmp_path / "out", allow=ALLOW)
    assert study.counts() == {"changed": 3}  # the first cell saw both banks, and the others saw the wrong one
    assert "files of the data changed while the cell ran; run the study again" in study.cells().error[0]
    assert "rewards.npy is damaged: its content is not what was written" in study.cells().error[1]
    rewards.write_bytes(content)
    again = rm.run_study(path, tmp_path / "out", allow=ALLOW)
    assert again.counts() == {"done": 3}
    assert_same(tmp_path / "out", tmp_path / "undisturbed")


def test_the_results_are_those_of_the_grid_that_was_run_last(tmp_path: Path) -> None:
    path, out = write_grid(tmp_path, LINEAR), tmp_path / "out"
    rm.run_study(path, out)
    study = rm.run_study(path, out, overrides=["grid.seed=[1]"])
    assert set(study.results().seed) == {1}
    assert sorted(study.results(old=True).current.value_counts().items()) == [(False, 6), (True, 6)]
    ended = study.cells(old=True).ended.sort_values().tolist()
    assert len(rm.run_study(path, out).results()) == 12
    assert study.cells().ended.sort_values().tolist() == ended


def test_the_name_of_a_model_is_part_of_its_cell(tmp_path: Path) -> None:
    grid = "grid: {models: {BT: {use: LinearReward}, CLF: {use: LinearReward, objective: {use: classification}}}}\n"
    study = rm.run_study(write_grid(tmp_path, BASE + grid), tmp_path / "out")
    before = study.cells()
    renamed = write_grid(tmp_path, BASE + grid.replace("BT: {", "Linear: {"))
    after = rm.run_study(renamed, tmp_path / "out").cells()
    assert set(study.results().models) == {"Linear", "CLF"}
    assert [a == b for a, b in zip(before.key, after.key, strict=True)] == [False, True]


def test_another_grid_or_base_is_refused(linear: Path, tmp_path: Path) -> None:
    out = linear / "out"
    grid = LINEAR.replace("seed: [0, 1]", "n_pairs: [10, 20]")
    with pytest.raises(ValueError, match=r"another grid, .* it lacks seed, it also has n_pairs; choose another"):
        rm.run_study(write_grid(tmp_path, grid), out)
    base = LINEAR.replace("n_pairs: 50", "n_pairs: 60")
    with pytest.raises(ValueError, match="another base: n_pairs was 50 and is 60"):
        rm.run_study(write_grid(tmp_path, base), out)
    with pytest.raises(ValueError, match="begun with 1 threads per cell"):
        rm.run_study(linear / "grid.yaml", out, threads=2)
    overridden = LINEAR.replace("beta: 1.0", "beta: 2.0")  # an axis sets this key: the base is the same
    rm.run_study(write_grid(tmp_path, overridden), out)


def test_a_first_attempt_that_fails_settles_nothing(tmp_path: Path) -> None:
    path, out = write_grid(tmp_path, LINEAR.replace("n_pairs: 50", "n_pairs: fifty")), tmp_path / "out"
    with pytest.raises(ValueError, match="must be a whole number"):
        rm.run_study(path, out)
    with pytest.raises(ValueError, match="processes of 1000 threads would share"):
        rm.run_study(write_grid(tmp_path, LINEAR), out, threads=1000)
    assert rm.run_study(path, out, sample=1).counts() == {"waiting": 3, "done": 1}


def test_mistakes_leave_no_study_behind(tmp_path: Path) -> None:
    path = write_grid(tmp_path, LINEAR)
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"overrides": ["grid.n_pair=[1]"]}, "did you mean n_pairs"),
        ({"workers": -1}, "workers must be at least 0"),
        ({"cell_timeout": -1}, "cell_timeout must be at least 0"),
        ({"workers": 1, "scheduler": "x:1"}, "give one of workers and scheduler; got workers=1 and scheduler='x:1'"),
    ]
    for arguments, message in mistakes:
        with pytest.raises(ValueError, match=message):
            rm.run_study(path, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


# Data and modules


def test_a_bank_that_changed_makes_new_cells(tmp_path: Path) -> None:
    save_banks(tmp_path / "banks", 0)
    text = BASE + "grid: {seed: [0, 1]}\n"
    path = write_grid(tmp_path, with_data("{use: open_banks, train: banks/train, test: banks/test}", text))
    study = rm.run_study(path, tmp_path / "out")
    first = numbers(tmp_path / "out")
    save_banks(tmp_path / "banks", 1)
    rm.run_study(path, tmp_path / "out")
    assert not first.value.equals(study.results().value)
    old = study.results(old=True)
    assert old.current.tolist() == [True] * 6 + [False] * 6
    assert old[~old.current].value.tolist() == first.value.tolist()
    assert study.cells(old=True).train.nunique() == 2
    save_banks(tmp_path / "banks", 0)  # and back: nothing is computed again
    ended = study.cells(old=True).ended.sort_values().tolist()
    rm.run_study(path, tmp_path / "out")
    pd.testing.assert_frame_equal(numbers(tmp_path / "out"), first)
    assert study.cells(old=True).ended.sort_values().tolist() == ended


def test_a_bank_behind_a_link_that_changed_is_noticed(tmp_path: Path) -> None:
    save_banks(tmp_path / "elsewhere" / "Helpful", 0)
    (tmp_path / "root").mkdir()
    try:
        (tmp_path / "root" / "Gemma2b").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    except OSError as error:
        pytest.skip(f"this user may make no links: {error}")
    path = write_grid(tmp_path, with_data("{use: open_paper_banks, root: root, base_model: Gemma2b, dataset: Helpful}"))
    first = rm.run_study(path, tmp_path / "out", sample=1).results().value.tolist()
    save_banks(tmp_path / "elsewhere" / "Helpful", 1)
    assert rm.run_study(path, tmp_path / "out", sample=1).results().value.tolist() != first


def test_data_whose_function_is_not_repeatable_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "moody_data.py").write_text(
        "import itertools, rmspace as rm\ncount = itertools.count()\n"
        "def make():\n    return rm.make_synthetic_banks(40, 15, 6, 16, seed=next(count))\n"
    )
    study = rm.run_study(write_grid(tmp_path, with_data("{use: moody_data.make}")), tmp_path / "out", sample=1)
    assert study.counts() == {"waiting": 3, "changed": 1}
    assert "their function returns other data at each call" in study.cells().error.dropna().iloc[0]


def test_preferences_and_ragged_banks_are_data_too(tmp_path: Path) -> None:
    (tmp_path / "judged.py").write_text(
        "import numpy as np, rmspace as rm\n"
        "def make():\n"
        "    train, test = rm.make_synthetic_banks(40, 15, 6, 16)\n"
        "    rng = np.random.default_rng(0)\n"
        "    judged = rm.Preferences.from_bank(train, rm.same_prompt(train, 80, rng), rm.oracle, rng=rng)\n"
        "    return judged, rm.ResponseBank(test.items[:-1], test.item_rewards[:-1], offsets=[*range(0, 90, 6), 89])\n"
    )
    text = (
        "base:\n  data: {use: judged.make}\n  models: {BT: {use: LinearReward}}\n"
        "  metrics: {gain: {use: gain, n: 6}}\n"
        "grid: {n_pairs: [20, 80], models.BT.alpha: [1, 10]}\n"
    )
    study = rm.run_study(write_grid(tmp_path, text), tmp_path / "out")
    assert study.counts() == {"done": 4}
    assert set(study.results().n_prompts) == {14}  # the last prompt has five responses
    judged, test = rm.load_config(write_cell(study, tmp_path)).data()
    assert set(study.cells().train) == {judged.fingerprint()}
    assert set(study.cells().test) == {test.fingerprint()}


def write_cell(study: rm.Study, folder: Path) -> Path:
    """Write the config of the first cell of a study."""
    path = folder / "cell.yaml"
    path.write_text(dump_yaml(study.config(study.cells().key[0])))
    return path


class Known:
    """Data of which only the fingerprint matters."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    def fingerprint(self) -> str:
        if self.text is None:
            raise AssertionError("these data were read without need")
        return self.text


def test_unchanged_files_are_not_read_again() -> None:
    check_unchanged(Known(None), Known(None), Fingerprints("a", "b", "files"), "files")
    check_unchanged(Known("a"), Known("b"), Fingerprints("a", "b", "files"), "newer files")
    check_unchanged(Known("a"), Known("b"), Fingerprints("a", "b", None), None)
    with pytest.raises(ValueError, match="the train and test data changed while the study ran"):
        check_unchanged(Known("b"), Known("a"), Fingerprints("a", "b", None), None)
    with pytest.raises(ValueError, match="the test data changed"):
        check_unchanged(Known("a"), Known("x"), Fingerprints("a", "b", "files"), "newer files")


def test_the_signature_follows_the_files_of_rmspaces_readers_only(tmp_path: Path) -> None:
    file = tmp_path / "bank" / "items.npy"
    file.parent.mkdir()
    file.write_bytes(b"one")
    block: dict[str, Any] = {"train": str(tmp_path / "bank"), "seed": 3}
    first = file_signature({"use": "open_banks", **block})
    assert first == file_signature({"use": "rmspace.readers.folders.open_banks", **block})
    assert file_signature({"use": "my_module.open", **block}) is None
    assert file_signature({"use": "make_synthetic_banks", "seed": 3}) is None
    file.write_bytes(b"three")
    assert file_signature({"use": "open_banks", **block}) != first


def test_models_of_the_user_lie_beside_the_grid(tmp_path: Path) -> None:
    (tmp_path / "reversed_model.py").write_text(
        "import rmspace as rm\n"
        "class Reversed(rm.LinearReward):\n"
        "    def predict(self, items):\n        return -super().predict(items)\n"
    )
    text = BASE + "grid: {models: {BT: {use: LinearReward}, Reversed: {use: reversed_model.Reversed}}}\n"
    study = rm.run_study(write_grid(tmp_path, text), tmp_path / "out")
    spearman = study.results().query("metric == 'spearman'").set_index("models").value
    assert spearman["Reversed"] == pytest.approx(-spearman["BT"])


def test_a_module_that_is_elsewhere_must_be_allowed(tmp_path: Path) -> None:
    path = write_grid(tmp_path, faulty_grid(["ok"], [0]))
    with pytest.raises(ConfigError, match="--allow study_cases"):
        rm.run_study(path, tmp_path / "out")
    study = rm.run_study(path, tmp_path / "out", allow=["study_cases"])
    assert study.counts() == {"done": 1}
    assert study.allow == ["study_cases"]


def test_a_module_edited_while_the_study_runs_fails_its_cells(tmp_path: Path) -> None:
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


# The file and its lock


def test_files_that_are_no_study(tmp_path: Path) -> None:
    file = tmp_path / "study.sqlite"
    with pytest.raises(FileNotFoundError, match="there is no study at"):
        rm.Study.open(tmp_path)
    file.write_bytes(b"something else, longer than a header of SQLite" * 100)
    with pytest.raises(ValueError, match="is no study, or is damaged"):
        rm.Study.open(tmp_path)
    with pytest.raises(ValueError, match="is no study, or is damaged"):
        rm.run_study(write_grid(tmp_path, LINEAR), tmp_path)
    file.unlink()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE x (y)")
    with pytest.raises(ValueError, match="is not a study of rmspace"):
        rm.Study.open(tmp_path)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("1", "by an older rmspace: its format is version 1, and this one reads version 3; run the study again"),
        ("4", "by a newer rmspace: its format is version 4, and this one reads version 3; upgrade"),
    ],
)
def test_another_version_of_the_file_is_refused(linear: Path, tmp_path: Path, version: str, message: str) -> None:
    file = tmp_path / "study.sqlite"
    file.write_bytes((linear / "out" / "study.sqlite").read_bytes())
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'version'", (version,))
    before = file.read_bytes()
    for use in (lambda: rm.Study.open(tmp_path), lambda: rm.run_study(linear / "grid.yaml", tmp_path)):
        with pytest.raises(ValueError, match=message):
            use()
    assert file.read_bytes() == before


def set_driver(folder: Path, host: str, pid: int, started: str) -> None:
    with closing(Store.open(folder / "study.sqlite")) as store, store.transaction():
        store.set_driver(Driver(host, pid, started, "today"), "token")


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Path, Path]:
    """Return a grid and the folder of its study, with one cell done."""
    path = write_grid(tmp_path, LINEAR)
    rm.run_study(path, tmp_path / "out", sample=1)
    return path, tmp_path / "out"


def test_a_study_that_runs_is_not_run_a_second_time(begun: tuple[Path, Path]) -> None:
    path, out = begun
    me = os.getpid()
    set_driver(out, platform.node(), me, process_start(me))
    with pytest.raises(BlockingIOError, match=f"run by process {me} on {platform.node()} since today"):
        rm.run_study(path, out)
    assert rm.Study.open(out).counts() == {"waiting": 3, "done": 1}  # to read needs no lock


def test_the_lock_of_a_process_on_another_host_is_taken_over_when_asked(begun: tuple[Path, Path]) -> None:
    path, out = begun
    set_driver(out, "elsewhere", 7, "1")
    with pytest.raises(
        BlockingIOError, match=r"process 7 on elsewhere .* if that process is dead, run with --take-over"
    ):
        rm.run_study(path, out)
    with pytest.warns(UserWarning, match="took over .* on elsewhere, as asked"):
        assert rm.run_study(path, out, take_over=True).counts() == {"done": 4}


@pytest.mark.skipif(not process_start(os.getpid()), reason="only Linux tells when a process started")
def test_a_process_that_has_the_number_of_a_dead_one_holds_no_lock(begun: tuple[Path, Path]) -> None:
    path, out = begun
    space, _ = process_start(os.getpid()).split()
    set_driver(out, platform.node(), os.getpid(), f"{space} 1")
    with pytest.warns(UserWarning, match=f"took over .* from process {os.getpid()}, which is dead"):
        rm.run_study(path, out)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell whether a process is alive")
def test_the_lock_of_a_dead_process_is_taken_over(begun: tuple[Path, Path]) -> None:
    path, out = begun
    dead = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    dead.wait()
    set_driver(out, platform.node(), dead.pid, process_start(os.getpid()))
    with pytest.warns(UserWarning, match=f"from process {dead.pid}, which is dead"):
        rm.run_study(path, out)


def test_a_driver_whose_lock_was_taken_over_writes_no_more(begun: tuple[Path, Path]) -> None:
    _, out = begun
    with closing(Store.open(out / "study.sqlite")) as first, closing(Store.open(out / "study.sqlite")) as second:
        for store, token in ((first, "one"), (second, "two")):
            with store.transaction():
                store.set_driver(Driver("here", 1, "", "today"), token)
        second.add([])
        with pytest.raises(BlockingIOError, match="another driver took over"):
            first.add([])


def test_no_cell_is_written_between_two_reads_of_one_table(begun: tuple[Path, Path]) -> None:
    """Else a cell that another process adds meanwhile would have no rows, and would count as damaged."""
    _, out = begun
    with closing(Store.open(out / "study.sqlite")) as store, closing(sqlite3.connect(store.path, timeout=0)) as other:
        with store.snapshot():
            before = store.contents()
            other.execute("UPDATE result SET value = value + 1")
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.commit()
            assert store.contents() == before
        other.commit()
        with store.snapshot():
            assert len(store.contents().damaged) == 1


# The commands


def test_the_commands(linear: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = str(linear / "out")
    assert main(["study", str(linear / "grid.yaml"), "--dry-run", "--timed", "2"]) == 0
    said = capsys.readouterr().out
    assert "4 cells\n  annotator.beta: 2 (1, 10)" in said
    assert "core-hours: 1 cells of 1 kinds were timed here" in said
    assert main(["study", str(linear / "grid.yaml")]) == 2
    assert "a study needs a folder: --out DIR" in capsys.readouterr().err
    assert main(["results", out, "--csv"]) == 0
    file = tmp_path / "table.csv"
    file.write_text(capsys.readouterr().out)
    values = [float(row["value"]) for row in csv.DictReader(file.read_text().splitlines())]
    assert values == rm.Study.open(out).results().value.tolist()
    assert main(["results", out]) == 0
    assert "4 done" in capsys.readouterr().out
    assert main(["results", str(tmp_path)]) == 2
    assert "there is no study at" in capsys.readouterr().err


def test_a_column_reaches_an_objective_that_has_a_default_for_it(tmp_path: Path) -> None:
    """A cell is built from its resolved config; a default that is written out there must not hide the column."""
    train, test = rm.make_synthetic_banks(40, 15, 6, 16, seed=0)
    rng = np.random.default_rng(0)
    judged = rm.Preferences.from_bank(train, rm.same_prompt(train, 200, rng), rm.oracle, rng=rng)
    margin = rng.exponential(size=len(judged))
    known = rm.Preferences(judged.items, judged.comparisons, judged.groups, margin=margin)
    known.save(tmp_path / "train")
    held_out = rm.Preferences.from_bank(test, rm.same_prompt(test, 100, rng), rm.oracle, rng=rng)
    held_out.save(tmp_path / "test")
    models = "{own: {use: LinearReward, objective: {use: margin_bradley_terry}}}"
    text = (
        f"base:\n  data: {{use: open_preferences, train: train, test: test}}\n  models: {models}\ngrid: {{seed: [0]}}"
    )
    found = rm.run_study(write_grid(tmp_path, text), tmp_path / "out").results()
    expected = rm.run(train=known, test=held_out, models={"own": rm.LinearReward(rm.margin_bradley_terry)})
    np.testing.assert_allclose(found.value, expected.value)
