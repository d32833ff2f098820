"""The dispatcher against workers that die at random, which are simulated here without any process."""

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rmspace.study.engine.dispatch import RETRIES, Batch, Dispatcher
from rmspace.study.engine.task import Source, Task
from rmspace.study.fingerprints import Fingerprints


def cells(groups: list[int]) -> list[list[Task]]:
    """Return groups of the given sizes; only the keys of their tasks matter."""
    return [[task(f"{g}-{k}") for k in range(size)] for g, size in enumerate(groups)]


def task(key: str) -> Task:
    return Task(key, "[]", {}, Source(Path(), ()), Fingerprints("train", "test", None), {}, "group")


@settings(max_examples=150, deadline=None)
@given(
    groups=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    n_workers=st.integers(1, 4),
    poison=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=2),
    seed=st.integers(0, 10_000),
    deaths=st.integers(0, 12),
)
def test_every_cell_ends_once_and_only_poison_is_given_up(
    groups: list[int], n_workers: int, poison: set[tuple[int, int]], seed: int, deaths: int
) -> None:
    rng = np.random.default_rng(seed)
    tasks = cells(groups)
    keys = {task.key for group in tasks for task in group}
    bad = {f"{g}-{k}" for g, k in poison} & keys
    dispatcher = Dispatcher(tasks)
    batches: dict[str, list[Batch]] = {f"w{k}": [] for k in range(n_workers)}
    names = iter(f"w{k}" for k in range(n_workers, 10_000))
    ended: list[str] = []
    crashed: list[str] = []
    killed_alone: dict[str, int] = {}
    for _ in range(20_000):
        if dispatcher.finished:
            break
        for worker in batches:
            while batch := dispatcher.next_batch(worker):
                batches[worker].append(batch)
            assert len(batches[worker]) <= 2
        busy = [worker for worker in batches if batches[worker]]
        worker = busy[rng.integers(len(busy))]
        running = batches[worker][0]
        assert dispatcher.running(worker) == running
        by_chance = deaths > 0 and rng.random() < 0.2
        poisoned = any(task.key in bad for task in running)
        if poisoned or by_chance:
            deaths -= not poisoned
            (key, *others) = (task.key for task in running)
            if dispatcher.crashes[key]:  # a cell that may have crashed a worker runs alone
                assert len(batches[worker]) == 1 and not others
                killed_alone[key] = killed_alone.get(key, 0) + 1
            before = dispatcher.crashes.total()
            del batches[worker]
            batches[next(names)] = []
            given_up = dispatcher.died(worker)
            assert dispatcher.crashes.total() == before + (not others)  # among several, nobody knows which one crashed
            if given_up is not None:
                crashed.append(given_up.key)
        else:
            batches[worker].pop(0)
            dispatcher.ended(worker, running, rng.choice([0.001, 0.05, 1.0]) * len(running))
            ended += [task.key for task in running]
    assert dispatcher.finished
    assert sorted(ended + crashed) == sorted(keys)
    assert bad <= set(crashed)
    for key in crashed:
        assert dispatcher.crashes[key] == RETRIES + 1
        assert killed_alone[key] == RETRIES


def test_groups_stay_with_a_worker_until_none_is_left() -> None:
    (first, second) = cells([4, 4])
    dispatcher = Dispatcher([first, second])
    assert [dispatcher.next_batch("a"), dispatcher.next_batch("a")] == [(first[0],), (first[1],)]
    assert dispatcher.next_batch("a") == ()  # one runs, one waits
    assert dispatcher.next_batch("b") == (second[0],)
    dispatcher.ended("a", (first[0],))
    assert dispatcher.next_batch("a") == (first[2],)


def test_quick_cells_are_sent_in_batches_and_slow_ones_are_not() -> None:
    (group,) = cells([40])
    dispatcher = Dispatcher([group])
    dispatcher.ended("a", dispatcher.next_batch("a"), 0.02)
    batch = dispatcher.next_batch("a")
    assert batch == tuple(group[1:6])  # a tenth of a second
    dispatcher.ended("a", batch, 0.0)
    assert len(dispatcher.next_batch("a")) == 16
    assert dispatcher.running("a") == tuple(group[6:22])
    dispatcher.ended("a", dispatcher.running("a"), 100.0)
    assert len(dispatcher.next_batch("a")) == 1


def test_the_cells_of_a_batch_run_alone_after_a_crash_and_only_then_does_it_count() -> None:
    (group,) = cells([4])
    dispatcher = Dispatcher([group])
    dispatcher.ended("a", dispatcher.next_batch("a"), 0.01)
    assert dispatcher.next_batch("a") == tuple(group[1:])
    assert dispatcher.died("a") is None
    assert not dispatcher.crashes
    assert dispatcher.next_batch("b") == (group[1],)
    assert dispatcher.next_batch("b") == ()
    dispatcher.ended("b", (group[1],), 0.01)
    assert dispatcher.next_batch("b") == (group[2],)
    assert dispatcher.died("b") is None
    assert dispatcher.crashes == {group[2].key: 1}


def test_an_idle_worker_helps_with_the_longest_group() -> None:
    (group,) = cells([9])
    dispatcher = Dispatcher([group])
    assert dispatcher.next_batch("a") == (group[0],)
    assert dispatcher.next_batch("b") == (group[5],)  # the second half of the eight that wait
    assert dispatcher.next_batch("a") == (group[1],)


def test_the_late_cell_of_a_stopped_worker_does_not_run_again() -> None:
    (group,) = cells([3])
    dispatcher = Dispatcher([group])
    dispatcher.next_batch("a")
    dispatcher.next_batch("a")
    dispatcher.stopped("a")  # its running cell took too long
    assert not dispatcher.crashes
    assert [dispatcher.next_batch("b"), dispatcher.next_batch("b")] == [(group[1],), (group[2],)]
    assert dispatcher.died("never seen") is None


def test_the_cells_of_a_late_batch_are_each_timed_alone() -> None:
    (group,) = cells([3])
    dispatcher = Dispatcher([group])
    dispatcher.ended("a", dispatcher.next_batch("a"), 0.01)
    assert dispatcher.next_batch("a") == tuple(group[1:])
    dispatcher.stopped("a")
    assert [dispatcher.next_batch("b"), dispatcher.next_batch("c")] == [(group[1],), (group[2],)]
