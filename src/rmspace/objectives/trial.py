"""A trial of an objective before any data are there."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import Tensor


def try_objective(objective: Callable[..., Tensor]) -> None:
    """Compute an objective of rmspace on no pairs, to raise what its bound options raise whatever the columns hold.

    >>> from functools import partial
    >>> from rmspace.objectives import hinge
    >>> try_objective(partial(hinge, margin=-1.0))
    Traceback (most recent call last):
    ValueError: margin must be at least 0.0; got -1
    """
    parameters = list(inspect.signature(objective).parameters.values())[2:]
    columns = {p.name: torch.ones(0) for p in parameters if p.default is p.empty}
    objective(torch.zeros(0), torch.zeros(0), **columns)
