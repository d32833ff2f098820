"""The blocks of docs/leaderboard.md: every number in it comes from here."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measure import machine
from findings.page import Block, as_markdown, difference, number
from leaderboard.checks import checks
from leaderboard.figure import draw_leaderboard
from leaderboard.paired import compare_all, over_all, same_rows, verdict
from leaderboard.ranks import Ranks, rank_rows
from leaderboard.results import Results
from leaderboard.rows import MAIN, Sheet
from leaderboard.settings import world_lines, wrong_choices
from leaderboard.studies import Setup, share_of_test
from leaderboard.words import judgements, listed, setting_name, shown_p

MOST_NAMED = 6  # rows of one kind in a cell of a table


def blocks(setup: Setup, sheet: Sheet, results: Results, command: str) -> dict[str, Block]:
    """Return every block of the page, and `evidence`, which README.md and docs/objectives.md show.

    Raises:
        SystemExit: the section of choices has fewer than two complete seeds.
    """
    few = [section for section, count in results.seeds.items() if count < 2]
    if MAIN in few:
        raise SystemExit("\n".join(["the leaderboard needs two complete seeds of the choices", *results.missing]))
    table = results.table[~results.table.section.isin(few)]
    share = share_of_test(setup, sheet)
    tests = compare_all(table, sheet, share / (1 - share))
    main, pooled = table[table.section == MAIN], over_all(tests, MAIN)
    same = same_rows(main, sheet.reference(MAIN))
    ranks = rank_rows(_by_setting(main[~main.row.isin(same)]))
    return {
        "missing": _missing(results, few),
        "summary": _summary(tests, pooled, ranks, same),
        "table": as_markdown(_main_lines(main, pooled, ranks, sheet.reference(MAIN))),
        "ranks": _ranks(ranks, sheet.reference(MAIN)),
        "figure": draw_leaderboard(ranks, pooled, sheet.reference(MAIN)),
        "judgements": as_markdown(_judgement_lines(table, tests)),
        "which": as_markdown(_which_lines(tests)),
        "evidence": as_markdown(_evidence_lines(tests)),
        "settings": as_markdown([wrong_choices(setup, sheet), *_setting_lines(tests, main, sheet.reference(MAIN))]),
        "worlds": as_markdown(world_lines(setup)),
        "run": _run(setup, sheet, results, command),
        "checks": "\n".join(f"- {line}" for line in checks(table, same, sheet)),
    }


def _missing(results: Results, few: list[str]) -> str:
    lines = [*results.missing]
    if few:
        lines.append(f"Sections with fewer than two complete seeds are not on this page: {listed(few)}.")
    if not lines:
        return "Every cell of every section is done."
    return "**This leaderboard is not complete.**\n\n" + "\n".join(f"- {line}" for line in lines)


def _summary(tests: pd.DataFrame, pooled: pd.DataFrame, ranks: Ranks, same: list[str]) -> str:
    said = {str(test.row): verdict(test) for test in pooled.itertuples()}
    better, worse, alike = (
        [name for name, word in said.items() if word == which] for which in ("better", "worse", "not told apart")
    )
    half = float((pooled.high - pooled.low).median() / 2)
    return (
        f"Against Bradley-Terry, in the mean over all worlds, {len(better)} of {len(said)} rows are surely better "
        f"({listed(better)}) and {len(worse)} are surely worse ({listed(worse)}). {len(alike)} are not told apart from "
        f"it, and {len(same)} have the same skill in every cell ({listed(same)}). The page has "
        f"{int(tests.p_value.notna().sum())} tests, and one correction (Holm) for all of them. The best average rank "
        f"has {ranks.ranks.index[0]}. The median interval reaches {half:.3f} to both sides, before the correction: "
        "smaller differences cannot be seen here."
    )


def _by_setting(part: pd.DataFrame) -> pd.DataFrame:
    """Return the mean skill over seeds, a line per setting and a column per row."""
    setting = [setting_name(str(world), beta) for world, beta in zip(part.world, part.beta, strict=True)]
    return part.assign(setting=setting).pivot_table(index="setting", columns="row", values="skill", sort=False)


def _main_lines(main: pd.DataFrame, pooled: pd.DataFrame, ranks: Ranks, reference: str) -> list[dict[str, str]]:
    """Return the leaderboard by average rank; rows that are the reference itself stand with it."""
    place = {name: float(ranks.ranks.get(name, ranks.ranks[reference])) for name in main.row.unique()}
    order = sorted(place, key=lambda name: (place[name], name != reference))
    ranked = {name: {"average rank": f"{ranks.ranks[name]:.1f}" if name in ranks.ranks else ""} for name in order}
    lines = _lines(main, pooled)
    return [{"row": name, **ranked[name], **lines[name]} for name in order]


def _lines(part: pd.DataFrame, tests: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return the measures and the test of each row of a section."""
    worlds = part.groupby(["row", "world"], sort=False)[["skill", "calibration"]].mean()
    means, seconds = worlds.groupby("row", sort=False).mean(), part.groupby("row", sort=False).seconds.median()
    found = {str(test.row): test for test in tests.itertuples()}
    return {
        str(name): {
            "skill": f"{means.skill[name]:.3f}",
            "difference (95% interval)": difference(found[name]) if name in found else "",
            "verdict": verdict(found[name]) if name in found else "reference",
            "calibration error": f"{means.calibration[name]:.3f}",
            "seconds": f"{seconds[name]:.2g}",
        }
        for name in means.index
    }


def _ranks(ranks: Ranks, reference: str) -> str:
    place = float(ranks.ranks[reference])
    far = [str(name) for name, rank in ranks.ranks.items() if abs(rank - place) >= ranks.critical]
    groups = "; ".join(f"{group[0]} to {group[-1]} ({len(group)} rows)" for group in ranks.groups())
    return (
        f"Friedman's test over {ranks.n_settings} settings: {shown_p(ranks.p_value)}. Two of the {len(ranks.ranks)} "
        f"ranked rows differ where their average ranks are {ranks.critical:.1f} apart (Nemenyi, 5%). From {reference} "
        f"differ: {listed(far)}. No row of a group is told apart from another one of it; from the best rank on, the "
        f"groups are: {groups}."
    )


def _judgement_lines(table: pd.DataFrame, tests: pd.DataFrame) -> list[dict[str, str]]:
    return [
        {"judgements": judgements(section), "row": name, **line}
        for section in _others(tests)
        for name, line in _lines(table[table.section == section], over_all(tests, section)).items()
    ]


def _others(tests: pd.DataFrame) -> list[str]:
    """Return the sections with other judgements than choices, in the order of rows.yaml."""
    return [str(section) for section in tests.section.unique() if section != MAIN]


def _which_lines(tests: pd.DataFrame) -> list[dict[str, str]]:
    """Return the evidence for each kind of data: the choices of each setting, and each of the other judgements."""
    single = tests[(tests.section == MAIN) & tests.world.notna()]
    kinds = [
        (f"{judgements(MAIN)}, as in {setting_name(str(world), beta)}", part)
        for (world, beta), part in single.assign(beta=single.beta.fillna(-1)).groupby(["world", "beta"], sort=False)
    ]
    return [{"your data": words, **_evidence(part)} for words, part in kinds] + _evidence_lines(tests)[1:]


def _evidence_lines(tests: pd.DataFrame) -> list[dict[str, str]]:
    """Return the evidence for each kind of judgement, in the mean over its worlds."""
    sections = [MAIN, *_others(tests)]
    return [{"your data": judgements(section), **_evidence(over_all(tests, section))} for section in sections]


def _evidence(part: pd.DataFrame) -> dict[str, str]:
    rows: list[tuple[Any, str]] = [
        (test, verdict(test)) for test in part.sort_values("difference", ascending=False).itertuples()
    ]
    better, worse, alike = (
        [test for test, said in rows if said in words]
        for words in (("better",), ("worse",), ("not told apart", "the same"))
    )
    return {
        "surely better than Bradley-Terry": listed(f"{test.row} {difference(test)}" for test in better),
        "surely worse": listed(f"{test.row} {difference(test)}" for test in worse),
        "not told apart": f"the other {len(alike)} rows"
        if len(alike) > MOST_NAMED
        else listed(f"{test.row} {number(test.difference)}" for test in alike),
    }


def _setting_lines(tests: pd.DataFrame, main: pd.DataFrame, reference: str) -> list[dict[str, str]]:
    """Return the skill of the reference in each setting, and the differences of each other row from it."""
    skill = main[main.row == reference].groupby(["world", "beta"], sort=False, dropna=False).skill.mean()
    first = {setting_name(world, beta): f"{value:.3f}" for (world, beta), value in _items(skill)}
    lines = [{"row": f"{reference}: skill", **first}]
    for name, part in tests[(tests.section == MAIN) & tests.world.notna()].groupby("row", sort=False):
        found = {setting_name(str(test.world), test.beta): _without_interval(test) for test in part.itertuples()}
        lines.append({"row": str(name), **found})
    return lines


def _items(values: "pd.Series[float]") -> Iterable[tuple[Any, float]]:
    return zip(values.index, values, strict=True)


def _without_interval(test: Any) -> str:
    return difference(test) if verdict(test) == "the same" else difference(test._replace(low=np.nan, high=np.nan))


def _run(setup: Setup, sheet: Sheet, results: Results, command: str) -> str:
    seeds = max(results.seeds.values())
    return (
        f"`{command}`\n\n{machine()}; one thread per cell; {results.core_hours:.1f} hours for {results.n_done} cells, "
        f"the clock times of all cells together. {len(sheet.rows)} rows in {len(sheet.sections)} sections, "
        f"{len(setup.worlds)} settings and {seeds} complete seeds; {sheet.trials} trials on {sheet.folds} folds of the "
        "training prompts for each row."
    )
