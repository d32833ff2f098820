"""Annotators: gap in gold reward -> probability that the first response wins."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtr

from rmspace._checks import as_numbers, check_number
from rmspace._typing import Float64Array

__all__ = ["lapse", "logistic", "oracle", "probit"]


def logistic(gap: npt.ArrayLike | None = None, *, beta: float) -> Float64Array:
    """Annotate by the Bradley-Terry model: P(first wins) = sigma(beta * gap).

    Args:
        gap: gold reward of the first minus the second, in units of `scale`, any shape.
        beta: at least 0; 0 guesses, infinity is `oracle`.

    Raises:
        ValueError: a negative beta.
        TypeError: no gap; bind beta with `functools.partial`.

    Source: "Rethinking Reward Modeling in Preference-based LLM Alignment" (arXiv 2411.04991).

    >>> logistic(np.array([0.0, 1.0]), beta=1.0).round(4).tolist()
    [0.5, 0.7311]
    """
    return _noisy(expit, _given(gap, "logistic", "beta"), beta)


def probit(gap: npt.ArrayLike | None = None, *, beta: float) -> Float64Array:
    """Annotate by Thurstone's model: P(first wins) = Phi(beta * gap), Phi the standard normal distribution.

    Args:
        gap: gold reward of the first minus the second, in units of `scale`, any shape.
        beta: at least 0; 0 guesses, infinity is `oracle`.

    Raises:
        ValueError: a negative beta.
        TypeError: no gap; bind beta with `functools.partial`.

    Source: L. L. Thurstone, "A law of comparative judgment", Psychological Review 34 (1927), case V.

    >>> probit(np.array([0.0, 1.0]), beta=1.0).round(4).tolist()
    [0.5, 0.8413]
    """
    return _noisy(ndtr, _given(gap, "probit", "beta"), beta)


def oracle(gap: npt.ArrayLike) -> Float64Array:
    """Annotate without error: 1 where the first is better, 0 where worse, 1/2 at a tie.

    >>> oracle(np.array([-2.0, 0.0, 0.1])).tolist()
    [0.0, 0.5, 1.0]
    """
    return (np.sign(as_numbers("gap", gap)) + 1) / 2


def lapse(gap: npt.ArrayLike | None = None, *, beta: float, rate: float) -> Float64Array:
    """Annotate as `logistic`, but guess with probability `rate`: P = rate / 2 + (1 - rate) sigma(beta * gap).

    Args:
        gap: gold reward of the first minus the second, in units of `scale`, any shape.
        beta: at least 0.
        rate: share of careless judgements, in [0, 1].

    Raises:
        ValueError: beta or rate out of range.
        TypeError: no gap; bind beta and rate with `functools.partial`.

    >>> lapse(np.array([100.0]), beta=1.0, rate=0.1).round(4).tolist()
    [0.95]
    """
    rate = check_number("rate", rate, low=0.0, high=1.0)
    return rate / 2 + (1 - rate) * logistic(_given(gap, "lapse", "beta", "rate"), beta=beta)


def _noisy(distribution: Callable[[Float64Array], Float64Array], gap: npt.ArrayLike, beta: float) -> Float64Array:
    beta = check_number("beta", beta, low=0.0, finite=False)
    if np.isinf(beta):
        return oracle(gap)
    return np.asarray(distribution(beta * as_numbers("gap", gap)))


def _given(gap: npt.ArrayLike | None, name: str, *options: str) -> npt.ArrayLike:
    """Return the gap; TypeError where there is none, since the caller meant to bind the options."""
    if gap is None:
        bound = ", ".join(f"{option}=..." for option in options)
        raise TypeError(
            f"{name} needs a gap; to make an annotator of it, bind {' and '.join(options)}: "
            f"functools.partial({name}, {bound})"
        )
    return gap
