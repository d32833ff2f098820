"""Validation comparisons from prompts that training never sees."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

from rmspace._typing import IntArray

Mask = npt.NDArray[np.bool_]


def split_comparisons(
    pairs: IntArray, groups: npt.NDArray[Any], share: float, rng: np.random.Generator
) -> tuple[Mask, Mask]:
    """Return (training, validation) masks over comparisons, for a `share` of the groups held out.

    A comparison with one side in a held-out group and one outside belongs to neither: it would show training an item
    that validation is about. With same-prompt comparisons there are none, and the held-out groups are random. With
    cross-prompt ones, random groups would leave a share^2 for validation and (1 - share)^2 for training; groups that
    were compared with one another are therefore held out together, next to each other in a Cuthill-McKee order of the
    graph of comparisons. At one comparison a prompt that loses almost nothing; where every prompt is compared with
    many others, nothing helps.

    Args:
        pairs: int64 (n_comparisons, 2).
        groups: (n_items,) prompts.
        share: of the groups to hold out, in (0, 1); at least one is.
        rng: draws the groups.

    Raises:
        ValueError: no comparison is left for training or for validation.
    """
    present, sides = np.unique(groups[pairs], return_inverse=True)
    sides = rng.permutation(len(present))[sides.reshape(pairs.shape)]
    graph = coo_array((np.ones(len(pairs)), (sides[:, 0], sides[:, 1])), shape=(len(present),) * 2).tocsr()
    order = reverse_cuthill_mckee(graph + graph.T, symmetric_mode=True)
    n_held_out = max(1, round(share * len(present)))
    inside = np.isin(sides, order[:n_held_out])
    training, validation = np.asarray(~inside.any(axis=1)), np.asarray(inside.all(axis=1))
    if not training.any() or not validation.any():
        raise ValueError(
            f"validation needs comparisons inside held-out prompts and outside them; of {len(pairs)} comparisons of "
            f"{len(present)} prompts, {validation.sum()} were inside {n_held_out} held-out prompts and "
            f"{training.sum()} outside; give more comparisons, a larger validation_fraction, or "
            "validation_fraction=0 to train for max_epochs"
        )
    return training, validation
