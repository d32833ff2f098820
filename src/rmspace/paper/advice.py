"""Advice on annotation: estimate the noise of an annotator, and say which pairs of a bank it would label better."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from scipy.optimize import brentq
from scipy.special import expit, log_expit

from rmspace._checks import check_int, check_number
from rmspace._typing import Float64Array, IntArray
from rmspace.annotation import check_unit, scaled_gaps, unit_of, untied
from rmspace.data.arrays import check_gold
from rmspace.data.bank import ResponseBank, check_bank
from rmspace.paper.theory import annotation_quality

_OPPONENTS = 32  # items of other prompts that each item is compared with, for the quality across prompts


class Estimate(NamedTuple):
    """A number with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class AnnotationPlan:
    """The result of `annotation_plan`; printing it gives the advice.

    Attributes:
        spreads: standard deviations of the reward between and within prompts: value, low, high.
        designs: for same- and cross-prompt pairs: distinct_pairs, tie_rate, quality with low and high, gaussian_quality
            (of Gaussian rewards with these spreads), right_labels (expected number of right labels in the budget).
        difference: quality of cross- minus same-prompt pairs.
        advice: the design with the better labels, and the limits of this advice.
    """

    spreads: pd.DataFrame
    designs: pd.DataFrame
    difference: Estimate
    advice: str

    def __str__(self) -> str:
        tables = (table.round(4).to_string() for table in (self.spreads, self.designs))
        return "\n\n".join([*tables, self.advice])


def estimate_beta(
    comparisons: IntArray,
    rewards: npt.ArrayLike,
    *,
    scale: float | Literal["std"] = 1.0,
    confidence: float = 0.95,
) -> Estimate:
    """Estimate beta of the logistic annotator who made comparisons of gold-scored items, by maximum likelihood.

        beta maximises sum_k log sigma(beta gap_k),  gap_k = (r_winner - r_loser) / scale, over beta >= 0

    The interval has every beta whose log-likelihood is at most half the chi-squared quantile below the maximum. Labels
    are assumed to be independent given the gaps; a pair that was judged several times is several rows. Ties say nothing
    about beta and are left out.

    Args:
        comparisons: int64 (n_comparisons, 2), the winner in column 0.
        rewards: gold rewards (n_prompts, n_responses), or flat (n_items,).
        scale: the unit of beta, as in `annotate`.
        confidence: level of the interval, in (0, 1).

    Returns:
        (value, low, high), in units of 1 / (reward / scale).

    Raises:
        ValueError: only ties; labels that all agree with the rewards, for which no beta is the most likely, or labels
            of which none agrees.

    >>> from rmspace import annotate, logistic
    >>> from functools import partial
    >>> rng = np.random.default_rng(0)
    >>> rewards, pairs = rng.normal(size=(5000, 2)), np.arange(10_000).reshape(5000, 2)
    >>> comparisons = annotate(pairs, rewards, partial(logistic, beta=2.0), rng=rng)
    >>> value, low, high = estimate_beta(comparisons, rewards)
    >>> low < 2.0 < high, high - low < 0.3
    (True, True)
    """
    allowed = stats.chi2.ppf(_level(confidence), 1) / 2
    gaps = untied(scaled_gaps(comparisons, rewards, scale))
    check_unit(gaps)
    unit = float(np.abs(gaps).max())
    gaps = gaps / unit
    right = int((gaps > 0).sum())
    if right in (0, len(gaps)):
        raise ValueError(
            f"beta needs labels of both kinds: some must agree with the rewards, and some must not; {right} agree of "
            f"{len(gaps)} comparisons without ties; give more comparisons with smaller gaps"
        )

    def slope(beta: float) -> float:
        return float(gaps @ expit(-beta * gaps))

    best = 0.0 if slope(0.0) <= 0 else _root(slope, 0.0)
    level = float(log_expit(best * gaps).sum()) - allowed

    def above(beta: float) -> float:
        return float(log_expit(beta * gaps).sum()) - level

    low = 0.0 if above(0.0) >= 0 else float(brentq(above, 0.0, best))
    return Estimate(best / unit, low / unit, _root(above, best) / unit)


def annotation_plan(
    bank: ResponseBank,
    *,
    beta: float,
    budget: int,
    scale: float | Literal["std"] = 1.0,
    confidence: float = 0.95,
    seed: int = 0,
) -> AnnotationPlan:
    """Say which pairs of a bank a logistic annotator would label better: same-prompt or cross-prompt pairs.

        reward = mean + between_std a_prompt + within_std b_response;   within^2 = mean over prompts of s_p^2,
        between^2 = var(prompt means) - within^2 / n_responses,   quality = E[sigma(beta |gap| / scale)]

    The spreads are the random-effects (analysis of variance) estimates, with jackknife intervals over prompts; these
    need no normal distribution. The quality within prompts is exact for this bank, over all pairs. For the quality
    across prompts, each item is compared with 32 random items of other prompts. The intervals of both qualities and of
    their difference are over prompts; with fewer than about eight prompts they are too short. A tie is left out in
    `error_rate`, but counts as half a right label here.

    Args:
        bank: with gold rewards; at least three prompts and two responses.
        beta: of the annotator, at least 0.
        budget: number of comparisons.
        scale: the unit of beta, as in `annotate`.
        confidence: level of the intervals, in (0, 1).
        seed: of the random items of other prompts.

    Raises:
        ValueError: fewer than three prompts, one response, rewards that are missing, not finite or all equal; a
            negative beta, a budget under 1.

    Source: the random-effects model is that of R. A. Fisher's analysis of variance; quality as in arXiv 2411.04991.

    >>> from rmspace import make_synthetic_banks
    >>> train, _ = make_synthetic_banks(500, between_std=2.0, within_std=1.0, noise_std=0.0, seed=0)
    >>> plan = annotation_plan(train, beta=1.0, budget=1000)
    >>> plan.difference.low > 0, plan.advice[:40]
    (True, 'Cross-prompt pairs have the better label')
    """
    check_bank("bank", bank)
    beta = check_number("beta", beta, low=0.0, finite=False)
    budget, level = check_int("budget", budget, low=1), _level(confidence)
    gold = _complete(bank)
    n_prompts, n_responses = gold.shape
    if n_prompts < 3 or n_responses < 2:
        raise ValueError(
            f"a plan needs three prompts and two responses, to separate the spread within prompts from the spread "
            f"between them; got {n_prompts} and {n_responses}"
        )
    if (gold == gold.flat[0]).all():
        raise ValueError("a plan needs rewards that differ; all are equal, so no label can be right or wrong")
    unit = unit_of(gold, scale)
    between, within = _spreads(gold, level)
    one = _quality_within(gold / unit, beta)
    two = _quality_across(gold / unit, beta, np.random.default_rng(check_int("seed", seed, low=0)))
    difference = _mean_interval(two.mean() - one.mean() + 2 * (two - two.mean()) - (one - one.mean()), level)
    tied_within, tied_across = _tie_rates(gold)
    pairs_within = n_prompts * math.comb(n_responses, 2)
    rows = {
        "same": (pairs_within, tied_within, _mean_interval(one, level), within.value),
        "cross": (
            math.comb(n_prompts * n_responses, 2) - pairs_within,
            tied_across,
            _mean_interval(two.mean() + 2 * (two - two.mean()), level),
            math.hypot(within.value, between.value),
        ),
    }
    designs = pd.DataFrame(
        {
            name: {
                "distinct_pairs": pairs,
                "tie_rate": ties,
                "quality": quality.value,
                "low": quality.low,
                "high": quality.high,
                "gaussian_quality": 0.5 if std == 0 else float(annotation_quality(beta, reward_std=std / unit)),
                "right_labels": quality.value * budget,
            }
            for name, (pairs, ties, quality, std) in rows.items()
        }
    ).T
    spreads = pd.DataFrame([between, within], index=["between", "within"], columns=list(Estimate._fields))
    return AnnotationPlan(spreads, designs, difference, _advice(difference, designs, budget, confidence))


def _complete(bank: ResponseBank) -> Float64Array:
    """Return the gold rewards (n_prompts, n_responses) of a bank in which every response has one."""
    if not bank.is_rectangular:
        raise ValueError(
            f"a plan needs the same number of responses for every prompt; this bank has {bank.counts.min()} to "
            f"{bank.counts.max()}; choose as many of each prompt"
        )
    gold = check_gold(bank.rewards, complete=False)
    if (missing := np.isnan(gold)).any():
        rated = int((~missing.any(axis=1)).sum())
        raise ValueError(
            f"a plan needs the gold reward of every response; {int(missing.sum())} of {gold.size} are missing (NaN), "
            f"and {rated} of {len(gold)} prompts have all; plan for these: bank[~np.isnan(bank.rewards).any(axis=1)]"
        )
    return gold


def _advice(difference: Estimate, designs: pd.DataFrame, budget: int, confidence: float) -> str:
    low, high = difference.low, difference.high
    words = f"by {difference.value:+.4f} in expected quality ({low:+.4f} to {high:+.4f} at {confidence:g})"
    if low > 0:
        found = f"Cross-prompt pairs have the better labels here, {words}."
    elif high < 0:
        found = f"Same-prompt pairs have the better labels here: cross-prompt pairs differ {words}."
    else:
        found = f"Neither design has clearly better labels here: cross-prompt pairs differ {words}."
    if budget > (distinct := int(designs.distinct_pairs["same"])):
        found += f" Only {distinct} distinct same-prompt pairs exist, fewer than the budget of {budget}."
    return (
        f"{found} Better labels are not yet a better reward model: a label across prompts can be easy because one "
        "prompt has higher rewards for every response, and Best-of-N never asks for that. Train on both to know."
    )


def _spreads(gold: Float64Array, level: float) -> tuple[Estimate, Estimate]:
    """Return the standard deviations between and within prompts."""
    n_prompts, n_responses = gold.shape
    means, variances = gold.mean(axis=1), gold.var(axis=1, ddof=1)
    means = means - means.mean()
    # Each sum over all prompts, then the sums without each prompt.
    n = np.append(n_prompts, np.full(n_prompts, n_prompts - 1))
    total, squares, inside = (np.append(x.sum(), x.sum() - x) for x in (means, means**2, variances))
    within = inside / n
    of_means = (squares - total**2 / n) / (n - 1)
    return _between(of_means, within / n_responses, level), _root_of_variance(within, level)


def _root_of_variance(variances: Float64Array, level: float) -> Estimate:
    """Return the root of the first variance, with its interval from the other variances, each without one prompt.

    The jackknife is on the logarithm where that exists, because estimates of variances are skewed.
    """
    if variances.min() > 0:
        centre, half = _jackknife(np.log(variances), level)
        ends = np.exp([centre, centre - half, centre + half])
    else:
        centre, half = _jackknife(variances, level)
        ends = np.array([centre, centre - half, centre + half])
    return Estimate(*np.sqrt(np.maximum(ends, 0.0)).tolist())


def _between(of_means: Float64Array, by_chance: Float64Array, level: float) -> Estimate:
    """Return the spread between prompts: the root of the variance of their means, less the part due to responses.

    The jackknife is on the logarithm of the ratio of these two variances, which exists even if there is no spread.
    """
    if by_chance.min() == 0 or of_means.min() == 0:
        return _root_of_variance(of_means - by_chance, level)
    centre, half = _jackknife(np.log(of_means / by_chance), level)
    ratios = np.exp([centre, centre - half, centre + half])
    return Estimate(*np.sqrt(np.maximum(ratios - 1, 0.0) * by_chance[0]).tolist())


def _jackknife(values: Float64Array, level: float) -> tuple[float, float]:
    """Return the first value, of all prompts, and half the length of its interval, from the values without a prompt."""
    without = values[1:]
    t = float(stats.t.ppf((1 + level) / 2, len(without) - 1))
    return float(values[0]), t * _jackknife_error(without)


def _jackknife_error(parts: Float64Array) -> float:
    return float(np.sqrt((len(parts) - 1) / len(parts) * ((parts - parts.mean()) ** 2).sum()))


def _quality_within(gold: Float64Array, beta: float) -> Float64Array:
    """Return the expected quality over the pairs of responses of each prompt."""
    first, second = np.triu_indices(gold.shape[1], 1)
    total = np.zeros(len(gold))
    for i, j in zip(np.array_split(first, 16), np.array_split(second, 16), strict=True):
        total += _quality(np.abs(gold[:, i] - gold[:, j]), beta).sum(axis=1)
    return total / len(first)


def _quality_across(gold: Float64Array, beta: float, rng: np.random.Generator) -> Float64Array:
    """Return the expected quality of each prompt against random items of other prompts."""
    n_prompts, n_responses = gold.shape
    own = np.arange(n_prompts)[:, None]
    total = np.zeros(n_prompts)
    for _ in range(_OPPONENTS):
        other = (own + rng.integers(1, n_prompts, size=gold.shape)) % n_prompts
        total += _quality(np.abs(gold - gold[other, rng.integers(n_responses, size=gold.shape)]), beta).mean(axis=1)
    return total / _OPPONENTS


def _quality(gap: Float64Array, beta: float) -> Float64Array:
    return np.where(gap > 0, 1.0, 0.5) if np.isinf(beta) else np.asarray(expit(beta * gap))


def _mean_interval(values: Float64Array, level: float) -> Estimate:
    mean = float(values.mean())
    half = float(stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return Estimate(mean, mean - half, mean + half)


def _tie_rates(gold: Float64Array) -> tuple[float, float]:
    """Return the share of ties among all pairs within prompts, and among all pairs across them."""

    def ties(values: Float64Array) -> int:
        counts = np.unique(values, return_counts=True)[1].astype(object)
        return int((counts * (counts - 1) // 2).sum())

    within = sum(ties(row) for row in gold)
    pairs_within = len(gold) * math.comb(gold.shape[1], 2)
    across = ties(gold) - within
    return within / pairs_within, across / (math.comb(gold.size, 2) - pairs_within)


def _level(confidence: float) -> float:
    level = check_number("confidence", confidence, low=0.0, high=1.0)
    if level in (0.0, 1.0):
        raise ValueError(f"confidence must lie between 0 and 1; got {level:g}")
    return level


def _root(falling: Callable[[float], float], low: float) -> float:
    """Return where a function falls through 0 above `low`."""
    high = max(1.0, 2 * low)
    while falling(high) > 0:
        high *= 2
    return float(brentq(falling, low, high, rtol=1e-12))
