"""The optional first step of a build: the generator is fine-tuned on demonstrations."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from rmspace.data.array_files import read_head
from rmspace.data.files import left_behind
from rmspace.text.finetune.demonstrations import KIND, MODEL, demonstrations_of, finetune_generator
from rmspace.text.finetune.settings import FineTuning
from rmspace.text.pipeline.prompts import file_hashes
from rmspace.text.pipeline.step import Say, step_folder
from rmspace.text.reading import read_records


def tuning_step(out: Path, path: Path, generator: Any, settings: FineTuning, say: Say) -> Any:
    """Return the fine-tuned generator; one whose folder is there is not trained again.

    The folder appears whole or not at all. So a run that was stopped begins this step again, with the same seed.

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
    if not folder.is_dir():
        items = demonstrations_of(read_records(path, verbose=False))
        finetune_generator(items, generator, settings, out=folder, about=options)
    counts = read_head(folder, KIND, 1, {"counts": dict, "losses": list})["counts"]
    say(
        f"sft: {counts['trained']:,} demonstrations; {counts['left_out']:,} left out, listed in {folder}/left_out.jsonl"
    )
    return generator.with_model(folder / MODEL)
