"""The device and the precision of matrix products that are fast on this machine."""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

T = TypeVar("T")

_WORTH_IT = 1.5  # bfloat16 rounds: it must be clearly faster, so that noise never decides
_HOPELESS = 0.5  # a smaller gain on small matrices decides; large ones would take too long
PRECISIONS = ("auto", "float32", "bfloat16")


def find_device(device: str) -> torch.device:
    """Return the device that a name stands for; "auto" is the GPU where there is one.

    Raises:
        ValueError: a name that torch does not know, or a device that is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        float(torch.zeros(1, device=found))
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise ValueError(
            f"device must be 'auto', 'cpu', 'cuda' or what this torch can use; got {device!r} ({error})"
        ) from error
    return found


def find_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the precision of the hidden products; "auto" is bfloat16 where `bfloat16_gain` is at least 1.5.

    Raises:
        ValueError: another word than auto, float32 and bfloat16.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; got {precision!r}")
    if precision == "float32":
        return torch.float32
    gain = bfloat16_gain(device.type)
    if precision == "auto":
        return torch.bfloat16 if gain >= _WORTH_IT else torch.float32
    if gain < 1:
        warnings.warn(
            f"this {device.type} multiplies bfloat16 {1 / max(gain, 1e-3):.1f} times slower than float32; the same "
            "rounding is done around float32 products, which is no faster than precision='float32'",
            UserWarning,
            stacklevel=4,
        )
    return torch.bfloat16


def find_threads() -> int:
    """Return the number of threads of this process: OMP_NUM_THREADS or the cores, unless torch was told otherwise."""
    return torch.get_num_threads()


def on_device(device: torch.device, work: Callable[[torch.device], T]) -> T:
    """Do some work on a device; where its memory does not suffice, warn and do the work on the CPU."""
    try:
        return work(device)
    except torch.OutOfMemoryError as error:
        if device.type == "cpu":
            raise
        reason = str(error).partition(". ")[0]
    warnings.warn(f"{device} has too little memory left ({reason}); going on with the CPU", UserWarning, stacklevel=3)
    return work(torch.device("cpu"))


@cache
def bfloat16_gain(device_type: str) -> float:
    """Return how many times faster this machine multiplies bfloat16 than float32; measured once, in milliseconds."""
    if device_type != "cpu":
        return _gain(device_type, 2048, 2048)  # on a GPU, the time of a smaller product is that of its start
    gain = _gain(device_type, 64, 256)
    return gain if gain < _HOPELESS else _gain(device_type, 512, 1024)


def _gain(device_type: str, rows: int, size: int) -> float:
    """Return the ratio of the least times of a (rows, size) x (size, size) product; the precisions take turns."""
    least: dict[torch.dtype, float] = {}
    try:
        for _ in range(4):
            for dtype in (torch.float32, torch.bfloat16):
                a = torch.ones((rows, size), dtype=dtype, device=device_type)
                b = torch.ones((size, size), dtype=dtype, device=device_type)
                start = time.perf_counter()
                float((a @ b)[0, 0])  # waits for a GPU
                least[dtype] = min(least.get(dtype, float("inf")), time.perf_counter() - start)
    except torch.OutOfMemoryError:  # says nothing about the products; the caller can use another device
        raise
    except (RuntimeError, NotImplementedError, AssertionError):  # no such product or device here
        return 0.0
    return least[torch.float32] / least[torch.bfloat16]


@contextmanager
def fixed_threads(threads: int) -> Iterator[None]:
    """Compute with this many threads: with another number, sums may differ in their last bits."""
    before = torch.get_num_threads()
    for name in ("boosted", "classifier", "linear"):  # these load more libraries that start threads
        importlib.import_module(f"rmspace.models.{name}")
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)
