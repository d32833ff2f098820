"""Checkpoints of a training, so that one that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from rmspace.data.files import write_whole
from rmspace.text.descriptions import differences
from rmspace.text.finetune.settings import FineTuning
from rmspace.text.folder_lock import folder_lock

EVERY = 600.0  # seconds between checkpoints
_RUN, _DONE = "run.json", "done.json"
_LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate")


class Checkpoints(TrainerCallback):
    """Writes a checkpoint from time to time, and removes the one before it.

    A file that is written last says that a checkpoint is whole. So after a kill there is a whole one, unless there was
    none before.

    Args:
        folder: of the unfinished training; what an earlier run left there is `last`, or None.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self.last = folder, _whole(folder)
        self._before = 0.0 if self.last is None else float(json.loads((self.last / _DONE).read_text())["seconds"])
        self._start = self._saved = time.monotonic()
        self._remove_others()

    @property
    def seconds(self) -> float:
        """Seconds of the training, with those before the checkpoint that it went on from."""
        return self._before + time.monotonic() - self._start

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Ask for a checkpoint when the last one is old."""
        if time.monotonic() - self._saved >= EVERY and state.global_step < state.max_steps:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Mark the checkpoint as whole, and remove the others."""
        self.last = self._folder / f"checkpoint-{state.global_step}"
        write_whole(self.last / _DONE, json.dumps({"seconds": self.seconds}))
        self._remove_others()
        self._saved = time.monotonic()

    def _remove_others(self) -> None:
        for path in self._folder.glob("checkpoint-*"):
            if path != self.last:
                shutil.rmtree(path)


def place_of(target: Path) -> Path:
    """Return where the checkpoints of a training are, until its result stands at `target`."""
    return target.with_name(f"{target.name}.unfinished")


@contextmanager
def unfinished(target: Path, run: Mapping[str, Any], *, overwrite: bool) -> Iterator[Path]:
    """Yield the folder for the checkpoints of a training; it is removed when the block ends without an error.

    After an error it stays if it has a checkpoint. After FloatingPointError, which would come again, it is removed.

    Args:
        target: where the result will stand.
        run: what the training depends on; see `run_of`.
        overwrite: remove what another training left there.

    Raises:
        BlockingIOError: another process trains there.
        FileExistsError: another training was stopped there.
    """
    folder = place_of(target)
    folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder):
        _claim(folder, run, overwrite=overwrite)
        try:
            yield folder
        except BaseException as error:
            if isinstance(error, FloatingPointError) or _whole(folder) is None:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                error.add_note(f"the training goes on from {folder} when it is started again")
            raise
        shutil.rmtree(folder, ignore_errors=True)


def run_of(model: Mapping[str, Any], settings: FineTuning, data: Any) -> dict[str, Any]:
    """Return what a training depends on: the model, the settings, the tokens, and the versions of the libraries."""
    return {
        "model": dict(model),
        "settings": settings.describe(),
        "data": hashlib.sha256(json.dumps(data).encode()).hexdigest(),
        "versions": {name: version(name) for name in _LIBRARIES},
    }


def _claim(folder: Path, run: Mapping[str, Any], *, overwrite: bool) -> None:
    """Write down what is trained in a folder; what another training left there is removed only if asked."""
    if _whole(folder) is not None and (found := differences(json.loads((folder / _RUN).read_text()), run)):
        if not overwrite:
            raise FileExistsError(
                f"{folder} holds a training that was stopped, and this one is another; stopped -> now: "
                f"{'; '.join(found[:3])}; remove that folder, or choose another one"
            )
        for path in folder.glob("checkpoint-*"):
            shutil.rmtree(path)
    write_whole(folder / _RUN, json.dumps(run, indent=1))


def _whole(folder: Path) -> Path | None:
    """Return the last checkpoint that was written to its end."""
    found = [path for path in folder.glob("checkpoint-*") if (path / _DONE).is_file()]
    return max(found, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)
