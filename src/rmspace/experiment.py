"""One experiment: several models on the same comparisons, measured on the same test prompts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from rmspace._checks import as_numbers, check_function, check_int, check_names
from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.annotation import annotate, error_rate
from rmspace.data.apart import check_apart
from rmspace.data.arrays import check_pairs
from rmspace.data.bank import ResponseBank
from rmspace.data.preferences import Preferences, side_columns
from rmspace.data.progress import progress
from rmspace.kinds import Annotator, Baseline, Metric, PairStrategy
from rmspace.models.core.fitting import fit_model, seed_model
from rmspace.models.core.predicting import predict_data
from rmspace.models.core.reuse import reuse_items
from rmspace.results.evaluate import evaluate
from rmspace.results.evaluate_preferences import evaluate_preferences
from rmspace.results.schema import FACTS, MEASURES, N_PAIRS, names, typed

RESULT_VERSION = 3  # raised whenever the same config gives other numbers: a study then runs its finished cells again
STAGES = ("pairs", "annotation", "models")

OnFit = Callable[[str, Any], None]
OnModel = Callable[[str, Any, pd.DataFrame], None]
Data = ResponseBank | Preferences


@reuse_items()
def run(
    *,
    train: Data,
    test: Data,
    models: Mapping[str, Any],
    pairs: PairStrategy | None = None,
    n_pairs: int | None = None,
    annotator: Annotator | None = None,
    metrics: Mapping[str, Metric] | None = None,
    n: int | Sequence[int] | None = None,
    baselines: Mapping[str, Baseline] | None = None,
    reward_scale: float | Literal["std"] = 1.0,
    confidence: float = 0.95,
    seed: int = 0,
    on_fit: OnFit | None = None,
    on_model: OnModel | None = None,
) -> pd.DataFrame:
    """Train several models on the same comparisons and measure them on the same test prompts.

    With a training bank, a simulated annotator judges pairs of its responses. Preferences are judged already: they
    take no pairs and no annotator.

    Pairs, annotation and models each have their own random stream, made from `seed`. So a new, changed or removed model
    changes neither the comparisons nor any other model. Every `random_state` that is None gets the same seed in all
    models. The models passed in are cloned, never changed.

    Args:
        train: a bank with gold rewards, or preferences.
        test: a bank with gold rewards, or preferences; no prompt of it is in `train`.
        models: name -> reward model, or pipeline that ends in one.
        pairs: strategy (bank, n_pairs, rng) -> item ids; with a bank only.
        n_pairs: number of comparisons. With preferences, this many are drawn at random, and None uses all; a larger
            n_pairs includes the comparisons of a smaller one.
        annotator: gap -> probability that the first wins; with a bank only.
        metrics, n, confidence: as in `evaluate`, or, where `test` is preferences, in
            `evaluate_preferences`, which has no n.
        baselines: name -> function (train, test) -> scores, measured beside the models.
        reward_scale: the `scale` of `annotate`, by which gaps are divided.
        seed: seed of the pairs, the annotation and the models.
        on_fit: called with (name, fitted model) as soon as each is fitted.
        on_model: called with (name, fitted model or None, its rows) as soon as each is measured, so that a later
            failure loses nothing.

    Returns:
        A tidy table with the columns of `rmspace.results.schema`, in this order. First the measures: model, metric, n,
        value, low, high, n_prompts. Then the facts of the fit, the same in each row of a model: n_pairs; error_rate
        (realised share of wrong labels where rewards differ; missing where none do, and for preferences); mean_abs_gap
        (mean absolute gold gap of the pairs, in units of reward; missing for preferences); fit_seconds (missing for
        baselines; models share prepared items, see `reuse_items`, and the time to prepare them counts for the first
        model that needs them); precision and device (missing where a model has none).

    Raises:
        ValueError, TypeError: input that breaks its rule; a test prompt found in training (see `check_apart`); a name
            used twice. An error inside a model carries a note with the name of the model.

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
    _check_sides(train, test, pairs, annotator)
    check_apart(train, test)
    if isinstance(train, Preferences):
        judged = _drawn(train, n_pairs, seed)
    else:
        judged = _annotated(train, pairs, n_pairs, annotator, reward_scale, seed)
    model_seed = int(_stream(seed, "models").integers(2**31 - 1))
    measure = partial(_measure, test, metrics=metrics, n=n, confidence=confidence)
    tables = []
    jobs = {**(baselines or {}), **models}
    for name, job in progress(jobs.items(), "models", show=None if len(jobs) > 1 else False):
        with _naming(name):
            if name in models:
                fitted, facts = _fit(job, judged, model_seed)
                if on_fit is not None:
                    on_fit(name, fitted)
                scores = predict_data(fitted, test)
            else:
                fitted, facts, scores = None, {}, job(train, test)
            table = _with_facts(
                measure({name: as_numbers(f"the scores of {name!r}", scores)}), {**judged.facts, **facts}
            )
        tables.append(table)
        if on_model is not None:
            on_model(name, fitted, table)
    return pd.concat(tables, ignore_index=True).infer_objects()


class _Judged(NamedTuple):
    """The training data of the models, and the facts of it."""

    items: FloatArray
    groups: npt.NDArray[Any]
    comparisons: IntArray
    columns: Mapping[str, npt.NDArray[Any]]  # of the comparisons, by name
    facts: Mapping[str, float]


def _annotated(
    bank: ResponseBank, pairs: Any, n_pairs: Any, annotator: Any, scale: float | Literal["std"], seed: int
) -> _Judged:
    """Choose pairs of a bank and have them judged."""
    chosen = check_pairs("pairs", pairs(bank, n_pairs, _stream(seed, "pairs")), bank.n_items)
    rewards = bank.item_rewards
    comparisons = annotate(chosen, rewards, annotator, rng=_stream(seed, "annotation"), scale=scale)
    gap = mean_abs_gap(chosen, rewards)
    wrong = error_rate(comparisons, rewards) if gap > 0 else float("nan")
    facts = {N_PAIRS: len(comparisons), "error_rate": wrong, "mean_abs_gap": gap}
    return _Judged(bank.items, bank.groups, comparisons, side_columns(bank.features, comparisons), facts)


def _drawn(preferences: Preferences, n_pairs: int | None, seed: int) -> _Judged:
    """Draw comparisons at random, or all when None, and keep their order."""
    count = preferences.n_comparisons
    n_pairs = count if n_pairs is None else check_int("n_pairs", n_pairs, low=1)
    if n_pairs > count:
        raise ValueError(f"n_pairs must be at most the {count} comparisons of the preferences; got {n_pairs}")
    rows = np.sort(_stream(seed, "pairs").permutation(count)[:n_pairs])
    comparisons = preferences.comparisons[rows]
    columns = {name: column[rows] for name, column in preferences.fit_columns.items()}
    facts = {N_PAIRS: n_pairs, "error_rate": float("nan"), "mean_abs_gap": float("nan")}
    return _Judged(preferences.items, preferences.groups, comparisons, columns, facts)


def mean_abs_gap(pairs: IntArray, rewards: Any) -> float:
    """Return the mean absolute gold gap of pairs, in units of reward.

    >>> mean_abs_gap(np.array([[0, 1], [1, 2]]), np.array([[0.0, 1.0, 4.0]]))
    2.0
    """
    flat = as_numbers("rewards", rewards).reshape(-1)
    return float(np.abs(flat[pairs[:, 0]] - flat[pairs[:, 1]]).mean())


def _fit(model: Any, judged: _Judged, seed: int) -> tuple[Any, dict[str, Any]]:
    """Return a fitted clone of a model, and the facts of its fit."""
    estimator = seed_model(clone(model), seed)
    start = time.perf_counter()
    fit_model(
        estimator,
        judged.items,
        judged.comparisons,
        sample_weight=judged.columns.get("weight"),
        groups=judged.groups,
        columns=judged.columns or None,
    )
    seconds = time.perf_counter() - start
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    used = {name: getattr(last, f"{name}_", None) for name in ("precision", "device")}
    return estimator, {"fit_seconds": seconds, **used}


def _measure(
    test: Data, scores: dict[str, Float64Array], *, metrics: Any, n: int | Sequence[int] | None, confidence: float
) -> pd.DataFrame:
    """Measure scores of the test items."""
    if isinstance(test, ResponseBank):
        return evaluate(scores, test, metrics=metrics, n=n, confidence=confidence)
    if n is not None:
        raise ValueError(f"n is for Best-of-N on a test bank; test is Preferences, so leave it out; got {n!r}")
    return evaluate_preferences(scores, test, metrics=metrics, confidence=confidence)


def _with_facts(table: pd.DataFrame, facts: Mapping[str, Any]) -> pd.DataFrame:
    """Return a table of measures as rows of one model: the columns of the schema, in its order."""
    measures = {column: table[column] for column in names(MEASURES) if column in table}
    known = {column: [facts.get(column)] * len(table) for column in (N_PAIRS, *names(FACTS))}
    return typed(pd.DataFrame({**measures, **known}, table.index))


def _stream(seed: int, stage: str) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STAGES.index(stage),)))


@contextmanager
def _naming(model: str) -> Iterator[None]:
    """Note on an error which model it came from."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in {model!r}")
        raise


def _check_names(models: Mapping[str, Any], baselines: Mapping[str, Baseline]) -> None:
    check_names("models", models)
    check_names("baselines", baselines)
    for name, baseline in baselines.items():
        check_function(f"baseline {name!r}", baseline, "of train and test")
    for name, model in models.items():
        if isinstance(model, type):
            raise TypeError(f"model {name!r} must be a reward model, not its class; write {model.__name__}()")
        if not all(hasattr(model, method) for method in ("fit", "predict", "get_params")):
            raise TypeError(f"model {name!r} must have fit, predict and get_params; got {model!r}")
    if not models and not baselines:
        raise ValueError("an experiment needs at least one model; got none")
    if twice := set(models) & set(baselines):
        raise ValueError(f"models and baselines must have different names; {sorted(twice)} name both")


def _check_sides(train: Data, test: Data, pairs: Any, annotator: Any) -> None:
    """Raise where the kind of data and the other arguments do not go together."""
    for name, side in (("train", train), ("test", test)):
        if not isinstance(side, Data):
            raise TypeError(f"{name} must be a ResponseBank or Preferences; got {type(side).__name__}")
    given: dict[str, Any] = {"pairs": pairs, "annotator": annotator}
    if isinstance(train, Preferences):
        if extra := [name for name, value in given.items() if value is not None]:
            raise ValueError(f"preferences are judged already, so they take no {' and no '.join(extra)}; leave it out")
    elif missing := [name for name, value in given.items() if value is None]:
        raise ValueError(f"a training bank must be judged; give {' and '.join(missing)}, or train on Preferences")
    else:
        check_function("pairs", pairs, "of bank, n_pairs and rng")
