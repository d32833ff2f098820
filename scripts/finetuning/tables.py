"""The tables and the figure of the comparison."""

from pathlib import Path
from typing import Any

import pandas as pd

import rmspace as rm
from findings.page import as_markdown, difference
from finetuning.cells import TUNED
from rmspace.results.compare import holm

MEASURES = {"normalized_gain": "normalised gain of Best-of-8", "accuracy": "accuracy on held-out pairs"}
KEYS = ["data", "n_pairs", "seed", "model", "metric", "n", "value", "low", "high", "n_prompts"]
COSTS = ["embed_seconds", "fit_seconds", "megabytes"]


def results(found: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows of all cells except those of the learning rates, as a tidy table with costs."""
    rows = [
        row | {"data": result["cell"]["data"], "seed": result["cell"]["seed"]}
        for result in found
        if result["cell"]["kind"] != "rate"
        for row in result["rows"]
    ]
    table = pd.DataFrame(rows).reindex(columns=[*KEYS, *COSTS])
    return table.astype({"n": "Int64", **dict.fromkeys(COSTS, "float64")})


def page(found: list[dict[str, Any]], overlaps: dict[str, float]) -> str:
    """Return all tables, as Markdown."""
    table = results(found)
    parts = [f"Learning rates: {_rates(found)}"]
    for metric, title in MEASURES.items():
        rows = table[table.metric == metric][KEYS]
        parts += [f"Mean {title}:", as_markdown(_means(rows, overlaps))]
    parts += ["Fine-tuned minus frozen:", as_markdown(_differences(table, overlaps))]
    parts += ["Costs:", as_markdown(_costs(table))]
    return "\n\n".join(parts) + "\n"


def draw(found: list[dict[str, Any]], overlaps: dict[str, float], path: Path) -> None:
    """Draw the gain over the number of pairs, on the data that has several."""
    table = results(found)[KEYS]
    rows = table[(table.metric == "normalized_gain") & ~table.model.isin(["shorter"])]
    figure = rm.study_curves(rows, x="n_pairs", metric="normalized_gain", overlap=overlaps["AlpacaEval"])
    figure.savefig(path, dpi=150, metadata={"Software": None})


def _rates(found: list[dict[str, Any]]) -> str:
    said = [
        f"{result['cell']['data']} {result['cell']['rate']:g}: {row['value']:.3f}"
        for result in found
        if result["cell"]["kind"] == "rate"
        for row in result["rows"]
        if row["metric"] == "accuracy"
    ]
    return "; ".join(said)


def _means(rows: pd.DataFrame, overlaps: dict[str, float]) -> list[dict[str, str]]:
    lines = []
    for (data, n), part in rows.groupby(["data", "n_pairs"], sort=False):
        means = rm.seed_means(part, overlap=overlaps[str(data)])
        cells = {str(row.model): f"{row.value:.3f} ({row.low:.3f} to {row.high:.3f})" for row in means.itertuples()}
        lines.append({"data": str(data), "pairs": str(n), "splits": str(means.seeds.max()), **cells})
    return lines


def _differences(table: pd.DataFrame, overlaps: dict[str, float]) -> list[dict[str, str]]:
    """Return the paired differences, with Holm's correction over all of them."""
    models = table[~table.model.isin(["longer", "shorter"])][KEYS]
    parts = []
    names: list[tuple[str, str]] = list(models[["data", "metric"]].drop_duplicates().itertuples(index=False, name=None))
    for data, metric in names:
        part = models[(models.data == data) & (models.metric == metric)]
        differences = rm.compare_models(part, metric=metric, against=TUNED, overlap=overlaps[data])
        parts.append(differences.assign(data=data, metric=metric))
    found: Any = pd.concat(parts, ignore_index=True)
    found["p_corrected"] = holm(found.p_value.to_numpy(dtype=float))
    found[["difference", "low", "high"]] = -found[["difference", "high", "low"]]  # fine-tuned minus the frozen one
    lines = []
    keys = found[["data", "metric", "n_pairs"]].drop_duplicates()
    for data, metric, n in keys.itertuples(index=False, name=None):
        part = found[(found.data == data) & (found.metric == metric) & (found.n_pairs == n)]
        cells = {f"{TUNED} - {row.model}": difference(row) for row in part.itertuples()}
        lines.append({"data": str(data), "measure": MEASURES[str(metric)], "pairs": str(n), **cells})
    return lines


def _costs(table: pd.DataFrame) -> list[dict[str, str]]:
    """Return the mean CPU-seconds over the splits, and how many times fine-tuning costs those of each frozen model."""
    once = table[(table.metric == "accuracy") & table.fit_seconds.notna()]
    groups = once.groupby(["data", "n_pairs", "model"], sort=False)
    means = groups[COSTS].mean().assign(megabytes=groups.megabytes.max()).reset_index()  # a later cell may reuse memory
    lines = []
    for data, n in list(means[["data", "n_pairs"]].drop_duplicates().itertuples(index=False, name=None)):
        part: Any = means[(means.data == data) & (means.n_pairs == n)].set_index("model")
        rows = {str(model): row for model, row in part.iterrows()}
        if TUNED not in rows:
            continue
        tuned = rows.pop(TUNED)
        for name, row in rows.items():
            whole = row.embed_seconds + row.fit_seconds
            lines.append(
                {
                    "data": str(data),
                    "pairs": str(n),
                    "frozen model": name,
                    "fine-tuning, s": f"{tuned.fit_seconds:.0f}",
                    "embedding, s": f"{row.embed_seconds:.0f}",
                    "fit, s": f"{row.fit_seconds:.1f}",
                    "ratio with embedding": f"{tuned.fit_seconds / whole:.1f}",
                    "ratio of the fits": f"{tuned.fit_seconds / row.fit_seconds:.0f}",
                    "memory, MB, fine-tuned and frozen": f"{tuned.megabytes:.0f} and {row.megabytes:.0f}",
                }
            )
    return lines
