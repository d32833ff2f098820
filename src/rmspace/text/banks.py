"""Banks from rated texts."""

from __future__ import annotations

import numpy as np

from rmspace._typing import FloatArray
from rmspace.data.arrays import number_ids
from rmspace.data.bank import ResponseBank
from rmspace.data.mapped import choose
from rmspace.data.preferences import Preferences
from rmspace.text.preferences import TextPreferences

__all__ = ["to_bank"]


def to_bank(
    data: Preferences | TextPreferences, reward: str | None = None, *, embeddings: FloatArray | None = None
) -> ResponseBank:
    """Return the items as a bank, prompt by prompt, with one of their features as the gold reward.

    Prompts may have different numbers of responses, and unrated responses (NaN) stay. The comparisons are not part of a
    bank.

    Args:
        data: embedded preferences, or texts with their `embeddings`; texts need no comparisons.
        reward: name of the feature; None for a bank without rewards.
        embeddings: (n_items, dim), one row per item of texts.

    Raises:
        ValueError: no such feature; texts without embeddings, or embeddings of another length.

    >>> from rmspace.text import Record, records
    >>> items = records.items_of("2 + 2?", ["4", "5", "four"])
    >>> texts = TextPreferences.from_records([Record(items, scores={"right": [1.0, 0.0, float("nan")]})])
    >>> bank = to_bank(texts, "right", embeddings=np.eye(3, dtype=np.float32))
    >>> bank, bank.rewards.tolist()
    (ResponseBank(n_prompts=1, n_responses=3, dim=3, dtype=float32, rewards=True), [[1.0, 0.0, nan]])
    """
    items = _items(data, embeddings)
    if reward is not None and reward not in data.features:
        raise ValueError(f"no score {reward!r}; the items have {', '.join(sorted(data.features)) or 'none'}")
    numbers = number_ids(data.groups)
    order = np.argsort(numbers, kind="stable")
    _, first, counts = np.unique(numbers, return_index=True, return_counts=True)
    in_order = bool((order == np.arange(len(order))).all())
    gold = None if reward is None else np.asarray(data.features[reward], dtype=np.float64)[order]
    return ResponseBank(
        items if in_order else choose(items, order),
        gold,
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        features={name: value[order] for name, value in data.features.items() if name != reward},
        prompt_ids=data.groups[first],
        metadata=data.metadata,
    )


def _items(data: Preferences | TextPreferences, embeddings: FloatArray | None) -> FloatArray:
    if isinstance(data, Preferences):
        if embeddings is not None:
            raise ValueError("these preferences have embeddings; give no others")
        return data.items
    if embeddings is None or len(embeddings) != len(data.items):
        came = "none" if embeddings is None else f"{len(embeddings)} rows"
        raise ValueError(f"texts need embeddings, one row for each of the {len(data.items)} items; got {came}")
    return embeddings
