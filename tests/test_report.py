"""The report of a study: one page, its words, its tables, its figures."""

import base64
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import rmspace as rm
from drawn import xs
from rmspace.cli.main import main
from rmspace.results.schema import MEASURES
from rmspace.results.schema import names as names_of
from rmspace.study import report
from study_cases import ALLOW, BASE, faulty_grid, write_grid

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with results of several seeds, a failed cell, and names that look like HTML."""
    folder = tmp_path_factory.mktemp("report")
    text = BASE.replace("{BT: {use: LinearReward}}", "{BT <b>: {use: study_cases.Faulty}, CLF: {use: LinearReward}}")
    grid = (
        "grid: {models.BT <b>.kind: {ok: ok, '<script>alert(1)</script>': fail}, n_pairs: [20, 40], seed: [0, 1, 2]}\n"
    )
    rm.run_study(write_grid(folder, text + grid), folder / "out", allow=ALLOW)
    assert main(["report", str(folder / "out"), "-o", str(folder / "report.html")]) == 0
    return folder / "report.html"


def test_the_page_says_what_was_run(page_file: Path) -> None:
    text = page_file.read_text()
    assert "12 cells: 6 done, 6 failed" in text
    assert "RuntimeError: no luck" in text
    assert "rmspace study grid.yaml --out study --threads 1" in text
    assert "n_prompts: 40" in text  # the grid, whole
    assert "<script>alert" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_figures_stand_under_the_question_that_they_answer(page_file: Path) -> None:
    text = page_file.read_text()
    questions = re.findall("<h3>(.*?)</h3>", text)
    assert questions == ["How does the gain change with annotations?", "Which differences are significant?"]
    assert len(set(questions)) == len(questions)
    assert "A line for each model, over annotations." in text
    for data in re.findall('image/svg.xml;base64,([^"]*)', text):
        assert b"<svg" in base64.b64decode(data)
    assert text.count("<figure>") == 2


def test_the_figure_of_differences_draws_the_table_of_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are made from one table: marks and p-values cannot differ."""
    noise = np.random.default_rng(0).normal(size=(2, 3, 4))
    rows = [
        (size, seed, model, "gain", 6, k + 0.8 * noise[j, k, seed], 0.0, 1.0, 0.1, 1.0, 15)
        for j, size in enumerate((20, 40)) for k, model in enumerate(("BT", "CLF", "LGB")) for seed in range(4)
    ]  # fmt: skip
    names = ["n_pairs", "seed", *names_of(MEASURES)[:6], "error_rate", "mean_abs_gap", "n_prompts"]
    results = pd.DataFrame(rows, columns=names).astype({"n": "Int64", "n_prompts": "Int64"})
    drawn: list[Figure] = []

    def keep(figure: Figure) -> str:
        drawn.append(figure)
        return ""

    monkeypatch.setattr(report, "svg_text", keep)
    found = report._findings(results)
    columns = found["differences"]["columns"]
    table = {
        float(value[columns.index("difference")][1]): float(value[columns.index("p_corrected")][1]) < 0.05
        for value in found["differences"]["rows"]
    }
    assert 0 < sum(table.values()) < len(table)
    points = [line for line in drawn[-1].axes[0].lines if line.get_marker() in ("o", "s", "D")]
    marks = {float(x): line.get_markerfacecolor() != "white" for line in points for x in xs(line)}
    assert marks == table
    assert found["n_prompts"] == "15"


def test_figures_of_a_study_are_written_by_the_command(
    page_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["figures", str(page_file.parent / "out"), "-o", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve_n_pairs.png", "curve_n_pairs.svg"]
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_the_page_is_the_same_each_time(page_file: Path, tmp_path: Path) -> None:
    assert main(["report", str(page_file.parent / "out"), "-o", str(tmp_path / "again.html")]) == 0
    assert (tmp_path / "again.html").read_bytes() == page_file.read_bytes()


def test_a_study_without_a_result_has_a_page_or_an_error(tmp_path: Path) -> None:
    study = rm.run_study(write_grid(tmp_path, faulty_grid(["fail"], [0])), tmp_path / "out", allow=ALLOW)
    assert main(["report", str(study.path), "-o", str(tmp_path / "report.html")]) == 0
    assert "No cell is done." in (tmp_path / "report.html").read_text()


def test_intervals_over_splits_are_explained(tmp_path: Path) -> None:
    study = rm.run_study(write_grid(tmp_path, BASE + 'grid: {"data.seed, seed": [[0, 0], [1, 1]]}\n'), tmp_path / "out")
    assert main(["report", str(study.path), "-o", str(tmp_path / "report.html")]) == 0
    text = (tmp_path / "report.html").read_text()
    assert "and in data.seed, which changes with the seed" in text
    assert "Every seed has the same test prompts" not in text


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [375, 1280])
def test_the_page_in_a_browser(page_file: Path, browser: Any, width: Any) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, offline=True)
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.as_uri())
    page.wait_for_load_state()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [page_file.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width  # nothing sticks out
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert page.locator("figure img").count() >= 1
    column = page.locator("table.sorts").nth(1).locator("thead th", has_text="value")
    place = column.evaluate("head => head.cellIndex")
    values = f"table => [...table.tBodies[0].rows].map(row => Number(row.cells[{place}].dataset.value))"
    table = page.locator("table.sorts").nth(1)
    before = table.evaluate(values)
    column.locator("button").click()
    assert table.evaluate(values) == sorted(before)
    assert column.get_attribute("aria-sort") == "ascending"
    column.locator("button").click()
    assert table.evaluate(values) == sorted(before, reverse=True)
    assert any(value < 0 for value in before) or len(set(before)) > 1
    context.close()
