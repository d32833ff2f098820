"""`rmspace score`: score the texts of a file with a saved reward model of text."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rmspace.cli.reward_folder import add_reward, load_reward

HELP = "score the prompts and responses of a file"
_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_reward(parser)
    parser.add_argument(
        "file",
        metavar="FILE",
        help="rows of JSON Lines or Parquet, with prompt and response, responses, chosen and rejected, or messages",
    )
    parser.add_argument("--out", metavar="FILE", help="where the rows go, as JSON Lines (standard output)")


def run(options: argparse.Namespace) -> int:
    """Write the rows with their scores; the status is 1 where some could not be scored."""
    from rmspace.text.plain_rows import read_rows
    from rmspace.text.row_scores import score_rows

    reward = load_reward(options)
    bad: list[tuple[int, str]] = []
    changed: Counter[str] = Counter()
    n_scored = 0
    with _output(options.out) as out:
        for line, row, reason in score_rows(reward, read_rows(options.file), changed=changed):
            if reason:
                bad.append((line, reason))
            else:
                n_scored += 1
                print(json.dumps(row, default=str), file=out)
    _report(options.file, n_scored, bad)
    if said := ", ".join(f"{name.replace('_', ' ')} {count:,} times" for name, count in changed.items() if count):
        print(f"{options.file}: texts were changed before they were scored: {said}", file=sys.stderr)
    return int(bool(bad))


@contextmanager
def _output(path: str | None) -> Iterator[IO[str]]:
    """Yield a file that takes its place when the block ends, or standard output."""
    if path is None:
        yield sys.stdout
        return
    target = Path(path)
    part = target.with_name(target.name + ".part")
    try:
        with part.open("w", encoding="utf-8") as file:
            yield file
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _report(file: str, n_scored: int, bad: list[tuple[int, str]]) -> None:
    """Say on standard error how many rows were scored, and which were not and why."""
    print(f"{file}: {n_scored:,} rows scored, {len(bad):,} not", file=sys.stderr)
    for line, reason in bad[:_SHOWN]:
        print(f"{file}, line {line}: {reason}", file=sys.stderr)
    if len(bad) > _SHOWN:
        more = Counter(reason for _, reason in bad[_SHOWN:])
        print(f"and {len(bad) - _SHOWN:,} more:", file=sys.stderr)
        for reason, count in more.most_common(_SHOWN):
            print(f"  {count:,} times: {reason}", file=sys.stderr)
