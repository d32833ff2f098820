"""Running a study: plan its cells, compute those that are missing, and keep each as it ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from tqdm import tqdm

from rmspace._checks import check_int, check_number
from rmspace._typing import PathLike
from rmspace.data.progress import hidden
from rmspace.study.engine.in_process import compute_here
from rmspace.study.engine.task import CHANGED, CRASHED, DONE, FAILED, TIMEOUT, Outcome, Task
from rmspace.study.lock import study_lock
from rmspace.study.plan.grid import Grid, read_grid
from rmspace.study.results import Study, checked_contents
from rmspace.study.settings import Settings, check_threads, settle
from rmspace.study.store import FILE, Store
from rmspace.study.tasks import group_tasks, make_tasks, sample_tasks

_QUICK, _MOST_WAITING = 0.02, 8  # seconds of a cell that may wait to be committed, and how many cells may wait

Engine = Callable[[Iterable[Sequence[Task]]], Iterator[Outcome]]


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
    verify: bool = False,
) -> Study:
    """Run the cells of a grid that are not in the study's folder yet, and keep each as it ends.

    A study may be stopped or killed at any moment. The same call continues with the cells that are missing. The
    numbers depend neither on the order of the cells nor on the workers: all cells have the same number of threads.

    Args:
        grid: YAML file; see `read_grid`.
        out: folder of the study; one SQLite file in it holds everything.
        overrides: `key.path=value`, such as `grid.seed=[0]` or `base.n_pairs=500`.
        synthetic: put in the values under `synthetic` in the grid, such as synthetic data.
        allow: modules that `use:` may name, besides rmspace's names, scikit-learn's and modules beside the grid.
        sample: run at most this many of the cells, spread over the grid; the others wait.
        workers: processes to compute on, started by Dask; 0 computes in this process.
        scheduler: address of a Dask scheduler whose workers compute.
        threads: of each cell; when None, the number that the study began with, or 1.
        cell_timeout: seconds after which a cell is stopped. This needs a worker: without `workers`, one is started.
        retry_failed: run cells again that failed, crashed or took too long.
        take_over: take the lock of a driver on another host that is known to be dead; see `study_lock`.
        verify: compute cells again whose rows were changed outside the study; without it, such a study is refused.

    Returns:
        The study, to read.

    Raises:
        ConfigError: a mistake in the grid.
        ValueError: the folder holds the study of another grid; more threads than cores; a damaged cell.
        BlockingIOError: another driver runs this study.
        ConnectionError, RuntimeError: the scheduler or its workers cannot be used.
        OSError: the study's file cannot be written; all committed cells are whole.

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
    workers = _check_workers(workers, scheduler, cell_timeout)
    with closing(Store.create(Path(out) / FILE)) as store, study_lock(store, take_over=take_over):
        _check_whole(store, verify=verify)
        settings = settle(store, plan, threads)
        check_threads(settings.threads, workers)
        chosen = sample_tasks(_write_plan(store, plan, settings), sample)
        missing = _missing(store, chosen, retry_failed=retry_failed)
        engine = _choose_engine(workers, scheduler, settings.threads, cell_timeout)
        _compute(store, engine, missing, len(chosen))
    return Study.open(out)


def _check_whole(store: Store, *, verify: bool) -> None:
    """Raise ValueError where cells are damaged; with `verify`, remove them, so that they are computed again."""
    with store.snapshot():
        contents = store.contents() if verify else checked_contents(store)
    store.remove(cell.number for cell in contents.damaged)


def _check_workers(workers: int, scheduler: str | None, cell_timeout: float | None) -> int:
    """Return the number of workers to start."""
    if cell_timeout is not None:
        check_number("cell_timeout", cell_timeout, low=0)
    workers = check_int("workers", workers, low=0)
    if workers and scheduler:
        raise ValueError(f"give one of workers and scheduler; got workers={workers} and scheduler={scheduler!r}")
    return workers or int(cell_timeout is not None and scheduler is None)


def _write_plan(store: Store, grid: Grid, settings: Settings) -> list[Task]:
    """Build and check every cell, write the plan of the study, and return the tasks."""
    known = store.known_data()
    tasks, data = make_tasks(grid, list(grid.cells()), settings.columns, known)
    with store.transaction():
        store.set_meta({**settings._asdict(), "allow": list(grid.allow)})
        store.set_data({**known, **data})
        store.set_plan((task.labels, task.key) for task in tasks)
    return tasks


def _missing(store: Store, tasks: Sequence[Task], *, retry_failed: bool) -> list[Task]:
    """Return the tasks that are still to be computed."""
    statuses = store.statuses()
    again = {FAILED, CRASHED, TIMEOUT, CHANGED} if retry_failed else {CHANGED}
    finished = {key for key, status in statuses.items() if status not in again}
    return [task for task in tasks if task.key not in finished]


def _choose_engine(workers: int, scheduler: str | None, threads: int, cell_timeout: float | None) -> Engine:
    if not workers and scheduler is None:
        return partial(compute_here, threads=threads)
    from rmspace.study.engine.dask_workers import compute_on_workers

    return partial(compute_on_workers, workers=workers, scheduler=scheduler, threads=threads, cell_timeout=cell_timeout)


def _compute(store: Store, engine: Engine, missing: list[Task], total: int) -> None:
    """Compute the missing cells of `total`, and commit each as it ends, so that none is lost if the study stops."""
    if not missing:
        return
    before, failed = total - len(missing), 0
    writer = _Writer(store)
    seconds = 0.5 if sys.stderr and sys.stderr.isatty() else 60.0  # between two lines of a log
    with (
        tqdm(total=total, initial=before, unit="cell", mininterval=seconds, smoothing=0, disable=hidden(True)) as bar,
        closing(engine(group_tasks(missing))) as outcomes,  # type: ignore[type-var]
    ):
        try:
            for outcome in outcomes:
                writer.add(outcome)
                failed += outcome.status != DONE
                bar.set_postfix(failed=failed, refresh=False)
                bar.update()
            writer.flush()
        except BaseException as stop:
            with suppress(OSError):  # such an error may have stopped the study
                writer.flush()
            here = before + writer.written
            stop.add_note(f"{here} of {total} cells are in {store.path}; the same command continues from there")
            raise


class _Writer:
    """Commits cells as they end; quick ones a few at a time, since a commit takes longer than such a cell."""

    def __init__(self, store: Store) -> None:
        self.written = 0
        self._store = store
        self._waiting: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome; quick cells wait until a few are together, or until `flush`."""
        self._waiting.append(outcome)
        if outcome.seconds > _QUICK or len(self._waiting) >= _MOST_WAITING:
            self.flush()

    def flush(self) -> None:
        """Commit the cells that wait; they still wait where that fails."""
        self._store.add(self._waiting)
        self.written += len(self._waiting)
        self._waiting = []
