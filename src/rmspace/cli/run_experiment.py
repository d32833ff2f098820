"""Run the experiment of a config, fill its folder as models end, and print the table."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rmspace._typing import PathLike
from rmspace.baselines import best_response, random_response
from rmspace.cli.run_folder import KEPT, RUN, ModelSaver, TableWriter, copy_modules, write_figures, write_manifest
from rmspace.config import dump_yaml, load_config
from rmspace.data.bank import ResponseBank
from rmspace.data.files import left_behind, new_folder
from rmspace.data.preferences import Preferences
from rmspace.experiment import Data, run
from rmspace.plots.one_run import BEST, RANDOM

_MAIN = ("best_of_n", "normalized_gain", "spearman", "pairwise_accuracy")
_MOST_METRICS = 4


def run_experiment(
    config: PathLike,
    out: PathLike,
    *,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
    save_models: bool = False,
    allow: Sequence[str] = (),
) -> pd.DataFrame:
    """Run the experiment of a config and fill its output folder: table, resolved config, manifest, figures, models.

    The folder appears whole when the run is done. Where the run fails or is interrupted, the rows of the finished
    models and the saved models stay beside it, and the error says where.

    Args:
        config: YAML file of one experiment.
        out: the folder.
        overrides, allow: as in `load_config`.
        overwrite: replace the folder of an earlier run.
        save_models: save each model as soon as it is fitted.
    """
    experiment = load_config(config, overrides, allow=allow)
    start = time.perf_counter()
    for folder in left_behind(out):
        print(
            f"rmspace: {folder} was left by a run that was killed, or that still runs; look into it, or remove it",
            file=sys.stderr,
        )
    with new_folder(out, RUN, overwrite=overwrite, keep=KEPT) as folder:
        (folder / "config.yaml").write_text(dump_yaml(experiment.resolved), encoding="utf-8")
        copied = copy_modules(folder, experiment.modules)
        train, test = experiment.data()
        options = _with_references(experiment.options, test)
        writer, saver = TableWriter(folder), ModelSaver(folder, _encoder_of(train))
        try:
            table = run(train=train, test=test, **options, on_model=writer, on_fit=saver if save_models else None)
        except BaseException as error:
            if saver.saved:
                error.add_note(f"models kept: {', '.join(saver.saved)}")
            raise
        for reason in write_figures(folder, table, options.get("metrics"), experiment.resolved["confidence"]):
            print(f"rmspace: a figure is left out: {reason}", file=sys.stderr)
        seconds = round(time.perf_counter() - start, 1)
        facts = {"seed": experiment.resolved["seed"], "seconds": seconds, "models": saver.saved, "modules": copied}
        write_manifest(folder, {"train": train, "test": test}, facts)
    print(summary(table))
    print(f"{Path(out)}: {', '.join(sorted(path.name for path in Path(out).iterdir()))}")
    if save_models:
        print(saver.describe())
    return table


def summary(table: pd.DataFrame) -> str:
    """Return the largest N of a table as text, one line per model: value and interval of at most four metrics.

    >>> from rmspace.results.schema import MEASURES, names
    >>> rows = [("BT", "spearman", None, 0.5, 0.4, 0.6, 20, 0.1, 2.0)]
    >>> columns = [*names(MEASURES), "error_rate", "mean_abs_gap"]
    >>> print(summary(pd.DataFrame(rows, columns=columns).astype({"n": "Int64"})).splitlines()[1].split())
    ['BT', '0.500', '[0.400,', '0.600]']
    """
    last = table[table.n.isna() | (table.n == table.groupby("metric").n.transform("max"))].copy()
    shown = sorted(last.metric.unique(), key=lambda metric: _MAIN.index(metric) if metric in _MAIN else len(_MAIN))
    shown = shown[:_MOST_METRICS]
    last = last[last.metric.isin(shown)]
    last["metric"] += last.n.map(lambda size: "" if pd.isna(size) else f" (n={size})")
    last["text"] = [f"{r.value:.3f} [{r.low:.3f}, {r.high:.3f}]" for r in last.itertuples()]
    wide = last.pivot_table(index="model", columns="metric", values="text", aggfunc="first", sort=False)
    wide.columns.name = wide.index.name = None
    wide = wide[sorted(wide.columns, key=lambda name: shown.index(str(name).split(" (")[0]))]
    return "\n".join([wide.to_string(), *_facts_of_comparisons(table)])


def _facts_of_comparisons(table: pd.DataFrame) -> list[str]:
    """Return the line about the annotator, where there was one."""
    error, gap = table.error_rate.iloc[0], table.mean_abs_gap.iloc[0]
    facts = [] if pd.isna(error) else [f"error rate {error:.1%}"]
    facts += [] if pd.isna(gap) else [f"mean absolute gap {gap:.3g}"]
    return [", ".join(facts)] if facts else []


def _encoder_of(train: Data) -> Mapping[str, Any] | None:
    """Return the description of the encoder that made the items, where `rmspace.text.embed` made them."""
    found = train.metadata.get("encoder") if isinstance(train, Preferences) else None
    return found if isinstance(found, Mapping) else None


def _with_references(options: Mapping[str, Any], test: Data) -> dict[str, Any]:
    """Return the options with a random and the best response as baselines, which a test bank allows."""
    if not isinstance(test, ResponseBank):
        return dict(options)
    references = {RANDOM: random_response, BEST: best_response}
    return {**options, "baselines": {**references, **options.get("baselines", {})}}
