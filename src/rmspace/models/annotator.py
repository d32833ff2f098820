"""A linear reward learned together with how reliable each annotator is."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, helmert
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import expit, ndtri
from sklearn.exceptions import ConvergenceWarning

from rmspace._checks import as_array, check_int, check_number, describe
from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.models.core.base import BaseReward
from rmspace.models.core.data import FitData
from rmspace.models.io.state import check_fitted_array

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AnnotatorReward"]


class AnnotatorReward(BaseReward):
    """Linear reward model that learns how reliable each annotator is: P(w beats l) = sigma(beta_a (s_w - s_l)).

    beta_a is that of annotator a, who is named in the column `annotator` of the comparisons. The reward and the betas
    are learned together, by L-BFGS from equal betas, which minimises

        sum of losses + n alpha / 2 m (d |w|)^2 + sum_a (log beta_a / spread)^2 / 2

    n is the number of comparisons, d is that of `LinearReward`, and m is the mean of beta_a^2 over the comparisons. So
    the penalty is on the weights as annotators apply them, beta_a w, and larger betas do not evade it.

    Only ratios of betas matter, so their geometric mean is 1: a score is in the unit of the average annotator. All
    betas are above 0: an annotator who judges at random, or against the reward, has a beta near 0.

    An annotator seen rarely stays near 1, by the last term; one who is seen once has an interval about as wide as the
    spread. Comparisons marked as ties count as half a win of each order.

    With few comparisons per dimension, the reward learns some judgements of every annotator by heart. The betas are
    then more alike than they are in truth, and their intervals are too narrow: only their order can be trusted.

    Args:
        alpha: strength of the penalty on the weights, at least 0; a large one also makes betas alike.
        spread: standard deviation of log beta over annotators, as known before the data; infinity has no such term,
            and then the beta of an annotator whose comparisons all agree with the reward is infinite.
        max_iter, tol: of L-BFGS, as in `LinearReward`.

    Attributes:
        annotators_, betas_: (n_annotators,) names in ascending order, and their betas.
        errors_: (n_annotators,) standard errors of log beta, from the observed information of weights and betas.
        n_judged_: (n_annotators,) comparisons of each.
        coef_, mean_: (dim,), the reward is coef . (x - mean).

    Source: the likelihood is the Boltzmann-rational choice of arXiv 2002.04833; for annotators who differ see Chen et
    al., "Pairwise ranking aggregation in a crowdsourced setting" (2013).

    >>> from functools import partial
    >>> from rmspace import annotate, logistic
    >>> rng = np.random.default_rng(0)
    >>> items, pairs = rng.normal(size=(2000, 4)), np.arange(2000).reshape(1000, 2)
    >>> comparisons = [annotate(pairs, items[:, 0], partial(logistic, beta=beta), rng=rng) for beta in (0.5, 2.0)]
    >>> columns = {"annotator": np.repeat(["ann", "bob"], 1000)}
    >>> model = AnnotatorReward().fit(items, np.concatenate(comparisons), columns=columns)
    >>> model.annotators_.tolist(), bool(3 < model.betas_[1] / model.betas_[0] < 5)
    (['ann', 'bob'], True)
    """

    def __init__(self, *, alpha: float = 1e-5, spread: float = 1.0, max_iter: int = 1000, tol: float = 1e-6) -> None:
        self.alpha = alpha
        self.spread = spread
        self.max_iter = max_iter
        self.tol = tol

    def beta_table(self, confidence: float = 0.95) -> pd.DataFrame:
        """Return the betas with intervals, symmetric in log beta: exp(log beta -+ z error).

        Args:
            confidence: of each interval alone.

        Returns:
            Columns annotator, beta, low, high, n_comparisons.

        Raises:
            ValueError: a confidence out of range.
        """
        import pandas as pd

        z = ndtri((1 + check_number("confidence", confidence, low=0.0, high=1.0)) / 2)
        with np.errstate(over="ignore"):
            low, high = (self.betas_ * np.exp(sign * z * self.errors_) for sign in (-1, 1))
        return pd.DataFrame(
            {"annotator": self.annotators_, "beta": self.betas_, "low": low, "high": high}
            | {"n_comparisons": self.n_judged_}
        )

    def check_state(self) -> None:
        """Raise ValueError where the learned numbers are not those of such a model."""
        n = len(as_array("annotators_", self.annotators_))
        for name in ("coef_", "mean_"):
            check_fitted_array(name, getattr(self, name), (self.n_features_in_,))
        for name in ("betas_", "errors_"):
            check_fitted_array(name, getattr(self, name), (n,))
        counts = as_array("n_judged_", self.n_judged_)
        if counts.shape != (n,) or counts.dtype.kind != "i":
            raise ValueError(f"n_judged_ must be whole numbers ({n},); got {describe(counts)}")
        if self.betas_.min() <= 0:
            raise ValueError(f"betas_ must be above 0; got {self.betas_.min():g}")
        super().check_state()

    def _select(self, data: FitData) -> FitData:
        """Keep the names of the annotators, which `for_objective` would turn into numbers."""
        if "annotator" not in data.columns:
            raise ValueError(
                f"AnnotatorReward needs the column 'annotator'; there are {', '.join(sorted(data.columns)) or 'none'}"
            )
        column = data.columns["annotator"]
        if column.dtype.kind not in "iuU":
            raise ValueError(f"column 'annotator' must be integers or text; got {describe(column)}")
        names, codes = np.unique(column, return_inverse=True)
        coded = replace(data, columns={**data.columns, "annotator": codes}).for_objective(_ask_for_annotators)
        return replace(coded, columns={"annotator": names[coded.columns["annotator"]]})

    def _fit(self, data: FitData) -> None:
        names, codes = np.unique(data.columns["annotator"], return_inverse=True)
        if len(names) < 2:
            raise ValueError(
                f"AnnotatorReward compares annotators and needs at least two; got {names.tolist()}; with one annotator "
                "take LinearReward"
            )
        alpha, spread = (check_number(name, getattr(self, name), low=0.0, finite=False) for name in ("alpha", "spread"))
        if spread == 0 or np.isinf(alpha):
            raise ValueError(f"spread must be above 0 and alpha finite; got {spread:g} and {alpha:g}")
        rows = data.read(np.float64)
        mean = rows.mean(axis=0)
        rows -= mean
        length = float(np.sqrt((rows**2).sum(axis=1).mean())) or 1.0
        total = data.weights.sum()
        shares = np.bincount(codes, data.weights, len(names)) / total
        contrasts = helmert(len(names)).T
        fit = _Fit(rows / length, data.pairs, codes, data.weights, contrasts, shares, alpha * total, spread**-2)
        found = self._minimise(fit, total)
        weights, log_betas = fit.split(found)
        self.annotators_, self.betas_ = names, np.exp(log_betas)
        self.errors_ = _errors(fit, weights, log_betas)
        first = np.unique(data.numbers, return_index=True)[1]  # a tie is two rows
        self.n_judged_ = np.bincount(codes[first], minlength=len(names))
        self.coef_, self.mean_ = weights / length, mean

    def _minimise(self, fit: _Fit, total: float) -> Float64Array:
        start = np.zeros(fit.rows.shape[1] + fit.contrasts.shape[1])
        small = check_number("tol", self.tol, low=0.0) * float(np.abs(_loss_and_gradient(start, fit, total)[1]).max())
        steps = check_int("max_iter", self.max_iter, low=1)
        found = minimize(
            _loss_and_gradient,
            start,
            (fit, total),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": steps, "maxfun": 4 * steps, "gtol": small, "ftol": 0.0, "maxcor": 20},
        )
        if (left := float(np.abs(found.jac).max())) > small:
            warnings.warn(
                f"AnnotatorReward stopped after {found.nit} iterations (max_iter={steps}) with a gradient of "
                f"{left:.1e}, above {small:.1e} (tol={self.tol:g} of the first one); raise max_iter, alpha or tol, or "
                "lower spread",
                ConvergenceWarning,
                stacklevel=4,
            )
        return np.asarray(found.x)

    def _score(self, rows: FloatArray) -> FloatArray:
        return np.asarray((rows - self.mean_) @ self.coef_)


class _Fit(NamedTuple):
    """The data of a fit, and the strengths of its penalties on the sum of losses."""

    rows: FloatArray  # (n_rows, dim), centred and of root-mean-square length 1
    pairs: IntArray  # (n, 2) positions in `rows`; column 0 won
    codes: IntArray  # (n,) numbers of the annotators
    weights: Float64Array  # (n,)
    contrasts: Float64Array  # (n_annotators, n_annotators - 1), orthonormal columns with the sum 0
    shares: Float64Array  # (n_annotators,) of the weights of all comparisons
    alpha: float
    precision: float  # of log beta, as known before the data

    def split(self, parameters: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Return the weights and the log betas, whose sum is 0."""
        dim = self.rows.shape[1]
        return parameters[:dim], self.contrasts @ parameters[dim:]


class _Margins(NamedTuple):
    """The comparisons as annotators see them: each margin m = beta g, and two derivatives of its loss by m."""

    beta: Float64Array
    margin: Float64Array
    slope: Float64Array
    curvature: Float64Array


def _margins(fit: _Fit, weights: Float64Array, log_betas: Float64Array) -> _Margins:
    scores = fit.rows @ weights
    beta = np.exp(log_betas)[fit.codes]
    margin = beta * (scores[fit.pairs[:, 0]] - scores[fit.pairs[:, 1]])
    wrong = expit(-margin)
    return _Margins(beta, margin, -fit.weights * wrong, fit.weights * wrong * (1 - wrong))


def _loss_and_gradient(parameters: Float64Array, fit: _Fit, total: float) -> tuple[float, Float64Array]:
    """Return the mean loss with both penalties, and its gradient."""
    weights, log_betas = fit.split(parameters)
    at = _margins(fit, weights, log_betas)
    loss = fit.weights @ np.logaddexp(0, -at.margin)
    squares = fit.shares * np.exp(2 * log_betas)
    penalty = fit.alpha * squares.sum()
    loss += (penalty * weights @ weights + fit.precision * log_betas @ log_betas) / 2
    pull, n = at.slope * at.beta, len(fit.rows)
    by_score = np.bincount(fit.pairs[:, 0], pull, n) - np.bincount(fit.pairs[:, 1], pull, n)
    by_beta = np.bincount(fit.codes, at.slope * at.margin, len(log_betas)) + fit.precision * log_betas
    by_beta += fit.alpha * squares * (weights @ weights)
    gradient = np.append(by_score @ fit.rows + penalty * weights, by_beta @ fit.contrasts)
    return float(loss) / total, gradient / total


def _errors(fit: _Fit, weights: Float64Array, log_betas: Float64Array) -> Float64Array:
    """Return the standard errors of the log betas: the inverse of the observed information, weights eliminated."""
    at, n, n_betas = _margins(fit, weights, log_betas), len(fit.rows), len(log_betas)
    ends, number = fit.pairs.T.reshape(-1), np.tile(np.arange(len(fit.pairs)), 2)
    sign = np.repeat([1.0, -1.0], len(fit.pairs))
    gaps = csr_array((sign, (number, ends)), shape=(len(fit.pairs), n))  # scores -> gaps
    judged = csr_array((np.ones(len(fit.codes)), (np.arange(len(fit.codes)), fit.codes)), (len(fit.codes), n_betas))
    of_weights = fit.rows.T @ (gaps.T @ (gaps * (at.curvature * at.beta**2)[:, None])) @ fit.rows
    squares = fit.alpha * fit.shares * np.exp(2 * log_betas)
    of_weights[np.diag_indices_from(of_weights)] += squares.sum()
    mixed = (at.curvature * at.margin + at.slope) * at.beta
    both = fit.rows.T @ csr_array(gaps.T @ (judged * mixed[:, None])).toarray() + 2 * np.outer(weights, squares)
    of_betas = np.bincount(fit.codes, at.curvature * at.margin**2 + at.slope * at.margin, n_betas) + fit.precision
    of_betas = np.diag(of_betas + 2 * squares * (weights @ weights))
    try:
        left = of_betas - both.T @ cho_solve(cho_factor(of_weights), both)
        covariance = cho_solve(cho_factor(fit.contrasts.T @ left @ fit.contrasts), fit.contrasts.T)
    except np.linalg.LinAlgError as error:
        raise ValueError(
            "the information matrix is singular, so that these comparisons do not fix weights and betas; raise alpha, "
            "or give a finite spread"
        ) from error
    return np.sqrt(np.einsum("ab,ba->a", fit.contrasts, covariance))


def _ask_for_annotators(winner: Any, loser: Any, annotator: npt.NDArray[Any]) -> Any:
    """Stand for the likelihood, which reads the column `annotator`."""
