"""Embedding of texts: the encoder against sentence-transformers, and what `embed` adds to the time of an encoder."""

import gzip
import json
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import least_seconds
from rmspace.text import FunctionEncoder, TransformersEncoder, embed
from rmspace.text.records import TextItem, items_of

Row = dict[str, Any]
ROUNDS = 4


def encoder(folder: Path, quick: bool, *, texts: Path) -> list[Row]:
    """The model of a folder here and in sentence-transformers, by turns on the same texts, and the rest of `embed`."""
    items = draw_items(texts, 100 if quick else 300)
    ours = TransformersEncoder(folder, template="plain", device="cpu")
    other = import_module("sentence_transformers").SentenceTransformer(str(folder), device="cpu")
    other.max_seq_length = ours.limits.length
    whole = ["\n\n".join(message.content for message in item.messages) for item in items]
    works: dict[str, Callable[[], Any]] = {
        "ours": lambda: ours.encode(items),
        "other": lambda: other.encode(whole, show_progress_bar=False),
    }
    seconds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, work in works.items():
            seconds.setdefault(name, []).append(least_seconds(work, 1))
    least = {name: min(found) for name, found in seconds.items()}
    rest = _rest_of_embed(items, least["ours"])
    size = f"{len(items)} texts, at most {ours.limits.length} tokens"
    return [
        {
            "stage": "encoder, against sentence-transformers",
            "size": size,
            "seconds": least["ours"],
            "ratio": least["other"] / least["ours"],
            "target": "at least 1",
            "note": f"{len(items) / least['ours']:.1f} texts/s, {len(items) / least['other']:.1f} there",
        },
        {"stage": "embed, beyond its encoder", "size": size, "share": rest, "target": "at most 5%"},
    ]


def draw_items(path: Path, n: int) -> list[TextItem]:
    """Draw items from JSON Lines, plain or gz, whose rows have `prompt` and `responses`."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    rng = np.random.default_rng(0)
    found: dict[TextItem, None] = {}
    while len(found) < n:
        row = rows[rng.integers(len(rows))]
        found[items_of(row["prompt"], [row["responses"][rng.integers(len(row["responses"]))]])[0]] = None
    return list(found)


def _rest_of_embed(items: list[TextItem], seconds: float) -> float:
    """Return the time that `embed` takes with an encoder of no cost, as a share of `seconds`."""
    free = FunctionEncoder(lambda texts: np.zeros((len(texts), 384), dtype=np.float32), name="free")

    def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            embed(items, free, out=Path(folder, "out"), progress=False)

    return least_seconds(work, ROUNDS) / seconds
