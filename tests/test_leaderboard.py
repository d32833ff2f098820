"""The leaderboard: its data, its tests, its page, and how a row is added."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

import rmspace as rm
from findings import page as findings_page
from leaderboard import checks, command, page, paired, ranks, results, rows, studies
from rmspace.config.node import read_config
from rmspace.results.compare import holm
from rmspace.study.store import FILE

ROOT = Path(__file__).parent.parent
SMALL = """\
trials: 2
folds: 2
alphas: [0.01, 0.1]
sections:
  choices:
    Bradley-Terry: {use: LinearReward}
    Bradley-Terry twice: {use: LinearReward, objective: {use: scaled, beta: 1.0}}
    Thurstone: {use: LinearReward, objective: {use: thurstone}}
    classification: {use: LinearReward, objective: {use: classification}}
  ties:
    Bradley-Terry: {use: LinearReward}
    Davidson: {use: LinearReward, objective: {use: davidson}}
  coin:
    Bradley-Terry: {use: LinearReward}
"""


class Configs(NamedTuple):
    folder: Path  # a copy, with few rows; all_rows.yaml has the real ones
    worlds: ModuleType
    measures: ModuleType
    coin: ModuleType


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Configs]:
    folder = tmp_path_factory.mktemp("leaderboard") / "configs"
    shutil.copytree(ROOT / "configs" / "leaderboard", folder)
    (folder / "rows.yaml").rename(folder / "all_rows.yaml")
    (folder / "rows.yaml").write_text(SMALL)
    before = list(sys.path)
    sys.path.append(str(folder))
    yield Configs(folder, *(__import__(name) for name in ("worlds", "measures", "coin")))
    sys.path[:] = before
    for name in ("worlds", "measures", "coin", "mine"):
        sys.modules.pop(name, None)


def run(configs: Configs, out: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> tuple[int, str]:
    arguments = ["--out", str(out), "--configs", str(configs.folder), "--quick", *options]
    monkeypatch.setattr(sys, "argv", ["leaderboard.py", *arguments])
    status = command.main()
    return status, (out / "leaderboard.md").read_text(encoding="utf-8")


# The command


def test_one_command_makes_the_page_and_a_row_is_a_function_and_a_line(
    configs: Configs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines that the page shows to a reader are those that are added here."""
    status, text = run(configs, tmp_path, monkeypatch)
    assert status == 0 and "Every cell of every section is done." in text
    assert "Bradley-Terry twice | 2" not in text  # it has no rank of its own
    assert re.search(r"\| Bradley-Terry twice \| +\| [^|]* \| none at all \| the same \|", text)
    assert (tmp_path / "leaderboard-figures" / "figure.png").exists()
    before = rm.Study.open(tmp_path / "studies" / "choices").cells()

    shown = (ROOT / "docs" / "leaderboard.md").read_text(encoding="utf-8").partition("## Add a row")[2]
    function, line = re.findall(r"```(?:python|yaml)\n(.*?)```", shown, re.DOTALL)
    (configs.folder / "mine.py").write_text(function)
    one_more = SMALL.replace("  ties:\n", f"    {line}  ties:\n")
    monkeypatch.setattr(command, "read_rows", lambda path: rows.read_rows(_written(tmp_path / "more.yaml", one_more)))
    status, text = run(configs, tmp_path, monkeypatch)
    after = rm.Study.open(tmp_path / "studies" / "choices").cells()
    assert status == 0 and re.search(r"\| squared margin \| [\d.]+ \|", text)
    assert len(after) == len(before) * 5 // 4
    kept = after[after.models != "squared margin"]
    assert sorted(kept.seconds) == sorted(before.seconds)  # these cells did not run again


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_dry_run_counts_fits_before_anything_runs(
    configs: Configs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--out", str(tmp_path), "--configs", str(configs.folder), "--quick", "--dry-run", "--timed", "1"]
    monkeypatch.setattr(sys, "argv", ["leaderboard.py", *arguments])
    assert command.main() == 0
    cells = (4 + 2) * 2 * 2 + 2 * 2  # rows, worlds, seeds; a coin has one row
    assert f"{cells} cells, {cells * (2 * 2 + 1)} fits" in capsys.readouterr().out
    assert not list(tmp_path.rglob(FILE))


def test_an_incomplete_leaderboard_names_what_is_missing(configs: Configs, tmp_path: Path) -> None:
    setup = studies.Setup(configs.folder, tmp_path, [["synthetic", 1], ["flipped", 1]], command.QUICK)
    sheet = rows.read_rows(configs.folder / "rows.yaml")
    grid = studies.overrides(setup, sheet, "choices")
    three_seeds = rows.as_override(f"grid.{studies.SEEDS}", [[0, 0], [1, 1], [2, 2]])
    setup = setup._replace(changes=(*setup.changes, three_seeds))
    rm.run_study(configs.folder / "study.yaml", tmp_path / "studies" / "choices", overrides=grid)  # two of three
    found = results.read_results(setup, sheet)
    assert found.seeds == {"choices": 2, "ties": 0, "coin": 0}
    assert set(found.table.seed) == {0, 1}
    assert found.missing[0] == ("choices: 8 of 24 cells are not done; 2 of 3 seeds are complete, and only these count")
    text = page.blocks(setup, sheet, found, "command")["missing"]
    assert isinstance(text, str) and text.startswith("**This leaderboard is not complete.**")
    with pytest.raises(SystemExit, match="two complete seeds"):
        page.blocks(setup, sheet, found._replace(seeds={**found.seeds, "choices": 1}), "command")


def test_the_page_has_a_block_for_each_mark(
    configs: Configs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """Made-up skills in all rows and worlds of the leaderboard, of which one row is far better everywhere."""
    sheet = rows.read_rows(configs.folder / "all_rows.yaml")
    setup = studies.Setup(configs.folder, tmp_path, studies.worlds_of(configs.folder))
    lines = [
        (row.section, world, np.nan if beta is None else beta, seed, row.name, 0.1 * rng.normal(), 0.1, 2.0)
        for row in sheet.rows
        for world, beta in rows.data_of(row.section, setup.worlds)[1]
        for seed in range(5)
    ]
    names = ["section", "world", "beta", "seed", "row", "skill", "calibration", "seconds"]
    table = pd.DataFrame(lines, columns=names)
    table.loc[table.row == "Thurstone", "skill"] += 100.0
    found = results.Results(table, dict.fromkeys(sheet.sections, 5), [], len(table), 1.0)
    monkeypatch.setattr(page, "wrong_choices", lambda *_: {"row": "wrong choices"})
    made = page.blocks(setup, sheet, found, "command")
    evidence = {"evidence": str(made.pop("evidence"))}
    for other in command.EVIDENCE:
        assert "Thurstone **+" in findings_page.fill(other.read_text(encoding="utf-8"), evidence)
    text = (ROOT / "docs" / "leaderboard.md").read_text(encoding="utf-8")
    filled = findings_page.fill(
        text, {name: block for name, block in made.items() if isinstance(block, str)} | {"figure": ""}
    )
    line = next(line for line in filled.splitlines() if line.startswith("| Thurstone"))
    assert "| 1.0 |" in line and "| better |" in line and "**+" in line
    assert "surely better (Thurstone)" in filled
    assert f"Friedman's test over {len(setup.worlds)} settings" in filled  # with those that people judged
    which = filled.partition("## Which objective")[2]
    assert which.count("Thurstone **+") == len(setup.worlds)
    assert "| who won, as in HH harmless |" in which and "| who won, as in GSM8K, beta 4 |" in which


def test_a_row_that_fails_is_named_and_left_out(configs: Configs, tmp_path: Path) -> None:
    setup = studies.Setup(configs.folder, tmp_path, [["synthetic", 1]], command.QUICK)
    bad = SMALL.partition("  ties:")[0] + "    broken: {use: LinearReward, objective: {use: good_or_bad}}\n"
    sheet = rows.read_rows(_written(tmp_path / "rows.yaml", bad))
    studies.run_studies(setup, sheet)
    found = results.read_results(setup, sheet)
    assert "broken" not in set(found.table.row) and found.seeds == {"choices": 2}
    assert found.missing[0].startswith("choices: broken is left out, because a cell failed: ValueError")


def test_every_row_has_the_same_number_of_trials(configs: Configs, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="each row must have 2 trials; coin, Bradley-Terry has 3"):
        rows.read_rows(_written(tmp_path / "rows.yaml", SMALL.strip()[:-1] + ", tune: {alpha: [1, 2, 3]}}"))


def test_the_rows_and_worlds_of_the_leaderboard_are_a_study(configs: Configs) -> None:
    sheet = rows.read_rows(configs.folder / "all_rows.yaml")
    worlds = studies.worlds_of(configs.folder)
    one_seed = rows.as_override(f"grid.{studies.SEEDS}", [[0, 0]])
    setup = studies.Setup(configs.folder, configs.folder, worlds, (one_seed,))
    assert len(sheet.of("choices")) >= 25 and len({world for world, _ in worlds}) >= 5
    assert len(read_config(configs.folder / "study.yaml").plain()["grid"][studies.SEEDS]) >= 10
    for section in sheet.sections:
        labels = [cell.labels for cell in studies.grid_of(setup, sheet, section).cells()]  # each model is built here
        assert len(labels) == len(rows.data_of(section, worlds)[1]) * len(sheet.of(section))


# The tests


def made_up(rng: np.random.Generator, **worlds: float) -> pd.DataFrame:
    """Return skills of two rows, a line per world and seed, whose difference has a given spread in each world."""
    lines = []
    for world, spread in worlds.items():
        for seed in range(8):
            skill = rng.normal()
            lines += [(world, 1.0, seed, "BT", skill), (world, 1.0, seed, "new", skill + spread * rng.normal())]
    return pd.DataFrame(lines, columns=["world", "beta", "seed", "row", "skill"])


def test_one_world_that_is_made_anew_is_a_paired_t_test(rng: np.random.Generator) -> None:
    part = made_up(rng, synthetic=1.0)
    found = paired.over_worlds(part, "new", "BT", overlap=1 / 3)
    values = part.pivot_table(index="seed", columns="row", values="skill")
    expected = stats.ttest_rel(values.new, values.BT)
    interval = expected.confidence_interval()
    np.testing.assert_allclose(
        [found["p_value"], found["low"], found["high"]], [expected.pvalue, interval.low, interval.high]
    )


def test_two_worlds_are_the_test_of_welch(rng: np.random.Generator) -> None:
    """The mean of two differences is 0 where the first equals the second with the other sign."""
    part = made_up(rng, synthetic=1.0, flipped=5.0)
    values = part.pivot_table(index="seed", columns=["world", "row"], values="skill")
    first, second = (values[world].new - values[world].BT for world in ("synthetic", "flipped"))
    expected = stats.ttest_ind(first, -second, equal_var=False)
    found = paired.over_worlds(part, "new", "BT", overlap=1 / 3)
    np.testing.assert_allclose(found["p_value"], expected.pvalue)
    np.testing.assert_allclose(found["difference"], (first.mean() + second.mean()) / 2)


def test_splits_that_overlap_have_wider_intervals(rng: np.random.Generator) -> None:
    part = made_up(rng, hh=1.0)
    plain, wide = (paired.over_worlds(part, "new", "BT", overlap=overlap) for overlap in (0.0, 1 / 3))
    ratio = (wide["high"] - wide["low"]) / (plain["high"] - plain["low"])
    assert ratio == pytest.approx(np.sqrt(1 + 8 / 3))  # Nadeau and Bengio


def test_all_tests_are_one_family(rng: np.random.Generator, configs: Configs) -> None:
    sheet = rows.read_rows(configs.folder / "rows.yaml")
    part = made_up(rng, hh=0.1, synthetic=0.1).replace({"BT": "Bradley-Terry"})
    twice = part[part.row == "Bradley-Terry"].assign(row="Bradley-Terry twice")
    table = pd.concat([part, twice]).assign(section="choices")
    table = pd.concat([table, part.assign(section="ties"), part.assign(section="coin")])
    tests = paired.compare_all(table, sheet, 1 / 3)
    assert len(tests) == 2 * 3 + 3  # two rows and one row, in two settings and over both; none of the coin
    np.testing.assert_allclose(tests.p_corrected, holm(tests.p_value))
    said = tests.assign(said=[paired.verdict(test) for test in tests.itertuples()])
    assert set(said[said.row == "Bradley-Terry twice"].said) == {"the same"}
    assert "the same" not in set(said[said.row == "new"].said)
    assert paired.same_rows(table[table.section == "choices"], "Bradley-Terry") == ["Bradley-Terry twice"]


@pytest.mark.parametrize(("k", "n", "expected"), [(4, 14, 1.25), (5, 30, 2.728 * np.sqrt(5 * 6 / (6 * 30)))])
def test_critical_differences_are_those_of_demsar(rng: np.random.Generator, k: int, n: int, expected: float) -> None:
    """The example of section 3.2.3, and table 5 (a)."""
    values = pd.DataFrame(rng.normal(size=(n, k)), columns=[f"row {j}" for j in range(k)])
    found = ranks.rank_rows(values)
    assert found.critical == pytest.approx(expected, abs=0.005)
    np.testing.assert_allclose(found.p_value, stats.friedmanchisquare(*values.to_numpy().T).pvalue)
    assert found.ranks.sum() == pytest.approx(k * (k + 1) / 2)


def test_groups_are_rows_that_no_pair_tells_apart() -> None:
    found = ranks.Ranks(pd.Series([1.0, 1.5, 3.0, 5.0], list("abcd")), 2.0, 0.01, 9)
    assert found.groups() == [["a", "b"], ["b", "c"], ["d"]]
    assert found._replace(critical=10.0).groups() == [list("abcd")]
    best = ranks.rank_rows(pd.DataFrame({"worse": [0.0, 1, 2], "best": [1.0, 2, 3], "worst": [-1.0, 0, 1]}))
    assert list(best.ranks.index) == ["best", "worse", "worst"] and list(best.ranks) == [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="without gaps"):
        ranks.rank_rows(pd.DataFrame({"a": [1.0, 2], "b": [1.0, np.nan], "c": [1.0, 2]}))


# The data and the measures


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_choices_follow_the_bradley_terry_model(configs: Configs, beta: float) -> None:
    for world, flipped in (("synthetic", 0.0), ("flipped", 0.3)):
        train, test = configs.worlds.judged(world, folder="", beta=beta, n_comparisons=4000)
        assert isinstance(test, rm.ResponseBank) and not set(test.prompt_ids) & set(train.groups)
        bank, _ = configs.worlds._banks(world, "", 0.25, 0)
        gold = beta * bank.item_rewards / np.std(bank.rewards)
        by_row = {row.tobytes(): reward for row, reward in zip(bank.items, gold, strict=True)}
        utility = np.array([by_row[row.tobytes()] for row in np.asarray(train.items)])[train.comparisons]
        right = expit(np.abs(utility[:, 0] - utility[:, 1]))
        expected = flipped + (1 - 2 * flipped) * right
        share = (utility[:, 0] > utility[:, 1]).mean()
        assert abs(share - expected.mean()) < 4 * np.sqrt(0.25 / len(train))


@pytest.mark.parametrize(
    "feedback",
    ["strengths", "ties", "votes", "crowd", "biased", "rankings", "ratings", "labels", "mixed", "aspects"],
)
def test_each_kind_of_judgement_has_its_columns(configs: Configs, feedback: str) -> None:
    train, _ = configs.worlds.judged("synthetic", folder="", beta=1.0, feedback=feedback, n_comparisons=600, seed=3)
    again, _ = configs.worlds.judged("synthetic", folder="", beta=1.0, feedback=feedback, n_comparisons=600, seed=3)
    assert train.fingerprint() == again.fingerprint()
    columns = {
        "strengths": {"margin"},
        "ties": {"tie"},
        "votes": {"probability"},
        "crowd": {"annotator", "beta"},
        "biased": set(),
        "rankings": {"choice", "n_alternatives"},
        "ratings": {"winner_rating", "loser_rating", "tie", "weight"},
        "labels": {"winner_label", "loser_label", "tie", "weight"},
        "mixed": {"source", "winner_rating", "loser_rating", "winner_label", "loser_label", "tie", "weight"},
        "aspects": {"winner_quality", "loser_quality"},
    }[feedback]
    assert set(train.columns) == columns | {"winner_class"}
    assert len(train) == (200 if feedback == "votes" else 600)
    if feedback == "votes":
        assert set(train.columns["probability"].round(2)) == {0.67, 1.0}
    if feedback in ("ratings", "labels"):
        name = feedback.removesuffix("s")
        assert (train.columns[f"winner_{name}"] >= train.columns[f"loser_{name}"]).all()


def test_judges_who_like_length_choose_long_responses(configs: Configs) -> None:
    longer = {
        feedback: configs.worlds.judged("synthetic", folder="", beta=1.0, feedback=feedback)[0].columns["winner_class"]
        for feedback in ("choices", "biased")
    }
    assert longer["biased"].mean() > longer["choices"].mean() + 0.1


def test_labels_of_a_coin_teach_nothing(configs: Configs) -> None:
    """The opposite labels are as likely, and give the opposite skill; so the mean is 0."""
    skills = []
    for seed in range(6):
        train, test = configs.coin.tossed("synthetic", folder="", beta=1.0, seed=seed)
        opposite = rm.Preferences(train.items, train.comparisons[:, ::-1], train.groups)
        for data in (train, opposite):
            scores = rm.LinearReward(alpha=0.01).fit(data).predict(test.items)[test.comparisons]
            skills.append(configs.measures.skill(*scores.T).mean())
    np.testing.assert_allclose(skills[::2], -np.array(skills[1::2]), atol=1e-3)
    assert np.abs(skills).max() > 0.01


def test_pairs_of_the_coin_are_won_by_the_higher_reward(configs: Configs) -> None:
    _, test = configs.coin.tossed("flipped", folder="", beta=2.0, seed=3)
    _, bank = configs.worlds.judged("flipped", folder="", beta=2.0, seed=3)
    winner, loser = bank.item_rewards[test.comparisons].T
    assert (winner > loser).all() and len(test) > 1000
    assert set(test.groups) == set(bank.prompt_ids)


def test_skill_is_the_same_measure_for_banks_and_for_comparisons(configs: Configs, rng: np.random.Generator) -> None:
    pairs = rng.normal(size=(50, 2))
    gold = np.where(rng.random(50)[:, None] < 0.5, [0.0, 1.0], [1.0, 0.0])
    winner = np.where(gold[:, 0] > gold[:, 1], pairs[:, 0], pairs[:, 1])
    loser = pairs.sum(axis=1) - winner
    expected = rm.normalized_gain(pairs, gold, n=2).mean()
    assert configs.measures.skill(winner, loser).mean() == pytest.approx(expected)
    assert configs.measures.skill(winner, loser, np.ones(50, dtype=bool)).mean() == 0


def test_the_calibration_error_is_that_of_the_library(configs: Configs, rng: np.random.Generator) -> None:
    tie = rng.random(300) < 0.2
    data = rm.Preferences(np.eye(600, dtype=np.float32), np.arange(600).reshape(300, 2), np.arange(600) // 2, tie=tie)
    scores = rng.normal(size=600)
    expected = rm.expected_calibration_error(rm.calibration_table(scores, data)).iloc[0]
    winner, loser = scores[data.comparisons].T
    assert configs.measures.calibration_error(winner, loser, tie).mean() == pytest.approx(expected)


def test_scores_of_the_annotator_are_calibrated(configs: Configs, rng: np.random.Generator) -> None:
    rewards = rng.normal(size=(40, 5))
    rewards[0, 3:] = np.nan
    scores = np.nan_to_num(rewards)
    error = configs.measures.calibration_error
    np.testing.assert_allclose(np.nanmean(error(scores, rewards)), 0, atol=1e-12)
    assert np.nanmean(error(3 * scores, rewards)) > 0.1
    by_hand: list[Any] = [abs(expit(abs(s)) - 0.5) for s in (0.0, 1.0)]
    assert error(np.array([[0.0, 1.0]]), np.array([[2.0, 2.0]])).tolist() == pytest.approx(by_hand[1:])


def test_what_has_no_row_is_named(configs: Configs) -> None:
    left = checks.without_a_row(rows.read_rows(configs.folder / "rows.yaml"))
    assert {"hinge", "MLPReward"} <= set(left)
    assert not {"bradley_terry", "thurstone", "LinearReward", "TunedReward"} & set(left)
