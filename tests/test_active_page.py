"""The study of docs/active.md: what its tests and its table of annotations say, on curves whose answer is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats

from selection import page, paired, study, worlds

CURVES = {"random": [0.1, 0.2, 0.3, 0.4], "fast": [0.2, 0.5, 0.45, 0.6], "slow": [0.0, 0.1, 0.1, 0.2]}


def table(noise: float = 0.0, seeds: int = 8) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        luck = noise * rng.normal()
        for model, curve in CURVES.items():
            for n_pairs, value in zip((40, 80, 120, 160), curve, strict=True):
                value += luck + noise * rng.normal()
                rows.append((seed, n_pairs, model, study.METRIC, np.nan, value, "W", "P"))
    return pd.DataFrame(rows, columns=["seed", "n_pairs", "model", "metric", "n", "value", "world", "pool"])


def test_annotations_until_the_last_gain_of_random() -> None:
    needed = paired.annotations_needed(table()).set_index("model").needed
    assert set(needed["random"]) == {160} and set(needed["fast"]) == {80} and set(needed["slow"]) == {np.inf}


@pytest.mark.parametrize("n", [6, 10, 20, 21])
def test_intervals_of_medians_hold_in_at_least_19_of_20_samples(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    middle, low, high = paired.median_interval(pd.Series(values))
    ordered = sorted(values)
    rank = ordered.index(low) + 1
    assert ordered[-rank] == high and ordered[(n - 1) // 2] == middle
    assert stats.binom.cdf(rank - 1, n, 0.5) <= 0.025 < stats.binom.cdf(rank, n, 0.5)
    many = paired.median_interval(pd.Series([*range(10), *[np.inf] * 10]))
    assert many == (9, 5, np.inf)
    assert np.isnan(paired.median_interval(pd.Series([1.0, np.inf]))[1:]).all()


def test_tests_are_paired_at_the_end_and_over_rounds_with_one_correction() -> None:
    rows = table(noise=0.02)
    tests = paired.compare_rules(rows)
    assert len(tests) == 4
    curves = {
        str(name): part.value.to_numpy().reshape(8, 4) for name, part in rows.groupby("model")
    }  # by seed and round
    for test in tests.itertuples():
        ours, theirs = curves[str(test.model)], curves["random"]
        gains = (ours[:, -1], theirs[:, -1]) if test.measure == paired.END else (ours.mean(axis=1), theirs.mean(axis=1))
        expected = stats.ttest_rel(*gains)
        assert test.p_value == pytest.approx(expected.pvalue)
        assert (test.low, test.high) == pytest.approx(tuple(expected.confidence_interval()))
    ordered = np.sort(tests.p_value)
    holm = np.maximum.accumulate(ordered * [4, 3, 2, 1])
    np.testing.assert_allclose(np.sort(tests.p_corrected), np.minimum(holm, 1))


def test_a_small_study_fills_the_page_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = {name: study.RULES[name] for name in ("random", "D-optimal", "past-aware D-optimal", "BALD")}
    monkeypatch.setattr(study, "RULES", rules)
    plan = study.Plan(("rare topics",), seeds=2, n_rounds=2, n_members=2)
    found = study.results(tmp_path, plan, tmp_path)
    assert len(found) == 2 * 2 * 4 * 2 and found.value.notna().all()
    monkeypatch.setattr(study, "run_cell", None)  # what is done is not done again
    again = study.results(tmp_path, plan, tmp_path)
    pd.testing.assert_frame_equal(again, found)
    blocks = page.blocks(found, "python scripts/active.py")
    assert isinstance(blocks["curves"], Figure)
    assert "**D-optimal**, at the end: surely better than random in" in str(blocks["verdict"])
    assert str(blocks["needed"]).count("\n") == 1 + 4 and str(blocks["end-of-study"]).startswith(
        "| rule | rare topics, same"
    )


def test_the_worlds_are_what_they_say() -> None:
    def spread(bank: Any) -> Any:
        return bank.embeddings.std(axis=1)

    train, test = worlds.rare_topics(0, Path())
    own = [spread(bank).reshape(-1, worlds.TOPICS, worlds.OWN).mean(axis=2).argmax(axis=1) for bank in (train, test)]
    counts = [np.bincount(topics, minlength=worlds.TOPICS) / len(topics) for topics in own]
    share = np.arange(1, worlds.TOPICS + 1) ** -1.5
    assert np.abs(counts[0] - share / share.sum()).max() < 0.08 and np.abs(counts[1] - 1 / worlds.TOPICS).max() < 0.08
    train, _ = worlds.uneven_prompts(0, Path())
    logs = np.log(spread(train) * np.sqrt(np.arange(1, worlds.DIM + 1))).mean(axis=1)
    assert logs.std() == pytest.approx(1.0, abs=0.15)
    fitted = np.linalg.lstsq(train.items.astype(float), train.item_rewards, rcond=None)[1]
    assert fitted.item() < 1e-4 * train.item_rewards.var() * len(train.items)  # the reward is linear


def test_the_stage_of_the_benchmark() -> None:
    from benchmarks.active import RULES, selection

    rows = selection(Path(), True)
    assert [row["stage"].removeprefix("active: ") for row in rows] == list(RULES)
    assert all(row["seconds"] > 0 for row in rows)
