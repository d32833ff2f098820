"""Scores without length: a planted bias is removed, jointly and post hoc, and lengths are asked for clearly."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rmspace as rm
from rmspace._typing import FloatArray
from rmspace.config.build import load_config
from rmspace.models import LaplaceReward, LengthFreeReward, TunedReward
from rmspace.reductions import rank_mean

BIAS, GOLD = 0.5, np.array([1.0, -0.6, 0.4, 0.0])
MIX = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
WAYS: tuple[Any, ...] = ("joint", "post_hoc")


def biased(n: int, seed: int) -> tuple[rm.Preferences, FloatArray, FloatArray]:
    """Draw comparisons by judges who add half of a standard deviation of length to the gold reward.

    The embedding knows the length only with noise, mixed into all of its numbers.
    """
    rng = np.random.default_rng(seed)
    quality, length = rng.normal(size=(n, 4)), rng.normal(size=n)
    items = np.column_stack([quality, length + 0.3 * rng.normal(size=n)]) @ MIX
    gold = quality @ GOLD
    pairs = rng.permutation(n).reshape(-1, 2)
    felt = gold + BIAS * length
    first = rng.random(len(pairs)) < expit(2 * (felt[pairs[:, 0]] - felt[pairs[:, 1]]))
    comparisons = np.where(first[:, None], pairs, pairs[:, ::-1])
    data = rm.Preferences(items, comparisons, np.arange(n), features={"length": 300 + 90 * length})
    return data, gold, length


def slope(scores: FloatArray, length: FloatArray, gold: FloatArray) -> float:
    """Return how much the score rises with length, in units in which it rises by 1 with gold."""
    by_gold, by_length, _ = np.linalg.lstsq(np.column_stack([gold, length, np.ones(len(gold))]), scores, rcond=None)[0]
    return float(by_length / by_gold)


@pytest.mark.parametrize("how", WAYS)
def test_a_planted_bias_of_one_half_is_removed(how: Any) -> None:
    """In 6 worlds; docs/known-truth.md measures more of them, and other models."""
    plain, free = [], []
    for seed in range(6):
        train, _, _ = biased(4_000, 2 * seed)
        test, gold, length = biased(4_000, 2 * seed + 1)
        plain.append(slope(rm.LinearReward().fit(train).predict(test.items), length, gold))
        free.append(slope(LengthFreeReward(how=how).fit(train).predict(test.items), length, gold))
    assert min(plain) > 0.3  # what the embedding knows of the length
    assert abs(np.mean(free)) < 4 * np.std(free, ddof=1) / np.sqrt(6)
    assert np.max(np.abs(free)) < 0.1


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(
    "member",
    [
        rm.LinearReward(),
        rm.MLPReward(hidden_sizes=(16,), max_epochs=12, learning_rate=1e-2, random_state=0, precision="float32"),
        rm.LightGBMReward(n_estimators=40, n_jobs=1),
    ],
)
def test_members_of_every_kind_lose_most_of_it(how: Any, member: Any) -> None:
    train, gold, length = biased(3_000, 1)
    plain = slope(member.fit(train).predict(train.items), length, gold)
    free = LengthFreeReward(member, how=how).fit(train)
    scores = free.predict(train.items)
    assert abs(slope(scores, length, gold)) < plain / 3
    assert np.corrcoef(scores, gold)[0, 1] > 0.8


def test_linear_scores_do_not_go_with_length_in_training() -> None:
    train, _, length = biased(400, 2)
    scores = LengthFreeReward().fit(train).predict(train.items)
    assert np.corrcoef(scores, length)[0, 1] == pytest.approx(0.0, abs=1e-6)


def test_a_feature_and_two_columns_are_the_same() -> None:
    train, _, _ = biased(200, 3)
    lengths = train.features["length"][train.comparisons]
    columns = {"winner_length": lengths[:, 0], "loser_length": lengths[:, 1]}
    for how in WAYS:
        one = LengthFreeReward(how=how).fit(train)
        other = LengthFreeReward(how=how).fit(train.items, train.comparisons, columns=columns)
        np.testing.assert_array_equal(one.predict(train.items), other.predict(train.items))


def test_ties_weights_and_pipelines() -> None:
    train, _, _ = biased(200, 4)
    lengths = train.features["length"][train.comparisons]
    columns = {"winner_length": lengths[:, 0], "loser_length": lengths[:, 1]}
    tie = np.arange(100) < 20
    marked = rm.Preferences(train.items, train.comparisons, train.groups, columns={**columns, "tie": tie})
    model = rm.fit_model(make_pipeline(StandardScaler(), LengthFreeReward()), marked)
    turned = np.where(tie[:, None], train.comparisons[:, ::-1], train.comparisons)
    swapped = {
        "winner_length": np.where(tie, columns["loser_length"], columns["winner_length"]),
        "loser_length": np.where(tie, columns["winner_length"], columns["loser_length"]),
    }
    again = rm.Preferences(train.items, turned, train.groups, columns={**swapped, "tie": tie})
    other = rm.fit_model(make_pipeline(StandardScaler(), LengthFreeReward()), again)
    np.testing.assert_allclose(model.predict(train.items), other.predict(train.items), atol=1e-4)


@pytest.mark.parametrize("how", WAYS)
def test_saved_and_loaded(how: Any, tmp_path: Path) -> None:
    train, _, _ = biased(100, 5)
    model = LengthFreeReward(how=how).fit(train)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(rm.load(tmp_path / "model").predict(train.items), model.predict(train.items))


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("tuned", [False, True])
def test_ranks_are_among_all_items_of_a_call(how: Any, tuned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    train, _, _ = biased(200, 8)
    member: Any = rm.EnsembleReward(rm.LinearReward(), 3, reduce=rank_mean, bootstrap=True, random_state=0)
    if tuned:
        member = TunedReward(member, {"member__alpha": [1e-3]}, n_splits=2, random_state=0)
    model = LengthFreeReward(member, how=how).fit(train)
    whole = model.predict(train.items)
    monkeypatch.setattr("rmspace.models.core.scoring._BLOCK_NUMBERS", 10 * train.dim)
    np.testing.assert_array_equal(model.predict(train.items), whole)
    assert not np.array_equal(model.predict(train.items[:100]), whole[:100])  # of other items, so other ranks


def test_joint_has_the_uncertainty_of_its_member() -> None:
    train, _, length = biased(400, 9)
    scores, std = LengthFreeReward(LaplaceReward(alpha=1e-3)).fit(train).predict(train.items, return_std=True)
    rows, z = train.items - train.items.mean(axis=0), (length - length.mean()) / length.std()
    u = rows.T @ z / np.linalg.norm(rows.T @ z)
    erased = rows - np.outer(rows @ u, u)
    spread = np.sqrt((rows**2).sum(axis=1).mean())
    member = LaplaceReward(alpha=1e-3).fit(np.column_stack([erased, 0.25 * spread * z]), train.comparisons)
    expected = member.predict(np.column_stack([erased, np.zeros(len(z))]), return_std=True)
    np.testing.assert_allclose(scores, expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(std, expected[1], rtol=1e-4)
    with pytest.raises(ValueError, match="LinearReward states no uncertainty"):
        LengthFreeReward().fit(train).predict(train.items, return_std=True)
    with pytest.raises(ValueError, match=r"'post_hoc'.* states no uncertainty.*use how='joint'"):
        LengthFreeReward(LaplaceReward(), how="post_hoc").fit(train).predict(train.items, return_std=True)


def test_it_runs_from_yaml_with_a_feature_or_with_columns(tmp_path: Path) -> None:
    train, _, _ = biased(300, 7)
    lengths = train.features["length"][train.comparisons]
    train.save(tmp_path / "feature")
    _other(train, winner_length=lengths[:, 0], loser_length=lengths[:, 1]).save(tmp_path / "columns")
    rm.Preferences(train.items * 1.01, train.comparisons, train.groups + 1000).save(tmp_path / "test")
    (tmp_path / "a.yaml").write_text(
        "data: {use: open_preferences, train: columns, test: test}\n"
        "models: {L: {use: LengthFreeReward, how: post_hoc, member: {use: LinearReward, alpha: 0.01}}}\n"
    )
    tables = []
    for name in ("columns", "feature"):
        experiment = load_config(tmp_path / "a.yaml", [f"data.train={tmp_path / name}"])
        data, held_out = experiment.data()
        tables.append(rm.run(train=data, test=held_out, **experiment.options).drop(columns="fit_seconds"))
    assert tables[0][tables[0].metric == "accuracy"].value.item() > 0.6
    pd.testing.assert_frame_equal(tables[0], tables[1])


def test_a_run_takes_the_lengths_of_a_bank() -> None:
    train, test = rm.make_synthetic_banks(40, 20, 4, 16, seed=0)
    rng = np.random.default_rng(0)
    banks = [
        rm.ResponseBank(bank.embeddings, bank.rewards, features={"length": rng.normal(size=bank.rewards.shape)})
        for bank in (train, test)
    ]
    options: dict[str, Any] = {
        "models": {"L": LengthFreeReward()},
        "pairs": rm.same_prompt,
        "n_pairs": 60,
        "annotator": rm.oracle,
    }
    table = rm.run(train=banks[0], test=banks[1], **options)
    assert table.value.notna().any()
    with pytest.raises(ValueError, match=r"there is no feature 'length' of the items"):
        rm.run(train=train, test=test, **options)


def _other(train: rm.Preferences, **columns: Any) -> rm.Preferences:
    return rm.Preferences(train.items, train.comparisons, train.groups, columns=columns)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda d: LengthFreeReward().fit(_other(d)), ValueError, r"there is no feature 'length' of the items"),
        (lambda d: LengthFreeReward(feature="tokens").fit(d), ValueError, "no feature 'tokens'"),
        (
            lambda d: LengthFreeReward().fit(_other(d, winner_length=np.ones(50), loser_length=np.ones(50))),
            ValueError,
            "length must differ between items; all have 1",
        ),
        (
            lambda d: LengthFreeReward().fit(
                d.items, np.array([[0, 1], [2, 0]]), columns={"winner_length": [1, 2], "loser_length": [3, 4]}
            ),
            ValueError,
            "an item must have one length in all of its comparisons; item 0 has two",
        ),
        (
            lambda d: LengthFreeReward().fit(
                d.items, np.array([[0, 1]]), columns={"winner_length": [np.nan], "loser_length": [1.0]}
            ),
            ValueError,
            "column 'winner_length' must be finite",
        ),
        (lambda d: LengthFreeReward(how="both").fit(d), ValueError, "how must be 'joint' or 'post_hoc'; got 'both'"),
        (lambda d: LengthFreeReward(rm.LinearReward).fit(d), TypeError, "member must be a reward model, no class"),
    ],
)
def test_bad_input(make: Callable[[rm.Preferences], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(biased(100, 6)[0])
