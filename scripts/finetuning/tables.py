"""The tables and the figure of the comparison."""

from pathlib import Path
from typing import Any

import pandas as pd

import rmspace as rm
from findings.page import as_markdown, difference
from finetuning import memory
from finetuning.cells import LORA, TUNED
from rmspace.results.compare import holm

MEASURES = {"normalized_gain": "normalised gain of Best-of-8", "accuracy": "accuracy on held-out pairs"}
KEYS = ["data", "n_pairs", "seed", "model", "metric", "n", "value", "low", "high", "n_prompts"]
COSTS = ["embed_seconds", "fit_seconds"]


def results(found: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows of all cells except those of the learning rates, as a tidy table with costs."""
    rows = [
        row | {"data": result["cell"]["data"], "seed": result["cell"]["seed"]}
        for result in found
        if result["cell"]["kind"] not in ("rate", "lora_rate")
        for row in result["rows"]
    ]
    table = pd.DataFrame(rows).reindex(columns=[*KEYS, *COSTS])
    return table.astype({"n": "Int64", **dict.fromkeys(COSTS, "float64")})


def page(found: list[dict[str, Any]], overlaps: dict[str, float], peaks: list[dict[str, Any]]) -> str:
    """Return all tables, as Markdown; that of the memory where it was measured."""
    table = results(found)
    parts = [f"Learning rates: {_rates(found)}"]
    for metric, title in MEASURES.items():
        rows = table[table.metric == metric][KEYS]
        parts += [f"Mean {title}:", as_markdown(_means(rows, overlaps))]
    parts += ["Fine-tuned minus frozen:", as_markdown(_differences(table, overlaps))]
    parts += ["Costs:", as_markdown(_costs(table))]
    if peaks:
        parts += ["Memory:", as_markdown(memory.lines(peaks))]
    return "\n\n".join(parts) + "\n"


def draw(found: list[dict[str, Any]], overlaps: dict[str, float], path: Path) -> None:
    """Draw the differences in accuracy between the fine-tuned model and the frozen ones."""
    table = _compared(results(found), overlaps)
    figure = rm.study_differences(
        table.drop(columns="metric"), where=table.metric == "accuracy", panel="data", metric="accuracy"
    )
    figure.savefig(path, dpi=150, metadata={"Software": None})


def _rates(found: list[dict[str, Any]]) -> str:
    said = [
        f"{result['cell']['data']}, {row['model']}, {result['cell']['rate']:g}: {row['value']:.3f}"
        for result in found
        if result["cell"]["kind"] in ("rate", "lora_rate")
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


def _compared(table: pd.DataFrame, overlaps: dict[str, float]) -> Any:
    """Return the paired differences, fine-tuned minus frozen, with Holm's correction over all of them."""
    models = table[~table.model.isin(["longer", "shorter"])][KEYS]
    parts = []
    names: list[tuple[str, str]] = list(models[["data", "metric"]].drop_duplicates().itertuples(index=False, name=None))
    for data, metric in names:
        part = models[(models.data == data) & (models.metric == metric)]
        differences = rm.compare_models(part, metric=metric, against=TUNED, overlap=overlaps[data])
        parts.append(differences.assign(data=data, metric=metric))
    found: Any = pd.concat(parts, ignore_index=True)
    found[["difference", "low", "high"]] = -found[["difference", "high", "low"]].to_numpy()
    found["model"], found["other"] = found.other, found.model
    return found.assign(p_corrected=holm(found.p_value.to_numpy(dtype=float)))


def _differences(table: pd.DataFrame, overlaps: dict[str, float]) -> list[dict[str, str]]:
    found = _compared(table, overlaps)
    lines = []
    for data, metric, n in found[["data", "metric", "n_pairs"]].drop_duplicates().itertuples(index=False, name=None):
        part = found[(found.data == data) & (found.metric == metric) & (found.n_pairs == n)]
        cells = {f"{row.model} - {row.other}": difference(row) for row in part.itertuples()}
        lines.append({"data": str(data), "measure": MEASURES[str(metric)], "pairs": str(n), **cells})
    return lines


def _costs(table: pd.DataFrame) -> list[dict[str, str]]:
    """Return mean CPU-seconds over the splits, and how many times frozen models cost less."""
    once: Any = table[(table.metric == "accuracy") & table.fit_seconds.notna()]
    lines = []
    for data, n in list(once[["data", "n_pairs"]].drop_duplicates().itertuples(index=False, name=None)):
        part = once[(once.data == data) & (once.n_pairs == n)]
        means = part.groupby("model", sort=False)[["embed_seconds", "fit_seconds"]].mean()
        tuned, frozen = means.loc[TUNED], means.drop(index=[TUNED, LORA], errors="ignore")
        whole = frozen.embed_seconds + frozen.fit_seconds
        lora = f"{means.fit_seconds[LORA]:.0f}" if LORA in means.index else ""
        lines.append(
            {
                "data": str(data),
                "pairs": str(n),
                "fine-tuning, s": f"{tuned.fit_seconds:.0f}",
                "with LoRA, s": lora,
                "embedding, s": f"{frozen.embed_seconds.mean():.0f}",
                "fits, s": ", ".join(f"{name} {seconds:.2f}" for name, seconds in frozen.fit_seconds.items()),
                "ratio": f"{tuned.fit_seconds / whole.mean():.1f}",
                "ratio without embedding": f"{tuned.fit_seconds / frozen.fit_seconds.mean():.0f}",
            }
        )
    return lines
