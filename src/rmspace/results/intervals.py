"""Confidence intervals for means over prompts, and a test of paired differences."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, stdtrit
from scipy.stats import permutation_test

from rmspace._checks import as_array, as_numbers, check_bool, check_int, check_number, describe
from rmspace._typing import Float64Array, IntArray
from rmspace.data.arrays import balanced

_BATCH_NUMBERS = 1 << 23
_ROUNDING = 1e-12  # values that differ by less than this share of their size differ by rounding only

_SMALLEST = float(np.finfo(np.float64).tiny)


def mean_interval(
    values: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    confidence: float = 0.95,
    binary: bool = True,
) -> tuple[float, float, float]:
    """Mean of some values, with a confidence interval that also holds for skewed, tied and 0/1 values.

    Values that are all 0 or 1 get the exact interval of Clopper and Pearson. Other values get the t-interval, whose end
    on the side of the longer tail is moved outwards by Hall's correction for the skewness g of the n values:

        mean - s max(u, h(u)) ... mean + s max(u, -h(-u)),   u = t(1 - (1 - confidence) / 2, n - 1) / sqrt(n)
        h(u) = 3 / g * (cbrt(1 + g (u - g / 6n)) - 1),       s = standard deviation of the values

    Groups are prompts, and rows of one prompt are not independent. With groups, s and g are those of the groups' sums
    of w (value - mean), and the exact interval takes the number of independent rows that has the same standard error.
    The interval covers the draw of the test prompts only. Runs with several seeds cover the draw of the training data.
    docs/intervals.md shows how often the interval covers the mean.

    Args:
        values: (n_rows,), one per prompt or several; `nan` is left out.
        groups: (n_rows,) the prompt of each row, integers or text; when None, each row is its own prompt. (n_rows, 2)
            where a row belongs to two prompts: rows that share either prompt are then not independent.
        weights: (n_rows,) at least 0; 1 each when None.
        confidence: in (0, 1).
        binary: treat values that are all 0 or 1 as outcomes that can have no other value. Give False for differences:
            these could be -1, even where none of them is.

    Returns:
        (mean, low, high). All three are `nan` where no value is defined. low and high are `nan` where fewer than two
        prompts have a value. Where all prompts have the same mean, other than 0 or 1, the spread is not known: low and
        high are then the mean.

    Raises:
        ValueError: infinite values; values, groups or weights of another shape; negative or infinite weights.

    Source: C. Clopper and E. Pearson, Biometrika 26 (1934); P. Hall, "On the removal of skewness by transformation",
    JRSS B 54 (1992); for 0/1 values in groups, E. Korn and B. Graubard, Survey Methodology 24 (1998); for rows of two
    prompts, P. Aronow et al., "Cluster-robust variance estimation for dyadic data", Political Analysis 23 (2015).

    >>> mean, low, high = mean_interval(np.arange(100.0))
    >>> mean, 43 < low < 45, 54 < high < 56
    (49.5, True, True)
    >>> np.round(mean_interval(np.ones(20)), 3).tolist()
    [1.0, 0.832, 1.0]
    """
    check_bool("binary", binary)
    if not 0 < check_number("confidence", confidence) < 1:
        raise ValueError(f"confidence must be in (0, 1); got {confidence}")
    tail = (1 - confidence) / 2
    array, prompts, weight = _defined(values, groups, weights)
    if len(array) == 0:
        return np.nan, np.nan, np.nan
    mean = float(array.mean() if weights is None else np.average(array, weights=weight))
    if len(np.unique(prompts)) < 2:
        return mean, np.nan, np.nan
    residuals = weight * (array - mean) / weight.sum()
    if binary and np.isin(array, (0.0, 1.0)).all():
        return mean, *_exact_ends(mean, _independent_rows(mean, residuals, prompts, weight, tail), tail)
    sums = _sums(residuals, prompts)
    if len(sums) * np.abs(sums).max() <= _ROUNDING * np.abs(array).max():
        return mean, mean, mean
    return mean, *_skewed_ends(mean, residuals, prompts, weight, tail)


def sign_flip_test(
    differences: npt.ArrayLike, *, groups: npt.ArrayLike | None = None, n_resamples: int = 4999, seed: int = 0
) -> float:
    """Two-sided p-value of the hypothesis that paired differences are symmetric around zero, by random signs.

    Args:
        differences: (n_rows,); `nan` is left out.
        groups: (n_rows,) the prompt of each row; all rows of a prompt get the same sign. When None, each row is its own
            prompt.
        n_resamples: number of random sign patterns; all patterns are used where there are fewer.
        seed: of the signs.

    Raises:
        ValueError: infinite values; differences or groups of another shape.

    Source: R. A. Fisher, The Design of Experiments (1935), by `scipy.stats.permutation_test`.

    >>> sign_flip_test(np.ones(10))  # 2 of the 1,024 patterns are as far from zero
    0.001953125
    """
    array, prompts, _ = _defined(differences, groups, None)
    sums = array if groups is None else _sums(array, prompts)
    if len(sums) < 2 or not sums.any():  # one difference is as far from zero with either sign
        return 1.0
    result = permutation_test(
        (sums,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=check_int("n_resamples", n_resamples, low=100),
        batch=max(1, _BATCH_NUMBERS // len(sums)),
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def _skewed_ends(
    mean: float, residuals: Float64Array, prompts: IntArray, weight: Float64Array, tail: float
) -> tuple[float, float]:
    """Return the ends of the t-interval, each moved to that of Hall's interval where this is farther out."""
    sums, n = _sums(residuals, prompts), _worth(weight, prompts)
    skew = float((sums**3).mean() / (sums**2).mean() ** 1.5)
    t = float(stdtrit(n - 1, 1 - tail) / np.sqrt(n))
    spread = float(np.sqrt(n)) * _standard_error(residuals, prompts)
    return mean - spread * max(t, _hall(t, skew, n)), mean + spread * max(t, -_hall(-t, skew, n))


def _hall(u: float, skew: float, n: float) -> float:
    """Return 3 / skew * (cbrt(1 + v) - 1) with v = skew * (u - skew / 6n), also where the skewness is near 0."""
    shifted = u - skew / (6 * n)
    root = np.cbrt(1 + skew * shifted)
    return float(3 * shifted / (1 + root + root**2))


def _exact_ends(mean: float, n: float, tail: float) -> tuple[float, float]:
    """Return the interval of Clopper and Pearson for n rows, which need not be a whole number."""
    ones = mean * n
    low = 0.0 if mean == 0 else float(betaincinv(ones, n - ones + 1, tail))
    high = 1.0 if mean == 1 else float(betaincinv(ones + 1, n - ones, 1 - tail))
    return low, high


def _independent_rows(
    mean: float, residuals: Float64Array, prompts: IntArray, weight: Float64Array, tail: float
) -> float:
    """Return how many independent 0/1 rows of equal weight would have the same standard error of the mean."""
    n_rows, n_prompts = _kish(weight), _worth(weight, prompts)
    if mean in (0.0, 1.0):  # the spread is not known: all rows of a prompt may be one observation
        return n_prompts
    variance = max(_standard_error(residuals, prompts) ** 2, _SMALLEST)
    rows = min(mean * (1 - mean) / variance + 1, n_rows)
    fewer = stdtrit(rows - 1, tail) / stdtrit(n_prompts - 1, tail)  # the standard error is estimated from few prompts
    return float(rows * min(fewer, 1) ** 2)


def _worth(weight: Float64Array, prompts: IntArray) -> float:
    """Return how many separate prompts of equal weight would give as much information about the spread."""
    return min(_kish(_sums(weight, prompts)), _kish(weight))


def _kish(weight: Float64Array) -> float:
    return float(weight.sum() ** 2 / (weight**2).sum())


def _standard_error(residuals: Float64Array, prompts: IntArray) -> float:
    """Return the standard error of a sum of residuals; residuals that share a prompt are not independent."""
    sums = _sums(residuals, prompts)
    n = min(len(sums), len(residuals))
    variance = float((sums**2).sum())
    if prompts.ndim == 2:  # a row of two prompts is in the sums of both
        couples = np.unique(np.sort(prompts, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
        across = np.where(prompts[:, 0] != prompts[:, 1], residuals, 0.0)
        twice = float((_sums(across, couples) ** 2).sum())
        variance = max(variance - twice, variance / 2)
    return float(np.sqrt(variance * n / (n - 1)))


def _sums(rows: Float64Array, prompts: IntArray) -> Float64Array:
    """Return the sum of each prompt's rows; a row of two prompts is in both sums."""
    size = int(prompts.max()) + 1
    first, second = (prompts, None) if prompts.ndim == 1 else prompts.T
    sums = np.bincount(first, rows, size).astype(np.float64)
    if second is not None:
        sums += np.bincount(second, np.where(first == second, 0.0, rows), size)
    return sums


def _defined(
    values: npt.ArrayLike, groups: npt.ArrayLike | None, weights: npt.ArrayLike | None
) -> tuple[Float64Array, IntArray, Float64Array]:
    """Return the values that are defined and have weight, the numbers of their prompts, and their weights."""
    array = as_numbers("values", values)
    if array.ndim != 1:
        raise ValueError(f"an interval needs one value per row, (n_rows,); got {describe(array)}")
    if np.isinf(array).any():
        raise ValueError("an interval needs finite values; some are infinite")
    weight = np.ones(len(array)) if weights is None else as_numbers("weights", weights)
    if weight.shape != array.shape or not np.isfinite(weight).all() or (weight < 0).any():
        raise ValueError(f"weights must be ({len(array)},), finite and at least 0; got {describe(weight)}")
    weight = balanced(weight)
    group = np.arange(len(array)) if groups is None else as_array("groups", groups, "numbers or text")
    if group.shape not in (array.shape, (len(array), 2)):
        raise ValueError(f"groups must be ({len(array)},) or ({len(array)}, 2); got {describe(group)}")
    used = ~np.isnan(array) & (weight > 0)
    prompts = np.unique(group[used], return_inverse=True)[1].reshape(group[used].shape)
    return array[used], prompts, weight[used]
