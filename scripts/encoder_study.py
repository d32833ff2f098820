"""Compare small encoders on public human choices: the tables of docs/text.md.

python scripts/encoder_study.py --encoder NAME=FOLDER [--encoder NAME=FOLDER] --out FOLDER [--data FOLDER]

For each encoder the study configs/text/encoders.yaml runs: HH-RLHF (harmless, test) and PandaLM, ten splits by prompt.
A stopped script goes on where it was. The data lie in ../shared/data, or in --data.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd

import rmspace as rm

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
FILES = {"HH": "hh_harmless/pairs.jsonl.gz", "PandaLM": "pandalm/pairs.jsonl.gz"}
OVERLAP = 0.2 / 0.8  # test / train: splits of one data set share prompts


def main() -> int:
    options = _parse()
    found = []
    for name, _, folder in (encoder.partition("=") for encoder in options.encoder):
        paths = ", ".join(f"{label}: {options.data / file}" for label, file in FILES.items())
        changes = [
            f"base.data.encoder.model={folder}",
            f"base.data.out={options.out / f'embedded-{name}'}",
            f"base.data.path={options.data / FILES['HH']}",
            f"grid.data.path={{{paths}}}",
        ]
        changes += [f"base.data.encoder.{setting}" for setting in SETTINGS.get(name, [])]
        study = rm.run_study(ROOT / "configs/text/encoders.yaml", options.out / name, overrides=changes, workers=0)
        found.append(study.results().assign(encoder=name))
    print(accuracies(pd.concat(found)))
    print()
    print(differences(pd.concat(found)))
    print()
    print(people(options.data))
    return 0


SETTINGS = {"MiniLM": ["normalize=true"], "SmolLM2": ["max_length=512"]}  # as each model is meant, and for the time


def accuracies(results: pd.DataFrame) -> str:
    """Return the mean accuracy of each model over the splits, as a table of Markdown."""
    table = rm.seed_means(results, overlap=OVERLAP)
    table = table[table.metric == "accuracy"]
    cells = {
        (r["data.path"], r.encoder, r.model): f"{_short(r.value)} [{_short(r.low)}, {_short(r.high)}]"
        for _, r in table.iterrows()
    }
    columns = list(dict.fromkeys((data, encoder) for data, encoder, _ in cells))
    lines = [
        "| scores | " + " | ".join(f"{data}, {encoder}" for data, encoder in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for model in dict.fromkeys(model for *_, model in cells):
        lines.append(f"| {model} | " + " | ".join(cells[*column, model] for column in columns) + " |")
    return "\n".join(lines)


def differences(results: pd.DataFrame) -> str:
    """Return the paired differences of the encoders, and of the models of each encoder, in accuracy."""
    models = results[results.model.isin(["BT-linear", "BT-MLP", "CLF-MLP", "BT-LGB"])]
    tables = [models[models.encoder == name] for name in models.encoder.unique()]
    found = [rm.compare_models(table, metric="accuracy", overlap=OVERLAP) for table in tables]
    if len(tables) > 1:
        found.insert(0, rm.compare_models(models, metric="accuracy", axis="encoder", overlap=OVERLAP))
    return "\n\n".join(table.round(3).to_string(index=False) for table in found)


def people(data: Path) -> str:
    """Return the agreement of the annotators of PandaLM, as a table of Markdown."""
    texts = rm.text.read_preferences(data / FILES["PandaLM"], verbose=False)
    embedded: Any = texts.with_embeddings(pd.DataFrame({"length": texts.features["length"]}).to_numpy(dtype="float32"))
    table = rm.agreement_table(embedded)
    lines = ["| annotator | against | agreement | verdicts |", "|---|---|---|---|"]
    lines += [
        f"| {r.annotator} | {r.against} | {_short(r.value)} [{_short(r.low)}, {_short(r.high)}] | {r.n_verdicts} |"
        for r in table.itertuples()
    ]
    return "\n".join([*lines, "", f"Krippendorff's alpha: {_short(rm.krippendorff_alpha(embedded))}"])


def _short(value: Any) -> str:
    return f"{float(value):.3f}".removeprefix("0")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", action="append", required=True, metavar="NAME=FOLDER", help="repeatable")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
