"""Members by dropout: closed forms of their spread, and one function per member."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rmspace as rm
from rmspace._typing import FloatArray, IntArray
from rmspace.active import active_study, level_set
from rmspace.config.build import load_config
from rmspace.models import DropoutReward
from rmspace.reductions import lower_confidence


def data(seed: int = 0, n: int = 200) -> tuple[FloatArray, IntArray]:
    rng = np.random.default_rng(seed)
    items, pairs = rng.normal(size=(2 * n, 4)).astype(np.float32), np.arange(2 * n).reshape(n, 2)
    better = items[pairs[:, 0], 0] > items[pairs[:, 1], 0]
    return items, np.where(better[:, None], pairs, pairs[:, ::-1])


def network(**options: Any) -> rm.MLPReward:
    defaults: dict[str, Any] = {
        "hidden_sizes": (16,),
        "dropout": 0.25,
        "learning_rate": 1e-2,
        "max_epochs": 10,
        "batch_size": 64,
    }
    return rm.MLPReward(**{**defaults, "validation_fraction": 0.0, "precision": "float32", **options})


def test_mean_and_variance_over_masks_are_their_closed_forms() -> None:
    """With one hidden layer a score is b + sum_j w_j a_j m_j, and masks m_j are 0, or 1 / (1 - p)."""
    items, comparisons = data()
    model = DropoutReward(network(random_state=0), n_members=600, random_state=1).fit(items, comparisons)
    plain = network(random_state=0).fit(items, comparisons)
    hidden, last = (layer for layer in plain.network_ if isinstance(layer, torch.nn.Linear))
    with torch.no_grad():
        parts = torch.relu(hidden(torch.from_numpy(items[:20]))).numpy() * last.weight.numpy()
    table = model.predict_members(items[:20])
    exact = np.sqrt((parts**2).sum(axis=1) * 0.25 / 0.75)
    np.testing.assert_allclose(table.std(axis=0), exact, rtol=0.13)
    assert (np.abs(table.mean(axis=0) - plain.predict(items[:20])) < 5 * exact / np.sqrt(600)).all()


def test_a_member_is_one_function_of_the_item(monkeypatch: pytest.MonkeyPatch) -> None:
    items, comparisons = data()
    model = DropoutReward(network(hidden_sizes=(16, 8)), n_members=5, random_state=0).fit(items, comparisons)
    table = model.predict_members(items)
    np.testing.assert_allclose(model.predict_members(items[::-1])[:, ::-1], table, atol=1e-5)
    monkeypatch.setattr("rmspace.models.core.scoring._BLOCK_NUMBERS", 50)
    np.testing.assert_allclose(model.predict_members(items), table, atol=1e-5)
    again = DropoutReward(network(hidden_sizes=(16, 8)), n_members=5, random_state=0).fit(items, comparisons)
    np.testing.assert_allclose(again.predict_members(items), table, atol=1e-5)
    assert table.std(axis=0).min() > 0


def test_reductions_uncertainty_and_columns() -> None:
    items, comparisons = data()
    member = network(random_state=0, objective=rm.margin_bradley_terry, batch_size=32)
    model = DropoutReward(member, n_members=6, reduce=lower_confidence, random_state=0)
    model.fit(items, comparisons, columns={"margin": np.full(200, 0.5)})
    table = model.predict_members(items)
    scores, std = model.predict(items, return_std=True)
    np.testing.assert_allclose(scores, table.mean(axis=0) - table.std(axis=0, ddof=1), atol=1e-6)
    np.testing.assert_allclose(std, table.std(axis=0, ddof=1), atol=1e-6)
    assert model.score(items, comparisons) > 0.85


def test_held_out_prompts_stop_it_early_and_rules_of_members_take_it() -> None:
    items, comparisons = data()
    records: list[dict[str, Any]] = []
    model = DropoutReward(network(validation_fraction=0.2, max_epochs=3), n_members=2, random_state=0)
    model.fit(items, comparisons, groups=np.arange(400) // 2, on_epoch=records.append)
    assert [record["epoch"] for record in records] == [1, 2, 3]
    train, test = rm.make_synthetic_banks(30, 20, 4, 16, seed=0)
    table = active_study(
        train=train, test=test, rules={"level set": level_set}, model=DropoutReward(network(), n_members=3),
        pairs=rm.same_prompt, n_pool=100, annotator=rm.oracle, n_per_round=20, n_rounds=2,
    )  # fmt: skip
    assert table.value.notna().any()


def test_saved_and_loaded_and_run_from_yaml(tmp_path: Path) -> None:
    items, comparisons = data()
    model = DropoutReward(network(), n_members=3, random_state=0).fit(items, comparisons)
    model.save(tmp_path / "model")
    again = rm.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_members(items), model.predict_members(items))
    rm.Preferences(items, comparisons, np.arange(400) // 2).save(tmp_path / "train")
    rm.Preferences(items * 1.01, comparisons, np.arange(400) // 2 + 500).save(tmp_path / "test")
    (tmp_path / "a.yaml").write_text(
        "data: {use: open_preferences, train: train, test: test}\n"
        "models: {D: {use: DropoutReward, n_members: 3, reduce: {use: lower_confidence}, "
        "member: {use: MLPReward, hidden_sizes: [16], dropout: 0.2, learning_rate: 0.01, batch_size: 32}}}\n"
    )
    experiment = load_config(tmp_path / "a.yaml")
    train, test = experiment.data()
    table = rm.run(train=train, test=test, **experiment.options)
    assert table[table.metric == "accuracy"].value.item() > 0.7


@pytest.mark.parametrize(
    ("member", "error", "message"),
    [
        (rm.LinearReward(), TypeError, "member must be an MLPReward with dropout; got LinearReward"),
        (rm.MLPReward, TypeError, "member must be"),
        (network(dropout=0.0), ValueError, "dropout above 0 and a hidden layer; got dropout=0 and"),
        (network(hidden_sizes=()), ValueError, r"a hidden layer; got dropout=0.25 and hidden_sizes=\(\)"),
    ],
)
def test_bad_members(member: Any, error: type[Exception], message: str) -> None:
    items, comparisons = data(n=10)
    with pytest.raises(error, match=message):
        DropoutReward(member).fit(items, comparisons)
    with pytest.raises(ValueError, match="n_members must be at least 1"):
        DropoutReward(network(), 0).fit(items, comparisons)
