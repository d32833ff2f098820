"""Items with a rating or a label of their own as preferences, for the pointwise objectives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rmspace._checks import as_numbers, describe
from rmspace._typing import IntArray
from rmspace.data.arrays import check_finite, check_groups, check_items
from rmspace.data.preferences import Preferences


def pair_up(items: npt.ArrayLike, values: npt.ArrayLike, groups: npt.ArrayLike, *, name: str = "rating") -> Preferences:
    """Return items that were rated one by one as preferences, in which every item counts alike.

    The items of a prompt are compared in a circle, so that each is in two comparisons. Two items are one comparison of
    weight 2. Prompts with one item are put together by two, and the last one joins another prompt.

    Args:
        items: (n_items, dim), at least two.
        values: (n_items,) the rating or label of each.
        groups: (n_items,) the prompt of each.
        name: of the values; the columns are `winner_<name>` and `loser_<name>`: "rating" for the objectives of
            `rmspace.objectives.ratings`, "label" for those of `rmspace.objectives.unpaired`.

    Returns:
        Preferences with these columns, a weight, and `tie` where two values are equal.

    Raises:
        ValueError: fewer than two items, values that are not finite numbers (n_items,).

    >>> data = pair_up(np.eye(3, dtype=np.float32), [4, 1, 3], groups=["a", "a", "a"])
    >>> data.comparisons.tolist(), data.columns["winner_rating"].tolist()
    ([[0, 1], [2, 1], [0, 2]], [4.0, 3.0, 4.0])
    """
    rows = check_items(items)
    numbers, prompts = as_numbers("values", values), check_groups(groups, len(rows))
    if numbers.shape != (len(rows),) or len(rows) < 2:
        raise ValueError(f"values must be one number per item, ({len(rows)},), at least two; got {describe(numbers)}")
    check_finite("values", numbers)
    circles = [_circle(members) for members in _sets_of(prompts)]
    pairs = np.concatenate(circles)
    weight = np.concatenate([np.full(len(circle), 2.0 if len(circle) == 1 else 1.0) for circle in circles])
    first = numbers[pairs[:, 0]] >= numbers[pairs[:, 1]]
    ordered = np.where(first[:, None], pairs, pairs[:, ::-1])
    won, lost = numbers[ordered[:, 0]], numbers[ordered[:, 1]]
    columns = {f"winner_{name}": won, f"loser_{name}": lost, "weight": weight, "tie": won == lost}
    return Preferences(rows, ordered, prompts, columns=columns)


def _sets_of(prompts: npt.NDArray[np.generic]) -> list[IntArray]:
    """Return sets of at least two items: those of a prompt, and single ones put together."""
    _, number = np.unique(prompts, return_inverse=True)
    order = np.argsort(number, kind="stable")
    sets = np.split(order, np.cumsum(np.bincount(number))[:-1])
    alone = np.array([members[0] for members in sets if len(members) == 1], dtype=np.int64)
    several = [members for members in sets if len(members) > 1]
    several += list(alone[: len(alone) // 2 * 2].reshape(-1, 2))
    if len(alone) % 2:
        several[-1] = np.append(several[-1], alone[-1])
    return several


def _circle(members: IntArray) -> IntArray:
    """Return comparisons of each item with the next; two items are compared once."""
    pairs = np.stack([members, np.roll(members, -1)], axis=1)
    return pairs[:1] if len(members) == 2 else pairs
