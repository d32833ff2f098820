"""Pairs, ratings and labels in one fit: each part alone is its own objective, and together they know more."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit

import rmspace as rm
from rmspace import objectives
from rmspace.data.mixture import mix
from rmspace.objectives import mixture

COEF = np.random.default_rng(0).normal(size=12)


def world(n: int, seed: int, beta: float = 2.0) -> dict[str, rm.Preferences]:
    """Draw n comparisons, n rated items and n labelled items of one reward."""
    rng = np.random.default_rng(seed)
    items = rng.normal(size=(2 * n, 12))
    pairs = np.arange(2 * n).reshape(-1, 2)
    gold = items @ COEF
    first = rng.random(n) < expit(beta * (gold[pairs[:, 0]] - gold[pairs[:, 1]]))
    rated, labelled = rng.normal(size=(2, n, 12))
    ratings = rated @ COEF + rng.normal(size=n)
    good = rng.random(n) < expit(beta * labelled @ COEF)
    return {
        "pairs": rm.Preferences(items, np.where(first[:, None], pairs, pairs[:, ::-1]), np.arange(2 * n) // 2),
        "ratings": rm.pair_up(rated, ratings, 10_000 + np.arange(n) // 4),
        "labels": rm.pair_up(labelled, good, 20_000 + np.arange(n) // 4, name="label"),
    }


@pytest.mark.parametrize(
    ("part", "alone", "options"),
    [
        ("pairs", partial(objectives.scaled, beta=2.0), {"beta": 2.0}),
        ("ratings", objectives.squared_rating, {}),
        ("labels", objectives.good_or_bad, {}),
    ],
)
def test_each_part_alone_is_its_own_objective(part: str, alone: Any, options: dict[str, float]) -> None:
    data = world(80, 1)[part]
    one = rm.LinearReward(partial(mixture, **options), alpha=0.01).fit(mix(**{part: data}))
    other = rm.LinearReward(alone, alpha=0.01).fit(data)
    np.testing.assert_allclose(one.predict(data.items), other.predict(data.items), atol=1e-4)


def test_losses_are_their_formulas_with_ties_weights_and_a_threshold() -> None:
    rng = np.random.default_rng(2)
    w, k = rng.normal(size=(2, 4))
    columns = {
        "source": torch.tensor([0, 0, 1, 2]),
        "winner_rating": torch.tensor([0.0, 0.0, 2.0, 0.0]),
        "loser_rating": torch.tensor([0.0, 0.0, -1.0, 0.0]),
        "winner_label": torch.tensor([False, False, False, True]),
        "loser_label": torch.tensor([False, False, False, False]),
        "tie": torch.tensor([False, True, True, True]),
    }
    options: dict[str, Any] = {"beta": 1.5, "threshold": 0.3, "weights": (1.0, 0.5, 2.0)}
    found = mixture(torch.from_numpy(w), torch.from_numpy(k), **columns, **options).numpy()
    gap = 1.5 * (w - k)
    expected = [
        np.log1p(np.exp(-gap[0])),
        (np.log1p(np.exp(-gap[1])) + np.log1p(np.exp(gap[1]))) / 2,
        0.5 * ((w[2] - 2) ** 2 + (k[2] + 1) ** 2) / 2,
        2 * (np.log1p(np.exp(-1.5 * (w[3] - 0.3))) + np.log1p(np.exp(1.5 * (k[3] - 0.3)))),
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_all_data_together_are_better_than_each_part() -> None:
    test = np.random.default_rng(3).normal(size=(2000, 12))
    gold, errors = test @ COEF, []
    for seed in range(8):
        parts = world(40, seed)
        fits = [mix(**{name: part}) for name, part in parts.items()] + [mix(**parts)]
        models = [rm.LinearReward(partial(mixture, beta=2.0), alpha=1e-2).fit(data) for data in fits]
        errors.append([1 - np.corrcoef(model.predict(test), gold)[0, 1] for model in models])
    difference = np.array(errors)[:, :3] - np.array(errors)[:, 3:]
    assert (difference.mean(axis=0) > 3 * difference.std(axis=0, ddof=1) / np.sqrt(8)).all()


def test_beta_is_found_on_held_out_rows() -> None:
    data = mix(**{name: part for name, part in world(300, 4, beta=3.0).items() if name != "labels"})
    found = rm.estimate_option(mixture, "beta", data, low=0.2, high=10.0)
    assert found.low < 3.0 < found.high


def test_parts_keep_prompts_weights_and_ties() -> None:
    items = np.eye(3)
    pairs = rm.Preferences(items, [[0, 1], [1, 2]], ["a", "a", "b"], weight=[2, 3], tie=[True, False], margin=[1, 2])
    labels = rm.pair_up(items, [True, False, True], ["b", "b", "b"], name="label")
    data = mix(pairs=pairs, labels=labels)
    assert data.groups.tolist() == ["a", "a", "b", "b", "b", "b"]
    assert data.columns["weight"].tolist() == [2.0, 3.0, 1.0, 1.0, 1.0]
    assert data.columns["tie"].tolist()[:2] == [True, False]
    assert data.columns["source"].tolist() == [0, 0, 2, 2, 2]
    assert sorted(data.columns) == sorted(
        ["source", "weight", "tie", *(f"{s}_{n}" for s in ("winner", "loser") for n in ("rating", "label"))]
    )
    np.testing.assert_array_equal(data.items[data.comparisons[2:]], items[labels.comparisons])


@pytest.mark.parametrize(
    "model",
    [
        rm.MLPReward(hidden_sizes=(8,), learning_rate=1e-2, max_epochs=10, validation_fraction=0.2),
        rm.LightGBMReward(n_estimators=10, n_jobs=1),
    ],
)
def test_networks_and_trees_learn_from_a_mixture(model: Any, tmp_path: Path) -> None:
    parts = world(300, 5)
    fitted = model.set_params(objective=partial(mixture, beta=2.0), random_state=0).fit(mix(**parts))
    assert fitted.score(parts["pairs"]) > 0.65
    fitted.save(tmp_path / "model")
    again = rm.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(parts["pairs"].items), fitted.predict(parts["pairs"].items))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: mix(), ValueError, "at least one of pairs, ratings and labels"),
        (lambda p: mix(pairs=p["pairs"].items), TypeError, "pairs must be Preferences"),
        (lambda p: mix(ratings=p["pairs"]), ValueError, "ratings must have the column 'winner_rating'; it has none"),
        (lambda p: mix(labels=p["ratings"]), ValueError, "labels must have the column 'winner_label'; it has"),
        (
            lambda p: mix(pairs=rm.Preferences(np.eye(2), [[0, 1]], [0, 0]), ratings=p["ratings"]),
            ValueError,
            "ratings must have items of the dim 2 of pairs; got 12",
        ),
        (
            lambda p: mix(pairs=rm.Preferences(np.ones((2, 12)), [[0, 1]], ["a", "a"]), ratings=p["ratings"]),
            ValueError,
            "ratings and pairs must both have groups of integers, or both of text",
        ),
        (lambda p: rm.LinearReward(partial(mixture, weights=(1.0, 2.0))).fit(mix(**p)), ValueError, "three numbers"),
        (lambda p: rm.LinearReward(partial(mixture, beta=0.0)).fit(mix(**p)), ValueError, "beta must be at least"),
        (lambda p: rm.LinearReward(mixture).fit(p["pairs"]), ValueError, "needs the column 'source'"),
        (
            lambda p: mixture(
                torch.zeros(1),
                torch.zeros(1),
                source=torch.tensor([3]),
                **{f"{s}_{n}": torch.zeros(1) for s in ("winner", "loser") for n in ("rating", "label")},
            ),
            ValueError,
            r"source must be 0 \(pair\), 1 \(ratings\) or 2 \(labels\); got \[3",
        ),
    ],
)
def test_bad_input(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(world(8, 6))
