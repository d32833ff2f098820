"""Rows of a study that were changed by hand: the cell is named, and can be run again."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

import rmspace as rm
from study_cases import LINEAR, numbers, write_grid


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    rm.run_study(write_grid(folder, LINEAR), folder / "out")
    return folder


def copy(whole: Path, folder: Path) -> Path:
    return Path(shutil.copytree(whole / "out", folder))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE result SET value = value + 1e-9 WHERE rowid = 2",
        "DELETE FROM result WHERE rowid % 2 = 0",
        "DELETE FROM fit WHERE rowid = 1",
        "UPDATE fit SET error_rate = 0 WHERE rowid = 3",
        "UPDATE cell SET status = 'failed' WHERE id = 1",
        "UPDATE result SET cell = 2 WHERE cell = 1",
        "UPDATE cell SET config = replace(config, '50', '60')",
        "UPDATE environment SET text = replace(text, 'numpy', 'numpie')",
    ],
)
def test_a_damaged_cell_is_named_and_can_be_run_again(whole: Path, tmp_path: Path, statement: str) -> None:
    folder = copy(whole, tmp_path / "out")
    with closing(sqlite3.connect(folder / "study.sqlite")) as connection, connection:
        connection.execute(statement)
    study = rm.Study.open(folder)
    assert "damaged" in set(study.cells().status)
    for use in (study.results, lambda: rm.run_study(whole / "grid.yaml", folder)):
        with pytest.raises(ValueError, match=r"study.sqlite is damaged: \d of its cells .* the first \[.*--verify"):
            use()
    assert rm.run_study(whole / "grid.yaml", folder, verify=True).counts() == {"done": 4}
    pd.testing.assert_frame_equal(numbers(folder), numbers(whole / "out"), check_exact=True)


def test_a_damaged_plan_is_written_again(whole: Path, tmp_path: Path) -> None:
    folder = copy(whole, tmp_path / "out")
    with closing(sqlite3.connect(folder / "study.sqlite")) as connection, connection:
        connection.execute("UPDATE plan SET labels = replace(labels, '10', '11')")
    with pytest.raises(ValueError, match="its plan was changed; the same `rmspace study` writes it again"):
        rm.Study.open(folder).results()
    rm.run_study(whole / "grid.yaml", folder)
    pd.testing.assert_frame_equal(numbers(folder), numbers(whole / "out"), check_exact=True)
