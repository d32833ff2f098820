"""Baselines: scores that need no model, which any reward model should be compared with."""

from __future__ import annotations

import numpy as np

from rmspace._typing import Float64Array
from rmspace.data.bank import ResponseBank, check_bank
from rmspace.data.preferences import Preferences, check_preferences

__all__ = ["best_response", "feature_score", "first_position", "position_mean", "random_response"]

Data = ResponseBank | Preferences


def random_response(train: Data, test: Data) -> Float64Array:  # noqa: ARG001
    """Give every response the same score: Best-of-N then has the expected reward of a random response.

    On preferences the accuracy is then 1/2; by the strict rule, which calls equal scores wrong, it is 0.

    >>> bank = ResponseBank(np.zeros((1, 2, 4), np.float32))
    >>> random_response(bank, bank).tolist()
    [[0.0, 0.0]]
    """
    if isinstance(test, Preferences):
        return np.zeros(test.n_items)
    check_bank("test", test)
    return np.zeros((test.n_prompts, int(test.counts.max())))


def best_response(train: Data, test: ResponseBank) -> Float64Array:  # noqa: ARG001
    """Score by the gold reward, which gives every metric its best value; NaN where nobody rated.

    >>> bank = ResponseBank(np.zeros((1, 2, 4), np.float32), np.array([[1.0, 2.0]]))
    >>> best_response(bank, bank).tolist()
    [[1.0, 2.0]]
    """
    if isinstance(test, Preferences):
        raise ValueError("best_response needs gold rewards; the test data are preferences; leave this baseline out")
    check_bank("test", test)
    return np.asarray(test.rewards, dtype=np.float64)


def feature_score(train: Data, test: Data, *, feature: str, smallest: bool = False) -> Float64Array:  # noqa: ARG001
    """Score by a feature of the test items: with "length", the longest response has the highest score.

    With `smallest`, the item with the smallest value has the highest score.

    Raises:
        ValueError: the test data have no such feature, or it is missing (NaN) for an item of preferences.

    >>> bank = ResponseBank(np.zeros((1, 2, 4), np.float32), features={"length": np.array([[30, 10]])})
    >>> feature_score(bank, bank, feature="length").tolist()
    [[30.0, 10.0]]
    """
    if not isinstance(test, Preferences):
        check_bank("test", test)
    if feature not in test.features:
        raise ValueError(f"the test data have no feature {feature!r}; they have {sorted(test.features) or 'none'}")
    values = np.asarray(test.features[feature], dtype=np.float64).reshape(-1) * (-1 if smallest else 1)
    if isinstance(test, ResponseBank):
        return test.padded(values)
    if missing := int(np.isnan(values).sum()):
        raise ValueError(f"the feature {feature!r} is missing for {missing} of {test.n_items} items; leave it out")
    return values


def first_position(train: Data, test: Preferences) -> Float64Array:  # noqa: ARG001
    """Choose the response that was shown first, (n_comparisons, 2); the column `first` says which one it was.

    Its accuracy is the share of comparisons in which the first response won: 1/2 where judges have no such habit.

    Args:
        train: not used.
        test: preferences with the column `first`: 0 where the winner was shown first, 1 where the loser was.

    Raises:
        ValueError: no such column, or other values in it.
        TypeError: the test data are no preferences.

    >>> items = np.eye(4, dtype=np.float32)
    >>> data = Preferences(items, [[0, 1], [3, 2]], groups=["a", "a", "b", "b"], columns={"first": [0, 1]})
    >>> first_position(data, data).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    check_preferences("test", test)  # a bank does not say what was shown first
    if "first" not in test.columns:
        raise ValueError(
            f"first_position needs the column 'first'; the test data have {sorted(test.columns) or 'none'}"
        )
    first = test.columns["first"]
    if not np.isin(first, (0, 1)).all():
        raise ValueError("column 'first' must be 0 (the winner was shown first) or 1 (the loser was)")
    return np.stack([first == 0, first == 1], axis=1).astype(np.float64)


def position_mean(train: Data, test: Data) -> Float64Array:
    """Score response r by its mean gold reward over the training prompts; unrated responses are left out.

    This has a meaning only where column r comes from the same generator for every prompt.

    Raises:
        ValueError: the training data are not a bank; train and test have different numbers of responses; a response
            is rated on no training prompt.

    >>> train = ResponseBank(np.zeros((2, 2, 4), np.float32), np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> position_mean(train, train[:1]).tolist()
    [[2.0, 3.0]]
    """
    if not (isinstance(train, ResponseBank) and isinstance(test, ResponseBank)):
        other = test if isinstance(train, ResponseBank) else train
        raise ValueError(
            f"position_mean needs the gold rewards of a training bank, and a test bank; got {type(other).__name__}; "
            "leave this baseline out"
        )
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
