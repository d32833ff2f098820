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
) -> list[Float64Array]:
    """Minimise a smooth loss of several arrays by L-BFGS.

    Args:
        name: of the model, for warnings and errors.
        loss: one float64 tensor for each array -> the loss, a tensor without axes.
        start: the first value of each array.
        max_iter: the most iterations.
        tol: L-BFGS stops where the gradient's largest entry is this share of its largest entry at the start.

    Returns:
        The arrays at the minimum, float64, of the shapes of `start`.

    Raises:
        FloatingPointError: a loss or a gradient that is not finite.

    >>> def loss(a, b):
    ...     return ((a - 1) ** 2).sum() + (b - 2.0) ** 2
    >>> [array.tolist() for array in find_minimum("Example", loss, [[0.0, 0.0], 0.0], max_iter=50, tol=1e-6)]
    [[1.0, 1.0], 2.0]
    """
    shapes = [np.shape(value) for value in start]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    flat: Float64Array = np.concatenate([np.ravel(np.asarray(value, dtype=np.float64)) for value in start])

    def split(values: Float64Array) -> list[Float64Array]:
        return [part.reshape(shape) for part, shape in zip(np.split(values, ends), shapes, strict=True)]

    def loss_and_gradient(values: Float64Array) -> tuple[float, Float64Array]:
        return _loss_and_gradient(name, loss, split(values))

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
        _warn(name, int(found.nit), steps, left, small, tol)
    return split(np.asarray(found.x))


def _loss_and_gradient(
    name: str, loss: Callable[..., Tensor], values: Sequence[Float64Array]
) -> tuple[float, Float64Array]:
    """Return the loss at some arrays, and its gradient as one flat array."""
    tensors = [torch.from_numpy(value.copy()).requires_grad_() for value in values]
    total = loss(*tensors)
    slopes = torch.autograd.grad(total, tensors, allow_unused=True, materialize_grads=True)
    gradient = np.concatenate([slope.numpy().ravel() for slope in slopes])
    if not (np.isfinite(float(total.detach())) and np.isfinite(gradient).all()):
        raise FloatingPointError(f"the loss of {name} is no longer finite; scale the items, or raise alpha")
    return float(total.detach()), gradient


def _warn(name: str, n_steps: int, most: int, left: float, small: float, tol: float) -> None:
    warnings.warn(
        f"{name} stopped after {n_steps} iterations (max_iter={most}) with a gradient of {left:.1e}, above {small:.1e} "
        f"(tol={tol:g} of the first one); raise max_iter, alpha or tol",
        ConvergenceWarning,
        stacklevel=5,  # the caller of `fit`
    )
