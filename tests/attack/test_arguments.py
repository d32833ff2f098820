"""Arguments that are no arrays, of a wrong kind: the rule and what came, raised on purpose, in one line."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import rmspace as rm
from rmspace.kinds import KINDS
from rmspace.paper import advice, protocol

RNG = np.random.default_rng(0)
ITEMS = RNG.normal(size=(40, 4)).astype(np.float32)
PAIRS = np.arange(40).reshape(20, 2)
BANK = rm.ResponseBank(ITEMS.reshape(10, 4, 4), RNG.normal(size=(10, 4)), features={"length": np.ones((10, 4))})
PREFERENCES = rm.Preferences(ITEMS, PAIRS, np.arange(40) // 4)
KNOWN: dict[str, Any] = {
    "bank": BANK, "train": BANK, "test": BANK, "data": BANK, "preferences": PREFERENCES, "n_pairs": 5, "rng": RNG,
    "test_size": 2, "seed": 0, "beta": 1.0, "budget": 10, "feature": "length", "model": rm.LinearReward(), "grid": {},
    "n": 1, "scores": ITEMS[:, 0], "rewards": BANK, "objective": rm.hinge, "name": "margin", "low": 0.0, "high": 1.0,
    "ranges": {"margin": (0.0, 1.0)},
}  # fmt: skip


def _of_data() -> dict[str, tuple[Callable[..., Any], str]]:
    """Return each public function with a parameter that is a bank or preferences."""
    functions = {name: getattr(rm, name) for name in rm.__all__}
    for module in [
        *(importlib.import_module(kind.module) for kind in KINDS if not kind.module.startswith("rmspace.text.")),
        protocol,
    ]:
        functions |= {name: getattr(module, name) for name in module.__all__}
    found: dict[str, tuple[Callable[..., Any], str]] = {}
    for name, function in functions.items():
        if inspect.isfunction(function):
            for parameter in inspect.signature(function).parameters.values():
                if str(parameter.annotation) in ("ResponseBank", "Preferences", "Data", "ResponseBank | Preferences"):
                    found[f"{name}({parameter.name})"] = (function, parameter.name)
    return found


OF_DATA = _of_data()
UNUSED = {"train": {"best_response", "feature_score", "random_response"}}


@pytest.mark.parametrize("case", OF_DATA)
@pytest.mark.parametrize("wrong", [ITEMS, "bank", None, [1, 2]], ids=["array", "text", "None", "list"])
def test_what_is_no_bank_is_refused_by_the_name_of_the_argument(case: str, wrong: Any) -> None:
    function, argument = OF_DATA[case]
    if function.__name__ in UNUSED.get(argument, ()):
        pytest.skip("the argument is not used")
    required = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    given = {name: KNOWN[name] for name in required if name in KNOWN}
    if function is rm.run:
        given |= {"models": {"a": rm.LinearReward()}, "pairs": rm.same_prompt, "n_pairs": 5, "annotator": rm.oracle}
    with pytest.raises((TypeError, ValueError)) as caught:
        result = function(**{**given, argument: wrong})
        list(result)
    assert "\n" not in str(caught.value)
    assert any(word in str(caught.value) for word in (argument, "Preferences"))


def _small(**options: Any) -> Any:
    return rm.MLPReward(**{"hidden_sizes": (3,), "max_epochs": 1, "validation_fraction": 0.0, **options})


CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "sizes as a number": (lambda: _small(hidden_sizes=5).fit(ITEMS, PAIRS), r"must list integers.* got 5; .* \(5,\)"),
    "sizes as a text": (lambda: _small(hidden_sizes="55").fit(ITEMS, PAIRS), "must list integers.* got '55'"),
    "no sizes": (lambda: _small(hidden_sizes=None).fit(ITEMS, PAIRS), "must list integers.* got None"),
    "verbose": (lambda: _small(verbose="no").fit(ITEMS, PAIRS), "verbose must be True or False; got 'no'"),
    "repeats": (lambda: rm.same_prompt(BANK, 3, RNG, repeats="no"), "repeats must be True or False; got 'no'"),  # type: ignore[arg-type]
    "bootstrap": (
        lambda: rm.EnsembleReward(rm.LinearReward(), 2, bootstrap="no").fit(ITEMS, PAIRS),  # type: ignore[arg-type]
        "bootstrap must be True or False",
    ),
    "quantized": (lambda: rm.LightGBMReward(quantized="no").fit(ITEMS, PAIRS), "quantized must be True"),  # type: ignore[arg-type]
    "a flaw": (
        lambda: protocol.ProtocolMLPReward(row_split="no").fit(ITEMS, PAIRS),  # type: ignore[arg-type]
        "row_split must be True or False",
    ),
    "rewards of text": (
        lambda: rm.annotate(PAIRS, np.array(["1"] * 40), rm.oracle, rng=RNG),
        r"rewards must be a bank, or numbers .* got <U1 of shape \(40,\)",
    ),
    "equal but for rounding": (
        lambda: rm.annotate(PAIRS, np.repeat([0.1 + 0.2, 0.3], 20), rm.oracle, rng=RNG, scale="std"),
        r"rewards that differ; all are 0\.3, except for rounding",
    ),
    "tiny gaps": (lambda: rm.beta_for_error(PAIRS, np.arange(40) * 1e-308, 0.2), "largest gap must be .* 1e-308"),
    "tiny gaps of labels": (
        lambda: advice.estimate_beta(PAIRS, np.arange(40) * 1e-308),
        "largest gap must be .* 1e-308",
    ),
    "a huge integer": (lambda: rm.logistic([0.0], beta=10**400), "beta must fit float64; got an integer of 401 digits"),
    "a huge number of pairs": (lambda: rm.same_prompt(BANK, 10**400, RNG), "n_pairs must be at most the 60 distinct"),
    "a negative seed": (lambda: rm.split_prompts(BANK, 2, -1), "seed must be at least 0; got -1"),
    "a text as seed": (lambda: rm.split_prompts(BANK, 2, "x"), "seed must be an integer; got 'x'"),  # type: ignore[arg-type]
    "columns as a list": (lambda: rm.Preferences(ITEMS, PAIRS, PAIRS.ravel(), columns=[1]), "columns must map names"),  # type: ignore[arg-type]
    "parameters": (lambda: rm.LightGBMReward(parameters=5).fit(ITEMS, PAIRS), "parameters must map names"),  # type: ignore[arg-type]
    "huge items of a classifier": (
        lambda: rm.ClassifierReward().fit(np.tile(ITEMS, (10, 1)) * np.float32(1e37), np.arange(400).reshape(200, 2)),
        "scale the items",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_rule_and_what_came(case: str) -> None:
    call, says = CASES[case]
    with pytest.raises((TypeError, ValueError, FloatingPointError), match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


TREES = partial(rm.LightGBMReward, n_jobs=1)
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a negative penalty": (
        lambda: TREES(parameters={"lambda_l2": -5}).fit(ITEMS, PAIRS),
        r"^LightGBM asks for lambda_l2 >= 0\.0; change this parameter$",
    ),
    "an unknown kind": (
        lambda: TREES(parameters={"boosting": "zzz"}).fit(ITEMS, PAIRS),
        r"^LightGBM refused these parameters: Unknown boosting type zzz$",
    ),
    "too many leaves": (lambda: TREES(num_leaves=10**9).fit(ITEMS, PAIRS), r"asks for num_leaves <= 131072"),
    "a share above 1": (
        lambda: TREES(parameters={"feature_fraction": 7}).fit(ITEMS, PAIRS),
        r"asks for feature_fraction <= 1\.0",
    ),
    "constant items": (
        lambda: TREES().fit(np.ones((40, 4), np.float32), PAIRS),
        "no column to split: each is constant in these 40 items",
    ),
    "too few items": (lambda: TREES(min_child_samples=100).fit(ITEMS, PAIRS), "smaller min_child_samples"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_lightgbm_says_what_it_refuses(case: str) -> None:
    call, says = REFUSED[case]
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "cpp" not in str(caught.value)
    assert "\n" not in str(caught.value)
