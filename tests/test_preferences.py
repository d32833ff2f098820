"""Preferences: made, selected, saved, and looked at."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rmspace as rm
from conftest import make_bank
from rmspace.data.mapped import mapped


def make_preferences(
    n_prompts: int = 6, n_items: int = 4, n: int = 20, seed: int = 0, **columns: Any
) -> rm.Preferences:
    bank = make_bank(n_prompts, n_items, seed=seed)
    pairs = rm.same_prompt(bank, n, np.random.default_rng(seed))
    return rm.Preferences(bank.items, pairs, bank.groups, **columns)


def checks(table: pd.DataFrame) -> dict[str, int]:
    return dict(zip(table.check, table.n_found, strict=True))


@pytest.mark.parametrize("choice", [slice(2, 9), [4, 0, 4], np.arange(20) % 3 == 0, 7], ids=str)
def test_a_selection_has_its_comparisons_and_the_items_they_need(choice: Any) -> None:
    data = make_preferences(margin=np.arange(20.0), annotator=[f"a{k}" for k in range(20)])
    chosen, rows = data[choice], np.atleast_1d(np.arange(20)[choice])
    np.testing.assert_array_equal(chosen.items[chosen.comparisons], data.items[data.comparisons[rows]])
    np.testing.assert_array_equal(chosen.groups[chosen.comparisons], data.groups[data.comparisons[rows]])
    np.testing.assert_array_equal(chosen.columns["margin"], rows)
    assert chosen.columns["annotator"].tolist() == [f"a{k}" for k in rows]
    assert chosen.n_items == len(np.unique(data.comparisons[rows]))
    assert len(chosen) == len(rows)


def test_save_and_open(tmp_path: Path) -> None:
    data = make_preferences(
        weight=np.linspace(0, 1, 20), tie=np.arange(20) % 5 == 0, subset=["é", "b"] * 10, metadata={"source": "é"}
    )
    data.save(tmp_path / "data")
    again = rm.Preferences.open(tmp_path / "data")
    assert mapped(again.items) and mapped(again[:3].items)
    for a, b in (
        (again.items, data.items),
        (again.comparisons, data.comparisons),
        (again.groups, data.groups),
        *((again.columns[name], data.columns[name]) for name in ("weight", "tie", "subset")),
    ):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype
    assert again.metadata == data.metadata
    again[[3, 1]].save(tmp_path / "part")
    np.testing.assert_array_equal(rm.Preferences.open(tmp_path / "part").items, data[[3, 1]].items)


def test_folders_are_whole_and_replaced_only_when_asked(tmp_path: Path) -> None:
    data = make_preferences()
    data.save(tmp_path / "data")
    with pytest.raises(FileExistsError, match="exists already"):
        data.save(tmp_path / "data")
    data.save(tmp_path / "data", overwrite=True)
    make_bank(2, 2).save(tmp_path / "bank")
    with pytest.raises(FileExistsError, match=r"no preferences\.json of rmspace's"):
        data.save(tmp_path / "bank", overwrite=True)
    with pytest.raises(TypeError, match="metadata must be what JSON can hold"):
        make_preferences(metadata={"a": np.int64(1)}).save(tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bank", "data"]
    with pytest.raises(FileNotFoundError, match=r"not a saved preferences: it has no preferences\.json"):
        rm.Preferences.open(tmp_path / "bank")


@pytest.mark.parametrize("name", ["items", "comparisons", "groups", "column_0"])
def test_damaged_files_are_found(tmp_path: Path, name: str) -> None:
    make_preferences(margin=np.zeros(20)).save(tmp_path / "data")
    path = tmp_path / "data" / f"{name}.npy"
    array = np.load(path)
    np.save(path, array[:-1])
    with pytest.raises(ValueError, match=rf"{name}\.npy (is damaged|must have the shape)"):
        rm.Preferences.open(tmp_path / "data")
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(ValueError, match=rf"{name}\.npy is (not a whole \.npy file|damaged)"):
        rm.Preferences.open(tmp_path / "data")


def test_another_version_is_refused(tmp_path: Path) -> None:
    make_preferences().save(tmp_path / "data")
    path = tmp_path / "data" / "preferences.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 9}))
    with pytest.raises(ValueError, match="of version 9; this rmspace reads 2; upgrade"):
        rm.Preferences.open(tmp_path / "data")


def test_from_bank_is_annotation_of_the_bank() -> None:
    bank = make_bank(5, 4)[[3, 1, 2]]
    pairs = rm.same_prompt(bank, 12, np.random.default_rng(0))
    annotator = partial(rm.logistic, beta=1.0)
    data = rm.Preferences.from_bank(bank, pairs, annotator, rng=np.random.default_rng(1), scale="std")
    expected = rm.annotate(pairs, bank.rewards, annotator, rng=np.random.default_rng(1), scale="std")
    np.testing.assert_array_equal(data.comparisons, expected)
    np.testing.assert_array_equal(data.groups, np.repeat([3, 1, 2], 4))  # ids, which two banks can share
    assert data.items is bank.items


def test_sound_preferences_have_no_findings() -> None:
    data = make_preferences(n=36, margin=np.ones(36), subset=["x"] * 36)
    assert data.health().empty


def test_every_finding() -> None:
    items = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    items[4, 1] = np.inf
    comparisons = np.array([[0, 1], [1, 0], [0, 1], [2, 2], [4, 5], [5, 4]])
    data = rm.Preferences(
        items,
        comparisons,
        groups=[0, 0, 1, 1, 2, 2, 3, 3],
        tie=[False, False, False, False, True, False],
        margin=[1.0, np.nan, np.nan, 1.0, 1.0, 1.0],
        annotator=["a", "", "b", "b", "b", "b"],
    )
    table = data.health()
    assert checks(table[table.check != "missing_values"]) == {
        "self_comparisons": 1,
        "contradictions": 3,  # rows 0 to 2; row 4 is a tie, which row 5 does not contradict
        "repeated_comparisons": 1,
        "non_finite_items": 1,
        "unused_items": 3,
    }
    missing = table[table.check == "missing_values"]
    assert missing.n_found.tolist() == [1, 2]
    assert ["annotator" in missing.detail.iloc[0], "margin" in missing.detail.iloc[1]] == [True, True]
    assert "the first is row 3" in table.set_index("check").detail["self_comparisons"]


def test_self_comparisons_are_held_but_not_fitted() -> None:
    data = rm.Preferences(np.eye(3, dtype=np.float32), np.array([[0, 1], [2, 2]]), groups=[0, 0, 1])
    with pytest.raises(ValueError, match="row 1 has item 2 twice"):
        rm.LinearReward().fit(data.items, data.comparisons)


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda: make_preferences(margin=np.zeros(3)), ValueError, r"'margin' must have one value per comparison"),
        (lambda: make_preferences(margin=[None] * 20), TypeError, "'margin' must be numbers or text"),
        (lambda: make_preferences(weight=np.full(20, np.nan)), ValueError, "must be finite"),
        (lambda: make_preferences(tie=[0] * 20, columns={"tie": [0] * 20}), ValueError, "given once; tie came"),
        (lambda: make_preferences()[[]], ValueError, "at least one comparison; this one has none"),
        (lambda: rm.Preferences(np.eye(2), [[0, 2]], [0, 0]), ValueError, r"ids in \[0, 2\); got 2"),
        (lambda: rm.Preferences(np.eye(2), [[0, 1]], [0]), ValueError, "one prompt per item"),
        (lambda: rm.split_health(make_preferences(), make_bank(2, 2, 7)), ValueError, "one length; got 4 and 7"),
    ],
)
def test_bad_input(act: Callable[..., Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        act()


def test_a_sound_split_has_no_findings() -> None:
    bank = make_bank(60, 4, dim=32)
    assert rm.split_health(*rm.split_prompts(bank, 20, 0)).empty
    pairs = rm.same_prompt(bank, 120, np.random.default_rng(0))
    data = rm.Preferences.from_bank(bank, pairs, rm.oracle, rng=np.random.default_rng(0))
    assert rm.split_health(*rm.split_prompts(data, 20, 0)).empty


def test_a_split_that_leaks_is_found() -> None:
    rng = np.random.default_rng(0)
    train = rm.ResponseBank(rng.normal(size=(30, 4, 16)).astype(np.float32))
    embeddings = rng.normal(size=(10, 4, 16)).astype(np.float32)
    embeddings[2] = train.embeddings[7] + 1e-4 * rng.normal(size=(4, 16)).astype(np.float32)  # the prompt, reworded
    embeddings[3, 1] = train.embeddings[9, 0]  # one response, copied
    test = rm.ResponseBank(embeddings + np.float32(0), prompt_ids=[100, 101, 102, 103, 5, 105, 106, 107, 108, 109])
    found = rm.split_health(train, test)
    assert checks(found) == {"shared_prompts": 1, "shared_items": 1, "near_duplicate_prompts": 1}
    far = rm.split_health(train, test, max_pairs=299)
    assert checks(far) == {"shared_prompts": 1, "shared_items": 1, "near_duplicates_not_searched": 10}


def test_near_duplicates_against_brute_force() -> None:
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(12, 5))
    train = rm.ResponseBank((directions[:, None] + 0.2 * rng.normal(size=(12, 3, 5)) + 50).astype(np.float32))
    test = rm.ResponseBank(
        (directions[:9, None] + 0.2 * rng.normal(size=(9, 3, 5)) + 50).astype(np.float32), prompt_ids=np.arange(20, 29)
    )
    centre = train.items.mean(axis=0, dtype=float)
    a, b = (bank.embeddings.mean(axis=1, dtype=float) - centre for bank in (train, test))
    cosines = (b @ a.T) / np.linalg.norm(b, axis=1)[:, None] / np.linalg.norm(a, axis=1)
    for similarity in (0.5, 0.9, 0.98):
        expected = int((cosines.max(axis=1) > similarity).sum())
        found = checks(rm.split_health(train, test, similarity=similarity))
        assert found.get("near_duplicate_prompts", 0) == expected
    assert 0 < (cosines.max(axis=1) > 0.98).sum() < 9


def test_features_follow_their_items(tmp_path: Path) -> None:
    items = np.arange(8, dtype=np.float32).reshape(4, 2)
    length = np.array([3, 1, 4, 1])
    data = rm.Preferences(items, [[0, 1], [3, 2]], groups=list("aabb"), features={"length": length})
    part = data[[1]]
    np.testing.assert_array_equal(part.features["length"], length[2:])
    assert part.fingerprint() != rm.Preferences(part.items, part.comparisons, part.groups).fingerprint()
    part.save(tmp_path / "part")
    again = rm.Preferences.open(tmp_path / "part")
    np.testing.assert_array_equal(again.features["length"], length[2:])
    assert again.fingerprint() == part.fingerprint()
    with pytest.raises(ValueError, match=r"feature 'length' must be numbers .*\(4,\); got"):
        rm.Preferences(items, [[0, 1]], groups=list("aabb"), features={"length": length[:3]})


def test_preferences_from_a_bank_keep_its_features() -> None:
    train, _ = rm.make_synthetic_banks(n_prompts=5, n_responses=3, dim=16, n_test_prompts=2, n_test_responses=3, seed=0)
    rng = np.random.default_rng(0)
    data = rm.Preferences.from_bank(train, rm.same_prompt(train, 5, rng), rm.oracle, rng=rng)
    np.testing.assert_array_equal(data.features["explainable"], train.features["explainable"].reshape(-1))
