"""The `rmspace` command: reads its arguments, calls the library, prints."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rmspace._files import new_folder

_MAIN = ("best_of_n", "normalized_gain", "spearman", "pairwise_accuracy")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 findings that are errors, 2 a mistake in the input.

    An interruption is 130, as shells count it.
    """
    options = _parse(arguments)
    _stop_as_an_interruption()
    try:
        return int(options.command(options))
    except KeyboardInterrupt as interrupt:
        print(f"rmspace: interrupted{_notes(interrupt)}", file=sys.stderr)
        return 130
    except Exception as error:
        if options.debug:
            raise
        kind = "" if isinstance(error, ValueError | TypeError | OSError | FloatingPointError) else type(error).__name__
        message = " ".join(f"{kind} {error}{_notes(error)}".split())
        print(f"rmspace: {message}; --debug shows where" if kind else f"rmspace: {message}", file=sys.stderr)
        return 2


def run_config(options: argparse.Namespace) -> int:
    """Run the experiment of a config and fill its output folder."""
    from rmspace.config import dump_yaml, load_config
    from rmspace.evaluation.baselines import best_response, random_response
    from rmspace.experiment import run
    from rmspace.figures import BEST, RANDOM
    from rmspace.output import RUN, TABLE, copy_modules, write_figures, write_manifest, write_table

    experiment = load_config(options.config, options.overrides)
    references = {RANDOM: random_response, BEST: best_response}
    chosen = {**experiment.options, "baselines": {**references, **experiment.options.get("baselines", {})}}
    start = time.perf_counter()
    with new_folder(options.out, RUN, overwrite=options.overwrite, keep=TABLE) as folder:
        (folder / "config.yaml").write_text(dump_yaml(experiment.resolved), encoding="utf-8")
        copy_modules(folder, experiment.modules)
        train, test = experiment.data()
        done: list[pd.DataFrame] = []
        computed: dict[str, dict[str, Any]] = {}

        def on_model(name: str, model: object, rows: pd.DataFrame) -> None:
            done.append(rows)
            if hasattr(model, "precision_"):
                computed[name] = {"precision": model.precision_, "device": getattr(model, "device_", None)}
            write_table(folder, pd.concat(done, ignore_index=True))

        table = run(train=train, test=test, **chosen, on_model=on_model)
        write_figures(folder, table, chosen.get("metrics"), test.n_prompts, experiment.resolved["confidence"])
        facts = {
            "seed": experiment.resolved["seed"],
            "seconds": round(time.perf_counter() - start, 1),
            "computed": computed,
        }
        write_manifest(folder, {"train": train, "test": test}, facts)
    print(summary(table))
    print(f"{Path(options.out)}: {', '.join(sorted(path.name for path in Path(options.out).iterdir()))}")
    return 0


def health(options: argparse.Namespace) -> int:
    """Print what is wrong with the values of a bank."""
    from rmspace.bank import ResponseBank
    from rmspace.readers.generators import read_generators

    generators = (Path(options.bank) / "meta.json").is_file()
    bank = read_generators(options.bank) if generators else ResponseBank.open(options.bank)
    print(bank)
    found = bank.health()
    print("no findings" if found.empty else found.to_string(index=False))
    return int((found.severity == "error").any())


def summary(table: pd.DataFrame) -> str:
    """Return the table's largest N, a line a model, as text: value and interval of four metrics, the main ones first.

    >>> rows = [("BT", "spearman", None, 0.5, 0.4, 0.6, 0.1, 2.0)]
    >>> columns = ["model", "metric", "n", "value", "low", "high", "label_error", "mean_abs_gap"]
    >>> print(summary(pd.DataFrame(rows, columns=columns).astype({"n": "Int64"})).splitlines()[1].split())
    ['BT', '0.500', '[0.400,', '0.600]']
    """
    last = table[table.n.isna() | (table.n == table.groupby("metric").n.transform("max"))].copy()
    shown = sorted(last.metric.unique(), key=lambda metric: _MAIN.index(metric) if metric in _MAIN else len(_MAIN))[:4]
    last = last[last.metric.isin(shown)]
    last["metric"] += last.n.map(lambda size: "" if pd.isna(size) else f" (n={size})")
    last["text"] = [f"{r.value:.3f} [{r.low:.3f}, {r.high:.3f}]" for r in last.itertuples()]
    wide = last.pivot_table(index="model", columns="metric", values="text", aggfunc="first", sort=False)
    wide.columns.name = wide.index.name = None
    wide = wide[sorted(wide.columns, key=lambda name: shown.index(str(name).split(" (")[0]))]
    facts = f"label error {table.label_error.iloc[0]:.1%}, mean absolute gap {table.mean_abs_gap.iloc[0]:.3g}"
    return f"{wide.to_string()}\n{facts}"


def _stop_as_an_interruption() -> None:
    """Let a scheduler's SIGTERM end a run as Ctrl-C does, so that finished models are kept and named."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def _notes(error: BaseException) -> str:
    return "".join(f" ({note})" for note in getattr(error, "__notes__", ()))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse arguments; overrides may stand before or after the options."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and (not hasattr(options, "overrides") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.overrides = [*options.overrides, *rest]
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rmspace", description="Reward models on embeddings.")
    parser.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("run", help="run the experiment of a YAML config")
    one.add_argument("config", metavar="CONFIG")
    one.add_argument("overrides", nargs="*", metavar="key.path=value", help="replace values of the config")
    one.add_argument("--out", required=True, metavar="DIR", help="folder for table, config, manifest and figures")
    one.add_argument("--overwrite", action="store_true", help="replace an earlier run's folder")
    one.set_defaults(command=run_config)
    check = commands.add_parser("health", help="look for what is wrong with the values of a bank")
    check.add_argument("bank", metavar="BANK", help="a saved bank, or a folder with meta.json")
    check.set_defaults(command=health)
    return parser
