"""The files of a result: RewardBench's own two, and one with the sections."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rmspace._typing import PathLike
from rmspace.data.files import FolderKind, new_folder
from rmspace.text.conversations import item_of
from rmspace.text.rewardbench.benchmark import listed
from rmspace.text.rewardbench.checks import Row
from rmspace.text.rewardbench.outcome import RewardBenchResult

__all__ = ["write_rewardbench"]

_KIND = FolderKind("rmspace-rewardbench", "rewardbench.json", r"rewardbench\.json|eval-set|eval-set-scores")


def write_rewardbench(
    folder: PathLike,
    result: RewardBenchResult,
    rows: Sequence[Row],
    scores: Sequence[Sequence[float]],
    *,
    model: str,
    chat_template: str = "",
    overwrite: bool = False,
) -> None:
    """Write a result as a folder, which appears whole or not at all.

    `eval-set/MODEL.json` is the summary and `eval-set-scores/MODEL.json` has the columns text_chosen, text_rejected,
    results, subset, id, scores_chosen and scores_rejected, both in RewardBench's form. `rewardbench.json` has the
    sections and the overall score. What is only a part of the benchmark is called so in each name.

    Raises:
        FileExistsError: the folder exists, and `overwrite` is not set or it is no such folder.
    """
    about = {"model": model, "model_type": "Seq. Classifier", "chat_template": chat_template}
    name = re.sub(r"[^\w.-]+", "_", model).strip(".") or "model"
    own = {
        "format": _KIND.format,
        "version": result.version,
        **about,
        "whole": result.whole,
        "scores": result.scores("section", "overall"),
        "missing": list(result.missing),
    }
    with new_folder(folder, _KIND, overwrite=overwrite) as staged:
        _write(staged / "eval-set" / f"{name}.json", result.summary(model, chat_template=chat_template))
        _write(staged / "eval-set-scores" / f"{name}.json", {**_columns(result, rows, scores), **about})
        _write(staged / _KIND.marker, own)


def _columns(result: RewardBenchResult, rows: Sequence[Row], scores: Sequence[Sequence[float]]) -> dict[str, Any]:
    sides: dict[str, list[Any]] = {
        name: [] for name in ("text_chosen", "text_rejected", "scores_chosen", "scores_rejected")
    }
    for row, some in zip(rows, scores, strict=True):
        n = len(listed(row["chosen"]))
        for side, values in (("chosen", some[:n]), ("rejected", some[n:])):
            texts = [_turns(row["prompt"], text) for text in listed(row[side])]
            single = not isinstance(row[side], list)
            sides[f"text_{side}"].append(texts[0] if single else texts)
            sides[f"scores_{side}"].append(values[0] if single else list(values))
    return {
        "text_chosen": sides["text_chosen"],
        "text_rejected": sides["text_rejected"],
        "results": [value if value is None or value % 1 else int(value) for value in result.results],
        "subset": [row["subset"] for row in rows],
        "id": [row.get("id") for row in rows],
        "scores_chosen": sides["scores_chosen"],
        "scores_rejected": sides["scores_rejected"],
    }


def _turns(prompt: Any, response: str) -> list[dict[str, str]]:
    return [message._asdict() for message in item_of(prompt, response).messages]


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
