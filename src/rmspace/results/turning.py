"""Over-optimisation in two numbers: the curve of the gold reward, and where it turns down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq

from rmspace._checks import as_numbers
from rmspace._typing import Float64Array
from rmspace.data.bank import ResponseBank
from rmspace.results._proxy_curves import ProxyCurve, curves_of
from rmspace.results.evaluate import named
from rmspace.results.intervals import mean_interval
from rmspace.results.schema import OVEROPTIMISATION_FIT, table_of

WITHIN, BEYOND, UNSURE = "within the range", "not within the range", "not certain"

_STEPS = 32  # of the distance, between which an end of the interval is sought


def overoptimisation_fit(
    scores: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    rewards: npt.ArrayLike | ResponseBank,
    *,
    n: Sequence[int] | None = None,
    temperatures: Sequence[float] | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Fit the curve of the gold reward over the KL divergence, and find where it turns down, with intervals.

        best_of_n: gain(d) = d (alpha - beta d)         d = sqrt(KL)
        tilting:   gain(d) = d (alpha - beta log d)

    The fit is by least squares over the points of `overoptimisation_table` with KL above 0. It is linear in the curve,
    so alpha and beta are the means of those of the single prompts, and their intervals over prompts are those of
    `mean_interval`. The turn is the KL where the slope of the fit falls to 0. Its interval holds each KL at which the
    interval of the slope holds 0 (as Fieller's interval of a ratio). The KL of tilting is a mean over prompts, and its
    own uncertainty is left out.

    Args:
        scores, rewards, n, temperatures, confidence: as in `overoptimisation_table`.

    Returns:
        Columns model, policy, alpha, alpha_low, alpha_high, beta, beta_low, beta_high, turn, turn_low, turn_high,
        turns, range, fit_error, n_prompts. turns is "within the range" where the slope is negative, with confidence,
        before the largest KL of the curve; "not within the range" where it is, with confidence, not negative up to
        there; "not certain" otherwise. fit_error, the root-mean-square difference of curve and fit in units of reward,
        shows whether the form fits.

    Raises:
        ValueError: as `overoptimisation_table`; fewer than two different KL above 0, as constant scores have in
            tilting.

    Source: Gao, Schulman and Hilton, "Scaling laws for reward model overoptimization" (arXiv 2210.10760), section 3.1,
    where the second form is that of reinforcement learning; E. Fieller, "Some problems in interval estimation", JRSS B
    16 (1954).

    >>> rng = np.random.default_rng(0)
    >>> rewards = rng.normal(size=(200, 64))
    >>> flaws = np.where(rng.random(rewards.shape) < 0.05, 6.0, 0.0)  # bad responses that the scores like
    >>> table = overoptimisation_fit(rewards + flaws, rewards - flaws)
    >>> table[["policy", "turns"]].values.tolist()
    [['best_of_n', 'within the range'], ['tilting', 'within the range']]
    """
    rows = []
    for name, array in named(scores).items():
        for curve in curves_of(array, rewards, n, temperatures):
            rows.append((name, curve.policy, *_fitted(name, curve, confidence)))
    return table_of(rows, OVEROPTIMISATION_FIT)


def fitted_gain(policy: str, kl: npt.ArrayLike, alpha: float, beta: float) -> Float64Array:
    """Return the gain that a fit of `overoptimisation_fit` gives at some KL.

    Args:
        policy: "best_of_n" or "tilting".
        kl: in nats, at least 0, any shape.
        alpha, beta: of the fit.

    Raises:
        ValueError: another policy, or a negative KL.

    >>> fitted_gain("best_of_n", [0.0, 4.0], alpha=1.0, beta=0.25).tolist()
    [0.0, 1.0]
    """
    distances = as_numbers("kl", kl)
    if not (distances >= 0).all():
        raise ValueError("kl must be numbers of at least 0; some are below 0 or nan")
    return np.asarray(_form(policy, np.sqrt(distances)) @ np.array([alpha, beta]))


def _form(policy: str, d: Float64Array) -> Float64Array:
    """Return the factors of alpha and beta in the gain, (..., 2)."""
    if policy == "best_of_n":
        return np.stack([d, -(d**2)], axis=-1)
    if policy == "tilting":
        return np.stack([d, -d * np.log(np.where(d > 0, d, 1.0))], axis=-1)
    raise ValueError(f"policy must be 'best_of_n' or 'tilting'; got {policy!r}")


def _slope(policy: str, d: float) -> Float64Array:
    """Return the factors of alpha and beta in the derivative of the gain by d, (2,)."""
    return np.array([1.0, -2 * d if policy == "best_of_n" else -(1 + np.log(d))])


def _fitted(name: str, curve: ProxyCurve, confidence: float) -> tuple[object, ...]:
    """Return what a row of the table says after the model and the policy."""
    used = curve.kl > 0
    design = _form(curve.policy, np.sqrt(curve.kl[used]))
    if np.linalg.matrix_rank(design) < 2:
        raise ValueError(
            f"a fit needs two different KL above 0; the {curve.policy} of {name!r} has KL "
            f"{np.unique(curve.kl.round(6)).tolist()}; give other n or temperatures, or scores that differ"
        )
    numbers = curve.gold[:, used] @ np.linalg.pinv(design).T  # (n_prompts, 2): alpha and beta of each prompt

    def interval(values: Float64Array) -> tuple[float, float, float]:
        return mean_interval(values, groups=curve.prompts, confidence=confidence, binary=False)

    alpha, beta = (interval(column) for column in numbers.T)
    farthest = float(np.sqrt(curve.kl.max()))
    ends = _first_falls(lambda d: interval(numbers @ _slope(curve.policy, d)), farthest)
    error = float(np.sqrt(np.mean((curve.gold[:, used].mean(axis=0) - design @ numbers.mean(axis=0)) ** 2)))
    turn, low, high = (end**2 for end in ends)
    known = not np.isnan(alpha[1])  # there is no interval over one prompt
    turns = UNSURE if not known else WITHIN if not np.isnan(high) else BEYOND if np.isnan(low) else UNSURE
    return (*alpha, *beta, turn, low, high, turns, farthest**2, error, curve.n_prompts)


def _first_falls(slope: Callable[[float], tuple[float, float, float]], farthest: float) -> list[float]:
    """Return the smallest d in [0, farthest] beyond which each of several slopes is negative; nan where none is."""
    places = np.linspace(0.0, farthest, _STEPS + 1)
    places[0] = 1e-9 * farthest  # the slope of tilting has no value at 0
    negative = np.array([slope(float(place)) for place in places]) < 0
    found = []
    for k, column in enumerate(negative.T):
        first = int(np.argmax(column))
        if not column.any():
            found.append(float("nan"))
        elif first == 0:
            found.append(0.0)
        else:
            at = partial(_element, slope, k)
            found.append(float(brentq(at, places[first - 1], places[first], xtol=1e-9 * farthest)))
    return found


def _element(slope: Callable[[float], tuple[float, float, float]], k: int, d: float) -> float:
    return slope(d)[k]
