"""The last step of a build: the train bank and the test bank."""

from __future__ import annotations

import shutil
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rmspace.data.bank import ResponseBank
from rmspace.data.bank_files import write_together
from rmspace.data.files import left_behind
from rmspace.data.mapped import choose
from rmspace.text.line_store import Line, LineStore
from rmspace.text.notes import count_notes
from rmspace.text.pipeline.embeddings import Embedded
from rmspace.text.pipeline.rewards import column_name
from rmspace.text.pipeline.step import Say, key_of

SPLITS = ("train", "test")


@dataclass
class Columns:
    """The numbers of one bank, which grow prompt by prompt."""

    ids: list[str] = field(default_factory=list)
    counts: array[int] = field(default_factory=lambda: array("q"))
    rows: array[int] = field(default_factory=lambda: array("q"))
    """The row of each item among the embeddings."""
    features: dict[str, array[float]] = field(default_factory=dict)

    def add(self, line: Line, first: int, rewards: Mapping[str, Sequence[float | None]]) -> None:
        """Add the responses to a prompt, whose rows begin at `first`."""
        texts = line["responses"]
        self.ids.append(line["id"])
        self.counts.append(len(texts))
        self.rows.extend(range(first, first + len(texts)))
        for name, values in {**rewards, "length": [len(text) for text in texts]}.items():
            column = self.features.setdefault(name, array("d"))
            column.extend(np.nan if value is None else value for value in values)

    def bank(self, embedded: Embedded, metadata: Mapping[str, Any]) -> ResponseBank:
        """Return the bank; the first column is the gold reward."""
        first, *others = self.features
        return ResponseBank(
            choose(embedded.rows, np.array(self.rows, dtype=np.int64)),
            np.array(self.features[first]),
            offsets=np.concatenate([[0], np.cumsum(np.array(self.counts, dtype=np.int64))]),
            features={name: np.array(self.features[name]) for name in others},
            prompt_ids=np.array(self.ids),
            metadata=metadata,
        )


def write_banks(
    out: Path,
    responses: LineStore,
    golds: Mapping[str, LineStore],
    embedded: Embedded,
    description: Mapping[str, Any],
    say: Say,
) -> tuple[ResponseBank, ResponseBank]:
    """Write both banks, unless they are there already, and open them: (train, test).

    A prompt of the one may be in the other of another build. So they are replaced together.

    Args:
        out: the folder of the build.
        responses, golds, embedded: of the steps; the first gold is the reward, and the others are features.
        description: what the banks depend on, which goes into their metadata.
        say: prints a line.

    Raises:
        FileExistsError: something else stands where a bank would.
        OSError: the disk is full; what the steps committed stays.
    """
    rated = [[name, gold.fingerprint()] for name, gold in golds.items()]  # a list, because the first is the reward
    key = key_of({**description, "input": [responses.fingerprint(), *rated]})
    for split in SPLITS:
        for folder in left_behind(out / split):  # of a build that was killed; the lock says that none runs
            shutil.rmtree(folder)
    if any(_key_of_bank(out / split) != key for split in SPLITS):
        metadata = {**description, "build": {"key": key, **_counts(responses, golds, description), **embedded.notes}}
        columns = _collect(responses, golds)
        banks = {split: columns[split].bank(embedded, {**metadata, "split": split}) for split in SPLITS}
        write_together(banks, out)
    train, test = (ResponseBank.open(out / split) for split in SPLITS)
    say(f"train: {train}")
    say(f"test: {test}")
    return train, test


def _collect(responses: LineStore, golds: Mapping[str, LineStore]) -> dict[str, Columns]:
    found = {split: Columns() for split in SPLITS}
    first = 0
    for line, rewards in zip(responses.lines(), _rewards(golds), strict=True):
        found[line["split"]].add(line, first, rewards)
        first += len(line["responses"])
    return found


def _rewards(golds: Mapping[str, LineStore]) -> Iterator[dict[str, list[float | None]]]:
    """Yield the rewards of each prompt by the name of their column, those of the first gold first."""
    for lines in zip(*(store.lines() for store in golds.values()), strict=True):
        yield {
            column_name(gold, column): values
            for gold, line in zip(golds, lines, strict=True)
            for column, values in line["rewards"].items()
        }


def _counts(responses: LineStore, golds: Mapping[str, LineStore], description: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `rmspace.data.recorded_health` reads, counted over all steps."""
    finish: Counter[str] = Counter()
    empty = 0
    for line in responses.lines():
        finish.update(line["finish"])
        empty += sum(not text for text in line["responses"])
    limited = [name for name, about in description["golds"].items() if "max_length" in about]
    return {
        "prompts": responses.n,
        "left_out_prompts": responses.count(1),
        "responses": finish.total(),
        "finish": dict(finish),
        "empty_responses": empty,
        "unread_answers": {name: store.count(1) for name, store in golds.items()},
        "gold_cuts": {name: _cuts(golds[name]) for name in limited},
    }


def _cuts(gold: LineStore) -> dict[str, int]:
    return count_notes(np.array([note for line in gold.lines() for note in line.get("notes", ())], dtype=np.int64))


def _key_of_bank(folder: Path) -> str | None:
    try:
        return ResponseBank.open(folder).metadata["build"]["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
