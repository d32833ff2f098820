"""One contract for every model; that every model learns by every objective; then what is particular to each model."""

import pickle
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import choix
import lightgbm
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from torch import Tensor

import rmspace as rm
from conftest import Banks
from rmspace._typing import IntArray
from rmspace.data.split import split_comparisons
from rmspace.kinds import Objective


def squared_margin(winner: Tensor, loser: Tensor, *, margin: float = 1.0) -> Tensor:
    return (margin - (winner - loser)).square()


OBJECTIVES: dict[str, Callable[..., Tensor]] = {
    "bradley_terry": rm.bradley_terry,
    "classification": rm.classification,
    "thurstone": rm.thurstone,
    "hinge": rm.hinge,
    "margin": partial(rm.margin_bradley_terry, margin=0.5),
    "smoothed": partial(rm.label_smoothed, smoothing=0.05),
    "own": partial(squared_margin, margin=2.0),
}
SMALL: dict[str, Any] = {
    "hidden_sizes": (32,),
    "max_epochs": 6,
    "batch_size": 64,
    "learning_rate": 4e-3,
    "random_state": 0,
    "precision": "float32",  # the same on every processor
}
MODELS: dict[str, Callable[..., Any]] = {
    "linear": partial(rm.LinearReward, max_iter=200),
    "mlp": partial(rm.MLPReward, **SMALL),
    "lightgbm": partial(rm.LightGBMReward, n_estimators=30, random_state=0, n_jobs=1),
    "ensemble": lambda objective: rm.EnsembleReward(rm.MLPReward(objective, **SMALL), 2, random_state=0),
}
CLASSIFIERS = {"logistic": LogisticRegression(C=100), "forest": RandomForestClassifier(20)}
trees = partial(rm.LightGBMReward, n_jobs=1)


def make(model: str, objective: str = "bradley_terry") -> Any:
    if model in CLASSIFIERS:
        return rm.ClassifierReward(CLASSIFIERS[model], random_state=0)
    return MODELS[model](OBJECTIVES[objective])


@pytest.fixture(scope="module")
def fitted(banks: Banks, comparisons: IntArray) -> Callable[..., Any]:
    """Fit each case once."""
    cache = {}

    def fit(model: str, objective: str = "bradley_terry") -> Any:
        if (model, objective) not in cache:
            train, _ = banks
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # L-BFGS stops at the kinks of hinge
                cache[model, objective] = make(model, objective).fit(train.items, comparisons, groups=train.groups)
        return cache[model, objective]

    return fit


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("model", ["linear", "mlp", "lightgbm"])
def test_every_model_learns_by_every_objective(
    model: str, objective: str, fitted: Callable[..., Any], banks: Banks
) -> None:
    if (model, objective) == ("lightgbm", "hinge"):
        pytest.skip("hinge has no curvature")
    _, test = banks
    assert rm.normalized_gain(fitted(model, objective).predict(test.items), test.rewards).mean() > 0.25


@pytest.mark.parametrize("model", [*MODELS, *CLASSIFIERS])
class TestContract:
    def test_beats_chance_by_far(self, model: str, fitted: Callable[..., Any], banks: Banks) -> None:
        _, test = banks
        scores = fitted(model).predict(test.items)
        assert scores.shape == (test.n_items,)
        assert scores.dtype == np.float64
        assert rm.normalized_gain(scores, test.rewards).mean() > 0.25

    def test_same_seed_same_result(
        self,
        model: str,
        fitted: Callable[..., Any],
        banks: Banks,
        comparisons: IntArray,
    ) -> None:
        train, test = banks
        again = clone(fitted(model)).fit(train.items, comparisons, groups=train.groups)
        np.testing.assert_array_equal(again.predict(test.items), fitted(model).predict(test.items))

    def test_clone_and_parameters(self, model: str) -> None:
        estimator = make(model)
        copy = clone(estimator)
        assert set(copy.get_params()) == set(estimator.get_params())
        assert not hasattr(copy, "n_features_in_")
        assert type(estimator).__name__ in repr(estimator)
        assert estimator.set_params(**estimator.get_params(deep=False)) is estimator

    def test_saved_loaded_pickled(self, model: str, fitted: Callable[..., Any], banks: Banks, tmp_path: Path) -> None:
        _, test = banks
        estimator = fitted(model)
        estimator.save(tmp_path / "model")
        trusted = ["sklearn.tree._tree.Tree"] if model == "forest" else []
        for again in (rm.load(tmp_path / "model", trusted=trusted), pickle.loads(pickle.dumps(estimator))):
            assert type(again) is type(estimator)
            np.testing.assert_array_equal(again.predict(test.items), estimator.predict(test.items))
            assert set(again.get_params()) == set(estimator.get_params())
            assert {name for name in vars(again) if name.endswith("_")} == {
                name for name in vars(estimator) if name.endswith("_")
            }

    def test_preferences_are_the_arrays_in_them(
        self,
        model: str,
        fitted: Callable[..., Any],
        banks: Banks,
        comparisons: IntArray,
    ) -> None:
        train, test = banks
        preferences = rm.Preferences(train.items, comparisons, train.groups)
        again = clone(fitted(model)).fit(preferences)
        np.testing.assert_array_equal(again.predict(test.items), fitted(model).predict(test.items))
        with pytest.raises(TypeError, match="Preferences have their own comparisons"):
            clone(fitted(model)).fit(preferences, groups=train.groups)

    def test_the_score_is_the_share_in_the_right_order(
        self,
        model: str,
        fitted: Callable[..., Any],
        banks: Banks,
        comparisons: IntArray,
    ) -> None:
        train, _ = banks
        done = fitted(model)
        scores = done.predict(train.items)
        winner, loser = scores[comparisons].T
        share = np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in zip(winner, loser, strict=True)])
        assert done.score(train.items, comparisons) == pytest.approx(share)
        weights = np.arange(len(comparisons)) + 1.0
        weighted = np.average((winner > loser) + (winner == loser) / 2, weights=weights)
        preferences = rm.Preferences(train.items, comparisons, train.groups, weight=weights)
        assert done.score(preferences) == pytest.approx(weighted)
        assert done.score(train.items, comparisons, weights) == pytest.approx(weighted)

    def test_bad_input(self, model: str, fitted: Callable[..., Any], banks: Banks) -> None:
        train, _ = banks
        estimator = make(model)
        good = np.array([[0, 1], [2, 3]])
        with pytest.raises(NotFittedError):
            estimator.predict(train.items)
        for comparisons, error, message in (
            (np.array([[0, train.n_items]]), ValueError, f"got {train.n_items}"),
            (good.astype(float), TypeError, "integer item ids"),
            (good[:0], ValueError, "n at least 1"),
            (np.array([[1, 1]]), ValueError, "two different items"),
            (None, TypeError, "items and comparisons; got .* alone"),
        ):
            with pytest.raises(error, match=message):
                estimator.fit(train.items, comparisons)
        broken = train.items.copy()
        broken[2] = np.nan
        with pytest.raises(ValueError, match="items must be finite"):
            estimator.fit(broken, good)
        with pytest.raises(ValueError, match=r"items must be \(n_items, dim\)"):
            estimator.fit(train.embeddings, good)
        with pytest.raises(ValueError, match="sample_weight"):
            estimator.fit(train.items, good, sample_weight=np.array([1.0, -1.0]))
        with pytest.raises(ValueError, match="groups must be one"):
            estimator.fit(train.items, good, groups=np.zeros(3))
        with pytest.raises(ValueError, match="column 'margin' must have one value per comparison"):
            estimator.fit(train.items, good, columns={"margin": np.ones(3)})
        done = fitted(model)
        with pytest.raises(ValueError, match="must have the 32 numbers of the fit; got 31"):
            done.predict(train.items[:, :31])
        with pytest.raises(ValueError, match="items must be finite"):
            done.predict(broken)

    def test_only_models_that_train_in_epochs_take_an_eval_set(
        self, model: str, banks: Banks, comparisons: IntArray
    ) -> None:
        train, _ = banks
        preferences = rm.Preferences(train.items, comparisons, train.groups)
        if model in ("mlp", "ensemble"):
            with pytest.raises(TypeError, match="eval_set must be Preferences; got tuple"):
                make(model).fit(preferences, eval_set=(train.items, comparisons))
            narrow = rm.Preferences(train.items[:, :3], comparisons, train.groups)
            with pytest.raises(ValueError, match="items of the training dim 32; got 3"):
                make(model).fit(preferences, eval_set=narrow)
        else:
            for options in ({"eval_set": preferences}, {"on_epoch": print}):
                with pytest.raises(ValueError, match="does not train in epochs"):
                    make(model).fit(preferences, **options)


# This does not hold for models that draw batches or samples, nor for LightGBM's `binary`, which counts rows.
@pytest.mark.parametrize(
    ("model", "objective"),
    [("linear", "bradley_terry"), ("linear", "classification"), ("lightgbm", "bradley_terry"), ("lightgbm", "own")],
)
def test_weight_two_is_a_repeated_row(model: str, objective: str, banks: Banks, comparisons: IntArray) -> None:
    train, test = banks
    weights = np.where(np.arange(len(comparisons)) % 3 == 0, 2.0, 1.0)
    repeated = np.concatenate([comparisons, comparisons[::3]])
    heavy = make(model, objective).fit(train.items, comparisons, sample_weight=weights)
    double = make(model, objective).fit(train.items, repeated)
    a, b = heavy.predict(test.items), double.predict(test.items)
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(b).max())


@pytest.mark.parametrize("model", ["linear", "mlp", "lightgbm"])
@pytest.mark.parametrize(
    ("objective", "error", "message"),
    [
        (lambda w, o: rm.bradley_terry(w, o).mean(), ValueError, "do not reduce"),
        (lambda w, o: rm.bradley_terry(w, o)[1:], ValueError, "one loss per pair"),
        (lambda w, o: rm.bradley_terry(w, o) * float("nan"), (ValueError, FloatingPointError), "not finite|became nan"),
    ],
)
def test_broken_objectives_are_named(
    model: str,
    objective: Objective,
    error: type[Exception] | tuple[type[Exception], ...],
    message: str,
    banks: Banks,
    comparisons: IntArray,
) -> None:
    train, _ = banks
    with pytest.raises(error, match=message):
        MODELS[model](objective).fit(train.items, comparisons, groups=train.groups)


@pytest.mark.parametrize("model", ["linear", "mlp", "lightgbm"])
def test_an_objective_of_one_side(model: str, banks: Banks, comparisons: IntArray) -> None:
    train, test = banks
    fit = MODELS[model](lambda w, o: -torch.nn.functional.logsigmoid(w)).fit
    scores = fit(train.items, comparisons, groups=train.groups).predict(test.items)
    assert scores.mean() > 0


def test_soft_labels_are_two_weighted_rows(banks: Banks) -> None:
    train, _ = banks
    pairs = np.repeat([[0, 1]], 2, axis=0)
    pairs[1] = pairs[1, ::-1]
    soft = rm.LinearReward(alpha=0.0, tol=1e-10).fit(train.items, pairs, sample_weight=np.array([0.8, 0.2]))
    gap = np.diff(soft.predict(train.items[:2]))[0]
    assert -gap == pytest.approx(np.log(0.8 / 0.2), abs=1e-5)


class TestLinear:
    def test_round_robin_equals_choix(self, rng: np.random.Generator) -> None:
        n = 8
        strength = rng.normal(size=n)
        i, j = np.triu_indices(n, 1)
        pairs = np.repeat(np.stack([i, j], axis=1), 30, axis=0)
        data = rm.annotate(pairs, strength, partial(rm.logistic, beta=1.0), rng=rng)
        model = rm.LinearReward(alpha=0.0, tol=1e-8).fit(np.eye(n), data)
        expected = choix.opt_pairwise(n, data.tolist(), tol=1e-12)
        scores = model.predict(np.eye(n))
        np.testing.assert_allclose(scores - scores.mean(), expected - np.mean(expected), atol=1e-5)

    def test_classification_equals_logistic_regression(self, banks: Banks, comparisons: IntArray) -> None:
        train, test = banks
        alpha = 1e-3
        ours = rm.LinearReward(rm.classification, alpha=alpha, tol=1e-7).fit(train.items, comparisons)
        rows = train.items[comparisons.T.ravel()].astype(float)
        labels = np.repeat([1, 0], len(comparisons))
        used = train.items[np.unique(comparisons)].astype(float)
        alpha *= ((used - used.mean(axis=0)) ** 2).sum(axis=1).mean()
        theirs = LogisticRegression(C=1 / (alpha * len(comparisons)), tol=1e-10, max_iter=10_000).fit(rows, labels)
        np.testing.assert_allclose(ours.coef_, theirs.coef_[0], atol=2e-4)
        np.testing.assert_allclose(ours.predict(test.items), theirs.decision_function(test.items), atol=2e-4)

    def test_scores_are_centred_where_only_differences_count(self, banks: Banks, comparisons: IntArray) -> None:
        train, _ = banks
        model = rm.LinearReward().fit(train.items, comparisons)
        assert model.predict(train.items[np.unique(comparisons)]).mean() == pytest.approx(0.0, abs=1e-6)
        assert model.intercept_ == pytest.approx(0.0, abs=1e-9)

    def test_the_unit_of_the_embedding_does_not_matter(self, banks: Banks, comparisons: IntArray) -> None:
        train, test = banks
        plain = rm.LinearReward().fit(train.items, comparisons).predict(test.items)
        for scale in (1e-5, 1e4):
            scaled = rm.LinearReward().fit(train.items * scale, comparisons).predict(test.items * scale)
            np.testing.assert_allclose(scaled, plain, rtol=1e-3, atol=1e-3)

    def test_too_few_iterations_are_told(self, banks: Banks, comparisons: IntArray) -> None:
        train, _ = banks
        with pytest.warns(ConvergenceWarning, match="max_iter=2"):
            rm.LinearReward(max_iter=2).fit(train.items, comparisons)


class TestMLP:
    def test_validation_prompts_are_never_trained_on(self, banks: Banks, rng: np.random.Generator) -> None:
        train, _ = banks
        pairs = np.concatenate([rm.same_prompt(train, 300, rng), rm.cross_prompt(train, 300, rng)])
        training, validation = split_comparisons(pairs, train.groups, 0.3, rng)
        prompts = [set(train.groups[pairs[mask]].ravel()) for mask in (training, validation)]
        assert prompts[0]
        assert prompts[1]
        assert not prompts[0] & prompts[1]

    def test_cross_prompt_comparisons_are_not_wasted(self, rng: np.random.Generator) -> None:
        bank = rm.ResponseBank(np.zeros((2000, 4, 2), np.float32))
        pairs = rm.cross_prompt(bank, 2000, rng)  # random prompts would leave 81% and 1%
        training, validation = split_comparisons(pairs, bank.groups, 0.1, rng)
        assert training.mean() > 0.88
        assert validation.mean() > 0.08

    def test_comparisons_of_weight_zero_are_left_out(self, banks: Banks, comparisons: IntArray) -> None:
        train, test = banks
        weights = np.where(np.arange(len(comparisons)) < 500, 1.0, 0.0)
        model = rm.MLPReward(**SMALL)
        heavy = clone(model).fit(train.items, comparisons, sample_weight=weights, groups=train.groups)
        short = clone(model).fit(train.items, comparisons[:500], groups=train.groups)
        np.testing.assert_array_equal(heavy.predict(test.items), short.predict(test.items))

    def test_a_validation_loss_that_is_not_finite_stops(self, banks: Banks, comparisons: IntArray) -> None:
        train, _ = banks

        def sometimes(winner: Tensor, loser: Tensor) -> Tensor:
            return rm.bradley_terry(winner, loser) * (1.0 if winner.requires_grad else float("nan"))

        with pytest.raises(FloatingPointError, match="validation loss became nan in epoch 1"):
            rm.MLPReward(sometimes, **SMALL).fit(train.items, comparisons, groups=train.groups)

    def test_best_weights_are_kept(self, banks: Banks, comparisons: IntArray) -> None:
        train, _ = banks
        half = train.n_items // 2
        sides = [comparisons[(comparisons < half).all(axis=1)], comparisons[(comparisons >= half).all(axis=1)]]
        data, held_out = (rm.Preferences(train.items, side, train.groups) for side in sides)
        model = rm.MLPReward(**{**SMALL, "learning_rate": 0.02, "max_epochs": 30}).fit(data, eval_set=held_out)
        history = pd.DataFrame(model.history_)
        assert history.epoch.tolist() == list(range(1, len(history) + 1))
        assert model.best_epoch_ == 1 + history.validation_loss.argmin()
        assert len(history) in (model.best_epoch_ + model.patience, 30)
        assert history.validation_loss.iloc[-1] > history.validation_loss.min()  # there was a better one to go back to
        # The kept network reproduces the record of the best epoch.
        gap = np.diff(model.predict(train.items)[held_out.comparisons], axis=1)[:, 0]
        assert np.log1p(np.exp(gap)).mean() == pytest.approx(history.validation_loss.min(), rel=1e-5)
        assert model.score(held_out) == pytest.approx(history.validation_accuracy[model.best_epoch_ - 1])
        assert (model.n_training_, model.n_validation_) == (len(data), len(held_out))

    def test_the_held_out_prompts_are_those_of_the_seed(self, banks: Banks, comparisons: IntArray) -> None:
        train, _ = banks
        model = rm.MLPReward(**SMALL).fit(train.items, comparisons, groups=train.groups)
        seed = int(np.random.RandomState(0).randint(2**31 - 1))
        masks = split_comparisons(comparisons, train.groups, model.validation_fraction, np.random.default_rng(seed))
        data, held_out = (rm.Preferences(train.items, comparisons[mask], train.groups) for mask in masks)
        again = rm.MLPReward(**SMALL).fit(data, eval_set=held_out)
        for name in ("training_loss", "validation_loss", "validation_accuracy"):
            found, expected = ([record[name] for record in m.history_] for m in (model, again))
            np.testing.assert_allclose(found, expected, rtol=1e-5)

    def test_on_epoch_receives_the_records_of_the_history(self, banks: Banks, comparisons: IntArray) -> None:
        train, _ = banks
        seen: list[Any] = []
        model = rm.MLPReward(**SMALL).fit(train.items, comparisons, groups=train.groups, on_epoch=seen.append)
        assert seen == model.history_
        assert set(seen[0]) == {"epoch", "training_loss", "validation_loss", "validation_accuracy", "seconds"}
        assert all(record["seconds"] > 0 for record in seen)

        def stop(record: dict[str, Any]) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            rm.MLPReward(**SMALL).fit(train.items, comparisons, groups=train.groups, on_epoch=stop)

    def test_without_validation_the_history_has_no_validation_loss(self, banks: Banks, comparisons: IntArray) -> None:
        train, _ = banks
        model = rm.MLPReward(**{**SMALL, "validation_fraction": 0.0, "max_epochs": 3}).fit(train.items, comparisons)
        history = pd.DataFrame(model.history_)
        assert history.validation_loss.isna().all()
        assert history.training_loss.is_monotonic_decreasing
        assert model.best_epoch_ == 3

    @pytest.mark.parametrize(("verbose", "shown"), [(True, True), (False, False), (None, False)])
    def test_the_progress_bar(
        self,
        verbose: bool | None,
        shown: bool,
        banks: Banks,
        comparisons: IntArray,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        train, _ = banks
        model = rm.MLPReward(**{**SMALL, "max_epochs": 1}, verbose=verbose)
        model.fit(train.items, comparisons, groups=train.groups)
        assert ("epochs" in capsys.readouterr().err) is shown

    def test_an_epoch_visits_every_comparison_once(self, banks: Banks, comparisons: IntArray) -> None:
        train, _ = banks
        seen = []

        def counting(winner: Tensor, loser: Tensor) -> Tensor:
            if winner.requires_grad:
                seen.append(len(winner))
            return rm.bradley_terry(winner, loser)

        rm.MLPReward(counting, **{**SMALL, "max_epochs": 3, "validation_fraction": 0.0}).fit(train.items, comparisons)
        assert sum(seen) == 3 * len(comparisons)

    def test_without_groups_it_says_so(self, banks: Banks, comparisons: IntArray) -> None:
        train, _ = banks
        with pytest.warns(UserWarning, match="pass groups=bank.groups"):
            rm.MLPReward(**SMALL).fit(train.items, comparisons)

    def test_validation_that_cannot_be_is_an_error(self, banks: Banks) -> None:
        train, _ = banks
        with pytest.raises(ValueError, match="validation_fraction=0 to train for max_epochs"):
            rm.MLPReward(**SMALL).fit(train.items, np.array([[0, 1]]), groups=train.groups)
        rm.MLPReward(**SMALL, validation_fraction=0.0).fit(train.items, np.array([[0, 1]]))

    def test_a_diverging_fit_names_where(self, banks: Banks, comparisons: IntArray) -> None:
        train, _ = banks
        with pytest.raises(FloatingPointError, match=r"epoch \d+, batch \d+ at learning_rate=1e\+30"):
            rm.MLPReward(squared_margin, **{**SMALL, "learning_rate": 1e30}).fit(
                train.items, comparisons, groups=train.groups
            )

    def test_weights_that_overflow_are_not_kept(self, banks: Banks, comparisons: IntArray) -> None:
        train, _ = banks
        broken: dict[str, Any] = {
            **SMALL,
            "learning_rate": 1e38,
            "max_epochs": 1,
            "validation_fraction": 0.0,
            "batch_size": 10_000,
        }
        with pytest.raises(FloatingPointError, match="learning_rate=1e\\+38"):
            rm.MLPReward(**broken, weight_decay=10.0).fit(train.items, comparisons)

    def test_the_paper_architecture(self) -> None:
        items = np.random.default_rng(0).normal(size=(4, 2048)).astype(np.float32)
        model = rm.MLPReward(max_epochs=1, validation_fraction=0.0).fit(items, np.array([[0, 1], [2, 3]]))
        assert sum(p.numel() for p in model.network_.parameters()) == 2_623_489

    def test_global_random_state_is_left_alone(self, banks: Banks, comparisons: IntArray) -> None:
        train, _ = banks
        torch.manual_seed(1)
        before = torch.get_rng_state()
        rm.MLPReward(**SMALL, dropout=0.5).fit(train.items, comparisons, groups=train.groups)
        assert torch.equal(before, torch.get_rng_state())


class TestLightGBM:
    def test_classification_is_lightgbms_own_binary(self, banks: Banks, comparisons: IntArray) -> None:
        train, test = banks
        ours = trees(rm.classification, n_estimators=40).fit(train.items, comparisons)
        rows, labels = train.items[comparisons.T.ravel()], np.repeat([1, 0], len(comparisons))
        theirs = lightgbm.LGBMClassifier(n_estimators=40, verbosity=-1, n_jobs=1).fit(rows, labels)
        expected = np.asarray(theirs.predict(test.items, raw_score=True))
        np.testing.assert_allclose(ours.predict(test.items), expected, rtol=1e-9, atol=1e-9)

    def test_weights_are_lightgbms_own(self, banks: Banks, comparisons: IntArray, rng: np.random.Generator) -> None:
        train, test = banks
        weights = rng.uniform(0.5, 3.0, size=len(comparisons))
        ours = trees(rm.classification, n_estimators=20, parameters={"lambda_l2": 5.0})
        rows, labels = train.items[comparisons.T.ravel()], np.repeat([1, 0], len(comparisons))
        theirs = lightgbm.LGBMClassifier(n_estimators=20, reg_lambda=5.0, verbosity=-1, n_jobs=1)
        theirs.fit(rows, labels, sample_weight=np.tile(weights / weights.mean(), 2))
        expected = np.asarray(theirs.predict(test.items, raw_score=True))
        scores = ours.fit(train.items, comparisons, sample_weight=weights).predict(test.items)
        np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=1e-9)

    def test_autograd_classification_agrees_with_binary(self, banks: Banks, comparisons: IntArray) -> None:
        """Both minimise the same loss. Where each item occurs once, both see the same rows, in another order."""
        train, test = banks
        once = np.random.default_rng(0).permutation(train.n_items)[:600].reshape(300, 2)
        better = train.rewards.ravel()[once]
        once = np.where((better[:, :1] > better[:, 1:]), once, once[:, ::-1])
        native = trees(rm.classification, n_estimators=20).fit(train.items, once)
        autograd = trees(lambda w, o: rm.classification(w, o), n_estimators=20).fit(train.items, once)
        np.testing.assert_allclose(native.predict(test.items), autograd.predict(test.items), rtol=1e-5, atol=1e-5)

    def test_bradley_terry_lowers_its_loss(self, banks: Banks, comparisons: IntArray) -> None:
        train, _ = banks
        losses = []
        for n in (1, 5, 25):
            model = trees(n_estimators=n).fit(train.items, comparisons)
            scores = torch.from_numpy(model.predict(train.items))
            losses.append(rm.bradley_terry(scores[comparisons[:, 0]], scores[comparisons[:, 1]]).mean().item())
        assert np.log(2) > losses[0] > losses[1] > losses[2]

    def test_hinge_is_refused(self, banks: Banks, comparisons: IntArray) -> None:
        with pytest.raises(ValueError, match="no curvature, and trees are fitted by curvature"):
            trees(rm.hinge).fit(banks[0].items, comparisons)

    def test_other_parameters(self, banks: Banks, comparisons: IntArray) -> None:
        train, _ = banks
        model = trees(parameters={"lambda_l2": 50.0}, n_estimators=5).fit(train.items, comparisons)
        plain = trees(n_estimators=5).fit(train.items, comparisons)
        assert np.abs(model.predict(train.items)).max() < np.abs(plain.predict(train.items)).max()
        for name in ("num_leaves", "num_leaf", "eta", "min_data_in_leaf", "num_iterations", "n_jobs", "seed", "loss"):
            with pytest.raises(ValueError, match=f"must not name.*{name}"):
                trees(parameters={name: 3}).fit(train.items, comparisons)
        with pytest.raises(ValueError, match=r"no parameter 'lambda_ll2'; did you mean lambda_l2\?"):
            trees(parameters={"lambda_ll2": 3}).fit(train.items, comparisons)
        with pytest.raises(ValueError, match="linear_tree, which cannot be saved"):
            trees(parameters={"linear_tree": True}).fit(train.items, comparisons)

    def test_too_few_comparisons(self, banks: Banks, comparisons: IntArray) -> None:
        train, _ = banks
        with pytest.raises(ValueError, match="smaller min_child_samples"):
            trees().fit(train.items, comparisons[:5])
        with pytest.warns(UserWarning, match="no tree has a split"):
            trees(rm.classification).fit(train.items, comparisons[:5])


class TestClassifier:
    @pytest.mark.parametrize(
        "estimator",
        [
            None,
            make_pipeline(StandardScaler(), LogisticRegression()),
            KNeighborsClassifier(25),
            CalibratedClassifierCV(LogisticRegression(C=100)),
        ],
    )
    def test_any_classifier(self, estimator: Any, banks: Banks, comparisons: IntArray) -> None:
        train, test = banks
        model = rm.ClassifierReward(estimator).fit(train.items, comparisons)
        assert rm.normalized_gain(model.predict(test.items), test.rewards).mean() > 0.15

    def test_the_score_is_the_logit(self, banks: Banks, comparisons: IntArray) -> None:
        train, test = banks
        model = rm.ClassifierReward(RandomForestClassifier(20, random_state=0)).fit(train.items, comparisons)
        p = model.estimator_.predict_proba(test.items)[:, 1]
        inside = (p > 0) & (p < 1)
        np.testing.assert_allclose(model.predict(test.items)[inside], np.log(p[inside] / (1 - p[inside])))
        assert np.isfinite(model.predict(test.items)).all()

    def test_weight_two_is_a_repeated_row(self, banks: Banks, comparisons: IntArray) -> None:
        train, test = banks
        weights = np.where(np.arange(len(comparisons)) % 3 == 0, 2.0, 1.0)
        model = rm.ClassifierReward(LogisticRegression(C=0.1, tol=1e-6))
        total = weights.sum() / len(comparisons)  # weights are relative, so the penalty of the heavy fit is larger
        heavy = (
            clone(model)
            .set_params(estimator__C=0.1 * total)
            .fit(train.items, comparisons, sample_weight=weights)
            .predict(test.items)
        )
        double = clone(model).fit(train.items, np.concatenate([comparisons, comparisons[::3]])).predict(test.items)
        np.testing.assert_allclose(heavy, double, atol=1e-3)
        plain = clone(model).fit(train.items, comparisons).predict(test.items)
        assert np.abs(heavy - plain).max() > 0.01

    def test_pipelines_take_weights(self, banks: Banks, comparisons: IntArray) -> None:
        train, test = banks
        pipeline = make_pipeline(StandardScaler(), LogisticRegression())
        weights = np.where(np.arange(len(comparisons)) < 500, 1.0, 0.0)
        heavy = rm.ClassifierReward(pipeline).fit(train.items, comparisons, sample_weight=weights)
        short = rm.ClassifierReward(pipeline).fit(train.items, comparisons[:500])
        np.testing.assert_allclose(heavy.predict(test.items), short.predict(test.items), rtol=1e-4, atol=1e-4)

    def test_weights_that_an_estimator_cannot_take(self, banks: Banks, comparisons: IntArray) -> None:
        model = rm.ClassifierReward(KNeighborsClassifier())
        with pytest.raises(ValueError, match="KNeighborsClassifier takes no sample_weight"):
            model.fit(banks[0].items, comparisons, sample_weight=np.arange(len(comparisons)))
        with pytest.raises(TypeError, match="neither"):
            rm.ClassifierReward(Normalizer()).fit(banks[0].items, comparisons)


class TestEnsemble:
    def test_members_are_put_on_one_scale(self, banks: Banks, comparisons: IntArray) -> None:
        train, test = banks
        model = rm.EnsembleReward(rm.MLPReward(**SMALL), 3, random_state=0)
        model.fit(train.items, comparisons, groups=train.groups)
        before = model.predict(test.items)
        loud = model.members_[0].network_[-1]
        with torch.no_grad():
            loud.weight *= 1000
            loud.bias.mul_(1000).add_(7)
        used = model.members_[0].predict(train.items[np.unique(comparisons)]).astype(float)
        model.locations_[0], model.scales_[0] = used.mean(), used.std()
        np.testing.assert_allclose(model.predict(test.items), before, atol=1e-3)

    @pytest.mark.parametrize("reduce", [rm.mean, rm.minimum, rm.lower_confidence, partial(rm.lower_confidence, k=0.0)])
    def test_reductions(
        self,
        reduce: Callable[..., Any],
        banks: Banks,
        comparisons: IntArray,
        tmp_path: Path,
    ) -> None:
        train, test = banks
        model = rm.EnsembleReward(rm.LinearReward(), 3, reduce=reduce, bootstrap=True, random_state=0)
        scores = model.fit(train.items, comparisons).predict(test.items)
        members = np.stack([m.predict(test.items) for m in model.members_])
        np.testing.assert_allclose(scores, reduce((members - model.locations_[:, None]) / model.scales_[:, None]))
        model.save(tmp_path / "model")
        np.testing.assert_array_equal(rm.load(tmp_path / "model").predict(test.items), scores)

    def test_members_differ_or_it_says_so(self, banks: Banks, comparisons: IntArray) -> None:
        train, test = banks
        model = rm.EnsembleReward(rm.MLPReward(**SMALL), 3, random_state=0)
        model.fit(train.items, comparisons, groups=train.groups)
        members = [member.predict(test.items) for member in model.members_]
        assert not np.array_equal(members[0], members[1])
        assert isinstance(model.member, rm.MLPReward)
        assert model.member.random_state == 0  # the prototype is as it was
        with pytest.warns(UserWarning, match="pass bootstrap=True"):
            rm.EnsembleReward(rm.LinearReward(), 2).fit(train.items, comparisons)
        with pytest.raises(ValueError, match="two members"):
            rm.EnsembleReward(rm.LinearReward(), 1, reduce=rm.lower_confidence).fit(train.items, comparisons).predict(
                test.items
            )


@pytest.mark.parametrize(
    "model", [rm.LinearReward(), rm.MLPReward(**SMALL), trees(n_estimators=5), rm.ClassifierReward()]
)
def test_pipelines(model: Any, banks: Banks, comparisons: IntArray) -> None:
    train, test = banks
    pipeline = make_pipeline(Normalizer(), clone(model))
    name = pipeline.steps[-1][0]
    pipeline.fit(train.items, comparisons, **{f"{name}__groups": train.groups})
    alone = clone(model).fit(Normalizer().transform(train.items), comparisons, groups=train.groups)
    expected = alone.predict(Normalizer().transform(test.items))
    np.testing.assert_array_equal(pipeline.predict(test.items), expected)


def test_no_items_have_no_scores(banks: Banks, comparisons: IntArray) -> None:
    train, _ = banks
    for model in (rm.LinearReward(), rm.MLPReward(**SMALL), rm.EnsembleReward(rm.MLPReward(**SMALL), 2)):
        model.fit(train.items, comparisons, groups=train.groups)
        assert model.predict(train.items[:0]).shape == (0,)


def test_float16_items(banks: Banks, comparisons: IntArray) -> None:
    train, test = banks
    for model in (rm.LinearReward(), rm.MLPReward(**SMALL), trees(n_estimators=20), rm.ClassifierReward()):
        half = clone(model).fit(train.items.astype(np.float16), comparisons, groups=train.groups)
        whole = clone(model).fit(train.items, comparisons, groups=train.groups)
        a, b = half.predict(test.items.astype(np.float16)), whole.predict(test.items)
        assert np.corrcoef(a, b)[0, 1] > 0.9


@pytest.mark.filterwarnings("ignore:without groups")
@pytest.mark.parametrize(
    "model", [rm.LinearReward(), rm.MLPReward(**SMALL), trees(n_estimators=5), rm.ClassifierReward()]
)
def test_items_may_be_laid_out_in_any_way(banks: Banks, comparisons: IntArray, model: Any) -> None:
    train, test = banks
    model.fit(train.items, comparisons)
    items = np.asarray(test.items, dtype=np.float32)
    expected = model.predict(items)
    for same in (
        items[::-1][::-1],
        np.asfortranarray(items),
        items.astype(">f4"),
        items.astype(np.float64),
        np.ascontiguousarray(items[:, ::-1])[:, ::-1],
        np.repeat(items, 2, axis=0)[::2],
    ):
        np.testing.assert_allclose(model.predict(same), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:without groups")
@pytest.mark.parametrize(
    "model", [rm.MLPReward(**SMALL), trees(n_estimators=5), rm.ClassifierReward(), rm.LinearReward()]
)
def test_broken_items_are_named_by_their_row(banks: Banks, comparisons: IntArray, model: Any) -> None:
    train, _ = banks
    items = np.array(train.items, dtype=np.float64)
    row = int(comparisons.max())
    for value, message in ((np.nan, f"row {row} has nan or infinity"), (1e39, f"must fit float32 .* row {row} has 1e")):
        items[row, -1] = value
        if not (isinstance(model, rm.LinearReward) and value == 1e39):
            with pytest.raises(ValueError, match=message):
                clone(model).fit(items, comparisons)
        fitted = clone(model).fit(train.items, comparisons)
        with pytest.raises(ValueError, match=message):
            fitted.predict(items)
