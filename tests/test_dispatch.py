"""The dispatcher against workers that die at random, played here without any process."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rmspace.study.engine.dispatch import RETRIES, Dispatcher


def cells(groups):
    return [[SimpleNamespace(key=f"{g}-{k}") for k in range(size)] for g, size in enumerate(groups)]


@settings(max_examples=150, deadline=None)
@given(
    groups=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    n_workers=st.integers(1, 4),
    poison=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=2),
    seed=st.integers(0, 10_000),
    deaths=st.integers(0, 12),
)
def test_every_cell_ends_once_and_only_poison_is_given_up(groups, n_workers, poison, seed, deaths):
    rng = np.random.default_rng(seed)
    tasks = cells(groups)
    keys = {task.key for group in tasks for task in group}
    bad = {f"{g}-{k}" for g, k in poison} & keys
    dispatcher = Dispatcher(tasks)
    flights = {f"w{k}": [] for k in range(n_workers)}
    names = iter(f"w{k}" for k in range(n_workers, 10_000))
    ended, crashed, killed_alone = [], [], {}
    for _ in range(20_000):
        if dispatcher.finished:
            break
        for worker in flights:
            while flight := dispatcher.next_for(worker):
                flights[worker].append(flight)
            assert len(flights[worker]) <= 2
        busy = [worker for worker in flights if flights[worker]]
        worker = busy[rng.integers(len(busy))]
        running = flights[worker][0]
        assert dispatcher.running(worker) == running
        by_chance = deaths > 0 and rng.random() < 0.2
        poisoned = any(task.key in bad for task in running)
        if poisoned or by_chance:
            deaths -= not poisoned
            (key, *others) = (task.key for task in running)
            if dispatcher.crashes[key]:  # a suspect has its worker for itself
                assert len(flights[worker]) == 1 and not others
                killed_alone[key] = killed_alone.get(key, 0) + 1
            before = dispatcher.crashes.total()
            del flights[worker]
            flights[next(names)] = []
            given_up = dispatcher.lost(worker)
            assert dispatcher.crashes.total() == before + (not others)  # of several none is blamed
            if given_up is not None:
                crashed.append(given_up.key)
        else:
            flights[worker].pop(0)
            dispatcher.ended(worker, running, rng.choice([0.001, 0.05, 1.0]) * len(running))
            ended += [task.key for task in running]
    assert dispatcher.finished
    assert sorted(ended + crashed) == sorted(keys)
    assert bad <= set(crashed)
    for key in crashed:
        assert dispatcher.crashes[key] == RETRIES + 1
        assert killed_alone[key] == RETRIES


def test_groups_stay_with_a_worker_until_none_is_left():
    (first, second) = cells([4, 4])
    dispatcher = Dispatcher([first, second])
    assert [dispatcher.next_for("a"), dispatcher.next_for("a")] == [(first[0],), (first[1],)]
    assert dispatcher.next_for("a") == ()  # one runs, one waits
    assert dispatcher.next_for("b") == (second[0],)
    dispatcher.ended("a", (first[0],))
    assert dispatcher.next_for("a") == (first[2],)


def test_quick_cells_are_sent_together_and_slow_ones_are_not():
    (group,) = cells([40])
    dispatcher = Dispatcher([group])
    dispatcher.ended("a", dispatcher.next_for("a"), 0.02)
    together = dispatcher.next_for("a")
    assert together == tuple(group[1:6])  # a tenth of a second
    dispatcher.ended("a", together, 0.0)
    assert len(dispatcher.next_for("a")) == 16
    assert dispatcher.running("a") == tuple(group[6:22])
    dispatcher.ended("a", dispatcher.running("a"), 100.0)
    assert len(dispatcher.next_for("a")) == 1


def test_cells_that_were_sent_together_run_alone_after_a_death_and_only_then_one_is_blamed():
    (group,) = cells([4])
    dispatcher = Dispatcher([group])
    dispatcher.ended("a", dispatcher.next_for("a"), 0.01)
    assert dispatcher.next_for("a") == tuple(group[1:])
    assert dispatcher.lost("a") is None
    assert not dispatcher.crashes
    assert dispatcher.next_for("b") == (group[1],)
    assert dispatcher.next_for("b") == ()
    dispatcher.ended("b", (group[1],), 0.01)
    assert dispatcher.next_for("b") == (group[2],)
    assert dispatcher.lost("b") is None
    assert dispatcher.crashes == {group[2].key: 1}


def test_an_idle_worker_helps_with_the_longest_group():
    (group,) = cells([9])
    dispatcher = Dispatcher([group])
    assert dispatcher.next_for("a") == (group[0],)
    assert dispatcher.next_for("b") == (group[5],)  # the second half of the eight that wait
    assert dispatcher.next_for("a") == (group[1],)


def test_a_worker_that_is_lost_without_blame_leaves_no_suspect():
    (group,) = cells([3])
    dispatcher = Dispatcher([group])
    dispatcher.next_for("a")
    dispatcher.next_for("a")
    assert dispatcher.lost("a", blame=False) is None  # its running cell took too long, say
    assert not dispatcher.crashes
    assert [dispatcher.next_for("b"), dispatcher.next_for("b")] == [(group[1],), (group[2],)]
    assert dispatcher.lost("never seen") is None


def test_cells_that_were_together_too_long_are_each_timed_alone():
    (group,) = cells([3])
    dispatcher = Dispatcher([group])
    dispatcher.ended("a", dispatcher.next_for("a"), 0.01)
    assert dispatcher.next_for("a") == tuple(group[1:])
    assert dispatcher.lost("a", blame=False) is None
    assert [dispatcher.next_for("b"), dispatcher.next_for("c")] == [(group[1],), (group[2],)]
