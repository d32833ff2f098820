"""Recipes of `rmspace finetune`: the keys of its configs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmspace._typing import ExistingPath, PathLike
from rmspace.kinds import Encoder, Generator
from rmspace.text.encoders.transformers import TransformersEncoder
from rmspace.text.finetune.demonstrations import demonstrations_of, finetune_generator
from rmspace.text.finetune.rewards import finetune_reward
from rmspace.text.finetune.settings import FineTuning
from rmspace.text.generators.transformers import TransformersGenerator
from rmspace.text.reading import read_preferences, read_records


@dataclass(frozen=True)
class GeneratorRecipe:
    """A generator and the file of demonstrations that it is trained on.

    Args:
        path: a file or folder of `read_records`.
        generator: a `TransformersGenerator`.
        settings: by name, as in `FineTuning`.
        max_length: the most tokens of a demonstration.
        format, columns, split: as in `read_records`.
    """

    path: ExistingPath | str | Path
    generator: Generator
    settings: Mapping[str, Any] = field(default_factory=dict)
    max_length: int | None = None
    format: str | None = None
    columns: Mapping[str, str] | None = None
    split: str | None = None

    def run(self, out: PathLike) -> str:
        """Train, and return what to say."""
        if not isinstance(self.generator, TransformersGenerator):
            raise TypeError(f"generator must be a TransformersGenerator; got {type(self.generator).__name__}")
        records = read_records(self.path, format=self.format, columns=self.columns, split=self.split, verbose=False)
        items, settings = demonstrations_of(records), FineTuning(**self.settings)
        tuned = finetune_generator(items, self.generator, settings, out=out, max_length=self.max_length)
        return f"{tuned!r}; what was left out is listed in {Path(out) / 'left_out.jsonl'}"


@dataclass(frozen=True)
class RewardRecipe:
    """An encoder and the file of comparisons that it is trained on.

    Args:
        path: a file or folder of `read_preferences`.
        encoder: a `TransformersEncoder`.
        settings: by name, as in `FineTuning`.
        format, columns, score, split, limit: as in `read_preferences`.
    """

    path: ExistingPath | str | Path
    encoder: Encoder
    settings: Mapping[str, Any] = field(default_factory=dict)
    format: str | None = None
    columns: Mapping[str, str] | None = None
    score: str | None = None
    split: str | None = None
    limit: int | None = None

    def run(self, out: PathLike) -> str:
        """Train, and return what to say."""
        if not isinstance(self.encoder, TransformersEncoder):
            raise TypeError(f"encoder must be a TransformersEncoder; got {type(self.encoder).__name__}")
        names = ("format", "columns", "score", "split", "limit")
        data = read_preferences(self.path, **{name: getattr(self, name) for name in names})
        finetune_reward(data, self.encoder, FineTuning(**self.settings), out=out)
        return (
            f"trained on {len(data):,} comparisons; {Path(out) / 'reward'} is for rmspace score, serve and rewardbench"
        )
