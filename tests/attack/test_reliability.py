"""A short form of `scripts/reliability.py`: nothing is lost, and nothing is different without a word."""

import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest

import rmspace as rm
from faults import command, damages, embeddings, studies
from faults.promise import Promise
from faults.subjects import SUBJECTS, Subject

DAMAGES = int(os.environ.get("RMSPACE_DAMAGES", "48"))  # of each subject
KILLS = int(os.environ.get("RMSPACE_KILLS", "3"))  # each one starts a process
FAULTS = int(os.environ.get("RMSPACE_FAULTS", "1"))
PROCESSES = (*studies.PROMISES, *embeddings.PROMISES)
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL, SIGSTOP or limits of file size")


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_no_damage_of_a_file_passes(subject: Subject, tmp_path: Path) -> None:
    found = damages.attack(subject, DAMAGES, tmp_path, random.Random(subject.name))
    assert (found.times, found.lost) == (DAMAGES, 0)
    assert found.refused > 0


def test_the_attack_finds_what_is_not_checked(tmp_path: Path) -> None:
    def write(folder: Path, seed: int) -> None:
        folder.mkdir()
        np.save(folder / "rewards.npy", np.random.default_rng(seed).normal(size=200))
        np.save(folder / "items.npy", np.random.default_rng(seed).normal(size=200))

    unchecked = Subject(
        "arrays", write, lambda folder: [np.load(folder / f"{name}.npy") for name in ("rewards", "items")]
    )
    assert damages.attack(unchecked, 40, tmp_path, random.Random(0)).lost > 5


@pytest.mark.slow
@posix
@pytest.mark.parametrize("promise", PROCESSES, ids=lambda promise: promise.name)
def test_no_fault_of_a_process_loses_anything(promise: Promise, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed: pip install 'reward-space[cluster]'")
    times = KILLS if promise.name in command.KILLS else FAULTS
    found = promise.run(times, tmp_path, random.Random(promise.name))
    assert (found.times, found.lost) == (times, 0)


def test_the_page_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    monkeypatch.setattr(sys, "argv", ["x", "--damages", "220", "--only", "a bank", "--page", str(page)])
    assert command.main() == 0
    text = page.read_text(encoding="utf-8")
    assert "| a bank | 20 | " in text
    assert "In all: 20 attacks" in text


@pytest.mark.parametrize("kind", [rm.ResponseBank, rm.Preferences])
def test_a_changed_embedding_is_found_by_health_and_on_demand(
    kind: type[rm.ResponseBank] | type[rm.Preferences], tmp_path: Path
) -> None:
    name = {rm.ResponseBank: "a bank", rm.Preferences: "preferences"}[kind]
    next(subject for subject in SUBJECTS if subject.name == name).write(tmp_path / "data", 0)
    path = tmp_path / "data" / "items.npy"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    data = kind.open(tmp_path / "data")
    with pytest.raises(ValueError, match=r"is damaged: items\.npy is not what was written; copy the folder again"):
        data.verify()
    found = data.health()
    assert found[["check", "severity", "n_found"]].to_numpy().tolist() == [["damaged_files", "error", 1]]
