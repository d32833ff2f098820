"""Claim 1: both objectives under the published protocol, the mended one, and with one trap off at a time."""

import pandas as pd

import rmspace as rm
from claims.contrasts import METRIC, REAL, at_largest_n, by_overlap, compared, pooled
from claims.page import Block, as_markdown, difference, number
from rmspace.results.compare import holm

FOUR = ("BT published", "CLF published", "BT mended", "CLF mended")


def protocol(table: pd.DataFrame) -> dict[str, Block]:
    """Claim 1: four columns, each trap alone, and what the library's own models give."""
    rows = at_largest_n(table.drop(columns="models"))
    four = rows[rows.model.isin(FOUR)]
    means = four.groupby(["data", "n_pairs", "model"], sort=False).value.mean()
    renamed = four.assign(protocol=four.model.str.split(" ").str[1], model=four.model.str.split(" ").str[0])
    objectives = compared(renamed, against="BT")
    protocols = compared(renamed, axis="protocol", against="published")
    keys = ["data", "n_pairs", "protocol", "seed"]
    sides = [renamed[renamed.model == name].set_index(keys).value for name in ("CLF", "BT")]
    leads = (sides[0] - sides[1]).dropna().reset_index().assign(model="CLF - BT")
    lines = []
    for (data, n_pairs), part in objectives.groupby(["data", "n_pairs"], sort=False):
        gains = {name: f"{means[data, n_pairs, name]:.3f}" for name in FOUR}
        found = {f"CLF - BT, {row.protocol}": difference(row) for row in part.itertuples()}
        lines.append({"bank": data, "pairs": n_pairs, **gains, **found})
    fewest = rows.n_pairs[rows.data == REAL].min()  # where each trap is off alone
    real = rows[(rows.data == REAL) & (rows.n_pairs == fewest)]
    alone = _traps(rows[rows.data == REAL])
    same = pd.concat(
        compared(real[real.model.isin([f"{name} mended", f"{name} MLPReward"])], against=f"{name} mended")
        for name in ("BT", "CLF")
    )
    others = real.groupby("model", sort=False).value.agg(["mean", "std"])
    return {
        "claim1-primary": as_markdown(pooled(renamed, by=["protocol"], against="BT")),
        "claim1-lead": as_markdown(pooled(leads, axis="protocol", against="mended")),
        "claim1-columns": as_markdown(lines),
        **by_overlap("claim1-figure", four, rm.study_bars, x="n_pairs", panel="data"),
        "claim1-traps": as_markdown(
            {
                "switched off alone": name,
                **{row.column: difference(row) for row in part.itertuples()},
            }
            for name, part in alone.groupby("model", sort=False)
        ),
        "claim1-traps-figure": rm.study_differences(alone, hue="column", metric=METRIC),
        "claim1-mending": as_markdown(
            {"bank": row.data, "pairs": row.n_pairs, "objective": row.model, "mended - published": difference(row)}
            for row in protocols.itertuples()
        ),
        "claim1-agreement": as_markdown(
            {
                "library - mended": f"{row.model} - {row.other}",
                "difference": f"{number(row.difference)} ({number(row.low)} to {number(row.high)})",
            }
            for row in same.itertuples()
        ),
        "claim1-models": as_markdown(
            {"model": name, "normalised gain": f"{row['mean']:.3f}", "s.d. over seeds": f"{row['std']:.3f}"}
            for name, row in others.iterrows()
        ),
    }


def perfect(table: pd.DataFrame) -> dict[str, Block]:
    """The first look, over splits: classification against Bradley-Terry for each kind of model, no wrong labels."""
    rows = at_largest_n(table)
    found = []
    for name in ("-MLP", "-MLP batches of 128"):
        found.append(compared(rows[rows.model.isin([f"BT{name}", f"CLF{name}"])], against=f"BT{name}"))
    found.append(compared(rows[rows.model.str.startswith("Linear")], against="Linear-BT"))
    every = pd.concat(found, ignore_index=True)
    every = every.assign(p_corrected=holm(every.p_value.to_numpy(dtype=float)))
    means = rows.groupby("model", sort=False).value.mean()
    return {
        "perfect-table": as_markdown(
            {
                "models": f"{row.model} and {row.other}",
                "gains": f"{means[row.model]:.3f} and {means[row.other]:.3f}",
                "CLF - BT": difference(row),
            }
            for row in every.itertuples()
        )
    }


def _traps(real: pd.DataFrame) -> pd.DataFrame:
    """Compare each column of an objective with that objective's published one; correct over all of them."""
    found = []
    for (n_pairs, objective), part in real.groupby(["n_pairs", real.model.str.split(" ").str[0]], sort=False):
        published = f"{objective} published"
        if published in set(part.model):
            against = compared(part[part.model != f"{objective} MLPReward"], against=published)
            names = against.model.str.removeprefix(f"{objective} ")
            column = f"{objective}, {n_pairs:,} pairs"
            found.append(against.drop(columns=["data", "n_pairs"]).assign(model=names, column=column))
    alone = pd.concat(found, ignore_index=True).assign(other="published")
    alone = alone.assign(p_corrected=holm(alone.p_value.to_numpy(dtype=float)))
    return alone[["column", *(name for name in alone.columns if name != "column")]]
