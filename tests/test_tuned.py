"""A reward model that tunes itself: it is what `search` finds, it saves and loads, and it works in configs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rmspace as rm
from rmspace.config import load_config
from rmspace.models import TunedReward
from rmspace.models.core.base import draw_seed

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
