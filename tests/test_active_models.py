"""Studies of active selection: models that compare items, models that need features, and pools across prompts."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rmspace as rm
from rmspace._typing import Float64Array, IntArray
from rmspace.active import active_study, at_random, d_optimal, entropy, past_aware_d_optimal
from rmspace.models import GatedReward, GeneralPreferenceReward, LengthFreeReward, TunedReward

N_POOL, ROUND = 120, 30


def cyclic_banks() -> list[rm.ResponseBank]:
    """Return (train, test) banks whose prompts have rock, paper and scissors, each with some noise."""
    banks = []
    for side, n in enumerate((30, 15)):
        rng = np.random.default_rng(side)
        items = np.tile(np.eye(3), (n, 1, 1)) + 0.1 * rng.normal(size=(n, 3, 3))
        banks.append(rm.ResponseBank(items, rng.normal(size=(n, 3)), prompt_ids=np.arange(n) + 1000 * side))
    return banks


def study(banks: Any, rules: Any, model: Any, **options: Any) -> Any:
    given: dict[str, Any] = {
        "pairs": partial(rm.same_prompt, repeats=True), "n_pool": N_POOL, "n_per_round": ROUND, "n_rounds": 2,
        "annotator": partial(rm.logistic, beta=2.0), "seeds": [3],
    }  # fmt: skip
    return active_study(train=banks[0], test=banks[1], rules=rules, model=model, **{**given, **options})


class Watched:
    """A rule that keeps what it was given and what it chose."""

    def __init__(self, rule: Any) -> None:
        self.rule = rule
        self.gaps: list[Float64Array] = []
        self.rows: list[IntArray] = []

    def __call__(self, differences: Any, gaps: Any, chosen: Any, n: int, rng: Any) -> Any:
        self.gaps.append(gaps)
        self.rows.append(self.rule(differences, gaps, chosen, n, rng))
        return self.rows[-1]


def drawn(bank: rm.ResponseBank, pairs: Any) -> tuple[IntArray, IntArray]:
    """Return the pool of seed 3 and its verdicts, as the study draws them."""
    pool, verdicts = (np.random.default_rng(np.random.SeedSequence(3, spawn_key=(k,))) for k in (0, 1))
    chosen = pairs(bank, N_POOL, pool)
    return chosen, rm.annotate(chosen, bank, partial(rm.logistic, beta=2.0), rng=verdicts)


@pytest.mark.parametrize("wrapped", ["plain", "pipeline", "tuned"])
def test_gaps_of_a_model_that_compares_are_its_log_odds(wrapped: str) -> None:
    banks = cyclic_banks()
    model: Any = GeneralPreferenceReward(rank=1, alpha=1e-3, random_state=0)
    if wrapped == "pipeline":
        model = make_pipeline(StandardScaler(), model)
    if wrapped == "tuned":
        model = TunedReward(model, {"alpha": [1e-3]}, n_splits=2, random_state=0)
    rule = Watched(entropy)
    study(banks, {"entropy": rule}, model)
    pairs, verdicts = drawn(banks[0], partial(rm.same_prompt, repeats=True))
    items = banks[0].items.astype(np.float32)
    fitted = rm.fit_model(model, banks[0].items, verdicts[rule.rows[0]], groups=banks[0].groups)
    last, seen = (fitted[-1], fitted[:-1].transform(items)) if wrapped == "pipeline" else (fitted, items)
    odds = np.array([last.log_odds(seen[[a]], seen[[b]])[0] for a, b in pairs])
    np.testing.assert_allclose(rule.gaps[1], odds, rtol=1e-4, atol=1e-6)
    scores = fitted.predict(items)
    assert not np.allclose(odds, scores[pairs[:, 0]] - scores[pairs[:, 1]], atol=0.1)  # no score makes these gaps
    left = np.setdiff1d(np.arange(N_POOL), rule.rows[0])
    closest = np.sort(np.abs(odds[left]))[:ROUND]  # pairs may come twice, so rows may differ
    np.testing.assert_allclose(np.abs(odds[rule.rows[1]]), closest, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def banks() -> list[rm.ResponseBank]:
    """Return (train, test) banks with two features and a class of each response."""
    found = []
    for bank in rm.make_synthetic_banks(60, 20, 6, 16, noise_std=0.1, seed=1):
        rng = np.random.default_rng(bank.n_prompts)
        shape = bank.rewards.shape
        features = {
            "length": rng.normal(size=shape),
            "help": rng.normal(size=shape),
            "class": rng.integers(2, size=shape),
        }
        found.append(rm.ResponseBank(bank.embeddings, bank.rewards, features=features, prompt_ids=bank.prompt_ids))
    return found


@pytest.mark.parametrize(
    "model",
    [
        LengthFreeReward(),
        make_pipeline(StandardScaler(), LengthFreeReward(how="post_hoc")),
        GatedReward(["help", "length"], max_iter=50),
        rm.LinearReward(rm.objectives.class_corrected),
        rm.EnsembleReward(LengthFreeReward(), 2, bootstrap=True),
    ],
)
def test_features_of_the_bank_reach_the_model(banks: Any, model: Any) -> None:
    rule = Watched(at_random)
    table = study(banks, {"R": rule}, model, metrics={"gain": partial(rm.normalized_gain, n=6)})
    _, verdicts = drawn(banks[0], partial(rm.same_prompt, repeats=True))
    judged = verdicts[np.concatenate(rule.rows)]
    columns = {
        f"{side}_{name}": values.ravel()[judged[:, place]]
        for name, values in banks[0].features.items()
        for place, side in enumerate(("winner", "loser"))
    }
    seeded = model.set_params(random_state=3) if isinstance(model, GatedReward | rm.EnsembleReward) else model
    fitted = rm.fit_model(seeded, banks[0].items, judged, groups=banks[0].groups, columns=columns)
    expected = rm.normalized_gain(fitted.predict(banks[1].items), banks[1].rewards, n=6).mean()
    assert table.value.iloc[-1] == pytest.approx(expected)


def test_pools_across_prompts(banks: Any) -> None:
    rules = {"R": Watched(at_random), "D": Watched(d_optimal), "P": Watched(past_aware_d_optimal)}
    table = study(banks, rules, rm.LinearReward(), pairs=rm.cross_prompt, metrics={"gain": rm.normalized_gain})
    pairs, verdicts = drawn(banks[0], rm.cross_prompt)
    groups = np.asarray(banks[0].groups)
    assert (groups[pairs[:, 0]] != groups[pairs[:, 1]]).all()
    differences = banks[0].items[pairs[:, 0]] - banks[0].items[pairs[:, 1]]
    for name, rule in rules.items():
        judged = verdicts[np.concatenate(rule.rows)]
        model = rm.LinearReward().fit(banks[0].items, judged)
        expected = rm.normalized_gain(model.predict(banks[1].items), banks[1].rewards).mean()
        assert table[table.model == name].value.iloc[-1] == pytest.approx(expected)
    first = d_optimal(differences, np.zeros(N_POOL), [], ROUND, np.random.default_rng(0))
    assert rules["D"].rows[0].tolist() == first.tolist() == rules["P"].rows[0].tolist()
    assert not np.array_equal(rules["D"].rows[1], rules["P"].rows[1])
