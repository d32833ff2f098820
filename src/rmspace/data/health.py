"""Checks of the values of a bank, one small check per finding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from rmspace._typing import FloatArray, IntArray
from rmspace.data.equal_rows import SKETCH, Hashes, Sketches, count_distinct, join_near, row_hashes, sketches_of
from rmspace.data.finding import Finding, table_of
from rmspace.data.mapped import blocks
from rmspace.data.recorded_health import recorded_findings

if TYPE_CHECKING:
    from rmspace.data.array_files import SavedFiles
    from rmspace.data.bank import ResponseBank

_CHUNK_NUMBERS = 1 << 22
_STANDS_OUT = 1.4
_FLOAT16_MAX = float(np.finfo(np.float16).max)


def findings(bank: ResponseBank) -> pd.DataFrame:
    """Return one row per finding: columns check, severity (error, warning, note), n_found, n_checked, detail.

    Checks: `non_finite_embeddings`, `constant_rows`, `duplicated_rows`, `reply_not_embedded`, `constant_dimensions`,
    `float16_overflow`, `layout_looks_swapped`, `repeated_prompt_ids`, `empty_responses` (by the feature "length"),
    `infinite_rewards`, `unrated_responses`, `unrated_prompts`, `few_distinct_rewards`, `tied_rewards`,
    `sorted_by_reward`. Of what the metadata records: `left_out_prompts`, `unfinished_responses`, `different_limits`,
    `texts_cut_differently`. The embeddings are read once, in blocks.

    Whether a row is the embedding of its text is not seen here: see `rmspace.text.check_embeddings`.

    >>> from rmspace import ResponseBank
    >>> embeddings = np.random.default_rng(0).normal(size=(4, 3, 8)).astype(np.float32)
    >>> embeddings[1, 2] = np.nan
    >>> findings(ResponseBank(embeddings))[["check", "severity", "n_found", "n_checked"]].to_string(index=False)
    '                check severity  n_found  n_checked\\nnon_finite_embeddings    error        1         12'
    """
    found = [*_embedding_findings(bank), *_id_findings(bank), *_length_findings(bank)]
    if bank.has_rewards:
        found += _reward_findings(np.asarray(bank.rewards, dtype=np.float64), bank.counts)
    return table_of([*found, *recorded_findings(bank.metadata)])


def file_findings(files: SavedFiles | None) -> Finding | None:
    """Return a finding `damaged_files` where files are not what was written; their values then mean nothing."""
    if files is None or not (damaged := files.damaged()):
        return None
    detail = f"{', '.join(damaged)}: not what was written, so no other check was made; copy the folder again"
    return Finding("damaged_files", "error", len(damaged), len(files.hashes), detail)


def looks_swapped(embeddings: FloatArray) -> bool | None:
    """Say whether axis 1 looks like the prompts; None where neither axis stands out.

    Responses to one prompt share what the prompt says, so embeddings vary less inside a prompt than across prompts.
    With axes 0 and 1 swapped it is the other way round. One variance must be 1.4 times the other, which only a bank of
    very few items or dimensions reaches by chance.

    >>> prompts = np.random.default_rng(0).normal(size=(20, 1, 8))
    >>> bank = prompts + 0.5 * np.random.default_rng(1).normal(size=(20, 6, 8))
    >>> looks_swapped(bank), looks_swapped(bank.swapaxes(0, 1)), looks_swapped(bank - prompts)
    (False, True, None)
    """
    rows = [np.unique(np.linspace(0, size - 1, 64).astype(int)) for size in embeddings.shape[:2]]
    if min(map(len, rows)) < 3:
        return None
    sample = np.concatenate([block[:, rows[1]].astype(np.float64) for _, block in blocks(embeddings, rows[0])])
    sample = np.nan_to_num(sample, nan=0.0, posinf=0.0, neginf=0.0)
    inside_first = sample.var(axis=1, ddof=1).mean()
    inside_second = sample.var(axis=0, ddof=1).mean()
    if inside_first > _STANDS_OUT * inside_second:
        return True
    return False if inside_second > _STANDS_OUT * inside_first else None


class _Scan(NamedTuple):
    """What one pass over the embeddings finds."""

    non_finite: int
    constant: int
    n_flat: int
    largest: float
    hashes: Hashes
    sketches: Sketches


def _embedding_findings(bank: ResponseBank) -> Iterator[Finding]:
    n, seen = bank.n_items, _scan(bank)
    if seen.non_finite:
        detail = "items with nan or infinity; fits refuse them"
        yield Finding("non_finite_embeddings", "error", seen.non_finite, n, detail)
    if seen.constant:
        detail = "items whose numbers are all equal, such as rows that were never written"
        yield Finding("constant_rows", "warning", seen.constant, n, detail)
    prompts = np.repeat(np.arange(bank.n_prompts), bank.counts)
    hashes = join_near(seen.hashes, seen.sketches, prompts, bank.dtype)
    yield from _duplicates(hashes, bank.groups)
    yield from _equal_responses(hashes, prompts, bank)
    if seen.n_flat:
        yield Finding("constant_dimensions", "note", seen.n_flat, bank.dim, "dimensions with one value everywhere")
    if seen.largest > _FLOAT16_MAX:
        detail = f"the largest number is {seen.largest:g}, float16 ends at {_FLOAT16_MAX:g}: keep float32 or scale"
        yield Finding("float16_overflow", "warning", 1, 1, detail)
    if bank.is_rectangular and looks_swapped(bank.embeddings):
        detail = "embeddings vary more inside a prompt than across: is axis 0 the responses?"
        yield Finding("layout_looks_swapped", "warning", 1, 1, detail)


def _scan(bank: ResponseBank) -> _Scan:
    n = bank.n_items
    non_finite = constant = 0
    largest = 0.0
    hashes, sketches = np.empty(n, np.uint64), np.empty((n, SKETCH), np.float32)
    low, high = np.full(bank.dim, np.inf), np.full(bank.dim, -np.inf)
    for part, block in bank.item_blocks(max(1, _CHUNK_NUMBERS // bank.dim)):
        hashes[part], sketches[part] = row_hashes(block), sketches_of(block)
        finite = np.isfinite(block).all(axis=1)
        non_finite += int((~finite).sum())
        rows = block[finite]
        if len(rows):
            constant += int((rows.min(axis=1) == rows.max(axis=1)).sum())
            low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
            largest = max(largest, float(np.abs(rows).max()))
    return _Scan(non_finite, constant, int((low == high).sum()), largest, hashes, sketches)


def _duplicates(hashes: Hashes, groups: IntArray) -> Iterator[Finding]:
    ordered = np.sort(hashes)
    again = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(again):
        rows = np.flatnonzero(np.isin(hashes, again))
        inside = len(rows) - len(np.unique(np.stack([hashes[rows], groups[rows].astype(np.uint64)]), axis=1).T)
        detail = f"items that repeat an earlier item's embedding, {inside} of them inside one prompt"
        yield Finding("duplicated_rows", "warning", len(again), hashes.size, detail)


def _equal_responses(hashes: Hashes, prompts: IntArray, bank: ResponseBank) -> Iterator[Finding]:
    """Find prompts with one embedding, or few of them, for all rated responses, and with more rewards than embeddings.

    Few is a quarter, because short answers are often the same text.
    """
    if not bank.has_rewards:
        return
    rewards = np.asarray(bank.item_rewards, dtype=np.float64)
    rated = ~np.isnan(rewards)
    embeddings = count_distinct(hashes[rated], prompts[rated], bank.n_prompts)
    values = count_distinct(rewards[rated], prompts[rated], bank.n_prompts)
    few = embeddings <= np.maximum(1, np.bincount(prompts[rated], minlength=bank.n_prompts) / 4)
    if blind := int((few & (values > embeddings)).sum()):
        detail = (
            "prompts whose responses share one embedding, or very few, but not the rewards: was the reply cut off "
            "before it was embedded?"
        )
        yield Finding("reply_not_embedded", "warning", blind, bank.n_prompts, detail)


def _length_findings(bank: ResponseBank) -> Iterator[Finding]:
    if "length" in bank.features and (empty := int((bank.features["length"] == 0).sum())):
        yield Finding("empty_responses", "note", empty, bank.n_items, "responses of length 0")


def _id_findings(bank: ResponseBank) -> Iterator[Finding]:
    if repeated := bank.n_prompts - len(np.unique(bank.prompt_ids)):
        detail = "rows with the prompt id of an earlier row; splits and intervals take them for one prompt"
        yield Finding("repeated_prompt_ids", "note", repeated, bank.n_prompts, detail)


def _reward_findings(rewards: FloatArray, counts: IntArray) -> Iterator[Finding]:
    n_items = int(counts.sum())
    if infinite := int(np.isinf(rewards).sum()):
        yield Finding("infinite_rewards", "error", infinite, n_items, "annotation and metrics refuse them")
        return
    rated = (~np.isnan(rewards)).sum(axis=1)
    if unrated := n_items - int(rated.sum()):
        detail = "responses without a reward; pairs, annotation and metrics leave them out"
        yield Finding("unrated_responses", "note", unrated, n_items, detail)
        rewards = np.take_along_axis(rewards, np.argsort(np.isnan(rewards), axis=1, kind="stable"), axis=1)
    if empty := int((rated == 0).sum()):
        detail = "prompts without any reward; pairs, annotation and metrics leave them out"
        yield Finding("unrated_prompts", "warning", empty, len(rated), detail)
    yield from _reward_ranks(rewards[rated > 1], rated[rated > 1], len(rated))


def _reward_ranks(rewards: FloatArray, rated: IntArray, n_prompts: int) -> Iterator[Finding]:
    """Check prompts with two or more rated responses; in each row the rated responses come first."""
    if len(rewards) == 0:
        return
    ordered = np.sort(rewards, axis=1)  # NaN is last
    distinct: IntArray = 1 + (np.diff(ordered, axis=1) > 0).sum(axis=1)
    if few := int((distinct < np.maximum(2, rated / 2)).sum()):
        detail = f"prompts with less than half as many distinct rewards as responses (fewest: {distinct.min()})"
        yield Finding("few_distinct_rewards", "warning", few, n_prompts, detail)
    if tied := _tied_pairs(ordered):
        possible = int((rated * (rated - 1) // 2).sum())
        yield Finding("tied_rewards", "note", tied, possible, "same-prompt pairs with equal rewards")
    steps = np.diff(rewards, axis=1)
    up, down = (steps >= 0) | np.isnan(steps), (steps <= 0) | np.isnan(steps)
    monotone = (up.all(axis=1) | down.all(axis=1)) & (distinct > 1)
    monotone = monotone[rated >= 4]
    if len(monotone) and monotone.mean() > 0.5:
        detail = "prompts whose responses stand in the order of their rewards: position tells the answer"
        yield Finding("sorted_by_reward", "warning", int(monotone.sum()), len(monotone), detail)


def _tied_pairs(ordered: FloatArray) -> int:
    """Count equal pairs in each sorted row: a run of k equal numbers has k (k - 1) / 2."""
    new_run = np.ones(ordered.shape, dtype=bool)
    new_run[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    runs = np.diff(np.append(np.flatnonzero(new_run.ravel()), ordered.size))
    return int((runs * (runs - 1) // 2).sum())
