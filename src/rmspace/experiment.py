"""One experiment: several models on the same comparisons, measured on the same test prompts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import clone
from tqdm import tqdm

from rmspace._checks import check_int
from rmspace._typing import Float64Array, IntArray
from rmspace.annotation import annotate, error_rate
from rmspace.data.arrays import check_pairs
from rmspace.data.bank import ResponseBank
from rmspace.data.health import row_hashes
from rmspace.kinds import Annotator, Baseline, Metric, PairStrategy
from rmspace.models.core.fitting import fit_model, seed_model
from rmspace.models.core.reuse import reuse_items
from rmspace.results.evaluate import evaluate

RESULT_VERSION = 2  # raised whenever the same config gives other numbers: finished cells of a study are then run anew
STAGES = ("pairs", "annotation", "models", "intervals")


@reuse_items()
def run(
    *,
    train: ResponseBank,
    test: ResponseBank,
    pairs: PairStrategy,
    n_pairs: int,
    annotator: Annotator,
    models: Mapping[str, Any],
    metrics: Mapping[str, Metric] | None = None,
    n: int | Sequence[int] | None = None,
    baselines: Mapping[str, Baseline] | None = None,
    reward_scale: float | Literal["std"] = 1.0,
    confidence: float = 0.95,
    n_resamples: int = 2000,  # noqa: ARG001
    seed: int = 0,
    on_model: Callable[[str, Any, pd.DataFrame], None] | None = None,
) -> pd.DataFrame:
    """Train several models on the same simulated comparisons and measure them on the same test prompts.

    Pairs, annotation, models and intervals each have their own random stream spawned from `seed`: changing, adding or
    removing a model changes neither the comparisons nor any other model. All models get the same seed, in every
    `random_state` that is None. The models passed in are cloned, never changed.

    Args:
        train, test: banks with gold rewards and no prompt in common.
        pairs: strategy (bank, n_pairs, rng) -> item ids.
        n_pairs: number of comparisons.
        annotator: gap -> probability that the first wins.
        models: name -> reward model, or pipeline that ends in one.
        metrics, n, confidence, n_resamples: as in `evaluate`.
        baselines: name -> function (train, test) -> scores, measured beside the models.
        reward_scale: what a gap is divided by before it is annotated; see `annotate`.
        seed: of everything random.
        on_model: called with (name, fitted model or None, its rows) as soon as each is done, so that a later
            failure loses nothing.

    Returns:
        A tidy table: model, metric, n, value, low, high, and, the same in each row of a model, n_pairs, error_rate
        (realised share of wrong labels where rewards differ; missing where none do), mean_abs_gap (mean absolute gold
        gap of the pairs, in units of reward) and fit_seconds (missing for baselines; models share what they read of
        the items, see `reuse_items`, which counts for the first that needs it).

    Raises:
        ValueError, TypeError: input that breaks its rule; a test prompt found in training (see `check_apart`); a name
            used twice. An error inside a model carries a note with its name.

    >>> from rmspace import make_synthetic_banks, same_prompt, oracle, LinearReward, classification
    >>> train, test = make_synthetic_banks(100, 30, 8, 32, seed=0)
    >>> table = run(train=train, test=test, pairs=same_prompt, n_pairs=500, annotator=oracle, n=8,
    ...             models={"BT": LinearReward(), "CLF": LinearReward(classification)})
    >>> gain = table[table.metric == "normalized_gain"].set_index("model").value
    >>> gain.index.tolist(), bool((gain > 0.2).all()), table.error_rate.unique().tolist()
    (['BT', 'CLF'], True, [0.0])
    """
    seed = check_int("seed", seed, low=0)
    _check_names(models, baselines or {})
    jobs: list[tuple[str, Any, Baseline | None]] = [
        (name, None, baseline) for name, baseline in (baselines or {}).items()
    ]
    jobs += [(name, model, None) for name, model in models.items()]
    check_apart(train, test)
    chosen = check_pairs("pairs", pairs(train, n_pairs, _stream(seed, "pairs")), train.n_items)
    comparisons = annotate(chosen, train.rewards, annotator, rng=_stream(seed, "annotation"), scale=reward_scale)
    gap = mean_abs_gap(chosen, train.rewards)
    facts = {
        "n_pairs": len(comparisons),
        "error_rate": error_rate(comparisons, train.rewards) if gap > 0 else float("nan"),
        "mean_abs_gap": gap,
    }
    model_seed = int(_stream(seed, "models").integers(2**31 - 1))
    tables = []
    for name, model, baseline in tqdm(jobs, desc="models", leave=False, disable=None if len(jobs) > 1 else True):
        try:
            fitted, scores, seconds = _scores(model, baseline, train, test, comparisons, model_seed)
            table = evaluate({name: scores}, test, n=n, metrics=metrics, confidence=confidence)
        except Exception as error:
            error.add_note(f"in {name!r}")
            raise
        table = table.assign(**facts, fit_seconds=seconds)
        tables.append(table)
        if on_model is not None:
            on_model(name, fitted, table)
    return pd.concat(tables, ignore_index=True)


def mean_abs_gap(pairs: IntArray, rewards: Any) -> float:
    """Mean absolute gold gap of pairs, in units of reward.

    >>> mean_abs_gap(np.array([[0, 1], [1, 2]]), np.array([[0.0, 1.0, 4.0]]))
    2.0
    """
    flat = np.asarray(rewards, dtype=np.float64).reshape(-1)
    return float(np.abs(flat[pairs[:, 0]] - flat[pairs[:, 1]]).mean())


def check_apart(train: ResponseBank, test: ResponseBank) -> None:
    """Raise ValueError where the banks differ in dim, or a test prompt's responses are a training prompt's.

    Prompts are matched by their rewards and embeddings, in any order of the responses and after rounding to float32
    and float16; where one bank has more responses, by the first of each. Other responses to the same prompt cannot be
    told from arrays: split banks by prompt.
    """
    if train.dim != test.dim:
        raise ValueError(f"train and test must have embeddings of one length; got {train.dim} and {test.dim}")
    width = min(train.n_responses, test.n_responses)
    rewards = [_reward_keys(bank, width) for bank in (train, test)]
    common = set(rewards[0]) & set(rewards[1])
    suspects = [[prompt for prompt, key in enumerate(keys) if key in common] for keys in rewards]
    known = set(_embedding_keys(train, suspects[0], width))
    keys = _embedding_keys(test, suspects[1], width)
    shared = [prompt for prompt, key in zip(suspects[1], keys, strict=True) if key in known]
    if shared:
        raise ValueError(
            f"train and test must have no prompt in common; {len(shared)} of {test.n_prompts} test prompts "
            f"(the first is {shared[0]}) have the embeddings and rewards of a training prompt; use split_prompts"
        )


def _reward_keys(bank: ResponseBank, width: int) -> list[bytes]:
    return [row.tobytes() for row in np.sort(np.asarray(bank.rewards[:, :width], dtype=np.float32), axis=1)]


def _embedding_keys(bank: ResponseBank, prompts: list[int], width: int) -> list[bytes]:
    with np.errstate(over="ignore"):
        blocks = (np.asarray(bank.embeddings[p, :width], dtype=np.float16)[None] for p in prompts)
        return [np.sort(row_hashes(block), axis=1).tobytes() for block in blocks]


def _scores(
    model: Any,
    baseline: Baseline | None,
    train: ResponseBank,
    test: ResponseBank,
    comparisons: IntArray,
    seed: int,
) -> tuple[Any, Float64Array, float]:
    """Return (fitted model or None, test scores, seconds of fitting)."""
    if baseline is not None:
        return None, np.asarray(baseline(train, test), dtype=np.float64), float("nan")
    estimator = seed_model(clone(model), seed)
    start = time.perf_counter()
    fit_model(estimator, train.items, comparisons, groups=train.groups)
    seconds = time.perf_counter() - start
    return estimator, np.asarray(estimator.predict(test.items), dtype=np.float64), seconds


def _stream(seed: int, stage: str) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STAGES.index(stage),)))


def _check_names(models: Mapping[str, Any], baselines: Mapping[str, Baseline]) -> None:
    if not isinstance(models, Mapping):
        raise TypeError(f"models must be a mapping of names to reward models; got {type(models).__name__}")
    for name, model in models.items():
        if not all(hasattr(model, method) for method in ("fit", "predict", "get_params")):
            raise TypeError(f"model {name!r} must have fit, predict and get_params; got {model!r}")
    if not models and not baselines:
        raise ValueError("an experiment needs at least one model; got none")
    if twice := set(models) & set(baselines):
        raise ValueError(f"models and baselines must have different names; {sorted(twice)} name both")
