"""Annotators: what their reliabilities are worth to the reward, and how often their intervals hold the truth."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.special import expit, ndtri

import rmspace as rm
from known_truth.study import Study, Ways
from known_truth.worlds import draw, measured
from rmspace.models import AnnotatorReward

ANNOTATORS, SPREAD = 5, 0.7  # SPREAD: of log beta


def _run(n: int, dim: int, alpha: float, seed: int) -> Ways:
    """n comparisons by each annotator."""
    world = draw(seed, n * ANNOTATORS, dim=dim, spread=2.0)
    log_betas = world.rng.normal(size=ANNOTATORS) * SPREAD
    log_betas -= log_betas.mean()
    who = np.arange(len(world.pairs)) % ANNOTATORS
    first = world.rng.random(len(who)) < expit(np.exp(log_betas)[who] * world.gap)
    data = world.judged(first, annotator=who)
    model = AnnotatorReward(alpha=alpha).fit(data)
    away = np.abs(np.log(model.betas_) - log_betas) / model.errors_
    held = {
        "share of betas in their 95% intervals": float((away < ndtri(0.975)).mean()),
        "all five in intervals of 95% together": float((away < ndtri(1 - 0.025 / ANNOTATORS)).all()),
    }
    return {
        "Bradley-Terry": measured(world, rm.LinearReward(alpha=alpha).fit(data).predict(world.test)),
        "learned reliabilities": measured(world, model.predict(world.test)) | held,
    }


STUDIES = (
    Study("annotators", partial(_run, 200, 8, 1e-5), "Bradley-Terry", 100),
    Study("annotators-few", partial(_run, 20, 32, 1e-5), "Bradley-Terry", 100),
    Study("annotators-few-penalty", partial(_run, 20, 32, 1e-2), "Bradley-Terry", 100),
)
