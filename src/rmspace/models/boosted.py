"""Boosted trees as reward model, for any objective that has curvature."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import torch
from lightgbm.basic import LightGBMError

from rmspace._checks import check_bool, check_int, check_names, check_number
from rmspace._typing import Float64Array, FloatArray
from rmspace.kinds import Objective
from rmspace.models.core.base import BaseReward, draw_seed, is_plain
from rmspace.models.core.bins import aliases, binned_rows
from rmspace.models.core.columns import bind, to_tensors
from rmspace.models.core.data import FitData
from rmspace.models.core.gradients import check_curvature, score_slope
from rmspace.models.core.precision import find_threads
from rmspace.models.io.booster_text import check_booster_text, trees_alone
from rmspace.objectives.gap import bradley_terry
from rmspace.objectives.single import classification

__all__ = ["LightGBMReward"]

# LightGBM's main names of the parameters that the arguments set. Each has aliases; of two values one silently wins.
_OWN = ("objective", "num_iterations", "learning_rate", "num_leaves", "min_data_in_leaf", "seed", "num_threads")
_LEAST_CURVATURE = 1e-12
_QUANTIZED = {"use_quantized_grad": True, "num_grad_quant_bins": 16, "quant_train_renew_leaf": True}


class LightGBMReward(BaseReward):
    """Gradient-boosted trees reward model, by LightGBM.

    With `classification`, winner and loser rows are stacked, labelled 1 and 0, and given to LightGBM's own `binary`
    objective: the logit is the reward. Every other objective is boosted on the items themselves. In each round,
    autograd gives the gradient and the curvature (the Hessian's diagonal) of the summed loss with respect to each
    item's score. So Bradley-Terry on trees is fitted as a preference model, not as a classifier. Such objectives fix a
    reward only up to a constant; boosting starts from 0.

    Args:
        objective: (winner scores, loser scores, columns by name) -> one loss per pair, twice differentiable.
        n_estimators, learning_rate, num_leaves, min_child_samples: LightGBM's own, with its defaults.
        parameters: any other LightGBM parameter by name.
        random_state: seed of LightGBM's random draws; with its defaults it draws nothing.
        quantized: round gradients to 16 levels. This is faster; docs/benchmarks.md has the loss of accuracy. The trees
            then depend on the number of threads.
        n_jobs: threads. None takes as many as torch uses, so that OMP_NUM_THREADS and `torch.set_num_threads` set both.

    Attributes:
        booster_: the `lightgbm.Booster`.

    Source: Ke et al., "LightGBM" (2017); the diagonal of a pairwise loss's Hessian as in LambdaMART, Burges (2010).

    >>> from rmspace import make_synthetic_banks, same_prompt, annotate, oracle, spearman
    >>> train, test = make_synthetic_banks(200, 50, 8, 32, noise_std=0.0, seed=0)
    >>> rng = np.random.default_rng(0)
    >>> comparisons = annotate(same_prompt(train, 2000, rng), train.rewards, oracle, rng=rng)
    >>> model = LightGBMReward(bradley_terry, n_estimators=50).fit(train.items, comparisons)
    >>> bool(spearman(model.predict(test.items), test.rewards).mean() > 0.3)
    True
    """

    def __init__(
        self,
        objective: Objective = bradley_terry,
        *,
        n_estimators: int = 100,
        learning_rate: float = 0.1,
        num_leaves: int = 31,
        min_child_samples: int = 20,
        parameters: Mapping[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        quantized: bool = False,
        n_jobs: int | None = None,
    ) -> None:
        self.objective = objective
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_child_samples = min_child_samples
        self.parameters = parameters
        self.random_state = random_state
        self.quantized = quantized
        self.n_jobs = n_jobs

    def _fit(self, data: FitData) -> None:
        check_int("n_estimators", self.n_estimators, low=1)
        check_bool("quantized", self.quantized)
        settings = self._settings()
        boost = self._boost_rows if is_plain(self.objective, classification) else self._boost_items
        try:
            self.booster_ = boost(data, settings)
        except LightGBMError as error:
            raise ValueError(_in_words(error, len(data.used_rows), self.min_child_samples)) from error
        if not self.booster_.feature_importance().any():
            warnings.warn(
                f"no tree has a split, so all scores are equal: {len(data.pairs)} comparisons are too few for "
                f"min_child_samples={self.min_child_samples}",
                UserWarning,
                stacklevel=2,
            )

    def _score(self, rows: FloatArray) -> FloatArray:
        return np.asarray(self.booster_.predict(rows, raw_score=True))

    def _settings(self) -> dict[str, Any]:
        if self.parameters is not None:
            check_names("parameters", self.parameters)
        extra = dict(self.parameters or {})
        known = set(lightgbm.basic._ConfigAliases.get(*lightgbm.basic._ConfigAliases._get_all_param_aliases()))
        if unknown := sorted(set(extra) - known):
            close = difflib.get_close_matches(unknown[0], known, n=1)
            raise ValueError(
                f"LightGBM has no parameter {unknown[0]!r}" + (f"; did you mean {close[0]}?" if close else "")
            )
        if any(extra.get(name) for name in aliases("linear_tree")):
            raise ValueError("parameters must not ask for linear_tree, which cannot be saved; leave it out")
        if clash := aliases(*_OWN) & set(extra):
            raise ValueError(
                f"parameters must not name {sorted(clash)}, which LightGBMReward has as arguments; give the arguments"
            )
        return {
            "learning_rate": check_number("learning_rate", self.learning_rate, low=0.0),
            "num_leaves": check_int("num_leaves", self.num_leaves, low=2),
            "min_child_samples": check_int("min_child_samples", self.min_child_samples, low=0),
            "seed": draw_seed(self.random_state),
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
            "num_threads": find_threads() if self.n_jobs is None else check_int("n_jobs", self.n_jobs),
            **(_QUANTIZED if self.quantized else {}),
            **extra,
        }

    def _boost_rows(self, data: FitData, settings: dict[str, Any]) -> lightgbm.Booster:
        """Classify stacked winner and loser rows by LightGBM's own `binary`; their order does not depend on who won."""
        first = data.pairs[:, 0] < data.pairs[:, 1]
        stacked = data.used_rows[np.sort(data.pairs, axis=1).T.ravel()]
        labels = np.concatenate([first, ~first]).astype(np.float64)
        rows = binned_rows("binned rows", data.items, stacked, settings, labels, np.tile(data.weights, 2))
        return self._train(rows, settings, "binary")

    def _boost_items(self, data: FitData, settings: dict[str, Any]) -> lightgbm.Booster:
        """Boost item scores by the gradient and curvature of the objective."""
        check_curvature(self.objective, data.columns)
        objective = bind(self.objective, to_tensors(data.columns, torch.float64))

        def slope(scores: Float64Array, _: lightgbm.Dataset) -> tuple[Float64Array, Float64Array]:
            at = score_slope(objective, scores, data.pairs, data.weights, curvature=True)
            assert at.curvature is not None
            return at.gradient, np.maximum(at.curvature, _LEAST_CURVATURE)

        n = len(data.used_rows)
        rows = binned_rows("binned items", data.items, data.used_rows, settings, np.zeros(n), np.ones(n))
        return self._train(rows, settings, slope)

    def _train(self, rows: lightgbm.Dataset, settings: dict[str, Any], objective: Any) -> lightgbm.Booster:
        given = {name: value for name, value in settings.items() if name not in aliases("forcedbins_filename")}
        return lightgbm.train({**given, "objective": objective}, rows, self.n_estimators)

    def write_state(self, folder: Path) -> dict[str, Any]:
        """Write the trees as LightGBM's text."""
        text = trees_alone(self.booster_.model_to_string(num_iteration=-1))
        check_booster_text(text)
        (folder / "trees.txt").write_text(text, encoding="utf-8")
        return {name: value for name, value in super().write_state(folder).items() if name != "booster_"}

    def read_state(self, folder: Path, state: dict[str, Any]) -> None:
        """Read the trees, after a check that LightGBM can read them."""
        text = (folder / "trees.txt").read_text(encoding="utf-8")
        if check_booster_text(text) != state["n_features_in_"]:
            raise ValueError(f"{folder} is damaged: its trees have another number of features")
        try:
            booster = lightgbm.Booster(model_str=text)
        except LightGBMError as error:
            raise ValueError(f"{folder} is damaged ({error})") from error
        super().read_state(folder, {**state, "booster_": booster})


def _in_words(error: LightGBMError, n_items: int, min_child_samples: int) -> str:
    """Return what LightGBM says, in words: its rule, or that it found no column that can be split."""
    says = " ".join(str(error).split())
    if "num_features()" in says:
        return (
            f"LightGBM found no column to split: each is constant in these {n_items} items, or they are too few for "
            f"min_child_samples={min_child_samples}; give items that differ, or a smaller min_child_samples"
        )
    if rule := re.match(r"Check failed: \((\w+)\) (\S+) \(([^()]*)\)", says):
        return f"LightGBM asks for {' '.join(rule.groups())}; change this parameter"
    return f"LightGBM refused these parameters: {says.partition(' at /')[0]}"
