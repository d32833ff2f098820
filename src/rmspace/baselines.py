"""Scores that need no model: what any reward model should be compared with."""

from __future__ import annotations

import numpy as np

from rmspace._typing import Float64Array
from rmspace.data.bank import ResponseBank

__all__ = ["best_response", "feature_score", "position_mean", "random_response"]


def random_response(train: ResponseBank, test: ResponseBank) -> Float64Array:  # noqa: ARG001
    """Score every response alike, which Best-of-N turns into the expected reward of a random one.

    >>> bank = ResponseBank(np.zeros((1, 2, 4), np.float32))
    >>> random_response(bank, bank).tolist()
    [[0.0, 0.0]]
    """
    return np.zeros((test.n_prompts, test.n_responses))


def best_response(train: ResponseBank, test: ResponseBank) -> Float64Array:  # noqa: ARG001
    """Score by the gold reward itself: the ceiling of every metric.

    >>> bank = ResponseBank(np.zeros((1, 2, 4), np.float32), np.array([[1.0, 2.0]]))
    >>> best_response(bank, bank).tolist()
    [[1.0, 2.0]]
    """
    return np.asarray(test.rewards, dtype=np.float64)


def feature_score(train: ResponseBank, test: ResponseBank, *, feature: str) -> Float64Array:  # noqa: ARG001
    """Score by a feature of the test bank, such as "length": the longest response first.

    Raises:
        ValueError: the bank has no such feature.

    >>> bank = ResponseBank(np.zeros((1, 2, 4), np.float32), features={"length": np.array([[30, 10]])})
    >>> feature_score(bank, bank, feature="length").tolist()
    [[30.0, 10.0]]
    """
    if feature not in test.features:
        raise ValueError(f"the test bank has no feature {feature!r}; it has {sorted(test.features) or 'none'}")
    return np.asarray(test.features[feature], dtype=np.float64)


def position_mean(train: ResponseBank, test: ResponseBank) -> Float64Array:
    """Score response r by the mean gold reward of response r on the training prompts.

    It means something where column r is the same generator for every prompt.

    Raises:
        ValueError: train and test have different numbers of responses.

    >>> train = ResponseBank(np.zeros((2, 2, 4), np.float32), np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> position_mean(train, train[:1]).tolist()
    [[2.0, 3.0]]
    """
    if train.n_responses != test.n_responses:
        raise ValueError(
            f"position_mean needs the same responses in train and test; got {train.n_responses} and {test.n_responses}"
        )
    means = np.asarray(train.rewards, dtype=np.float64).mean(axis=0)
    return np.broadcast_to(means, (test.n_prompts, test.n_responses))
