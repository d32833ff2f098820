"""The `rmspace` command: reads its arguments, calls the library, prints."""

from __future__ import annotations

import argparse
import inspect
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rmspace.data.files import new_folder

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
    from rmspace.baselines import best_response, random_response
    from rmspace.cli.output import RUN, TABLE, copy_modules, write_figures, write_manifest, write_table
    from rmspace.config import dump_yaml, load_config
    from rmspace.experiment import run
    from rmspace.plots.one_run import BEST, RANDOM

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
    from rmspace.data.bank import ResponseBank
    from rmspace.readers.generators import read_generators

    generators = (Path(options.bank) / "meta.json").is_file()
    bank = read_generators(options.bank) if generators else ResponseBank.open(options.bank)
    print(bank)
    found = bank.health()
    print("no findings" if found.empty else found.to_string(index=False))
    return int((found.severity == "error").any())


def study(options: argparse.Namespace) -> int:
    """Run the cells of a grid, or say what they would take."""
    from rmspace.study.estimate import describe, estimate
    from rmspace.study.plan.grid import read_grid
    from rmspace.study.run import run_study

    if options.dry_run:
        grid = read_grid(options.grid, options.overrides, synthetic=options.synthetic)
        for _ in grid.cells():  # each is built, so that no mistake waits for the run
            pass
        print(describe(grid), flush=True)
        if options.timed:

            def on_cell(labels: str, seconds: float) -> None:
                print(f"  {labels}: {seconds:.3g} s", flush=True)

            found = estimate(grid, timed=options.timed, threads=options.threads or 1, on_cell=on_cell)
            print(
                f"about {found.core_hours:.3g} core-hours: {found.timed} cells of {found.kinds} kinds were timed here, "
                f"{found.quickest:.3g} to {found.slowest:.3g} s each with {options.threads or 1} threads"
            )
        return 0
    if options.out is None:
        raise ValueError("a study needs a folder: --out DIR")
    chosen = {name: getattr(options, name) for name in inspect.signature(run_study).parameters}
    done = run_study(**chosen)
    counts = done.counts()
    print(f"{options.out}: {', '.join(f'{count} {status}' for status, count in counts.items())}")
    failed = done.cells().query("status in ('failed', 'crashed', 'timeout')")
    for row in failed.head(5).itertuples():
        print(f"  {row.status}: {row.error}")
    if len(failed):
        print(f"  rmspace report {options.out} -o report.html shows all; --retry-failed runs them again")
    return int(len(failed) > 0)


def results(options: argparse.Namespace) -> int:
    """Print a study's results: as a short table of means over seeds, or every row as CSV."""
    from rmspace.results.summarize import seed_means
    from rmspace.study.results import Study

    found = Study.open(options.study)
    if options.old and not options.csv:
        raise ValueError("--old lists cells of several times, over which no mean is taken; give --csv too")
    table = found.results(old=options.old)
    if options.csv:
        table.to_csv(sys.stdout, index=False)
    else:
        print(seed_means(table).to_string(index=False, max_rows=60, float_format="{:.4g}".format, na_rep=""))
        print(", ".join(f"{count} {status}" for status, count in found.counts().items()))
    return 0


def draw(options: argparse.Namespace) -> int:
    """Draw what a study's axes allow."""
    from rmspace.plots.choose import draw_study
    from rmspace.study.results import Study

    out = Path(options.out or Path(options.study) / "figures")
    for path in draw_study(Study.open(options.study), out):
        print(path)
    return 0


def report(options: argparse.Namespace) -> int:
    """Write a study's report, one page that needs nothing else."""
    from rmspace.study.report import write_report
    from rmspace.study.results import Study

    write_report(Study.open(options.study), options.out)
    print(options.out)
    return 0


def summary(table: pd.DataFrame) -> str:
    """Return the table's largest N, a line a model, as text: value and interval of four metrics, the main ones first.

    >>> rows = [("BT", "spearman", None, 0.5, 0.4, 0.6, 0.1, 2.0)]
    >>> columns = ["model", "metric", "n", "value", "low", "high", "error_rate", "mean_abs_gap"]
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
    facts = f"label error {table.error_rate.iloc[0]:.1%}, mean absolute gap {table.mean_abs_gap.iloc[0]:.3g}"
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
    many = commands.add_parser("study", help="run the cells of a YAML grid; run again, it goes on where it stopped")
    many.add_argument("grid", metavar="GRID")
    many.add_argument("overrides", nargs="*", metavar="key.path=value", help="as grid.seed=[0] or base.n_pairs=500")
    many.add_argument("--out", metavar="DIR", help="folder of the study")
    many.add_argument("--dry-run", action="store_true", help="only count cells and estimate core-hours")
    many.add_argument("--timed", type=int, default=8, metavar="N", help="cells that --dry-run times; 0 for none")
    many.add_argument("--synthetic", action="store_true", help="run on the grid's synthetic stand-in")
    many.add_argument(
        "--allow", action="append", default=[], metavar="MODULE", help="let the configs import this module too"
    )
    many.add_argument("--sample", type=int, metavar="N", help="run only N cells, spread over the grid")
    many.add_argument("--workers", type=int, default=0, metavar="N", help="processes to compute on (0: in this one)")
    many.add_argument("--scheduler", metavar="ADDRESS", help="a running Dask scheduler, whose workers compute")
    many.add_argument("--threads", type=int, metavar="N", help="threads of each cell (1, and fixed for a study)")
    many.add_argument("--cell-timeout", type=float, metavar="SECONDS", help="give a cell up after this long")
    many.add_argument("--retry-failed", action="store_true", help="run cells again that failed before")
    many.add_argument("--take-over", action="store_true", help="take the lock of another host's dead driver")
    many.set_defaults(command=study)
    rows = commands.add_parser("results", help="print the results of a study")
    rows.add_argument("study", metavar="DIR")
    rows.add_argument("--csv", action="store_true", help="every row, in full precision")
    rows.add_argument("--old", action="store_true", help="with --csv: also cells of the past, where `current` is False")
    rows.set_defaults(command=results)
    pictures = commands.add_parser("figures", help="draw the results of a study")
    pictures.add_argument("study", metavar="DIR")
    pictures.add_argument("-o", "--out", metavar="DIR", help="folder for the figures (DIR/figures)")
    pictures.set_defaults(command=draw)
    page = commands.add_parser("report", help="write a study's report, one HTML page")
    page.add_argument("study", metavar="DIR")
    page.add_argument("-o", "--out", required=True, metavar="FILE.html")
    page.set_defaults(command=report)
    check = commands.add_parser("health", help="look for what is wrong with the values of a bank")
    check.add_argument("bank", metavar="BANK", help="a saved bank, or a folder with meta.json")
    check.set_defaults(command=health)
    return parser
