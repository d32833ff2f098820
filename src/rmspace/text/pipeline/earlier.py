"""Responses that an earlier build made with the same generator and seed, so that only new prompts cost time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmspace.text.line_store import Line, LineStore
from rmspace.text.pipeline.step import without_about

_MUST_MATCH = ("generator", "sources", "seed")
_LISTS = ("responses", "seeds", "finish", "tokens")


class Earlier:
    """The responses in the other folders of a step, found by the id of their prompt; only their places are in memory.

    A response depends on the generator, the seed of the build, its prompt and its number. So it may be taken whatever
    other prompts there were, and however many responses.

    Args:
        steps: folder of the steps.
        files: names of the files of the step.
        options: what the new step depends on.
        own: folder of the new step, which is left out.
    """

    def __init__(self, steps: Path, files: tuple[str, ...], options: Mapping[str, Any], own: Path) -> None:
        self._places: dict[str, tuple[Path, int, int]] = {}  # file, its first byte, number of responses
        for folder in sorted(steps.glob("generate-*")):
            if folder != own and _agrees(folder, options):
                self._read(LineStore(folder, files, {}), folder / files[0])

    def find(self, prompt_id: str, n: int) -> Line | None:
        """Return the first `n` responses to a prompt, with their seeds; None where there are fewer."""
        path, start, found = self._places.get(prompt_id, (Path(), 0, -1))
        if found < n:
            return None
        with path.open("rb") as file:
            file.seek(start)
            line = json.loads(file.readline())
        return {name: line[name][:n] for name in _LISTS}

    def _read(self, store: LineStore, path: Path) -> None:
        start = 0
        with path.open("rb") as file:
            for _ in range(store.n):
                size = len(data := file.readline())
                line = json.loads(data)
                if len(line["responses"]) > self._places.get(line["id"], (path, 0, -1))[2]:
                    self._places[line["id"]] = (path, start, len(line["responses"]))
                start += size


def _agrees(folder: Path, options: Mapping[str, Any]) -> bool:
    """Say whether the step in a folder had the same generator and seed."""
    if not (folder / "manifest.json").is_file():
        return False
    about = json.loads((folder / "manifest.json").read_text(encoding="utf-8")).get("about", {})
    return all(without_about(about.get(name)) == without_about(options[name]) for name in _MUST_MATCH)
