"""The checked data of one fit: the comparisons that count, the rows that they use, and their columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.data.arrays import (
    check_columns,
    check_finite,
    check_groups,
    check_items,
    check_pairs,
    check_ties,
    check_weights,
    to_float32,
)
from rmspace.data.mapped import blocks
from rmspace.data.preferences import Preferences
from rmspace.models.core.columns import (
    Columns,
    asks_for,
    check_values,
    column_names,
    objective_name,
    text_codes,
)

OnEpoch = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class FitData:
    """The data that a model learns from.

    `_fit` of a model receives only comparisons that count: their weights are above 0 and have the mean 1, since only
    their ratios matter; `columns` are those that the objective asks for; and a comparison marked as a tie has become
    both orders with half the weight each (unless the objective asks for `tie`).

    Attributes:
        items: (n_items, dim), not read yet.
        comparisons: (n_comparisons, 2) rows of `items`; column 0 won.
        weights: (n_comparisons,).
        groups: (n_items,) prompts, or None.
        columns: name -> (n_comparisons,).
        numbers: (n_comparisons,) the number of each comparison in the input.
        all_rows: rows of `items` in any comparison of the input, ascending; they include those of weight 0.
        eval_set: the data of the validation loss, in place of held-out prompts.
        on_epoch: called with the record of each epoch.
    """

    items: FloatArray
    comparisons: IntArray
    weights: Float64Array
    groups: npt.NDArray[Any] | None
    columns: Columns
    numbers: IntArray
    all_rows: IntArray
    eval_set: FitData | None = None
    on_epoch: OnEpoch | None = field(default=None, compare=False)

    @property
    def dim(self) -> int:
        """Length of one embedding."""
        return int(self.items.shape[1])

    @cached_property
    def used_rows(self) -> IntArray:
        """(n_used,) rows of `items` in the comparisons, ascending, each once."""
        return self._unique[0]

    @cached_property
    def pairs(self) -> IntArray:
        """(n_comparisons, 2) the comparisons as positions in `used_rows`; column 0 won."""
        return self._unique[1]

    @cached_property
    def _unique(self) -> tuple[IntArray, IntArray]:
        rows, positions = np.unique(self.comparisons, return_inverse=True)
        return rows, positions.reshape(-1, 2)

    def read(self, dtype: npt.DTypeLike = np.float32) -> FloatArray:
        """Read the used rows, each once and block by block, as float32 or float64 (n_used, dim).

        Raises:
            ValueError: numbers that are not finite, or too large for float32.
        """
        rows: FloatArray = np.empty((len(self.used_rows), self.dim), dtype)
        for part, block in blocks(self.items, self.used_rows):
            if rows.dtype == np.float64:
                check_finite("items", block, self.used_rows[part])
                rows[part] = block
            else:
                rows[part] = to_float32("items", block, self.used_rows[part])
        return rows

    def select(self, chosen: npt.NDArray[Any]) -> FitData:
        """Return some comparisons, by a mask or by their positions."""
        return replace(
            self,
            comparisons=self.comparisons[chosen],
            weights=self.weights[chosen],
            columns={name: value[chosen] for name, value in self.columns.items()},
            numbers=self.numbers[chosen],
        )

    def preferences(self) -> Preferences:
        """Return the same comparisons as Preferences; without groups, each item is its own prompt."""
        groups = np.arange(len(self.items)) if self.groups is None else self.groups
        columns = {**self.columns, "weight": self.weights}
        return Preferences(self.items, self.comparisons, groups, columns=columns)

    def for_objective(self, objective: Any) -> FitData:
        """Return the comparisons and the columns that count for one objective (None: no columns); see the class.

        Raises:
            ValueError: a column that the objective needs is missing, or has NaN.
        """
        parts = [_counted(part, objective) for part in (self, self.eval_set) if part is not None]
        names = column_names(objective, parts[0].columns)
        for name in names:
            if any(name not in part.columns for part in parts):
                raise ValueError(
                    f"eval_set must have the column {name!r}, which objective {objective_name(objective)} asks for; "
                    f"it has {sorted(parts[1].columns) or 'none'}"
                )
            for part in parts:
                check_values(objective, name, part.columns[name], part.numbers)
        coded = {name: text_codes(*(part.columns[name] for part in parts)) for name in names}
        parts = [replace(part, columns={name: coded[name][k] for name in names}) for k, part in enumerate(parts)]
        return replace(parts[0], eval_set=parts[1] if len(parts) > 1 else None)


def check_fit(
    items: npt.ArrayLike | Preferences,
    comparisons: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    groups: npt.ArrayLike | None = None,
    columns: Mapping[str, npt.ArrayLike] | None = None,
    eval_set: Preferences | None = None,
    on_epoch: OnEpoch | None = None,
) -> FitData:
    """Check the input of a fit, except for the values of items, which are checked where they are read."""
    if isinstance(items, Preferences):
        if any(value is not None for value in (comparisons, sample_weight, groups, columns)):
            raise TypeError(
                "Preferences have their own comparisons, weights, groups and columns; give them alone, or give arrays"
            )
        comparisons, sample_weight, groups, columns = items.comparisons, items.weight, items.groups, items.fit_columns
        items = items.items
    if comparisons is None:
        raise TypeError(f"give Preferences, or items and comparisons; got {type(items).__name__} alone")
    array = check_items(items)
    pairs = check_pairs("comparisons", comparisons, len(array))
    weights = check_weights(sample_weight, len(pairs))
    data = FitData(
        array,
        pairs,
        weights,
        None if groups is None else check_groups(groups, len(array)),
        check_columns({} if columns is None else columns, len(pairs)),
        np.arange(len(pairs)),
        np.unique(pairs),
        on_epoch=on_epoch,
    )
    return data if eval_set is None else replace(data, eval_set=_check_eval_set(eval_set, data.dim))


def tie_marks(columns: Columns) -> npt.NDArray[np.bool_]:
    """Return the column `tie` as booleans."""
    return check_ties(columns["tie"])


def _counted(data: FitData, objective: Any) -> FitData:
    """Leave out comparisons of weight 0, and give the others the mean weight 1.

    Then each tie is replaced by both orders, unless the objective asks for `tie`; the columns `winner_<name>` and
    `loser_<name>` change places too.
    """
    if not data.weights.all():
        data = data.select(data.weights > 0)
    equal = data.weights.min() == data.weights.max()  # of equal weights, the mean may differ by rounding
    data = replace(data, weights=np.ones(len(data.weights)) if equal else data.weights / data.weights.mean())
    if "tie" not in data.columns or asks_for(objective, "tie") or not (tie := tie_marks(data.columns)).any():
        return data
    twice = data.select(np.concatenate([np.arange(len(tie)), np.flatnonzero(tie)]))
    n_ties = int(tie.sum())
    comparisons, weights = twice.comparisons.copy(), twice.weights.copy()
    comparisons[-n_ties:] = comparisons[-n_ties:, ::-1]
    weights[np.flatnonzero(tie)] /= 2
    weights[-n_ties:] /= 2
    columns = _swapped(twice.columns, np.arange(len(comparisons)) >= len(tie))
    return replace(twice, comparisons=comparisons, weights=weights, columns=columns)


def _swapped(columns: Columns, reversed_order: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[Any]]:
    """Return columns whose values for winner and loser have changed places where the order is reversed."""
    found = dict(columns)
    for winner in [name for name in columns if name.startswith("winner_")]:
        loser = winner.replace("winner_", "loser_", 1)
        if loser in columns:
            found[winner] = np.where(reversed_order, columns[loser], columns[winner])
            found[loser] = np.where(reversed_order, columns[winner], columns[loser])
    return found


def _check_eval_set(eval_set: Any, dim: int) -> FitData:
    if not isinstance(eval_set, Preferences):
        raise TypeError(f"eval_set must be Preferences; got {type(eval_set).__name__}")
    data = check_fit(eval_set)
    if data.dim != dim:
        raise ValueError(f"eval_set must have items of the training dim {dim}; got {data.dim}")
    return data
