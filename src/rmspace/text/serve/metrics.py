"""Counters and histograms in the text format of Prometheus."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, float("inf"))
_HELP = {
    "rmspace_requests_total": "Requests, by path and HTTP status; 499 is a client that left before its answer.",
    "rmspace_texts_total": "Texts that the reward model scored.",
    "rmspace_changed_texts_total": "Texts that were changed before they were scored, such as prompts that were cut.",
    "rmspace_batches_total": "Batches that the reward model scored.",
    "rmspace_request_seconds": "Seconds from the headers of a request to its answer.",
    "rmspace_batch_seconds": "Seconds of a batch in the encoder and the reward model.",
    "rmspace_waiting_texts": "Texts that wait in the queue now.",
}

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters and histograms, which threads may share.

    Args:
        gauges: functions that give a value now, by name.

    >>> metrics = Metrics({})
    >>> metrics.count("rmspace_texts_total", 3)
    >>> print(metrics.text().splitlines()[-1])
    rmspace_texts_total 3
    """

    def __init__(self, gauges: Mapping[str, Callable[[], float]]) -> None:
        self._gauges = gauges
        self._lock = threading.Lock()
        self._counters: dict[tuple[str, Labels], float] = defaultdict(float)
        self._histograms: dict[str, list[float]] = {}  # one count per bucket, and the sum

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        with self._lock:
            self._counters[name, tuple(sorted(labels.items()))] += amount

    def observe(self, name: str, value: float) -> None:
        """Add a value to a histogram."""
        with self._lock:
            cells = self._histograms.setdefault(name, [0.0] * (len(_BUCKETS) + 1))
            for k, bound in enumerate(_BUCKETS):
                cells[k] += value <= bound
            cells[-1] += value

    def text(self) -> str:
        """Return all values in Prometheus' text format."""
        lines: list[str] = []
        with self._lock:
            for name in sorted({name for name, _ in self._counters}):
                lines += _head(name, "counter")
                found = sorted((labels, value) for (key, labels), value in self._counters.items() if key == name)
                lines += [f"{name}{_labels(labels)} {value:.0f}" for labels, value in found]
            for name, cells in sorted(self._histograms.items()):
                lines += [*_head(name, "histogram"), *_histogram(name, cells)]
        for name, now in self._gauges.items():
            lines += [*_head(name, "gauge"), f"{name} {now():.0f}"]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str) -> list[str]:
    return [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} {kind}"]


def _histogram(name: str, cells: list[float]) -> list[str]:
    bounds = [f"{bound:g}".replace("inf", "+Inf") for bound in _BUCKETS]
    rows = [f'{name}_bucket{{le="{bound}"}} {cell:.0f}' for bound, cell in zip(bounds, cells, strict=False)]
    return [*rows, f"{name}_sum {cells[-1]:.9g}", f"{name}_count {cells[-2]:.0f}"]


def _labels(labels: Labels) -> str:
    inner = ",".join(f'{name}="{value}"' for name, value in labels)
    return f"{{{inner}}}" if inner else ""
