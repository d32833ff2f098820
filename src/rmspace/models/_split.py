"""Validation comparisons from prompts that training never sees."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rmspace._typing import IntArray

Mask = npt.NDArray[np.bool_]


def split_comparisons(
    pairs: IntArray, groups: npt.NDArray[Any], share: float, rng: np.random.Generator
) -> tuple[Mask, Mask]:
    """Return (training, validation) masks over comparisons, for a random `share` of the groups held out.

    A comparison with one side in a held-out group and one outside belongs to neither: it would show training an item
    that validation is about.

    Args:
        pairs: int64 (n_comparisons, 2).
        groups: (n_items,) prompts.
        share: of the groups to hold out, in (0, 1); at least one is.
        rng: draws the groups.

    Raises:
        ValueError: no comparison is left for training or for validation.
    """
    present = np.unique(groups[pairs])
    held_out = rng.permutation(present)[: max(1, round(share * len(present)))]
    inside = np.isin(groups[pairs], held_out)
    training, validation = np.asarray(~inside.any(axis=1)), np.asarray(inside.all(axis=1))
    if not training.any() or not validation.any():
        raise ValueError(
            f"validation needs comparisons inside held-out prompts and outside them; of {len(pairs)} comparisons of "
            f"{len(present)} prompts, {validation.sum()} were inside {len(held_out)} held-out prompts and "
            f"{training.sum()} outside; give more comparisons, a larger validation_fraction, or "
            "validation_fraction=0 to train for max_epochs"
        )
    return training, validation
