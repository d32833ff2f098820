"""A pretended device: it computes on the CPU, refuses tensors that are elsewhere, and counts what it is asked to do.

    python tests/pretended_device.py

runs the cases below on it and prints the outcome of each. It needs a process of its own, since a backend can be
registered only once and before any backward pass. It cannot show speed, nor faults of a real device's own kernels.
"""

import json
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar
from weakref import finalize

import numpy as np
import torch
from torch import Tensor, library
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

import rmspace as rm
from rmspace._typing import IntArray
from rmspace.models.core import precision
from rmspace.models.core.precision import bfloat16_gain

NAME = "pretended"
T = TypeVar("T")


class Log:
    """What the device did: operations by name, bytes sent to it, times it was waited for, bytes it holds."""

    def __init__(self) -> None:
        self.clear()
        self.held, self.limit = 0, float("inf")
        self.users: Counter[int] = Counter()  # tensors by storage, as views share one

    def clear(self) -> None:
        self.operations: Counter[str] = Counter()
        self.sent, self.waits = 0, 0

    def take(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if place not in self.users:
            if self.held + size > self.limit:
                raise torch.OutOfMemoryError(f"pretended out of memory. Tried to hold {size} bytes")
            self.held += size
        self.users[place] += 1
        finalize(tensor, self.give, place, size)

    def give(self, place: int, size: int) -> None:
        self.users[place] -= 1
        if not self.users[place]:
            del self.users[place]
            self.held -= size


LOG = Log()


class There(Tensor):
    """A tensor on the device; `here` is what it holds."""

    here: Tensor

    @staticmethod
    def __new__(cls: Any, here: Tensor) -> "There":
        LOG.take(here)
        found = torch.Tensor._make_wrapper_subclass(
            cls,
            here.size(),
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=torch.device(NAME, 0),
        )
        found.here = here
        return found

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        kwargs = dict(kwargs or {})
        name = function._schema.name.removeprefix("aten::")
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        LOG.operations[name] += 1
        stays = True
        if kwargs.get("device") is not None:
            stays = torch.device(kwargs["device"]).type == NAME
            kwargs["device"] = torch.device("cpu")
        elif name == "copy_":
            stays = isinstance(args[0], There)
            if stays and not isinstance(args[1], There):  # like CUDA, in the precision of the target
                LOG.sent += args[1].numel() * args[0].element_size()
        elif any(not isinstance(x, There) and x.dim() > 0 for x in tensors):
            raise RuntimeError(f"{name}: expected all tensors on one device")
        LOG.waits += not stays or name in ("_local_scalar_dense", "_unique2", "nonzero")
        args, kwargs = tree_map_only(There, lambda x: x.here, (args, kwargs))
        found = function(*args, **kwargs)
        if not stays:
            return found
        known = {id(x.here): x for x in tensors if isinstance(x, There)}  # what works in place returns its own
        return tree_map_only(torch.Tensor, lambda x: known[id(x)] if id(x) in known else There(x), found)


def register() -> library.Library:
    """Make the device known to torch; the returned kernels must be kept."""
    _setup_privateuseone_for_python_backend(NAME)
    kernels = library.Library("aten", "IMPL")

    def empty(size: list[int], *, dtype: torch.dtype | None = None, **_: object) -> There:
        return There(torch.empty(size, dtype=dtype))

    def empty_strided(size: list[int], stride: list[int], *, dtype: torch.dtype | None = None, **_: object) -> There:
        return There(torch.empty_strided(size, stride, dtype=dtype))

    kernels.impl("empty.memory_format", empty, "PrivateUse1")
    kernels.impl("empty_strided", empty_strided, "PrivateUse1")
    return kernels


def make_data() -> tuple[rm.ResponseBank, rm.ResponseBank, IntArray]:
    train, test = rm.make_synthetic_banks(120, 30, 6, 16, seed=0)
    rng = np.random.default_rng(0)
    return train, test, rm.annotate(rm.same_prompt(train, 500, rng), train.rewards, rm.oracle, rng=rng)


@contextmanager
def memory_for(more: int) -> Iterator[None]:
    """Let the device hold `more` bytes above what it holds now."""
    LOG.limit = LOG.held + more
    try:
        yield
    finally:
        LOG.limit = float("inf")


def warned(work: Callable[[], T], words: str) -> T:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        done = work()
    assert any(words in str(warning.message) for warning in found), [str(w.message) for w in found]
    return done


MLP = partial(rm.MLPReward, hidden_sizes=(8, 4), max_epochs=2, batch_size=100, random_state=0, precision="float32")


def case_a_fit_and_a_prediction_are_those_of_the_cpu() -> None:
    train, test, comparisons = make_data()
    choices: list[dict[str, Any]] = [
        {},
        {"objective": rm.classification},
        {"precision": "bfloat16"},
        {"validation_fraction": 0.0},
        {"hidden_sizes": ()},
        {"dropout": 0.2},
    ]
    for options in choices:
        models = [MLP(device=device, **options) for device in (NAME, "cpu")]
        for model in models:
            model.fit(train.items, comparisons, groups=train.groups)
        there, here = models
        assert (there.device_, here.device_) == (f"{NAME}:0", "cpu")
        for one, other in zip(there.history_, here.history_, strict=True):
            np.testing.assert_equal({**one, "seconds": 0}, {**other, "seconds": 0})
        assert there.best_epoch_ == here.best_epoch_
        assert all(type(p) is torch.nn.Parameter and p.device.type == "cpu" for p in there.network_.parameters())
        LOG.clear()
        np.testing.assert_array_equal(there.predict(test.items), here.predict(test.items))
        assert LOG.operations["addmm"] > 0


def case_tensors_that_are_elsewhere_are_refused() -> None:
    rows = torch.ones(3, device=NAME)
    try:
        rows + torch.ones(3)
    except RuntimeError as error:
        assert "one device" in str(error)
    else:
        raise AssertionError("this device would not notice tensors of two devices")


def case_a_batch_is_not_waited_for() -> None:
    train, _, comparisons = make_data()
    waits = []
    for batch_size in (300, 50):
        LOG.clear()
        MLP(device=NAME, batch_size=batch_size, max_epochs=2).fit(train.items, comparisons, groups=train.groups)
        waits.append(LOG.waits)
    assert len(set(waits)) == 1, waits


def case_rows_are_sent_once_in_the_precision_of_the_bank() -> None:
    train, _, comparisons = make_data()
    bank = np.tile(train.items, 16).astype(np.float16)  # so wide that rows are most of what is sent
    rows = len(np.unique(comparisons)) * bank.shape[1] * 2
    LOG.clear()
    model = MLP(device=NAME).fit(bank, comparisons, groups=train.groups)
    assert rows <= LOG.sent < 1.2 * rows, (LOG.sent, rows)
    LOG.clear()
    model.predict(bank)
    assert bank.nbytes <= LOG.sent < 1.05 * bank.nbytes, (LOG.sent, bank.nbytes)
    with rm.reuse_items():
        model.fit(bank, comparisons, groups=train.groups)
        LOG.clear()
        model.set_params(random_state=1).fit(bank, comparisons, groups=train.groups)
        assert LOG.sent < 0.2 * rows
    ensemble = rm.EnsembleReward(MLP(device=NAME, max_epochs=1), 4, random_state=0)
    ensemble.fit(train.items, comparisons, groups=train.groups)
    many = np.tile(train.items, (20, 1))
    LOG.clear()
    ensemble.predict(many)
    assert many.nbytes <= LOG.sent < 1.05 * many.nbytes, (LOG.sent, many.nbytes)
    for dtype, size in ((np.float64, 4), (np.float32, 4)):  # wider numbers are converted first
        LOG.clear()
        MLP(device=NAME).fit(bank.astype(dtype), comparisons, groups=train.groups)
        assert LOG.sent < 1.2 * rows / 2 * size


def case_members_are_one_program_by_default_with_fewer_products() -> None:
    train, test, comparisons = make_data()
    member = MLP(device=NAME, hidden_sizes=(64, 32), max_epochs=1)
    calls: dict[str | bool, int] = {}
    batched: Literal["auto"] | bool
    for batched in ("auto", False):
        LOG.clear()
        model = rm.EnsembleReward(member, 10, bootstrap=True, batched=batched, random_state=0)
        model.fit(train.items, comparisons, groups=train.groups)
        calls[batched] = sum(LOG.operations[name] for name in ("mm", "addmm", "bmm", "baddbmm"))
        assert {m.device_ for m in model.members_} == {f"{NAME}:0"}
    assert calls["auto"] < calls[False] / 3, calls
    small = rm.EnsembleReward(MLP(device=NAME), 3, bootstrap=True, random_state=0)
    there = small.fit(train.items, comparisons, groups=train.groups).predict(test.items)
    small = rm.EnsembleReward(MLP(device="cpu"), 3, bootstrap=True, random_state=0)
    here = small.fit(train.items, comparisons, groups=train.groups).predict(test.items)
    np.testing.assert_allclose(there, here, atol=1e-3)


def case_a_full_device_gives_way_to_the_cpu() -> None:
    train, test, comparisons = make_data()
    expected = MLP(device="cpu").fit(train.items, comparisons, groups=train.groups).predict(test.items)
    for more in (1_000, 40_000, 70_000):  # too few for the rows; for the training; for all steps
        with memory_for(more):
            model = MLP(device=NAME)
            warned(partial(model.fit, train.items, comparisons, groups=train.groups), "going on with the CPU")
            assert model.device_ == "cpu"
            if more < 40_000:
                scores = warned(partial(model.predict, test.items), "going on with the CPU")
                np.testing.assert_array_equal(scores, expected)
        np.testing.assert_array_equal(model.predict(test.items), expected)


def case_a_device_too_full_for_all_members_trains_one_by_one() -> None:
    train, test, comparisons = make_data()
    member = MLP(device=NAME, hidden_sizes=(256,), max_epochs=1)
    alone = rm.EnsembleReward(member, 4, batched=False, random_state=0)
    alone.fit(train.items, comparisons, groups=train.groups)
    model = rm.EnsembleReward(member, 4, random_state=0)
    with memory_for(1_500_000):
        warned(lambda: model.fit(train.items, comparisons, groups=train.groups), "training them one by one")
    assert {m.device_ for m in model.members_} == {f"{NAME}:0"}
    np.testing.assert_array_equal(model.predict(test.items), alone.predict(test.items))


def case_nothing_stays_behind() -> None:
    train, test, comparisons = make_data()
    before = LOG.held
    model = rm.EnsembleReward(MLP(device=NAME), 3, random_state=0)
    model.fit(train.items, comparisons, groups=train.groups).predict(test.items)
    assert LOG.held == before, LOG.held - before


def case_a_model_of_the_device_is_saved_and_used_elsewhere() -> None:
    train, test, comparisons = make_data()
    model = MLP(device=NAME).fit(train.items, comparisons, groups=train.groups)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model")
        again = rm.load(Path(folder) / "model").set_params(device="cpu")
    assert again.device_ == f"{NAME}:0"
    np.testing.assert_array_equal(again.predict(test.items), model.predict(test.items))


def case_the_probe_takes_large_products() -> None:
    sizes = []

    def measured(device_type: str, rows: int, size: int) -> float:
        sizes.append((device_type, rows, size))
        return 0.1

    found, precision._gain = precision._gain, measured
    try:
        bfloat16_gain.__wrapped__(NAME)
    finally:
        precision._gain = found
    assert sizes == [(NAME, 2048, 2048)]
    assert precision._gain(NAME, 8, 16) > 0


def main() -> None:
    kernels = register()
    warnings.simplefilter("ignore", UserWarning)
    probe, precision._gain = precision._gain, lambda *_: 0.1  # the real probe multiplies large matrices
    bfloat16_gain(NAME)
    precision._gain = probe
    found = {}
    for name, case in globals().copy().items():
        if name.startswith("case_"):
            try:
                case()
                found[name.removeprefix("case_")] = ""
            except Exception:
                found[name.removeprefix("case_")] = traceback.format_exc()
    json.dump(found, sys.stdout)
    del kernels


if __name__ == "__main__":
    main()
