"""The pool of candidate pairs from which a rule chooses, checked."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from rmspace._checks import as_array, as_int64, as_numbers, check_int, check_rng, describe
from rmspace._typing import Float64Array, IntArray
from rmspace.data.arrays import check_finite


class SelectionRule(Protocol):
    """(differences, gaps, chosen, n, rng) -> rows of the n candidates to be judged next, int64 (n,).

    differences are (n_candidates, dim), features of the first item minus those of the second. gaps are (n_candidates,),
    the current score of the first minus that of the second, or (n_members, n_candidates) of an ensemble; all 0 before
    the first fit. chosen are the rows of candidates that were judged before; none of them is chosen again.
    """

    def __call__(
        self, differences: npt.ArrayLike, gaps: npt.ArrayLike, chosen: npt.ArrayLike, n: int, rng: np.random.Generator
    ) -> IntArray:
        """Choose the rows."""
        ...


class Pool(NamedTuple):
    """Candidates, checked."""

    differences: npt.NDArray[np.generic]  # (n_candidates, dim), any type of number
    members: Float64Array  # (n_members, n_candidates)
    chosen: IntArray
    left: IntArray  # rows that were not chosen, ascending
    n: int
    rng: np.random.Generator

    @property
    def gaps(self) -> Float64Array:
        """The mean gap over members, of the rows that are left."""
        return np.asarray(self.members[:, self.left].mean(axis=0))

    def vectors(self) -> Float64Array:
        """Return the differences as float64; ValueError where one is not finite."""
        check_finite("differences", self.differences)
        return self.differences.astype(np.float64)


def check_pool(
    differences: npt.ArrayLike, gaps: npt.ArrayLike, chosen: npt.ArrayLike, n: int, rng: np.random.Generator
) -> Pool:
    """Return the arguments of a rule, checked; see `SelectionRule`."""
    vectors = as_array("differences", differences, "numbers (n_candidates, dim)")
    if vectors.ndim != 2 or 0 in vectors.shape or vectors.dtype.kind not in "biuf":
        raise ValueError(f"differences must be numbers (n_candidates, dim); got {describe(vectors)}")
    size = len(vectors)
    members = as_numbers("gaps", gaps)
    if members.ndim not in (1, 2) or members.shape[-1] != size or len(members) == 0:
        raise ValueError(
            f"gaps must be one per candidate, ({size},), or (n_members, {size}) of an ensemble; got {describe(members)}"
        )
    members = np.atleast_2d(members)
    check_finite("gaps", members)
    known = _rows("chosen", chosen, size)
    left = np.setdiff1d(np.arange(size), known, assume_unique=True)
    if check_int("n", n, low=1) > len(left):
        raise ValueError(f"n must be at most the {len(left)} candidates that are left; got {n}; make the pool larger")
    return Pool(vectors, members, known, left, int(n), check_rng(rng))


def _rows(name: str, rows: npt.ArrayLike, size: int) -> IntArray:
    array = as_array(name, rows, "integer rows")
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integer rows of candidates, (n_chosen,); got {describe(array)}")
    found = as_int64(name, array)
    if found.min() < 0 or found.max() >= size:
        wrong = int(found.max() if found.max() >= size else found.min())
        raise ValueError(f"{name} must hold rows of the {size} candidates; got {wrong}")
    if len(np.unique(found)) < len(found):
        raise ValueError(f"{name} must hold each row once; some come twice")
    return found
