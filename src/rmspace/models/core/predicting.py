"""Scores of the items of a bank or of preferences, for models that score items and for those that compare them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

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
    last = model[-1] if isinstance(model, Pipeline) else model
    if not (hasattr(last, "win_rates") and hasattr(last, "log_odds")):
        return model.predict(data.items)
    items = model[:-1].transform(data.items) if isinstance(model, Pipeline) and len(model) > 1 else data.items
    if isinstance(data, ResponseBank):
        return last.win_rates(items, data.groups)
    odds = last.log_odds(*(choose(items, side) for side in data.comparisons.T))
    return np.stack([odds, np.zeros(len(odds))], axis=1)
