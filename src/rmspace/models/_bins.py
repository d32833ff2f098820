"""LightGBM's binned features of some rows: made in little memory, and once for many fits."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import lightgbm
import numpy as np

from rmspace._mapped import blocks
from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace._validation import check_finite
from rmspace.models._sharing import shared

_COLUMNS = 256  # binned together: enough to keep LightGBM busy, little enough for the doubles that it makes of them
_SAMPLED = 200_000  # rows up to which LightGBM bins by all of them, by default
_NOT_OF_BINS = (
    *("learning_rate", "num_leaves", "num_iterations", "num_threads", "verbosity"),
    *("use_quantized_grad", "num_grad_quant_bins", "quant_train_renew_leaf"),
)
_BY_COLUMN = ("max_bin_by_feature", "forcedbins_filename")


def aliases(*names: str) -> set[str]:
    """Return every spelling of some of LightGBM's parameters."""
    return set(lightgbm.basic._ConfigAliases.get(*names))


def binned_rows(
    kind: str,
    items: FloatArray,
    ids: IntArray,
    settings: Mapping[str, Any],
    labels: Float64Array,
    weights: Float64Array,
) -> lightgbm.Dataset:
    """Return the binned features of rows `ids` of `items`, in that order, with labels and weights.

    The bins are those that LightGBM gives to the rows at once. Inside `share_items`, rows and settings that were
    binned before are not binned again.
    """
    relevant = {name: value for name, value in settings.items() if name not in aliases(*_NOT_OF_BINS)}
    if len(ids) <= _SAMPLED and not aliases("bin_construct_sample_cnt") & set(settings):
        relevant = {name: value for name, value in relevant.items() if name not in aliases("seed")}
    options = repr(sorted(relevant.items()))
    data, _ = shared(kind, options, items, ids, lambda ids: _bin(items, ids, settings))
    data.set_label(labels)
    data.set_field("weight", weights)  # set_weight keeps the old ones where all the new ones are 1
    return data


def _bin(items: FloatArray, ids: IntArray, settings: Mapping[str, Any]) -> lightgbm.Dataset:
    """Bin a block of columns at a time, since LightGBM makes doubles of all that it is given at once."""
    unique, places = np.unique(ids, return_inverse=True)
    rows = np.empty((len(unique), items.shape[1]), items.dtype)
    for part, block in blocks(items, unique):
        rows[part] = block
    dim = items.shape[1]
    width = dim if aliases(*_BY_COLUMN) & set(settings) else _COLUMNS

    def binned(start: int) -> lightgbm.Dataset:
        columns = rows[:, start : start + width].astype(np.float32)
        check_finite("items", columns, unique)
        names = [f"Column_{k}" for k in range(start, start + columns.shape[1])]
        return lightgbm.Dataset(columns[places], params=dict(settings), feature_name=names).construct()

    whole = binned(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of raw data that is gone, which nobody asks for
        for start in range(width, dim, width):
            whole.add_features_from(binned(start))
    return whole
