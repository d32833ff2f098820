"""Win rates against a baseline, with the judge's preference for length taken out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit

from rmspace._checks import as_numbers, check_number, describe
from rmspace._typing import Float64Array
from rmspace.data.arrays import check_finite
from rmspace.results.evaluate import named
from rmspace.results.intervals import mean_interval
from rmspace.results.schema import LENGTH_CONTROLLED, table_of

_STEPS = 100  # of Newton; a handful suffices


def length_controlled_table(
    wins: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    length_gaps: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    difficulty: npt.ArrayLike | None = None,
    *,
    alpha: float = 1e-4,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Measure how often a model beats a baseline, as it stands and as it would be if both wrote equally long.

        P(model beats baseline on x) = sigma(theta + phi tanh(gap(x) / std of gaps) + psi difficulty(x))
        length-controlled win rate = mean over prompts x of sigma(theta + psi difficulty(x))

    theta, phi and psi are fitted for each model by logistic regression on the wins, with alpha / 2 times their squares
    as penalty. The intervals are over prompts; that of the controlled rate counts the uncertainty of the fit, by the
    delta method.

    Args:
        wins: name of the model -> (n_prompts,) probability that its response beats that of the baseline: 1, 0, 1/2 for
            a tie, or what a judge or scores give (see `preference_probability`); NaN where nobody judged.
        length_gaps: (n_prompts,) length of the model's response minus that of the baseline; one array per model, by
            name, or one array where there is one model.
        difficulty: (n_prompts,) of each prompt for every model alike, as `instruction_difficulty` gives it; 0 when
            None.
        alpha: at least 0; it keeps theta finite where a model wins always.
        confidence: of each interval.

    Returns:
        Columns model, win_rate, win_rate_low, win_rate_high, controlled, controlled_low, controlled_high,
        length_effect (phi: above 0 where the judge prefers the longer response), n_prompts.

    Raises:
        ValueError: arrays of different lengths, wins outside [0, 1], no win that is known, gaps that are all equal and
            not 0.

    Source: Dubois, Galambosi, Liang and Hashimoto, "Length-controlled AlpacaEval" (arXiv 2404.04475), equation 1.
    AlpacaEval adds comparisons of its baseline with shorter and longer versions of itself, at a small weight, and
    chooses an L1 penalty by cross-validation: `alpaca_eval_fit` does that. Here the penalty is a fixed L2.

    >>> rng = np.random.default_rng(0)
    >>> gap = rng.normal(300, 300, size=2000)  # a model that is no better, but longer
    >>> wins = rng.random(2000) < expit(2 * np.tanh(gap / gap.std()))
    >>> table = length_controlled_table(wins, gap)
    >>> table[["win_rate", "controlled"]].round(1).values.tolist()
    [[0.7, 0.5]]
    """
    alpha = check_number("alpha", alpha, low=0.0)
    by_name, gaps = named(wins), named(length_gaps)
    if set(by_name) != set(gaps):
        raise ValueError(f"length_gaps must have the models of wins, {sorted(by_name)}; got {sorted(gaps)}")
    rows = []
    for name, values in by_name.items():
        judged = judged_prompts(name, values, gaps[name], difficulty)
        columns = np.stack([np.ones(len(judged.wins)), judged.lengths, judged.difficulty], axis=1)
        coef = _fit(columns, judged.wins, alpha)
        controlled = _per_prompt(columns, judged.wins, coef, alpha)
        raw = mean_interval(judged.wins, confidence=confidence)
        middle, *ends = mean_interval(controlled, confidence=confidence, binary=False)
        low, high = np.clip(ends, 0.0, 1.0)
        rows.append((name, *raw, middle, low, high, coef[1], len(judged.wins)))
    return table_of(rows, LENGTH_CONTROLLED)


def instruction_difficulty(wins: npt.ArrayLike, length_gaps: npt.ArrayLike, *, alpha: float = 1e-3) -> Float64Array:
    """Estimate from several models how hard a baseline is to beat on each prompt; higher is easier to beat.

        P(model m beats baseline on x) = sigma(theta_m + phi_m tanh(gap(m, x) / std of m's gaps) + difficulty(x))

    Fitted together by logistic regression, with alpha / 2 times the squares of all parameters as penalty on the mean
    loss per prompt.

    Args:
        wins: (n_models, n_prompts) as in `length_controlled_table`; NaN where nobody judged.
        length_gaps: (n_models, n_prompts).
        alpha: above 0.

    Returns:
        (n_prompts,), with mean 0.

    Raises:
        ValueError: arrays that are not (n_models, n_prompts), or break the rules of `length_controlled_table`.

    Source: as `length_controlled_table`; the joint regression of its section on the difficulty of instructions.

    >>> wins = [[0.9, 0.5, 0.5, 0.1], [0.8, 0.4, 0.5, 0.2]]
    >>> instruction_difficulty(wins, np.zeros((2, 4))).argsort().tolist()
    [3, 1, 2, 0]
    """
    table, gaps = as_numbers("wins", wins), as_numbers("length_gaps", length_gaps)
    if table.ndim != 2 or 0 in table.shape or gaps.shape != table.shape:
        raise ValueError(
            f"wins and length_gaps must be (n_models, n_prompts); got {describe(table)} and {describe(gaps)}"
        )
    alpha = check_number("alpha", alpha, low=1e-9)
    judged = [
        judged_prompts(f"model {m}", row, gap, None) for m, (row, gap) in enumerate(zip(table, gaps, strict=True))
    ]
    lengths, known = np.zeros(table.shape), ~np.isnan(table)
    for m, each in enumerate(judged):
        lengths[m, known[m]] = each.lengths
    target, n_models, n_prompts = np.where(known, table, 0.0), *table.shape

    def loss_and_gradient(flat: Float64Array) -> tuple[float, Float64Array]:
        theta, phi, hard = np.split(flat, [n_models, 2 * n_models])
        odds = theta[:, None] + phi[:, None] * lengths + hard
        wrong = np.where(known, expit(odds) - target, 0.0)
        loss = np.where(known, np.logaddexp(0, odds) - target * odds, 0.0).sum()
        slopes = np.concatenate([wrong.sum(axis=1), (wrong * lengths).sum(axis=1), wrong.sum(axis=0)])
        return loss / n_prompts + alpha / 2 * float(flat @ flat), slopes / n_prompts + alpha * flat

    found = minimize(loss_and_gradient, np.zeros(2 * n_models + n_prompts), jac=True, method="L-BFGS-B")
    hard = found.x[2 * n_models :]
    return np.asarray(hard - hard.mean())


class JudgedPrompts(NamedTuple):
    """The prompts that were judged."""

    wins: Float64Array
    lengths: Float64Array  # tanh of the gap in standard deviations
    difficulty: Float64Array


def judged_prompts(
    name: str, wins: npt.ArrayLike, length_gaps: npt.ArrayLike, difficulty: npt.ArrayLike | None
) -> JudgedPrompts:
    """Return the prompts of a model that were judged, checked."""
    won, gaps = as_numbers(f"wins of {name}", wins), as_numbers(f"length_gaps of {name}", length_gaps)
    hard = np.zeros(won.shape) if difficulty is None else as_numbers("difficulty", difficulty)
    if won.ndim != 1 or gaps.shape != won.shape or hard.shape != won.shape:
        raise ValueError(
            f"wins, length_gaps and difficulty of {name} must be one number per prompt, (n_prompts,); got "
            f"{describe(won)}, {describe(gaps)} and {describe(hard)}"
        )
    known = ~np.isnan(won)
    if not known.any() or won[known].min() < 0 or won[known].max() > 1:
        raise ValueError(f"wins of {name} must be probabilities in [0, 1], of at least one prompt; got {won[:5]}")
    rows = np.flatnonzero(known)
    for kind, values in (("length_gaps", gaps), ("difficulty", hard)):
        check_finite(f"{kind} of {name}", values[known], rows)
    check_number(f"the largest difficulty of {name}, in log-odds", float(np.abs(hard[known]).max()), high=1e3)
    spread = float(gaps[known].std(ddof=1)) if len(rows) > 1 else 0.0
    if spread == 0 and gaps[rows[0]] != 0:
        raise ValueError(
            f"length_gaps of {name} must differ, or be 0; all are {gaps[rows[0]]:g}, so the effect of length cannot be "
            "told from that of the model"
        )
    return JudgedPrompts(won[known], np.tanh(gaps[known] / (spread or 1.0)), hard[known])


def _fit(columns: Float64Array, wins: Float64Array, alpha: float) -> Float64Array:
    """Return the coefficients of a logistic regression, by Newton's method with halved steps."""

    def loss(coef: Float64Array) -> float:
        odds = columns @ coef
        return float((np.logaddexp(0, odds) - wins * odds).mean() + alpha / 2 * coef @ coef)

    coef = np.zeros(columns.shape[1])
    for _ in range(_STEPS):
        slope = columns.T @ (expit(columns @ coef) - wins) / len(wins) + alpha * coef
        if np.abs(slope).max() < 1e-10:
            break
        step = np.linalg.lstsq(_curvature(columns, coef, alpha), slope, rcond=None)[0]
        while loss(coef - step) > loss(coef) and np.abs(step).max() > 1e-12:
            step = step / 2
        coef = coef - step
    return coef


def _curvature(columns: Float64Array, coef: Float64Array, alpha: float) -> Float64Array:
    p = expit(columns @ coef)
    return (columns * (p * (1 - p))[:, None]).T @ columns / len(columns) + alpha * np.eye(columns.shape[1])


def _per_prompt(columns: Float64Array, wins: Float64Array, coef: Float64Array, alpha: float) -> Float64Array:
    """Return a value per prompt whose mean is the controlled win rate, and whose spread is that by the delta method."""
    level = columns * [1.0, 0.0, 1.0]  # no difference in length
    p = expit(level @ coef)
    slope = (level * (p * (1 - p))[:, None]).mean(axis=0)
    pulls = columns * (wins - expit(columns @ coef))[:, None]
    influence = np.linalg.lstsq(_curvature(columns, coef, alpha), slope, rcond=None)[0]
    return np.asarray(p + (pulls - pulls.mean(axis=0)) @ influence)
