"""The folder of a run: table, resolved config, manifest, figures, models."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from rmspace.data.files import FolderKind, write_whole
from rmspace.experiment import Data
from rmspace.metrics.preference import accuracy
from rmspace.metrics.selection import best_of_n, normalized_gain
from rmspace.models.io.format import save
from rmspace.plots.best_of_n import best_of_n_curve
from rmspace.plots.gain import gain_bars
from rmspace.plots.style import save_figure
from rmspace.results.provenance import describe_data, machine, versions

TABLE, MANIFEST, MODELS = "results.csv", "manifest.json", "models"
KEPT = (TABLE, MODELS)
"""The files that stay when a run fails."""

RUN = FolderKind("rmspace-run", MANIFEST, r"results\.csv|manifest\.json|config\.yaml|models|\w+\.(?:png|svg|py)")


class TableWriter:
    """Rewrites the table after each model, as CSV with numbers in full precision."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tables: list[pd.DataFrame] = []

    def __call__(self, _name: str, _model: Any, rows: pd.DataFrame) -> None:
        """Add the rows of a model."""
        self._tables.append(rows)
        write_whole(self.folder / TABLE, pd.concat(self._tables, ignore_index=True).to_csv(index=False))


class ModelSaver:
    """Saves each model as soon as it is fitted; `saved` maps names to folders, `refused` names to reasons.

    Args:
        folder: the folder of the run.
        encoder: the description of the encoder whose embeddings the models are fitted on. Each model is then saved as a
            reward model of text, which `rmspace score` and `rmspace serve` take.
    """

    def __init__(self, folder: Path, encoder: Mapping[str, Any] | None = None) -> None:
        self.folder, self.encoder = folder, encoder
        self.saved: dict[str, str] = {}
        self.refused: dict[str, str] = {}

    def __call__(self, name: str, model: Any) -> None:
        """Save a model, or note why it cannot be saved."""
        place = f"{MODELS}/{self._free_name(name)}"
        (self.folder / MODELS).mkdir(exist_ok=True)
        try:
            if self.encoder is None:
                save(model, self.folder / place)
            else:
                from rmspace.text.reward_folder import write_reward

                write_reward(self.folder / place, self.encoder, model)
        except (TypeError, ValueError, AttributeError) as error:  # a class that cannot be saved must not end the run
            self.refused[name] = str(error)
        else:
            self.saved[name] = place

    def describe(self) -> str:
        """Say which models were saved, and why others were not."""
        lines = [f"models saved: {', '.join(self.saved) or 'none'}"]
        return "\n".join([*lines, *(f"not saved: {name} ({reason})" for name, reason in self.refused.items())])

    def _free_name(self, name: str) -> str:
        """Return a folder name for a model: the model's name, without forbidden letters and made unique."""
        plain = re.sub(r"[^\w.-]+", "_", name).strip(".") or "model"
        taken = {Path(place).name.casefold() for place in self.saved.values()}
        candidates = (plain if k == 1 else f"{plain}_{k}" for k in range(1, len(taken) + 2))
        return next(candidate for candidate in candidates if candidate.casefold() not in taken)


def write_manifest(folder: Path, data: Mapping[str, Data], facts: Mapping[str, Any]) -> None:
    """Write the provenance of the result: versions, machine, hash and size of the data, and other facts."""
    manifest = {
        "format": RUN.format,
        **facts,
        "data": describe_data(data),
        "versions": versions(),
        "machine": machine(),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def write_figures(folder: Path, table: pd.DataFrame, metrics: Mapping[str, Any] | None, confidence: float) -> list[str]:
    """Draw the Best-of-N curve and the bars of normalised gain and accuracy where they were measured.

    Returns:
        Why a figure could not be drawn, for each of those; a table that took hours must not be lost for a figure.
    """
    reasons = []
    forms = (
        ("best_of_n", best_of_n, best_of_n_curve),
        ("normalized_gain", normalized_gain, gain_bars),
        ("accuracy", accuracy, gain_bars),
    )
    for file, function, draw in forms:
        metric = _name_of(function, file, metrics)
        rows = table[table.metric == metric]
        if metric is None or rows.value.isna().all() or (draw is best_of_n_curve and rows.n.isna().all()):
            continue
        try:
            save_figure(draw(table, metric=metric, confidence=confidence), folder / file)
        except (ValueError, ArithmeticError, LookupError) as error:
            reasons.append(f"{file} ({error})")
    return reasons


def copy_modules(folder: Path, modules: Mapping[str, Path]) -> list[str]:
    """Copy the user's modules beside the resolved config, which looks for them there; packages are copied whole.

    Args:
        folder: the folder of the run.
        modules: file by name, "pk/a" for a module of a package.

    Returns:
        The names of what was copied.
    """
    copied = []
    for name, path in modules.items():
        top, *inner = name.split("/")
        if not inner:
            (folder / path.name).write_bytes(path.read_bytes())
        elif not (folder / top).exists():
            package = path.parents[len(inner) - 1]
            shutil.copytree(package, folder / top, ignore=shutil.ignore_patterns("__pycache__"))
        copied.append(top if inner else path.name)
    return sorted(set(copied))


def _name_of(function: Any, default: str, metrics: Mapping[str, Any] | None) -> str | None:
    """Return the name under which a metric was measured."""
    if metrics is None:
        return default
    for name, metric in metrics.items():
        if (metric.func if isinstance(metric, partial) else metric) is function:
            return name
    return None
