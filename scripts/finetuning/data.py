"""Splits by prompt of two public data sets, as text: the same pairs and test texts for both kinds of models.

A part of the prompts is held out from all splits. Learning rates are chosen on it.
"""

import gzip
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import rmspace as rm
from rmspace._typing import Float64Array, IntArray
from rmspace.text.records import Comparison, Record, TextItem, items_of

Measure = Callable[[dict[str, Float64Array]], pd.DataFrame]
VALIDATION = -1  # the seed of the split whose test prompts are those held out


class Split(NamedTuple):
    """Comparisons for training, of which the first n are taken, and texts to score with the measure of the scores."""

    train: rm.text.TextPreferences
    items: list[TextItem]
    measure: Measure


class Sizes(NamedTuple):
    """How much of the data is used; the numbers of prompts are for AlpacaEval, the shares for HH-RLHF."""

    validation: int = 60
    test: int = 100
    responses: int = 8
    share: float = 0.2
    limit: int | None = None
    """The most prompts of HH-RLHF."""


class AlpacaEval:
    """797 prompts, 56 responses each; a judge model gave the rewards, and here its choice between two responses."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        with gzip.open(folder / "texts.jsonl.gz", "rt", encoding="utf-8") as file:
            self.rows = [json.loads(line) for line in file]
        self.rewards = np.load(folder / "rewards.npy").astype(np.float64)
        self.sizes = sizes
        self.held_out, self.others = _held_out(len(self.rows), sizes.validation)

    @property
    def overlap(self) -> float:
        """Test prompts per training prompt, in each random split."""
        return self.sizes.test / (len(self.others) - self.sizes.test)

    def split(self, seed: int, n_pairs: int) -> Split:
        """Draw a split with so many same-prompt pairs, and some responses to each test prompt."""
        rng = np.random.default_rng([seed - VALIDATION, 1])
        order = rng.permutation(self.others)
        test = self.held_out if seed == VALIDATION else order[: self.sizes.test]
        train = self._judged(order[self.sizes.test :], n_pairs, rng)
        chosen = np.stack([rng.permutation(self.rewards.shape[1])[: self.sizes.responses] for _ in test])
        items = [item for k, some in zip(test, chosen, strict=True) for item in self._items(k, some)]
        return Split(train, items, partial(_best_of_n, rewards=self.rewards[test[:, None], chosen]))

    def _items(self, prompt: int, responses: IntArray) -> tuple[TextItem, ...]:
        row = self.rows[prompt]
        return items_of(row["prompt"], [row["responses"][k] for k in responses])

    def _judged(self, prompts: IntArray, n_pairs: int, rng: np.random.Generator) -> rm.text.TextPreferences:
        """Return pairs of two different texts, in shuffled rounds over the prompts; the higher reward wins."""
        bank = rm.ResponseBank(np.zeros((len(prompts), self.rewards.shape[1], 1), np.float32), self.rewards[prompts])
        pairs = rm.same_prompt(bank, 2 * n_pairs, rng)
        ordered = rm.annotate(pairs, bank, rm.oracle, rng=rng)
        records = []
        for pair in ordered:
            k, some = prompts[pair[0] // bank.n_responses], pair % bank.n_responses
            items = self._items(k, some)
            if items[0] != items[1] and self.rewards[k, some[0]] != self.rewards[k, some[1]]:
                records.append(Record(items, [Comparison(0, 1)]))
        return rm.text.TextPreferences.from_records(records[:n_pairs])


class HH:
    """HH-RLHF, harmless, test part: people's choices between two replies."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.data = rm.text.read_preferences(folder / "pairs.jsonl.gz", verbose=False, limit=sizes.limit)
        groups = self.data.groups[self.data.comparisons[:, 0]]
        self.prompts, self.number = np.unique(groups, return_inverse=True)
        self.sizes = sizes
        self.held_out, self.others = _held_out(len(self.prompts), int(sizes.share * len(self.prompts)) // 2)

    @property
    def overlap(self) -> float:
        """Test prompts per training prompt, in each random split."""
        return self.sizes.share / (1 - self.sizes.share)

    def split(self, seed: int, n_pairs: int) -> Split:
        """Draw a split with so many pairs; all pairs of the test prompts are for the test."""
        rng = np.random.default_rng([seed - VALIDATION, 2])
        order = rng.permutation(self.others)
        n_test = int(self.sizes.share * len(order))
        test = self.held_out if seed == VALIDATION else order[:n_test]
        rows = rng.permutation(np.flatnonzero(np.isin(self.number, order[n_test:])))[:n_pairs]
        part = self.data[np.isin(self.number, test)]
        return Split(self.data[rows], list(part.items), partial(_accuracy, part=part))


DATA: dict[str, Callable[[Path, Sizes], AlpacaEval | HH]] = {"AlpacaEval": AlpacaEval, "HH": HH}
FOLDERS = {"AlpacaEval": "alpacaeval", "HH": "hh_harmless"}


def _held_out(n: int, size: int) -> tuple[IntArray, IntArray]:
    """Return the prompts that are held out from all splits, and the others."""
    order = np.random.default_rng(0).permutation(n)
    return np.sort(order[:size]), np.sort(order[size:])


def _best_of_n(scores: dict[str, Float64Array], *, rewards: Float64Array) -> pd.DataFrame:
    n = rewards.shape[1]
    metrics: Any = {
        "normalized_gain": partial(rm.normalized_gain, n=n),
        "accuracy": rm.metrics.pairwise_accuracy,
    }
    return rm.evaluate({name: one.reshape(rewards.shape) for name, one in scores.items()}, rewards, metrics=metrics)


def _accuracy(scores: dict[str, Float64Array], *, part: rm.text.TextPreferences) -> pd.DataFrame:
    data = part.with_embeddings(np.zeros((len(part.items), 1), dtype=np.float32))
    return rm.evaluate_preferences(scores, data, metrics={"accuracy": rm.metrics.accuracy})
