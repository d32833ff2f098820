"""Closed forms behind the findings, each with its convention.

There are two conventions. Independent rewards with standard deviation s have gaps with standard deviation sqrt(2) s.
The density of tau in the paper uses s, the spread of *one reward*. Its error rates (40.4% at beta = 0.5 to 5.5% at
beta = 10) belong to *gaps* of variance 1. Its qualities .6749, .7251, .7781 belong to gaps for which beta^2 times the
variance is 1, 2, 4; by quadrature the last two are .7252 and .7780. The functions take either spread by name:
`reward_std` or `gap_std`.

>>> round(float(annotation_quality(1.0, gap_std=1.0)), 4), round(float(annotation_quality(1.0, reward_std=1.0)), 4)
(0.6749, 0.7252)
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import integrate, stats
from scipy.special import expit, logit, logsumexp

from rmspace._checks import as_numbers, check_int, check_number, describe
from rmspace._typing import Float64Array
from rmspace.data.arrays import check_finite
from rmspace.paper.gap_integrals import GapValue, expected_value

__all__ = [
    "Designs",
    "agreement_bound",
    "annotation_quality",
    "best_of_n_kl",
    "error_rate",
    "gap_designs",
    "quality_density",
    "truncated_kl",
    "win_logit",
    "win_logit_bound",
]


class Designs(NamedTuple):
    """One number for same-prompt pairs, and the same number for cross-prompt pairs."""

    within: float
    cross: float


def annotation_quality(
    beta: npt.ArrayLike, *, reward_std: float | None = None, gap_std: float | None = None
) -> Float64Array:
    """Expected probability that an annotator picks the better of two Gaussian rewards: E[sigma(beta |gap|)].

    The gap is N(0, gap_std^2), and gap_std = sqrt(2) reward_std if the two rewards are independent with the same
    spread. Computed by quadrature; 1/2 at beta = 0, 1 at infinity.

    Args:
        beta: of the logistic annotator, at least 0, any shape.
        reward_std: standard deviation of one reward, above 0, in the unit of beta.
        gap_std: standard deviation of the difference of two rewards; give this or reward_std.

    Raises:
        ValueError: a negative beta; no spread, or both; a spread that is not above 0.

    Source: arXiv 2411.04991, annotation quality.

    >>> annotation_quality([1.0, 2**0.5, 2.0], gap_std=1.0).round(4).tolist()
    [0.6749, 0.7252, 0.778]
    """
    return 1 - error_rate(beta, reward_std=reward_std, gap_std=gap_std)


def error_rate(beta: npt.ArrayLike, *, reward_std: float | None = None, gap_std: float | None = None) -> Float64Array:
    """Expected share of wrong labels of Gaussian rewards: E[sigma(-beta |gap|)] = 1 - annotation_quality.

    Args:
        beta, reward_std, gap_std: as in `annotation_quality`.

    Raises:
        ValueError: as `annotation_quality`.

    >>> (100 * error_rate([0.5, 1, 10], gap_std=1.0)).round(1).tolist()  # as the paper prints them
    [40.4, 32.5, 5.5]
    >>> (100 * error_rate([0.5, 1, 10], reward_std=1.0)).round(1).tolist()
    [36.9, 27.5, 3.9]
    """
    spread = _gap_std(reward_std, gap_std)
    betas = as_numbers("beta", beta)
    rates = [_error(check_number("beta", float(b), low=0.0, finite=False) * spread) for b in betas.ravel()]
    return np.array(rates).reshape(betas.shape)


def quality_density(
    tau: npt.ArrayLike, beta: float, *, reward_std: float | None = None, gap_std: float | None = None
) -> Float64Array:
    """Density of tau = sigma(beta |r1 - r2|) for Gaussian rewards; s is the standard deviation of one reward.

        f(t) = exp(-logit(t)^2 / (4 beta^2 s^2)) / (sqrt(pi) beta s t (1 - t))  on [1/2, 1),  0 elsewhere

    With the spread g of the gap, 4 beta^2 s^2 is 2 beta^2 g^2.

    Args:
        tau: where the density is wanted, any shape.
        beta: finite and above 0; at 0, tau is always 1/2 and has no density.
        reward_std, gap_std: as in `annotation_quality`.

    Raises:
        ValueError: tau that is nan; beta or a spread out of range.

    Source: arXiv 2411.04991.

    >>> quality_density([0.4, 0.5, 0.9], 1.0, reward_std=1.0).round(4).tolist()
    [0.0, 2.2568, 1.875]
    """
    width = check_number("beta", beta, low=0.0) * _gap_std(reward_std, gap_std)
    if width == 0:
        raise ValueError("beta must be above 0; at 0 the quality is always 1/2 and has no density")
    t = as_numbers("tau", tau)
    check_finite("tau", np.atleast_1d(t))
    inside = (t >= 0.5) & (t < 1)
    safe = np.where(inside, t, 0.5)
    with np.errstate(over="ignore"):
        density = np.exp(-0.5 * (logit(safe) / width) ** 2) / (math.sqrt(math.pi / 2) * width * safe * (1 - safe))
    return np.where(inside, density, 0.0)


def agreement_bound(quality: npt.ArrayLike, error: npt.ArrayLike) -> Float64Array:
    """Lower bound of the probability that a model orders a pair correctly, though it disagrees with some noisy labels.

        P(true order) >= (1 - error) quality^2 + error (1 - quality)^2

    This assumes that the model's disagreements do not depend on whether a label is right. The probability is then
    (1 - error) quality + error (1 - quality); the bound equals it only where quality is 1. If all disagreements were
    with right labels, the probability would be quality - error, which can be less than the bound.

    Args:
        quality: xi(gap), the probability that the annotator labels this pair correctly, in [1/2, 1].
        error: share of the labels with which the model disagrees, in [0, 1].

    Raises:
        ValueError: a number out of its range.

    Source: Proposition 9 of arXiv 2411.04991.

    >>> agreement_bound([0.5, 0.9, 1.0], 0.1).round(4).tolist()
    [0.25, 0.73, 0.9]
    """
    xi, eps = as_numbers("quality", quality), as_numbers("error", error)
    if 1 not in (xi.size, eps.size) and xi.shape != eps.shape:
        raise ValueError(f"quality and error must have one shape, or be one number; got {xi.shape} and {eps.shape}")
    for name, values, low in (("quality", xi, 0.5), ("error", eps, 0.0)):
        if not ((values >= low) & (values <= 1)).all():
            raise ValueError(f"{name} must be in [{low:g}, 1]; got {float(values.min()):g} to {float(values.max()):g}")
    return np.asarray((1 - eps) * xi**2 + eps * (1 - xi) ** 2)


def gap_designs(
    locations: npt.ArrayLike,
    scales: npt.ArrayLike,
    *,
    value: GapValue = np.abs,
    family: Any = stats.norm,
) -> Designs:
    """Expected value of |gap| for same-prompt and for cross-prompt pairs, in a location-scale family.

        a reward of prompt x is locations[x] + scales[x] Z,  Z ~ family;   within = mean_x E[value(|r1 - r2|)],
        cross = mean over prompts x != y of E[value(|r_x - r_y|)]

    Without `value` this is the expected gap: cross >= within for Gaussian rewards (Proposition 10). An increasing
    concave value, such as sigma(beta gap), gives the expected annotation quality, and cross >= within for every
    family with a symmetric density of one peak (Theorem 11). The shape of the density is not needed: c - value(|x|),
    even and convex on each side of 0, is positive definite (Polya's criterion), so 2 E[value(|X - Y|)] is at least
    E[value(|X - X'|)] + E[value(|Y - Y'|)] for any two distributions. Concavity is needed. The number of integrals
    grows with the square of the prompts; if locations are Gaussian too, use `annotation_quality` with the gap's spread.

    Args:
        locations, scales: (n_prompts,), at least two; scales above 0.
        value: function of an array of gaps of at least 0, continuous.
        family: continuous distribution of scipy.stats, at location 0 and scale 1.

    Raises:
        ValueError: one prompt, shapes that differ, scales that are not above 0.
        ArithmeticError: an integral that does not converge, such as the mean of a Cauchy gap, which is infinite.

    Source: Proposition 10 and Theorem 11 of arXiv 2411.04991; for any distributions, G. Polya (1949) and the energy
    distance of Szekely and Rizzo, "Energy statistics", J. Statist. Plann. Inference 143 (2013).

    >>> within, cross = gap_designs([0.0, 1.0], [1.0, 1.0])
    >>> round(within, 4), round(cross, 4)  # 2 / sqrt(pi), and the mean of a folded normal
    (1.1284, 1.3993)
    """
    location, scale = as_numbers("locations", locations), as_numbers("scales", scales)
    if location.ndim != 1 or len(location) < 2 or scale.shape != location.shape:
        raise ValueError(
            f"locations and scales must be one number per prompt, at least two; got {describe(location)} and "
            f"{describe(scale)}"
        )
    check_finite("locations", location)
    check_finite("scales", scale)
    if scale.min() <= 0:
        raise ValueError(f"scales must be above 0; got {scale.min():g}")
    kinds = {(0.0, float(s), float(s)) for s in scale}
    expected = {kind: expected_value(*kind, value, family) for kind in kinds}
    within = float(np.mean([expected[0.0, float(s), float(s)] for s in scale]))
    first, second = np.triu_indices(len(location), 1)
    across = [
        expected_value(float(location[i] - location[j]), float(scale[i]), float(scale[j]), value, family)
        for i, j in zip(first, second, strict=True)
    ]
    return Designs(within, float(np.mean(across)))


def win_logit(rewards: npt.ArrayLike, opponents: npt.ArrayLike) -> Float64Array:
    """Log-odds that a response wins against an opponent drawn at random: logit E_j[sigma(r_i - r_j)].

    A classifier of winners and losers converges to this, if labels follow the model of Bradley and Terry.

    Args:
        rewards: r_i, any shape.
        opponents: r_j, (n_opponents,), all equally likely.

    Raises:
        ValueError: no opponents, or numbers that are not finite.

    Source: Proposition 24 of arXiv 2411.04991, whose lower bound is `win_logit_bound`.

    >>> win_logit([0.0, 2.0], [0.0]).tolist()
    [0.0, 2.0]
    """
    own, others = _opponents(rewards, opponents)
    gaps = own[..., None] - others
    won, lost = (logsumexp(-np.logaddexp(0, sign * gaps), axis=-1) for sign in (-1, 1))
    return np.asarray(won - lost)


def win_logit_bound(rewards: npt.ArrayLike, opponents: npt.ArrayLike) -> Float64Array:
    """Lower bound of `win_logit` that orders as the reward does: r_i - log E_j[exp(r_j)].

    Args:
        rewards, opponents: as in `win_logit`.

    Raises:
        ValueError: as `win_logit`.

    Source: Proposition 24 of arXiv 2411.04991, by Jensen's inequality.

    >>> bool((win_logit([0.0, 3.0], [-1.0, 1.0]) >= win_logit_bound([0.0, 3.0], [-1.0, 1.0])).all())
    True
    """
    own, others = _opponents(rewards, opponents)
    return np.asarray(own - logsumexp(others) + math.log(len(others)))


def truncated_kl(p0: npt.ArrayLike, p: npt.ArrayLike, *, bound: float) -> float:
    """Truncated Kullback-Leibler risk: R_B(p0, p) = E[p0^T min(B, log(p0 / p))], the mean over rows.

    Args:
        p0: true probabilities, (n, k) with rows that sum to 1.
        p: estimated probabilities, of the same shape; where one is 0, its term is B.
        bound: B, above 0; infinity gives the plain divergence.

    Returns:
        In nats. It can be below 0 if B is small, because only large terms are cut.

    Raises:
        ValueError: shapes that differ, rows that are not probabilities, a bound that is not above 0.

    Source: arXiv 2411.04991, after J. Schmidt-Hieber and T. Bos.

    >>> round(truncated_kl([[0.5, 0.5]], [[1.0, 0.0]], bound=2.0), 4)  # (log(1/2) + 2) / 2
    0.6534
    """
    limit = check_number("bound", bound, low=0.0, finite=False)
    if limit == 0:
        raise ValueError("bound must be above 0; got 0")
    true, estimate = as_numbers("p0", p0), as_numbers("p", p)
    if true.ndim != 2 or true.size == 0 or true.shape != estimate.shape:
        raise ValueError(f"p0 and p must be (n, k) probabilities; got {describe(true)} and {describe(estimate)}")
    for name, rows in (("p0", true), ("p", estimate)):
        if not ((rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, rtol=0, atol=1e-6)):
            raise ValueError(f"{name} must hold rows of probabilities that sum to 1")
    with np.errstate(divide="ignore"):
        ratio = np.log(np.where(true > 0, true, 1.0)) - np.log(estimate)
    terms = np.where(true > 0, true, 0.0) * np.where(true > 0, np.minimum(limit, ratio), 0.0)
    return float(terms.sum(axis=1).mean())


def best_of_n_kl(n: int) -> float:
    """Kullback-Leibler divergence of Best-of-n from the policy that it samples: log n - (n - 1) / n, in nats.

    Exact if no two draws can have the same score (two draws of one response would); otherwise an upper bound.

    Raises:
        ValueError, TypeError: n that is not an integer of at least 1.

    Source: Stiennon et al. (arXiv 2009.01325); as a bound, Beirami et al. (arXiv 2401.01879).

    >>> best_of_n_kl(1), round(best_of_n_kl(500), 4)
    (0.0, 5.2166)
    """
    size = check_int("n", n, low=1)
    return math.log(size) - (size - 1) / size


def _gap_std(reward_std: float | None, gap_std: float | None) -> float:
    given = {name: v for name, v in (("reward_std", reward_std), ("gap_std", gap_std)) if v is not None}
    if len(given) != 1:
        raise ValueError(f"give one of reward_std and gap_std = sqrt(2) reward_std; got {given or 'neither'}")
    ((name, value),) = given.items()
    if check_number(name, value, low=0.0) == 0:
        raise ValueError(f"{name} must be above 0; got 0")
    return float(value) * (math.sqrt(2) if name == "reward_std" else 1.0)


def _error(width: float) -> float:
    """Return E[sigma(-width |z|)] for standard normal z; the narrower factor of the integrand is scaled to width 1."""
    if np.isinf(width):
        return 0.0
    if width == 0:
        return 0.5
    unit = max(width, 1.0)

    def integrand(u: float) -> float:
        return math.sqrt(2 / math.pi) * math.exp(-((u / unit) ** 2) / 2) * float(expit(-u * width / unit))

    return float(integrate.quad(integrand, 0, 40, epsabs=0, epsrel=1e-10, limit=200)[0]) / unit


def _opponents(rewards: npt.ArrayLike, opponents: npt.ArrayLike) -> tuple[Float64Array, Float64Array]:
    own, others = as_numbers("rewards", rewards), as_numbers("opponents", opponents)
    if others.ndim != 1 or len(others) == 0:
        raise ValueError(f"opponents must be (n_opponents,), at least one; got {describe(others)}")
    if not (np.isfinite(own).all() and np.isfinite(others).all()):
        raise ValueError("rewards and opponents must be finite; some are nan or infinity")
    return own, others
