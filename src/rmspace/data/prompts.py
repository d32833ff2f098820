"""Items that carry the embedding of their prompt beside their own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rmspace._checks import as_array, describe
from rmspace.data.arrays import check_finite
from rmspace.data.bank import ResponseBank, check_bank


def append_prompts(bank: ResponseBank, prompts: npt.ArrayLike | None = None) -> ResponseBank:
    """Return a bank in which the embedding of the prompt follows that of each item, for `GatedReward`.

    Args:
        bank: of any layout.
        prompts: (n_prompts, width), one embedding per prompt. When None, the mean of the embeddings of its responses,
            which tells what the prompt is about without knowing any reward.

    Returns:
        A bank in memory, float32, with dim + width numbers per item; rewards, features, ids and metadata stay.

    Raises:
        ValueError: not one embedding per prompt, or one that is not finite.

    >>> bank = ResponseBank(np.arange(8.0).reshape(2, 2, 2))
    >>> append_prompts(bank).embeddings[0].tolist()
    [[0.0, 1.0, 1.0, 2.0], [2.0, 3.0, 1.0, 2.0]]
    >>> append_prompts(bank, [[7.0], [9.0]]).embeddings[1].tolist()
    [[4.0, 5.0, 9.0], [6.0, 7.0, 9.0]]
    """
    check_bank("bank", bank)
    items = np.asarray(bank.items, dtype=np.float32)
    check_finite("items", items)
    table = _means(bank, items) if prompts is None else _checked(prompts, bank.n_prompts)
    rows = np.concatenate([items, np.repeat(table, bank.counts, axis=0)], axis=1)
    features = {name: value.reshape(-1) for name, value in bank.features.items()}
    rewards = bank.item_rewards if bank.has_rewards else None
    return ResponseBank(
        rows if not bank.is_rectangular else rows.reshape(bank.n_prompts, -1, rows.shape[1]),
        rewards if rewards is None or not bank.is_rectangular else rewards.reshape(bank.n_prompts, -1),
        offsets=None if bank.is_rectangular else bank.offsets,
        features=dict(bank.features) if bank.is_rectangular else features,
        prompt_ids=bank.prompt_ids,
        metadata=bank.metadata,
    )


def _means(bank: ResponseBank, items: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    sums = np.add.reduceat(items, bank.offsets[:-1], axis=0, dtype=np.float64)
    return np.asarray(sums / bank.counts[:, None], dtype=np.float32)


def _checked(prompts: npt.ArrayLike, n_prompts: int) -> npt.NDArray[np.float32]:
    array = as_array("prompts", prompts)
    if array.ndim != 2 or len(array) != n_prompts or array.shape[1] == 0 or array.dtype.kind not in "biuf":
        raise ValueError(f"prompts must be one embedding per prompt, ({n_prompts}, width); got {describe(array)}")
    check_finite("prompts", array)
    return array.astype(np.float32)
