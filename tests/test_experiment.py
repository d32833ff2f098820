from functools import partial
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from torch import Tensor

import rmspace as rm
from conftest import Banks
from rmspace._typing import IntArray
from rmspace.data.apart import check_apart

MLP = rm.MLPReward(hidden_sizes=(16,), max_epochs=3)


def run(banks: Banks, **options: Any) -> pd.DataFrame:
    train, test = banks
    settings: dict[str, Any] = {
        "train": train, "test": test, "pairs": rm.same_prompt, "n_pairs": 400, "n": [2, 6],
        "annotator": partial(rm.logistic, beta=2.0), "models": {"linear": rm.LinearReward()},
    }  # fmt: skip
    return rm.run(**{**settings, **options})


def values(table: pd.DataFrame, model: str) -> pd.DataFrame:
    return table[table.model == model].drop(columns="fit_seconds").reset_index(drop=True)


def test_the_table(banks: Banks) -> None:
    table = run(banks, baselines={"random": rm.random_response, "best": rm.best_response})
    assert list(table.columns) == [
        "model", "metric", "n", "value", "low", "high", "n_prompts", "n_pairs", "error_rate", "mean_abs_gap",
        "fit_seconds", "precision", "device",
    ]  # fmt: skip
    assert set(table.model) == {"random", "best", "linear"}
    gain = table[(table.metric == "normalized_gain") & (table.n == 6)].set_index("model").value
    assert (gain["random"], gain["best"]) == (0.0, 1.0)
    assert 0.2 < gain["linear"] < 1
    assert table[table.model == "linear"].fit_seconds.gt(0).all()
    assert table[table.model != "linear"].fit_seconds.isna().all()
    assert 0.05 < table.error_rate[0] < 0.4
    assert not table.duplicated(["model", "metric", "n"]).any()


def test_adding_a_model_changes_nothing_else(banks: Banks) -> None:
    alone = run(banks, models={"mlp": MLP})
    both = run(banks, models={"linear": rm.LinearReward(), "mlp": MLP, "tree": rm.LightGBMReward(n_estimators=3)})
    pd.testing.assert_frame_equal(values(alone, "mlp"), values(both, "mlp"))


def test_changing_the_annotator_keeps_the_pairs(banks: Banks) -> None:
    seen = []

    def recording(bank: rm.ResponseBank, n_pairs: int, rng: np.random.Generator) -> IntArray:
        seen.append(rm.same_prompt(bank, n_pairs, rng))
        return seen[-1]

    run(banks, pairs=recording)
    run(banks, pairs=recording, annotator=rm.oracle, models={"mlp": MLP})
    run(banks, pairs=recording, seed=1)
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])


def test_same_seed_same_table_and_models_stay_unchanged(banks: Banks) -> None:
    model = rm.MLPReward(hidden_sizes=(16,), max_epochs=3)
    a, b = run(banks, models={"mlp": model}), run(banks, models={"mlp": model})
    pd.testing.assert_frame_equal(values(a, "mlp"), values(b, "mlp"))
    assert model.random_state is None
    assert not hasattr(model, "network_")


def test_pipelines_ensembles_and_classifiers(banks: Banks) -> None:
    models = {
        "pipeline": make_pipeline(Normalizer(), MLP),
        "ensemble": rm.EnsembleReward(make_pipeline(Normalizer(), MLP), 2),
        "classifier": rm.ClassifierReward(LogisticRegression(C=100)),
    }
    table = run(banks, models=models)
    assert set(table.model) == set(models)


def test_own_functions_in_every_role(banks: Banks) -> None:
    def first_prompts(bank: rm.ResponseBank, n_pairs: int, rng: np.random.Generator) -> IntArray:
        return rm.same_prompt(bank[:50], n_pairs, rng)

    table = run(
        banks,
        pairs=first_prompts,
        annotator=lambda gap: np.where(gap > 0, 0.9, 0.1),
        models={"own": rm.LinearReward(lambda w, o: (2 - (w - o)).square())},
        n=None,
        metrics={"top": lambda s, r: r[np.arange(len(r)), s.argmax(axis=1)]},
        baselines={"first": lambda train, test: -np.tile(np.arange(test.n_responses), (test.n_prompts, 1))},
    )
    assert table.metric.unique().tolist() == ["top"]
    first = table[table.model == "first"].value.iloc[0]
    assert first == pytest.approx(banks[1].rewards[:, 0].mean())


def test_a_failure_names_the_model_and_loses_nothing(banks: Banks) -> None:
    done = []

    def broken(winner: Tensor, loser: Tensor) -> Tensor:
        raise RuntimeError("out of cheese")

    with pytest.raises(RuntimeError, match="out of cheese") as caught:
        run(
            banks,
            models={"good": rm.LinearReward(), "bad": rm.LinearReward(broken)},
            on_model=lambda name, model, rows: done.append((name, hasattr(model, "coef_"), len(rows))),
        )
    assert caught.value.__notes__ == ["in 'bad'"]
    assert done == [("good", True, 9)]


def test_prompts_in_both_banks_are_refused(banks: Banks) -> None:
    train, _ = banks
    with pytest.raises(ValueError, match="3 prompt ids are on both sides, the first is 47"):
        run((train[:50], train[47:57]))
    half = rm.ResponseBank(train.embeddings[45:55].astype(np.float16)[:, ::-1], train.rewards[45:55, ::-1].astype("f4"))
    with pytest.raises(ValueError, match="5 of 10 test prompts"):
        run((train[:50], half), n=2)
    other, _ = rm.make_synthetic_banks(20, 5, 6, 48)
    with pytest.raises(ValueError, match="embeddings of one length; got 32 and 48"):
        run((train, other))


def test_equal_text_ids_are_refused_even_if_the_values_differ(banks: Banks) -> None:
    train, test = banks
    named = [rm.ResponseBank(b.embeddings, b.rewards, prompt_ids=[f"p{k}" for k in range(b.n_prompts)]) for b in banks]
    with pytest.raises(
        ValueError, match="60 prompt ids are on both sides, the first is 'p0'; split with split_prompts"
    ):
        check_apart(*named)
    check_apart(*rm.split_prompts(named[0], 0.5, 0))  # what the error advises
    check_apart(train, test)  # equal integer ids of two separate banks say nothing


def ragged(bank: rm.ResponseBank, counts: IntArray, rewards: None = None) -> rm.ResponseBank:
    """Return a bank with the first `counts[i]` responses of prompt i."""
    rows = np.concatenate([np.arange(count) + k * bank.n_responses for k, count in enumerate(counts)])
    gold = bank.rewards.ravel() if rewards is None else rewards
    return rm.ResponseBank(np.asarray(bank.items)[rows], gold[rows], offsets=np.cumsum([0, *counts]))


def test_prompts_in_common_are_found_in_ragged_banks_and_preferences(
    banks: Banks,
) -> None:
    train, test = banks
    rng = np.random.default_rng(0)
    counts = rng.integers(2, 7, train.n_prompts)
    part = ragged(train, counts)
    check_apart(part, test)
    check_apart(part[:50], part[50:])
    for one, other in ((part[:50], train[49:60]), (train[:50], part[49:60]), (train[49:60], part[:50])):
        with pytest.raises(ValueError, match=r"1 of \d+ test prompts"):
            check_apart(one, other)
    preferences = rm.Preferences.from_bank(train, rm.same_prompt(train, 300, rng), rm.oracle, rng=rng)
    integer = rm.Preferences(preferences.items, preferences.comparisons, train.groups)
    with pytest.raises(ValueError, match="no prompt in common"):
        check_apart(integer, train[3:5])
    check_apart(integer, test)
    halves = rm.split_prompts(integer, 0.5, 0)
    check_apart(*halves)


def test_unrated_items_are_never_in_common(banks: Banks) -> None:
    """Padding is the same in every bank: rewards NaN, embeddings zero."""
    sides = []
    for bank in banks:
        embeddings, rewards = bank.embeddings.copy(), bank.rewards.astype(np.float64)
        embeddings[:, 4:], rewards[:, 4:] = 0, np.nan
        sides.append(rm.ResponseBank(embeddings, rewards))
    check_apart(*sides)


def test_padding_and_raggedness_are_the_same_experiment(banks: Banks) -> None:
    """Responses that nobody rated change no pair, no fit and no metric."""
    train, test = banks
    counts = np.random.default_rng(0).integers(2, 7, test.n_prompts)
    rewards = test.rewards.astype(np.float64)
    rewards[np.arange(6) >= counts[:, None]] = np.nan
    padded = run((train, rm.ResponseBank(test.embeddings, rewards)), n=[2, 3])
    flat = run((train, ragged(test, counts)), n=[2, 3])
    pd.testing.assert_frame_equal(padded.drop(columns="fit_seconds"), flat.drop(columns="fit_seconds"))
    used = flat[(flat.metric == "best_of_n")].set_index("n").n_prompts
    assert used.to_dict() == {2: 60, 3: int((counts >= 3).sum())}


def test_training_on_a_ragged_bank(banks: Banks) -> None:
    train, test = banks
    table = run((ragged(train, np.random.default_rng(0).integers(2, 7, train.n_prompts)), test))
    gain = table[(table.metric == "normalized_gain") & (table.n == 6)].value
    assert gain.iloc[0] > 0.2
    assert 0 < table.error_rate.iloc[0] < 0.5


@pytest.fixture
def judged(banks: Banks) -> tuple[rm.Preferences, pd.DataFrame]:
    """Return the comparisons that `run` makes from the bank, as Preferences, and the table of that run."""
    seen = []

    def recording(bank: rm.ResponseBank, n_pairs: int, rng: np.random.Generator) -> IntArray:
        seen.append(rm.same_prompt(bank, n_pairs, rng))
        return seen[-1]

    class Record(rm.LinearReward):
        def fit(self, items: Any, comparisons: Any = None, *args: Any, **kwargs: Any) -> Self:
            seen.append(comparisons)
            return super().fit(items, comparisons, *args, **kwargs)

    table = run(banks, pairs=recording, models={"linear": Record()})
    return rm.Preferences(banks[0].items, seen[-1], banks[0].groups), table


def test_preferences_train_as_the_bank_that_they_come_from(
    banks: Banks, judged: tuple[rm.Preferences, pd.DataFrame]
) -> None:
    preferences, expected = judged
    table = rm.run(train=preferences, test=banks[1], models={"linear": rm.LinearReward()}, n=[2, 6])
    same = ["metric", "n", "value", "low", "high", "n_prompts", "n_pairs"]
    pd.testing.assert_frame_equal(table[same], expected[same])
    assert table.error_rate.isna().all()
    assert table.mean_abs_gap.isna().all()


def test_n_pairs_draws_from_preferences(banks: Banks, judged: tuple[rm.Preferences, pd.DataFrame]) -> None:
    preferences, _ = judged
    drawn = []

    class Record(rm.LinearReward):
        def fit(self, items: Any, comparisons: Any = None, *args: Any, **kwargs: Any) -> Self:
            drawn.append({tuple(row) for row in comparisons.tolist()})
            return super().fit(items, comparisons, *args, **kwargs)

    for n_pairs, seed in ((None, 0), (400, 0), (100, 0), (200, 0), (100, 1)):
        table = rm.run(train=preferences, test=banks[1], n_pairs=n_pairs, models={"m": Record()}, n=2, seed=seed)
        assert table.n_pairs.unique().tolist() == [n_pairs or 400]
    every, again, small, large, other = drawn
    assert every == again == {tuple(row) for row in preferences.comparisons.tolist()}
    assert small < large < every  # a learning curve grows by new comparisons
    assert small != other
    with pytest.raises(ValueError, match="n_pairs must be at most the 400 comparisons of the preferences; got 401"):
        rm.run(train=preferences, test=banks[1], n_pairs=401, models={"m": rm.LinearReward()})


def test_no_gold_reward_is_needed(banks: Banks) -> None:
    rng = np.random.default_rng(0)
    sides = []
    for name, bank in zip("ab", banks, strict=True):
        comparisons = rm.Preferences.from_bank(bank, rm.same_prompt(bank, 200, rng), rm.oracle, rng=rng).comparisons
        groups = [f"{name}{k}" for k in bank.groups]
        sides.append(rm.Preferences(bank.items, comparisons, groups, weight=rng.random(200) + 0.5))
    models = {"linear": rm.LinearReward(), "pipe": make_pipeline(Normalizer(), MLP)}
    fitted: dict[str, Any] = {}
    table = rm.run(train=sides[0], test=sides[1], models=models, on_fit=fitted.__setitem__)
    assert set(table.metric) == {"accuracy", "log_loss"}
    scores = fitted["linear"].predict(sides[1].items)
    won, lost = scores[sides[1].comparisons].T
    found = table[(table.model == "linear") & (table.metric == "accuracy")].value.iloc[0]
    assert found == pytest.approx(np.average(won > lost, weights=sides[1].weight))
    alone = rm.LinearReward().fit(sides[0])
    np.testing.assert_allclose(alone.predict(sides[1].items), scores, rtol=1e-5, atol=1e-6)


def test_arguments_that_exclude_each_other_are_refused(
    banks: Banks, judged: tuple[rm.Preferences, pd.DataFrame]
) -> None:
    preferences, _ = judged
    test, models = banks[1], {"m": rm.LinearReward()}
    for options, message in (
        (
            {"train": preferences, "test": test, "pairs": rm.same_prompt},
            "preferences are judged already, so they take no",
        ),
        ({"train": banks[0], "test": test, "annotator": rm.oracle}, "a training bank must be judged; give pairs"),
        ({"train": banks[0], "test": test}, "give pairs and annotator, or train on Preferences"),
    ):
        with pytest.raises(ValueError, match=message):
            rm.run(models=models, n_pairs=10, **options)
    other = rm.Preferences(test.items, np.array([[0, 1]]), test.groups)
    with pytest.raises(ValueError, match="n is for Best-of-N on a test bank"):
        rm.run(train=preferences, test=other, models=models, n=2)
    with pytest.raises(TypeError, match="test must be a ResponseBank or Preferences; got ndarray"):
        rm.run(train=preferences, test=np.zeros(3), models=models)  # type: ignore[arg-type]


def test_bad_input(banks: Banks) -> None:
    with pytest.raises(ValueError, match="at least one model"):
        run(banks, models={})
    with pytest.raises(ValueError, match="name both"):
        run(banks, baselines={"linear": rm.random_response})
    with pytest.raises(ValueError, match="at most 6, the largest number of rated responses of a prompt; got 7"):
        run(banks, n=7)
    with pytest.raises(TypeError, match="seed must be an integer"):
        run(banks, seed=None)


def test_the_real_bank(alpacaeval: Banks) -> None:
    """The main job on real data: each kind of model picks far better responses than a random one."""
    train, test = alpacaeval
    table = rm.run(
        train=train, test=test, pairs=rm.same_prompt, n_pairs=3000, annotator=rm.oracle,
        metrics={"normalized_gain": partial(rm.normalized_gain, n=56)},
        models={
            "BT-MLP": rm.MLPReward(rm.bradley_terry, hidden_sizes=(64,)),
            "CLF-MLP": rm.MLPReward(rm.classification, hidden_sizes=(64,)),
            "Linear-BT": rm.LinearReward(),
            "BT-LGB": rm.LightGBMReward(n_estimators=20),
        },
        baselines={"longest": partial(rm.feature_score, feature="length"), "generator": rm.position_mean},
    )  # fmt: skip
    gain = table.set_index("model")
    assert gain.low.min() > 0.1
    assert gain.value["generator"] > 0.7
    assert table.error_rate.max() == 0.0


def test_selections_of_one_bank_go_by_id_whatever_the_responses() -> None:
    rng = np.random.default_rng(0)
    bank = rm.ResponseBank(
        rng.normal(size=(6, 2, 4)).astype(np.float32), rng.normal(size=(6, 2)), prompt_ids=[5, 5, 6, 7, 8, 9]
    )
    with pytest.raises(ValueError, match="1 prompt ids are on both sides, the first is 5"):
        check_apart(bank[[0, 2, 3]], bank[[1, 4, 5]])
    check_apart(bank[[0, 1, 2]], bank[[3, 4, 5]])
    check_apart(bank[[0, 2, 3]], rm.ResponseBank(bank[[1, 4]].embeddings, bank[[1, 4]].rewards))
