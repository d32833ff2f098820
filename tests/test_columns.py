"""Columns of comparisons reach the objective that names them, aligned with its scores, in every model."""

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

import rmspace as rm
from rmspace._typing import FloatArray
from rmspace.kinds import Objective

ITEMS = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
PAIRS = np.random.default_rng(1).permutation(60).reshape(30, 2)
GROUPS = np.arange(60) // 2
SMALL: dict[str, Any] = {
    "hidden_sizes": (5,),
    "max_epochs": 3,
    "batch_size": 7,
    "random_state": 0,
    "precision": "float32",
}
MODELS: dict[str, Callable[..., Any]] = {
    "mlp": partial(rm.MLPReward, validation_fraction=0.0, **SMALL),
    "linear": rm.LinearReward,
    "lightgbm": partial(rm.LightGBMReward, n_estimators=5, min_child_samples=2, n_jobs=1),
    "batched": lambda objective: rm.EnsembleReward(
        rm.MLPReward(objective, validation_fraction=0.0, **SMALL), 3, batched=True, random_state=0
    ),
    "bootstrap": lambda objective: rm.EnsembleReward(rm.LinearReward(objective), 3, bootstrap=True, random_state=0),
    "batched bootstrap": lambda objective: rm.EnsembleReward(
        rm.MLPReward(objective, validation_fraction=0.0, **SMALL), 3, bootstrap=True, batched=True, random_state=0
    ),
}


def margins() -> FloatArray:
    return np.random.default_rng(2).uniform(0.1, 3.0, size=len(PAIRS))


def fitted(model: str, objective: Objective, **columns: Any) -> FloatArray:
    return MODELS[model](objective).fit(ITEMS, PAIRS, columns=columns).predict(ITEMS)


@pytest.mark.parametrize("model", MODELS)
def test_a_constant_column_is_the_bound_number(model: str) -> None:
    by_column = fitted(model, rm.margin_bradley_terry, margin=np.full(len(PAIRS), 0.7))
    by_number = fitted(model, partial(rm.margin_bradley_terry, margin=0.7))
    np.testing.assert_allclose(by_column, by_number, rtol=1e-4, atol=1e-5)
    assert np.abs(by_column - fitted(model, rm.bradley_terry)).max() > 1e-3


def weighted(winner: Tensor, loser: Tensor, importance: Tensor) -> Tensor:
    return importance * rm.bradley_terry(winner, loser)


@pytest.mark.parametrize("model", ["linear", "lightgbm", "bootstrap"])
def test_a_column_that_weighs_is_the_sample_weight(model: str) -> None:
    importance = margins()
    by_column = fitted(model, weighted, importance=importance / importance.mean())
    estimator = MODELS[model](rm.bradley_terry).fit(ITEMS, PAIRS, sample_weight=importance / importance.mean())
    if model == "bootstrap":  # the penalty sees another sum of weights in each sample
        assert np.corrcoef(by_column, estimator.predict(ITEMS))[0, 1] > 0.99
    else:
        np.testing.assert_allclose(by_column, estimator.predict(ITEMS), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("model", MODELS)
def test_each_comparison_meets_its_own_values(model: str) -> None:
    """Each column follows from the number of the comparison, so the objective can check them against each other."""
    number = np.arange(len(PAIRS))
    seen = []

    def watching(winner: Tensor, loser: Tensor, number: Tensor, half: Tensor, text: Tensor, flag: Tensor) -> Tensor:
        assert half.dtype == winner.dtype
        assert (number.dtype, text.dtype, flag.dtype) == (torch.int64, torch.int64, torch.bool)
        assert number.shape == half.shape == text.shape == flag.shape == winner.shape
        if model != "lightgbm" or len(winner) == len(
            PAIRS
        ):  # LightGBMReward first tries an objective on made-up scores
            torch.testing.assert_close(half, number / 2, check_dtype=False)
            torch.testing.assert_close(text, number % 3)
            assert torch.equal(flag, number % 2 == 0)
        seen.append(set(number.tolist()))
        return rm.bradley_terry(winner, loser)

    text = np.array(["ann", "bob", "cem"])[number % 3]
    fitted(model, watching, number=number, half=number / 2, text=text, flag=number % 2 == 0)
    found = set().union(*seen)
    assert found == set(number.tolist()) or ("bootstrap" in model and len(found) > 20)


@pytest.mark.parametrize("batched", [True, False])
def test_scores_and_values_are_those_of_one_comparison(batched: bool) -> None:
    """With the identity as network, a score is the item's first number, so each value can be checked against it."""
    items = np.arange(40, dtype=np.float32)[:, None] / 40
    pairs = np.random.default_rng(3).permutation(40).reshape(20, 2)
    gap = (items[pairs[:, 0], 0] - items[pairs[:, 1], 0]).astype(np.float64)
    ratios = []

    def watching(winner: Tensor, loser: Tensor, gap: Tensor) -> Tensor:
        ratios.append(((winner - loser) / gap).detach())
        return rm.bradley_terry(winner, loser)

    member = rm.MLPReward(
        watching, hidden_sizes=(), max_epochs=2, batch_size=6, precision="float32", validation_fraction=0.0
    )
    rm.EnsembleReward(member, 2, batched=batched, bootstrap=True, random_state=0).fit(
        items, pairs, columns={"gap": gap}
    )
    for ratio in ratios:  # a linear network: the gap of scores is a member's slope times the gap of items
        for part in ratio.chunk(2) if batched and len(ratio) > 6 else [ratio]:
            torch.testing.assert_close(part, part[0].expand_as(part), rtol=1e-3, atol=1e-4)


def test_validation_and_training_loss_see_their_own_columns() -> None:
    seen: dict[bool, set[int]] = {True: set(), False: set()}

    def watching(winner: Tensor, loser: Tensor, number: Tensor) -> Tensor:
        seen[winner.requires_grad] |= set(number.tolist())
        return rm.bradley_terry(winner, loser)

    model = rm.MLPReward(watching, validation_fraction=0.3, **SMALL)
    model.fit(
        ITEMS, PAIRS, groups=np.repeat(np.arange(30), 2)[np.argsort(PAIRS.ravel())], columns={"number": np.arange(30)}
    )
    assert len(seen[True]) == model.n_training_
    assert len(seen[False]) == model.n_validation_ > 0
    assert seen[True] | seen[False] == set(range(30))


def test_the_eval_set_has_columns_of_its_own() -> None:
    names, other = np.array(["cem", "ann"])[np.arange(30) % 2], np.array(["bob", "cem"])[np.arange(30) % 2]
    seen: dict[bool, set[int]] = {True: set(), False: set()}

    def watching(winner: Tensor, loser: Tensor, annotator: Tensor) -> Tensor:
        seen[winner.requires_grad] |= set(annotator.tolist())
        return rm.bradley_terry(winner, loser)

    train, held_out = (rm.Preferences(ITEMS, PAIRS, GROUPS, annotator=column) for column in (names, other))
    rm.MLPReward(watching, **SMALL).fit(train, eval_set=held_out)
    assert seen == {True: {0, 2}, False: {1, 2}}  # ann, bob, cem: one code for one name
    with pytest.raises(ValueError, match=r"eval_set must have the column 'annotator', .*it has none"):
        rm.MLPReward(watching, **SMALL).fit(train, eval_set=rm.Preferences(ITEMS, PAIRS, GROUPS))


def test_a_default_is_kept_where_there_is_no_column_and_a_bound_value_where_there_is() -> None:
    plain = fitted("linear", partial(rm.margin_bradley_terry, margin=1.0))
    np.testing.assert_array_equal(fitted("linear", rm.margin_bradley_terry), plain)
    np.testing.assert_array_equal(
        fitted("linear", partial(rm.margin_bradley_terry, margin=1.0), margin=margins()), plain
    )
    inner = partial(partial(rm.margin_bradley_terry, margin=5.0), margin=1.0)
    np.testing.assert_array_equal(fitted("linear", inner, margin=margins()), plain)
    assert not np.array_equal(fitted("linear", rm.margin_bradley_terry, margin=margins()), plain)


@pytest.mark.parametrize("model", MODELS)
def test_a_missing_column_is_named(model: str) -> None:
    message = r"objective weighted needs the column 'importance', which .* have \(there are annotator, margin\)"
    with pytest.raises(ValueError, match=message):
        fitted(model, weighted, margin=margins(), annotator=np.zeros(len(PAIRS)))
    with pytest.raises(ValueError, match=r"needs the column 'importance', .*\(there are none\)"):
        fitted(model, weighted)


@pytest.mark.parametrize("model", MODELS)
def test_a_value_that_is_not_finite_is_named_by_its_comparison(model: str) -> None:
    importance = margins()
    importance[[11, 20]] = np.nan
    message = "column 'importance', which objective weighted asks for, must be finite; comparison (11|20) has nan"
    with pytest.raises(ValueError, match=message):
        fitted(model, weighted, importance=importance)
    fitted(model, rm.bradley_terry, importance=importance)  # nobody asks for it
    weights = np.isfinite(importance).astype(float)
    if "bootstrap" not in model:
        MODELS[model](weighted).fit(ITEMS, PAIRS, sample_weight=weights, columns={"importance": importance})


def test_columns_of_preferences_survive_a_choice_and_weights() -> None:
    chosen = np.array([5, 2, 17, 9, 9])
    data = rm.Preferences(ITEMS, PAIRS, GROUPS, margin=margins(), weight=np.arange(30) % 3)
    by_choice = rm.LinearReward(rm.margin_bradley_terry).fit(data[chosen])
    rows = data.comparisons[chosen]
    assert data.weight is not None
    by_hand = rm.LinearReward(rm.margin_bradley_terry).fit(
        ITEMS, rows, data.weight[chosen], columns={"margin": margins()[chosen]}
    )
    np.testing.assert_allclose(by_choice.predict(ITEMS), by_hand.predict(ITEMS), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("model", ["linear", "lightgbm", "mlp", "classifier"])
def test_a_tie_is_half_of_each_order(model: str) -> None:
    tie = np.arange(30) % 4 == 0
    expanded = np.concatenate([PAIRS, PAIRS[tie][:, ::-1]])
    own = np.random.default_rng(0).uniform(0.5, 1.5, size=30)  # so that no two splits of a tree are equally good
    weights = np.concatenate([np.where(tie, own / 2, own), own[tie] / 2])
    make: Any = partial(MODELS[model], rm.bradley_terry) if model != "classifier" else rm.ClassifierReward
    marked = make().fit(ITEMS, PAIRS, own, columns={"tie": tie}).predict(ITEMS)
    other = make()
    if model == "classifier":  # the more rows, the larger their total weight: its penalty must grow with it
        other = rm.ClassifierReward(LogisticRegression(C=len(PAIRS) / len(expanded)))
    np.testing.assert_allclose(marked, other.fit(ITEMS, expanded, weights).predict(ITEMS), rtol=1e-4, atol=1e-5)
    assert np.abs(marked - make().fit(ITEMS, PAIRS, own).predict(ITEMS)).max() > 1e-3


def of_lengths(winner: Tensor, loser: Tensor, winner_length: Tensor, loser_length: Tensor) -> Tensor:
    return rm.bradley_terry(winner - 0.5 * winner_length, loser - 0.5 * loser_length)


@pytest.mark.parametrize("model", MODELS)
def test_features_of_items_are_columns_of_both_sides(model: str) -> None:
    lengths = np.random.default_rng(3).normal(size=60)
    sides = {"winner_length": lengths[PAIRS[:, 0]], "loser_length": lengths[PAIRS[:, 1]]}
    data = rm.Preferences(ITEMS, PAIRS, GROUPS, features={"length": lengths})
    by_feature = MODELS[model](of_lengths).fit(data).predict(ITEMS)
    by_columns = MODELS[model](of_lengths).fit(ITEMS, PAIRS, groups=GROUPS, columns=sides).predict(ITEMS)
    np.testing.assert_array_equal(by_feature, by_columns)
    by_model = rm.fit_model(make_pipeline(StandardScaler(), MODELS[model](of_lengths)), data).predict(ITEMS)
    with_columns = rm.Preferences(ITEMS, PAIRS, GROUPS, columns=sides, features={"length": -lengths})
    own = rm.fit_model(make_pipeline(StandardScaler(), MODELS[model](of_lengths)), with_columns).predict(ITEMS)
    np.testing.assert_array_equal(own, by_model)  # the columns of the comparisons come before the features


def test_the_features_of_an_eval_set_are_columns() -> None:
    lengths = np.random.default_rng(3).normal(size=60)
    train, held_out = (
        rm.Preferences(ITEMS, PAIRS[part], GROUPS, features={"length": lengths}) for part in (slice(20), slice(20, 30))
    )
    for model in (
        rm.MLPReward(of_lengths, **SMALL),
        make_pipeline(StandardScaler(), rm.MLPReward(of_lengths, **SMALL)),
    ):
        fitted = rm.fit_model(model, train, eval_set=held_out)
        last = fitted if isinstance(fitted, rm.MLPReward) else fitted[-1]
        assert np.isfinite([record["validation_loss"] for record in last.history_]).all()


def test_the_columns_of_both_sides_of_a_tie_change_places_with_them() -> None:
    """Each item has a target, so it does not matter to this loss which of two items won, or whether one did."""

    def to_target(winner: Tensor, loser: Tensor, winner_target: Tensor, loser_target: Tensor) -> Tensor:
        return (winner - winner_target).square() + (loser - loser_target).square()

    features, tie = {"target": np.random.default_rng(3).normal(size=60)}, np.arange(30) % 4 == 0
    plain = rm.Preferences(ITEMS, PAIRS, GROUPS, features=features)
    tied = rm.Preferences(ITEMS, PAIRS, GROUPS, features=features, tie=tie)
    one, other = (rm.LinearReward(to_target, alpha=1e-2).fit(data).predict(ITEMS) for data in (plain, tied))
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@given(ties=st.lists(st.booleans(), min_size=30, max_size=30))
@settings(max_examples=10, deadline=None)
def test_the_order_of_a_tie_does_not_matter(ties: list[bool]) -> None:
    tie = np.array(ties)
    turned = np.where(tie[:, None], PAIRS[:, ::-1], PAIRS)
    one, other = (
        rm.LinearReward(alpha=1e-2, tol=1e-7).fit(ITEMS, pairs, columns={"tie": tie}).predict(ITEMS)
        for pairs in (PAIRS, turned)
    )
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_an_objective_that_asks_for_ties_gets_them_as_they_are() -> None:
    """Rao and Kupper's likelihood of ties, which the built-in treatment must leave alone."""
    tie = np.arange(30) % 4 == 0
    seen = []

    def rao_kupper(winner: Tensor, loser: Tensor, tie: Tensor, threshold: float = 0.5) -> Tensor:
        seen.append((len(tie), int(tie.sum())))
        gap = winner - loser
        wins = -torch.nn.functional.logsigmoid(gap - threshold)
        draws = wins - torch.nn.functional.logsigmoid(-gap - threshold)
        return torch.where(tie, draws, wins)

    scores = fitted("linear", rao_kupper, tie=tie)
    assert set(seen) == {(30, int(tie.sum()))}
    assert np.abs(scores - fitted("linear", rm.bradley_terry, tie=tie)).max() > 1e-3


def test_marks_of_ties_must_be_marks() -> None:
    for wrong in (np.full(30, 0.5), np.full(30, "yes"), np.full(30, np.nan)):
        with pytest.raises(ValueError, match="column 'tie' must be True or False"):
            rm.LinearReward().fit(ITEMS, PAIRS, columns={"tie": wrong})


def test_a_tie_counts_half_in_the_score() -> None:
    model = rm.LinearReward().fit(ITEMS, PAIRS)
    tie = np.arange(30) < 10
    right = np.diff(model.predict(ITEMS)[PAIRS], axis=1)[:, 0] < 0
    expected = (right[~tie].sum() + 0.5 * 10) / 30
    assert model.score(rm.Preferences(ITEMS, PAIRS, GROUPS, tie=tie)) == pytest.approx(expected)


def test_a_pipeline_and_an_estimator_of_ones_own_take_what_they_can() -> None:
    class NoColumns(rm.LinearReward):
        def fit(  # type: ignore[override]
            self, items: Any, comparisons: Any, sample_weight: Any = None, groups: Any = None
        ) -> Self:
            return super().fit(items, comparisons, sample_weight, groups)

    data = rm.Preferences(ITEMS, PAIRS, GROUPS, margin=margins(), weight=np.ones(30))
    rm.fit_model(NoColumns(), data)
    with pytest.raises(ValueError, match=r"NoColumns\.fit takes no columns, so it cannot know ties"):
        rm.fit_model(NoColumns(), rm.Preferences(ITEMS, PAIRS, GROUPS, tie=np.arange(30) < 3))
    with pytest.raises(TypeError, match="columns must map names to"):
        rm.LinearReward().fit(ITEMS, PAIRS, columns=[margins()])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="column 'margin' must be numbers or text"):
        rm.LinearReward().fit(ITEMS, PAIRS, columns={"margin": np.full(30, None)})
