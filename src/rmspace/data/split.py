"""Splits by prompt: of a bank, and of comparisons."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

from rmspace._checks import check_int
from rmspace._typing import IntArray
from rmspace.data.bank import ResponseBank

Mask = npt.NDArray[np.bool_]


def split_prompts(bank: ResponseBank, test_size: int | float, seed: int) -> tuple[ResponseBank, ResponseBank]:
    """Split a bank into (train, test) by prompts, so that no prompt is on both sides.

    Args:
        bank: what to split.
        test_size: number of test prompts, or their share in (0, 1) (rounded, at least 1).
        seed: of the shuffle.

    Raises:
        ValueError: a side would have no prompt.

    >>> bank = ResponseBank(np.zeros((10, 2, 4), np.float32))
    >>> train, test = split_prompts(bank, test_size=0.3, seed=0)
    >>> train.n_prompts, test.n_prompts, set(train.prompt_ids) & set(test.prompt_ids)
    (7, 3, set())
    """
    if isinstance(test_size, float):
        if not 0 < test_size < 1:
            raise ValueError(f"test_size must be a number of prompts or a share in (0, 1); got {test_size!r}")
        n_test = max(1, round(test_size * bank.n_prompts))
    else:
        n_test = check_int("test_size", test_size, low=1)
    if n_test >= bank.n_prompts:
        raise ValueError(f"test_size must leave a training prompt; got {n_test} of {bank.n_prompts} prompts")
    order = np.random.default_rng(seed).permutation(bank.n_prompts)
    return bank[np.sort(order[n_test:])], bank[np.sort(order[:n_test])]


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
