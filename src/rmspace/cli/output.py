"""The folder of a run: table, resolved config, manifest, figures."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from rmspace import __version__
from rmspace.data.bank import ResponseBank
from rmspace.data.files import FolderKind, write_whole
from rmspace.metrics.selection import best_of_n, normalized_gain
from rmspace.plots.best_of_n import best_of_n_curve
from rmspace.plots.gain import gain_bars
from rmspace.plots.style import save_figure

TABLE, MANIFEST = "results.csv", "manifest.json"
RUN = FolderKind("rmspace-run", MANIFEST, r"results\.csv|manifest\.json|config\.yaml|\w+\.(?:png|svg|py)")
_PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "torch", "lightgbm", "matplotlib")


def write_table(folder: Path, table: pd.DataFrame) -> None:
    """Write the table as CSV, numbers in full precision."""
    write_whole(folder / TABLE, table.to_csv(index=False))


def write_manifest(folder: Path, banks: Mapping[str, ResponseBank], facts: Mapping[str, Any]) -> None:
    """Write what the result rests on: versions, machine, hash and size of each bank, and other facts."""
    manifest = {
        "format": RUN.format,
        **facts,
        "banks": {
            name: {
                "sha256": bank.fingerprint(),
                "n_prompts": bank.n_prompts,
                "n_responses": bank.n_responses,
                "dim": bank.dim,
            }
            for name, bank in banks.items()
        },
        "versions": {
            "rmspace": __version__,
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in _PACKAGES},
        },
        "machine": {"platform": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def write_figures(folder: Path, table: pd.DataFrame, metrics: Mapping[str, Any] | None, confidence: float) -> None:
    """Draw the Best-of-N curve and the bars of normalised gain where they were measured."""
    forms = (("best_of_n", best_of_n, best_of_n_curve), ("normalized_gain", normalized_gain, gain_bars))
    for file, function, draw in forms:
        metric = _metric_named(function, file, metrics)
        if metric is None or (draw is best_of_n_curve and table[table.metric == metric].n.isna().all()):
            continue
        figure = draw(table, metric=metric, confidence=confidence)
        save_figure(figure, folder / file)


def copy_modules(folder: Path, modules: Mapping[str, Path]) -> None:
    """Copy the user's modules beside the resolved config, which is looked through for them."""
    for name, path in modules.items():
        if "/" in name:  # of a package, which is installed or beside the config
            continue
        (folder / path.name).write_bytes(path.read_bytes())


def _metric_named(function: Any, default: str, metrics: Mapping[str, Any] | None) -> str | None:
    """Find under which name a metric was measured."""
    if metrics is None:
        return default
    for name, metric in metrics.items():
        if (metric.func if isinstance(metric, partial) else metric) is function:
            return name
    return None
