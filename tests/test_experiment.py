from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

import rmspace as rm

MLP = rm.MLPReward(hidden_sizes=(16,), max_epochs=3)


def run(world, **options):
    train, test = world
    settings = {
        "train": train, "test": test, "pairs": rm.same_prompt, "n_pairs": 400, "n": [2, 6],
        "annotator": partial(rm.logistic, beta=2.0), "models": {"linear": rm.LinearReward()},
    }  # fmt: skip
    return rm.run(**{**settings, **options})


def values(table, model):
    return table[table.model == model].drop(columns="fit_seconds").reset_index(drop=True)


def test_the_table(world):
    table = run(world, baselines={"random": rm.random_response, "best": rm.best_response})
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


def test_adding_a_model_changes_nothing_else(world):
    alone = run(world, models={"mlp": MLP})
    both = run(world, models={"linear": rm.LinearReward(), "mlp": MLP, "tree": rm.LightGBMReward(n_estimators=3)})
    pd.testing.assert_frame_equal(values(alone, "mlp"), values(both, "mlp"))


def test_changing_the_annotator_keeps_the_pairs(world):
    seen = []

    def recording(bank, n_pairs, rng):
        seen.append(rm.same_prompt(bank, n_pairs, rng))
        return seen[-1]

    run(world, pairs=recording)
    run(world, pairs=recording, annotator=rm.oracle, models={"mlp": MLP})
    run(world, pairs=recording, seed=1)
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])


def test_same_seed_same_table_and_models_are_not_touched(world):
    model = rm.MLPReward(hidden_sizes=(16,), max_epochs=3)
    a, b = run(world, models={"mlp": model}), run(world, models={"mlp": model})
    pd.testing.assert_frame_equal(values(a, "mlp"), values(b, "mlp"))
    assert model.random_state is None
    assert not hasattr(model, "network_")


def test_pipelines_ensembles_and_classifiers(world):
    models = {
        "pipeline": make_pipeline(Normalizer(), MLP),
        "ensemble": rm.EnsembleReward(make_pipeline(Normalizer(), MLP), 2),
        "classifier": rm.ClassifierReward(LogisticRegression(C=100)),
    }
    table = run(world, models=models)
    assert set(table.model) == set(models)


def test_own_functions_in_every_role(world):
    def first_prompts(bank, n_pairs, rng):
        return rm.same_prompt(bank[:50], n_pairs, rng)

    table = run(
        world,
        pairs=first_prompts,
        annotator=lambda gap: np.where(gap > 0, 0.9, 0.1),
        models={"own": rm.LinearReward(lambda w, o: (2 - (w - o)).square())},
        n=None,
        metrics={"top": lambda s, r: r[np.arange(len(r)), s.argmax(axis=1)]},
        baselines={"first": lambda train, test: -np.tile(np.arange(test.n_responses), (test.n_prompts, 1))},
    )
    assert table.metric.unique().tolist() == ["top"]
    first = table[table.model == "first"].value.iloc[0]
    assert first == pytest.approx(world[1].rewards[:, 0].mean())


def test_a_failure_names_the_model_and_loses_nothing(world):
    done = []

    def broken(winner, loser):
        raise RuntimeError("out of cheese")

    with pytest.raises(RuntimeError, match="out of cheese") as caught:
        run(
            world,
            models={"good": rm.LinearReward(), "bad": rm.LinearReward(broken)},
            on_model=lambda name, model, rows: done.append((name, hasattr(model, "coef_"), len(rows))),
        )
    assert caught.value.__notes__ == ["in 'bad'"]
    assert done == [("good", True, 9)]


def test_prompts_in_both_banks_are_refused(world):
    train, _ = world
    with pytest.raises(ValueError, match="no prompt in common; 3 of 10 test prompts"):
        run((train[:50], train[47:57]))
    half = rm.ResponseBank(train.embeddings[45:55].astype(np.float16)[:, ::-1], train.rewards[45:55, ::-1].astype("f4"))
    with pytest.raises(ValueError, match="5 of 10 test prompts"):
        run((train[:50], half), n=2)
    other, _ = rm.make_synthetic_banks(20, 5, 6, 48)
    with pytest.raises(ValueError, match="embeddings of one length; got 32 and 48"):
        run((train, other))


def test_bad_input(world):
    with pytest.raises(ValueError, match="at least one model"):
        run(world, models={})
    with pytest.raises(ValueError, match="name both"):
        run(world, baselines={"linear": rm.random_response})
    with pytest.raises(ValueError, match="at most 6, the largest number of rated responses of a prompt; got 7"):
        run(world, n=7)
    with pytest.raises(TypeError, match="seed must be an integer"):
        run(world, seed=None)


def test_the_real_bank(alpacaeval):
    """The main job on real data: each kind of model picks far better responses than a random one."""
    train, test = alpacaeval
    table = rm.run(
        train=train, test=test, pairs=rm.same_prompt, n_pairs=5000, annotator=rm.oracle, n=56,
        models={
            "BT-MLP": rm.MLPReward(rm.bradley_terry, hidden_sizes=(128,)),
            "CLF-MLP": rm.MLPReward(rm.classification, hidden_sizes=(128,)),
            "Linear-BT": rm.LinearReward(),
            "BT-LGB": rm.LightGBMReward(n_estimators=30),
        },
        baselines={"longest": partial(rm.feature_score, feature="length"), "generator": rm.position_mean},
    )  # fmt: skip
    gain = table[table.metric == "normalized_gain"].set_index("model")
    assert gain.low.min() > 0.15
    assert gain.value["generator"] > 0.7
    assert table.error_rate.max() == 0.0
