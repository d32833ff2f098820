"""The benchmark runs and tells what it found."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rmspace as rm

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.fixture
def benchmarking(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from benchmarking import measure, published

    return measure, published


def test_the_benchmark_writes_its_table(tmp_path):
    command = [sys.executable, str(SCRIPTS / "benchmark.py"), "--quick", "--only", "pairs", "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert rows[0]["stage"] == "pairs and annotation" and rows[0]["ratio"] > 0
    assert "| pairs and annotation |" in (tmp_path / "table.md").read_text()


def test_operations_are_those_of_the_network(benchmarking):
    measure, _ = benchmarking
    forward = 2 * (8 * 1024 + 1024 * 512 + 512 * 1)
    assert measure.fit_flops(8, 0, 10) == 10 * forward
    assert measure.fit_flops(8, 10, 0) == 10 * (3 * forward - 2 * 8 * 1024)  # no gradient in the items


def test_the_baselines_do_the_same_job(benchmarking, rng):
    _, published = benchmarking
    scores, rewards = rng.normal(size=(2, 400, 500))
    exact = rm.best_of_n(scores, rewards, n=published.NS).mean(axis=0)
    np.testing.assert_allclose(published.permuted_best_of_n(scores, rewards), exact, atol=0.1)
    comparisons = published.looped_comparisons(rewards[:, :10], 400, beta=50.0)
    assert rm.label_error(comparisons, rewards[:, :10]) < 0.03
    assert len(np.unique(comparisons // 10)) == 400
    items = rng.normal(size=(40, 8)).astype(np.float16)
    some = np.arange(40).reshape(20, 2)
    for paired in (True, False):
        assert published.published_fit(items, some, paired=paired, epochs=1, batch=8) > 0
