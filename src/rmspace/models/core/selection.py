"""Cross-validation and search over comparisons, in folds of whole prompts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid

from rmspace.data.preferences import Preferences
from rmspace.data.progress import progress
from rmspace.data.split import prompt_folds
from rmspace.models.core.base import score_comparisons
from rmspace.models.core.columns import objective_name
from rmspace.models.core.data import check_fit
from rmspace.models.core.fitting import fit_model, seed_model
from rmspace.models.core.reuse import reuse_items

Grid = Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]]

_MEASURES = ("fold", "accuracy", "n_prompts", "n_comparisons", "fit_seconds")


class SearchResult(NamedTuple):
    """The result of `search`."""

    model: Any  # the best, fitted on all comparisons
    parameters: dict[str, Any]  # of the best
    table: pd.DataFrame  # one row per choice of parameters and fold


def cross_validate(model: Any, preferences: Preferences, *, n_splits: int = 5, seed: int = 0) -> pd.DataFrame:
    """Fit and score a model on folds of comparisons; no prompt is in both the training and the test data of a fold.

    scikit-learn's `cross_val_score` splits one array of samples. Here a sample is a comparison of two items of one
    prompt, so items, comparisons, groups and columns must be split together.

    Args:
        model: a reward model, or a pipeline that ends in one; it is cloned, never changed.
        preferences: what to learn from and to test on.
        n_splits: the number of folds.
        seed: of the folds, and of every `random_state` of the model that is None.

    Returns:
        One row per fold: fold (from 0), accuracy (share of the fold's comparisons in the right order, as `score` gives
        it), n_prompts and n_comparisons (of the test side), fit_seconds.

    Raises:
        ValueError, TypeError: as `prompt_folds`, and as the model's `fit`.

    >>> from rmspace import LinearReward, make_synthetic_banks, oracle, same_prompt
    >>> import numpy as np
    >>> bank, _ = make_synthetic_banks(60, 1, 4, 16, noise_std=0.0, seed=0)
    >>> rng = np.random.default_rng(0)
    >>> preferences = Preferences.from_bank(bank, same_prompt(bank, 300, rng), oracle, rng=rng)
    >>> table = cross_validate(LinearReward(), preferences, n_splits=3)
    >>> len(table), bool(table.accuracy.mean() > 0.7)
    (3, True)
    """
    return _measure(model, [{}], preferences, n_splits, seed)[1]


def search(model: Any, grid: Grid, preferences: Preferences, *, n_splits: int = 5, seed: int = 0) -> SearchResult:
    """Find the parameters with the best mean accuracy over folds of prompts, and fit them on all comparisons.

    This is scikit-learn's `GridSearchCV` for comparisons: `grid` is that of `ParameterGrid`, `table` corresponds to
    `cv_results_`, `parameters` to `best_params_` and `model` to `best_estimator_`. See `cross_validate`.

    Args:
        model: a reward model, or a pipeline that ends in one; it is cloned, never changed.
        grid: parameter -> values to try, or several such mappings; in a pipeline, `mlpreward__learning_rate` and so on.
        preferences: what to learn from and to test on.
        n_splits: the number of folds.
        seed: of the folds, and of every `random_state` of the model that is None.

    Returns:
        (model, parameters, table). The table has one row per choice of parameters and fold: a column for each
        parameter, and the columns of `cross_validate`. Of equal mean accuracies, the first in the grid wins.

    Raises:
        ValueError, TypeError: as `cross_validate`; a parameter that the model does not have.

    >>> from rmspace import LinearReward, make_synthetic_banks, oracle, same_prompt
    >>> import numpy as np
    >>> bank, _ = make_synthetic_banks(60, 1, 4, 16, noise_std=0.0, seed=0)
    >>> rng = np.random.default_rng(0)
    >>> preferences = Preferences.from_bank(bank, same_prompt(bank, 300, rng), oracle, rng=rng)
    >>> model, parameters, table = search(LinearReward(), {"alpha": [1e-4, 1e3]}, preferences, n_splits=3)
    >>> model.alpha, len(table)
    (0.0001, 6)
    """
    candidates = list(ParameterGrid(grid))
    numbers, table = _measure(model, candidates, preferences, n_splits, seed)
    best = candidates[int(table.accuracy.groupby(numbers).mean().to_numpy().argmax())]
    fitted = fit_model(_prepared(model, best, seed), preferences)
    return SearchResult(fitted, best, table)


@reuse_items()
def _measure(
    model: Any, candidates: Sequence[Mapping[str, Any]], preferences: Preferences, n_splits: int, seed: int
) -> tuple[list[int], pd.DataFrame]:
    """Score all candidates on all folds; return the candidate of each row, and the rows, candidate by candidate."""
    prepared = [_prepared(model, parameters, seed) for parameters in candidates]
    folds = list(prompt_folds(preferences, n_splits=n_splits, seed=seed))
    rows = []
    for fold, (train, test) in enumerate(progress(folds, "folds")):
        for number, candidate in enumerate(prepared):
            measures = {"fold": fold, **_measure_fold(clone(candidate), train, test)}
            rows.append((number, {**_readable(candidates[number]), **measures}))
    rows.sort(key=lambda row: row[0])
    names = dict.fromkeys(name for parameters in candidates for name in parameters)
    table = pd.DataFrame([row for _, row in rows], columns=[*names, *_MEASURES])
    return [number for number, _ in rows], table


def _measure_fold(model: Any, train: Preferences, test: Preferences) -> dict[str, Any]:
    start = time.perf_counter()
    fit_model(model, train)
    seconds = time.perf_counter() - start
    return {
        "accuracy": score_comparisons(model, check_fit(test)),
        "n_prompts": test.n_prompts,
        "n_comparisons": test.n_comparisons,
        "fit_seconds": seconds,
    }


def _prepared(model: Any, parameters: Mapping[str, Any], seed: int) -> Any:
    return seed_model(clone(model).set_params(**parameters), seed)


def _readable(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as they are shown in a table: functions by their names."""
    return {name: objective_name(value) if callable(value) else value for name, value in parameters.items()}
