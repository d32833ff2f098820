"""Rounds of active selection: choose pairs, have them judged, fit, measure."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from rmspace._checks import as_array, check_function, check_int, check_names, describe
from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.active._pool import SelectionRule
from rmspace.annotation import annotate, error_rate
from rmspace.data.apart import check_apart
from rmspace.data.arrays import check_pairs
from rmspace.data.bank import ResponseBank, check_bank
from rmspace.data.mapped import choose
from rmspace.data.preferences import side_columns
from rmspace.data.progress import progress
from rmspace.kinds import Annotator, Metric, PairStrategy
from rmspace.models.core.fitting import fit_model, seed_model
from rmspace.models.core.predicting import last_step, predict_data, predict_pairs
from rmspace.models.core.reuse import reuse_items
from rmspace.models.ensemble import EnsembleReward
from rmspace.results.evaluate import evaluate
from rmspace.results.schema import N_PAIRS, SEED, typed

__all__ = ["active_study"]

_FACTS = ("error_rate", "fit_seconds", "choose_seconds")


@reuse_items()
def active_study(
    *,
    train: ResponseBank,
    test: ResponseBank,
    rules: Mapping[str, SelectionRule],
    model: Any,
    pairs: PairStrategy,
    n_pool: int,
    annotator: Annotator,
    n_per_round: int,
    n_rounds: int,
    metrics: Mapping[str, Metric] | None = None,
    n: int | Sequence[int] | None = None,
    reward_scale: float | Literal["std"] = 1.0,
    seeds: Sequence[int] = (0,),
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Let rules choose pairs round by round, and measure the model after each round.

    In a round, a rule chooses n_per_round pairs of the pool from the current gaps of the model, a simulated annotator
    judges them, and a new model is fitted on all pairs judged so far. Before the first round all gaps are 0. The
    features of a pair are the differences of the embeddings. The gaps of an `EnsembleReward` are those of its members,
    and the gaps of a model that compares items are its log-odds. Features of the bank reach each fit as columns, as in
    `run`.

    All rules of a seed have the same pool, and a pair gets the same verdict whichever rule chooses it. So the luck that
    they share cancels in `compare_models`, and another rule does not change the numbers of the first.

    Args:
        train, test: banks with gold rewards; no prompt of `test` is in `train`.
        rules: name -> rule, as `rmspace.active` has them; bind their options with `functools.partial`.
        model: the reward model, or pipeline that ends in one, that is cloned for each fit.
        pairs: the strategy that makes the pool: `same_prompt` or `cross_prompt`.
        n_pool: number of pairs in the pool, at least n_rounds * n_per_round.
        annotator: gap -> probability that the first wins.
        n_per_round, n_rounds: pairs judged in a round, and the number of rounds.
        metrics, n, confidence: as in `evaluate`.
        reward_scale: the `scale` of `annotate`.
        seeds: each draws another pool, verdicts and models.

    Returns:
        One row per seed, rule, round, metric and n: seed, n_pairs (judged so far), model (the name of the rule),
        metric, n, value, low, high, n_prompts, error_rate (of the judged pairs; missing where all are ties),
        fit_seconds, choose_seconds. `seed_means`, `compare_models` and `study_curves` (x="n_pairs") take it.

    Raises:
        ValueError, TypeError: input that breaks its rule; a rule that does not return n different rows that are left.
            An error inside a rule carries a note with its name.

    Source: the loop of Shen, Sun and Ton (arXiv 2502.04354).

    >>> from rmspace import make_synthetic_banks, same_prompt, oracle, LinearReward
    >>> from rmspace.active import at_random, d_optimal
    >>> train, test = make_synthetic_banks(50, 30, 8, 16, seed=0)
    >>> table = active_study(train=train, test=test, rules={"random": at_random, "D-optimal": d_optimal},
    ...                      model=LinearReward(), pairs=same_prompt, n_pool=500, annotator=oracle,
    ...                      n_per_round=50, n_rounds=2, n=8)
    >>> table[table.metric == "normalized_gain"][["model", "n_pairs"]].values.tolist()
    [['random', 50], ['random', 100], ['D-optimal', 50], ['D-optimal', 100]]
    """
    check_bank("train", train)
    check_bank("test", test)
    check_apart(train, test)
    check_names("rules", rules)
    needed = check_int("n_rounds", n_rounds, low=1) * check_int("n_per_round", n_per_round, low=1)
    if needed > check_int("n_pool", n_pool, low=1):
        raise ValueError(
            f"n_pool must be at least n_rounds * n_per_round = {needed}; got {n_pool}; make the pool larger"
        )
    for name, rule in rules.items():
        check_function(f"rule {name!r}", rule, "of differences, gaps, chosen, n and rng")
    jobs = [(check_int("seed", seed, low=0), name) for seed in seeds for name in rules]
    if not jobs:
        raise ValueError("active_study needs at least one rule and one seed; got none")
    tables = []
    pools: dict[int, _Pool] = {}
    for seed, name in progress(jobs, "rules"):
        if seed not in pools:
            pools = {seed: _pool(train, pairs, n_pool, annotator, reward_scale, seed)}
        steps = _rounds(name, rules[name], pools[seed], train, model, n_per_round, n_rounds, seed)
        for estimator, facts in steps:
            table = evaluate({name: predict_data(estimator, test)}, test, n=n, metrics=metrics, confidence=confidence)
            table.insert(0, SEED, seed)
            table.insert(1, N_PAIRS, facts.pop(N_PAIRS))
            tables.append(table.assign(**{fact: facts[fact] for fact in _FACTS}))
    return typed(pd.concat(tables, ignore_index=True))


class _Pool(NamedTuple):
    """The candidate pairs of a seed, their verdicts and their features."""

    comparisons: IntArray  # (n_pool, 2) of items of the bank; column 0 wins
    pairs: IntArray  # (n_pool, 2) positions in `used`
    items: FloatArray  # the used items
    differences: FloatArray  # (n_pool, dim)


def _pool(
    train: ResponseBank, pairs: Any, n_pool: int, annotator: Any, scale: float | Literal["std"], seed: int
) -> _Pool:
    chosen = check_pairs("pairs", pairs(train, n_pool, _stream(seed, 0)), train.n_items)
    comparisons = annotate(chosen, train, annotator, rng=_stream(seed, 1), scale=scale)
    used, places = np.unique(chosen, return_inverse=True)
    places = places.reshape(-1, 2)
    items = np.asarray(choose(train.items, used), dtype=np.float32)  # a difference of float16 would be rounded
    return _Pool(comparisons, places, items, items[places[:, 0]] - items[places[:, 1]])


def _rounds(
    name: str,
    rule: SelectionRule,
    pool: _Pool,
    train: ResponseBank,
    model: Any,
    n: int,
    n_rounds: int,
    seed: int,
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield the fitted model and the facts of each round."""
    rng, chosen = _stream(seed, 2), np.empty(0, dtype=np.int64)
    gaps = _no_gaps(model, len(pool.pairs))
    for _ in range(n_rounds):
        start = time.perf_counter()
        try:
            new = rule(pool.differences, gaps, chosen, n, rng)
        except Exception as error:
            error.add_note(f"in the rule {name!r}")
            raise
        middle = time.perf_counter()
        chosen = np.concatenate([chosen, _checked(name, new, chosen, n, len(pool.pairs))])
        judged = pool.comparisons[chosen]
        estimator = seed_model(clone(model), seed)
        begin = time.perf_counter()
        columns = side_columns(train.features, judged) or None
        fit_model(estimator, train.items, judged, groups=train.groups, columns=columns)
        facts = {
            "fit_seconds": time.perf_counter() - begin,
            "choose_seconds": middle - start,
            "error_rate": _error_rate(judged, train.item_rewards),
            N_PAIRS: len(chosen),
        }
        yield estimator, facts
        gaps = _gaps(estimator, pool)


def _no_gaps(model: Any, size: int) -> Float64Array:
    """Return the gaps before the first fit, 0 for each candidate, and for each member of an ensemble."""
    last = model[-1] if isinstance(model, Pipeline) else model
    return np.zeros((check_int("n_members", last.n_members, low=1), size) if isinstance(last, EnsembleReward) else size)


def _gaps(estimator: Any, pool: _Pool) -> Float64Array:
    """Return the score of the first minus that of the second, (n_pool,), or (n_members, n_pool) of an ensemble."""
    last, items = last_step(estimator, pool.items)
    if isinstance(last, EnsembleReward):
        scores = last.predict_members(items) * last.scales_[:, None]  # as log-odds, which the members were fitted for
        return scores[:, pool.pairs[:, 0]] - scores[:, pool.pairs[:, 1]]
    first, second = predict_pairs(last, items, pool.pairs)
    return np.asarray(first - second, dtype=np.float64)


def _checked(name: str, rows: Any, chosen: IntArray, n: int, size: int) -> IntArray:
    """Return the rows that a rule chose; ValueError where they are not n different ones that are left."""
    found: npt.NDArray[Any] = as_array(f"the rows of rule {name!r}", rows)
    if found.shape != (n,) or found.dtype.kind not in "iu":
        raise ValueError(f"rule {name!r} must return {n} integer rows, ({n},); got {describe(found)}")
    if found.min() < 0 or found.max() >= size or len(np.union1d(found, chosen)) < n + len(chosen):
        raise ValueError(
            f"rule {name!r} must return different rows of the {size} candidates, none of them chosen before"
        )
    return found.astype(np.int64)


def _error_rate(comparisons: IntArray, rewards: FloatArray) -> float:
    gold = rewards[comparisons]
    return error_rate(comparisons, rewards) if (gold[:, 0] != gold[:, 1]).any() else float("nan")


def _stream(seed: int, stage: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stage,)))
