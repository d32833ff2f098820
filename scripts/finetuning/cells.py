"""The cells of the comparison: each fits models on one split, and says how good they are and what they cost."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import rmspace as rm
from finetuning.data import DATA, FOLDERS, VALIDATION, Sizes, Split
from rmspace._typing import FloatArray
from rmspace.text.finetune.settings import FineTuning
from rmspace.text.records import TextItem

FROZEN: dict[str, Callable[[int], Any]] = {
    "linear": lambda seed: rm.LinearReward(),
    "MLP": lambda seed: rm.MLPReward(random_state=seed),
    "trees": lambda seed: rm.LightGBMReward(random_state=seed),
}
TUNED, LORA = "fine-tuned", "LoRA"
RATES = {TUNED: (3e-5, 1e-4, 3e-4), LORA: (3e-4, 1e-3, 3e-3)}
RATES_ON = "AlpacaEval"
KINDS = {"tuned": TUNED, "lora": LORA, "rate": TUNED, "lora_rate": LORA}  # what is fine-tuned in cells of these kinds
MOST_PAIRS = 3000  # that are drawn for a split; the first n of them are the same for every n


@dataclass(frozen=True)
class Cell:
    """One split with one way of training: `kind` is "frozen", or one of `KINDS`."""

    data: str
    kind: str
    n_pairs: int
    seed: int
    rate: float | None = None

    @property
    def name(self) -> str:
        """The name of its file."""
        return "-".join(str(value) for value in asdict(self).values() if value is not None)


class Plan(NamedTuple):
    """What is measured: blocks of (data, number of pairs), in the order in which they are run, and those with LoRA."""

    blocks: tuple[tuple[str, int], ...]
    with_lora: tuple[tuple[str, int], ...]
    seeds: dict[str, int]
    rate_pairs: int
    sizes: Sizes
    max_length: int

    def cells(self) -> list[Cell]:
        """Return the cells in the order in which they are run."""
        rates = [
            Cell(RATES_ON, kind, self.rate_pairs, VALIDATION, rate)
            for kind in ("rate", "lora_rate")
            for rate in RATES[KINDS[kind]]
        ]
        return rates + [cell for data, n in self.blocks for cell in self.of_block(data, n)]

    def of_block(self, data: str, n: int) -> list[Cell]:
        """Return the cells of a block."""
        kinds = ("frozen", "tuned", "lora") if (data, n) in self.with_lora else ("frozen", "tuned")
        return [Cell(data, kind, n, seed) for kind in kinds for seed in range(self.seeds[data])]


_BLOCKS = (("AlpacaEval", 500), ("HH", 300), ("AlpacaEval", 1000), ("HH", 1000), ("AlpacaEval", 3000))
FULL = Plan(_BLOCKS, (("AlpacaEval", 1000),), {"AlpacaEval": 3, "HH": 5}, 200, Sizes(), 256)
_QUICK_BLOCKS = (("AlpacaEval", 48), ("HH", 48))
QUICK = Plan(_QUICK_BLOCKS, _QUICK_BLOCKS[:1], {"AlpacaEval": 2, "HH": 2}, 16, Sizes(8, 8, 8, 0.2, 150), 32)


class Bench:
    """What the cells share: the data, and the frozen encoder."""

    def __init__(self, plan: Plan, model: Path, data: Path) -> None:
        self.plan, self.model, self.folder = plan, model, data
        self._known: dict[str, dict[TextItem, FloatArray]] = {}
        self._seconds: dict[str, float] = {}

    @cached_property
    def encoder(self) -> rm.text.TransformersEncoder:
        """The frozen encoder."""
        return frozen_encoder(self.model, self.plan.max_length)

    def split(self, cell: Cell) -> Split:
        """Return the split of a cell, with its pairs."""
        made = DATA[cell.data](self.folder / FOLDERS[cell.data], self.plan.sizes)
        found = made.split(cell.seed, MOST_PAIRS)
        return found._replace(train=found.train[: cell.n_pairs])

    def embedded(self, data: str, items: Sequence[TextItem]) -> FloatArray:
        """Embed texts, each once for all splits of the data, and count the seconds."""
        known = self._known.setdefault(data, {})
        new = [item for item in dict.fromkeys(items) if item not in known]
        start = time.process_time()
        known |= zip(new, self.encoder.encode(new), strict=True)
        self._seconds[data] = self._seconds.get(data, 0.0) + time.process_time() - start
        return np.stack([known[item] for item in items])

    def run(self, cell: Cell, rate: float | None) -> dict[str, Any]:
        """Return the measures of a cell and its costs, as JSON can hold them."""
        split, start = self.split(cell), time.time()
        rows = self._frozen(cell, split) if rate is None else self._tuned(cell, split, rate)
        about = {**asdict(cell), "rate": rate, "wall_seconds": time.time() - start}
        return {"cell": about, "rows": rows}

    def _tuned(self, cell: Cell, split: Split, rate: float) -> list[dict[str, Any]]:
        settings = tuning(rate, cell.seed - VALIDATION, lora=KINDS[cell.kind] == LORA)
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            reward = rm.text.finetune_reward(split.train, self.encoder, settings, out=Path(folder, "tuned"))
            seconds = time.process_time() - start
            scores, _ = reward.score_items(split.items)
        table = split.measure({KINDS[cell.kind]: scores})
        return _rows(table, n_pairs=cell.n_pairs, fit_seconds=seconds)

    def _frozen(self, cell: Cell, split: Split) -> list[dict[str, Any]]:
        data = split.train.with_embeddings(self.embedded(cell.data, split.train.items))
        models, seconds = {}, {}
        for name, make in FROZEN.items():
            start = time.process_time()
            models[name] = make(cell.seed).fit(data)
            seconds[name] = time.process_time() - start
        test = self.embedded(cell.data, split.items)
        embedding = self._seconds[cell.data] / len(self._known[cell.data]) * len(split.train.items)
        length = np.array([len(item.response) for item in split.items], dtype=np.float64)
        scores = {name: model.predict(test).astype(np.float64) for name, model in models.items()}
        table = split.measure({**scores, "longer": length, "shorter": -length})
        rows = _rows(table, n_pairs=cell.n_pairs, embed_seconds=embedding)
        return [row | {"fit_seconds": seconds.get(row["model"])} for row in rows]


def frozen_encoder(model: Path, max_length: int) -> rm.text.TransformersEncoder:
    """Return the encoder as it is meant: mean pooling, scaled to unit length."""
    return rm.text.TransformersEncoder(model, template="plain", normalize=True, max_length=max_length, batch_size=8)


def tuning(rate: float, seed: int, *, lora: bool = False) -> FineTuning:
    """Return how MiniLM is fine-tuned: whole or with LoRA of rank 32, one pass, eight pairs per step.

    One pair at a time fits the caches of a processor, and took half the time of eight.
    """
    given: dict[str, Any] = {"learning_rate": rate, "warmup": 0.1, "weight_decay": 0.01, "seed": seed}
    return FineTuning(rank=32 if lora else None, epochs=1, batch_size=8, at_once=1, **given)


def best_rate(results: list[dict[str, Any]], kind: str) -> float:
    """Return the learning rate with the largest accuracy on the prompts that are held out from all splits.

    Args:
        results: of the cells so far.
        kind: of the cell that needs a rate.
    """
    found = {
        result["cell"]["rate"]: row["value"]
        for result in results
        if result["cell"]["kind"] in ("rate", "lora_rate") and KINDS[result["cell"]["kind"]] == KINDS[kind]
        for row in result["rows"]
        if row["metric"] == "accuracy"
    }
    return max(found, key=lambda rate: found[rate])


def _rows(table: pd.DataFrame, **facts: Any) -> list[dict[str, Any]]:
    plain = table.astype(object).where(table.notna(), None)
    return [{**{str(key): value for key, value in row.items()}, **facts} for row in plain.to_dict("records")]
