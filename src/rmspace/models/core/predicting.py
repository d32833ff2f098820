"""Scores of the items of a bank or of preferences, for models that score items and for those that compare them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.data.bank import ResponseBank
from rmspace.data.mapped import choose
from rmspace.data.preferences import Preferences


def predict_data(model: Any, data: ResponseBank | Preferences) -> Any:
    """Score the items of a bank or of preferences with a fitted model, or with a pipeline that ends in one.

    A model that compares items has no score of its own for an item. It has the methods `win_rates(items, groups)` and
    `log_odds(first, second)`. The score of a response is then its win rate against the others of its prompt. A
    comparison has the log-odds of its winner, and 0 for its loser.

    Returns:
        (n_items,); of preferences with a model that compares, (n_comparisons, 2) for winner and loser.

    >>> from rmspace import LinearReward
    >>> items, comparisons = np.eye(3), [[0, 1], [1, 2], [2, 0]]
    >>> cycle = Preferences(items, comparisons, groups=[0, 0, 0])
    >>> from rmspace.models import GeneralPreferenceReward
    >>> scores = predict_data(GeneralPreferenceReward(random_state=0).fit(cycle), cycle)
    >>> scores.shape, bool((scores[:, 0] > scores[:, 1]).all())
    ((3, 2), True)
    >>> predict_data(LinearReward().fit(cycle), cycle).shape
    (3,)
    """
    if not compares(model):
        return model.predict(data.items)
    last, items = last_step(model, data.items)
    if isinstance(data, ResponseBank):
        return last.win_rates(items, data.groups)
    odds = last.log_odds(*(choose(items, side) for side in data.comparisons.T))
    return np.stack([odds, np.zeros(len(odds))], axis=1)


def predict_pairs(model: Any, items: FloatArray, pairs: IntArray) -> tuple[Float64Array, Float64Array]:
    """Score the two items of each pair, (n_pairs,) each: by their scores, or by log-odds and 0."""
    if not compares(model):
        scores = np.asarray(model.predict(items))
        return scores[pairs[:, 0]], scores[pairs[:, 1]]
    last, items = last_step(model, items)
    odds = np.asarray(last.log_odds(items[pairs[:, 0]], items[pairs[:, 1]]))
    return odds, np.zeros(len(odds))


def compares(model: Any) -> bool:
    """Say whether a model, or the last step of a pipeline, compares items in place of scoring each."""
    last = model[-1] if isinstance(model, Pipeline) else model
    return hasattr(last, "win_rates") and hasattr(last, "log_odds")


def last_step(model: Any, items: Any) -> tuple[Any, Any]:
    """Return the model at the end of a pipeline, and the items as it gets them."""
    if not isinstance(model, Pipeline):
        return model, items
    return model[-1], model[:-1].transform(items) if len(model) > 1 else items
