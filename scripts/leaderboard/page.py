"""The blocks of docs/leaderboard.md: every number in it comes from here."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measure import machine
from findings.page import Block, as_markdown, difference
from leaderboard.figure import draw_leaderboard
from leaderboard.paired import compare_all, verdict
from leaderboard.ranks import Ranks, rank_rows
from leaderboard.results import BETA, ROW, SEED, WORLD, Results
from leaderboard.rows import COIN, Sheet
from leaderboard.studies import Cost, Setup, share_of_test

MAIN = "choices"
DATA = {
    "choices": "who won",
    "strengths": "who won, and by how much",
    "ties": "who won, or neither",
    "votes": "three votes on each of a third of the pairs",
    "crowd": "who won, and who of six judged",
    "biased": "who won, by judges who like length",
    "rankings": "the order of four responses",
    "ratings": "a rating of each response",
    "labels": "good or bad, of each response",
    "people": "PandaLM: three people, who may tie",
}
NAMES = {
    "alpacaeval": "AlpacaEval",
    "gsm8k": "GSM8K",
    "synthetic": "synthetic",
    "flipped": "synthetic, 30% flipped",
    "hh": "HH harmless",
    "pandalm": "PandaLM",
}


def blocks(setup: Setup, sheet: Sheet, results: Results, command: str) -> dict[str, Block]:
    """Return every block of the page."""
    ready = {section for section, count in results.seeds.items() if count > 1}
    table = results.table[results.table.section.isin(ready)]
    words = {"run": _run(setup, sheet, results, command), "missing": _missing(results, ready)}
    if MAIN not in ready:
        raise SystemExit(
            "\n".join(["the leaderboard needs two complete seeds of the section choices", *results.missing])
        )
    share = share_of_test(setup.configs)
    tests = compare_all(table, sheet, share / (1 - share))
    main, pooled = table[table.section == MAIN], tests[tests.section.eq(MAIN) & tests[WORLD].isna()]
    same = list(pooled[ROW][[verdict(test) == "the same" for test in pooled.itertuples()]])
    ranks = rank_rows(_by_setting(main[~main[ROW].isin(same)]))
    return {
        **words,
        "summary": _summary(tests, pooled, ranks, same),
        "table": as_markdown(_lines(main, pooled, ranks, sheet.reference(MAIN))),
        "ranks": _ranks(ranks, sheet.reference(MAIN)),
        "figure": draw_leaderboard(ranks, pooled, sheet.reference(MAIN)),
        "feedback": as_markdown(_feedback_lines(table, tests, sheet)),
        "settings": as_markdown(_setting_lines(tests, main)),
        "which": as_markdown(_which_lines(tests, sheet)),
        "checks": "\n".join(f"- {line}" for line in _checks(table, same, sheet)),
    }


def cost_in_words(found: Cost) -> str:
    """Return what --dry-run prints."""
    slow = found.seconds.sort_values(ascending=False).head(5)
    return "\n".join(
        [
            f"{found.cells} cells, {found.fits} fits, about {found.core_hours:.2g} core-hours and {found.megabytes:.0f} MB",
            "the slowest rows, in seconds per cell: "
            + ", ".join(f"{name} {value:.2g}" for name, value in slow.items()),
        ]
    )


def _run(setup: Setup, sheet: Sheet, results: Results, command: str) -> str:
    seeds = max(results.seeds.values())
    return (
        f"`{command}`\n\n{machine()}; one thread per cell; {results.core_hours:.1f} core-hours for {results.n_done} "
        f"cells. {len(sheet.rows)} rows in {len(sheet.sections)} sections, {len(setup.worlds)} settings, {seeds} seeds; "
        f"{sheet.trials} trials on {sheet.folds} folds of the training prompts for each row."
    )


def _missing(results: Results, ready: set[str]) -> str:
    lines = [*results.missing]
    lines += [f"{name}: too few seeds, so it is not on this page" for name in results.seeds if name not in ready]
    if not lines:
        return "Every cell of every section is done."
    return "**This leaderboard is not complete.**\n\n" + "\n".join(f"- {line}" for line in lines)


def _by_setting(part: pd.DataFrame) -> pd.DataFrame:
    """Return the mean skill over seeds, a line per setting and a column per row."""
    keys = part[WORLD] + " " + part[BETA].astype(str)
    return part.assign(setting=keys).pivot_table(index="setting", columns=ROW, values="skill", sort=False)


def _summary(tests: pd.DataFrame, pooled: pd.DataFrame, ranks: Ranks, same: list[str]) -> str:
    said = {row[ROW]: verdict(test) for (_, row), test in zip(pooled.iterrows(), pooled.itertuples(), strict=True)}
    better, worse = ([name for name, word in said.items() if word == which] for which in ("better", "worse"))
    open_ = len(said) - len(better) - len(worse) - len(same)
    return (
        f"Against Bradley-Terry, over all worlds: surely better {_listed(better)}; surely worse {_listed(worse)}; "
        f"{open_} rows cannot be told apart from it, and {len(same)} have the same scores ({_listed(same)}). The page "
        f"has {int(tests.p_value.notna().sum())} tests, and one correction for all of them."
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _lines(main: pd.DataFrame, pooled: pd.DataFrame, ranks: Ranks, reference: str) -> list[dict[str, str]]:
    means = _worlds_alike(main)
    seconds = main.groupby(ROW, sort=False).seconds.median()
    tests = {getattr(test, ROW): test for test in pooled.itertuples()}
    order = sorted(means.index, key=lambda name: (ranks.ranks.get(name, ranks.ranks[reference]), name != reference))
    return [
        {
            "row": name,
            "average rank": f"{ranks.ranks[name]:.1f}" if name in ranks.ranks else "",
            "skill": f"{means.skill[name]:.3f}",
            "difference (95% interval)": difference(tests[name]) if name in tests else "",
            "verdict": verdict(tests[name]) if name in tests else "reference",
            "calibration error": f"{means.calibration[name]:.3f}",
            "seconds": f"{seconds[name]:.2g}",
        }
        for name in order
    ]


def _worlds_alike(part: pd.DataFrame) -> pd.DataFrame:
    """Return mean skill and calibration error of each row, in which each world counts alike."""
    by_world = part.groupby([ROW, WORLD], sort=False)[["skill", "calibration"]].mean()
    return by_world.groupby(ROW, sort=False).mean()


def _ranks(ranks: Ranks, reference: str) -> str:
    place = float(ranks.ranks[reference])
    far = [name for name, rank in ranks.ranks.items() if abs(rank - place) >= ranks.critical]
    groups = "; ".join(f"{group[0]} to {group[-1]} ({len(group)} rows)" for group in ranks.groups())
    return (
        f"Friedman's test over {ranks.n_settings} settings: p = {ranks.p_value:.1e}. Two of the {len(ranks.ranks)} rows "
        f"differ where their average ranks are {ranks.critical:.1f} apart (Nemenyi, 5%). From {reference} differ: "
        f"{_listed(far)}. Groups within which no row is told apart from another, from the best rank on: {groups}."
    )


def _feedback_lines(table: pd.DataFrame, tests: pd.DataFrame, sheet: Sheet) -> list[dict[str, str]]:
    lines = []
    for section in [name for name in DATA if name != MAIN and name in set(table.section)]:
        part = table[table.section == section]
        means, seconds = _worlds_alike(part), part.groupby(ROW, sort=False).seconds.median()
        found = {getattr(test, ROW): test for test in _over_all(tests, section).itertuples()}
        for name in means.index:
            lines.append(
                {
                    "judgements": DATA[section],
                    "row": name,
                    "skill": f"{means.skill[name]:.3f}",
                    "difference (95% interval)": difference(found[name]) if name in found else "",
                    "verdict": verdict(found[name]) if name in found else "reference",
                    "calibration error": f"{means.calibration[name]:.3f}",
                    "seconds": f"{seconds[name]:.2g}",
                }
            )
    return lines


def _over_all(tests: pd.DataFrame, section: str) -> pd.DataFrame:
    """Return the tests over all settings of a section; those of its one setting where it has no more."""
    part = tests[tests.section == section]
    over = part[part[WORLD].isna()]
    return part if over.empty else over


def _setting_lines(tests: pd.DataFrame, main: pd.DataFrame) -> list[dict[str, str]]:
    part = tests[(tests.section == MAIN) & tests[WORLD].notna()]
    reference = main[~main[ROW].isin(part[ROW])].groupby([WORLD, BETA], sort=False, dropna=False).skill.mean()
    first = {"row": "skill of the reference"} | {_setting(*key): f"{value:.3f}" for key, value in reference.items()}
    lines = [
        {"row": str(name)} | {_setting(t._2, t._3): _short(t) for t in some.itertuples()}
        for name, some in part.groupby(ROW, sort=False)
    ]
    return [first, *lines]


def _setting(world: str, beta: float) -> str:
    return NAMES.get(world, world) + ("" if np.isnan(beta) else f", beta {beta:g}")


def _short(test: Any) -> str:
    """Return a difference without its interval."""
    return difference(
        pd.Series({**test._asdict(), "low": np.nan, "high": np.nan}) if verdict(test) != "the same" else test
    )


def _which_lines(tests: pd.DataFrame, sheet: Sheet) -> list[dict[str, str]]:
    lines = []
    single = tests[(tests.section == MAIN) & tests[WORLD].notna()]
    for (world, beta), part in single.groupby([WORLD, BETA], sort=False, dropna=False):
        lines.append({"your data": f"who won, as in {_setting(str(world), beta)}", **_evidence(part)})
    for section in [name for name in DATA if name != MAIN and name in set(tests.section)]:
        lines.append({"your data": DATA[section], **_evidence(_over_all(tests, section))})
    return lines


def _evidence(part: pd.DataFrame) -> dict[str, str]:
    rows = [(str(getattr(test, ROW)), test, verdict(test)) for test in part.itertuples()]
    rows.sort(key=lambda each: -each[1].difference)
    sides = {
        word: "; ".join(f"{name} {difference(test)}" for name, test, said in rows if said == word) or "none"
        for word in ("better", "worse")
    }
    rest = sum(said in ("not told apart", "the same") for _, _, said in rows)
    return {
        "surely better than Bradley-Terry": sides["better"],
        "surely worse": sides["worse"],
        "not told apart": f"{rest} of {len(rows)}",
    }


def _checks(table: pd.DataFrame, same: list[str], sheet: Sheet) -> list[str]:
    lines = [f"Rows that are Bradley-Terry under another name have the same skill in every cell: {_listed(same)}."]
    coin = table[table.section == COIN]
    if not coin.empty:
        by_seed = coin.groupby([WORLD, SEED], sort=False).skill.mean().groupby(WORLD, sort=False)
        found = ", ".join(f"{NAMES.get(str(w), w)} {v.mean():+.3f} (s.d. {v.std():.3f})" for w, v in by_seed)
        lines.append(f"Where a coin decides who won, the skill of {sheet.reference(COIN)} is about 0: {found}.")
    return lines
