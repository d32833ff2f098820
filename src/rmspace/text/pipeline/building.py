"""From prompts to a train bank and a test bank, in steps that are done once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rmspace._checks import check_int, check_names
from rmspace._typing import ExistingPath, PathLike
from rmspace.data.bank import ResponseBank
from rmspace.kinds import Encoder, Generator, Gold
from rmspace.text.finetune.settings import FineTuning
from rmspace.text.folder_lock import folder_lock
from rmspace.text.pipeline.banks import write_banks
from rmspace.text.pipeline.embeddings import embeddings_step
from rmspace.text.pipeline.prompts import Source, prompts_step
from rmspace.text.pipeline.responses import Plan, responses_step
from rmspace.text.pipeline.rewards import rewards_step

__all__ = ["Recipe", "build_banks"]


@dataclass(frozen=True)
class Recipe:
    """How banks are built: the keys of a config for `rmspace build`.

    Where the rows of the file have a column `prompt`, only that column is read. Equal prompts are one prompt, and
    `test_size` of them go to the test bank.

    Args:
        path: a file or folder of prompts, in any format of `read_preferences`.
        generator: makes the responses.
        golds: rate the responses, by name. The first one is the reward of the banks, and the others are features.
        encoder: embeds the responses.
        n: number of responses to a prompt of the train bank.
        n_test: of the test bank; the same when None.
        test_size: number or share of the prompts of the test bank.
        seed: of the responses and of the split.
        format, columns, split: as in `read_preferences`.
        limit: read at most so many prompts.
        dtype: of the embeddings.
        demonstrations: a file of demonstrations, or of comparisons, whose winners are the demonstrations. The generator
            is first fine-tuned on them, and makes the responses then.
        sft: settings of the fine-tuning by name, as in `rmspace.text.FineTuning`.

    >>> from rmspace.text import FunctionEncoder, FunctionGenerator, FunctionGold
    >>> recipe = Recipe(
    ...     "prompts.jsonl",
    ...     FunctionGenerator(lambda prompts, seeds: [str(seed) for seed in seeds], name="seeds"),
    ...     {"size": FunctionGold(lambda prompts, responses: [len(text) for text in responses], name="size")},
    ...     FunctionEncoder(lambda texts: [[len(text)] for text in texts], name="length"),
    ...     n=4,
    ... )
    >>> recipe.test_size
    0.2
    """

    path: ExistingPath | str | Path
    generator: Generator
    golds: Mapping[str, Gold]
    encoder: Encoder
    n: int
    n_test: int | None = None
    test_size: int | float = 0.2
    seed: int = 0
    format: str | None = None
    columns: Mapping[str, str] | None = None
    split: str | None = None
    limit: int | None = None
    dtype: Literal["float32", "float16"] = "float32"
    demonstrations: ExistingPath | str | Path | None = None
    sft: Mapping[str, Any] | None = None


def build_banks(
    recipe: Recipe,
    out: PathLike,
    *,
    sources: Mapping[str, Mapping[str, str]] | None = None,
    say: Callable[[str], object] = lambda _: None,
    progress: bool | None = None,
) -> tuple[ResponseBank, ResponseBank]:
    """Read prompts, generate responses, rate them, embed them, and write the banks (train, test).

    Each step is a folder in `out/steps`, named by a hash of all that it depends on: its options, the content of its
    input, and the files of its model. So a change repeats only what depends on it, and a step never mixes two models or
    settings. A run that was stopped at any moment goes on where it was.

    Args:
        recipe: what to build.
        out: the folder.
        sources: hashes of the user's modules behind "generator", "golds" and "encoder".
        say: gets a line after each step.
        progress: show bars; None shows them on a terminal only.

    Returns:
        The banks (train, test), memory-mapped. Responses stand in the order in which they were generated.

    Raises:
        BlockingIOError: another build works in the folder.
        ValueError, TypeError: a recipe that cannot be, or a step that gives something else than it must.
        OSError: the disk is full; what was committed stays.

    >>> import json, tempfile
    >>> from dataclasses import replace
    >>> from rmspace.text import FunctionEncoder, FunctionGenerator, FunctionGold
    >>> recipe = Recipe(
    ...     "", FunctionGenerator(lambda prompts, seeds: [f"{seed} times" for seed in seeds], name="seeds"),
    ...     {"number": FunctionGold(lambda prompts, texts: [int(text.split()[0]) for text in texts], name="number")},
    ...     FunctionEncoder(lambda texts: [[len(text), text.count("1")] for text in texts], name="counts"), n=3,
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "prompts.jsonl")
    ...     _ = path.write_text("".join(json.dumps({"prompt": f"{k} + 1?"}) + "\\n" for k in range(10)))
    ...     build_banks(replace(recipe, path=path), folder + "/built")
    (ResponseBank(n_prompts=8, n_responses=3, dim=2, dtype=float32, rewards=True),
     ResponseBank(n_prompts=2, n_responses=3, dim=2, dtype=float32, rewards=True))
    """
    check_recipe(recipe)
    folder, known = Path(out), sources or {}
    folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder):
        recipe = with_tuned_generator(recipe, folder, say)
        prompts = prompts_step(folder, source_of(recipe), say, progress)
        made = known.get("generator", {})
        responses = responses_step(folder, prompts, recipe.generator, plan_of(recipe), made, say, progress)
        rated = {
            name: rewards_step(folder, responses, name, gold, known.get("golds", {}), say, progress)
            for name, gold in recipe.golds.items()
        }
        own = known.get("encoder", {})
        embedded = embeddings_step(folder, responses, recipe.encoder, recipe.dtype, own, say, progress)
        return write_banks(folder, responses, rated, embedded, describe_recipe(recipe), say)


def with_tuned_generator(recipe: Recipe, folder: Path, say: Callable[[str], object]) -> Recipe:
    """Return the recipe with its generator fine-tuned, where it has demonstrations."""
    if recipe.demonstrations is None:
        return recipe
    from rmspace.text.pipeline.tuning import tuning_step

    settings = FineTuning(**(recipe.sft or {}))
    tuned = tuning_step(folder, Path(recipe.demonstrations), recipe.generator, settings, say)
    return replace(recipe, generator=tuned, demonstrations=None, sft=None)


def check_recipe(recipe: Recipe) -> None:
    """Raise ValueError or TypeError for a recipe that cannot give a bank."""
    if recipe.sft is not None and recipe.demonstrations is None:
        raise ValueError("sft needs demonstrations, a file of them; give it, or leave sft out")
    if recipe.demonstrations is not None:
        check_tunable(recipe.generator)
        FineTuning(**(recipe.sft or {}))
    check_names("golds", recipe.golds)
    if not recipe.golds:
        raise ValueError("golds must name at least one gold, which is the reward of the banks; got none")
    for name in recipe.golds:
        if not str(name).replace("_", "").replace("-", "").isalnum() or name == "length":
            raise ValueError(f"the name of a gold must be letters, digits, - and _, and not 'length'; got {name!r}")
    for key in ("n", "n_test"):
        value = getattr(recipe, key)
        if value is not None and check_int(key, value) < 2:
            raise ValueError(f"{key} must be at least 2, because a bank compares responses to one prompt; got {value}")
    if recipe.limit is not None:
        check_int("limit", recipe.limit, low=2)
    check_int("seed", recipe.seed, low=0)


def check_tunable(generator: object) -> None:
    """Raise TypeError where a generator cannot be fine-tuned."""
    from rmspace.text.generators.transformers import TransformersGenerator

    if not isinstance(generator, TransformersGenerator):
        raise TypeError(
            f"fine-tuning needs a TransformersGenerator, whose weights are here; got {type(generator).__name__}"
        )


def source_of(recipe: Recipe) -> Source:
    """Return where the prompts come from."""
    return Source(str(recipe.path), recipe.format, recipe.columns, recipe.split, recipe.limit)


def plan_of(recipe: Recipe) -> Plan:
    """Return how many responses there are."""
    return Plan(recipe.n, recipe.n if recipe.n_test is None else recipe.n_test, recipe.test_size, recipe.seed)


def describe_recipe(recipe: Recipe) -> dict[str, Any]:
    """Return what banks depend on beside the prompts, for their metadata."""
    return {
        "generator": dict(recipe.generator.describe()),
        "golds": {name: dict(gold.describe()) for name, gold in recipe.golds.items()},
        "encoder": dict(recipe.encoder.describe()),
        "dtype": recipe.dtype,
    }
