"""Seconds, floating-point operations and memory."""

import math
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rmspace.models.core.precision import find_device, find_threads

HIDDEN = (1024, 512)


def least_seconds(work: Callable[[], Any], repeats: int) -> float:
    """Return the least time of some calls."""
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def product_rate(dtype: torch.dtype, seconds: float, size: int = 2048) -> float:
    """Return the GFLOP/s that square matrix products of a precision keep up for a while, where models compute."""
    device = find_device("auto")
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    float((a @ b)[0, 0])
    done, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        float((a @ b)[0, 0])  # waits for a GPU
        done += 1
    return 2 * size**3 * done / spent / 1e9


def resident(of: str) -> float:
    """Return megabytes of this process, "VmRSS" now or "VmHWM" at most; nan where the system does not tell."""
    status = Path("/proc/self/status")
    lines = [line for line in status.read_text().splitlines() if line.startswith(of)] if status.exists() else []
    return int(lines[0].split()[1]) / 1024 if lines else math.nan


class Peak:
    """The most memory, above what the process had before, that a block of code takes."""

    def __enter__(self) -> "Peak":
        reset = Path("/proc/self/clear_refs")
        if reset.exists():
            reset.write_text("5")
        self.before = resident("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        self.megabytes = resident("VmHWM") - self.before


class Operations(TorchDispatchMode):
    """The number of operations, except views, that torch starts in a block of code."""

    number = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.number += not function.is_view
        return function(*args, **(kwargs or {}))


def products(dim: int) -> int:
    """Multiplications of the network for one item."""
    sizes = [dim, *HIDDEN, 1]
    return sum(a * b for a, b in pairwise(sizes))


def fit_flops(dim: int, trained: int, scored: int) -> float:
    """Floating-point operations to train on items and score others: forward, weights' and inputs' gradients."""
    return 2.0 * trained * (3 * products(dim) - dim * HIDDEN[0]) + 2.0 * scored * products(dim)


def evict(path: Path) -> bool:
    """Drop a file from the system's cache, where the system allows it; return whether it did."""
    if not hasattr(os, "posix_fadvise"):
        return False
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def megabytes_read() -> float:
    """Return the megabytes that this process has read from storage; nan where the system does not tell."""
    counters = Path("/proc/self/io")
    lines = counters.read_text().splitlines() if counters.exists() else []
    return next((int(line.split()[1]) / 1e6 for line in lines if line.startswith("read_bytes")), math.nan)


def machine() -> str:
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((line.partition(": ")[2] for line in info.read_text().splitlines() if "model name" in line), cpu)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "lightgbm"))
    device = find_device("auto")
    threads = find_threads()
    gpu = f", {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    return (
        f"{cpu}{gpu}, {threads} thread{'s' * (threads > 1)}, {torch.backends.cpu.get_cpu_capability()}; "
        f"Python {platform.python_version()}, {libraries}"
    )
