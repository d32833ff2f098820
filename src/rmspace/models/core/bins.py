"""LightGBM's binned features of some rows, made in little memory, and once for many fits."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import lightgbm
import numpy as np

from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.data.arrays import to_float32
from rmspace.data.mapped import blocks
from rmspace.models.core.reuse import reused

# Columns binned at once: enough to keep LightGBM busy, few enough that its float64 copy of them stays small.
_COLUMNS = 256
_SAMPLED = 200_000  # up to so many rows, LightGBM's default looks at all of them to choose the bins
_NOT_OF_BINS = (
    *("learning_rate", "num_leaves", "num_iterations", "num_threads", "verbosity"),
    *("use_quantized_grad", "num_grad_quant_bins", "quant_train_renew_leaf"),
)
# With these parameters, the bins of a column do not depend on the other columns. With any other parameter they may, so
# all columns are then binned at once.
_BY_COLUMNS = (
    *_NOT_OF_BINS,
    *("seed", "deterministic", "force_col_wise", "min_data_in_leaf", "max_bin", "min_data_in_bin"),
    *("bin_construct_sample_cnt", "data_random_seed", "feature_pre_filter", "use_missing", "zero_as_missing"),
    *("lambda_l1", "lambda_l2", "min_gain_to_split", "min_sum_hessian_in_leaf", "max_depth", "feature_fraction"),
    *("bagging_fraction", "bagging_freq", "bagging_seed", "feature_fraction_seed", "path_smooth", "max_delta_step"),
)


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

    The bins are those that LightGBM makes of all columns at once. Inside `reuse_items`, the same rows with the same
    settings are binned only once.
    """
    relevant = {name: value for name, value in settings.items() if name not in aliases(*_NOT_OF_BINS)}
    if len(ids) <= _SAMPLED and not aliases("bin_construct_sample_cnt") & set(settings):
        relevant = {name: value for name, value in relevant.items() if name not in aliases("seed")}
    if aliases("forcedbins_filename") & set(settings):  # a file, which may change
        data = _bin(items, ids, settings)
    else:
        options = repr(sorted((name, np.asarray(value).tolist()) for name, value in relevant.items()))
        data, _ = reused(kind, options, items, ids, lambda ids: _bin(items, ids, settings))
    data.set_label(labels)
    data.set_field("weight", weights)  # set_weight would keep the old weights when all new ones are 1
    return data


def _bin(items: FloatArray, ids: IntArray, settings: Mapping[str, Any]) -> lightgbm.Dataset:
    """Bin some columns at a time, since LightGBM copies all that it is given at once to float64."""
    unique, places = np.unique(ids, return_inverse=True)
    rows = np.empty((len(unique), items.shape[1]), items.dtype)
    for part, block in blocks(items, unique):
        rows[part] = block
        to_float32("items", block, unique[part])
    dim = items.shape[1]
    width = _COLUMNS if set(settings) <= aliases(*_BY_COLUMNS) else dim

    def binned(start: int) -> lightgbm.Dataset:
        columns = rows[:, start : start + width].astype(np.float32)
        names = [f"Column_{k}" for k in range(start, start + columns.shape[1])]
        return lightgbm.Dataset(columns[places], params=dict(settings), feature_name=names).construct()

    whole = binned(0)
    for start in range(width, dim, width):
        more = binned(start)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that the raw data is gone, which nobody needs
            whole.add_features_from(more)
    return whole
