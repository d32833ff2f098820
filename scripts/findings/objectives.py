"""Claim 1: both objectives under the published protocol, the corrected one, and with one flaw off at a time."""

from typing import Any

import pandas as pd

import rmspace as rm
from findings.contrasts import (
    REAL,
    at_largest_n,
    by_overlap,
    compared,
    correct,
    draw,
    pooled,
    primary_lines,
)
from findings.page import Block, as_markdown, difference, number

PROTOCOLS = ("published", "corrected")


def protocol(table: pd.DataFrame) -> dict[str, Block]:
    """Claim 1: four columns, each flaw alone, and the library's own models."""
    rows = _with_protocol(at_largest_n(table.drop(columns="models")))
    four = rows[rows.protocol.isin(PROTOCOLS)]
    objectives, changes = correct([_objectives(four), _changes(rows)])
    first, leads = correct([pooled(_by_objective(four), by=["protocol"], against="BT"), _pooled_leads(four)])
    real = changes[changes.data == REAL]
    return {
        "claim1-primary": as_markdown(primary_lines(first, by=["protocol"])),
        "claim1-lead": as_markdown(primary_lines(leads, axis="protocol")),
        "claim1-columns": as_markdown(_four_columns(four, objectives)),
        **by_overlap("claim1-figure", _plain(four), rm.study_bars, x="n_pairs", panel="data"),
        "claim1-corrected": as_markdown(
            {
                "bank": row.data,
                "pairs": row.n_pairs,
                "objective": row.objective,
                "corrected - published": difference(row),
            }
            for row in changes[changes.protocol == "corrected"].itertuples()
        ),
        "claim1-flaws": as_markdown(_flaw_lines(real)),
        "claim1-flaws-figure": draw(_flaw_columns(real), objectives, changes.drop(real.index), hue="column"),
        **_library(rows),
    }


def perfect(table: pd.DataFrame) -> dict[str, Block]:
    """The first look, over splits: classification against Bradley-Terry for each kind of model, no wrong labels."""
    rows = at_largest_n(table)
    couples = [(f"BT{kind}", f"CLF{kind}") for kind in ("-MLP", "-MLP batches of 128")]
    couples.append(("Linear-BT", "Linear-CLF"))
    found = correct([compared(rows[rows.model.isin(couple)], against=couple[0]) for couple in couples])
    means = rows.groupby("model", sort=False).value.mean().to_dict()
    return {
        "perfect-table": as_markdown(
            {
                "models": f"{row.model} and {row.other}",
                "gains": f"{means[row.model]:.3f} and {means[row.other]:.3f}",
                "CLF - BT": difference(row),
            }
            for part in found
            for row in part.itertuples()
        )
    }


def _with_protocol(rows: pd.DataFrame) -> pd.DataFrame:
    """Split a model's name into the objective and the protocol: "BT whole epochs" is "BT" and "whole epochs"."""
    words = rows.model.str.split(" ", n=1)
    return rows.assign(objective=words.str[0], protocol=words.str[1])


def _plain(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop(columns=["objective", "protocol"])


def _by_objective(rows: pd.DataFrame) -> pd.DataFrame:
    """Let the objective be the model, so that the protocol is an axis."""
    return rows.assign(model=rows.objective).drop(columns="objective")


def _objectives(four: pd.DataFrame) -> Any:
    """Compare CLF with BT in each setting, under each protocol."""
    return compared(_by_objective(four), against="BT")


def _changes(rows: pd.DataFrame) -> Any:
    """Compare each change of the protocol with the published one, for each objective, in each setting."""
    own = rows[rows.protocol.notna() & (rows.protocol != "MLPReward")]
    found = compared(_by_objective(own), axis="protocol", against="published")
    return found.rename(columns={"model": "objective"})


def _pooled_leads(four: pd.DataFrame) -> Any:
    """Test by how much the protocol changes the lead of classification: a difference of differences."""
    keys = ["data", "n_pairs", "protocol", "seed"]
    sides = [four[four.objective == name].set_index(keys).value for name in ("CLF", "BT")]
    leads = (sides[0] - sides[1]).dropna().reset_index()
    return pooled(leads, axis="protocol", against="corrected")


def _four_columns(four: pd.DataFrame, objectives: pd.DataFrame) -> list[dict[str, str]]:
    means = four.groupby(["data", "n_pairs", "model"], sort=False).value.mean().to_dict()
    names = [f"{objective} {protocol}" for protocol in PROTOCOLS for objective in ("BT", "CLF")]
    lines = []
    for (data, n_pairs), part in objectives.groupby(["data", "n_pairs"], sort=False):
        gains = {name: f"{means[data, n_pairs, name]:.3f}" for name in names}
        found = {f"CLF - BT, {row.protocol}": difference(row) for row in part.itertuples()}
        lines.append({"bank": str(data), "pairs": str(n_pairs), **gains, **found})
    return lines


def _flaw_columns(real: pd.DataFrame) -> pd.DataFrame:
    """Return the changes on the real bank as `study_differences` reads them; a column is an objective and a size."""
    column = real.objective + real.n_pairs.map(lambda n: f", {n:,} pairs")
    shown = real.assign(column=column, model=real.protocol)
    return shown[["column", "model", "other", "difference", "low", "high", "seeds", "p_value", "p_corrected"]]


def _flaw_lines(real: pd.DataFrame) -> list[dict[str, str]]:
    return [
        {"switched off alone": str(name), **{str(row.column): difference(row) for row in part.itertuples()}}
        for name, part in _flaw_columns(real).groupby("model", sort=False)
    ]


def _library(rows: pd.DataFrame) -> dict[str, Block]:
    """Compare the corrected protocol with the library's own models, and list the gain of every model."""
    fewest = rows.n_pairs[rows.data == REAL].min()
    real = _plain(rows[(rows.data == REAL) & (rows.n_pairs == fewest)])
    same = [
        compared(real[real.model.isin([f"{name} corrected", f"{name} MLPReward"])], against=f"{name} corrected")
        for name in ("BT", "CLF")
    ]
    every = real.groupby("model", sort=False).value.agg(["mean", "std"])
    return {
        "claim1-agreement": as_markdown(
            {
                "library - corrected": f"{row.model} - {row.other}",
                "difference": f"{number(row.difference)} ({number(row.low)} to {number(row.high)})",
            }
            for part in same
            for row in part.itertuples()
        ),
        "claim1-models": as_markdown(
            {"model": name, "normalised gain": f"{row['mean']:.3f}", "s.d. over seeds": f"{row['std']:.3f}"}
            for name, row in every.iterrows()
        ),
    }
