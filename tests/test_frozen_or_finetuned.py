"""The script that compares frozen embeddings with a fine-tuned encoder: its splits, its cells and its tables."""

import json
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rmspace as rm
from rmspace.text.records import Comparison, Record, items_of
from text_models import save_model

pytest.importorskip("transformers", reason="pip install 'reward-space[text]'")

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(autouse=True)
def _scripts_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))


@pytest.mark.parametrize("name", ["AlpacaEval", "HH"])
def test_no_prompt_is_on_both_sides_of_a_split(name: str) -> None:
    from finetuning.data import DATA as SETS
    from finetuning.data import FOLDERS, VALIDATION, Sizes

    folder = DATA / FOLDERS[name]
    if not folder.is_dir():
        pytest.skip(f"the data are not there: {folder}")
    made = SETS[name](folder, Sizes(limit=300))
    splits = [made.split(seed, 40) for seed in (VALIDATION, 0, 1)]
    tests = [{item.prompt for item in split.items} for split in splits]
    for split, test in zip(splits, tests, strict=True):
        assert len(split.train) == 40
        train = {item.prompt for item in split.train.items}
        assert not train & test and not train & tests[0]  # the prompts for the learning rate are in no split
    assert tests[1] != tests[2] and not tests[0] & tests[1]
    again = made.split(1, 40)
    assert again.train.items == splits[2].train.items and again.items == splits[2].items


def test_the_winner_of_a_pair_has_the_higher_reward() -> None:
    from finetuning.data import FOLDERS, AlpacaEval, Sizes

    folder = DATA / FOLDERS["AlpacaEval"]
    if not folder.is_dir():
        pytest.skip(f"the data are not there: {folder}")
    made = AlpacaEval(folder, Sizes())
    rewards = {
        (row["prompt"], response): made.rewards[k, j]
        for k, row in enumerate(made.rows)
        for j, response in enumerate(row["responses"])
        if row["responses"].count(response) == 1
    }
    train = made.split(0, 60).train
    for pair in train.comparisons:
        keys = [(train.items[k].prompt[0].content, train.items[k].response) for k in pair]
        if all(key in rewards for key in keys):
            assert rewards[keys[0]] > rewards[keys[1]]
    items, measure = made.split(0, 60).items, made.split(0, 60).measure
    gold = np.array([rewards.get((item.prompt[0].content, item.response), 0.0) for item in items])
    table = measure({"gold": gold}).set_index("metric").value
    assert table["normalized_gain"] > 0.95 and table["accuracy"] > 0.95


def fake(cell: Any, rate: float | None) -> dict[str, Any]:
    """Results in which fine-tuning is ahead of the linear model by .1, and costs ten times as much."""
    from finetuning.cells import KINDS

    models = [KINDS[cell.kind]] if cell.kind in KINDS else ["linear", "MLP", "trees", "longer"]
    metrics = ["accuracy"] + ["normalized_gain"] * (cell.data == "AlpacaEval")
    rows = [
        {
            **{"model": model, "metric": metric, "n": 8 if metric == "normalized_gain" else None, "n_prompts": 9},
            **{"value": 0.6 + 0.01 * cell.seed + 0.1 * (model == "fine-tuned") - (cell.rate or 0), "low": 0, "high": 1},
            **{"n_pairs": cell.n_pairs, "megabytes": 5.0, "fit_seconds": None if model == "longer" else 1.0},
        }
        for model in models
        for metric in metrics
    ]
    if cell.kind != "frozen":
        rows = [{**row, "fit_seconds": 20.0} for row in rows]
    else:
        rows = [{**row, "embed_seconds": 1.0} for row in rows]
    about = {"data": cell.data, "kind": cell.kind, "n_pairs": cell.n_pairs, "seed": cell.seed, "rate": rate}
    return {"cell": about, "rows": rows}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float | None]]:
    from finetuning import cells, command

    found: list[tuple[str, float | None]] = []

    def run(self: Any, cell: Any, rate: float | None) -> dict[str, Any]:
        found.append((cell.name, rate))
        return fake(cell, rate)

    class NoData:
        def __init__(self, *_: Any) -> None:
            self.overlap = 0.2

    monkeypatch.setattr(cells.Bench, "run", run)
    monkeypatch.setattr(command, "DATA", {"AlpacaEval": NoData, "HH": NoData})
    return found


def test_a_stopped_script_goes_on_and_uses_the_best_rate(
    runs: list[tuple[str, float | None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetuning import command
    from finetuning.cells import QUICK

    monkeypatch.setattr(sys, "argv", ["frozen_or_finetuned.py", "--quick", "--model", "m", "--out", str(tmp_path)])
    assert command.main() == 0
    names = [cell.name for cell in QUICK.cells()]
    assert [name for name, _ in runs] == names
    assert {rate for name, rate in runs if "tuned" in name} == {3e-5}  # the fake accuracy falls with the rate
    assert {rate for name, rate in runs if "lora-" in name} == {3e-4}
    table = (tmp_path / "tables.md").read_text()
    assert "+.100" in table and "| 20 | 20 | 1 | linear 1.00, MLP 1.00, trees 1.00 | 10.0 | 20 |" in table
    assert "MB" not in table  # the memory was not measured; that of earlier results is not shown
    assert (tmp_path / "figure.png").stat().st_size > 1000
    (tmp_path / "cells" / f"{names[-1]}.json").unlink()
    assert command.main() == 0
    assert [name for name, _ in runs[len(names) :]] == names[-1:]
    drawn: list[Any] = []
    monkeypatch.setattr(command, "draw", lambda *arguments: drawn.append(arguments))
    assert command.main() == 0
    assert len(drawn) == 1 and len(runs) == len(names) + 1  # results that are there are put into the tables at once


def test_a_block_that_is_not_complete_is_not_in_the_tables(
    runs: list[tuple[str, float | None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetuning import cells, command

    whole = cells.Bench.run

    def stopped(self: Any, cell: Any, rate: float | None) -> dict[str, Any]:
        if cell.name == "HH-tuned-48-1":
            raise KeyboardInterrupt
        return whole(self, cell, rate)

    monkeypatch.setattr(cells.Bench, "run", stopped)
    monkeypatch.setattr(sys, "argv", ["frozen_or_finetuned.py", "--quick", "--model", "m", "--out", str(tmp_path)])
    with pytest.raises(KeyboardInterrupt):
        command.main()
    table = (tmp_path / "tables.md").read_text()
    assert "| AlpacaEval | 48 |" in table and "| HH |" not in table
    assert json.loads((tmp_path / "cells" / "HH-tuned-48-0.json").read_text())["cell"]["data"] == "HH"


def test_two_processes_share_the_cells(
    runs: list[tuple[str, float | None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetuning import command
    from finetuning.cells import QUICK

    arguments = ["frozen_or_finetuned.py", "--quick", "--model", "m", "--out", str(tmp_path)]
    for only in (["--only", "rate"], ["--only", "HH"], ["--only", "AlpacaEval", "--only", "48"], []):
        monkeypatch.setattr(sys, "argv", [*arguments, *only])
        before = len(runs)
        assert command.main() == 0
        assert all(part in name for part in only[1::2] for name, _ in runs[before:])
    assert sorted(name for name, _ in runs) == sorted(cell.name for cell in QUICK.cells())
    assert "| HH |" in (tmp_path / "tables.md").read_text()


def test_the_dry_run_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from finetuning import command

    monkeypatch.setattr(sys, "argv", ["frozen_or_finetuned.py", "--dry-run", "--model", "m", "--out", str(tmp_path)])
    assert command.main() == 0
    said = capsys.readouterr().out
    assert "AlpacaEval-tuned-500-0: about" in said and "together about" in said
    assert not list(tmp_path.iterdir())


WAYS = ["nothing (imports alone)", "linear", "MLP", "trees", "embedding, then linear, MLP, trees", "fine-tuned", "LoRA"]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Comparisons and a tiny encoder."""
    from finetuning import cells

    records = [
        Record(items_of(f"Why {k}?", [f"The light {k}.", f"system {k} human"]), [Comparison(0, 1)]) for k in range(40)
    ]
    split = SimpleNamespace(train=rm.text.TextPreferences.from_records(records))
    monkeypatch.setattr(cells.Bench, "split", lambda self, cell: split)
    return cells.Bench(cells.QUICK, Path(save_model(tmp_path / "bert", "bert")), tmp_path)


class HereNow:
    """Stands for a fresh process: it gets a copy of each job, and does it here."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __enter__(self) -> "HereNow":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, function: Any, job: Any) -> Any:
        value = function(pickle.loads(pickle.dumps(job)))
        return SimpleNamespace(result=lambda: value)


@pytest.mark.filterwarnings("ignore")
def test_each_way_is_measured_once_and_trains_what_it_says(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("trl", reason="pip install 'reward-space[finetune]'")
    from finetuning import cells, memory

    done: list[str] = []
    encode, finetune = rm.text.TransformersEncoder.encode, rm.text.finetune_reward

    def embedded(self: Any, items: Any) -> Any:
        done.extend(["embedding"] * bool(items))
        return encode(self, items)

    def tuned(*args: Any, **kwargs: Any) -> Any:
        done.append(f"rank {args[2].rank}")
        return finetune(*args, **kwargs)

    def frozen(name: str, make: Any) -> Any:
        def made(seed: int) -> Any:
            done.append(name)
            return make(seed)

        return made

    monkeypatch.setattr(memory, "resident", lambda of: 5.0)  # not every system tells
    monkeypatch.setattr(memory, "ProcessPoolExecutor", HereNow)
    monkeypatch.setattr(memory, "FROZEN", {name: frozen(name, make) for name, make in cells.FROZEN.items()})
    monkeypatch.setattr(rm.text.TransformersEncoder, "encode", embedded)
    monkeypatch.setattr(rm.text, "finetune_reward", tuned)
    path = tmp_path / "memory.json"
    memory.measure(bench, 40, path)
    alone = ["linear", "MLP", "trees"]
    assert done == ["embedding", *alone, "embedding", *alone, "rank None", "rank 32"]
    rows = json.loads(path.read_text())
    assert [row["trained"] for row in rows] == WAYS
    path.write_text(json.dumps([row | {"megabytes": 1.0} for row in rows[:-1]]))
    done.clear()
    memory.measure(bench, 40, path)
    assert done == ["rank 32"]
    assert [row["trained"] for row in json.loads(path.read_text())] == WAYS


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell the memory of a process")
def test_each_way_is_measured_in_a_process_of_its_own(bench: Any, tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="pip install 'reward-space[finetune]'")
    from finetuning import memory

    memory.measure(bench, 40, tmp_path / "memory.json")
    rows = json.loads((tmp_path / "memory.json").read_text())
    assert [row["trained"] for row in rows] == WAYS and all(row["megabytes"] > 0 for row in rows)


def test_memory_that_was_measured_is_in_the_tables(
    runs: list[tuple[str, float | None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetuning import command

    peaks = [("AlpacaEval", 48, "nothing (imports alone)", 600.0), ("AlpacaEval", 48, "LoRA", 850.4)]
    others = [("AlpacaEval", 40, "nothing (imports alone)", 500.0), ("AlpacaEval", 40, "LoRA", 999.0)]
    keys = ("data", "n_pairs", "trained", "megabytes")
    rows = [dict(zip(keys, row, strict=True)) for row in others + peaks]
    (tmp_path / "memory-quick.json").write_text(json.dumps(rows))
    (tmp_path / "memory.json").write_text(json.dumps([rows[0] | {"megabytes": 123.0}]))
    monkeypatch.setattr(sys, "argv", ["frozen_or_finetuned.py", "--quick", "--model", "m", "--out", str(tmp_path)])
    assert command.main() == 0
    table = (tmp_path / "tables.md").read_text()
    assert "| AlpacaEval | 48 | nothing (imports alone) | 600 | 0 |" in table
    assert "| AlpacaEval | 48 | LoRA | 850 | 250 |" in table and "| AlpacaEval | 40 | LoRA | 999 | 499 |" in table
    assert "123" not in table  # measured without --quick


def test_the_option_measures_memory_and_runs_no_cells(
    runs: list[tuple[str, float | None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetuning import command, memory

    asked: list[tuple[int, Path]] = []
    monkeypatch.setattr(memory, "measure", lambda bench, n, path: asked.append((n, path)))
    arguments = ["frozen_or_finetuned.py", "--memory", "50", "--model", "m", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    assert command.main() == 0
    assert asked == [(50, tmp_path / "memory.json")] and not runs


@pytest.mark.parametrize("n", ["0", "19", "3001", "many"])
def test_memory_needs_a_number_of_pairs_that_a_split_has(
    n: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from finetuning import command

    arguments = ["frozen_or_finetuned.py", "--memory", n, "--model", "m", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit):
        command.main()
    said = capsys.readouterr().err
    assert "--memory" in said and n in said and len(said.splitlines()[-1]) < 120 and not (tmp_path / "out").exists()
