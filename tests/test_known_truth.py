"""The script that measures objectives on known worlds: its measures, its tables and its page."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import t

from findings.page import fill, number
from known_truth import command, worlds
from known_truth.study import Study, Ways, as_table

STUDIES = {study.name: study for study in command.STUDIES}


def test_the_page_has_a_block_for_each_study() -> None:
    fill(command.PAGE.read_text(encoding="utf-8"), dict.fromkeys([*STUDIES, "run"], ""))


@pytest.mark.parametrize("name", ["annotators-few", "cycle", "rankings", "ratings-unequal", "uncertainty-judges"])
def test_a_world_can_be_drawn_and_measured(name: str) -> None:
    found = STUDIES[name].run(0)
    assert len(found) > 1
    assert all(np.isfinite(value) for measures in found.values() for value in measures.values())
    assert STUDIES[name].against is None or STUDIES[name].against in found


@pytest.mark.parametrize("curved", [False, True])
def test_true_gaps_have_the_spread_that_was_asked_for_and_true_scores_are_perfect(curved: bool) -> None:
    world = worlds.draw(0, 20_000, spread=3.0, curved=curved)
    assert world.gap.std() == pytest.approx(3.0, rel=0.05)
    found = worlds.measured(world, world.test_gold, unit=1.0)
    assert found == pytest.approx({worlds.CORRELATION: 1.0, worlds.GAIN: 1.0, worlds.LOSS: 0.0})
    first = world.rng.random(20_000) < expit(world.gap)
    won = world.gold[world.judged(first).comparisons]
    np.testing.assert_array_equal(won[:, 0] - won[:, 1], np.where(first, world.gap, -world.gap))


def test_the_excess_log_loss_is_the_divergence_of_two_coins() -> None:
    p, q = np.array([0.3, 0.9, 1.0]), np.array([0.4, 0.5, 0.8])
    expected = [0.3 * np.log(0.3 / 0.4) + 0.7 * np.log(0.7 / 0.6), 0.9 * np.log(1.8) + 0.1 * np.log(0.2), -np.log(0.8)]
    assert worlds.divergence(p, np.log(q / (1 - q))) == pytest.approx(np.mean(expected))


def _made_up(seed: int) -> Ways:
    value, noise = np.random.default_rng(seed).normal(size=2)
    return {"a": {"m": value}, "b": {"m": value + 1 + 0.1 * noise, "own": float(seed)}}


def test_a_table_has_paired_differences_and_measures_of_one_way() -> None:
    study = Study("made up", _made_up, "a")
    values = [_made_up(seed) for seed in range(30)]
    lines = as_table(study, values).splitlines()
    assert lines[0] == "| way | m | difference in m | own |"
    gaps = np.array([world["b"]["m"] - world["a"]["m"] for world in values])
    half = t.ppf(0.975, 29) * gaps.std(ddof=1) / np.sqrt(30)
    assert f"**{number(gaps.mean())} (" in lines[3]
    low = float(lines[3].partition("(")[2].partition(" to ")[0])
    assert low == pytest.approx(gaps.mean() - half, abs=0.02)
    assert "14.500 (" in lines[3]
    assert lines[2].endswith("|  |  |")
    assert "difference" not in as_table(study._replace(alone=("m",)), values)


def test_the_command_runs_a_study_once_and_fills_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def run(seed: int) -> Ways:
        seen.append(seed)
        return STUDIES["ratings-equal"].run(seed)

    monkeypatch.setattr(command, "STUDIES", (STUDIES["ratings-equal"]._replace(run=run), STUDIES["ratings-unequal"]))
    monkeypatch.setattr(sys, "argv", ["known_truth.py", "--out", str(tmp_path), "--only=-equal", "--worlds=2"])
    assert command.main() == 0
    assert command.main() == 0
    assert seen == [0, 1]
    page = (tmp_path / "known-truth.md").read_text(encoding="utf-8")
    assert "<!-- ratings-equal -->\n2 worlds." in page
    assert "<!-- ratings-unequal -->\nNot run." in page
