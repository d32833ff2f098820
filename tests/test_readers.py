import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmspace as rm
from rmspace._typing import FloatArray


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, FloatArray, FloatArray]:
    rng = np.random.default_rng(0)
    embeddings = (rng.normal(size=(40, 1, 16)) + 0.5 * rng.normal(size=(40, 6, 16))).astype(np.float32)
    rewards = rng.normal(size=(40, 6))
    np.save(tmp_path / "e.npy", embeddings)
    np.save(tmp_path / "r.npy", rewards[:, :, None])
    np.save(tmp_path / "e_swapped.npy", embeddings.swapaxes(0, 1))
    np.save(tmp_path / "r_swapped.npy", rewards.T)
    return tmp_path, embeddings, rewards


@pytest.mark.parametrize("layout", ["auto", "given"])
@pytest.mark.parametrize(("suffix", "name"), [("", "prompts_first"), ("_swapped", "responses_first")])
def test_both_published_layouts(
    published: tuple[Path, FloatArray, FloatArray], layout: str, suffix: str, name: Any
) -> None:
    folder, embeddings, rewards = published
    bank = rm.read_published(
        str(folder / f"e{suffix}.npy"), str(folder / f"r{suffix}.npy"), layout=name if layout == "given" else "auto"
    )
    np.testing.assert_array_equal(bank.embeddings, embeddings)
    np.testing.assert_array_equal(bank.rewards, rewards)
    np.testing.assert_array_equal(bank.items[7], embeddings[1, 1])
    assert bank.metadata["layout"].startswith(name)


def test_undecided_layout_and_misfits(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", np.random.default_rng(0).normal(size=(20, 6, 8)).astype(np.float32))
    np.save(tmp_path / "r.npy", np.zeros((20, 6)))
    np.save(tmp_path / "short.npy", np.zeros((6, 20)))
    with pytest.raises(ValueError, match="do not tell which axis"):
        rm.read_published(str(tmp_path / "e.npy"), str(tmp_path / "r.npy"))
    with pytest.raises(ValueError, match="must agree in a and b"):
        rm.read_published(str(tmp_path / "e.npy"), str(tmp_path / "short.npy"))
    with pytest.raises(ValueError, match="layout must be"):
        rm.read_published(str(tmp_path / "e.npy"), str(tmp_path / "r.npy"), layout="swapped")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        rm.read_published(str(tmp_path / "nothing.npy"), str(tmp_path / "r.npy"))


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"not a whole \.npy file of plain numbers"):
        rm.read_published(str(tmp_path / "e.npy"), str(tmp_path / "e.npy"))


def test_generators_folder(tmp_path: Path) -> None:
    np.save(tmp_path / "embeddings.npy", np.zeros((3, 2, 4), np.float16))
    np.save(tmp_path / "rewards.npy", np.arange(6, dtype=np.float32).reshape(3, 2))
    np.save(tmp_path / "lengths.npy", np.arange(6, dtype=np.int32).reshape(3, 2))
    meta: dict[str, Any] = {"prompts": ["a", "b", "c"], "generators": ["x", "y"], "split": ["test", "train", "train"]}
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    train, test = rm.open_generators(str(tmp_path))
    assert train.prompt_ids.tolist() == [1, 2]
    assert test.rewards.tolist() == [[0.0, 1.0]]
    assert test.features["length"].tolist() == [[0, 1]]
    splits = [rm.open_generators(str(tmp_path), seed=seed) for seed in range(20)]
    assert all(sorted([*train.prompt_ids, *test.prompt_ids]) == [0, 1, 2] for train, test in splits)
    assert {int(test.prompt_ids[0]) for _, test in splits} == {0, 1, 2}
    (tmp_path / "meta.json").write_text(json.dumps({**meta, "generators": ["x"]}))
    with pytest.raises(ValueError, match="must list 2 generators; got 1"):
        rm.open_generators(str(tmp_path))


def test_the_real_bank(alpacaeval: tuple[rm.ResponseBank, rm.ResponseBank]) -> None:
    train, test = alpacaeval
    assert (train.n_prompts, test.n_prompts, train.n_responses, train.dim) == (600, 197, 56, 384)
    assert train.embeddings.dtype == np.float16
    assert not set(train.prompt_ids) & set(test.prompt_ids)


def test_synthetic_banks_have_the_spreads_that_were_asked_for() -> None:
    train, test = rm.make_synthetic_banks(
        4000, 50, 20, 64, within_std=2.0, between_std=3.0, noise_std=0.5, n_test_responses=30, seed=1
    )
    explainable = train.features["explainable"]
    noise = train.rewards - explainable
    within = explainable - explainable.mean(axis=1, keepdims=True)
    assert noise.std() == pytest.approx(0.5, rel=0.02)
    # The mean over 20 responses still has 1/20 of the variance within prompts.
    assert np.sqrt((within**2).sum(axis=1).mean() / 19) == pytest.approx(2.0, rel=0.03)
    assert np.sqrt(explainable.mean(axis=1).var() - 4.0 / 20) == pytest.approx(3.0, rel=0.05)
    assert test.embeddings.shape == (50, 30, 64)
    assert train.metadata["within_std"] == 2.0


def test_synthetic_banks_are_low_rank_anisotropic_and_seeded() -> None:
    train, _ = rm.make_synthetic_banks(300, 5, 10, 64, seed=0)
    spectrum = np.linalg.svd(train.items - train.items.mean(axis=0), compute_uv=False)
    assert (spectrum[:16] ** 2).sum() > 0.99 * (spectrum**2).sum()
    assert spectrum[0] > 2 * spectrum[15]
    again, _ = rm.make_synthetic_banks(300, 5, 10, 64, seed=0)
    other, _ = rm.make_synthetic_banks(300, 5, 10, 64, seed=1)
    assert train.fingerprint() == again.fingerprint() != other.fingerprint()
    with pytest.raises(ValueError, match="dim must be at least 16"):
        rm.make_synthetic_banks(10, 5, 4, 8)
    with pytest.raises(ValueError, match="noise_std must be at least 0"):
        rm.make_synthetic_banks(10, 5, 4, 32, noise_std=-1.0)
