"""What a build will cost, from a small sample that is measured."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rmspace._checks import check_int
from rmspace.text.embedding import encode_shard
from rmspace.text.finetune.settings import FineTuning
from rmspace.text.line_store import Line, json_lines
from rmspace.text.pipeline.building import Recipe, check_recipe, plan_of, source_of
from rmspace.text.pipeline.prompts import prompt_of, prompts_step
from rmspace.text.pipeline.responses import Generating, groups_of
from rmspace.text.pipeline.rewards import rated

__all__ = ["estimate_build"]

_KEY_BYTES = 33  # of the index of embeddings, per row
_LEAST = 2  # responses to a prompt of the sample
_CHARACTERS_PER_TOKEN = 4  # where a generator does not count its tokens


def estimate_build(recipe: Recipe, *, sample: int = 32, clock: Callable[[], float] = time.perf_counter) -> pd.DataFrame:
    """Return what each step of a build costs, from the work on a sample; nothing of it is kept.

    The time of a step is the time of the sample, times the number of responses over that of the sample. A gold that
    compares responses says by a method `requests_for(n)` how many requests n responses to one prompt need, and its time
    grows with that number. Each model works on one prompt first, which is not counted, so that loading it is
    not counted either.

    Args:
        recipe: what to build.
        sample: number of responses that are made, rated and embedded, and of demonstrations that are learned; a
            multiple of the generator's batch size is best. Each prompt of the sample gets at least two responses,
            because some golds compare them.
        clock: gives seconds, except those of fine-tuning, which are of wall time.

    Returns:
        One row per step: step, rows (demonstrations, prompts or responses), tokens (of the responses), seconds, bytes.

    Raises:
        ValueError: as `build_banks`; the generator refuses every prompt of the sample.

    >>> import json
    >>> from rmspace.text import FunctionEncoder, FunctionGenerator, FunctionGold
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "prompts.jsonl")
    ...     _ = path.write_text("".join(json.dumps({"prompt": f"{k} + 1?"}) + "\\n" for k in range(100)))
    ...     recipe = Recipe(
    ...         path, FunctionGenerator(lambda prompts, seeds: [str(seed) for seed in seeds], name="seeds"),
    ...         {"size": FunctionGold(lambda prompts, texts: [len(text) for text in texts], name="size")},
    ...         FunctionEncoder(lambda texts: [[len(text)] for text in texts], name="length"), n=10, n_test=500,
    ...     )
    ...     estimate_build(recipe).set_index("step").rows.to_dict()
    {'prompts': 100, 'generate': 10800, 'gold size': 10800, 'embed': 10800, 'banks': 10800}
    """
    check_recipe(recipe)
    check_int("sample", sample, low=1)
    with tempfile.TemporaryDirectory() as folder:
        prompts = prompts_step(Path(folder), source_of(recipe), lambda _: None, False)
        work = Generating(prompts, recipe.generator, plan_of(recipe))
        found = _generated(work, sample, clock)
        rows = [*_of_tuning(recipe, sample), _row("prompts", prompts.n, 0.0, prompts.size(0)), _of_generating(found)]
    rows += [_of_gold(recipe, name, found, clock) for name in recipe.golds]
    return pd.DataFrame([*rows, *_of_embedding(recipe, found, clock)])


def _of_tuning(recipe: Recipe, sample: int) -> list[dict[str, Any]]:
    """Return the cost of the fine-tuning; it is not applied to the sample, since it does not change the speed."""
    if recipe.demonstrations is None:
        return []
    from rmspace.text.pipeline.tuning import tuning_cost

    found = tuning_cost(Path(recipe.demonstrations), recipe.generator, FineTuning(**(recipe.sft or {})), sample)
    return [_row("sft", found.demonstrations, found.seconds, found.bytes)]


class _Sample(NamedTuple):
    """Responses that were made to measure, and what one of them stands for."""

    work: Generating
    lines: list[Line]
    each: int
    """The number of responses to each prompt of the sample."""
    seconds: float
    kept: float
    """The share of the prompts that the generator does not refuse."""

    @property
    def total(self) -> int:
        """The responses of the whole build, without those to prompts that the generator refuses."""
        return round(self.work.total * self.kept)

    @property
    def factor(self) -> float:
        """How many responses of the build each of the sample stands for."""
        return self.total / (self.each * len(self.lines))

    def factor_of(self, requests: Callable[[int], int]) -> float:
        """Return how many requests of the build each of the sample stands for; `requests` gives those of a prompt."""
        return self.work.sum(requests) * self.kept / (requests(self.each) * len(self.lines))

    def size(self, lines: list[Line]) -> float:
        """Return the bytes that lines like these will have: a part per prompt, and a part per response."""
        whole, per_prompt = len(json_lines(lines)), len(json_lines(map(_without_responses, lines)))
        n_prompts = self.work.prompts.n * self.kept / len(self.lines)  # of the build for each of the sample
        return n_prompts * per_prompt + self.factor * (whole - per_prompt)


def _generated(work: Generating, sample: int, clock: Callable[[], float]) -> _Sample:
    asked = _spread(work.prompts.lines(), work.prompts.n, sample)
    reasons = work.generator.refusals([prompt_of(line) for line in asked])
    kept = [line for line, reason in zip(asked, reasons, strict=True) if reason is None]
    if not kept:
        raise ValueError(f"the generator refuses all {len(asked)} prompts of the sample: {reasons[0]}")
    chosen = _spread(kept, len(kept), max(1, sample // _LEAST))
    each = max(_LEAST, -(-sample // len(chosen)))
    work.answer(chosen[:1], lambda _: 1)
    start = clock()
    lines, _ = work.answer(chosen, lambda _: each)
    return _Sample(work, lines, each, clock() - start, len(kept) / len(asked))


def _spread(lines: Iterable[Line], n_lines: int, n: int) -> list[Line]:
    """Return n of some lines, spread evenly over all, so that short and long ones are among them."""
    wanted = set(np.linspace(0, n_lines - 1, min(n, n_lines)).astype(int).tolist())
    return [line for k, line in enumerate(lines) if k in wanted]


def _of_generating(found: _Sample) -> dict[str, Any]:
    counted = [tokens for line in found.lines for tokens in line["tokens"] if tokens is not None]
    letters = sum(len(text) for line in found.lines for text in line["responses"])
    tokens = sum(counted) if counted else letters / _CHARACTERS_PER_TOKEN
    size = found.size(found.lines)
    return _row("generate", found.total, found.factor * found.seconds, size, tokens=round(found.factor * tokens))


def _of_gold(recipe: Recipe, name: str, found: _Sample, clock: Callable[[], float]) -> dict[str, Any]:
    gold = recipe.golds[name]
    rated(name, gold, found.lines[:1])
    start = clock()
    lines, unread = rated(name, gold, found.lines)
    seconds = clock() - start
    requests: Callable[[int], int] = getattr(gold, "requests_for", lambda n: n)
    factor = found.factor_of(requests)
    size = found.size(lines) + factor * len(json_lines(unread))
    return _row(f"gold {name}", found.total, factor * seconds, size)


def _of_embedding(recipe: Recipe, found: _Sample, clock: Callable[[], float]) -> list[dict[str, Any]]:
    items = [item for group in groups_of(found.lines) for item in group]
    encode_shard(recipe.encoder, items[:1], [0], lambda _: None)
    start = clock()
    rows, _ = encode_shard(recipe.encoder, items, list(range(len(items))), lambda _: None)
    seconds, width = clock() - start, rows.shape[1] * np.dtype(recipe.dtype).itemsize
    numbers = 8 * (len(recipe.golds) + 1)  # the rewards and the length of a response
    return [
        _row("embed", found.total, found.factor * seconds, found.total * (width + _KEY_BYTES)),
        _row("banks", found.total, 0.0, found.total * (width + numbers)),
    ]


def _without_responses(line: Line) -> Line:
    """Return a line with empty lists where it has one value per response."""
    empty: Line = {name: [] for name, value in line.items() if isinstance(value, list) and name != "prompt"}
    if "rewards" in line:
        empty["rewards"] = {name: [] for name in line["rewards"]}
    return {**line, **empty}


def _row(step: str, rows: int, seconds: float, size: float, *, tokens: int = 0) -> dict[str, Any]:
    return {"step": step, "rows": rows, "tokens": tokens, "seconds": seconds, "bytes": round(size)}
