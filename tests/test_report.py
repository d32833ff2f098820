import shutil

import pytest

import rmspace as rm
from rmspace.cli.main import main
from study_cases import ALLOW, BASE, faulty_grid, write_grid

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """A report with results of several seeds, a failed cell, and names that look like HTML."""
    folder = tmp_path_factory.mktemp("report")
    text = BASE.replace("{BT: {use: LinearReward}}", "{BT <b>: {use: study_cases.Faulty}, CLF: {use: LinearReward}}")
    grid = (
        "grid: {models.BT <b>.kind: {ok: ok, '<script>alert(1)</script>': fail}, n_pairs: [20, 40], seed: [0, 1, 2]}\n"
    )
    rm.run_study(write_grid(folder, text + grid), folder / "out", allow=ALLOW)
    assert main(["report", str(folder / "out"), "-o", str(folder / "report.html")]) == 0
    return folder / "report.html"


def test_the_page_says_what_was_run(page_file):
    text = page_file.read_text()
    assert "12 cells: 6 done, 6 failed" in text
    assert "RuntimeError: no luck" in text
    assert "rmspace study grid.yaml --out study --threads 1" in text
    assert "n_prompts: 40" in text  # the grid, whole
    assert "<script>alert" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_the_page_is_the_same_each_time(page_file, tmp_path):
    assert main(["report", str(page_file.parent / "out"), "-o", str(tmp_path / "again.html")]) == 0
    assert (tmp_path / "again.html").read_bytes() == page_file.read_bytes()


def test_a_study_without_a_result_has_a_page_or_an_error(tmp_path):
    study = rm.run_study(write_grid(tmp_path, faulty_grid(["fail"], [0])), tmp_path / "out", allow=ALLOW)
    assert main(["report", str(study.path), "-o", str(tmp_path / "report.html")]) == 0
    assert "No cell is done." in (tmp_path / "report.html").read_text()


def test_intervals_over_splits_are_explained(tmp_path):
    study = rm.run_study(write_grid(tmp_path, BASE + 'grid: {"data.seed, seed": [[0, 0], [1, 1]]}\n'), tmp_path / "out")
    assert main(["report", str(study.path), "-o", str(tmp_path / "report.html")]) == 0
    text = (tmp_path / "report.html").read_text()
    assert "that of data.seed, which goes along with the seed" in text
    assert "the test prompts are the same for every seed" not in text


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [375, 1280])
def test_the_page_in_a_browser(page_file, browser, width):
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
