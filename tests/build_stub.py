"""Stand-ins for the models of a build: slow where asked, and they write down what they work on."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rmspace._typing import FloatArray
from rmspace.text.pipeline.building import Recipe
from rmspace.text.ratings import Ratings
from rmspace.text.records import Message, TextItem
from rmspace.text.replies import Reply

Prompt = tuple[Message, ...]


class Logged:
    """Writes a letter for each item that it works on, after a pause."""

    letter = "?"

    def __init__(self, log: str | None = None, seconds: float = 0.0, name: str = "stub") -> None:
        self.log, self.seconds, self.name = log, seconds, name
        self.calls: list[int] = []

    def describe(self) -> Mapping[str, Any]:
        return {"kind": self.letter, "name": self.name, "about": {"log": self.log}}

    def note(self, n: int) -> None:
        self.calls.append(n)
        for _ in range(n if self.log else 0):
            time.sleep(self.seconds)
            with Path(str(self.log)).open("a", encoding="utf-8") as file:
                file.write(self.letter)


class Writer(Logged):
    """Answers with words that depend on the prompt and the seed; it refuses prompts that contain "long"."""

    letter = "g"

    def refusals(self, prompts: Sequence[Prompt], /) -> list[str | None]:
        return ["the prompt is too long: 9 tokens" if "long" in prompt[-1].content else None for prompt in prompts]

    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int], /) -> list[Reply]:
        self.note(len(prompts))
        return [Reply(answer(prompt[-1].content, seed)) for prompt, seed in zip(prompts, seeds, strict=True)]


class Rater(Logged):
    """Rates a response by the number that it begins with."""

    letter = "r"

    def rate(self, groups: Sequence[Sequence[TextItem]], /) -> Ratings:
        items = [item for group in groups for item in group]
        self.note(len(items))
        return Ratings({"": np.array([number(item.response) for item in items])})


class Embedder(Logged):
    """Embeds a response as cosines of multiples of its number."""

    letter = "e"

    def encode(self, items: Sequence[TextItem], /) -> FloatArray:
        self.note(len(items))
        numbers = [number(item.response) + len(item.prompt[0].content) / 100 for item in items]
        return np.cos(np.outer(numbers, np.arange(1, 5))).astype(np.float32)


def answer(prompt: str, seed: int) -> str:
    return f"{seed} of {prompt}"


def number(response: str) -> float:
    return float(response.split()[0]) if response else 0.0


def stub_recipe(path: Path | str, *, log: str | None = None, seconds: float = 0.0, **options: Any) -> Recipe:
    given = {
        "generator": Writer(log, seconds),
        "golds": {"number": Rater(log, seconds)},
        "encoder": Embedder(log, seconds),
        "n": 4,
        **options,
    }
    return Recipe(path, **given)


def prompts_file(folder: Path, n: int = 13, extra: Sequence[str] = ()) -> Path:
    path = folder / "prompts.jsonl"
    rows = [*(f"{k} + 1?" for k in range(n)), *extra]
    path.write_text("".join(json.dumps({"prompt": row}) + "\n" for row in rows), encoding="utf-8")
    return path


def step(out: Path, name: str, file: str) -> list[dict[str, Any]]:
    (folder,) = (out / "steps").glob(f"{name}-*")
    return [json.loads(line) for line in (folder / file).read_text(encoding="utf-8").splitlines()]
