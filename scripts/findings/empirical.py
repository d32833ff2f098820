"""Claims 2 to 5: what the studies in configs/findings say, as tables and figures."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

import rmspace as rm
from claims.contrasts import METRIC, REAL, at_largest_n, by_overlap, compared, pooled
from claims.page import Block, as_markdown, difference, number, tally


def noise(table: pd.DataFrame) -> dict[str, Block]:
    """Claim 2: classifiers against BT-MLP at each beta, and what each loses from the fewest errors to the most."""
    axis = "annotator.beta"
    rows = at_largest_n(table)
    found = compared(rows, against="BT-MLP")
    errors = rows.groupby(["data", axis], sort=False).error_rate.mean()
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
    errors = rows.groupby(["data", "annotator", "pairs"], sort=False).error_rate.mean()
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


def plan(folder: str) -> dict[str, Block]:
    """What annotation_plan says of the real bank, for the annotator of these studies."""
    train, _ = rm.open_generators(folder)
    found = rm.annotation_plan(train, beta=1.0, budget=5000, scale="std")
    rows = [
        {"quantity": f"spread {name} prompts", "estimate": f"{row.value:.2f} ({row.low:.2f} to {row.high:.2f})"}
        for name, row in found.spreads.iterrows()
    ]
    rows += [
        {
            "quantity": f"share of right labels, {name}-prompt pairs",
            "estimate": f"{row.quality:.4f} ({row.low:.4f} to {row.high:.4f})",
        }
        for name, row in found.designs.iterrows()
    ]
    return {"why-plan": as_markdown(rows)}


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
