"""A reward model that tunes itself: it is what `search` finds, it saves and loads, and it works in configs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rmspace as rm
from rmspace.config import load_config
from rmspace.models import LaplaceReward, TunedReward
from rmspace.models.core.base import draw_seed
from rmspace.reductions import rank_mean

ALPHAS = [1e3, 1e-4, 1e-2]


@pytest.fixture(scope="module")
def preferences() -> rm.Preferences:
    bank, _ = rm.make_synthetic_banks(60, 1, 4, 16, noise_std=0.0, seed=0)
    rng = np.random.default_rng(0)
    return rm.Preferences.from_bank(bank, rm.same_prompt(bank, 300, rng), rm.oracle, rng=rng)


def test_it_is_what_search_finds(preferences: rm.Preferences, tmp_path: Path) -> None:
    tuned = TunedReward(rm.LinearReward(), {"alpha": ALPHAS}, n_splits=3, random_state=4).fit(preferences)
    found = rm.search(rm.LinearReward(), {"alpha": ALPHAS}, preferences, n_splits=3, seed=draw_seed(4))
    assert tuned.best_parameters == found.parameters != {"alpha": ALPHAS[0]}
    np.testing.assert_allclose(tuned.accuracies_, found.table.groupby("alpha", sort=False).accuracy.mean())
    np.testing.assert_allclose(tuned.predict(preferences.items), found.model.predict(preferences.items))
    tuned.save(tmp_path / "model")
    again = rm.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(preferences.items), tuned.predict(preferences.items))
    assert again.best_parameters == tuned.best_parameters


def test_pipelines_and_weights(preferences: rm.Preferences) -> None:
    member = make_pipeline(StandardScaler(), rm.LinearReward())
    weights = np.where(np.arange(300) < 200, 2.0, 0.0)
    model = TunedReward(member, {"linearreward__alpha": ALPHAS}, n_splits=2, random_state=0)
    model.fit(preferences.items, preferences.comparisons, weights, preferences.groups)
    kept = rm.Preferences(preferences.items, preferences.comparisons[:200], preferences.groups)
    expected = TunedReward(member, {"linearreward__alpha": ALPHAS}, n_splits=2, random_state=0).fit(kept)
    assert set(model.best_parameters) == {"linearreward__alpha"}
    np.testing.assert_allclose(model.predict(kept.items[:9]), expected.predict(kept.items[:9]), rtol=1e-5, atol=1e-8)


def test_columns_reach_the_member(preferences: rm.Preferences) -> None:
    margins = np.linspace(0, 2, 300)
    member = rm.LinearReward(objective=rm.objectives.margin_bradley_terry)
    model = TunedReward(member, {"alpha": [1e-4]}, n_splits=2, random_state=0)
    model.fit(preferences.items, preferences.comparisons, groups=preferences.groups, columns={"margin": margins})
    plain = member.fit(preferences.items, preferences.comparisons, columns={"margin": margins})
    np.testing.assert_allclose(model.predict(preferences.items), plain.predict(preferences.items), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_ranks_are_among_all_items_of_a_call(
    preferences: rm.Preferences, in_pipeline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble = rm.EnsembleReward(rm.LinearReward(), 3, reduce=rank_mean, bootstrap=True, random_state=0)
    member, alpha = (
        (make_pipeline(StandardScaler(), ensemble), "ensemblereward__member__alpha")
        if in_pipeline
        else (ensemble, "member__alpha")
    )
    model = TunedReward(member, {alpha: [1e-3]}, n_splits=2, random_state=0).fit(preferences)
    whole = model.predict(preferences.items)
    monkeypatch.setattr("rmspace.models.core.scoring._BLOCK_NUMBERS", 10 * preferences.dim)
    np.testing.assert_array_equal(model.predict(preferences.items), whole)
    last = model.member_[-1] if in_pipeline else model.member_
    items = model.member_[:-1].transform(preferences.items) if in_pipeline else preferences.items
    np.testing.assert_allclose(whole, rank_mean(last.predict_members(items)))


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_the_uncertainty_of_the_member(preferences: rm.Preferences, in_pipeline: bool) -> None:
    member = make_pipeline(StandardScaler(), LaplaceReward()) if in_pipeline else LaplaceReward()
    name = "laplacereward__alpha" if in_pipeline else "alpha"
    model = TunedReward(member, {name: [1e-2]}, n_splits=2, random_state=0).fit(preferences)
    found = model.predict(preferences.items, return_std=True)
    expected = rm.fit_model(member.set_params(**{name: 1e-2}), preferences).predict(preferences.items, return_std=True)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-8)
    assert found[1].min() > 0


def test_members_without_uncertainty(preferences: rm.Preferences) -> None:
    plain = TunedReward(rm.LinearReward(), {"alpha": [1e-2]}, n_splits=2).fit(preferences)
    with pytest.raises(ValueError, match="LinearReward states no uncertainty"):
        plain.predict(preferences.items, return_std=True)
    own = TunedReward(FirstNumber(), {"sign": [1.0, -1.0]}, n_splits=2).fit(preferences)
    np.testing.assert_array_equal(np.abs(own.predict(preferences.items)), np.abs(preferences.items[:, 0]))
    with pytest.raises(ValueError, match="TunedReward states no uncertainty"):
        own.predict(preferences.items, return_std=True)


class FirstNumber(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Somebody's own estimator."""

    def __init__(self, sign: float = 1.0) -> None:
        self.sign = sign

    def fit(self, items: Any, comparisons: Any, sample_weight: Any = None, groups: Any = None) -> FirstNumber:
        self.n_features_in_ = items.shape[1]
        return self

    def predict(self, items: Any) -> Any:
        return self.sign * items[:, 0]


def test_a_config_tunes(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "data: {use: make_synthetic_banks, n_prompts: 30, n_test_prompts: 10, n_responses: 4, dim: 16}\n"
        "pairs: {use: same_prompt}\nn_pairs: 60\nannotator: {use: oracle}\n"
        "models: {BT: {use: TunedReward, member: {use: LinearReward}, grid: {alpha: [1.0e-4, 10]}, n_splits: 2}}\n",
        encoding="utf-8",
    )
    experiment = load_config(path)
    train, test = experiment.data()
    table = rm.run(train=train, test=test, **experiment.options)
    assert "BT" in set(table.model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"member": rm.LinearReward}, "member must be a reward model, not its class; write LinearReward"),
        ({"grid": None}, "grid must be a dict of parameter -> values to try"),
        ({"grid": {}}, "grid must be a dict of parameter -> values to try"),
        ({"grid": {"alpha": 3}}, r"grid\['alpha'\] must be a list of at least one value"),
        ({"grid": {"alpha": []}}, r"grid\['alpha'\] must be a list of at least one value"),
        ({"grid": {"alhpa": [1]}}, "alhpa"),
        ({"n_splits": 1}, "n_splits must be at least 2"),
    ],
)
def test_bad_input(preferences: rm.Preferences, options: dict[str, Any], message: str) -> None:
    model = TunedReward(**{"member": rm.LinearReward(), "grid": {"alpha": [1.0]}, **options})
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(preferences)
