"""A model that knows nothing of scikit-learn's base classes, saved and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

import rmspace as rm


@rm.register
class Bare:
    """Score along the mean of winner minus loser."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"scale": self.scale}

    def set_params(self, **parameters: Any) -> Bare:
        vars(self).update(parameters)
        return self

    def fit(self, items: Any, comparisons: Any, sample_weight: Any = None, groups: Any = None) -> Bare:
        rows = np.asarray(items)
        self.coef_ = self.scale * (rows[comparisons[:, 0]] - rows[comparisons[:, 1]]).mean(axis=0)
        return self

    def predict(self, items: Any) -> Any:
        return np.asarray(items) @ self.coef_


def test_a_bare_estimator_is_saved_and_loaded(tmp_path: Path) -> None:
    items = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    with pytest.raises(NotFittedError, match="Bare has learned nothing yet"):
        rm.save(Bare(), tmp_path / "a")
    model = Bare(2.0).fit(items, np.array([[0, 1], [2, 3]]))
    rm.save(model, tmp_path / "model")
    loaded = rm.load(tmp_path / "model")
    assert isinstance(loaded, Bare)
    assert loaded.scale == 2.0
    np.testing.assert_array_equal(loaded.predict(items), model.predict(items))
