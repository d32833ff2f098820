"""What every reward model shares: scikit-learn's manners, checked input, and a folder to be saved in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from rmspace._typing import Float64Array, FloatArray, IntArray, PathLike
from rmspace.data.arrays import check_finite, check_groups, check_items, check_pairs, check_weights, to_float32
from rmspace.data.mapped import blocks
from rmspace.models.core.precision import on_device
from rmspace.models.io.tensors import fill

_BLOCK_NUMBERS = 1 << 22  # of a block to predict

Combine = Callable[[Float64Array], Float64Array]  # (n_scorers, n_items) -> (..., n_items)


class Scorer(NamedTuple):
    """A function that scores a block of rows, and the form that it wants them in."""

    form: torch.dtype | None  # of a tensor on the device of the scoring; None stands for a float32 array
    score: Callable[[Any], FloatArray]  # rows (n_items, dim) -> scores (n_items,)


class Touched(NamedTuple):
    """Which rows comparisons touch, each once, and the comparisons in their terms; weights of 0 are left out."""

    items: FloatArray  # (n_items, dim), unread
    ids: IntArray  # (n_touched,) rows of `items`, ascending
    within: IntArray  # the same with the comparisons of weight 0
    pairs: IntArray  # (n_comparisons, 2) of positions in `ids`; column 0 won
    weights: Float64Array  # (n_comparisons,), above 0
    groups: npt.NDArray[Any] | None  # (n_items,)


class Gathered(NamedTuple):
    """The rows that comparisons touch, and the comparisons in their terms."""

    rows: FloatArray  # (n_touched, dim)
    pairs: IntArray  # (n_comparisons, 2) of positions in `rows`; column 0 won
    weights: Float64Array  # (n_comparisons,), above 0


class BaseReward(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Base of the reward models; a subclass gives `fit`, `_score`, `_write` and `_read`."""

    n_features_in_: int

    def predict(self, items: npt.ArrayLike) -> FloatArray:
        """Score items, in blocks, so that a memory-mapped bank is never held whole.

        Args:
            items: (n_items, dim), finite.

        Returns:
            float64 (n_items,), higher is better.

        Raises:
            sklearn.exceptions.NotFittedError: before `fit`.
            ValueError: another dim than in the fit, or values that are not finite.
            FloatingPointError: items so large that their scores overflow.
            RuntimeError: the items lie in a file that changed.
        """
        check_is_fitted(self)
        array = check_items(items)
        if array.shape[1] != self.n_features_in_:
            raise ValueError(f"items must have the {self.n_features_in_} numbers of the fit; got {array.shape[1]}")
        return on_device(
            self._device(), lambda device: score_blocks(array, self._scorers(device), device, self._combine)
        )

    def _device(self) -> torch.device:
        """Return where the model computes."""
        return torch.device("cpu")

    def _scorers(self, device: torch.device) -> list[Scorer]:  # noqa: ARG002
        """Return what scores checked items on a device; more than one are put together by `_combine`."""
        return [Scorer(None, self._score)]

    def _combine(self, table: Float64Array) -> Float64Array:
        """Make one score an item of the scorers', (n_scorers, n_items) -> (n_items,)."""
        return np.asarray(table[0])

    def _score(self, rows: FloatArray) -> FloatArray:
        """Score a block of float32 rows."""
        raise NotImplementedError

    def save(self, folder: PathLike, *, overwrite: bool = False) -> None:
        """Write the fitted model as a folder without pickle, for `rmspace.load`; it appears whole or not at all.

        Raises:
            FileExistsError: the folder exists and is not to be, or is no model to be, replaced.
            sklearn.exceptions.NotFittedError: before `fit`.
            TypeError: a parameter that the folder cannot hold, such as a random generator.
        """
        from rmspace.models.io.format import save

        check_is_fitted(self)
        save(self, folder, overwrite=overwrite)

    def _write(self, folder: Path) -> dict[str, Any]:
        """Write what was learned as files in `folder`; return the small rest for the JSON."""
        raise NotImplementedError

    def _read(self, folder: Path, state: dict[str, Any], trusted: Sequence[str]) -> None:
        """Read back what `_write` wrote."""
        raise NotImplementedError


def touch(
    items: npt.ArrayLike,
    comparisons: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None,
    groups: npt.ArrayLike | None,
) -> Touched:
    """Check the input of a fit, but for the values of items, and find the rows that it touches."""
    array = check_items(items)
    pairs = check_pairs("comparisons", comparisons, len(array))
    weights = check_weights(sample_weight, len(pairs))
    names = None if groups is None else check_groups(groups, len(array))
    ids, local = np.unique(pairs[weights > 0], return_inverse=True)
    within = ids if weights.all() else np.unique(pairs)
    return Touched(array, ids, within, local.reshape(-1, 2), weights[weights > 0], names)


def gather(
    items: npt.ArrayLike,
    comparisons: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None,
    groups: npt.ArrayLike | None,
    dtype: npt.DTypeLike,
) -> Gathered:
    """Check the input of a fit and read the rows that it touches, each once, block by block."""
    data = touch(items, comparisons, sample_weight, groups)
    rows: FloatArray = np.empty((len(data.ids), data.items.shape[1]), dtype)
    for part, block in blocks(data.items, data.ids):
        if rows.dtype == np.float64:
            check_finite("items", block, data.ids[part])
            rows[part] = block
        else:
            rows[part] = to_float32("items", block, data.ids[part])
    return Gathered(rows, data.pairs, data.weights)


def score_blocks(array: FloatArray, scorers: Sequence[Scorer], device: torch.device, combine: Combine) -> Float64Array:
    """Score items block by block, each read once in each form; memory does not grow but for what is returned.

    Args:
        array: (n_items, dim).
        scorers: of blocks, on `device`.
        device: where tensors are to lie.
        combine: makes of a block's scores, (n_scorers, n_items), what is returned of it, (..., n_items).

    Raises:
        ValueError: items that are not finite.
        FloatingPointError: scores that are not.
    """
    size = max(1, _BLOCK_NUMBERS // array.shape[1])
    found, buffers = [], {}
    for form in {scorer.form for scorer in scorers} - {None}:
        buffers[form] = torch.empty((min(size, len(array)), array.shape[1]), dtype=form, device=device)
    for part, block in blocks(array, size=size):
        ids = np.arange(part.start, part.stop)
        rows: dict[torch.dtype | None, Any] = {}
        for form in dict.fromkeys(scorer.form for scorer in scorers):
            if form is None:
                rows[form] = to_float32("items", block, ids)
            else:
                rows[form] = buffers[form][: len(block)]
                fill(rows[form], block, ids)
        found.append(_finite(combine(np.stack([_finite(scorer.score(rows[scorer.form])) for scorer in scorers]))))
    return np.concatenate(found, axis=-1) if found else np.empty(0)


def _finite(scores: FloatArray) -> Float64Array:
    if not np.isfinite(scores).all():
        raise FloatingPointError("the scores overflow; scale the items as they were in the fit")
    return np.asarray(scores, dtype=np.float64)


def draw_seed(random_state: int | np.random.RandomState | None) -> int:
    """Draw one seed from scikit-learn's kind of `random_state`."""
    return int(check_random_state(random_state).randint(2**31 - 1))


def is_plain(objective: Any, function: Any) -> bool:
    """Say whether `objective` is `function`, bare or in a partial that binds nothing."""
    while isinstance(objective, partial) and not objective.args and not objective.keywords:
        objective = objective.func
    return objective is function
