"""The scripts: what the benchmark measures, and how the page of findings is made."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import rmspace as rm
from rmspace.study.plan.grid import read_grid

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "scripts"


@pytest.fixture(autouse=True)
def _scripts_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


def test_the_benchmark_writes_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import command, stages

    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--quick", "--only", "nothing", "--out", str(tmp_path)])
    monkeypatch.setitem(stages.STAGES, "nothing", lambda folder, quick: [{"stage": "nothing", "ratio": 2.0}])
    monkeypatch.setattr(command, "in_own_process", lambda stage, *arguments: stage(*arguments))
    assert command.main() == 0
    assert json.loads((tmp_path / "rows.json").read_text()) == [{"stage": "nothing", "ratio": 2.0}]
    assert "| nothing |" in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize("name", ["benchmark", "findings", "leaderboard"])
def test_a_worker_can_import_the_script_that_started_it(name: str) -> None:
    runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__mp_main__")  # as multiprocessing does


def test_operations_are_those_of_the_network() -> None:
    from benchmarks import measure

    forward = 2 * (8 * 1024 + 1024 * 512 + 512 * 1)
    assert measure.fit_flops(8, 0, 10) == 10 * forward
    assert measure.fit_flops(8, 10, 0) == 10 * (3 * forward - 2 * 8 * 1024)  # no gradient in the items


def test_the_baselines_do_the_same_job(rng: np.random.Generator) -> None:
    from benchmarks import published

    scores, rewards = rng.normal(size=(2, 200, 500))
    exact = rm.best_of_n(scores, rewards, n=published.NS).mean(axis=0)
    np.testing.assert_allclose(published.permuted_best_of_n(scores, rewards), exact, atol=0.15)
    comparisons = published.looped_comparisons(rewards[:, :10], 200, beta=50.0)
    assert rm.error_rate(comparisons, rewards[:, :10]) < 0.05
    assert len(np.unique(comparisons // 10)) == 200
    items = rng.normal(size=(40, 8)).astype(np.float16)
    some = np.arange(40).reshape(20, 2)
    for paired in (True, False):
        assert published.published_fit(items, some, paired=paired, epochs=1, batch=8) > 0


def test_two_checkouts_are_compared_stage_by_stage() -> None:
    from benchmarks import against

    rows = against.compare_seconds({"fit": ([2.0, 3.0], [1.0, 4.0]), "new": ([1.0], [])})
    assert rows == [
        {"stage": "fit", "this": 2.0, "other": 1.0, "ratio": 2.0},
        {"stage": "new", "this": 1.0, "other": None, "ratio": None},
    ]
    assert against.as_markdown(rows).splitlines()[2:] == ["| fit | 2 | 1 | 2.00 |", "| new | 1 |  |  |"]


def test_stages_for_two_checkouts_run_on_small_sizes(tmp_path: Path) -> None:
    from benchmarks import against_stages

    sizes = against_stages.Sizes(pairs=400, prompts=20, responses=4, dims=(8, 16), epochs=1, trees=2, cells=4)
    stages = against_stages.make_stages(tmp_path, sizes)
    assert {"pairs", "annotate", "best_of_n", "evaluate", "LightGBMReward fit", "save and load"} <= set(stages)
    for name, prepare in stages.items():
        prepare()()
        assert name


def test_a_page_is_filled_between_its_marks() -> None:
    from findings import page

    text = "Words.\n<!-- a-b -->\nold\n\nolder\n<!-- end -->\nMore.\n<!-- c -->\n<!-- end -->\n"
    filled = page.fill(text, {"a-b": "new", "c": "| x |"})
    assert filled == "Words.\n<!-- a-b -->\nnew\n<!-- end -->\nMore.\n<!-- c -->\n| x |\n<!-- end -->\n"
    assert page.fill(filled, {"a-b": "new", "c": "| x |"}) == filled
    with pytest.raises(KeyError, match="'c'"):
        page.fill(text, {"a-b": "new"})


def test_numbers_lose_only_their_leading_zero() -> None:
    from findings import page

    assert [page.number(value) for value in (0.25, -0.0604, 10.5, float("nan"))] == ["+.250", "-.060", "+10.500", ""]


@pytest.fixture(scope="module")
def grids(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """Return the grid of each study: the configs name the real bank, so a made-up one stands in for it here."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        from findings import studies
    finally:
        sys.path.remove(str(SCRIPTS))
    folder = tmp_path_factory.mktemp("bank")
    names = {name: studies.CONFIGS / f"{name}.yaml" for name in studies.CLAIMS}
    return {name: read_grid(path, studies.bank_overrides(path, folder)) for name, path in names.items()}, folder


def made_up_results(grid: Any, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for cell in grid.cells():
        labels = dict(zip(grid.columns, cell.labels, strict=True))
        for model in [labels["models"]] if "models" in labels else list(cell.config["models"]):
            facts = {"value": rng.normal(), "low": 0.0, "high": 1.0, "error_rate": rng.random()}
            measures = {"model": model, "metric": "normalized_gain", "n": 10, "mean_abs_gap": rng.random()}
            rows.append({**labels, **measures, **facts})
    return pd.DataFrame(rows).astype({"n": "Int64"})


def test_the_findings_have_a_block_for_each_mark(grids: tuple[dict[str, Any], Path], rng: np.random.Generator) -> None:
    """Made-up values in the cells of the real grids: tables, figures and page fit one another."""
    from findings import page, studies

    blocks: dict[str, Any] = {}
    for name, make_blocks in studies.CLAIMS.items():
        blocks |= make_blocks(made_up_results(grids[0][name], rng))
    others = {
        "run",
        "tests",
        "why-plan",
        "leak-table",
        "leak-figure",
        "claim6-closed",
        "claim6-families",
        "claim6-logit",
    }
    assert not others & set(blocks)
    page.fill((ROOT / "docs" / "findings.md").read_text(encoding="utf-8"), dict.fromkeys([*blocks, *others], ""))


@pytest.mark.parametrize("claim", ["claim1", "claim4", "claim4_why"])
def test_tables_and_figures_of_a_claim_share_their_tests(
    grids: tuple[dict[str, Any], Path], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, claim: str
) -> None:
    """A difference is bold in every table exactly when it is filled in the figure."""
    from matplotlib.figure import Figure

    from findings import claims, objectives, page, studies

    figures: list[pd.DataFrame] = []
    marks: dict[tuple[float, float], set[bool]] = {}

    def draw(comparison: pd.DataFrame, **options: Any) -> Figure:
        figures.append(comparison)
        return Figure()

    def note(row: Any) -> str:
        key = (round(row.difference, 12), round(row.low, 12))
        marks.setdefault(key, set()).add(row.p_corrected < 0.05)
        return ""

    for name in ("study_bars", "study_curves", "study_scatter"):
        monkeypatch.setattr(rm, name, lambda *_, **__: Figure())
    monkeypatch.setattr(rm, "study_differences", draw)
    for module in (objectives, claims):
        monkeypatch.setattr(module, "difference", note)
    assert page.difference is not note
    table = made_up_results(grids[0][claim], rng)
    first = table.columns[0]
    table["value"] += 3.0 * (table[first].astype(str).str.len() % 2) + 1.5 * table.model.str.startswith("CLF")
    studies.CLAIMS[claim](table)
    assert len(figures) == 1
    row: Any
    for row in figures[0].itertuples():
        assert marks[round(row.difference, 12), round(row.low, 12)] == {row.p_corrected < 0.05}
    assert all(len(found) == 1 for found in marks.values())


def test_tables_of_one_family_are_corrected_as_one(rng: np.random.Generator) -> None:
    from findings import contrasts

    p_values = rng.random(9) ** 3
    tables = [pd.DataFrame({"p_value": p_values[:4]}), pd.DataFrame({"p_value": p_values[4:]})]
    found = np.concatenate([table.p_corrected for table in contrasts.correct(tables)])
    order = np.argsort(p_values)  # Holm's procedure by its definition
    expected, worst = np.empty(9), 0.0
    for rank, k in enumerate(order):
        worst = max(worst, min(1.0, (9 - rank) * p_values[k]))
        expected[k] = worst
    np.testing.assert_allclose(found, expected)


def test_a_bank_of_your_own_takes_the_place_of_the_real_one(grids: tuple[dict[str, Any], Path]) -> None:
    found, folder = grids
    for name, grid in found.items():
        text = json.dumps([cell.config for cell in grid.cells()], default=str)
        assert "shared" not in text, name
        assert (str(folder) in text) == (name != "claim5"), name


def test_a_quick_run_is_a_part_of_the_whole(grids: tuple[dict[str, Any], Path]) -> None:
    from findings import studies

    found, folder = grids
    assert set(studies.QUICK) == set(studies.CLAIMS)
    for name, changes in studies.QUICK.items():
        config = studies.CONFIGS / f"{name}.yaml"
        quick = read_grid(config, [*studies.bank_overrides(config, folder), *changes, studies.TWO_SEEDS])
        assert 0 < len(quick) < len(found[name]) / 2


def test_a_claim_is_tested_once_on_means_over_its_settings(rng: np.random.Generator) -> None:
    from findings import contrasts

    rows = [
        (data, beta, seed, model, "normalized_gain", 56, rng.normal(), 0.0, 1.0, 0.1, 1.0)
        for data in ("synthetic, a", "synthetic, b")
        for beta in (1.0, 3.0)
        for seed in range(6)
        for model in ("BT", "CLF")
    ]
    names = ["data", "annotator.beta", "seed", "model", "metric", "n", "value", "low", "high"]
    table = pd.DataFrame(rows, columns=[*names, "error_rate", "mean_abs_gap"])
    (found,) = contrasts.primary_lines(contrasts.pooled(table, against="BT"))
    means = table.pivot_table(index="seed", columns="model", values="value")
    expected = stats.ttest_rel(means.CLF, means.BT)
    assert float(found["corrected p"]) == pytest.approx(expected.pvalue, abs=1e-4)
    assert f"{(means.CLF - means.BT).mean():+.3f}".replace("0.", ".", 1) in found["mean (95% interval)"]


def test_the_correlation_of_claim_5_is_that_of_each_seed(rng: np.random.Generator) -> None:
    from findings import claims

    rows = [
        (f"synthetic, {k}", pairs, seed, "BT", value, gap)
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
    assert claims.correlation(table, "cross") == "{} ({} to {})".format(*ends)


def test_a_prompt_is_cut_after_its_tokens() -> None:
    from findings import make_bank

    def tokenizer(text: str, **options: Any) -> dict[str, list[tuple[Any, ...]]]:
        assert options == {"add_special_tokens": False, "return_offsets_mapping": True}
        return {"offset_mapping": [(k, k + 1) for k in range(len(text))]}

    join = make_bank.join_capped(tokenizer)
    assert join("short", "reply") == "short\n\nreply"
    assert join("x" * 500, "reply") == "x" * 128 + "\n\nreply"
