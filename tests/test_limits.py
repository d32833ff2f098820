"""Sizes past 2^31: ids, offsets and bytes are right. Sparse files need neither the disk nor the memory."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import rmspace as rm
from rmspace.data.mapped import map_array, mapped

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="files are sparse only on request there")
N_PROMPTS, N_RESPONSES, DIM = 2**20 + 2, 2**11, 2
N_ITEMS = N_PROMPTS * N_RESPONSES  # 2^31 + 2^12, and 8 GiB
KNOWN = np.array([[1.0, 2.0], [3.0, 5.0], [-2.0, 4.0], [8.0, -1.0]], dtype=np.float16)  # the last items


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of zeros in which only the last items are written."""
    path = tmp_path_factory.mktemp("sparse") / "items.npy"
    header = {"descr": np.dtype(np.float16).str, "fortran_order": False, "shape": (N_ITEMS, DIM)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, header)
        file.seek((N_ITEMS - len(KNOWN)) * DIM * 2, 1)
        file.write(KNOWN.tobytes())
    if path.stat().st_blocks * 512 > 2**20:
        pytest.skip("this file system has no sparse files")
    return path


@pytest.fixture(scope="module", params=["rectangular", "ragged"])
def bank(path: Path, request: pytest.FixtureRequest) -> rm.ResponseBank:
    items = map_array(path)
    if request.param == "rectangular":
        return rm.ResponseBank(items.reshape(N_PROMPTS, N_RESPONSES, DIM))
    offsets = np.arange(N_PROMPTS + 1) * N_RESPONSES
    offsets[1:-1] -= np.arange(N_PROMPTS - 1) % 2  # every second prompt begins one item earlier
    return rm.ResponseBank(items, offsets=offsets)


def test_the_items_at_the_end_are_found(bank: rm.ResponseBank) -> None:
    assert bank.n_items == N_ITEMS > 2**31
    np.testing.assert_array_equal(bank.items[np.arange(N_ITEMS - len(KNOWN), N_ITEMS)], KNOWN)
    last = bank[-1:]
    assert mapped(last.items)
    np.testing.assert_array_equal(last.items[-len(KNOWN) :], KNOWN)


def test_pairs_and_splits_reach_every_item(bank: rm.ResponseBank) -> None:
    if not bank.is_rectangular:
        pytest.skip("pairs and selections of a ragged bank hold 8 bytes per item in memory: 16 GiB here")
    train, test = rm.split_prompts(bank, 0.5, seed=0)
    assert train.n_items + test.n_items == N_ITEMS
    rng = np.random.default_rng(0)
    for strategy in (rm.same_prompt, rm.cross_prompt):
        pairs = strategy(bank, 3000, rng)
        assert pairs.dtype == np.int64
        assert pairs.min() >= 0
        assert pairs.max() < N_ITEMS
        assert np.abs(np.quantile(pairs, [0.25, 0.5, 0.75]) / N_ITEMS - [0.25, 0.5, 0.75]).max() < 0.05
        prompts = np.searchsorted(bank.offsets, pairs, side="right") - 1
        assert ((prompts[:, 0] == prompts[:, 1]).all()) == (strategy is rm.same_prompt)


def test_a_model_learns_from_items_past_2_31(bank: rm.ResponseBank) -> None:
    comparisons = N_ITEMS - np.array([[1, 2], [3, 4], [1, 3], [2, 4], [1, 4], [3, 2]])
    few = np.array([[3, 2], [1, 0], [3, 1], [2, 0], [3, 0], [1, 2]])
    model = rm.LinearReward(max_iter=500).fit(bank.items, comparisons)
    expected = rm.LinearReward(max_iter=500).fit(KNOWN.astype(np.float32), few)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(
        model.predict(bank[-1:].items)[-4:], expected.predict(KNOWN.astype(np.float32)), rtol=1e-3
    )


def test_best_of_n_past_2_53_sets() -> None:
    """C(n_responses, n) does not fit any integer type; the expectation is exact all the same."""
    scores = np.arange(10_000.0)[None]
    got = rm.best_of_n(scores, scores, n=[1, 5000, 10_000])[0]
    np.testing.assert_allclose(got, [4999.5, 10_001 * 5000 / 5001 - 1, 9999.0], rtol=1e-12)
