"""Length-controlled win rates exactly as AlpacaEval 2 computes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.model_selection import GroupKFold

from rmspace._checks import as_numbers, check_number, describe
from rmspace._typing import Float64Array
from rmspace.data.arrays import check_finite
from rmspace.results.length_controlled import judged_prompts

_GRID = np.logspace(-4, 4, 10)
_FOLDS = 5


class AlpacaEvalFit(NamedTuple):
    """The coefficients of a model against the baseline, in log-odds.

    `theta` is of the model, `psi` of the difficulty of a prompt, and `phi` of the gap in length: above 0 where the
    judge prefers the longer response. The files of AlpacaEval have phi with the other sign. `c` is the inverse of the
    penalty.

    >>> AlpacaEvalFit(theta=0.0, phi=1.5, psi=1.0).win_rate([0.0])
    0.5
    """

    theta: float
    phi: float
    psi: float
    c: float = float("nan")

    def win_rate(self, difficulty: npt.ArrayLike) -> float:
        """Return the win rate at equal lengths: the mean over prompts of sigma(theta + psi difficulty).

        Raises:
            ValueError: difficulty that is not one finite number per prompt.

        >>> fit = AlpacaEvalFit(theta=-3.5163474643, phi=0.0, psi=1.0968125007)
        >>> round(fit.win_rate([0.0, 0.700087088]), 4)
        0.0445
        """
        hard = as_numbers("difficulty", difficulty)
        if hard.ndim != 1 or not hard.size:
            raise ValueError(f"difficulty must be one number per prompt, (n_prompts,); got {describe(hard)}")
        check_finite("difficulty", hard)
        return float(expit(self.theta + self.psi * hard).mean())


def alpaca_eval_fit(
    wins: npt.ArrayLike,
    length_gaps: npt.ArrayLike,
    difficulty: npt.ArrayLike,
    *,
    versions: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]] = (),
    version_weight: float = 0.2,
    c: float | None = None,
) -> AlpacaEvalFit:
    """Fit the regression of AlpacaEval 2, with its L1 penalty and its comparisons of the baseline with itself.

        minimise |theta| + |phi| + |psi| + c (loss of the model + version_weight / n_versions * loss of the versions)
        P(response beats that of the baseline on x) = sigma(theta + phi tanh(gap(x) / std of gaps) + psi difficulty(x))

    Each loss is the sum of the log losses over prompts. Versions of the baseline have theta = 0. The function is for
    rates that must be AlpacaEval's. `length_controlled_table` needs no versions and no difficulty, and its intervals
    count the uncertainty of the fit.

    Args:
        wins: (n_prompts,) probability that the model's response beats that of the baseline; NaN where nobody judged.
        length_gaps: (n_prompts,) length of the model's response minus that of the baseline, in characters.
        difficulty: (n_prompts,) AlpacaEval's file `instruction_difficulty.csv`, or `instruction_difficulty`.
        versions: (wins, length_gaps) of versions of the baseline, for the same prompts. AlpacaEval has two: the
            baseline when it is asked to be concise, and to be verbose.
        version_weight: of all versions together; each has the same part of it.
        c: inverse of the penalty. None chooses the one of 10 from 1e-4 to 1e4 with the least log loss in 5 folds.

    Raises:
        ValueError: as `length_controlled_table`; fewer than 5 prompts where c is None.

    Source: Dubois, Galambosi, Liang and Hashimoto, "Length-controlled AlpacaEval" (arXiv 2404.04475), and the settings
    `length_controlled_v1` of its code (github.com/tatsu-lab/alpaca_eval).

    >>> difficulty = [0.0, -0.1, -1.36, 0.7, -1.6, 2.9]
    >>> wins, gaps = [0.9, 0.2, 0.1, 0.7, 0.05, 0.4], [800, -100, -1100, 1100, -1500, 400]
    >>> fit = alpaca_eval_fit(wins, gaps, difficulty, c=10.0)
    >>> round(100 * fit.win_rate(difficulty), 2)
    36.67
    """
    weight = check_number("version_weight", version_weight, low=0.0)
    given = [("the model", wins, length_gaps), *((f"version {k}", *pair) for k, pair in enumerate(versions))]
    parts = [judged_prompts(name, won, gaps, difficulty) for name, won, gaps in given]
    sizes = [len(part.wins) for part in parts]
    own = np.repeat([1.0, *np.zeros(len(versions))], sizes)
    rows = _Rows(
        np.stack([own, *(np.concatenate([part[k] for part in parts]) for k in (1, 2))], axis=1),
        np.concatenate([part.wins for part in parts]),
        np.where(own == 1, 1.0, weight / max(1, len(versions))),
    )
    chosen = _best_c(rows) if c is None else check_number("c", c, low=1e-9)
    theta, phi, psi = _fit(rows, chosen).tolist()
    return AlpacaEvalFit(theta, phi, psi, float(chosen))


class _Rows(NamedTuple):
    columns: Float64Array  # (n, 3): whether it is the model, tanh of the gap, difficulty
    wins: Float64Array
    weights: Float64Array

    def take(self, places: npt.ArrayLike) -> _Rows:
        """Return some of the rows."""
        return _Rows(*(array[np.asarray(places)] for array in self))

    def losses(self, coef: Float64Array) -> Float64Array:
        """Return the weighted log loss of each row."""
        odds = self.columns @ coef
        return np.asarray(self.weights * (np.logaddexp(0, odds) - self.wins * odds))


def _fit(rows: _Rows, c: float) -> Float64Array:
    """Return theta, phi and psi. Each is a positive part minus a negative part, so that the penalty is smooth."""

    def loss_and_gradient(halves: Float64Array) -> tuple[float, Float64Array]:
        coef = halves[:3] - halves[3:]
        wrong = rows.weights * (expit(rows.columns @ coef) - rows.wins)
        slope = rows.columns.T @ wrong
        value = rows.losses(coef).sum() + halves.sum() / c  # divided by c, so that its size is that of the loss
        return float(value), np.concatenate([slope, -slope]) + 1 / c

    found = minimize(
        loss_and_gradient,
        np.zeros(6),
        jac=True,
        method="SLSQP",  # L-BFGS-B stops early here where the penalty is small
        bounds=[(0.0, np.inf)] * 6,
        options={"maxiter": 1000, "ftol": 1e-15},
    )
    return np.asarray(found.x[:3] - found.x[3:])


def _best_c(rows: _Rows) -> float:
    """Return the c of the grid with the least log loss over folds of the rows; the smallest of equal ones."""
    n = len(rows.wins)
    if n < _FOLDS:
        raise ValueError(f"choosing c needs at least {_FOLDS} rows, one per fold; got {n}; give c")
    folds = list(GroupKFold(_FOLDS).split(rows.columns, groups=np.arange(n)))
    losses = [
        np.mean([rows.take(test).losses(_fit(rows.take(train), c)).mean() for train, test in folds]) for c in _GRID
    ]
    return float(_GRID[int(np.argmin(losses))])
