"""Checks of preferences, and of a split of data into training and test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_array

from rmspace._checks import check_int, check_number
from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.data.arrays import number_ids
from rmspace.data.bank import ResponseBank
from rmspace.data.equal_rows import Hashes, row_hashes
from rmspace.data.finding import Finding, table_of
from rmspace.data.mapped import blocks
from rmspace.data.preferences import Preferences
from rmspace.data.split import check_data

_BLOCK = 1024  # prompts compared at a time


def findings(preferences: Preferences) -> pd.DataFrame:
    """Return one row per finding: columns check, severity (error, warning, note), n_found, n_checked, detail.

    Checks: `self_comparisons`, `contradictions` (A beat B, and B beat A), `repeated_comparisons`, `missing_values` (one
    row per column that has any), `non_finite_items`, `unused_items`. Ties are no contradictions.
    """
    return table_of([*_comparison_findings(preferences), *_column_findings(preferences), *_item_findings(preferences)])


def split_health(
    train: ResponseBank | Preferences,
    test: ResponseBank | Preferences,
    *,
    similarity: float = 0.999,
    max_pairs: int = 10**9,
) -> pd.DataFrame:
    """Find prompts and items that training and test data share: a table of findings, empty when all is well.

    Checks: `shared_prompts`, prompt ids on both sides; `shared_items`, test items whose embedding is a training item's
    to the bit; `near_duplicate_prompts`, test prompts m with, for some training prompt t,

        cosine(mean of the items of m - c, mean of the items of t - c) > similarity,

    where c is the mean of the training prompts' means, since embeddings of one language model point the same way.

    Args:
        train, test: two banks, or preferences.
        similarity: the cosine above which two prompts are near-duplicates.
        max_pairs: the most pairs of a training and a test prompt that are compared. With more, near-duplicates are not
            searched for, and a finding `near_duplicates_not_searched` says so.

    Raises:
        ValueError: embeddings of different lengths.

    >>> items = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    >>> bank = ResponseBank(items.reshape(4, 2, 4))
    >>> split_health(bank[:3], bank[2:])[["check", "n_found", "n_checked"]].values.tolist()
    [['shared_prompts', 1, 2], ['shared_items', 2, 4], ['near_duplicate_prompts', 1, 2]]
    """
    check_data("train", train)
    check_data("test", test)
    check_number("similarity", similarity, low=-1.0, high=1.0)
    check_int("max_pairs", max_pairs, low=0)
    if train.dim != test.dim:
        raise ValueError(f"train and test must have embeddings of one length; got {train.dim} and {test.dim}")
    return table_of([*_shared(train, test), *_near_duplicates(train, test, similarity, max_pairs)])


def _comparison_findings(preferences: Preferences) -> Iterator[Finding]:
    pairs, n = preferences.comparisons, preferences.n_comparisons
    itself = pairs[:, 0] == pairs[:, 1]
    if itself.any():
        detail = f"comparisons of an item with itself (the first is row {int(np.argmax(itself))}); fits refuse them"
        yield Finding("self_comparisons", "error", int(itself.sum()), n, detail)
    decided = ~itself
    tie = preferences.columns.get("tie")
    if tie is not None and tie.dtype.kind in "biuf":
        decided &= np.isnan(tie) | (tie == 0)
    keys = pairs[:, 0] * preferences.n_items + pairs[:, 1]
    turned = pairs[:, 1] * preferences.n_items + pairs[:, 0]
    if against := int((np.isin(turned, keys[decided]) & decided).sum()):
        detail = "comparisons of which another says the opposite: A beat B, and B beat A"
        yield Finding("contradictions", "note", against, n, detail)
    if repeated := n - len(np.unique(keys)):
        detail = "comparisons that repeat an earlier one: the same winner and the same loser"
        yield Finding("repeated_comparisons", "note", repeated, n, detail)


def _column_findings(preferences: Preferences) -> Iterator[Finding]:
    for name, values in sorted(preferences.columns.items()):
        kind = values.dtype.kind
        if missing := int(np.isnan(values).sum() if kind == "f" else (values == "").sum() if kind == "U" else 0):
            detail = f"comparisons without a value in the column {name!r}; objectives that ask for it refuse them"
            yield Finding("missing_values", "warning", missing, len(values), detail)


def _item_findings(preferences: Preferences) -> Iterator[Finding]:
    bad = sum(int((~np.isfinite(block).all(axis=1)).sum()) for _, block in blocks(preferences.items))
    if bad:
        yield Finding(
            "non_finite_items", "error", bad, preferences.n_items, "items with nan or infinity; fits refuse them"
        )
    if unused := preferences.n_items - len(np.unique(preferences.comparisons)):
        yield Finding("unused_items", "note", unused, preferences.n_items, "items that no comparison is about")


def _shared(train: ResponseBank | Preferences, test: ResponseBank | Preferences) -> Iterator[Finding]:
    ids = np.unique(_ids(test))
    if shared := len(np.intersect1d(ids.astype(str), np.unique(_ids(train)).astype(str))):
        detail = "test prompts whose id is a training prompt's; if ids were only positions, give each side its own"
        yield Finding("shared_prompts", "error", shared, len(ids), detail)
    known, hashes = _hashes(train.items), _hashes(test.items)
    if found := int(np.isin(hashes, known).sum()):
        detail = "test items whose embedding is that of a training item, to the bit"
        yield Finding("shared_items", "error", found, len(hashes), detail)


def _near_duplicates(
    train: ResponseBank | Preferences, test: ResponseBank | Preferences, similarity: float, max_pairs: int
) -> Iterator[Finding]:
    means, others = _prompt_means(train), _prompt_means(test)
    if len(means) * len(others) > max_pairs:
        detail = f"{len(means)} training and {len(others)} test prompts make more than max_pairs = {max_pairs} pairs"
        yield Finding("near_duplicates_not_searched", "note", len(others), len(others), detail)
        return
    centre = means.mean(axis=0)
    means, others = _directions(means - centre), _directions(others - centre)
    near = np.zeros(len(others), dtype=bool)
    for start in range(0, len(others), _BLOCK):
        rows = others[start : start + _BLOCK]
        for begin in range(0, len(means), _BLOCK):
            near[start : start + _BLOCK] |= (rows @ means[begin : begin + _BLOCK].T > similarity).any(axis=1)
    if near.any():
        detail = f"test prompts whose mean embedding is a training prompt's (cosine above {similarity:g}, centred)"
        yield Finding("near_duplicate_prompts", "warning", int(near.sum()), len(others), detail)


def _ids(data: ResponseBank | Preferences) -> npt.NDArray[Any]:
    return data.prompt_ids if isinstance(data, ResponseBank) else data.groups


def _hashes(items: FloatArray) -> Hashes:
    return np.concatenate([row_hashes(block) for _, block in blocks(items)])


def _prompt_means(data: ResponseBank | Preferences) -> Float64Array:
    """Return the mean embedding of each prompt, (n_prompts, dim); rows with nan or infinity are left out."""
    groups: IntArray = data.groups if isinstance(data, ResponseBank) else number_ids(data.groups)
    total, counts = np.zeros((int(groups.max()) + 1, data.dim)), np.zeros(int(groups.max()) + 1)
    for part, block in blocks(data.items):
        finite = np.isfinite(block).all(axis=1)
        if finite.any():
            prompts, place, n = np.unique(groups[part][finite], return_inverse=True, return_counts=True)
            member = csr_array((np.ones(len(place)), (place, np.arange(len(place)))))
            total[prompts] += member @ block[finite].astype(np.float64)
            counts[prompts] += n
    return total / np.maximum(counts, 1)[:, None]


def _directions(rows: Float64Array) -> Float64Array:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
