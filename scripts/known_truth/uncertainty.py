"""Uncertainty: how often intervals of 90% for the gap of two rewards hold the true gap."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit, ndtri

import rmspace as rm
from known_truth.study import Study, Ways
from known_truth.worlds import draw, gaps_of
from rmspace.models import DropoutReward, GaussianReward, LaplaceReward

N, Z = 300, float(ndtri(0.95))
HELD, WIDTH = "gaps held", "half width, in s.d. of the true gaps"


def _of_reward(curved: bool, wrong: float, seed: int) -> Ways:
    world = draw(seed, N, curved=curved)
    first = (world.rng.random(N) < expit(world.gap)) ^ (world.rng.random(N) < wrong)
    data, true = world.judged(first), gaps_of(world.test_gold)
    found = {"Laplace": _held(*_laplace(LaplaceReward().fit(data), world.test), true)}
    for name, ensemble in _ensembles(seed).items():
        table = ensemble.fit(data).predict_members(world.test)
        gaps = np.stack([gaps_of(scores) for scores in table])
        # an ensemble is in standard deviations of the training scores, a network with dropout in log-odds
        unit = 1.0 if isinstance(ensemble, DropoutReward) else float(world.gold.std())
        found[name] = _held(unit * gaps.mean(axis=0), unit * gaps.std(axis=0, ddof=1), true)
    return found


def _laplace(model: LaplaceReward, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    z = test[0::2] - test[1::2]
    return z @ model.coef_, np.sqrt(np.einsum("ij,jk,ik->i", z, model.covariance_, z))


def _ensembles(seed: int) -> dict[str, rm.EnsembleReward]:
    network: Any = partial(
        rm.MLPReward, hidden_sizes=(32,), learning_rate=1e-2, batch_size=128, validation_fraction=0.2,
        precision="float32", device="cpu",
    )  # fmt: skip
    ensemble: Any = partial(rm.EnsembleReward, random_state=seed)
    return {
        "ensemble of 20, linear, bootstrap": ensemble(rm.LinearReward(), 20, bootstrap=True),
        "ensemble of 10 networks, seeds": ensemble(network(), 10),
        "ensemble of 10 networks, bootstrap": ensemble(network(), 10, bootstrap=True),
        "dropout 0.1, 50 members": DropoutReward(network(dropout=0.1), 50, random_state=seed),
        "dropout 0.3, 50 members": DropoutReward(network(dropout=0.3), 50, random_state=seed),
    }


def _held(gap: np.ndarray, std: np.ndarray, true: np.ndarray) -> dict[str, float]:
    return {HELD: float((np.abs(gap - true) < Z * std).mean()), WIDTH: float(Z * std.mean() / true.std())}


def _of_judges(seed: int) -> Ways:
    """Each judgement draws a reward for each item, whose standard deviation goes with the item."""
    n, dim = 3000, 4
    rng = np.random.default_rng(seed)
    w, u = rng.normal(size=(2, dim)) / np.sqrt(dim) * [[1.0], [0.6]]
    items, test = rng.normal(size=(2, 2 * n, dim))
    drawn = items @ w + np.exp(items @ u) * rng.normal(size=2 * n)
    pairs = np.arange(2 * n).reshape(n, 2)
    first = drawn[0::2] > drawn[1::2]
    data = rm.Preferences(items, np.where(first[:, None], pairs, pairs[:, ::-1]), np.arange(2 * n) // 2)
    spread = np.hypot(np.exp(test[0::2] @ u), np.exp(test[1::2] @ u))
    middle = gaps_of(test @ w)
    gap = middle + spread * rng.normal(size=n)
    mean, std = GaussianReward().fit(data).predict(test, return_std=True)
    same = gaps_of(rm.LinearReward(rm.thurstone).fit(data).predict(test))
    unit = float(middle @ same / (same @ same))  # it has no unit of its own: it gets the best one
    said = {
        "Gaussian": (gaps_of(mean), np.hypot(std[0::2], std[1::2])),
        "Thurstone, one s.d. for all items, its unit given": (unit * same, np.full(n, unit)),
    }
    return {name: _by_spread(*each, gap, spread) for name, each in said.items()}


def _by_spread(gap: np.ndarray, std: np.ndarray, true: np.ndarray, spread: np.ndarray) -> dict[str, float]:
    held = np.abs(gap - true) < Z * std
    low, high = np.quantile(spread, [0.2, 0.8])
    return {
        "drawn gaps held": float(held.mean()),
        "in the fifth on which judges agree most": float(held[spread <= low].mean()),
        "in the fifth on which they agree least": float(held[spread >= high].mean()),
    }


STUDIES = (
    Study("uncertainty", partial(_of_reward, False, 0.0)),
    Study("uncertainty-curved", partial(_of_reward, True, 0.0)),
    Study("uncertainty-wrong-labels", partial(_of_reward, False, 0.3)),
    Study("uncertainty-judges", _of_judges),
)
