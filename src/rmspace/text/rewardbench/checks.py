"""Checks of the rows of RewardBench and of their scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rmspace._typing import Float64Array
from rmspace.text.records import digest

Row = Mapping[str, Any]
Scores = Sequence[npt.ArrayLike] | npt.NDArray[Any]
"""The scores of each row."""


def check_rows(rows: Sequence[Row], n_scores: int) -> None:
    """Check that there are rows, each with its subset and scores, and none twice.

    Raises:
        ValueError: no rows, another number of scores, a row without a subset, or the same row twice.
    """
    if not len(rows) or len(rows) != n_scores:
        raise ValueError(f"there must be rows, and scores for each of them; got {len(rows)} rows, {n_scores} scores")
    seen: dict[str, int] = {}
    for k, row in enumerate(rows):
        if not isinstance(row.get("subset"), str) or not row["subset"]:
            raise ValueError(f"each row must name its subset; row {k} has {row.get('subset')!r}")
        if "id" not in row and "prompt" not in row:
            continue  # nothing tells the row from others
        same = seen.setdefault(_key(row), k)
        if same != k:
            raise ValueError(f"no row may be there twice; {name_row(rows, k)} is the same as row {same}")


def check_scores(rows: Sequence[Row], k: int, scores: npt.ArrayLike, size: int | None = None) -> Float64Array:
    """Return the scores of row `k`, float64 (n,).

    Raises:
        ValueError: another number of scores than `size`, or one that is not finite.
    """
    try:
        found = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name_row(rows, k)} must have numbers as scores; got {scores!r}") from error
    if found.ndim != 1 or (size is not None and len(found) != size):
        raise ValueError(f"{name_row(rows, k)} must have {size or 'a list of'} scores; got the shape {found.shape}")
    if not np.isfinite(found).all():
        raise ValueError(f"scores must be finite; {name_row(rows, k)} has {found.tolist()}; score it again")
    return found


def name_row(rows: Sequence[Row], k: int) -> str:
    """Return 'row 3 (subset hep-go, id 7)'."""
    return f"row {k} (subset {rows[k].get('subset')}, id {rows[k].get('id')})"


def _key(row: Row) -> str:
    texts = [row.get(name) for name in ("prompt", "chosen", "rejected")]
    return digest([row["subset"], str(row.get("id")), json.dumps(texts, default=str)])
