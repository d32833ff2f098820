"""Claims 2 to 5: the results of the studies in configs/findings, as tables and figures."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import rmspace as rm
from findings.contrasts import (
    METRIC,
    REAL,
    at_largest_n,
    by_overlap,
    compared,
    correct,
    draw,
    pooled,
    primary_lines,
)
from findings.page import Block, as_markdown, difference, number, tally

BETA = "annotator.beta"


def noise(table: pd.DataFrame) -> dict[str, Block]:
    """Claim 2: classifiers against BT-MLP at each beta, and the loss of each from the fewest errors to the most."""
    rows = at_largest_n(table)
    losses = _losses(rows)
    found, lost = correct([compared(some, against="BT-MLP") for some in (rows, losses)])
    first, first_losses = correct([pooled(some, against="BT-MLP") for some in (rows, losses)])
    return {
        "claim2-primary": as_markdown(primary_lines(first)),
        "claim2-table": as_markdown(_beta_lines(rows, found)),
        "claim2-tally": f"Of the corrected tests, the classifier is {tally(found)}.",
        "claim2-losses-primary": as_markdown(primary_lines(first_losses)),
        "claim2-losses": as_markdown(_loss_lines(losses, lost)),
        **by_overlap("claim2-figure", rows, rm.study_curves, x=BETA, panel="data"),
    }


def _losses(rows: pd.DataFrame) -> Any:
    """Return how much each model loses between the largest beta and the smallest, seed by seed."""
    keys = ["data", "seed", "model", "metric", "n"]
    least, most = (rows[rows[BETA] == end] for end in (rows[BETA].max(), rows[BETA].min()))
    ends = least.merge(most, on=keys, suffixes=("", "_most"))
    return ends.assign(value=ends.value - ends.value_most).filter([*keys, "value", "low", "high"])


def _beta_lines(rows: pd.DataFrame, found: pd.DataFrame) -> list[dict[str, str]]:
    errors = rows.groupby(["data", BETA], sort=False).error_rate.mean().to_dict()
    return [
        {
            "bank": str(data),
            "beta": f"{beta:g}",
            "wrong labels": f"{errors[data, beta]:.1%}",
            **{f"{row.model} - BT-MLP": difference(row) for row in part.itertuples()},
        }
        for (data, beta), part in found.groupby(["data", BETA], sort=False)
    ]


def _loss_lines(losses: pd.DataFrame, lost: pd.DataFrame) -> list[dict[str, str]]:
    mean = losses.groupby(["data", "model"], sort=False).value.mean().to_dict()
    return [
        {
            "bank": str(data),
            **{f"{name} loses": f"{mean[data, name]:.3f}" for name in losses.model.unique()},
            **{f"{row.model} - BT-MLP": difference(row) for row in part.itertuples()},
        }
        for data, part in lost.groupby("data", sort=False)
    ]


def annotations(table: pd.DataFrame) -> dict[str, Block]:
    """Claim 3: classifiers against BT-MLP at each number of annotations."""
    rows = at_largest_n(table)
    found = compared(rows, against="BT-MLP")
    return {
        "claim3-primary": as_markdown(primary_lines(pooled(rows, against="BT-MLP"))),
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
    by = ["pairs.candidates"]
    first = pooled(rows, by=by, axis="pairs", against="same")
    found = compared(rows, axis="pairs", against="same").rename(columns={"pairs.candidates": "responses"})
    real = found.data == REAL
    return {
        "claim4-primary": as_markdown(primary_lines(first, by=by, axis="pairs")),
        "claim4-table": as_markdown(
            {
                "bank": data,
                "pairs": n_pairs,
                "responses": responses,
                **{row.model: difference(row) for row in part.itertuples()},
            }
            for (data, n_pairs, responses), part in found.groupby(["data", "n_pairs", "responses"], sort=False)
        ),
        "claim4-tally": f"Of the corrected tests, cross-prompt is {tally(found[real])} on the real bank "
        f"and {tally(found[~real])} on the synthetic banks.",
        "claim4-figure": draw(found, hue="model", panel="data"),
    }


def reasons(table: pd.DataFrame) -> dict[str, Block]:
    """Why: both contrasts on the real bank with one thing changed, as one family of tests."""
    rows = at_largest_n(table)
    pairs, models = correct(
        [
            compared(rows, real=lambda _: True, axis="pairs", against="same"),
            compared(rows[rows.pairs == "same"], real=lambda _: True, against="BT-MLP"),
        ]
    )
    return {
        "why-tally": f"Of the corrected tests, cross-prompt is {tally(pairs)}.",
        "why-table": as_markdown(_reason_lines(rows, pairs, models)),
        "why-figure": draw(pairs, models, hue="model", panel="annotator"),
    }


def _reason_lines(rows: pd.DataFrame, pairs: pd.DataFrame, models: pd.DataFrame) -> list[dict[str, str]]:
    errors = rows.groupby(["data", "annotator", "pairs"], sort=False).error_rate.mean().to_dict()
    lines = []
    for (data, annotator), part in pairs.groupby(["data", "annotator"], sort=False):
        others = models[(models.data == data) & (models.annotator == annotator)]
        wrong = " and ".join(f"{errors[data, annotator, side]:.1%}" for side in ("same", "cross"))
        lines.append(
            {
                "AlpacaEval": str(data),
                "annotator": str(annotator),
                "wrong labels, same and cross": wrong,
                **{f"{row.model}: cross - same": difference(row) for row in part.itertuples()},
                **{f"same-prompt: {row.model} - {row.other}": difference(row) for row in others.itertuples()},
            }
        )
    return lines


def plan(folder: Path) -> dict[str, Block]:
    """The result of annotation_plan for the real bank and the annotator of these studies."""
    train, _ = rm.open_generators(str(folder))
    found = rm.annotation_plan(train, beta=1.0, budget=5000, scale="std")
    rows: list[dict[str, Any]] = [
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
    """Claim 5: does the gain of cross-prompt pairs grow with the gold gap in the pairs? One r per seed and model."""
    rows = at_largest_n(table)
    parts = [("all", rows), *rows.groupby("pairs.candidates", sort=False)]
    first_is_same = rows.pairs.iloc[0] == "same"
    return {
        "claim5-table": as_markdown(
            {
                "responses": chosen,
                "gap of": f"{gap_of}-prompt pairs",
                **{str(model): correlation(some, gap_of) for model, some in part.groupby("model", sort=False)},
            }
            for chosen, part in parts
            for gap_of in ("same", "cross")
        ),
        "claim5-same-figure": rm.study_scatter(rows, gap_of="first" if first_is_same else "second", metric=METRIC),
        "claim5-cross-figure": rm.study_scatter(rows, gap_of="second" if first_is_same else "first", metric=METRIC),
    }


def correlation(rows: pd.DataFrame, gap_of: str) -> str:
    """Return the mean r over seeds, each with its own synthetic banks, with a t-interval of Fisher's z."""
    keys = ["data", "pairs.candidates", "seed"]
    same, cross = (rows[rows.pairs == side].set_index(keys) for side in ("same", "cross"))
    gain = cross.value - same.value
    gap = {"same": same, "cross": cross}[gap_of].mean_abs_gap.reindex(gain.index)
    r = [np.corrcoef(gap[gain.index.isin([seed], level="seed")], part)[0, 1] for seed, part in gain.groupby("seed")]
    z = np.arctanh(r)
    half = stats.t.ppf(0.975, len(z) - 1) * stats.sem(z) if len(z) > 1 else np.nan
    mean, low, high = np.tanh([z.mean(), z.mean() - half, z.mean() + half])
    return f"{number(mean)} ({number(low)} to {number(high)})"
