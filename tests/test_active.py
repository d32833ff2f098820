"""Active selection: each rule against brute force, what no rule may depend on, and rounds of a study."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import entropy as entropy_of

import rmspace as rm
from rmspace._typing import Float64Array, IntArray
from rmspace.active import (
    active_study,
    at_random,
    bald,
    coreset,
    d_optimal,
    entropy,
    gap_variance,
    largest_gap,
    level_set,
    past_aware_d_optimal,
)

RULES: dict[str, Any] = {
    "at_random": at_random, "entropy": entropy, "largest_gap": largest_gap, "coreset": coreset, "bald": bald,
    "d_optimal": d_optimal, "past_aware_d_optimal": past_aware_d_optimal, "gap_variance": gap_variance,
    "level_set": level_set,
}  # fmt: skip


def seeded() -> np.random.Generator:
    return np.random.default_rng(0)


def information(differences: Float64Array, gaps: Float64Array) -> Float64Array:
    """Return p (1 - p) z z^T of each candidate, (n_candidates, dim, dim)."""
    p = expit(gaps)
    return np.asarray((p * (1 - p))[:, None, None] * differences[:, :, None] * differences[:, None, :])


def log_determinant(each: Float64Array, rows: list[int], ridge: float) -> float:
    """Return that of the rows' information, with ridge times the mean information of a candidate per direction."""
    unit = ridge * np.trace(each.mean(axis=0)) / each.shape[1]
    sign, value = np.linalg.slogdet(unit * np.eye(each.shape[1]) + each[rows].sum(axis=0))
    assert sign > 0
    return float(value)


@given(st.integers(0, 10_000), st.integers(1, 4), st.sampled_from([1e-3, 0.1, 10.0]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_each_step_of_d_optimal_has_the_largest_determinant(seed: int, dim: int, ridge: float, past: bool) -> None:
    rng = np.random.default_rng(seed)
    differences, gaps = rng.normal(size=(9, dim)), rng.normal(size=9)
    chosen = [2, 5]
    rule = past_aware_d_optimal if past else d_optimal
    taken = rule(differences, gaps, chosen, 5, rng, ridge=ridge).tolist()
    each, known = information(differences, gaps), chosen if past else []
    for k, row in enumerate(taken):
        left = [j for j in range(9) if j not in (*chosen, *taken[:k])]
        reached = {j: log_determinant(each, [*known, *taken[:k], j], ridge) for j in left}
        assert reached[row] >= max(reached.values()) - 1e-9


def test_lazy_steps_take_the_same_rows_as_plain_ones(rng: np.random.Generator) -> None:
    differences = rng.normal(size=(3000, 12)) * rng.gamma(2, 1, size=(3000, 1))
    gaps = rng.normal(size=3000)
    inverse, each = np.eye(12), differences * np.sqrt(expit(gaps) * expit(-gaps))[:, None]
    inverse /= 1e-3 * (each**2).mean()
    plain = []
    gains = np.einsum("ij,jk,ik->i", each, inverse, each)
    for _ in range(200):
        plain.append(int(gains.argmax()))
        v = inverse @ each[plain[-1]]
        inverse = inverse - np.outer(v, v) / (1 + each[plain[-1]] @ v)  # Sherman and Morrison
        gains = np.einsum("ij,jk,ik->i", each, inverse, each)
        gains[plain] = -np.inf
    assert d_optimal(differences, gaps, [], 200, rng).tolist() == plain


@given(st.integers(0, 10_000), st.integers(1, 3), st.sampled_from([[], [1], [0, 7]]))
@settings(max_examples=40, deadline=None)
def test_each_step_of_coreset_is_the_farthest(seed: int, dim: int, chosen: list[int]) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(-4, 5, size=(10, dim)).astype(float)
    taken = coreset(points, np.zeros(10), chosen, 5, rng).tolist()
    assert len(set(taken) | set(chosen)) == 5 + len(chosen)
    for k, row in enumerate(taken):
        if not (centres := [*chosen, *taken[:k]]):
            continue

        def distance(j: int, centres: list[int] = centres) -> float:
            return min(min(np.sum((points[j] - points[c]) ** 2), np.sum((points[j] + points[c]) ** 2)) for c in centres)

        left = [j for j in range(10) if j not in centres]
        assert distance(row) == pytest.approx(max(map(distance, left)), abs=1e-9)


def test_coreset_is_within_twice_the_best_radius(rng: np.random.Generator) -> None:
    from itertools import combinations

    points = rng.normal(size=(12, 2))
    apart = np.minimum(*(np.linalg.norm(points[:, None] - sign * points, axis=2) for sign in (1, -1)))
    best = min(apart[:, list(some)].min(axis=1).max() for some in combinations(range(12), 3))
    for seed in range(12):
        taken = coreset(points, np.zeros(12), [], 3, np.random.default_rng(seed))
        assert apart[:, taken].min(axis=1).max() <= 2 * best + 1e-12


def test_rules_of_gaps_and_members_are_their_formulas(rng: np.random.Generator) -> None:
    members, z = rng.normal(size=(4, 30)), np.ones((30, 1))
    gaps = members.mean(axis=0)
    uncertain = [float(entropy_of([expit(gap), expit(-gap)])) for gap in gaps]
    assert entropy(z, members, [], 7, rng).tolist() == np.argsort(uncertain)[::-1][:7].tolist()
    assert largest_gap(z, members, [], 7, rng).tolist() == np.argsort(np.abs(gaps))[::-1][:7].tolist()
    p = expit(members)
    information = [
        entropy_of([column.mean(), 1 - column.mean()]) - np.mean([entropy_of([each, 1 - each]) for each in column])
        for column in p.T
    ]
    assert bald(z, members, [], 7, rng).tolist() == np.argsort(information)[::-1][:7].tolist()
    assert gap_variance(z, members, [], 7, rng).tolist() == np.argsort(members.var(axis=0))[::-1][:7].tolist()
    ambiguous = 1.5 * members.std(axis=0, ddof=1) - np.abs(members.mean(axis=0))
    assert level_set(z, members, [], 7, rng, k=1.5).tolist() == np.argsort(-ambiguous)[:7].tolist()
    assert level_set(z, gaps, [], 7, rng).tolist() == entropy(z, gaps, [], 7, rng).tolist()
    counts = np.bincount(np.concatenate([at_random(z, gaps, [0], 5, rng) for _ in range(2000)]), minlength=30)
    assert counts[0] == 0 and np.abs(counts[1:] - 10_000 / 29).max() < 5 * np.sqrt(10_000 / 29)
    assert len({entropy(z, np.zeros(30), [], 1, np.random.default_rng(k)).item() for k in range(200)}) > 20


@pytest.mark.parametrize("name", RULES)
@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_no_rule_depends_on_which_item_stands_first_or_on_the_unit(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    differences, gaps = rng.normal(size=(40, 3)), rng.normal(size=(2, 40))
    chosen, n = np.array([3, 1]), 6
    signs = rng.choice([-1.0, 1.0], size=40)
    taken = RULES[name](differences, gaps, chosen, n, seeded())
    assert taken.dtype == np.int64 and len(set(taken.tolist())) == n and not set(taken.tolist()) & {1, 3}
    other = RULES[name](1e3 * differences * signs[:, None], gaps * signs, chosen, n, seeded())
    np.testing.assert_array_equal(other, taken)
    every = RULES[name](differences, gaps, chosen, 38, seeded())
    assert sorted([*every.tolist(), 1, 3]) == list(range(40))


@pytest.mark.parametrize("name", RULES)
def test_bad_input_of_rules(name: str) -> None:
    rule, z, gaps, rng = RULES[name], np.eye(4), np.array([[0.0, 1.0, 2.0, 3.0], [1.0, 1.0, 1.0, 1.0]]), seeded()
    for match, arguments in {
        r"differences must be numbers \(n_candidates, dim\)": (np.ones(4), gaps, [], 1, rng),
        r"gaps must be one per candidate, \(4,\), or": (z, np.zeros(3), [], 1, rng),
        "gaps must be finite; row 1 has nan": (z, np.where(gaps == 1, np.nan, gaps), [], 1, rng),
        "chosen must hold rows of the 4 candidates; got 4": (z, gaps, [4], 1, rng),
        "chosen must hold each row once": (z, gaps, [1, 1], 1, rng),
        "n must be at most the 3 candidates that are left; got 4": (z, gaps, [1], 4, rng),
        "n must be at least 1": (z, gaps, [], 0, rng),
    }.items():
        match = match.replace("row 1", "row [01]")
        with pytest.raises(ValueError, match=match):
            rule(*arguments)
    with pytest.raises(TypeError, match="chosen must be integer rows"):
        rule(z, gaps, [0.5], 1, rng)
    with pytest.raises(TypeError, match=r"rng must be a numpy\.random\.Generator"):
        rule(z, gaps, [], 1, 0)
    if name in ("coreset", "d_optimal", "past_aware_d_optimal"):
        with pytest.raises(ValueError, match="differences must be finite; row 2"):
            rule(np.where(np.arange(16).reshape(4, 4) == 9, np.inf, 1.0), gaps, [], 1, rng)
    if name in ("bald", "gap_variance"):
        with pytest.raises(ValueError, match=f"{name} needs gaps of two members"):
            rule(z, gaps[0], [], 1, rng)


@pytest.mark.parametrize("rule", [d_optimal, past_aware_d_optimal])
def test_designs_without_information(rule: Any) -> None:
    with pytest.raises(ValueError, match="no candidate tells anything"):
        rule(np.zeros((3, 2)), np.zeros(3), [], 1, seeded())
    with pytest.raises(ValueError, match="no candidate tells anything"):
        rule(np.ones((3, 2)), np.full(3, 1e4), [], 1, seeded())
    for ridge in (0, -1, 1e-320):
        with pytest.raises(ValueError, match="ridge must be at least 1e-09"):
            rule(np.ones((3, 2)), np.zeros(3), [], 1, seeded(), ridge=ridge)
    assert rule(np.eye(3)[:2] * 1e-200, np.zeros(2), [], 2, seeded()).tolist() == [0, 1]


@pytest.fixture(scope="module")
def banks() -> tuple[rm.ResponseBank, rm.ResponseBank]:
    return rm.make_synthetic_banks(60, 40, 6, 16, noise_std=0.1, seed=1)


def study(banks: tuple[rm.ResponseBank, rm.ResponseBank], rules: Any, **options: Any) -> pd.DataFrame:
    given: dict[str, Any] = {
        "model": rm.LinearReward(alpha=1e-2), "pairs": rm.same_prompt, "n_pool": 300, "n_per_round": 20, "n_rounds": 3,
        "annotator": partial(rm.logistic, beta=2.0), "metrics": {"gain": partial(rm.normalized_gain, n=6)},
    }  # fmt: skip
    return active_study(train=banks[0], test=banks[1], rules=rules, **(given | options))


def test_a_study_has_a_row_for_each_seed_rule_and_round(banks: Any) -> None:
    table = study(banks, {"R": at_random, "D": d_optimal}, seeds=[3, 4])
    assert table[["seed", "model", "n_pairs"]].values.tolist() == [
        [seed, rule, n] for seed in (3, 4) for rule in ("R", "D") for n in (20, 40, 60)
    ]
    means = rm.seed_means(table)
    assert means.seeds.tolist() == [2] * 6 and "choose_seconds" not in means
    again = study(banks, {"D": d_optimal}, seeds=[4])  # another rule or seed changes nothing
    same = table[(table.model == "D") & (table.seed == 4)]
    assert again.value.tolist() == same.value.tolist() and again.error_rate.tolist() == same.error_rate.tolist()
    compared = rm.compare_models(study(banks, {"R": at_random, "D": d_optimal}, seeds=[0, 1, 2]), metric="gain")
    assert compared.n_pairs.tolist() == [20, 40, 60]
    lines = rm.study_curves(table, x="n_pairs", metric="gain").axes[0].lines
    assert len(lines) == 2


def test_the_model_of_a_round_learns_from_the_chosen_pairs_alone(banks: Any) -> None:
    calls: list[tuple[Float64Array, Float64Array, IntArray]] = []

    def first_ones(differences: Any, gaps: Any, chosen: Any, n: int, rng: Any) -> Any:
        calls.append((differences, gaps.copy(), chosen))
        return np.arange(len(chosen), len(chosen) + n)

    table = study(banks, {"first": first_ones}, annotator=rm.oracle, seeds=[5])
    stream = partial(np.random.SeedSequence, 5)
    pool = rm.same_prompt(banks[0], 300, np.random.default_rng(stream(spawn_key=(0,))))
    items = banks[0].items
    np.testing.assert_allclose(calls[0][0], items[pool[:, 0]] - items[pool[:, 1]])
    assert not calls[0][1].any() and [len(chosen) for _, _, chosen in calls] == [0, 20, 40]
    judged = rm.annotate(pool, banks[0], rm.oracle, rng=np.random.default_rng(stream(spawn_key=(1,))))
    for k, value in enumerate(table.value, start=1):
        model = rm.LinearReward(alpha=1e-2).fit(items, judged[: 20 * k])
        assert value == pytest.approx(rm.normalized_gain(model.predict(banks[1].items), banks[1].rewards).mean())
        if k < 3:
            scores = model.predict(items)
            np.testing.assert_allclose(calls[k][1], scores[pool[:, 0]] - scores[pool[:, 1]], atol=1e-9)
    assert table.error_rate.tolist() == [0, 0, 0]


def test_ensembles_give_the_gaps_of_their_members(banks: Any) -> None:
    seen: list[Float64Array] = []

    def watching(differences: Any, gaps: Any, chosen: Any, n: int, rng: Any) -> Any:
        seen.append(gaps)
        return bald(differences, gaps, chosen, n, rng)

    model = rm.EnsembleReward(rm.LinearReward(alpha=1e-2), 3, bootstrap=True)
    study(banks, {"BALD": watching}, model=model, n_rounds=2)
    assert [gaps.shape for gaps in seen] == [(3, 300), (3, 300)]
    assert not seen[0].any() and seen[1].std(axis=0).min() > 0
    with pytest.raises(ValueError, match="bald needs gaps of two members"):
        study(banks, {"BALD": bald}, model=model.set_params(n_members=1))


def test_bad_input_of_a_study(banks: Any) -> None:
    with pytest.raises(ValueError, match=r"n_pool must be at least n_rounds \* n_per_round = 400; got 300"):
        study(banks, {"R": at_random}, n_per_round=200, n_rounds=2)
    with pytest.raises(ValueError, match="at least one rule and one seed"):
        study(banks, {})
    with pytest.raises(TypeError, match="rules must map names"):
        study(banks, at_random)
    with pytest.raises(TypeError, match="rule 'R' must be a function of differences"):
        study(banks, {"R": "entropy"})
    for wrong, match in (
        (lambda *_: np.zeros(20, dtype=int), "different rows of the 300 candidates"),
        (lambda *_: np.arange(5), "must return 20 integer rows"),
        (lambda *_: np.arange(290, 310), "different rows of the 300 candidates"),
    ):
        with pytest.raises(ValueError, match=match):
            study(banks, {"R": wrong})
    with pytest.raises(ValueError, match="bald needs gaps of two members") as caught:
        study(banks, {"mine": bald})
    assert caught.value.__notes__ == ["in the rule 'mine'"]
    with pytest.raises(ValueError, match="no prompt in common"):
        active_study(train=banks[0], test=banks[0], rules={"R": at_random}, model=rm.LinearReward(),
                     pairs=rm.same_prompt, n_pool=50, annotator=rm.oracle, n_per_round=5, n_rounds=2)  # fmt: skip
