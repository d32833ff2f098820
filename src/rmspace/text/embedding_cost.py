"""What embedding will cost, from a small sample that is measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from rmspace._checks import check_int
from rmspace.kinds import Encoder
from rmspace.text.embedding import encode_shard
from rmspace.text.file_items import take
from rmspace.text.records import TextItem

__all__ = ["estimate_embedding"]

_KEY_BYTES = 33  # of the index of embeddings, per row
_CHARACTERS_PER_TOKEN = 4  # where an encoder does not count its tokens


def estimate_embedding(
    items: Sequence[TextItem],
    encoder: Encoder,
    *,
    sample: int = 256,
    dtype: str = "float32",
    copies: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> pd.DataFrame:
    """Return what it costs to embed items, from the work on a sample of them; nothing of it is kept.

    The sample is spread evenly over the items. One item is embedded first, so that loading the model is not counted.

    Args:
        items: what is to be embedded.
        encoder: what embeds them.
        sample: number of items that are embedded to measure.
        dtype: of the embeddings.
        copies: how often they are written: 2 where preferences or banks are saved beside the folder of embeddings.
        clock: gives seconds.

    Returns:
        One row: step, rows (distinct texts), tokens, seconds, bytes.

    Raises:
        ValueError: no items, or an item that the encoder refuses.

    >>> from rmspace.text import FunctionEncoder, records
    >>> items = records.items_of("2 + 2?", [str(k) for k in range(1000)])
    >>> lengths = FunctionEncoder(lambda texts: [[len(text)] for text in texts], name="length")
    >>> estimate_embedding(items, lengths, sample=10)[["step", "rows", "bytes"]].values.tolist()
    [['embed', 1000, 37000]]
    """
    check_int("sample", sample, low=1)
    if not len(items):
        raise ValueError("there must be at least one text to embed; got none")
    places = np.unique(np.linspace(0, len(items) - 1, min(sample, len(items))).astype(int)).tolist()
    chosen = take(items, places)
    encode_shard(encoder, chosen[:1], places[:1], lambda _: None)
    start = clock()
    rows, _ = encode_shard(encoder, chosen, places, lambda _: None)
    seconds, factor = clock() - start, len(items) / len(chosen)
    width = rows.shape[1] * np.dtype(dtype).itemsize
    row = {
        "step": "embed",
        "rows": len(items),
        "tokens": round(factor * _tokens(encoder, chosen)),
        "seconds": factor * seconds,
        "bytes": len(items) * (copies * width + _KEY_BYTES),
    }
    return pd.DataFrame([row])


def _tokens(encoder: Encoder, items: Sequence[TextItem]) -> float:
    """Return the number of tokens, as the encoder counts them, or else guessed from the characters."""
    count = getattr(encoder, "count_tokens", None)
    if count is not None:
        return float(count(items).sum())
    return sum(len(turn.content) for item in items for turn in item.messages) / _CHARACTERS_PER_TOKEN
