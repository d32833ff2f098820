"""Exponential tilting: the gold reward of a policy that prefers responses with high scores, and its KL divergence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import xlogy

from rmspace._checks import check_number
from rmspace._typing import Float64Array
from rmspace.metrics._by_count import measure

__all__ = ["tilted_kl", "tilted_reward"]


def tilted_reward(
    scores: npt.ArrayLike, rewards: npt.ArrayLike, *, temperature: float | Sequence[float]
) -> Float64Array:
    """Expected gold reward of a response that is drawn by its score, for each prompt, exactly.

        sum_i w_i reward_i,   w_i = exp(score_i / temperature) / sum_j exp(score_j / temperature)

    The sums are over the R rated responses of the prompt. Of all policies with the same expected score, this one has
    the smallest KL divergence from the uniform choice. An infinite temperature gives the mean reward. A temperature of
    0 gives the reward of the response with the highest score; responses with equal scores share their weight equally.

    Args:
        scores, rewards: as in `best_of_n`.
        temperature: at least 0, in units of the score; one, or several.

    Returns:
        (n_prompts,) for one temperature, (n_prompts, len(temperature)) for several; `nan` where nothing is rated.

    Raises:
        ValueError: a negative temperature; shapes that do not fit, infinite values, scores that are missing where the
            reward is rated.

    Source: the optimum of a reward with a KL penalty, equation 4 of Rafailov et al., "Direct preference optimization"
    (arXiv 2305.18290), with the uniform choice among the responses as reference.

    >>> scores, rewards = np.array([[0.0, np.log(3.0)]]), np.array([[4.0, 8.0]])
    >>> tilted_reward(scores, rewards, temperature=[0.0, 1.0, np.inf]).round(12).tolist()
    [[8.0, 7.0, 6.0]]
    """
    return _at_each(temperature, scores, rewards, lambda weights, gold: (weights * gold).sum(axis=1))


def tilted_kl(scores: npt.ArrayLike, rewards: npt.ArrayLike, *, temperature: float | Sequence[float]) -> Float64Array:
    """KL divergence in nats of the policy of `tilted_reward` from the uniform choice, for each prompt, exactly.

        KL = sum_i w_i log(w_i R)

    It is 0 at an infinite temperature, and log(R / number of highest scores) at 0.

    Args:
        scores, rewards, temperature: as in `tilted_reward`; rewards only say which responses are rated.

    Returns:
        (n_prompts,) or (n_prompts, len(temperature)), in [0, log R]; `nan` where nothing is rated.

    Raises:
        ValueError: as `tilted_reward`.

    >>> tilted_kl(np.array([[0.0, 1.0]]), np.array([[4.0, 8.0]]), temperature=[0.0, np.inf]).round(4).tolist()
    [[0.6931, 0.0]]
    """
    return _at_each(temperature, scores, rewards, _divergence)


def _at_each(
    temperature: float | Sequence[float],
    scores: npt.ArrayLike,
    rewards: npt.ArrayLike,
    value: Callable[[Float64Array, Float64Array], Float64Array],
) -> Float64Array:
    """Return a value of weights and rewards (n_prompts, n_responses) at each temperature."""
    several: Any = temperature
    is_one = np.ndim(several) == 0
    temperatures = [
        check_number("temperature", each, low=0.0, finite=False) for each in ([several], several)[not is_one]
    ]
    if not temperatures:
        raise ValueError("temperature must be at least one number; got none")

    def at(t: float, score: Float64Array, gold: Float64Array) -> Float64Array:
        return value(_weights(score, t), gold)

    values = [measure(scores, rewards, partial(at, t)) for t in temperatures]
    return values[0] if is_one else np.stack(values, axis=1)


def _weights(scores: Float64Array, temperature: float) -> Float64Array:
    """Return exp(scores / temperature), divided by its sum over each row."""
    if np.isinf(temperature):
        return np.full(scores.shape, 1 / scores.shape[1])
    highest = scores.max(axis=1, keepdims=True)
    if temperature == 0:
        weights = (scores == highest).astype(np.float64)
    else:
        with np.errstate(over="ignore"):  # a difference may be -inf, and its weight is then 0
            weights = np.exp((scores - highest) / temperature)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _divergence(weights: Float64Array, gold: Float64Array) -> Float64Array:
    return np.maximum(xlogy(weights, weights * gold.shape[1]).sum(axis=1), 0.0)
