"""Damage to saved banks and preferences: opened and verified data are what was saved, or there is one of our errors."""

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

import rmspace as rm

DAMAGES = int(os.environ.get("RMSPACE_DAMAGES", "60"))


def make(kind: str) -> rm.ResponseBank | rm.Preferences:
    rng = np.random.default_rng(0)
    items = rng.normal(size=(12, 4)).astype(np.float32)
    if kind == "bank":
        return rm.ResponseBank(
            items,
            rng.normal(size=12),
            offsets=[0, 3, 8, 12],
            features={"length": np.arange(12)},
            prompt_ids=["a", "b", "c"],
            metadata={"source": "here", "licence": "MIT"},
        )
    pairs = rng.permutation(12).reshape(6, 2)
    return rm.Preferences(
        items,
        pairs,
        np.arange(12) // 2,
        margin=rng.normal(size=6),
        subset=list("xxyyzz"),
        features={"length": np.arange(12)},
        metadata={"source": "here"},
    )


@pytest.mark.parametrize("kind", ["bank", "preferences"])
@pytest.mark.parametrize("damage", ["bit", "bytes", "cut", "more", "missing", "swapped"])
def test_no_damage_passes_the_check(tmp_path: Path, kind: str, damage: str) -> None:
    data = make(kind)
    data.save(tmp_path / "whole")
    rng = random.Random(kind + damage)
    for _ in range(DAMAGES):
        folder = tmp_path / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "whole", folder)
        file = rng.choice(sorted(folder.iterdir()))
        content = bytearray(file.read_bytes())
        place = rng.randrange(len(content))
        if damage == "bit":
            content[place] ^= 1 << rng.randrange(8)
        elif damage == "bytes":
            content[place : place + 4] = rng.randbytes(4)
        elif damage == "cut":
            del content[place:]
        elif damage == "more":
            content += bytes(64)
        elif damage == "swapped":
            content = bytearray(rng.choice(sorted(folder.iterdir())).read_bytes())
        file.write_bytes(content)
        if damage == "missing":
            file.unlink()
        try:
            again = type(data).open(folder)
            again.verify()
        except (ValueError, TypeError, FileNotFoundError) as error:
            assert "\n" not in str(error)
            continue
        assert again.fingerprint() == data.fingerprint()
        assert again.metadata == data.metadata


def test_a_changed_embedding_is_found_by_health_and_on_demand(tmp_path: Path) -> None:
    for kind in ("bank", "preferences"):
        data = make(kind)
        data.save(tmp_path / kind)
        path = tmp_path / kind / "items.npy"
        content = bytearray(path.read_bytes())
        content[-3] ^= 1
        path.write_bytes(content)
        again = type(data).open(tmp_path / kind)
        with pytest.raises(ValueError, match=r"is damaged: items\.npy is not what was written; copy the folder again"):
            again.verify()
        found = again.health()
        assert found[["check", "severity", "n_found"]].to_numpy().tolist() == [["damaged_files", "error", 1]]
