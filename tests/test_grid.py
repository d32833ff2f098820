import importlib
import itertools
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rmspace.config import ConfigError, resolve
from rmspace.config.build import KEYS, build_part
from rmspace.study.estimate import describe, estimate
from rmspace.study.plan.grid import read_grid
from rmspace.study.tasks import group_tasks, make_tasks, sample_tasks

BASE = """\
  data: {use: make_synthetic_banks, n_prompts: 30, n_test_prompts: 10, n_responses: 6, dim: 16}
  pairs: {use: same_prompt}
  n_pairs: 20
  annotator: {use: logistic, beta: 1.0}
  models: {BT: {use: LinearReward}}
  confidence: 0.95
"""
PAPER = Path(__file__).parents[1] / "configs" / "paper"


def write(folder: Path, grid: str, base: str = BASE, more: str = "") -> Path:
    path = folder / "grid.yaml"
    path.write_text(f"base:\n{base}grid:\n{grid}{more}")
    return path


def labels(grid: Any) -> list[dict[str, int]]:
    return [dict(zip(grid.columns, cell.labels, strict=True)) for cell in grid.cells()]


def test_cells_are_the_product_of_the_axes_in_order(tmp_path: Path) -> None:
    grid = read_grid(write(tmp_path, "  annotator.beta: [1, 3]\n  n_pairs: [10, 20]\n  seed: [0, 1, 2]\n"))
    expected = itertools.product([1, 3], [10, 20], [0, 1, 2])
    assert [cell.labels for cell in grid.cells()] == list(expected)
    assert len(grid) == 12
    cell = next(grid.cells())
    assert (cell.config["annotator"], cell.config["n_pairs"]) == ({"use": "logistic", "beta": 1}, 10)


def test_named_blocks_nested_keys_and_keys_that_one_axis_sets(tmp_path: Path) -> None:
    text = """\
  pairs.candidates: {random: {use: all_responses}, similar: {use: similar}}
  pairs: {same: {use: same_prompt}, cross: {use: cross_prompt}}
  models: {BT: {use: LinearReward}, CLF: {use: LinearReward, objective: {use: classification}}}
  data.seed, reward_scale: [[0, 1.0], [1, 6.0]]
"""
    grid = read_grid(write(tmp_path, text))
    assert grid.columns == ["pairs.candidates", "pairs", "models", "data.seed", "reward_scale"]
    cells = list(grid.cells())
    assert len(cells) == 16
    last = cells[-1]
    assert last.labels == ("similar", "cross", "CLF", 1, 6.0)
    assert last.config["pairs"] == {"use": "cross_prompt", "candidates": {"use": "similar"}}
    assert list(last.config["models"]) == ["CLF"]
    assert (last.config["data"]["seed"], last.config["reward_scale"]) == (1, 6.0)


def test_exclude_and_include(tmp_path: Path) -> None:
    more = "exclude: [{n_pairs: 20, seed: [1, 2]}]\ninclude: [{n_pairs: [15], seed: 0}, {seed: 7}]\n"
    grid = read_grid(write(tmp_path, "  n_pairs: [10, 20]\n  seed: [0, 1, 2]\n", more=more))
    found = [(each["n_pairs"], each["seed"]) for each in labels(grid)]
    assert found == [(10, 0), (10, 1), (10, 2), (20, 0), (15, 0), (10, 7), (20, 7)]
    assert len(grid) == 7
    assert "1 rules exclude, 2 include" in describe(grid)


def test_the_key_is_of_what_is_computed_alone(tmp_path: Path) -> None:
    one = read_grid(write(tmp_path, "  n_pairs: [10, 20]\n  seed: [0, 1]\n"))
    keys = {cell.labels: cell.key("train", "test") for cell in one.cells()}
    other = tmp_path / "elsewhere"
    other.mkdir()
    two = read_grid(write(other, "  seed: [1, 0]\n  n_pairs: [20, 10]\n"))
    assert {cell.labels[::-1]: cell.key("train", "test") for cell in two.cells()} == keys
    assert len(set(keys.values())) == 4
    cell = next(one.cells())
    assert len({cell.key("train", "test"), cell.key("other", "test"), cell.key("train", "other")}) == 3


def test_the_key_follows_the_users_module(tmp_path: Path) -> None:
    module = tmp_path / "grid_module_a.py"
    module.write_text("def judge(gap):\n    return (gap > 0) * 1.0\n")
    path = write(tmp_path, "  seed: [0]\n", BASE.replace("{use: logistic, beta: 1.0}", "{use: grid_module_a.judge}"))
    before = next(read_grid(path).cells()).key("a", "b")
    module.write_text("def judge(gap):\n    return (gap >= 0) * 1.0\n")
    with pytest.raises(ConfigError, match=r"grid_module_a\.py was edited after this process had imported it; restart"):
        next(read_grid(path).cells())
    forget(tmp_path)
    assert next(read_grid(path).cells()).key("a", "b") != before


def forget(folder: Path) -> None:
    """Forget the modules of a folder, as a new process would not know them."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(folder)):
            del sys.modules[name]
    for path in [path for path in resolve._imported if path.is_relative_to(folder)]:
        del resolve._imported[path]
    importlib.invalidate_caches()


def key_of_a_new_process(path: Path) -> str:
    forget(path.parent)
    return next(read_grid(path).cells()).key("a", "b")


def test_the_key_follows_what_the_users_module_imports(tmp_path: Path) -> None:
    package = tmp_path / "grid_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "judge.py").write_text(
        "from grid_helper import LIMIT\ndef judge(gap):\n    return (gap > LIMIT) * 1.0\n"
    )
    (tmp_path / "grid_helper.py").write_text("LIMIT = 0\n")
    path = write(
        tmp_path, "  seed: [0]\n", BASE.replace("{use: logistic, beta: 1.0}", "{use: grid_package.judge.judge}")
    )
    keys = [key_of_a_new_process(path), key_of_a_new_process(path)]
    (tmp_path / "grid_helper.py").write_text("LIMIT = 1\n")
    keys.append(key_of_a_new_process(path))
    (package / "judge.py").write_text("def judge(gap):\n    return (gap > 3) * 1.0\n")
    keys.append(key_of_a_new_process(path))
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_a_base_by_path_keeps_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "banks").mkdir()
    base = BASE.replace(
        "{use: make_synthetic_banks, n_prompts: 30, n_test_prompts: 10, n_responses: 6, dim: 16}",
        "{use: open_generators, folder: banks}",
    )
    (tmp_path / "deep" / "base.yaml").write_text(base.replace("\n  ", "\n")[2:])
    path = tmp_path / "grid.yaml"
    path.write_text("base: deep/base.yaml\ngrid:\n  seed: [0]\n")
    assert next(read_grid(path).cells()).config["data"]["folder"] == str(tmp_path / "deep" / "banks")


@pytest.mark.parametrize(
    ("grid", "more", "said"),
    [
        ("  anotator.beta: [1]\n", "", ":9: grid.anotator.beta: unknown axis: .*did you mean annotator"),
        ("  annotator.betta: [1]\n", "", ":9: annotator.betta: unknown key of logistic; did you mean beta"),
        ("  annotator.beta: [1, -2]\n", "", "beta must be at least 0.0; got -2 .in the cells with annotator.beta=-2"),
        ("  pairs: {a: {use: same_promt}}\n", "", "pairs.use: .* did you mean same_prompt. .in the cells with pairs=a"),
        ("  n_pairs: [ten]\n", "", ":9: n_pairs: must be a whole number or nothing .null.; got 'ten'"),
        ("  seed: []\n", "", "grid.seed: an axis must be a list .* got an empty one"),
        ("  seed:\n", "", "grid.seed: an axis must be a list .* got an empty one"),
        ("  seed: 3\n", "", "grid.seed: an axis must be a list .* got 3"),
        ("  seed: [0, 1, 0]\n", "", "grid.seed.2: the value 0 stands twice"),
        ("  seed: {a: 1, b: 1}\n", "", r"two cells would be the same, \[seed=a\] and \[seed=b\]"),
        ("  pairs: [{use: same_prompt}]\n", "", "needs a name"),
        ("  pairs: {use: same_prompt}\n", "", "must be a list of values, or a block of named"),
        ("  seed, n_pairs: [[1, 2], [3]]\n", "", r"grid.seed, n_pairs.1: must be a list of 2 values"),
        ("  seed: [0]\n  seed, n_pairs: [[1, 2]]\n", "", "the key seed is set by two axes"),
        ("  n: [1]\n", "", "cannot be an axis: the tables of results have a column n"),
        ("  seed: [0]\n", "exclude: [{sed: 0}]\n", "exclude.0.sed: is not an axis of the grid; did you mean seed"),
        ("  seed: [0]\n", "exclude: [{seed: 3}]\n", "exclude.0.seed: 3 is not a value of the axis"),
        ("  seed: [0, 1]\n  n_pairs: [5]\n", "exclude: [{seed: 0}, {seed: 1}]\n", "excludes every cell"),
        ("  seed: [0]\n", "include: [{seed: 0}]\n", "adds no cell"),
        ("  pairs: {a: {use: same_prompt}}\n", "include: [{pairs: {a: {use: cross_prompt}}}]\n", "calls another value"),
        ("  seed: [0]\n", "includes: []\n", "unknown key; did you mean include"),
        ("  seed: [0]\n", "exclude: 3\n", "exclude: must be a list of rules; got 3"),
        ("  annotator.beta.x: [0]\n", "", "annotator.beta is a value, not a block"),
    ],
)  # fmt: skip
def test_mistakes_are_found_before_anything_runs(tmp_path: Path, grid: str, more: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        list(read_grid(write(tmp_path, grid, more=more)).cells())


def test_mistakes_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text("grid: {seed: [0]}\n")
    with pytest.raises(ConfigError, match="the key base is missing"):
        read_grid(path)
    path.write_text("base: nowhere.yaml\ngrid: {seed: [0]}\n")
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read"):
        read_grid(path)
    write(tmp_path, "  seed: [0]\n")
    with pytest.raises(ConfigError, match="no `synthetic`"):
        read_grid(path, synthetic=True)
    with pytest.raises(ConfigError, match="a study has the keys base and grid, not n_pairs"):
        read_grid(path, ["n_pairs=3"])
    write(tmp_path, "  seed: [0]\n", BASE.replace("  n_pairs: 20\n", ""))
    with pytest.raises(ConfigError, match="the key n_pairs is missing"):
        read_grid(path)


def test_a_required_key_may_come_from_an_axis(tmp_path: Path) -> None:
    grid = read_grid(write(tmp_path, "  n_pairs: [10]\n", BASE.replace("  n_pairs: 20\n", "")))
    assert next(grid.cells()).config["n_pairs"] == 10


def test_overrides_and_the_stand_in(tmp_path: Path) -> None:
    more = "synthetic: {base.n_pairs: 7, grid.seed: [5], base.models.BT.alpha: 0.5}\n"
    path = write(tmp_path, "  seed: [0, 1]\n", more=more)
    assert len(read_grid(path)) == 2
    grid = read_grid(path, ["base.confidence=0.8", "grid.seed=[8, 9]"], synthetic=True)
    cells = list(grid.cells())
    assert [cell.labels for cell in cells] == [(8,), (9,)]
    config = cells[0].config
    assert (config["n_pairs"], config["confidence"], config["models"]["BT"]["alpha"]) == (7, 0.8, 0.5)
    (tmp_path / "again.yaml").write_text(grid.text)
    again = [cell.key("a", "b") for cell in read_grid(tmp_path / "again.yaml").cells()]
    assert again == [cell.key("a", "b") for cell in cells]


@pytest.mark.parametrize("path", sorted(PAPER.glob("f*.yaml")), ids=lambda path: path.stem)
def test_the_papers_grids(path: Path, tmp_path: Path) -> None:
    sizes = {"figure1": 60, "figure2": 360, "figure3": 240, "figure4": 120, "figure5": 240, "figure6": 360,
             "figures8to15": 2880, "figures16to20": 840, "full_grid": 12_960}  # fmt: skip
    grid = read_grid(path, synthetic=True)
    assert len(grid) == sizes[path.stem]
    cells = list(grid.cells())
    assert all(cell.config["data"]["use"] == "make_synthetic_paper_banks" for cell in cells)
    tasks, _ = make_tasks(grid, cells[:1] + cells[-1:], grid.columns, {})
    assert all(task.data.signature is None for task in tasks)
    (tmp_path / "banks").mkdir()
    real = read_grid(path, [f"base.data.root={tmp_path / 'banks'}"])
    assert len(real) == sizes[path.stem]
    counts = {cell.config["n_pairs"] for cell in real.cells()}
    assert counts <= {5000, 10_000, 20_000, 40_000}
    with pytest.raises(ConfigError, match=r"base\.yaml:3: data\.root: must be .*a path that exists .*FILL_IN"):
        list(read_grid(path).cells())


def test_the_full_grid_builds_each_part_once(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    def counting(root: Any, name: str, **options: Any) -> Any:
        built.append(name)
        return build_part(root, name, **options)

    monkeypatch.setattr("rmspace.study.plan.grid.build_part", counting)
    cells = list(read_grid(PAPER / "full_grid.yaml", synthetic=True).cells())
    parts = {"data": 12, "reward_scale": 2, "pairs": 3, "annotator": 6, "n_pairs": 4, "models": 3, "seed": 5}
    assert Counter(built) == {name: parts.get(name, 1) for name in KEYS}
    assert len({cell.key("a", "b") for cell in cells}) == 12_960 / 12 * 2  # base models differ by their banks alone
    assert len({cell.group for cell in cells}) == 12_960 / (6 * 3)  # noise and models share items
    assert len({id(cell.config["models"]) for cell in cells}) == 3


def test_cells_of_a_group_follow_each_other(tmp_path: Path) -> None:
    grid = read_grid(write(tmp_path, "  annotator.beta: [1, 3]\n  data.seed: [0, 1]\n  seed: [0, 1]\n"))
    tasks, _ = make_tasks(grid, grid.cells(), grid.columns, {})
    groups = group_tasks(tasks)
    assert [len(group) for group in groups] == [2, 2, 2, 2]
    assert [json.loads(task.labels) for task in groups[0]] == [[1, 0, 0], [3, 0, 0]]
    assert [group[0].data == groups[0][0].data for group in groups] == [True, True, False, False]


def test_banks_that_hold_the_same_values_make_the_same_cells(tmp_path: Path) -> None:
    (tmp_path / "same_banks.py").write_text(
        "import rmspace as rm\ndef make(name):\n    return rm.make_synthetic_banks(30, 10, 6, 16)\n"
    )
    base = BASE.replace(
        "{use: make_synthetic_banks, n_prompts: 30, n_test_prompts: 10, n_responses: 6, dim: 16}",
        "{use: same_banks.make, name: a}",
    )
    grid = read_grid(write(tmp_path, "  data.name: [a, b]\n", base))
    with pytest.raises(ConfigError, match=r"\[data.name=a\] and \[data.name=b\]"):
        make_tasks(grid, grid.cells(), grid.columns, {})


def test_a_sample_is_scattered_and_always_the_same(tmp_path: Path) -> None:
    grid = read_grid(write(tmp_path, "  annotator.beta: [1, 3, 5, 10]\n  seed: [0, 1, 2, 3, 4]\n"))
    tasks, _ = make_tasks(grid, grid.cells(), grid.columns, {})
    first = [task.labels for task in sample_tasks(tasks, 8)]
    assert first == [task.labels for task in sample_tasks(tasks, 8)]
    assert len(first) == 8
    assert len({json.loads(labels)[0] for labels in first}) > 1
    assert set(first) <= {task.labels for task in sample_tasks(tasks, 12)}
    with pytest.raises(ValueError, match="at most the grid's 20 cells; got 21"):
        sample_tasks(tasks, 21)


def test_an_estimate_times_one_cell_of_each_kind(tmp_path: Path) -> None:
    grid = read_grid(write(tmp_path, "  annotator.beta: [1, 3]\n  n_pairs: [10, 20]\n  seed: [0, 1, 2]\n"))
    seen = []
    found = estimate(grid, timed=8, on_cell=lambda labels, seconds: seen.append((json.loads(labels)[1], seconds)))
    assert [n_pairs for n_pairs, _ in seen] == [10, 20]
    mean = (seen[0][1] + seen[1][1]) / 2
    assert found.core_hours == pytest.approx(12 * mean / 3600)
    assert (found.timed, found.kinds) == (2, 2)


def test_an_estimate_says_what_fails(tmp_path: Path) -> None:
    grid = read_grid(write(tmp_path, "  n_pairs: [100000]\n"))
    with pytest.raises(RuntimeError, match=r"a cell fails.*n_pairs must be at most"):
        estimate(grid)
