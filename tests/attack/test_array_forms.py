"""Every public function that takes arrays, and every form of an array: the right answer, or one of our errors.

A function joins by being public: one whose parameters are annotated as arrays must have an example here.
"""

from __future__ import annotations

import importlib
import inspect
import linecache
import re
import traceback
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import sklearn.utils.validation
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rmspace as rm
import rmspace.active as active
from array_forms import OTHER, REFUSED, SAME, NotApplicable, copied, unchanged
from rmspace import models, objectives
from rmspace.data.pointwise import pair_up
from rmspace.data.prompts import append_prompts
from rmspace.kinds import KINDS
from rmspace.paper import advice, protocol, theory
from rmspace.results.alpaca_eval import AlpacaEvalFit, alpaca_eval_fit
from rmspace.results.bias import bias_table
from rmspace.results.length_controlled import instruction_difficulty, length_controlled_table
from rmspace.results.overoptimisation import best_of_n_kl, overoptimisation_table
from rmspace.results.position import position_table
from rmspace.results.stress import add_off_topic, stress_table
from rmspace.results.turning import fitted_gain, overoptimisation_fit

SOURCE, VALIDATION = str(Path(rm.__file__).parent), str(sklearn.utils.validation.__file__)
ARRAY = re.compile(r"ArrayLike|\w*Array\b|\bRewards\b|\bTensor\b")
MODULES = [kind.module for kind in KINDS if not kind.module.startswith("rmspace.text.")]  # those take texts
WITHOUT_EXAMPLE = {"BaseReward"}  # its methods are those of the models

# All numbers are multiples of 1/8, so that each precision holds them exactly.
ITEMS = np.random.default_rng(0).integers(-16, 16, size=(12, 3)) / 8.0
TABLE = np.array([[0.0, 3.0, 1.0], [2.0, 2.5, -1.0], [1.0, 0.5, 0.25], [-2.0, 1.0, 4.0]])
SCORES = np.array([[1.0, 2.0, 3.0], [0.0, 2.0, -1.0], [1.0, 0.0, 0.5], [1.0, 0.0, 2.0]])
PAIRS = np.array([[0, 1], [4, 3], [6, 7], [11, 10], [5, 3], [8, 6], [2, 1], [9, 11]])
GROUPS = np.repeat(np.arange(4), 3)
WORDS = np.repeat(np.array(["a", "b", "c", "d"]), 3)
LENGTHS = np.arange(12.0).reshape(4, 3)
WEIGHTS = np.array([1.0, 0.5, 2.0, 1.0, 0.25, 1.0, 1.5, 1.0])
MARGINS = np.array([1.0, 0.5, 0.5, 1.0, 0.25, 1.0, 1.5, 0.0])
TIES = np.array([False, True, False, False, False, True, False, False])
JUDGES = np.array(["x", "y", "x", "y", "x", "y", "x", "y"])
GAPS = np.array([0.5, -1.0, 0.0, 2.0])
BANK = rm.ResponseBank(ITEMS.reshape(4, 3, 3), TABLE)
RAGGED = rm.ResponseBank(ITEMS, TABLE.ravel(), offsets=[0, 3, 5, 12])
PREFERENCES = rm.Preferences(ITEMS, PAIRS, GROUPS)
MEASURED_PREFERENCES = rm.Preferences(ITEMS, PAIRS, GROUPS, features={"length": LENGTHS.ravel() % 5})


class Example(NamedTuple):
    """A call of plain arrays by name; what is no array is bound."""

    call: Callable[..., Any]
    arrays: Mapping[str, Any]
    takes_tensors: bool = False  # and refuses all else


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _bank(features: Any, **arrays: Any) -> Any:
    return rm.ResponseBank(features={"length": features}, **arrays)


def _ragged_bank(offsets: Any) -> Any:
    return rm.ResponseBank(ITEMS, offsets=offsets)


def _preferences(columns: Any, features: Any, **arrays: Any) -> Any:
    return rm.Preferences(columns={"own": columns}, features={"length": features}, **arrays)


def _annotated(**arrays: Any) -> Any:
    return rm.annotate(annotator=partial(rm.logistic, beta=1.0), rng=_rng(), **arrays)


def _from_bank(**arrays: Any) -> Any:
    return rm.Preferences.from_bank(BANK, annotator=rm.oracle, rng=_rng(), **arrays)


def _predictions(model: Any, columns: Any = None, **arrays: Any) -> Any:
    return model.fit(**arrays, **({} if columns is None else {"columns": _columns(columns)})).predict(ITEMS)


def _columns(margin: Any) -> dict[str, Any]:
    """Return the columns that any of the models asks for."""
    lengths = LENGTHS.ravel()[PAIRS] % 5
    ratings = {"winner_rating": lengths[:, 0], "loser_rating": lengths[:, 1]}
    sides = {"winner_length": lengths[:, 0], "loser_length": lengths[:, 1]}
    return {"margin": margin, "annotator": JUDGES, **sides, **ratings}


def _adapted(model: Any, **arrays: Any) -> Any:
    return model.adapt(**arrays).predict(ITEMS)


def _fitted_model(columns: Any, **arrays: Any) -> Any:
    model = make_pipeline(StandardScaler(), rm.LinearReward(rm.margin_bradley_terry))
    return rm.fit_model(model, columns={"margin": columns}, **arrays).predict(ITEMS)


def _losses(call: Callable[..., Any], **columns: Any) -> Example:
    """Return the example of an objective, which takes tensors only: what is a plain array becomes one."""

    def is_plain(array: Any) -> bool:
        return type(array) is np.ndarray and array.dtype == np.float64 and array.strides == (8,)

    def losses(**arrays: Any) -> Any:
        return call(**{n: torch.from_numpy(a) if is_plain(a) else a for n, a in arrays.items()})

    return Example(losses, {"winner": GAPS, "loser": GAPS[::-1].copy(), **columns}, takes_tensors=True)


_MEASURED = {"scores": SCORES, "rewards": TABLE}
_SIDES = {"winner_scores": WEIGHTS, "loser_scores": MARGINS, "tie": TIES}
_FIT = {"items": ITEMS, "comparisons": PAIRS, "sample_weight": WEIGHTS, "groups": GROUPS, "columns": MARGINS}
_FITTED = {"items": ITEMS, "comparisons": PAIRS, "sample_weight": WEIGHTS}
_MARKS = np.array([0.0, 1.0, 1.0, 0.0])
_RATINGS = {"winner_rating": np.array([3.0, 1.0, 5.0, 2.0]), "loser_rating": np.ones(4), "tie": _MARKS}
_LABELS = {"winner_label": _MARKS, "loser_label": 1 - _MARKS, "tie": _MARKS}
_SIDES_LABELS = {"winner_label": _MARKS, "loser_label": 1 - _MARKS}
_MLP = partial(rm.MLPReward, hidden_sizes=(4,), max_epochs=1, validation_fraction=0.0, random_state=0, device="cpu")

_POOL = {"differences": ITEMS[:4], "gaps": SCORES[:, :2].T.copy(), "chosen": np.array([1])}


def _drawn(rule: Callable[..., Any]) -> Callable[..., Any]:
    """Return the rule with new random numbers in each call."""
    return lambda **arrays: rule(**arrays, n=2, rng=_rng())


MODELS: dict[str, Any] = {
    "AnnotatorReward": models.AnnotatorReward(),
    "ClassifierReward": rm.ClassifierReward(),
    "DecomposedReward": models.DecomposedReward(2),
    "DropoutReward": models.DropoutReward(_MLP(dropout=0.5), n_members=2, random_state=0),
    "EnsembleReward": rm.EnsembleReward(rm.LinearReward(), n_members=2, bootstrap=True, random_state=0),
    "GatedReward": models.GatedReward(["length"], prompt_width=1),
    "GaussianReward": models.GaussianReward(k=0.5),
    "GeneralPreferenceReward": models.GeneralPreferenceReward(random_state=0),
    "LaplaceReward": models.LaplaceReward(rm.margin_bradley_terry),
    "LengthFreeReward": models.LengthFreeReward(),
    "LightGBMReward": rm.LightGBMReward(n_estimators=2, min_child_samples=1, n_jobs=1),
    "LinearReward": rm.LinearReward(rm.margin_bradley_terry),
    "MLPReward": _MLP(),
    "OrdinalReward": models.OrdinalReward(),
    "ProtocolMLPReward": protocol.ProtocolMLPReward(hidden_sizes=(4,), max_epochs=1, random_state=0),
    "QuantileReward": models.QuantileReward(quantiles=(0.25, 0.5)),
    "TunedReward": models.TunedReward(rm.LinearReward(rm.margin_bradley_terry), {"alpha": [1.0]}, n_splits=2),
}
EXAMPLES: dict[str, Example] = {
    "ResponseBank": Example(
        _bank,
        {"embeddings": ITEMS.reshape(4, 3, 3), "rewards": TABLE, "features": LENGTHS, "prompt_ids": np.arange(4)},
    ),
    "ResponseBank:offsets": Example(_ragged_bank, {"offsets": np.array([0, 3, 5, 12])}),
    "ResponseBank:texts": Example(partial(rm.ResponseBank, ITEMS.reshape(4, 3, 3)), {"prompt_ids": WORDS[::3].copy()}),
    "ResponseBank.padded": Example(RAGGED.padded, {"values": np.arange(12.0)}),
    "ResponseBank.__getitem__": Example(lambda prompts: BANK[prompts], {"prompts": np.array([2, 0])}),
    "ResponseBank.__getitem__:mask": Example(lambda prompts: BANK[prompts], {"prompts": np.arange(4) > 1}),
    "Preferences": Example(
        _preferences,
        {"items": ITEMS, "comparisons": PAIRS, "groups": GROUPS, "weight": WEIGHTS, "margin": MARGINS, "tie": TIES}
        | {"annotator": JUDGES, "subset": JUDGES, "columns": MARGINS, "features": np.arange(12.0)},
    ),
    "Preferences:texts": Example(partial(rm.Preferences, ITEMS, PAIRS), {"groups": WORDS}),
    "Preferences.__getitem__": Example(lambda chosen: PREFERENCES[chosen], {"chosen": np.array([3, 1])}),
    "Preferences.from_bank": Example(_from_bank, {"pairs": PAIRS}),
    "annotate": Example(_annotated, {"pairs": PAIRS, "rewards": TABLE.ravel()}),
    "annotate:std": Example(partial(_annotated, scale="std"), {"pairs": PAIRS, "rewards": TABLE}),
    "error_rate": Example(rm.error_rate, {"comparisons": PAIRS, "rewards": TABLE.ravel()}),
    "beta_for_error": Example(partial(rm.beta_for_error, error_rate=0.2), {"pairs": PAIRS, "rewards": TABLE}),
    "estimate_beta": Example(rm.paper.advice.estimate_beta, {"comparisons": PAIRS, "rewards": TABLE}),
    "logistic": Example(partial(rm.logistic, beta=1.0), {"gap": GAPS}),
    "probit": Example(partial(rm.probit, beta=1.0), {"gap": GAPS}),
    "lapse": Example(partial(rm.lapse, beta=1.0, rate=0.5), {"gap": GAPS}),
    "oracle": Example(rm.oracle, {"gap": GAPS}),
    "bradley_terry": _losses(rm.bradley_terry),
    "classification": _losses(rm.classification),
    "thurstone": _losses(rm.thurstone),
    "hinge": _losses(rm.hinge, margin=np.abs(GAPS) * (1 - _MARKS), tie=_MARKS),
    "margin_bradley_terry": _losses(rm.margin_bradley_terry, margin=np.abs(GAPS) * (1 - _MARKS), tie=_MARKS),
    "label_smoothed": _losses(rm.label_smoothed),
    "rao_kupper": _losses(objectives.rao_kupper, tie=_MARKS),
    "davidson": _losses(objectives.davidson, tie=_MARKS),
    "soft_labelled": _losses(objectives.soft_labelled, probability=_MARKS),
    "forward_corrected": _losses(objectives.forward_corrected, rate=_MARKS / 4),
    "backward_corrected": _losses(objectives.backward_corrected, rate=_MARKS / 4),
    "class_corrected": _losses(
        objectives.class_corrected, winner_class=_MARKS, tie=1 - _MARKS, rate_0=_MARKS / 4, rate_1=_MARKS / 8
    ),
    "symmetric_cross_entropy": _losses(objectives.symmetric_cross_entropy),
    "generalized_cross_entropy": _losses(objectives.generalized_cross_entropy),
    "centred": _losses(objectives.centred),
    "scaled": _losses(objectives.scaled, beta=np.abs(GAPS)),
    "squared_rating": _losses(objectives.squared_rating, **_RATINGS),
    "huber_rating": _losses(objectives.huber_rating, **_RATINGS),
    "ordinal_rating": _losses(objectives.ordinal_rating, **_RATINGS),
    "quantile_rating": _losses(objectives.quantile_rating, **_RATINGS),
    "mixture": _losses(objectives.mixture, source=np.array([0.0, 1.0, 2.0, 0.0]), **_RATINGS, **_SIDES_LABELS),
    "good_or_bad": _losses(objectives.good_or_bad, **_LABELS),
    "kahneman_tversky": _losses(objectives.kahneman_tversky, **_LABELS),
    "plackett_luce": _losses(
        objectives.plackett_luce, choice=np.arange(4.0), n_alternatives=np.ones(4), tie=np.zeros(4)
    ),
    "mean": Example(rm.mean, {"scores": SCORES}),
    "median": Example(rm.reductions.median, {"scores": SCORES}),
    "rank_mean": Example(rm.reductions.rank_mean, {"scores": SCORES}),
    "uncertainty_weighted": Example(rm.reductions.uncertainty_weighted, {"scores": SCORES}),
    "minimum": Example(rm.minimum, {"scores": SCORES}),
    "lower_confidence": Example(rm.lower_confidence, {"scores": SCORES}),
    "best_of_n": Example(partial(rm.best_of_n, n=[1, 2]), _MEASURED),
    "gain": Example(partial(rm.gain, n=2), _MEASURED),
    "normalized_gain": Example(rm.normalized_gain, _MEASURED),
    "regret": Example(rm.regret, _MEASURED),
    "quantile_of_chosen": Example(rm.quantile_of_chosen, _MEASURED),
    "tilted_reward": Example(partial(rm.metrics.tilted_reward, temperature=[0.0, 1.0]), _MEASURED),
    "tilted_kl": Example(partial(rm.metrics.tilted_kl, temperature=1.0), _MEASURED),
    "overoptimisation_table": Example(partial(overoptimisation_table, temperatures=[1.0]), _MEASURED),
    "overoptimisation_fit": Example(overoptimisation_fit, _MEASURED),
    "bias_table": Example(
        lambda features, **arrays: bias_table(**arrays, features={"f": features}), _MEASURED | {"features": LENGTHS}
    ),
    "stress_table": Example(partial(stress_table, n=[1, 2]), {**_MEASURED, "stress": np.tile([0.0, 0.0, 1.0], (4, 1))}),
    "add_off_topic": Example(lambda scores: add_off_topic(BANK, scores, 2)[0], {"scores": SCORES}),
    "position_table": Example(
        position_table,
        {"shown_first": np.array([0.5, 1.0, 0.0]), "shown_second": np.array([0.25, 1.0, 0.5]), "groups": np.arange(3)},
    ),
    "length_controlled_table": Example(
        partial(length_controlled_table, alpha=0.125),
        {"wins": np.array([1.0, 0.0, 0.5, 1.0]), "length_gaps": GAPS, "difficulty": GAPS[::-1].copy()},
    ),
    "alpaca_eval_fit": Example(
        lambda wins, length_gaps, difficulty, versions: alpaca_eval_fit(
            wins, length_gaps, difficulty, versions=[(versions, length_gaps)], c=8.0
        ),
        {
            "wins": np.array([1.0, 0.0, 0.5, 1.0]),
            "length_gaps": GAPS,
            "difficulty": GAPS[::-1].copy(),
            "versions": np.array([0.5, 0.0, 0.5, 1.0]),
        },
    ),
    "AlpacaEvalFit.win_rate": Example(AlpacaEvalFit(0.5, 1.0, 0.5).win_rate, {"difficulty": GAPS}),
    "instruction_difficulty": Example(
        partial(instruction_difficulty, alpha=0.125),
        {"wins": np.array([[1.0, 0.0, 0.5, 1.0], [0.0, 0.0, 1.0, 0.5]]), "length_gaps": np.stack([GAPS, GAPS[::-1]])},
    ),
    "best_of_n_kl": Example(best_of_n_kl, {"n": np.array([1, 2, 5])}),
    "fitted_gain": Example(partial(fitted_gain, "tilting", alpha=1.0, beta=0.5), {"kl": np.abs(GAPS)}),
    "spearman": Example(rm.spearman, _MEASURED),
    "kendall": Example(rm.kendall, _MEASURED),
    "pairwise_accuracy": Example(rm.pairwise_accuracy, _MEASURED),
    "accuracy": Example(rm.metrics.accuracy, _SIDES),
    "log_loss": Example(rm.metrics.log_loss, _SIDES),
    "brier": Example(rm.metrics.brier, _SIDES),
    "evaluate": Example(partial(rm.evaluate, metrics={"s": rm.spearman}), _MEASURED),
    "evaluate:bank": Example(partial(rm.evaluate, rewards=RAGGED), {"scores": np.arange(12.0)}),
    "compare": Example(
        partial(rm.compare, metrics={"s": rm.spearman}, n_resamples=100),
        {**_MEASURED, "others": SCORES[:, ::-1].copy()},
    ),
    "evaluate_preferences": Example(
        partial(rm.evaluate_preferences, preferences=PREFERENCES), {"scores": ITEMS[:, 0].copy()}
    ),
    "calibration_table": Example(
        partial(rm.calibration_table, preferences=PREFERENCES), {"scores": ITEMS[:, 0].copy()}
    ),
    "compare_preferences": Example(
        partial(rm.compare_preferences, preferences=PREFERENCES, n_resamples=100),
        {"scores": ITEMS[:, 0].copy(), "others": ITEMS[:, 1].copy()},
    ),
    "accuracy_by_length": Example(
        partial(rm.accuracy_by_length, preferences=MEASURED_PREFERENCES), {"scores": ITEMS[:, 0].copy()}
    ),
    "temperature_scale": Example(
        partial(rm.temperature_scale, preferences=PREFERENCES),
        {"scores": np.array([1.0, 0.0, 2.0, 0.0, 1.0, 1.0, 2.0, 0.0, 0.0, 1.0, 0.0, 2.0])},
    ),
    "preference_probability": Example(rm.preference_probability, {"first": GAPS, "second": GAPS[::-1].copy()}),
    "mean_interval": Example(rm.mean_interval, {"values": MARGINS, "groups": np.arange(8) // 2, "weights": WEIGHTS}),
    "mean_interval:texts": Example(partial(rm.mean_interval, MARGINS), {"groups": JUDGES}),
    "sign_flip_test": Example(
        partial(rm.sign_flip_test, n_resamples=100), {"differences": GAPS, "groups": np.array([0, 0, 1, 2])}
    ),
    "append_prompts": Example(partial(append_prompts, BANK), {"prompts": SCORES}),
    "pair_up": Example(pair_up, {"items": ITEMS, "values": np.arange(12.0), "groups": GROUPS}),
    "fit_model": Example(_fitted_model, _FIT),
    **{name: Example(_drawn(getattr(active, name)), _POOL) for name in sorted(set(dir(active)) - {"active_study"})},
    "annotation_quality": Example(partial(theory.annotation_quality, gap_std=1.0), {"beta": np.abs(GAPS)}),
    "theory.error_rate": Example(partial(theory.error_rate, gap_std=1.0), {"beta": np.abs(GAPS)}),
    "quality_density": Example(partial(theory.quality_density, beta=1.0, gap_std=1.0), {"tau": np.array([0.5, 0.75])}),
    "agreement_bound": Example(
        theory.agreement_bound, {"quality": np.array([0.5, 0.75]), "error": np.array([0.25, 0.5])}
    ),
    "gap_designs": Example(theory.gap_designs, {"locations": GAPS, "scales": np.array([1.0, 1.0, 0.5, 0.5])}),
    "win_logit": Example(theory.win_logit, {"rewards": GAPS, "opponents": GAPS}),
    "win_logit_bound": Example(theory.win_logit_bound, {"rewards": GAPS, "opponents": GAPS}),
    "truncated_kl": Example(
        partial(theory.truncated_kl, bound=2.0),
        {"p0": np.array([[0.5, 0.5], [0.25, 0.75]]), "p": np.array([[0.25, 0.75], [0.5, 0.5]])},
    ),
    "protocol_best_of_n": Example(partial(protocol.protocol_best_of_n, n=2, permutations=3), _MEASURED),
}
for _name, _model in MODELS.items():
    _fit = {**_FIT, "sample_weight": np.ones(8)} if _name == "ProtocolMLPReward" else _FIT
    EXAMPLES[f"{_name}.fit"] = Example(partial(_predictions, _model), _fit)
    _trained = _model.__class__(**_model.get_params(deep=False)).fit(
        ITEMS, PAIRS, groups=GROUPS, columns=_columns(MARGINS)
    )
    EXAMPLES[f"{_name}.predict"] = Example(_trained.predict, {"items": ITEMS})
    for _more in (name for name in dir(_trained) if name.startswith("predict_")):
        EXAMPLES[f"{_name}.{_more}"] = Example(getattr(_trained, _more), {"items": ITEMS})
    if isinstance(_trained, models.DecomposedReward):
        EXAMPLES[f"{_name}.adapt"] = Example(partial(_adapted, _trained), _FITTED)
    if isinstance(_trained, models.GeneralPreferenceReward):
        EXAMPLES[f"{_name}.log_odds"] = Example(_trained.log_odds, {"first": ITEMS, "second": ITEMS[::-1].copy()})
        EXAMPLES[f"{_name}.win_rates"] = Example(_trained.win_rates, {"items": ITEMS, "groups": GROUPS})
    EXAMPLES[f"{_name}.score"] = Example(_trained.score, _FITTED)
_tuned = models.TunedReward(models.GeneralPreferenceReward(), {"alpha": [1e-3, 1.0]}, n_splits=2, random_state=0).fit(
    ITEMS, PAIRS, groups=GROUPS
)
EXAMPLES["TunedReward.log_odds"] = Example(_tuned.log_odds, {"first": ITEMS, "second": ITEMS[::-1].copy()})
EXAMPLES["TunedReward.win_rates"] = Example(_tuned.win_rates, {"items": ITEMS, "groups": GROUPS})


def _public() -> dict[str, list[str]]:
    """Return the names of the array parameters of each public function and method."""
    found: dict[str, list[str]] = {}
    named = {name: getattr(rm, name) for name in rm.__all__}
    for module in [*map(importlib.import_module, MODULES), advice, protocol, theory]:
        for name in getattr(module, "__all__", ()):
            known = named.setdefault(name, getattr(module, name))
            if known is not getattr(module, name):
                named[f"{module.__name__.rpartition('.')[2]}.{name}"] = getattr(module, name)
    for name, value in named.items():
        members = {name: value}
        if inspect.isclass(value):
            members |= {
                f"{name}.{n}": getattr(value, n) for n in dir(value) if not n.startswith("_") or n == "__getitem__"
            }
        for full, member in members.items():
            if callable(member) and (arrays := _array_parameters(member)):
                found[full] = arrays
    return found


def _array_parameters(function: Any) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = {each.name: str(each.annotation) for each in parameters}
    return [name for name, kind in kinds.items() if ARRAY.search(kind) and not kind.startswith("Callable")]


def test_every_public_function_with_array_arguments_has_an_example() -> None:
    public = {name: arrays for name, arrays in _public().items() if name.partition(".")[0] not in WITHOUT_EXAMPLE}
    tried: dict[str, set[str]] = {}
    for name, example in EXAMPLES.items():
        tried.setdefault(name.partition(":")[0], set()).update(example.arrays)
    missing = {name: left for name, arrays in public.items() if (left := set(arrays) - tried.get(name, set()))}
    assert missing == {}
    assert len(public) > 50


def _plain(answer: Any) -> Any:
    """Return an answer as nested lists of numbers and texts."""
    if isinstance(answer, rm.ResponseBank):
        rewards = answer.item_rewards.tolist() if answer.has_rewards else []
        return [np.asarray(answer.items, float).tolist(), rewards, answer.prompt_ids.tolist(), answer.offsets.tolist()]
    if isinstance(answer, rm.Preferences):
        columns = {name: column.tolist() for name, column in answer.columns.items()}
        return [np.asarray(answer.items, float).tolist(), answer.comparisons.tolist(), answer.groups.tolist(), columns]
    if isinstance(answer, pd.DataFrame):
        return answer.astype(object).where(answer.notna(), "missing").to_numpy().tolist()
    return answer.tolist() if isinstance(answer, np.ndarray | torch.Tensor) else answer


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return bool(np.isclose(one, other, rtol=1e-5, atol=1e-6, equal_nan=True))
    return bool(one == other)


def _fault(error: Exception) -> str:
    """Return what is wrong with an error: it must be raised by the library, on purpose, in one line."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    line = linecache.getline(frame.filename, frame.lineno or 0).strip()
    words = f"{type(error).__name__}: {error}"
    if not isinstance(error, ValueError | TypeError | IndexError | ArithmeticError):
        return f"another kind of error: {words}"
    if not frame.filename.startswith((SOURCE, VALIDATION)) or not line.startswith("raise"):
        return f"not on purpose, in {Path(frame.filename).name}: {line}: {words}"
    return "more than one line" if "\n" in str(error) else ""


def _is_place(name: str, form: str) -> bool:
    """Say whether an argument is a tuple where numpy itself would take it for a place in several axes."""
    return form == "tuple" and name in ("prompts", "chosen")


def _attack(example: Example, name: str, form: str, expected: Any) -> str:
    """Return what is wrong with the outcome of one form of one argument."""
    arrays = {n: a.copy() for n, a in example.arrays.items()}
    try:
        value = {**SAME, **REFUSED, **OTHER}[form](arrays[name])
    except NotApplicable:
        return ""
    before = copied(value)
    fault = ""
    try:
        answer = _plain(example.call(**{**arrays, name: value}))
    except Exception as error:
        is_right = form not in SAME or example.takes_tensors or _is_place(name, form)
        fault = _fault(error) if is_right else f"refused: {error}"
    else:
        if form in SAME and not _same(answer, expected):
            fault = f"another answer: {answer!r:.300} for {expected!r:.300}"
        if form in REFUSED and not isinstance(value, torch.Tensor):
            fault = f"accepted: {answer!r:.300}"
    return fault or ("" if unchanged(value, before) else "the argument was changed")


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_form_of_an_array_gives_the_answer_or_one_of_our_errors(name: str) -> None:
    example = EXAMPLES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = _plain(example.call(**example.arrays))
        faults = {
            (argument, form): fault
            for argument in example.arrays
            for form in (*SAME, *REFUSED, *OTHER)
            if (fault := _attack(example, argument, form, expected))
        }
    assert faults == {}
