"""The optional first step of a build: the generator is fine-tuned on demonstrations."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rmspace.data.array_files import read_head
from rmspace.data.files import left_behind
from rmspace.text.finetune.demonstrations import KIND, MODEL, demonstrations_of, finetune_generator
from rmspace.text.finetune.settings import FineTuning
from rmspace.text.pipeline.prompts import file_hashes
from rmspace.text.pipeline.step import Say, step_folder
from rmspace.text.reading import read_records


def tuning_step(out: Path, path: Path, generator: Any, settings: FineTuning, say: Say) -> Any:
    """Return the fine-tuned generator; one whose folder is there is not trained again.

    The folder appears whole or not at all. A run that was stopped goes on from its last checkpoint, beside the folder.

    Raises:
        ValueError: no demonstration is left, or the folder is damaged.
    """
    options = {
        "files": file_hashes(path),
        "generator": generator.text_model.describe(),
        "settings": settings.describe(),
    }
    folder = step_folder(out, "sft", options, say)
    for unfinished in left_behind(folder):  # of a build that was killed; the lock says that none runs
        shutil.rmtree(unfinished)
    if folder.is_dir():
        from rmspace.text.finetune._checkpoints import place_of

        shutil.rmtree(place_of(folder), ignore_errors=True)  # left by a kill after the last step
    else:
        items = demonstrations_of(read_records(path, verbose=False))
        finetune_generator(items, generator, settings, out=folder, about=options)
    counts = _head(folder)["counts"]
    say(
        f"sft: {counts['trained']:,} demonstrations; {counts['left_out']:,} left out, listed in {folder}/left_out.jsonl"
    )
    return generator.with_model(folder / MODEL)


class TuningCost(NamedTuple):
    """What the fine-tuning of a generator costs."""

    demonstrations: int
    seconds: float
    bytes: int


def tuning_cost(path: Path, generator: Any, settings: FineTuning, sample: int) -> TuningCost:
    """Return what `tuning_step` will cost, from one pass over a sample of the demonstrations.

    The model is written once, to a temporary folder, and removed.
    """
    items = demonstrations_of(read_records(path, verbose=False))
    few = items[:: max(1, len(items) // sample)][:sample]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "sft")
        finetune_generator(few, generator, replace(settings, epochs=1.0), out=folder)
        head, size = _head(folder), sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    trained = head["counts"]["trained"]
    passes = settings.epochs * len(items) / len(few)
    return TuningCost(round(len(items) * trained / len(few)), passes * head["seconds"], size)


def _head(folder: Path) -> dict[str, Any]:
    return read_head(folder, KIND, 1, {"counts": dict, "losses": list, "seconds": float})
