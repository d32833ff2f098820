"""Confidence intervals for means over prompts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import bootstrap, permutation_test

from rmspace._checks import check_int, check_number, describe
from rmspace._typing import Float64Array

_BATCH_NUMBERS = 1 << 23
_ROUNDING = 1e-12  # values that differ by less than rounding are one value, whose interval is a point


def bootstrap_interval(
    values: npt.ArrayLike, *, confidence: float = 0.95, n_resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean of one value a prompt, with a bootstrap interval over prompts (bias-corrected and accelerated).

    Prompts are resampled, not items: the responses of a prompt are not independent. The interval covers the draw of
    test prompts only; the draw of training data is covered by runs with several seeds. Prompts with `nan` are left out.

    Args:
        values: (n_prompts,).
        confidence: in (0, 1).
        n_resamples: bootstrap samples.
        seed: of the resampling.

    Returns:
        (mean, low, high); low and high are `nan` with fewer than two defined values, all three with none.

    Raises:
        ValueError: values that are infinite or not (n_prompts,).

    Source: B. Efron, "Better bootstrap confidence intervals", JASA 82 (1987), by `scipy.stats.bootstrap`.

    >>> mean, low, high = bootstrap_interval(np.arange(100.0))
    >>> mean, 43 < low < 45, 54 < high < 56
    (49.5, True, True)
    """
    defined = _defined(values)
    if not 0 < check_number("confidence", confidence) < 1:
        raise ValueError(f"confidence must be in (0, 1); got {confidence}")
    if len(defined) == 0:
        return (np.nan, np.nan, np.nan)
    mean = float(defined.mean())
    if len(defined) == 1:
        return mean, np.nan, np.nan
    if np.ptp(defined) <= _ROUNDING * np.abs(defined).max():
        return mean, mean, mean
    result = bootstrap(
        (defined,),
        np.mean,
        n_resamples=check_int("n_resamples", n_resamples, low=100),
        batch=max(1, _BATCH_NUMBERS // len(defined)),
        confidence_level=confidence,
        method="BCa",
        rng=np.random.default_rng(seed),
    )
    return mean, float(result.confidence_interval.low), float(result.confidence_interval.high)


def sign_flip_test(differences: npt.ArrayLike, *, n_resamples: int = 4999, seed: int = 0) -> float:
    """Two-sided p-value of paired differences having mean zero, by flipping their signs at random.

    Args:
        differences: one a prompt (n_prompts,); prompts with `nan` are left out.
        n_resamples: sign patterns; all of them where there are fewer.
        seed: of the signs.

    Raises:
        ValueError: values that are infinite or not (n_prompts,).

    Source: R. A. Fisher, The Design of Experiments (1935), by `scipy.stats.permutation_test`.

    >>> sign_flip_test(np.ones(10))  # 2 of the 1,024 patterns are as far from zero
    0.001953125
    """
    defined = _defined(differences)
    if len(defined) < 2 or not defined.any():  # one difference is as far from zero with either sign
        return 1.0
    result = permutation_test(
        (defined,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=check_int("n_resamples", n_resamples, low=100),
        batch=max(1, _BATCH_NUMBERS // len(defined)),
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def _defined(values: npt.ArrayLike) -> Float64Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"an interval needs one value a prompt, (n_prompts,); got {describe(array)}")
    if np.isinf(array).any():
        raise ValueError("an interval needs finite values; some are infinite")
    return array[~np.isnan(array)]
