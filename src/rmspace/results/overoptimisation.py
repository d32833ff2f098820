"""Over-optimisation: gold reward against proxy score as a policy follows the scores more and more closely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy.typing as npt
import pandas as pd

from rmspace.data.bank import ResponseBank
from rmspace.results._proxy_curves import best_of_n_kl as best_of_n_kl
from rmspace.results._proxy_curves import curves_of
from rmspace.results.evaluate import named
from rmspace.results.intervals import mean_interval
from rmspace.results.schema import OVEROPTIMISATION, table_of


def overoptimisation_table(
    scores: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    rewards: npt.ArrayLike | ResponseBank,
    *,
    n: Sequence[int] | None = None,
    temperatures: Sequence[float] | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Measure proxy and gold reward along Best-of-N and along exponential tilting, exactly, with intervals.

    A policy that follows the scores further has a larger KL divergence. If the score goes on rising while the gold
    reward falls, the scores are over-optimised. `proxy` and `gold` are gains over a random response of the prompt, so
    both begin at 0. Scores are first multiplied by (standard deviation of the rewards) / (standard deviation of the
    scores), both within prompts. Perfect scores then have equal gains, and the unit of the scores has no effect.

    - best_of_n: the highest-scored of n responses; see `best_of_n`. Its KL is that of `best_of_n_kl`, from the policy
      that wrote the responses.
    - tilting: a response drawn with weights exp(score / temperature); see `tilted_reward`. Its KL is exact, from the
      uniform choice among the responses of the bank, so it is at most log R.

    Args:
        scores, confidence: as in `evaluate`.
        rewards: as in `evaluate`. All means are over the same prompts: those with at least max(n) rated responses.
        n: sizes of Best-of-N. When None: up to 24 sizes from 1 to the smallest number of rated responses of a prompt,
            by even ratios.
        temperatures: in units of the score. When None: 13 from 8 down to 1/8 times the standard deviation of the scores
            within prompts, by even ratios.

    Returns:
        Columns model, policy, n, temperature, kl, proxy, proxy_low, proxy_high, gold, gold_low, gold_high, n_prompts.

    Raises:
        ValueError: as `evaluate`; no n given, and a prompt with fewer than two rated responses.

    Source: Gao, Schulman and Hilton, "Scaling laws for reward model overoptimization" (arXiv 2210.10760).

    >>> import numpy as np
    >>> rewards = np.random.default_rng(0).normal(size=(50, 8))
    >>> table = overoptimisation_table(rewards, rewards, n=[1, 8], temperatures=[1.0])
    >>> table[["policy", "n", "kl"]].round(3).values.tolist()
    [['best_of_n', 1, 0.0], ['best_of_n', 8, 1.204], ['tilting', <NA>, 0.362]]
    >>> bool(np.allclose(table.proxy, table.gold))
    True
    """
    rows: list[tuple[object, ...]] = []
    for name, array in named(scores).items():
        for curve in curves_of(array, rewards, n, temperatures):
            for k, kl in enumerate(curve.kl):
                ends = [
                    mean_interval(gains[:, k], groups=curve.prompts, confidence=confidence, binary=False)
                    for gains in (curve.proxy, curve.gold)
                ]
                setting = curve.settings[k]
                place = (setting, None) if curve.policy == "best_of_n" else (None, setting)
                rows.append((name, curve.policy, *place, kl, *ends[0], *ends[1], curve.n_prompts))
    return table_of(rows, OVEROPTIMISATION)
