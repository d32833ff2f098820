"""The benchmark runs and tells what it found."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import rmspace as rm
from rmspace.study.plan.grid import read_grid

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
    assert rm.error_rate(comparisons, rewards[:, :10]) < 0.03
    assert len(np.unique(comparisons // 10)) == 400
    items = rng.normal(size=(40, 8)).astype(np.float16)
    some = np.arange(40).reshape(20, 2)
    for paired in (True, False):
        assert published.published_fit(items, some, paired=paired, epochs=1, batch=8) > 0


@pytest.fixture
def claims(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import findings
    from claims import page

    return findings, page


def test_a_page_is_filled_between_its_marks(claims):
    _, page = claims
    text = "Words.\n<!-- a-b -->\nold\n\nolder\n<!-- end -->\nMore.\n<!-- c -->\n<!-- end -->\n"
    filled = page.fill(text, {"a-b": "new", "c": "| x |"})
    assert filled == "Words.\n<!-- a-b -->\nnew\n<!-- end -->\nMore.\n<!-- c -->\n| x |\n<!-- end -->\n"
    assert page.fill(filled, {"a-b": "new", "c": "| x |"}) == filled
    with pytest.raises(KeyError, match="'c'"):
        page.fill(text, {"a-b": "new"})


def test_numbers_lose_their_leading_zero_alone(claims):
    _, page = claims
    assert [page.number(value) for value in (0.25, -0.0604, 10.5, float("nan"))] == ["+.250", "-.060", "+10.500", ""]


def test_the_findings_have_a_block_for_each_mark(claims, rng):
    """Made-up values in the cells of the real grids: tables, figures and page fit one another."""
    findings, page = claims
    if not findings.BANK.is_dir():
        pytest.skip("the real bank is not there")
    blocks = {}
    for name, tables in findings.CLAIMS.items():
        grid = read_grid(findings.ROOT / "configs" / "findings" / f"{name}.yaml")
        rows = []
        for cell in grid.cells():
            labels = dict(zip(grid.columns, cell.labels, strict=True))
            for model in [labels["models"]] if "models" in labels else list(cell.config["models"]):
                facts = {"value": rng.normal(), "low": 0.0, "high": 1.0, "error_rate": rng.random()}
                measures = {"model": model, "metric": "normalized_gain", "n": 10, "mean_abs_gap": rng.random()}
                rows.append({**labels, **measures, **facts})
        blocks |= tables(pd.DataFrame(rows).astype({"n": "Int64"}))
    text = (findings.ROOT / "docs" / "findings.md").read_text()
    others = {"run", "why-plan", "leak-table", "leak-figure", "claim6-closed", "claim6-families", "claim6-logit"}
    assert not others & set(blocks)
    page.fill(text, dict.fromkeys([*blocks, *others], ""))


def test_a_quick_run_is_a_part_of_the_whole(claims):
    findings, _ = claims
    if not findings.BANK.is_dir():
        pytest.skip("the real bank is not there")
    assert set(findings.QUICK) == set(findings.CLAIMS)
    for name, changes in findings.QUICK.items():
        config = findings.ROOT / "configs" / "findings" / f"{name}.yaml"
        assert 0 < len(read_grid(config, [*changes, findings.SEEDS])) < len(read_grid(config)) / 2


def test_a_claim_is_tested_once_on_means_over_its_settings(claims, rng):
    from claims import contrasts

    rows = [
        (data, beta, seed, model, "normalized_gain", 56, rng.normal(), 0.0, 1.0, 0.1, 1.0)
        for data in ("world a", "world b")
        for beta in (1.0, 3.0)
        for seed in range(6)
        for model in ("BT", "CLF")
    ]
    names = ["data", "annotator.beta", "seed", "model", "metric", "n", "value", "low", "high"]
    table = pd.DataFrame(rows, columns=[*names, "error_rate", "mean_abs_gap"])
    (found,) = contrasts.pooled(table, against="BT")
    means = table.pivot_table(index="seed", columns="model", values="value")
    expected = stats.ttest_rel(means.CLF, means.BT)
    assert found["corrected p"] == f"{expected.pvalue:.4f}"
    assert f"{(means.CLF - means.BT).mean():+.3f}".replace("0.", ".", 1) in found["mean (95% interval)"]


def test_the_correlation_of_claim_5_is_that_of_each_seed(claims, rng):
    from claims import empirical

    rows = [
        (f"world {k}", pairs, seed, "BT", value, gap)
        for seed in range(5)
        for k in range(8)
        for pairs, value, gap in [("same", rng.normal(), rng.random()), ("cross", rng.normal(), rng.random())]
    ]
    table = pd.DataFrame(rows, columns=["data", "pairs", "seed", "model", "value", "mean_abs_gap"])
    table.insert(2, "pairs.candidates", "random")
    z = []
    for _, part in table.groupby("seed"):
        same, cross = (part[part.pairs == side] for side in ("same", "cross"))
        gains = cross.value.to_numpy() - same.value.to_numpy()
        z.append(np.arctanh(stats.pearsonr(cross.mean_abs_gap, gains).statistic))
    interval = stats.ttest_1samp(z, 0).confidence_interval()
    ends = [f"{np.tanh(end):+.3f}".replace("0.", ".", 1) for end in (np.mean(z), interval.low, interval.high)]
    assert empirical._correlation(table, "cross") == "{} ({} to {})".format(*ends)
