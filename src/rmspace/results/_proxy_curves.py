"""The gains in score and in gold reward of each prompt along two policies that follow the scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rmspace._checks import as_array, check_int, check_number, describe
from rmspace._typing import Float64Array, IntArray
from rmspace.data.bank import ResponseBank
from rmspace.metrics._by_count import as_sizes
from rmspace.metrics.selection import gain
from rmspace.metrics.tilting import tilted_kl, tilted_reward
from rmspace.results.evaluate import rated_of

_MOST_SIZES = 24
_ROUNDING = 1e-12  # values that differ by less than this share of their size differ by rounding only
_STEPS = 2.0 ** np.arange(3.0, -3.5, -0.5)  # temperatures, in standard deviations of the scores


class ProxyCurve(NamedTuple):
    """The gains of each prompt over a random response, along one policy."""

    policy: str
    settings: list[int] | list[float]  # n, or temperatures
    kl: Float64Array  # (n_settings,)
    proxy: Float64Array  # (n_prompts, n_settings), on the scale of the rewards
    gold: Float64Array  # (n_prompts, n_settings)
    prompts: IntArray  # (n_prompts,) equal where two rows are one prompt

    @property
    def n_prompts(self) -> int:
        """Number of different prompts."""
        return len(np.unique(self.prompts))


def curves_of(
    scores: npt.ArrayLike,
    rewards: npt.ArrayLike | ResponseBank,
    n: Sequence[int] | None,
    temperatures: Sequence[float] | None,
) -> Iterator[ProxyCurve]:
    """Yield the curve of Best-of-N and that of tilting, over the same prompts."""
    score, gold, ids = rated_of(scores, rewards)
    counts = np.count_nonzero(~np.isnan(gold), axis=1)
    sizes = _default_sizes(int(counts.min())) if n is None else as_sizes(n)
    if max(sizes) > counts.max():
        raise ValueError(
            f"n must be at most {counts.max()}, the largest number of rated responses of a prompt; got {max(sizes)}"
        )
    used = counts >= max(sizes)
    score, gold = score[used], gold[used]
    prompts = np.flatnonzero(used) if ids is None else ids[used]
    score = np.where(np.isnan(gold), np.nan, score)
    spread, unit = _spread(gold), _spread(score)
    ratio = spread / unit if unit else 1.0
    yield ProxyCurve(
        "best_of_n",
        sizes,
        best_of_n_kl(sizes),
        ratio * _gain(score, score, sizes),
        _gain(score, gold, sizes),
        prompts,
    )
    degrees = (_STEPS * (unit or 1.0)).tolist() if temperatures is None else _as_temperatures(temperatures)
    sides = [tilted_reward(score, side, temperature=[*degrees, np.inf]) for side in (score, gold)]
    proxy, real = (side[:, :-1] - side[:, -1:] for side in sides)
    kl = tilted_kl(score, gold, temperature=degrees).mean(axis=0)
    yield ProxyCurve("tilting", degrees, kl, ratio * proxy, real, prompts)


def best_of_n_kl(n: int | Sequence[int]) -> Float64Array:
    """KL divergence in nats of Best-of-n from the policy that writes the responses: log n - (n - 1) / n.

    It is exact where no two responses have the same score, and an upper bound otherwise.

    Args:
        n: one number of responses, or several, each at least 1.

    Returns:
        An array of the shape of n.

    Raises:
        ValueError: an n below 1.
        TypeError: an n that is no integer.

    Source: Stiennon et al., "Learning to summarize" (arXiv 2009.01325), appendix G.3; for the bound, Beirami et al.
    (arXiv 2401.01879).

    >>> best_of_n_kl([1, 2, 100]).round(4).tolist()
    [0.0, 0.1931, 3.6152]
    """
    sizes = as_array("n", n, "integers")
    if sizes.dtype.kind not in "iu":
        raise TypeError(f"n must be integers; got {describe(sizes)}")
    if sizes.size:
        check_int("n", int(sizes.min()), low=1)
    numbers = sizes.astype(np.float64)
    return np.asarray(np.log(numbers) - (numbers - 1) / numbers)


def _gain(scores: Float64Array, rewards: Float64Array, sizes: list[int]) -> Float64Array:
    """Return the gain of Best-of-n, with the 0 of n = 1 free of rounding."""
    return np.where(np.array(sizes) == 1, 0.0, gain(scores, rewards, n=sizes))


def _default_sizes(most: int) -> list[int]:
    if most < 2:
        raise ValueError(
            "a curve of Best-of-N needs two rated responses of each prompt; one has 1; give n, and the prompts with "
            "fewer than max(n) rated responses are left out"
        )
    return sorted({round(size) for size in np.geomspace(1, most, _MOST_SIZES).tolist()})


def _as_temperatures(temperatures: Sequence[float]) -> list[float]:
    found = [check_number("temperature", each, low=0.0, finite=False) for each in temperatures]
    if not found:
        raise ValueError("temperatures must have at least one number; got none")
    return found


def _spread(values: Float64Array) -> float:
    """Return the standard deviation within prompts, over the rated responses of all prompts; 0 where it is rounding."""
    size = float(np.nanmax(np.abs(values))) or 1.0  # squares of large values would overflow
    scaled = values / size
    spread = float(np.sqrt(np.nanmean((scaled - np.nanmean(scaled, axis=1, keepdims=True)) ** 2)))
    return size * spread if spread > _ROUNDING else 0.0
