"""Running a study: plan its cells, compute those that are missing, keep each as it ends."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from rmspace._checks import check_int, check_number
from rmspace._typing import PathLike
from rmspace.study.banks import Banks, file_signature, fingerprint
from rmspace.study.engine.cell import DONE, Outcome, Task
from rmspace.study.engine.in_process import compute_here
from rmspace.study.lock import study_lock
from rmspace.study.plan.grid import Cell, Grid, read_grid, same_cells
from rmspace.study.results import Study
from rmspace.study.store import FILE, Store

_QUICK, _TOGETHER = 0.02, 8  # seconds of a cell that may wait to be committed, and how many together

_Engine = Callable[[Iterable[Sequence[Task]]], Iterator[Outcome]]


def run_study(
    grid: PathLike,
    out: PathLike,
    *,
    overrides: Sequence[str] = (),
    synthetic: bool = False,
    allow: Sequence[str] = (),
    sample: int | None = None,
    workers: int = 0,
    scheduler: str | None = None,
    threads: int | None = None,
    cell_timeout: float | None = None,
    retry_failed: bool = False,
    take_over: bool = False,
) -> Study:
    """Run the cells of a grid that are not in its folder yet, and keep each as it ends.

    A study may be stopped at any moment, killed, and run again with the same arguments: it goes on with what is
    missing. Its numbers depend on neither the order nor the workers: all cells compute with the same number of threads.

    Args:
        grid: YAML file; see `read_grid`.
        out: folder of the study; one SQLite file in it holds everything.
        overrides: `key.path=value`, as `grid.seed=[0]` or `base.n_pairs=500`.
        synthetic: run on the grid's synthetic stand-in.
        allow: modules that the configs may import, apart from rmspace, scikit-learn and those beside the grid.
        sample: run at most this many of the cells, spread over the grid; the others wait.
        workers: processes to compute on, started by Dask; 0 computes in this process.
        scheduler: address of a Dask scheduler whose workers compute.
        threads: of each cell; those that the study began with, or 1, when None.
        cell_timeout: seconds after which a cell is given up, which takes a worker: without `workers`, one is started.
        retry_failed: run cells again that failed, crashed or took too long.
        take_over: see `study_lock`; for a lock of another host's driver that is known to be dead.

    Returns:
        The study, to read.

    Raises:
        ConfigError: a mistake in the grid.
        ValueError: the folder holds the study of another grid; more threads than cores.
        BlockingIOError: another driver runs this study.
        ConnectionError, RuntimeError: the scheduler or its workers cannot be used.
        OSError: the study's file cannot be written; what was committed is whole.

    >>> import tempfile
    >>> text = '''
    ... base:
    ...   data: {use: make_synthetic_banks, n_prompts: 50, n_test_prompts: 10}
    ...   pairs: {use: same_prompt}
    ...   n_pairs: 100
    ...   annotator: {use: logistic}
    ...   models: {BT: {use: LinearReward}}
    ... grid: {annotator.beta: [1, 10], seed: [0, 1]}
    ... '''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "grid.yaml").write_text(text)
    ...     table = run_study(folder + "/grid.yaml", folder + "/out").results()
    >>> list(table.columns[:5]), len(table.groupby(["annotator.beta", "seed"]))
    (['annotator.beta', 'seed', 'model', 'metric', 'n'], 4)
    """
    plan = read_grid(grid, overrides, synthetic=synthetic, allow=allow)
    if cell_timeout is not None:
        check_number("cell_timeout", cell_timeout, low=0)
    workers = check_int("workers", workers, low=0) or int(cell_timeout is not None and scheduler is None)
    if workers and scheduler:
        raise ValueError("a study runs on workers of its own or on a scheduler's; give one of workers and scheduler")
    with closing(Store.create(Path(out) / FILE)) as store, study_lock(store, take_over=take_over):
        facts = _settled(store, plan, threads)
        _check_threads(facts["threads"], workers)
        tasks = _plan(store, plan, facts)
        chosen = sampled(tasks, sample)
        left = _left(store, chosen, {DONE} if retry_failed else None)
        _run(store, _engine(workers, scheduler, facts["threads"], cell_timeout), left, len(chosen))
    return Study.open(out)


def group_tasks(tasks: Iterable[Task]) -> list[list[Task]]:
    """Put cells that compare the same items one after the other, and groups with the same banks likewise."""
    groups: dict[str, list[Task]] = {}
    banks: dict[Banks, int] = {}
    for task in tasks:
        banks.setdefault(task.banks, len(banks))
        groups.setdefault(task.group, []).append(task)
    return sorted(groups.values(), key=lambda group: banks[group[0].banks])


def make_tasks(grid: Grid, cells: Iterable[Cell], columns: Sequence[str], known: dict[str, Banks]) -> list[Task]:
    """Make cells into tasks; banks that are not `known` by their files are read and fingerprinted, and noted there.

    Raises:
        ConfigError: a bank that cannot be read; two cells that are the same since their banks hold the same values.
    """
    order = [grid.columns.index(column) for column in columns]
    current: dict[str, Banks] = {}
    keys: dict[str, Cell] = {}
    path, folders, allow = grid.path.resolve(), tuple(grid.folders), tuple(grid.allow)
    tasks = []
    for cell in cells:
        data = cell.texts["data"]
        if data not in current:
            current[data] = _banks_of(cell, known.get(data))
        key = cell.key(current[data].train, current[data].test)
        if key in keys:
            raise grid.document["grid"].error(same_cells(grid.columns, keys[key].labels, cell.labels))
        keys[key] = cell
        labels = json.dumps([cell.labels[k] for k in order])
        tasks.append(Task(key, labels, cell.config, current[data], cell.modules, cell.group, path, folders, allow))
    known.update(current)
    return tasks


def _banks_of(cell: Cell, before: Banks | None) -> Banks:
    signature = file_signature(cell.config["data"])
    if before is not None and signature is not None and before.signature == signature:
        return before
    return fingerprint(*cell.data(), signature)


def _settled(store: Store, grid: Grid, threads: int | None) -> dict[str, Any]:
    """Hold the grid to the one that the study was begun with; return what is settled for good with its first cell."""
    facts: dict[str, Any] = {
        "columns": grid.columns,
        "base": _base_facts(grid),
        "threads": 1 if threads is None else threads,
    }
    check_int("threads", facts["threads"], low=1)
    if not store.statuses():
        return {**facts, "grid": grid.text}
    columns, before = store.meta("columns"), store.meta("base")
    if set(columns) != set(grid.columns):
        words = [f"it lacks {name}" for name in columns if name not in grid.columns]
        words += [f"it has {name} besides" for name in grid.columns if name not in columns]
        raise ValueError(
            f"{store.path} holds the study of another grid, with the axes {', '.join(columns)}; this one differs: "
            f"{', '.join(words)}; choose another folder"
        )
    base = facts["base"]
    if other := [name for name in {**before, **base} if before.get(name) != base.get(name)]:
        words = [f"{name} was {before.get(name)!r} and is {base.get(name)!r}" for name in other]
        raise ValueError(
            f"{store.path} holds a study with another base: {'; '.join(words)}; choose another folder, or make an axis "
            "of what is to vary"
        )
    settled = int(store.meta("threads"))
    if threads is not None and threads != settled:
        raise ValueError(
            f"{store.path} was begun with {settled} threads a cell, and other numbers of them may differ in the last "
            "bits; leave threads out, or choose another folder"
        )
    return {"columns": columns, "base": before, "threads": settled, "grid": grid.text}


def _base_facts(grid: Grid) -> dict[str, Any]:
    """Return the base without what the axes set, and without its data, which what the banks hold stands for."""
    base = grid.base.without(("data",))
    for axis in grid.axes:
        for setting in axis.values[0].settings:
            base = base.without(setting.key)
    return json.loads(json.dumps(base.plain()))


def _check_threads(threads: int, workers: int) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads > 1 and max(workers, 1) * threads > cores:
        raise ValueError(
            f"{max(workers, 1)} processes of {threads} threads would share {cores} cores, which is many times slower "
            "than too few; use fewer workers or threads"
        )


def _plan(store: Store, grid: Grid, facts: dict[str, Any]) -> list[Task]:
    """Build and check every cell, then write down what the study is; return the tasks."""
    known = store.known_banks()
    tasks = make_tasks(grid, list(grid.cells()), facts["columns"], known)
    with store.transaction():
        store.set_meta(facts)
        store.set_banks(known)
        store.plan((task.labels, task.key) for task in tasks)
    return tasks


def sampled(tasks: list[Task], sample: int | None) -> list[Task]:
    """Return tasks, or some of them that stand scattered over the grid, the same ones each time."""
    if sample is None:
        return tasks
    if check_int("sample", sample, low=1) > len(tasks):
        raise ValueError(f"sample must be at most the grid's {len(tasks)} cells; got {sample}")
    scattered = sorted(tasks, key=lambda task: hashlib.sha256(task.labels.encode()).digest())
    chosen = {task.key for task in scattered[:sample]}
    return [task for task in tasks if task.key in chosen]


def _left(store: Store, tasks: list[Task], skipped: set[str] | None) -> list[Task]:
    statuses = store.statuses()
    return [task for task in tasks if task.key not in statuses or (skipped and statuses[task.key] not in skipped)]


def _engine(workers: int, scheduler: str | None, threads: int, cell_timeout: float | None) -> _Engine:
    if not workers and scheduler is None:
        return lambda groups: compute_here(groups, threads=threads)
    from rmspace.study.engine.dask_workers import compute_on_workers

    return lambda groups: compute_on_workers(
        groups, workers=workers, scheduler=scheduler, threads=threads, cell_timeout=cell_timeout
    )


def _run(store: Store, engine: _Engine, left: list[Task], total: int) -> None:
    """Commit each cell as it ends, so that whatever stops the study loses none; very quick ones a few at a time."""
    if not left:
        return
    done, failed = total - len(left), 0
    quick: list[Outcome] = []
    calm = 0.5 if sys.stderr.isatty() else 60.0  # seconds between lines of a log
    with (
        tqdm(total=total, initial=done, unit="cell", mininterval=calm, smoothing=0) as bar,
        closing(engine(group_tasks(left))) as outcomes,  # type: ignore[type-var]
    ):
        try:
            for outcome in outcomes:
                quick.append(outcome)
                if outcome.seconds > _QUICK or len(quick) >= _TOGETHER:
                    store.add(quick)
                    quick = []
                failed += outcome.status != DONE
                done += 1
                bar.set_postfix(failed=failed, refresh=False)
                bar.update()
            store.add(quick)
        except BaseException as stop:
            with suppress(OSError):  # which may be what stopped it
                store.add(quick)
                quick = []
            done -= len(quick)
            stop.add_note(f"{done} of {total} cells are in {store.path}; the same command goes on from there")
            raise
