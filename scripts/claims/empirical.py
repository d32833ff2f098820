"""Claims 1 to 5: what the studies in configs/findings say, as tables and figures."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

import rmspace as rm
from claims.page import Block, as_markdown, difference, number, tally
from rmspace.study.compare import holm

METRIC = "normalized_gain"
REAL, OVERLAP = "AlpacaEval", 197 / 600  # test prompts for each training prompt, in each random split
FOUR = ("BT published", "CLF published", "BT mended", "CLF mended")


def compared(table: pd.DataFrame, *, real: Callable[[str], bool] = lambda name: name == REAL, **options: Any) -> Any:
    """Compare in each bank, real ones with overlapping splits; correct over all of them together."""
    parts = [
        rm.compare_models(part, metric=METRIC, overlap=OVERLAP if real(str(name)) else 0.0, **options)
        for name, part in table.groupby("data", sort=False)
    ]
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(p_corrected=holm(rows.p_value.to_numpy(dtype=float)))


def at_largest_n(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[table.metric == METRIC]
    return rows[rows.n == rows.n.max()]


def pooled(rows: pd.DataFrame, *, by: Sequence[str] = (), axis: str = "model", against: str) -> list[dict[str, str]]:
    """Test once for each kind of bank: values are averaged over a seed's settings first, so that few tests are made."""
    kinds = rows.assign(data=np.where(rows.data == REAL, REAL, "worlds"), model=rows.model if axis == "model" else "")
    means = kinds.groupby(["data", *by, axis, "model", "seed"] if axis != "model" else ["data", *by, "model", "seed"])
    table = means.value.mean().reset_index().assign(metric=METRIC, n=1, low=0.0, high=0.0)
    table = table.assign(label_error=0.0, mean_abs_gap=0.0)
    found = compared(table.sort_values(["seed"], kind="stable"), axis=axis, against=against)
    return [
        {
            "banks": row["data"],
            **{name.rpartition(".")[2]: row[name] for name in by},
            "difference": f"{row[axis]} - {row['other']}",
            "mean (95% interval)": difference(row),
            "corrected p": f"{row['p_corrected']:.4f}",
        }
        for _, row in found.iterrows()
    ]


def by_overlap(name: str, rows: pd.DataFrame, draw: Callable[..., Figure], **options: Any) -> dict[str, Block]:
    """Draw the real bank, whose seeds are overlapping splits, and the worlds apart: both intervals are right then."""
    real = rows.data == REAL
    figures: dict[str, Block] = {f"{name}-real": draw(rows[real], metric=METRIC, overlap=OVERLAP, **options)}
    if not real.all():  # a quick look at claim 1 has the real bank alone
        figures[f"{name}-worlds"] = draw(rows[~real], metric=METRIC, **options)
    return figures


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
    few = rows.n_pairs.min() if (rows.data != REAL).all() else rows[rows.data == REAL].n_pairs.min()
    real = rows[(rows.data == REAL) & (rows.n_pairs == few)]
    traps = []
    for objective in ("BT", "CLF"):
        part = real[real.model.str.startswith(f"{objective} ") & ~real.model.str.contains("MLPReward")]
        found = compared(part, against=f"{objective} published")
        traps.append(found.assign(objective=objective, model=found.model.str.removeprefix(f"{objective} ")))
    alone = pd.concat(traps, ignore_index=True).assign(other="published")
    alone = alone.assign(p_corrected=holm(alone.p_value.to_numpy(dtype=float)))
    columns = ["objective", "model", "other", "difference", "low", "high", "seeds", "p_value", "p_corrected"]
    alone = alone[columns]
    changes = alone.pivot_table(index="model", columns="objective", values="difference", sort=False).index
    table_of_traps = [
        {
            "switched off alone": name,
            **{
                objective: difference(found.iloc[0]) if len(found) else ""
                for objective in ("BT", "CLF")
                for found in [alone[(alone.model == name) & (alone.objective == objective)]]
            },
        }
        for name in changes
    ]
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
        "claim1-traps": as_markdown(table_of_traps),
        "claim1-traps-figure": rm.study_differences(alone, hue="objective", metric=METRIC),
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


def noise(table: pd.DataFrame) -> dict[str, Block]:
    """Claim 2: classifiers against BT-MLP at each beta, and what each loses from the fewest errors to the most."""
    axis = "annotator.beta"
    rows = at_largest_n(table)
    found = compared(rows, against="BT-MLP")
    errors = rows.groupby(["data", axis], sort=False).label_error.mean()
    lines = []
    for (data, beta), part in found.groupby(["data", axis], sort=False):
        lines.append(
            {
                "bank": data,
                "beta": f"{beta:g}",
                "wrong labels": f"{errors[data, beta]:.1%}",
                **{f"{row.model} - BT-MLP": difference(row) for row in part.itertuples()},
            }
        )
    least, most = rows[axis].max(), rows[axis].min()
    keys = ["data", "seed", "model", "metric", "n"]
    ends = rows[rows[axis] == least].merge(rows[rows[axis] == most], on=keys, suffixes=("", "_most"))
    losses = ends.assign(value=ends.value - ends.value_most)[[*keys, "value", "low", "high"]]
    lost = compared(losses, against="BT-MLP")
    mean = losses.groupby(["data", "model"], sort=False).value.mean()
    return {
        "claim2-primary": as_markdown(pooled(rows, against="BT-MLP")),
        "claim2-table": as_markdown(lines),
        "claim2-tally": f"Of the corrected tests, the classifier is {tally(found)}.",
        "claim2-losses-primary": as_markdown(pooled(losses, against="BT-MLP")),
        "claim2-losses": as_markdown(
            {
                "bank": data,
                **{f"{name} loses": f"{mean[data, name]:.3f}" for name in rows.model.unique()},
                **{f"{row.model} - BT-MLP": difference(row) for row in part.itertuples()},
            }
            for data, part in lost.groupby("data", sort=False)
        ),
        **by_overlap("claim2-figure", rows, rm.study_curves, x=axis, panel="data"),
    }


def annotations(table: pd.DataFrame) -> dict[str, Block]:
    """Claim 3: classifiers against BT-MLP at each number of annotations."""
    rows = at_largest_n(table)
    found = compared(rows, against="BT-MLP")
    return {
        "claim3-primary": as_markdown(pooled(rows, against="BT-MLP")),
        "claim3-table": as_markdown(
            {
                "bank": data,
                "pairs": n_pairs,
                **{f"{row.model} - BT-MLP": difference(row) for row in part.itertuples()},
            }
            for (data, n_pairs), part in found.groupby(["data", "n_pairs"], sort=False)
        ),
        "claim3-tally": f"Of the corrected tests, the classifier is {tally(found)}.",
        **by_overlap("claim3-figure", rows, rm.study_curves, x="n_pairs", panel="data"),
    }


def designs(table: pd.DataFrame) -> dict[str, Block]:
    """Claim 4: cross-prompt against same-prompt pairs."""
    rows = at_largest_n(table)
    found = compared(rows, axis="pairs", against="same")
    by = ["data", "n_pairs", "pairs.candidates"]
    shown = found.rename(columns={"pairs.candidates": "responses"})
    return {
        "claim4-primary": as_markdown(pooled(rows, by=["pairs.candidates"], axis="pairs", against="same")),
        "claim4-table": as_markdown(
            {
                "bank": setting[0],
                "pairs": setting[1],
                "responses": setting[2],
                **{row.model: difference(row) for row in part.itertuples()},
            }
            for setting, part in found.groupby(by, sort=False)
        ),
        "claim4-tally": f"Of the corrected tests, cross-prompt is {tally(found[found.data == REAL])} on the real bank "
        f"and {tally(found[found.data != REAL])} on the worlds.",
        "claim4-figure": rm.study_differences(shown, hue="model", panel="data", metric=METRIC),
    }


def reasons(table: pd.DataFrame) -> dict[str, Block]:
    """Why: both contrasts on the real bank with one thing changed."""
    rows = at_largest_n(table)
    pairs = compared(rows, real=lambda _: True, axis="pairs", against="same")
    models = compared(rows[rows.pairs == "same"], real=lambda _: True, against="BT-MLP")
    errors = rows.groupby(["data", "annotator", "pairs"], sort=False).label_error.mean()
    lines = []
    for (data, annotator), part in pairs.groupby(["data", "annotator"], sort=False):
        others = models[(models.data == data) & (models.annotator == annotator)]
        lines.append(
            {
                "AlpacaEval": data,
                "annotator": annotator,
                "wrong labels, same and cross": " and ".join(
                    f"{errors[data, annotator, side]:.1%}" for side in ("same", "cross")
                ),
                **{f"{row.model}: cross - same": difference(row) for row in part.itertuples()},
                **{f"same-prompt: {row.model} - {row.other}": difference(row) for row in others.itertuples()},
            }
        )
    return {
        "why-tally": f"Of the corrected tests, cross-prompt is {tally(pairs)}.",
        "why-table": as_markdown(lines),
        "why-figure": rm.study_differences(pairs, hue="model", panel="annotator", metric=METRIC),
    }


def gaps(table: pd.DataFrame) -> dict[str, Block]:
    """Claim 5: does the gain of cross-prompt pairs go with the gold gap inside the pairs? One r a seed and model."""
    rows = at_largest_n(table)
    lines = []
    for chosen, part in [("all", rows), *rows.groupby("pairs.candidates", sort=False)]:
        for gap_of in ("same", "cross"):
            lines.append(
                {
                    "responses": chosen,
                    "gap of": f"{gap_of}-prompt pairs",
                    **{model: _correlation(some, gap_of) for model, some in part.groupby("model", sort=False)},
                }
            )
    first, second = ("first", "second") if rows.pairs.iloc[0] == "same" else ("second", "first")
    figures: dict[str, Figure] = {
        "claim5-same-figure": rm.study_scatter(rows, gap_of=first, metric=METRIC),
        "claim5-cross-figure": rm.study_scatter(rows, gap_of=second, metric=METRIC),
    }
    return {"claim5-table": as_markdown(lines), **figures}


def _correlation(rows: pd.DataFrame, gap_of: str) -> str:
    """Return the mean r over seeds, worlds of their own, with a t-interval of Fisher's z."""
    keys = ["data", "pairs.candidates", "seed"]
    same, cross = (rows[rows.pairs == side].set_index(keys) for side in ("same", "cross"))
    gain = cross.value - same.value
    gap = {"same": same, "cross": cross}[gap_of].mean_abs_gap.reindex(gain.index)
    r = [np.corrcoef(gap[gain.index.isin([seed], level="seed")], part)[0, 1] for seed, part in gain.groupby("seed")]
    z = np.arctanh(r)
    half = stats.t.ppf(0.975, len(z) - 1) * stats.sem(z) if len(z) > 1 else np.nan
    ends: Sequence[float] = np.tanh([z.mean(), z.mean() - half, z.mean() + half])
    return f"{number(ends[0])} ({number(ends[1])} to {number(ends[2])})"
