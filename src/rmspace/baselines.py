"""Baselines: scores that need no model, which any reward model should be compared with."""

from __future__ import annotations

import numpy as np

from rmspace._typing import Float64Array
from rmspace.data.bank import ResponseBank, check_bank

__all__ = ["best_response", "feature_score", "position_mean", "random_response"]


def random_response(train: ResponseBank, test: ResponseBank) -> Float64Array:  # noqa: ARG001
    """Give every response the same score: Best-of-N then has the expected reward of a random response.

    >>> bank = ResponseBank(np.zeros((1, 2, 4), np.float32))
    >>> random_response(bank, bank).tolist()
    [[0.0, 0.0]]
    """
    check_bank("test", test)
    return np.zeros((test.n_prompts, int(test.counts.max())))


def best_response(train: ResponseBank, test: ResponseBank) -> Float64Array:  # noqa: ARG001
    """Score by the gold reward, which gives every metric its best value; NaN where nobody rated.

    >>> bank = ResponseBank(np.zeros((1, 2, 4), np.float32), np.array([[1.0, 2.0]]))
    >>> best_response(bank, bank).tolist()
    [[1.0, 2.0]]
    """
    check_bank("test", test)
    return np.asarray(test.rewards, dtype=np.float64)


def feature_score(train: ResponseBank, test: ResponseBank, *, feature: str) -> Float64Array:  # noqa: ARG001
    """Score by a feature of the test bank: with "length", the longest response has the highest score.

    Raises:
        ValueError: the bank has no such feature.

    >>> bank = ResponseBank(np.zeros((1, 2, 4), np.float32), features={"length": np.array([[30, 10]])})
    >>> feature_score(bank, bank, feature="length").tolist()
    [[30.0, 10.0]]
    """
    check_bank("test", test)
    if feature not in test.features:
        raise ValueError(f"the test bank has no feature {feature!r}; it has {sorted(test.features) or 'none'}")
    return test.padded(np.asarray(test.features[feature], dtype=np.float64).reshape(-1))


def position_mean(train: ResponseBank, test: ResponseBank) -> Float64Array:
    """Score response r by its mean gold reward over the training prompts; unrated responses are left out.

    This has a meaning only where column r comes from the same generator for every prompt.

    Raises:
        ValueError: the training data are not a bank; train and test have different numbers of responses; a response
            is rated on no training prompt.

    >>> train = ResponseBank(np.zeros((2, 2, 4), np.float32), np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> position_mean(train, train[:1]).tolist()
    [[2.0, 3.0]]
    """
    if not isinstance(train, ResponseBank):
        raise ValueError(
            f"position_mean needs the gold rewards of a training bank; got {type(train).__name__}; leave this baseline "
            "out, or train on a bank"
        )
    check_bank("test", test)
    if not (train.is_rectangular and test.is_rectangular):
        raise ValueError(
            "position_mean needs the same number of responses for every prompt, as the same generators give; this data "
            "has other numbers; leave this baseline out"
        )
    if train.n_responses != test.n_responses:
        raise ValueError(
            f"position_mean needs the same responses in train and test; got {train.n_responses} and {test.n_responses}"
        )
    gold = np.asarray(train.rewards, dtype=np.float64)
    rated = ~np.isnan(gold)
    if not (n_rated := rated.sum(axis=0)).all():
        raise ValueError(
            f"position_mean needs a training reward of every response; response {int(np.argmin(n_rated))} was never "
            "rated; leave this baseline out"
        )
    means = gold.mean(axis=0) if rated.all() else np.nansum(gold, axis=0) / n_rated
    return np.broadcast_to(means, (test.n_prompts, test.n_responses))
