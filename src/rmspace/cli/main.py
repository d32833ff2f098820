"""The `rmspace` command: reads the arguments, runs one of the commands, and turns errors into one line."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import select
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from typing import Any

from rmspace import __version__
from rmspace.cli import commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 findings that are errors, 2 a mistake in the input.

    After an interruption the status is 130, and 141 where nobody reads the output any more, the conventions of shells.
    """
    options = _parse(arguments)
    _let_sigterm_interrupt()
    with warnings.catch_warnings():
        if not options.debug:
            warnings.showwarning = _show_warning
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        status = int(options.run(options))
        if sys.stdout is not None:  # it is None where the caller has closed it
            sys.stdout.flush()
        return status
    except KeyboardInterrupt as interrupt:
        print(f"rmspace: interrupted{_notes(interrupt)}", file=sys.stderr)
        return 130
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return 141
        if options.debug:
            raise
        print(f"rmspace: {_one_line(error)}", file=sys.stderr)
        return 2


def _nobody_reads() -> bool:
    """Say whether the output is a pipe that was closed, as by `| head`; then let what is left to print go nowhere."""
    try:
        output = sys.stdout.fileno()
    except (AttributeError, OSError):  # a notebook's output, or none
        return False
    poll = select.poll()
    poll.register(output, 0)  # errors are reported in any case
    if not poll.poll(0):
        return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, output)
    os.close(nowhere)
    return True


def _show_warning(message: Warning | str, category: type[Warning], *place: Any, **_: Any) -> None:
    """Print a warning about the input as one line; where in the code it was found tells the user nothing."""
    if issubclass(category, UserWarning):
        print(f"rmspace: warning: {' '.join(str(message).split())}", file=sys.stderr)
    else:
        print(warnings.formatwarning(message, category, *place[:2]), file=sys.stderr, end="")


def _one_line(error: Exception) -> str:
    """Return the error with its notes; an error that is not about the input also gives its type and how to see more."""
    text = f"{error}{_notes(error)}"
    if not isinstance(error, ValueError | TypeError | OSError | FloatingPointError):
        text = f"{type(error).__name__} {text}; --debug shows where"
    return " ".join(text.split())


def _notes(error: BaseException) -> str:
    return "".join(f" ({note})" for note in getattr(error, "__notes__", ()))


def _let_sigterm_interrupt() -> None:
    """Let a scheduler's SIGTERM end a run as Ctrl-C does, so that finished models are kept and named."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


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
    """Return the parser with every command: each module of `rmspace.cli.commands` is one."""
    parser = argparse.ArgumentParser(prog="rmspace", description="Reward models on embeddings.")
    parser.add_argument("--version", action="version", version=f"rmspace {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
    choices = parser.add_subparsers(required=True, metavar="COMMAND")
    for found in pkgutil.iter_modules(commands.__path__):
        module = importlib.import_module(f"{commands.__name__}.{found.name}")
        command = choices.add_parser(found.name, help=module.HELP)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser
