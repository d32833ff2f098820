"""Weights are relative: the same ratios give the same model and the same numbers, however large or small they are."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import rmspace as rm

RNG = np.random.default_rng(0)
BANK, _ = rm.make_synthetic_banks(30, 1, 4, 16, seed=0)
PAIRS = rm.annotate(rm.same_prompt(BANK, 120, RNG), BANK, partial(rm.logistic, beta=1.0), rng=RNG)
WEIGHTS = RNG.integers(1, 16, size=120) / 4.0
TIES = np.arange(120) % 5 == 0
MLP = partial(rm.MLPReward, hidden_sizes=(8,), max_epochs=2, random_state=0, device="cpu", precision="float32")
MODELS: dict[str, Any] = {
    "linear": rm.LinearReward(),
    "LightGBM": rm.LightGBMReward(n_estimators=5, min_child_samples=2, n_jobs=1),
    "LightGBM of rows": rm.LightGBMReward(rm.classification, n_estimators=5, min_child_samples=2, n_jobs=1),
    "MLP": MLP(),
    "classifier": rm.ClassifierReward(LogisticRegression(C=0.1)),
    "ensemble": rm.EnsembleReward(MLP(), 2, bootstrap=True, random_state=0, batched=True),
    "ensemble of trees": rm.EnsembleReward(
        rm.LightGBMReward(n_estimators=3, min_child_samples=2, n_jobs=1), 2, bootstrap=True, random_state=0
    ),
}
# Powers of two, so that the products are exact: about 1e-6, 1e-45, the smallest, and above 1e307.
SCALES = [2.0**-20, 2.0**-150, 2.0**-1070, 2.0**1021]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_a_common_factor_of_all_weights_changes_nothing(name: str, ties: bool) -> None:
    def fitted(weights: Any) -> Any:
        columns = {"tie": TIES} if ties else None
        return MODELS[name].fit(BANK.items, PAIRS, weights, BANK.groups, columns=columns)

    expected = fitted(WEIGHTS).predict(BANK.items)
    assert np.ptp(expected) > 0
    for scale in SCALES:
        np.testing.assert_array_equal(fitted(scale * WEIGHTS).predict(BANK.items), expected)


@pytest.mark.parametrize("name", MODELS)
def test_equal_weights_are_no_weights(name: str) -> None:
    model = MODELS[name]
    expected = model.fit(BANK.items, PAIRS, None, BANK.groups).predict(BANK.items)
    for weight in (1.0, 1 / 5000, 1e-6, 1e-45, 1e308):
        found = model.fit(BANK.items, PAIRS, np.full(120, weight), BANK.groups).predict(BANK.items)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_measures_take_weights_of_any_size() -> None:
    scores = BANK.items[:, 0]
    tables, shares = [], []
    for scale in (1.0, *SCALES):
        data = rm.Preferences(BANK.items, PAIRS, BANK.groups, weight=scale * WEIGHTS, tie=TIES)
        tables += [
            rm.evaluate_preferences(scores, data).value.tolist(),
            rm.calibration_table(scores, data).share.tolist(),
        ]
        shares.append(MODELS["linear"].fit(BANK.items, PAIRS).score(data))
        low, mean, high = rm.mean_interval(scores[:120], weights=scale * WEIGHTS)
        shares.append((low, mean, high))
    assert all(table == tables[k % 2] for k, table in enumerate(tables))
    assert all(share == shares[k % 2] for k, share in enumerate(shares))
    assert np.isfinite(shares[0])


@pytest.mark.parametrize("n_with_weight", [2, 5])
def test_members_are_drawn_among_what_has_weight(n_with_weight: int) -> None:
    weights = np.zeros(120)
    weights[:n_with_weight] = 1.0
    model = rm.EnsembleReward(rm.LinearReward(), n_members=20, bootstrap=True, random_state=0)
    found = model.fit(BANK.items, PAIRS, weights)
    alone = rm.EnsembleReward(rm.LinearReward(), n_members=20, bootstrap=True, random_state=0)
    expected = alone.fit(BANK.items, PAIRS[:n_with_weight])
    for one, other in zip(found.members_, expected.members_, strict=True):
        np.testing.assert_allclose(one.coef_, other.coef_)
