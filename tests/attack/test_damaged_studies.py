"""Damage to a study's file: every reading gives the undisturbed results, or one of our errors."""

import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

import rmspace as rm
from study_cases import LINEAR, numbers, write_grid

DAMAGES = int(os.environ.get("RMSPACE_DAMAGES", "60"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    rm.run_study(write_grid(folder, LINEAR), folder / "out")
    return folder


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return all that a reader may ask a study for."""
    study = rm.Study.open(folder)
    results = study.results()
    for key in study.cells().key:
        study.config(key)
    return results, study.cells()


def damaged_copy(whole: Path, folder: Path, change: Callable[[bytearray], None]) -> Path:
    content = bytearray((whole / "out" / "study.sqlite").read_bytes())
    change(content)
    folder.mkdir(exist_ok=True)
    (folder / "study.sqlite").write_bytes(content)
    return folder


@pytest.mark.parametrize("kind", ["bit", "bytes", "page", "end"])
def test_no_damage_gives_other_results(whole: Path, tmp_path: Path, kind: str) -> None:
    right, cells = read(whole / "out")
    rng = random.Random(kind)
    noticed = 0

    def change(content: bytearray) -> None:
        place = rng.randrange(len(content))
        if kind == "bit":
            content[place] ^= 1 << rng.randrange(8)
        elif kind == "bytes":
            content[place : place + 8] = rng.randbytes(min(8, len(content) - place))
        elif kind == "page":
            start = place // 4096 * 4096
            content[start : start + 4096] = bytes(4096)
        else:
            del content[place:]

    for _ in range(DAMAGES):
        folder = damaged_copy(whole, tmp_path / "damaged", change)
        try:
            found, found_cells = read(folder)
        except (ValueError, OSError):
            noticed += 1
            continue
        pd.testing.assert_frame_equal(found, right, check_exact=True)  # the damage hit what nobody reads
        pd.testing.assert_frame_equal(found_cells, cells, check_exact=True)
    assert noticed > 0


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
    folder = damaged_copy(whole, tmp_path / "out", lambda content: None)
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
    folder = damaged_copy(whole, tmp_path / "out", lambda content: None)
    with closing(sqlite3.connect(folder / "study.sqlite")) as connection, connection:
        connection.execute("UPDATE plan SET labels = replace(labels, '10', '11')")
    with pytest.raises(ValueError, match="its plan was changed; the same `rmspace study` writes it again"):
        rm.Study.open(folder).results()
    rm.run_study(whole / "grid.yaml", folder)
    pd.testing.assert_frame_equal(numbers(folder), numbers(whole / "out"), check_exact=True)
