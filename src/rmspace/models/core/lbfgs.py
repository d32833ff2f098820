"""L-BFGS for models with several arrays of weights, whose loss is written in PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from rmspace._checks import check_int, check_number
from rmspace._typing import Float64Array


def find_minimum(
    name: str,
    loss: Callable[..., Tensor],
    start: Sequence[npt.ArrayLike],
    *,
    max_iter: int,
    tol: float,
    stacklevel: int = 5,
) -> list[Float64Array]:
    """Minimise a smooth loss of several arrays by L-BFGS.

    Args:
        name: of the model, for warnings and errors.
        loss: one float64 tensor for each array -> the loss, a tensor without axes.
        start: the first value of each array.
        max_iter: the most iterations.
        tol: L-BFGS stops where the gradient's largest entry is this share of its largest entry at the start.
        stacklevel: of the warning that the iterations did not suffice.

    Returns:
        The arrays at the minimum, float64, of the shapes of `start`.

    Raises:
        FloatingPointError: a loss or a gradient that is not finite.

    >>> def loss(a, b):
    ...     return ((a - 1) ** 2).sum() + (b - 2.0) ** 2
    >>> [array.tolist() for array in find_minimum("Example", loss, [[0.0, 0.0], 0.0], max_iter=50, tol=1e-6)]
    [[1.0, 1.0], 2.0]
    """
    first = [np.array(value, dtype=np.float64) for value in start]
    ends = np.cumsum([value.size for value in first])[:-1]

    def split(flat: Float64Array) -> list[Float64Array]:
        parts = np.split(flat, ends)
        return [part.reshape(value.shape) for part, value in zip(parts, first, strict=True)]

    def loss_and_gradient(flat: Float64Array) -> tuple[float, Float64Array]:
        values = [torch.from_numpy(part.copy()).requires_grad_() for part in split(flat)]
        total = loss(*values)
        total.backward()
        slopes = [torch.zeros_like(value) if value.grad is None else value.grad for value in values]
        gradient = np.concatenate([slope.numpy().ravel() for slope in slopes])
        if not (np.isfinite(float(total.detach())) and np.isfinite(gradient).all()):
            raise FloatingPointError(f"the loss of {name} is no longer finite; scale the items, or raise alpha")
        return float(total.detach()), gradient

    flat: Float64Array = np.concatenate([value.ravel() for value in first])
    small = check_number("tol", tol, low=0.0) * float(np.abs(loss_and_gradient(flat)[1]).max())
    steps = check_int("max_iter", max_iter, low=1)
    found = minimize(
        loss_and_gradient,
        flat,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": steps, "maxfun": 4 * steps, "gtol": small, "ftol": 0.0, "maxcor": 20},
    )
    if (left := float(np.abs(found.jac).max())) > small:
        warnings.warn(
            f"{name} stopped after {found.nit} iterations (max_iter={steps}) with a gradient of {left:.1e}, above "
            f"{small:.1e} (tol={tol:g} of the first one); raise max_iter, alpha or tol",
            ConvergenceWarning,
            stacklevel=stacklevel,
        )
    return split(np.asarray(found.x))
