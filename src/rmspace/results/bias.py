"""Biases of scores: what they owe to the length of a response, or to another feature, beyond its gold reward."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmspace._checks import as_numbers, check_names
from rmspace._typing import Float64Array, IntArray
from rmspace.data.bank import ResponseBank
from rmspace.metrics.selection import gain, normalized_gain
from rmspace.results.evaluate import named, rated_of
from rmspace.results.intervals import mean_interval
from rmspace.results.schema import BIAS, table_of

_ROUNDING = 1e-12  # values that differ by less than this share of their size differ by rounding only


def bias_table(
    scores: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    rewards: npt.ArrayLike | ResponseBank,
    features: Mapping[str, npt.ArrayLike] | None = None,
    *,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Measure how far scores follow a feature of the responses, such as their length, within prompts.

    - correlation: of score and feature, over the responses of all prompts after each prompt's means are subtracted;
    - partial_correlation: the same, of what is left of both after their regression on the gold reward. It is 0 where a
      longer response gets a higher score only because it is better.
    - feature_of_best: the feature of the response with the highest score minus the mean of its prompt, in standard
      deviations of the feature within prompts;
    - gain_of_2: the normalised gain of Best-of-2 over all pairs of a prompt;
    - matched_gain_of_2: the same over the pairs that are neighbours in the order of the feature (equal values in the
      order of the bank), which differ little in it. For scores that know the feature alone it falls to 0 as prompts
      have more responses.

    The intervals of correlations are by the delta method over prompts.

    Args:
        scores, rewards, confidence: as in `evaluate`. Prompts with fewer than two rated responses are left out.
        features: name -> numbers of the shape of the rewards, or (n_items,) of a bank; those of the bank when None.
            `text_features` makes some.

    Returns:
        Columns model, feature, measure, value, low, high, n_prompts. A value is missing where it is not defined: a
        correlation of something that does not vary within prompts, or is a linear function of the gold reward.

    Raises:
        ValueError: as `evaluate`; no feature; one of another shape, or not finite where a response is rated; no prompt
            with two rated responses.

    >>> rng = np.random.default_rng(0)
    >>> rewards, length = rng.normal(size=(2, 200, 8))
    >>> table = bias_table({"biased": rewards + length, "fair": rewards + rng.normal(size=(200, 8))}, rewards,
    ...                    {"length": length})
    >>> table[table.measure == "partial_correlation"][["model", "value"]].round(1).values.tolist()
    [['biased', 1.0], ['fair', 0.0]]
    """
    rows: list[tuple[object, ...]] = []
    for name, array in named(scores).items():
        score, gold, ids = rated_of(array, rewards)
        used = np.count_nonzero(~np.isnan(gold), axis=1) > 1
        if not used.any():
            raise ValueError("a bias needs a prompt with two rated responses; each prompt has one at most")
        prompts = np.flatnonzero(used) if ids is None else ids[used]
        for feature, values in _features_of(features, rewards):
            parts = [np.where(np.isnan(gold), np.nan, part)[used] for part in (score, gold, values)]
            for measure, per_prompt in _measures(*parts):
                middle, low, high = mean_interval(per_prompt, groups=prompts, confidence=confidence, binary=False)
                if measure.endswith("correlation"):
                    low, high = (float(np.clip(end, -1.0, 1.0)) for end in (low, high))
                n_prompts = len(np.unique(prompts[~np.isnan(per_prompt)]))
                rows.append((name, feature, measure, middle, low, high, n_prompts))
    return table_of(rows, BIAS)


def _features_of(
    features: Mapping[str, npt.ArrayLike] | None, rewards: npt.ArrayLike | ResponseBank
) -> Iterator[tuple[str, Float64Array]]:
    """Yield the features by name, for the prompts with a rated response."""
    if features is None:
        features = rewards.features if isinstance(rewards, ResponseBank) else {}
    check_names("features", features)
    if not features:
        raise ValueError("bias_table needs at least one feature; got none; give features, or a bank that has them")
    for name, values in features.items():
        try:
            yield name, rated_of(as_numbers(f"feature {name!r}", values), rewards)[0]
        except ValueError as error:
            raise ValueError(f"feature {name!r} is checked as scores are: {error}") from error


def _measures(score: Float64Array, gold: Float64Array, feature: Float64Array) -> Iterator[tuple[str, Float64Array]]:
    """Yield each measure with a value per prompt, whose mean over prompts is the measure."""
    s, g, f = (_centred(each) for each in (score, gold, feature))
    yield "correlation", _correlation(s, f)
    yield "partial_correlation", _correlation(_without(s, g), _without(f, g))
    spread = float(np.sqrt(np.nanmean(f**2)))
    yield "feature_of_best", gain(score, f, n=None) / (spread or np.nan)
    yield "gain_of_2", normalized_gain(score, gold, n=2)
    yield "matched_gain_of_2", _matched_gain(score, gold, feature)


def _centred(values: Float64Array) -> Float64Array:
    """Return values minus the mean of their prompt, in units of the largest value; 0 where only rounding is left."""
    scaled = values / (float(np.nanmax(np.abs(values))) or 1.0)
    centred = scaled - np.nanmean(scaled, axis=1, keepdims=True)
    return centred if np.nanmax(np.abs(centred)) > _ROUNDING else centred * 0.0


def _without(values: Float64Array, gold: Float64Array) -> Float64Array:
    """Return what is left of centred values after their regression on the gold rewards; 0 where it is rounding."""
    size = float(np.nansum(gold**2))
    left = values - float(np.nansum(values * gold)) / size * gold if size else values
    return left if np.nansum(left**2) > _ROUNDING**2 * np.nansum(values**2) else left * 0.0


def _correlation(a: Float64Array, b: Float64Array) -> Float64Array:
    """Return a value per prompt whose mean is the correlation r, and whose spread is that of r by the delta method.

    The derivative of r by the weight of one response is a b - r (a^2 + b^2) / 2, with a and b of variance 1. The slopes
    of a regression that was taken out before change it by nothing, to first order.
    """
    if not np.nansum(a**2) or not np.nansum(b**2):
        return np.full(len(a), np.nan)
    a, b = a / np.sqrt(np.nanmean(a**2)), b / np.sqrt(np.nanmean(b**2))
    r = float(np.nanmean(a * b))
    change = np.nansum(a * b - r * (a**2 + b**2) / 2, axis=1) / np.count_nonzero(~np.isnan(a))
    return np.asarray(r + len(a) * change)


def _matched_gain(score: Float64Array, gold: Float64Array, feature: Float64Array) -> Float64Array:
    """Return the share of the possible gain of Best-of-2, over neighbours in the order of the feature."""
    order: IntArray = np.argsort(feature, axis=1, kind="stable")  # nan last
    better, reward = (np.diff(np.take_along_axis(each, order, axis=1), axis=1) for each in (score, gold))
    possible = np.nansum(np.abs(reward), axis=1)
    reached = np.nansum(np.sign(better) * reward, axis=1)
    return np.divide(reached, possible, out=np.full(len(gold), np.nan), where=possible > 0)
