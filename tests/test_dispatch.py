"""The dispatcher against workers that die at random, played here without any process."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rmspace.study.dispatch import RETRIES, Dispatcher


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
            while (task := dispatcher.next_for(worker)) is not None:
                flights[worker].append(task)
            assert len(flights[worker]) <= 2
        busy = [worker for worker in flights if flights[worker]]
        worker = busy[rng.integers(len(busy))]
        running = flights[worker][0]
        assert dispatcher.running(worker) is running
        by_chance = deaths > 0 and rng.random() < 0.2
        if running.key in bad or by_chance:
            deaths -= running.key not in bad
            if dispatcher.crashes[running.key]:  # a suspect has its worker for itself
                assert len(flights[worker]) == 1
                killed_alone[running.key] = killed_alone.get(running.key, 0) + 1
            del flights[worker]
            flights[next(names)] = []
            given_up = dispatcher.lost(worker)
            if given_up is not None:
                crashed.append(given_up.key)
        else:
            flights[worker].pop(0)
            dispatcher.ended(worker, running)
            ended.append(running.key)
    assert dispatcher.finished
    assert sorted(ended + crashed) == sorted(keys)
    assert bad <= set(crashed)
    for key in crashed:
        assert dispatcher.crashes[key] == RETRIES + 1
        assert killed_alone[key] == RETRIES


def test_groups_stay_with_a_worker_until_none_is_left():
    groups = cells([4, 4])
    dispatcher = Dispatcher(groups)
    first = [dispatcher.next_for("a"), dispatcher.next_for("a")]
    assert first == groups[0][:2]
    assert dispatcher.next_for("a") is None  # one runs, one waits
    assert dispatcher.next_for("b") is groups[1][0]
    dispatcher.ended("a", groups[0][0])
    assert dispatcher.next_for("a") is groups[0][2]


def test_an_idle_worker_helps_with_the_longest_group():
    (group,) = cells([9])
    dispatcher = Dispatcher([group])
    assert dispatcher.next_for("a") is group[0]
    assert dispatcher.next_for("b") is group[5]  # the second half of the eight that wait
    assert dispatcher.next_for("a") is group[1]


def test_a_worker_that_is_lost_without_blame_leaves_no_suspect():
    (group,) = cells([3])
    dispatcher = Dispatcher([group])
    dispatcher.next_for("a")
    dispatcher.next_for("a")
    assert dispatcher.lost("a", blame=False) is None  # its running cell took too long, say
    assert not dispatcher.crashes
    assert [dispatcher.next_for("b"), dispatcher.next_for("b")] == group[1:]
    assert dispatcher.lost("never seen") is None
